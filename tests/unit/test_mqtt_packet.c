/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_packet.c - the reader of MQTT packets, and single packets. */
#include "hex.h"
#include "mqtt_trace.h"

#include "../../bridges/mqtt/property.h"
#include "../../bridges/mqtt/subscribe.h"

#include <stdio.h>

#define PUBLISH_311   "30 07 00 03 61 2f 62 68 69"       /* a/b, "hi" */
#define PUBLISH_Q1    "32 09 00 03 61 2f 62 00 07 68 69" /* identifier 7 */
#define PUBLISH_5     "30 0b 00 03 61 2f 62 03 23 00 01 68 69" /* alias 1 */
#define SUBSCRIBE_311 "82 08 00 01 00 03 61 2f 23 01"
#define PINGREQ       "c0 00"
#define PUBACK        "40 02 00 07"

/* ---- numbers ---------------------------------------------------------------
 */

static void test_varint(void **state)
{
    static const struct {
        const char *wire;
        int size;
        uint32_t value;
    } cases[] = {
        {"", 0, 0},
        {"00", 1, 0},
        {"7f", 1, 127},
        {"80", 0, 0},
        {"8001", 2, 128},
        {"ff7f", 2, 16383},
        {"808001", 3, 16384},
        {"ffff7f", 3, 2097151},
        {"80808001", 4, 2097152},
        {"ffffff7f", 4, MQTT_VARINT_MAX},
        {"ffffff", 0, 0},
        {"ffffffff", -1, 0},
        {"8080808001", -1, 0},
        {"8000", 2, 0}, /* longer than need be */
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        uint8_t *copy = copy_of(b.p, b.n), out[4];
        uint32_t v = 0;

        assert_int_equal(mqtt_varint_decode(copy, b.n, &v), cases[i].size);
        if (cases[i].size > 0)
            assert_int_equal(v, cases[i].value);
        if (cases[i].size > 0 && cases[i].value > 0) {
            assert_int_equal(mqtt_varint_encode(out, v), b.n);
            assert_memory_equal(out, b.p, b.n);
            assert_int_equal(mqtt_varint_size(v), b.n);
        }
        free(copy);
    }
}

static void test_fields_do_not_pass_the_end(void **state)
{
    struct bytes b = hex("00 03 61 62");
    struct mqtt_in in = {b.p, b.p + b.n, false};
    (void)state;

    assert_int_equal(mqtt_string(&in).n, 0);
    assert_true(in.cut);
    assert_ptr_equal(in.p, in.end);
    assert_int_equal(mqtt_u32(&in), 0);

    in = mqtt_in_of((struct text){NULL, 0});
    assert_int_equal(mqtt_u8(&in), 0);
    assert_true(in.cut);
}

static void test_strings(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        bool valid;
    } cases[] = {
        {"", 0, true},         {"plain", 5, true},
        {"\xc3\xa9", 2, true}, {"a\0b", 3, false},
        {"\xc3", 1, false},    {"\xed\xa0\x80", 3, false},
        {"\xff", 1, false},    {"\xf0\x9f\x98\x80", 4, true},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct text t = {cases[i].text, cases[i].n};
        assert_int_equal(mqtt_string_valid(t), cases[i].valid);
    }
}

/* ---- the reader ------------------------------------------------------------
 */

struct feed {
    uint16_t want;
    uint8_t version;
    bool from_client, step;
    uint32_t max_head, max_packet;
};

static const struct feed client_4 = {UINT16_MAX, MQTT_3_1_1, true, false, 0, 0};
static const struct feed client_5 = {UINT16_MAX, MQTT_5, true, false, 0, 0};

static void reader_set(struct mqtt_reader *r, const struct feed *f)
{
    mqtt_reader_init(r, f->from_client, f->want);
    r->version = f->version;
    r->step = f->step;
    if (f->max_head)
        r->max_head = f->max_head;
    if (f->max_packet)
        r->max_packet = f->max_packet;
}

static struct mqtt_trace trace_steps(const struct feed *f, const uint8_t *p,
                                     size_t n, size_t step)
{
    struct mqtt_trace t = {0};
    struct mqtt_reader r;

    reader_set(&r, f);
    for (size_t at = 0; at < n; at += step)
        mqtt_trace_feed(&t, &r, p + at, min_size(step, n - at), NULL);
    mqtt_reader_fini(&r);
    return t;
}

