/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_plain.c - packets that pass without the reader: which, and that
 * what is remembered of topics and properties is never taken for another. */
#include "hex.h"
#include "plain_model.h"

#include "../../bridges/mqtt/topic.h"

#define OK_Q0    "30 08 00 04 6f6b2f61 6869" /* ok/a, "hi" */
#define OK_Q1    "32 0a 00 04 6f6b2f61 00 05 6869"
#define NO_Q0    "30 08 00 04 6e6f2f61 6869" /* no/a */
#define OK5_Q0   "30 09 00 04 6f6b2f61 00 6869"
#define OK5_Q1   "32 0b 00 04 6f6b2f61 00 05 00 6869"
#define PUBACK   "40 02 00 07"
#define ALIAS_1  "30 06 00 00 03 23 00 01" /* allowed */
#define ALIAS_2  "30 06 00 00 03 23 00 02" /* denied */
#define ALIAS_3  "30 06 00 00 03 23 00 03" /* unknown */
#define PINGREQ  "c0 00"
#define EXPIRY   "30 0e 00 04 6f6b2f61 05 02 00 00 00 3c 6869"
#define EXPIRY_2 "30 0e 00 04 6f6b2f61 05 02 00 00 00 3d 6869"
#define TWICE    "30 0f 00 04 6f6b2f61 04 01 00 01 00 68 69 6869"

static unsigned asked;

/* "ok/..." may pass. */
static bool ok_allowed(const struct grants *g, struct text topic)
{
    (void)g;
    asked++;
    return topic_name_valid(topic) && topic.n > 3 &&
           memcmp(topic.p, "ok/", 3) == 0;
}

/* Anything may. */
static bool all_allowed(const struct grants *g, struct text topic)
{
    (void)g, (void)topic;
    asked++;
    return true;
}

static struct mqtt_aliases aliases;

static struct plain plain_of(uint8_t version, bool from_client)
{
    return (struct plain){
        .version = version,
        .from_client = from_client,
        .max_packet = MQTT_VARINT_MAX,
        .aliases = &aliases,
        .allowed = ok_allowed,
    };
}

static int aliases_set(void **state)
{
    (void)state;
    return mqtt_alias_set(&aliases, 1, MQTT_ALLOWED) &&
                   mqtt_alias_set(&aliases, 2, MQTT_DENIED)
               ? 0
               : -1;
}

static int aliases_free(void **state)
{
    (void)state;
    mqtt_aliases_fini(&aliases);
    return 0;
}

/* ---- which ----------------------------------------------------------------
 */