static struct mqtt_trace trace_cuts(const struct feed *f, const uint8_t *p,
                                    size_t n, struct rng *rng)
{
    struct mqtt_trace t = {0};
    struct mqtt_reader r;

    reader_set(&r, f);
    for (size_t at = 0, step; at < n; at += step) {
        step = min_size(1 + rng_below(rng, 12), n - at);
        mqtt_trace_feed(&t, &r, p + at, step, NULL);
    }
    mqtt_reader_fini(&r);
    return t;
}

/* However the input is cut, the same is told. Returns what. */
static struct mqtt_trace trace(const struct feed *f, const uint8_t *p, size_t n)
{
    struct mqtt_trace whole = trace_steps(f, p, n, n + 1);

    for (size_t step = 1; step <= 9; step++) {
        struct mqtt_trace t = trace_steps(f, p, n, step);
        assert_true(mqtt_trace_equal(&whole, &t));
        free(t.p);
    }
    for (uint32_t seed = 0; seed < 20; seed++) {
        struct rng rng = rng_of(seed);
        struct mqtt_trace t = trace_cuts(f, p, n, &rng);
        assert_true(mqtt_trace_equal(&whole, &t));
        free(t.p);
    }
    return whole;
}

/* The kinds of the records: h head, p payload, b bytes that pass, f fault. */
static const char *kinds(const struct mqtt_trace *t, char out[64])
{
    size_t n = 0;

    for (size_t at = 0; at < t->n;) {
        char kind = (char)t->p[at];
        size_t size;

        memcpy(&size, t->p + at + 1, sizeof size);
        out[n++] = kind;
        at += 1 + sizeof size;
        if (kind == 'f')
            break;
        at += size + (kind == 'h' ? sizeof(uint32_t) : 0);
    }
    out[n] = '\0';
    return out;
}