static void test_which_pass(void **state)
{
    static const struct {
        const char *wire; /* the packets, and PINGREQ behind them */
        bool v5, broker;
        bool pass;
    } cases[] = {
        {OK_Q0, false, false, true},
        {OK_Q1 OK_Q0 OK_Q1, false, false, true},
        {"31 08 00 04 6f6b2f61 6869", false, false, true}, /* retained */
        {"3d 0a 00 04 6f6b2f61 00 05 6869", false, false, true},
        {"30 06 00 04 6f6b2f61", false, false, true}, /* no payload */
        {"30 86 00 00 04 6f6b2f61", false, false, true},
        {"30 86 80 00 00 04 6f6b2f61", false, false, false},
        {NO_Q0, false, false, false},
        {"38 08 00 04 6f6b2f61 6869", false, false, false}, /* repeated */
        {"38 08 00 04 6f6b2f61 6869", false, true, false},
        {"36 0a 00 04 6f6b2f61 00 05 6869", false, false, false}, /* QoS 3 */
        {"32 0a 00 04 6f6b2f61 00 00 6869", false, false, false}, /* no id */
        {"32 06 00 04 6f6b2f61", false, false, false},
        {"30 05 00 04 6f6b2f", false, false, false},
        {"30 08 00 04 6f6b2f2b 6869", false, false, false}, /* ok/+ */
        {"30 02 00 00", false, false, false},
        {"30 02 00 00", true, false, false},
        {"30 03 00 00 00", true, false, false},
        {"30 00", false, false, false},

        {OK5_Q0 OK5_Q1 OK5_Q0, true, false, true},
        {"30 06 00 04 6f6b2f61", true, false, false}, /* no properties */
        {"30 08 00 04 6f6b2f61 80 00", true, false, false},
        {"30 08 00 04 6f6b2f61 02 01", true, false, false}, /* cut */
        {EXPIRY EXPIRY_2, true, false, true},
        {TWICE, true, false, false},
        {"30 09 00 04 6f6b2f61 02 0b 01", true, false,
         false}, /* subscription */
        {"30 09 00 04 6f6b2f61 02 0b 01", true, true, true},
        {"30 0a 00 04 6f6b2f61 03 23 00 01", true, false, false}, /* sets it */
        {ALIAS_1 ALIAS_1, true, false, true},
        {ALIAS_1, true, true, true},
        {"32 08 00 00 00 05 03 23 00 01", true, false, true},
        {"30 05 00 00 03 23 00", true, false, false},
        {ALIAS_1, false, false, false},
        {ALIAS_2, true, false, false},
        {ALIAS_3, true, false, false},
        {"30 08 00 00 05 23 00 01 01 00", true, false, false},

        {PUBACK "50 02 00 07 62 02 00 07 70 02 00 07", false, false, true},
        {"40 02 00 00", false, false, false},
        {"41 02 00 07", false, false, false},
        {"60 02 00 07", false, true, false},
        {"6a 02 00 07", false, false, false},
        {"40 00", false, false, false},
        {"40 01 07", false, false, false},
        {"40 03 00 07 10", false, false, false},
        {"40 03 00 07 10 40 04 00 07 10 00", true, false, true},
        {"40 04 00 07 10 01", true, false, false},
        {"40 09 00 07 10 05 1f 00 02 61 62", true, false, false},
        {"80 02 00 07", false, true, false},
        {"20 02 00 00", false, true, false},
        {"c0 00 c0 00", false, false, false},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire), ping = hex(PINGREQ);
        struct plain s =
            plain_of(cases[i].v5 ? MQTT_5 : MQTT_3_1_1, !cases[i].broker);
        uint8_t *in = malloc(b.n + ping.n + 1);

        assert_non_null(in);
        memcpy(in, b.p, b.n);
        memcpy(in + b.n, ping.p, ping.n);
        in[b.n + ping.n] = 0xc0;
        s.input = in;
        print_message("%s\n", cases[i].wire);
        const uint8_t *end = plain_pass(&s, in, in, in + b.n + ping.n + 1);
        assert_int_equal(end - in, cases[i].pass ? b.n : 0);
        free(in);
    }
}

static void test_what_is_cut_does_not_pass(void **state)
{
    struct bytes b = hex(OK_Q0 OK_Q1 OK_Q0);
    (void)state;

    for (size_t n = 0; n <= b.n; n++) {
        uint8_t *in = copy_of(b.p, n);
        struct plain s = plain_of(MQTT_3_1_1, true);
        s.input = in;
        size_t want = n < 10 ? 0 : n < 22 ? 10 : n < 32 ? 22 : 32;
        assert_int_equal(plain_pass(&s, in, in, in + n) - in, want);
        free(in);
    }
}

static void test_large_ones_do_not_pass(void **state)
{
    struct bytes b = hex("30 09 00 04 6f6b2f61 686969");
    struct plain s = plain_of(MQTT_3_1_1, true);
    (void)state;

    s.input = b.p;
    s.max_packet = 8;
    assert_ptr_equal(plain_pass(&s, b.p, b.p, b.p + b.n), b.p);
    s.max_packet = 9;
    assert_ptr_equal(plain_pass(&s, b.p, b.p, b.p + b.n), b.p + b.n);
}

/* Nor those that take three bytes to tell their size. */
static void test_very_large_ones_do_not_pass(void **state)
{
    enum { LENGTH = 20000, SIZE = 4 + LENGTH };
    uint8_t *in = calloc(SIZE + 8, 1);
    struct plain s = plain_of(MQTT_3_1_1, true);
    (void)state;

    assert_non_null(in);
    in[0] = 0x30;
    assert_int_equal(mqtt_varint_encode(in + 1, LENGTH), 3);
    memcpy(in + 4, "\0\4ok/a", 6);
    s.input = in;
    s.allowed = all_allowed;
    assert_ptr_equal(plain_pass(&s, in, in, in + SIZE), in);
    /* 16383 takes two. */
    mqtt_varint_encode(in + 1, 16383);
    memcpy(in + 3, "\0\4ok/a", 6);
    assert_ptr_equal(plain_pass(&s, in, in, in + 3 + 16383), in + 3 + 16383);
    free(in);
}

/* The length of these properties takes two bytes. Who takes it for one byte,
 * and the other for an expiry, finds nothing wrong. */
static void test_many_properties_do_not_pass(void **state)
{
    struct bytes b = hex("30 8c 02 00 04 6f6b2f61 82 02 03 00 01 78");
    struct bytes user = hex("26 00 00 00 00"), last = hex("26 00 00 00 04 0000"
                                                          "0000 6869");
    struct plain s = plain_of(MQTT_5, true);
    (void)state;

    for (int i = 0; i < 49; i++, b.n += user.n)
        memcpy(b.p + b.n, user.p, user.n);
    memcpy(b.p + b.n, last.p, last.n);
    b.n += last.n;
    assert_int_equal(b.n, 3 + 0x10c);
    s.input = b.p;
    assert_ptr_equal(plain_pass(&s, b.p, b.p, b.p + b.n), b.p);
}

/* ---- what is remembered ---------------------------------------------------
 */

/* Put a PUBLISH of QoS 0 with no payload. */
static size_t put_publish(uint8_t *out, const char *topic, size_t n)
{
    size_t h = 0;

    out[h++] = 0x30;
    h += mqtt_varint_encode(out + h, (uint32_t)(2 + n));
    out[h++] = (uint8_t)(n >> 8);
    out[h++] = (uint8_t)n;
    memcpy(out + h, topic, n);
    return h + n;
}

/* One topic, it again, and one that differs in one bit of one byte: the second
 * is known, the third is not. At every alignment of each to each. */
static void test_one_byte_is_another_topic(void **state)
{
    enum { MOST = 100 };
    char topic[MOST], other[MOST];
    (void)state;

    for (size_t i = 0; i < MOST; i++)
        topic[i] = (char)('a' + i % 7);
    for (size_t n = 1; n <= MOST; n++) {
        for (size_t at = 0; at < n; at++) {
            uint8_t in[3 * (MOST + 4)], *copy;
            size_t once = put_publish(in, topic, n), size = once;

            memcpy(other, topic, n);
            other[at] ^= (char)(1 << at % 7);
            size += put_publish(in + size, topic, n);
            size += put_publish(in + size, other, n);
            copy = copy_of(in, size);
            struct plain s = plain_of(MQTT_3_1_1, true);
            s.input = copy;
            s.allowed = all_allowed;
            asked = 0;
            assert_ptr_equal(plain_pass(&s, copy, copy, copy + 2 * once),
                             copy + 2 * once);
            assert_int_equal(asked, 1);
            assert_ptr_equal(plain_pass(&s, copy, copy + 2 * once, copy + size),
                             copy + size);
            assert_int_equal(asked, 2);
            free(copy);
        }
    }
}

/* A topic is not the beginning of a longer one, nor the other way round. */
static void test_lengths_are_compared(void **state)
{
    char topic[300];
    (void)state;

    memset(topic, 'a', sizeof topic);
    for (size_t n = 1; n < sizeof topic; n++) {
        uint8_t in[3 * (sizeof topic + 5)];
        size_t size = put_publish(in, topic, n);
        struct plain s = plain_of(MQTT_3_1_1, true);

        size += put_publish(in + size, topic, n + 1);
        size += put_publish(in + size, topic, n);
        s.input = in;
        s.allowed = all_allowed;
        asked = 0;
        assert_ptr_equal(plain_pass(&s, in, in, in + size), in + size);
        assert_int_equal(asked, 2);
    }
}