static void test_events(void **state)
{
    static const struct feed down_none = {0, MQTT_5, false, false, 0, 0};
    static const struct feed down_suback = {
        MQTT_BIT(MQTT_SUBACK), MQTT_5, false, false, 0, 0};
    static const struct {
        const struct feed *feed;
        const char *wire, *want;
    } cases[] = {
        {&client_4, PINGREQ, "h"},
        {&client_4, PUBLISH_311, "hp"},
        {&client_4, PUBLISH_Q1 PINGREQ PUBACK, "hphh"},
        {&client_4, PUBLISH_311 PUBLISH_311 SUBSCRIBE_311, "hphph"},
        {&client_4, "30 05 00 03 61 2f 62" PINGREQ, "hh"}, /* no payload */
        {&client_4, "30 07 00 03 61 2f", ""},              /* cut */
        {&client_5, PUBLISH_5 PUBLISH_5, "hphp"},
        {&client_5, "f0 00", "h"}, /* AUTH */
        {&client_4, "f0 00", "f"}, /* MQTT 5 only */
        {&client_4, "20 02 00 00", "f"},
        {&client_4, "10 00", "f"}, /* a second CONNECT */
        {&client_4, "36 07", "f"}, /* QoS 3 */
        {&client_4, "38 07", "f"}, /* QoS 0, repeated */
        {&client_4, "80 08", "f"}, /* SUBSCRIBE's flags are 2 */
        {&client_4, "8a 08", "f"}, /* repeated: MQTT 3.1 only */
        {&client_4, "c1 00", "f"},
        {&client_4, "c0 01 00", "f"},
        {&client_4, "40 03 00 07 00", "f"},
        {&client_5, "40 03 00 07 00", "h"},
        {&client_4, "30 ff ff ff ff", "f"},
        {&client_4, "30 01", "f"},
        {&client_4, "30 04 00 03 61 2f", "f"},    /* topic past the packet */
        {&client_4, "32 05 00 03 61 2f 62", "f"}, /* no identifier */
        {&client_5, "30 05 00 03 61 2f 62" PINGREQ, "f"}, /* no properties */
        {&client_5, "30 07 00 03 61 2f 62 02 23", "f"},
        {&client_5, "30 06 00 03 61 2f 62 80", "f"},
        {&down_none, PUBLISH_5 "90 03 00 01 00" PUBLISH_5, "b"},
        {&down_suback, PUBLISH_5 "90 03 00 01 00" PUBLISH_5, "bhb"},
        {&down_suback, "90 03 00 01 00 90 03 00 02 00", "hh"},
        {&down_none, "30 ff ff ff ff", "f"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        char out[64];
        struct bytes b = hex(cases[i].wire);
        struct mqtt_trace t = trace(cases[i].feed, b.p, b.n);
        if (strchr(cases[i].want, 'f')) /* some bytes may have passed */
            assert_true(t.faulted);
        else
            assert_string_equal(kinds(&t, out), cases[i].want);
        free(t.p);
    }
}

static void test_versions_and_first_packet(void **state)
{
    static const struct feed new_client = {UINT16_MAX, 0, true, false, 0, 0};
    static const struct feed client_3 = {UINT16_MAX, MQTT_3_1, true,
                                         false,      0,        0};
    struct bytes b = hex(PINGREQ), dup = hex("8a 08 00 01 00 03 61 2f 23 01");
    struct mqtt_trace t = trace(&new_client, b.p, b.n);
    char out[64];
    (void)state;

    assert_true(t.faulted);
    free(t.p);
    t = trace(&client_3, dup.p, dup.n);
    assert_string_equal(kinds(&t, out), "h");
    free(t.p);
}

static void test_too_large_is_told_before_it_is_kept(void **state)
{
    static const struct feed limited = {UINT16_MAX, MQTT_3_1_1, true,
                                        false,      1000,       5000};
    static const struct {
        const char *wire;
        int reason; /* 0: none */
    } cases[] = {
        {"82 e8 07", 0}, /* 1000 */
        {"82 e9 07", MQTT_PACKET_TOO_LARGE},
        {"30 88 27", 0}, /* 5000 */
        {"30 89 27", MQTT_PACKET_TOO_LARGE},
        {"30 88 27 03 e6", 0}, /* 2 + 998 */
        {"30 88 27 03 e7", MQTT_PACKET_TOO_LARGE},
        {"32 88 27 03 e5", MQTT_PACKET_TOO_LARGE}, /* and an identifier */
        {"82 ff ff ff 7f", MQTT_PACKET_TOO_LARGE},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        struct mqtt_reader r;
        struct mqtt_event ev;
        const uint8_t *in = b.p;
        enum mqtt_got got;

        reader_set(&r, &limited);
        got = mqtt_reader_next(&r, &in, b.p + b.n, &ev);
        if (cases[i].reason) {
            assert_int_equal(got, MQTT_GOT_FAULT);
            assert_int_equal(ev.fault->reason, cases[i].reason);
        } else {
            assert_int_equal(got, MQTT_GOT_MORE);
            assert_true(r.kept_cap <= 4096);
        }
        mqtt_reader_fini(&r);
    }
}

static void test_room_grows_with_what_came(void **state)
{
    struct bytes b = hex("82 80 80 10"); /* 256 KiB are announced */
    uint8_t more[1000] = {0};
    struct mqtt_reader r;
    struct mqtt_trace t = {0};
    (void)state;

    reader_set(&r, &client_4);
    mqtt_trace_feed(&t, &r, b.p, b.n, NULL);
    for (int i = 0; i < 10; i++) {
        mqtt_trace_feed(&t, &r, more, sizeof more, NULL);
        assert_true(r.kept_cap <= 2 * r.kept_n + 4096);
    }
    assert_int_equal(t.n, 0);
    mqtt_reader_fini(&r);
}

static void test_whole_heads_are_not_copied(void **state)
{
    struct bytes b = hex(SUBSCRIBE_311 PUBLISH_Q1);
    const uint8_t *in = b.p, *end = b.p + b.n;
    struct mqtt_reader r;
    struct mqtt_event ev;
    (void)state;

    reader_set(&r, &client_4);
    assert_int_equal(mqtt_reader_next(&r, &in, end, &ev), MQTT_GOT_HEAD);
    assert_ptr_equal(ev.p, b.p);
    assert_int_equal(ev.n, 10);
    assert_int_equal(ev.fixed, 2);
    assert_true(mqtt_reader_between(&r));
    assert_int_equal(mqtt_reader_next(&r, &in, end, &ev), MQTT_GOT_HEAD);
    assert_ptr_equal(ev.p, b.p + 10);
    assert_int_equal(ev.n, 9);
    assert_int_equal(ev.rest, 2);
    assert_false(mqtt_reader_between(&r));
    assert_int_equal(mqtt_reader_next(&r, &in, end, &ev), MQTT_GOT_BYTES);
    assert_int_equal(ev.n, 2);
    assert_true(ev.payload);
    assert_true(mqtt_reader_between(&r));
    assert_int_equal(mqtt_reader_next(&r, &in, end, &ev), MQTT_GOT_MORE);
    assert_null(r.kept);
}

static void test_steps_end_between_packets(void **state)
{
    static const struct feed steps = {0, MQTT_5, false, true, 0, 0};
    struct bytes b = hex("d0 00" PUBLISH_5 "d0 00");
    const uint8_t *in = b.p, *end = b.p + b.n;
    const size_t sizes[] = {2, 13, 2};
    struct mqtt_reader r;
    struct mqtt_event ev;
    (void)state;

    reader_set(&r, &steps);
    for (size_t i = 0; i < LEN(sizes); i++) {
        assert_int_equal(mqtt_reader_next(&r, &in, end, &ev), MQTT_GOT_BYTES);
        assert_int_equal(ev.n, sizes[i]);
        assert_true(mqtt_reader_between(&r));
    }
    assert_int_equal(mqtt_reader_next(&r, &in, end, &ev), MQTT_GOT_MORE);
}

#define PUBLISH_5_Q1 "32 0b 00 01 78 00 09 00 61 62 63 64 65"
#define SUBSCRIBE_5  "82 09 00 01 00 00 03 61 2f 23 01"

static void test_random_streams(void **state)
{
    static const char *const packets[] = {
        PUBLISH_5, PUBLISH_5_Q1,        SUBSCRIBE_5,
        PINGREQ,   "40 04 00 07 10 00", "f0 00",
    };
    (void)state;

    for (uint32_t seed = 0; seed < 200; seed++) {
        struct rng rng = rng_of(seed);
        struct feed f = client_5;
        uint8_t stream[2048];
        size_t n = 0;

        while (n < 1024) {
            struct bytes b = hex(packets[rng_below(&rng, LEN(packets))]);
            memcpy(stream + n, b.p, b.n);
            n += b.n;
        }
        if (seed % 2) /* something is wrong with it */
            stream[rng_below(&rng, n)] ^= (uint8_t)(1 << rng_below(&rng, 8));
        if (seed % 3 == 0) {
            f.want = (uint16_t)rng_next(&rng);
            f.from_client = false;
        }
        struct mqtt_trace t = trace(&f, stream, n - rng_below(&rng, 5));
        free(t.p);
    }
}

/* ---- single packets --------------------------------------------------------
 */

/* The head of a packet that lies whole at b. */
static struct mqtt_event head_of(const struct bytes *b, uint8_t version,
                                 const struct mqtt_fault **fault)
{
    struct feed f = {UINT16_MAX, version, true, false, 0, 0};
    const uint8_t *in = b->p;
    struct mqtt_reader r;
    struct mqtt_event ev = {0};

    reader_set(&r, &f);
    enum mqtt_got got = mqtt_reader_next(&r, &in, b->p + b->n, &ev);
    assert_true(got == MQTT_GOT_HEAD || got == MQTT_GOT_FAULT);
    *fault = got == MQTT_GOT_FAULT ? ev.fault : NULL;
    return ev;
}

static void test_publish(void **state)
{
    static const struct {
        const char *wire;
        uint8_t version;
        int reason;
        const char *topic;
        uint8_t qos;
        uint16_t id, alias;
    } cases[] = {
        {PUBLISH_311, 4, 0, "a/b", 0, 0, 0},
        {PUBLISH_Q1, 4, 0, "a/b", 1, 7, 0},
        {"3d 07 00 03 61 2f 62 00 07", 4, 0, "a/b", 2, 7, 0},
        {PUBLISH_5, 5, 0, "a/b", 0, 0, 1},
        {"30 06 00 00 03 23 00 09", 5, 0, "", 0, 0, 9},
        {"30 02 00 00", 4, MQTT_TOPIC_NAME_INVALID, "", 0, 0, 0},
        {"30 03 00 00 00", 5, MQTT_TOPIC_NAME_INVALID, "", 0, 0, 0},
        {"30 06 00 00 03 23 00 00", 5, MQTT_TOPIC_ALIAS_INVALID, "", 0, 0, 0},
        {"32 05 00 01 61 00 00", 4, MQTT_MALFORMED, "", 0, 0, 0},
        /* properties: unknown, twice, of another packet, cut */
        {"30 06 00 01 61 02 7e 00", 5, MQTT_MALFORMED, "", 0, 0, 0},
        {"30 08 00 01 61 04 01 01 01 00", 5, MQTT_PROTOCOL_ERROR, "", 0, 0, 0},
        {"30 09 00 01 61 05 11 00 00 00 01", 5, MQTT_MALFORMED, "", 0, 0, 0},
        {"30 06 00 01 61 02 02 00", 5, MQTT_MALFORMED, "", 0, 0, 0},
        {"30 06 00 01 61 02 01 02", 5, MQTT_PROTOCOL_ERROR, "", 0, 0, 0},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        const struct mqtt_fault *fault;
        struct mqtt_publish pub;
        struct mqtt_event ev = head_of(&b, cases[i].version, &fault);

        if (!fault)
            fault = mqtt_publish_parse(&pub, &ev, cases[i].version);
        assert_int_equal(fault ? (int)fault->reason : 0, cases[i].reason);
        if (fault)
            continue;
        assert_int_equal(pub.topic.n, strlen(cases[i].topic));
        assert_memory_equal(pub.topic.p, cases[i].topic, pub.topic.n);
        assert_int_equal(pub.qos, cases[i].qos);
        assert_int_equal(pub.id, cases[i].id);
        assert_int_equal(pub.alias, cases[i].alias);
        assert_int_equal(pub.dup, (ev.flags & 8) != 0);
        assert_int_equal(pub.retain, (ev.flags & 1) != 0);
    }
}

static void test_small_packets(void **state)
{
    static const struct {
        const char *wire;
        uint8_t version;
        bool ok;
    } cases[] = {
        {PUBACK, 4, true},
        {PUBACK, 5, true},
        {"40 02 00 00", 4, false},
        {"62 02 00 01", 4, true},
        {"40 03 00 01 10", 5, true},
        {"40 04 00 01 10 00", 5, true},
        {"40 05 00 01 10 00 00", 5, false},
        {"40 09 00 01 10 05 1f 00 02 6f 6b", 5, true}, /* reason string */
        {"40 09 00 01 10 05 1f 00 02 c3 28", 5, false},
        {"40 0a 00 01 10 06 26 00 01 61 00 00", 5, true}, /* user property */
        {PINGREQ, 5, true},
        {"c0 01 00", 5, false},
        {"e0 00", 4, true},
        {"e0 00", 5, true},
        {"e0 01 04", 5, true},
        {"e0 07 00 05 11 00 00 00 10", 5, true},
        {"e0 07 00 05 02 00 00 00 10", 5, false},
        {"f0 02 18 00", 5, true},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        const struct mqtt_fault *fault;
        struct mqtt_event ev = head_of(&b, cases[i].version, &fault);

        if (!fault)
            fault = mqtt_small_check(&ev, cases[i].version);
        assert_int_equal(fault == NULL, cases[i].ok);
    }
}

static void test_answers(void **state)
{
    uint8_t out[MQTT_SMALL_MAX];
    struct bytes b = hex("50 03 01 02 87");
    (void)state;

    assert_int_equal(mqtt_small(out, MQTT_PUBREC, MQTT_5, 0x102, 0x87), 5);
    assert_memory_equal(out, b.p, 5);
    b = hex("40 02 01 02");
    assert_int_equal(mqtt_small(out, MQTT_PUBACK, MQTT_3_1_1, 0x102, 0x87), 4);
    assert_memory_equal(out, b.p, 4);
    assert_int_equal(mqtt_small(out, MQTT_PUBACK, MQTT_5, 0x102, 0), 4);
    assert_memory_equal(out, b.p, 4);
    b = hex("e0 01 94");
    assert_int_equal(mqtt_disconnect(out, 0x94), 3);
    assert_memory_equal(out, b.p, 3);
}

static void test_aliases(void **state)
{
    struct mqtt_aliases a = {0};
    (void)state;

    assert_int_equal(mqtt_alias_get(&a, 1), MQTT_UNKNOWN);
    assert_true(mqtt_alias_set(&a, 1, MQTT_ALLOWED));
    assert_true(mqtt_alias_set(&a, 3, MQTT_DENIED));
    assert_true(mqtt_alias_set(&a, UINT16_MAX, MQTT_DENIED));
    assert_int_equal(mqtt_alias_get(&a, 0), MQTT_UNKNOWN);
    assert_int_equal(mqtt_alias_get(&a, 1), MQTT_ALLOWED);
    assert_int_equal(mqtt_alias_get(&a, 2), MQTT_UNKNOWN);
    assert_int_equal(mqtt_alias_get(&a, 3), MQTT_DENIED);
    assert_int_equal(mqtt_alias_get(&a, UINT16_MAX), MQTT_DENIED);
    assert_int_equal(mqtt_alias_get(&a, UINT16_MAX - 1), MQTT_UNKNOWN);
    assert_true(mqtt_alias_set(&a, 1, MQTT_DENIED));
    assert_int_equal(mqtt_alias_get(&a, 1), MQTT_DENIED);
    mqtt_aliases_fini(&a);
    assert_int_equal(mqtt_alias_get(&a, 1), MQTT_UNKNOWN);
}

/* ---- subscriptions ---------------------------------------------------------
 */

static void test_subscribe_faults(void **state)
{
    static const struct {
        const char *wire;
        uint8_t version;
        int reason;
        size_t n;
    } cases[] = {
        {SUBSCRIBE_311, 4, 0, 1},
        {"82 0d 00 01 00 03 61 2f 23 01 00 02 61 62 00", 4, 0, 2},
        {"82 09 00 01 00 00 03 61 2f 23 2e", 5, 0, 1},
        {"82 0b 00 01 02 0b 05 00 03 61 2f 23 00", 5, 0, 1},
        {"82 08 00 00 00 03 61 2f 23 01", 4, MQTT_MALFORMED, 0}, /* id 0 */
        {"82 08 00 01 00 03 61 2f 23 03", 4, MQTT_MALFORMED, 0}, /* QoS 3 */
        {"82 08 00 01 00 03 61 2f 23 04", 4, MQTT_MALFORMED, 0},
        {"82 09 00 01 00 00 03 61 2f 23 30", 5, MQTT_MALFORMED, 0},
        {"82 09 00 01 00 00 03 61 2f 23 40", 5, MQTT_MALFORMED, 0},
        {"82 07 00 01 00 03 61 2f 23", 4, MQTT_MALFORMED, 0}, /* no options */
        {"82 08 00 01 00 04 61 2f 23 01", 4, MQTT_MALFORMED, 0},
        {"82 08 00 01 00 03 61 ff 23 01", 4, MQTT_MALFORMED, 0},
        {"82 06 00 01 00 00 05 00", 5, MQTT_MALFORMED, 0},
        {"82 0b 00 01 02 0b 00 00 03 61 2f 23 00", 5, MQTT_PROTOCOL_ERROR, 0},
        {"82 0f 00 01 00 00 09 24 73 68 61 72 65 2f 67 2f 04", 5,
         MQTT_PROTOCOL_ERROR, 0}, /* shared, No Local */
        {"a2 07 00 01 00 03 61 2f 23", 4, 0, 1},
        {"a2 08 00 01 00 00 03 61 2f 23", 5, 0, 1},
        {"a2 06 00 01 00 03 61 2f", 4, MQTT_MALFORMED, 0},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        const struct mqtt_fault *fault;
        struct mqtt_subscribe s;
        struct mqtt_event ev = head_of(&b, cases[i].version, &fault);

        assert_null(fault);
        fault = mqtt_subscribe_parse(&s, &ev, cases[i].version);
        assert_int_equal(fault ? (int)fault->reason : 0, cases[i].reason);
        if (!fault)
            assert_int_equal(s.n, cases[i].n);
    }
}

static void test_subscribe_in_part(void **state)
{
    /* Identifier 258, a subscription identifier, filters a, b, c. */
    struct bytes b = hex("82 11 01 02 02 0b 05 00 01 61 00 00 01 62 01 00 01 "
                         "63 02");
    struct bytes want = hex("82 0d 01 02 02 0b 05 00 01 61 00 00 01 63 02");
    const uint8_t codes[] = {MQTT_ASK_BROKER, 0x87, MQTT_ASK_BROKER};
    const struct mqtt_fault *fault;
    struct mqtt_subscribe s;
    struct mqtt_event ev = head_of(&b, MQTT_5, &fault);
    uint8_t out[64];
    (void)state;

    assert_null(mqtt_subscribe_parse(&s, &ev, MQTT_5));
    assert_int_equal(mqtt_subscribe_encode(&s, MQTT_5, codes, NULL), want.n);
    assert_int_equal(mqtt_subscribe_encode(&s, MQTT_5, codes, out), want.n);
    assert_memory_equal(out, want.p, want.n);
}

static void test_suback_merged(void **state)
{
    static const struct {
        const char *broker;
        uint8_t version;
        const char *want;
    } cases[] = {
        {"90 04 01 02 00 02", 4, "90 05 01 02 00 80 02"},
        {"90 05 01 02 00 01 02", 5, "90 06 01 02 00 01 80 02"},
        /* a reason string of the broker's stays */
        {"90 09 01 02 04 1f 00 01 78 00 02", 5,
         "90 0a 01 02 04 1f 00 01 78 00 80 02"},
        {"90 03 01 02 01", 4, "90 05 01 02 01 80 80"},       /* too few */
        {"90 05 01 02 00 01 02", 4, "90 05 01 02 00 80 01"}, /* too many */
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].broker), want = hex(cases[i].want);
        struct mqtt_event ev = {.p = b.p, .n = b.n, .fixed = 2};
        uint8_t codes[] = {MQTT_ASK_BROKER, 0x80, MQTT_ASK_BROKER}, out[64];
        struct mqtt_suback s;

        assert_null(mqtt_suback_parse(&s, &ev, cases[i].version));
        assert_int_equal(s.id, 0x102);
        mqtt_suback_merge(&s, codes, LEN(codes));
        size_t n = mqtt_suback_encode(s.id, cases[i].version, s.properties,
                                      codes, LEN(codes), NULL);
        assert_int_equal(n, want.n);
        assert_int_equal(mqtt_suback_encode(s.id, cases[i].version,
                                            s.properties, codes, LEN(codes),
                                            out),
                         want.n);
        assert_memory_equal(out, want.p, want.n);
    }
}