static void test_many_topics(void **state)
{
    enum { TOPICS = 1000, MESSAGES = 3000 };
    uint8_t *in = malloc(MESSAGES * 32);
    struct rng rng = rng_of(7);
    (void)state;

    assert_non_null(in);
    for (size_t topics = 1; topics <= TOPICS; topics = 2 * topics + 1) {
        size_t size = 0;
        struct plain s = plain_of(MQTT_3_1_1, true);

        for (int i = 0; i < MESSAGES; i++) {
            char topic[32];
            int n = snprintf(topic, sizeof topic, "ok/room-%zu/x",
                             rng_below(&rng, topics));
            size += put_publish(in + size, topic, (size_t)n);
        }
        s.input = in;
        asked = 0;
        assert_ptr_equal(plain_pass(&s, in, in, in + size), in + size);
        if (topics <= 16) /* nearly never asked twice */
            assert_in_range(asked, topics, topics + topics / 4);
        else
            assert_in_range(asked, topics / 2, MESSAGES);
    }
    free(in);
}

/* "ok/0000" is looked at, and then its place says what is not allowed. Some of
 * so many belong where that one is remembered. */
static void test_what_has_changed_does_not_count(void **state)
{
    enum { SIZE = 4 + 7, TRIES = 2000 };
    (void)state;

    for (unsigned i = 0; i < TRIES; i++) {
        uint8_t in[2 * SIZE];
        char no[8];
        struct plain s = plain_of(MQTT_3_1_1, true);

        snprintf(no, sizeof no, "no/%04u", i);
        assert_int_equal(put_publish(in, "ok/0000", 7), SIZE);
        put_publish(in + SIZE, no, 7);
        s.input = in;
        assert_ptr_equal(plain_pass(&s, in, in, in + SIZE), in + SIZE);
        memcpy(in, in + SIZE, SIZE);
        assert_ptr_equal(plain_pass(&s, in + SIZE, in + SIZE, in + sizeof in),
                         in + SIZE);
    }
}

static void test_what_is_left_is_still_known(void **state)
{
    struct bytes b = hex(OK_Q0 OK_Q0 OK_Q0);
    struct plain s = plain_of(MQTT_3_1_1, true);
    (void)state;

    s.input = b.p;
    asked = 0;
    assert_ptr_equal(plain_pass(&s, b.p, b.p, b.p + 10), b.p + 10);
    assert_ptr_equal(plain_pass(&s, b.p + 10, b.p + 10, b.p + 20), b.p + 20);
    assert_int_equal(asked, 2);
    assert_ptr_equal(plain_pass(&s, b.p + 10, b.p + 20, b.p + 30), b.p + 30);
    assert_int_equal(asked, 2);
}

/* The same of properties: a block that is remembered becomes a bad one. */
static void test_properties_that_have_changed(void **state)
{
    struct bytes b = hex(EXPIRY EXPIRY), bad = hex(TWICE);
    struct plain s = plain_of(MQTT_5, true);
    uint8_t in[64];
    (void)state;

    memcpy(in, b.p, 16);
    memcpy(in + 16, bad.p, bad.n);
    s.input = in;
    assert_ptr_equal(plain_pass(&s, in, in, in + 16), in + 16);
    memcpy(in, bad.p, 16);
    assert_ptr_equal(plain_pass(&s, in + 16, in + 16, in + 16 + bad.n),
                     in + 16);
}

/* ---- against the reader ---------------------------------------------------
 */

static void test_random_streams(void **state)
{
    static const char *const of_3[] = {
        OK_Q0,
        OK_Q1,
        NO_Q0,
        PUBACK,
        PINGREQ,
        "62 02 00 07",
        "30 86 00 00 04 6f6b2f61",
        "34 1f 00 15 6f6b2f72 6f6f6d2d 312f7465 6d706572 61747572 65 0009 "
        "313233 3435"
        "3637",
    };
    static const char *const of_5[] = {
        OK5_Q0,
        OK5_Q1,
        EXPIRY,
        EXPIRY_2,
        ALIAS_1,
        PUBACK,
        PINGREQ,
        ALIAS_2,
        "40 04 00 07 10 00",
        "30 09 00 04 6f6b2f61 02 0b 01",
        "30 0a 00 04 6f6b2f61 03 23 00 01",
    };
    size_t plain = 0, all = 0;
    (void)state;

    for (uint32_t seed = 0; seed < 4000; seed++) {
        struct rng rng = rng_of(seed);
        bool v5 = seed & 1;
        struct plain c = plain_of(v5 ? MQTT_5 : MQTT_3_1_1, seed & 2);
        uint8_t stream[600];
        size_t n = 0;

        while (n < 500) {
            struct bytes b = hex(v5 ? of_5[rng_below(&rng, LEN(of_5))]
                                    : of_3[rng_below(&rng, LEN(of_3))]);
            memcpy(stream + n, b.p, b.n);
            if (b.p[0] >> 4 == MQTT_PUBLISH && rng_below(&rng, 2))
                stream[n + b.n - 1 - rng_below(&rng, b.n - 3)] ^=
                    (uint8_t)(1 << rng_below(&rng, 8));
            n += b.n;
        }
        if (seed % 5 == 0)
            stream[rng_below(&rng, n)] ^= (uint8_t)(1 << rng_below(&rng, 8));
        c.allowed = model_allowed;
        c.max_packet = seed % 7 ? MQTT_VARINT_MAX : 12;
        n -= rng_below(&rng, 12);
        plain += model_compare(&c, stream, n, seed & 4);
        all += n;
    }
    assert_in_range(plain, all / 8, all - all / 8);
}

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* A packet of a turn: topics of many lengths, all qualities of service, with
 * and without properties, payload of least..most bytes. */
static size_t put_of_turn(uint8_t *out, struct rng *rng, unsigned kind, bool v5,
                          size_t least, size_t most)
{
    static const char *const topics[] = {
        "a",
        "ok/b",
        "ok/room/1",
        "ok/rooms/10",
        "ok/rooms/100",
        "ok/rooms/1000",
        "ok/rooms/1000/temp",
        "ok/rooms/1000/temperature",
        "ok/buildings/north/floors/12/rooms/1000/temperature",
        "ok/buildings/north/floors/12/rooms/1000/sensors/17/temperature",
        "ok/" HUNDRED HUNDRED HUNDRED "a",
        "ok/" HUNDRED HUNDRED HUNDRED "b",
        "ok/" HUNDRED HUNDRED HUNDRED "c",
        "ok/" HUNDRED HUNDRED HUNDRED "d"};
    const char *topic = topics[kind % LEN(topics)];
    const unsigned qos = kind / 16 % 3;
    size_t payload = least + rng_below(rng, most - least + 1), h = 0;
    size_t properties = v5 && kind % 7 == 0 ? 2 : 0;
    size_t length =
        2 + strlen(topic) + (qos ? 2 : 0) + (v5 ? 1 + properties : 0) + payload;

    out[h++] = (uint8_t)(0x30U | qos << 1 | (kind & 1));
    h += mqtt_varint_encode(out + h, (uint32_t)length);
    out[h++] = (uint8_t)(strlen(topic) >> 8);
    out[h++] = (uint8_t)strlen(topic);
    memcpy(out + h, topic, strlen(topic));
    h += strlen(topic);
    if (qos) {
        out[h++] = rng_below(rng, 20) > 0;
        out[h++] = (uint8_t)rng_below(rng, 4);
    }
    if (v5) {
        out[h++] = (uint8_t)properties;
        memcpy(out + h, rng_below(rng, 10) ? "\1\1" : "\1\2", properties);
        h += properties;
    }
    memset(out + h, 'x', payload);
    return h + payload;
}