static void test_property_table(void **state)
{
    struct bytes b = hex("11 00 00 00 0a 26 00 01 6b 00 01 76 22 00 05");
    struct text block = {(const char *)b.p, b.n};
    uint8_t out[64];
    struct mqtt_out o = {out, 0};
    (void)state;

    assert_null(mqtt_properties_check(block, MQTT_CONNECT));
    assert_non_null(mqtt_properties_check(block, MQTT_WILL));
    assert_int_equal(mqtt_property_number(block, PROP_SESSION_EXPIRY, 7), 10);
    assert_int_equal(mqtt_property_number(block, PROP_TOPIC_ALIAS_MAX, 7), 5);
    assert_int_equal(mqtt_property_number(block, PROP_MAX_PACKET, 7), 7);
    mqtt_put_properties_but(&o, block, PROP_SESSION_EXPIRY);
    assert_int_equal(o.n, b.n - 5);
    assert_memory_equal(out, b.p + 5, o.n);
    for (size_t cut = 1; cut < b.n; cut++) {
        if (cut == 5 || cut == 12)
            continue; /* between two of them */
        char *copy = copy_of(b.p, cut);
        assert_non_null(
            mqtt_properties_check((struct text){copy, cut}, MQTT_CONNECT));
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varint),
        cmocka_unit_test(test_fields_do_not_pass_the_end),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_versions_and_first_packet),
        cmocka_unit_test(test_too_large_is_told_before_it_is_kept),
        cmocka_unit_test(test_room_grows_with_what_came),
        cmocka_unit_test(test_whole_heads_are_not_copied),
        cmocka_unit_test(test_steps_end_between_packets),
        cmocka_unit_test(test_random_streams),
        cmocka_unit_test(test_publish),
        cmocka_unit_test(test_small_packets),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_subscribe_faults),
        cmocka_unit_test(test_subscribe_in_part),
        cmocka_unit_test(test_suback_merged),
        cmocka_unit_test(test_property_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