/* The same kinds of packets in turn, now and then another one between them or
 * a bit that is not what it was. */
static void test_packets_in_turn(void **state)
{
    enum { SIZE = 10000, PACKET = 600, KINDS = 12 };
    uint8_t *stream = malloc(SIZE + PACKET);
    size_t plain = 0, all = 0;
    (void)state;

    assert_non_null(stream);
    for (uint32_t seed = 0; seed < 3000; seed++) {
        struct rng rng = rng_of(seed);
        const bool v5 = seed & 1;
        struct plain c = plain_of(v5 ? MQTT_5 : MQTT_3_1_1, seed & 2);
        unsigned kinds[KINDS];
        size_t turn = 1 + rng_below(&rng, KINDS), n = 0;
        size_t least = seed % 4 == 3 ? 128 : 0;
        size_t most = seed % 3 && !least ? 20 : 150, flips = rng_below(&rng, 6);

        for (size_t i = 0; i < turn; i++)
            kinds[i] = rng_next(&rng) % 64;
        for (size_t i = 0; n < SIZE; i++) {
            unsigned kind = kinds[i % turn];
            if (rng_below(&rng, 40) == 0)
                kind = rng_next(&rng) % 64;
            if (rng_below(&rng, 60) == 0) {
                memcpy(stream + n, "\x40\2\0\7", 4);
                n += 4;
            }
            size_t at = n;
            n += put_of_turn(stream + n, &rng, kind, v5, least, most);
            if (rng_below(&rng, 50) == 0)
                stream[at + rng_below(&rng, 2)] ^=
                    (uint8_t)(1 << rng_below(&rng, 8));
        }
        n -= rng_below(&rng, 100);
        for (size_t i = 0; i < flips; i++)
            stream[rng_below(&rng, n)] ^= (uint8_t)(1 << rng_below(&rng, 8));
        c.allowed = model_allowed;
        c.max_packet = seed % 11 ? MQTT_VARINT_MAX : seed % 2 ? 70 : 170;
        plain += model_compare(&c, stream, n, seed & 4);
        all += n;
    }
    free(stream);
    assert_in_range(plain, all / 4, all);
}

/* Behind packets of more than 127 bytes one of less, that has no topic but
 * looks as if it had theirs, if its length is taken for two bytes. */
static void test_another_form_is_not_like(void **state)
{
    enum { LENGTH = 140, SIZE = 3 + LENGTH };
    static const uint8_t large[] = {0x30, LENGTH | 0x80, 1,   0,   4,
                                    'o',  'k',           '/', 'a', 0};
    uint8_t in[5 * SIZE] = {0};
    (void)state;

    for (int v5 = 0; v5 < 2; v5++) {
        struct plain s = plain_of(v5 ? MQTT_5 : MQTT_3_1_1, true);

        for (int i = 0; i < 5; i++)
            memcpy(in + i * SIZE, large, sizeof large);
        in[3 * SIZE + 1] = 100;
        in[3 * SIZE + 2] = 0;
        s.input = in;
        assert_ptr_equal(plain_pass(&s, in, in, in + sizeof in), in + 3 * SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_pass),
        cmocka_unit_test(test_what_is_cut_does_not_pass),
        cmocka_unit_test(test_large_ones_do_not_pass),
        cmocka_unit_test(test_very_large_ones_do_not_pass),
        cmocka_unit_test(test_many_properties_do_not_pass),
        cmocka_unit_test(test_one_byte_is_another_topic),
        cmocka_unit_test(test_lengths_are_compared),
        cmocka_unit_test(test_many_topics),
        cmocka_unit_test(test_what_has_changed_does_not_count),
        cmocka_unit_test(test_what_is_left_is_still_known),
        cmocka_unit_test(test_properties_that_have_changed),
        cmocka_unit_test(test_random_streams),
        cmocka_unit_test(test_packets_in_turn),
        cmocka_unit_test(test_another_form_is_not_like),
    };
    return cmocka_run_group_tests(tests, aliases_set, aliases_free);
}
