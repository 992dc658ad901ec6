/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_connect.c - CONNECT, CONNACK and DISCONNECT, taken apart, changed
 * and put together again. */
#include "hex.h"

#include "../../bridges/mqtt/connect.h"

/* "MQTT", level 4, clean session, keepalive 60, client id "c1" */
#define PLAIN_4 "10 0e 00 04 4d515454 04 02 00 3c 00 02 6331"
/* the same of 3.1 and of 5.0 */
#define PLAIN_3 "10 10 00 06 4d5149736470 03 02 00 3c 00 02 6331"
#define PLAIN_5 "10 0f 00 04 4d515454 05 02 00 3c 00 00 02 6331"
/* will w/t "bye" QoS 1 retained, user "u", password "pw" */
#define FULL_4                                                                 \
    "10 1f 00 04 4d515454 04 ee 00 3c 00 02 6331 00 03 772f74 00 03 627965 "   \
    "00 01 75 00 02 7077"
/* session expiry 3600, receive maximum 10, a user property; will delay 5 */
#define FULL_5                                                                 \
    "10 35 00 04 4d515454 05 ee 00 3c 0f 21 00 0a 26 00 01 6b 00 01 76 11 00 " \
    "00 0e 10 00 02 6331 05 18 00 00 00 05 00 03 772f74 00 03 627965 00 01 "   \
    "75 00 02 7077"

/* A head as the reader would tell it, of bytes that end where it does. */
static struct mqtt_event head_of(const uint8_t *p, size_t n)
{
    uint32_t length;
    int size = mqtt_varint_decode(p + 1, n - 1, &length);

    assert_true(size > 0);
    return (struct mqtt_event){
        .p = p,
        .n = n,
        .type = (enum mqtt_type)(p[0] >> 4),
        .flags = p[0] & 0xf,
        .fixed = (uint8_t)(1 + size),
    };
}

static const struct mqtt_fault *parse(struct mqtt_connect *c,
                                      const struct bytes *b)
{
    struct mqtt_event ev = head_of(b->p, b->n);

    assert_int_equal(b->n - ev.fixed, b->p[1]); /* the test's own sums */
    return mqtt_connect_parse(c, &ev);
}

#define assert_text(t, want)                                                   \
    do {                                                                       \
        assert_int_equal((t).n, strlen(want));                                 \
        assert_memory_equal((t).p, want, (t).n);                               \
    } while (0)

static void test_plain(void **state)
{
    static const struct {
        const char *wire;
        uint8_t version;
    } cases[] = {{PLAIN_3, 3}, {PLAIN_4, 4}, {PLAIN_5, 5}};
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        struct mqtt_connect c;

        assert_null(parse(&c, &b));
        assert_int_equal(c.version, cases[i].version);
        assert_true(c.clean);
        assert_false(c.has_will || c.has_user || c.has_password);
        assert_int_equal(c.keepalive_s, 60);
        assert_int_equal(c.expiry_s, 0);
        assert_text(c.client_id, "c1");
    }
}

static void test_full(void **state)
{
    static const char *const wires[] = {FULL_4, FULL_5};
    (void)state;

    for (size_t i = 0; i < LEN(wires); i++) {
        struct bytes b = hex(wires[i]);
        struct mqtt_connect c;

        assert_null(parse(&c, &b));
        assert_true(c.has_will && c.will_retain && c.has_user &&
                    c.has_password && c.clean);
        assert_int_equal(c.will_qos, 1);
        assert_text(c.will_topic, "w/t");
        assert_text(c.will_payload, "bye");
        assert_text(c.user, "u");
        assert_text(c.password, "pw");
        assert_int_equal(c.expiry_s, i == 0 ? 0 : 3600);
    }
}

/* What was parsed and not changed is written as it was read. */
static void test_round_trip(void **state)
{
    static const char *const wires[] = {PLAIN_3, PLAIN_4, PLAIN_5, FULL_4,
                                        FULL_5};
    (void)state;

    for (size_t i = 0; i < LEN(wires); i++) {
        struct bytes b = hex(wires[i]);
        struct mqtt_connect c;
        uint8_t out[256];

        assert_null(parse(&c, &b));
        assert_int_equal(mqtt_connect_encode(&c, NULL), b.n);
        assert_int_equal(mqtt_connect_encode(&c, out), b.n);
        assert_memory_equal(out, b.p, b.n);
    }
}

static void test_rewritten(void **state)
{
    struct bytes b = hex(FULL_5);
    struct bytes want =
        hex("10 31 00 04 4d515454 05 ee 00 1e 0a 21 00 0a 26 00 01 6b 00 01 76 "
            "00 03 7863 31 05 18 00 00 00 05 00 03 772f74 00 03 627965 00 00 "
            "00 03 6e6577");
    struct mqtt_connect c;
    uint8_t out[256];
    (void)state;

    assert_null(parse(&c, &b));
    c.client_id = text_of("xc1");
    c.user = text_of("");
    c.password = text_of("new");
    c.keepalive_s = 30;
    c.expiry_s = 0;
    assert_int_equal(mqtt_connect_encode(&c, out), want.n);
    assert_memory_equal(out, want.p, want.n);

    /* Without user and password no flags of theirs. */
    b = hex(PLAIN_4);
    assert_null(parse(&c, &b));
    c.has_user = c.has_password = true;
    c.user = text_of("u");
    c.password = text_of("pw");
    want = hex("10 15 00 04 4d515454 04 c2 00 3c 00 02 6331 00 01 75 00 02 "
               "7077");
    assert_int_equal(mqtt_connect_encode(&c, out), want.n);
    assert_memory_equal(out, want.p, want.n);
}

static void test_too_long_to_write(void **state)
{
    struct bytes b = hex(PLAIN_4);
    char *id = calloc(1, 65536);
    struct mqtt_connect c;
    (void)state;

    assert_null(parse(&c, &b));
    c.client_id = (struct text){id, 65535};
    assert_int_not_equal(mqtt_connect_encode(&c, NULL), 0);
    c.client_id.n = 65536;
    assert_int_equal(mqtt_connect_encode(&c, NULL), 0);
    free(id);
}

static void test_faults(void **state)
{
    static const struct {
        const char *what, *wire;
        int reason;
    } cases[] = {
        {"another protocol", "10 0e 00 04 51515151 04 02 00 3c 00 02 6331",
         MQTT_PROTOCOL_ERROR},
        {"level 6", "10 0e 00 04 4d515454 06 02 00 3c 00 02 6331",
         MQTT_BAD_VERSION},
        {"level 3 of MQTT", "10 0e 00 04 4d515454 03 02 00 3c 00 02 6331",
         MQTT_BAD_VERSION},
        {"level 4 of MQIsdp", "10 10 00 06 4d5149736470 04 02 00 3c 00 02 6331",
         MQTT_BAD_VERSION},
        {"a bridge's level", "10 0e 00 04 4d515454 84 02 00 3c 00 02 6331",
         MQTT_BAD_VERSION},
        {"reserved flag", "10 0e 00 04 4d515454 04 03 00 3c 00 02 6331",
         MQTT_MALFORMED},
        {"will QoS without will", "10 0e 00 04 4d515454 04 0a 00 3c 00 02 6331",
         MQTT_MALFORMED},
        {"will retain without will",
         "10 0e 00 04 4d515454 04 22 00 3c 00 02 6331", MQTT_MALFORMED},
        {"will QoS 3",
         "10 12 00 04 4d515454 04 1e 00 3c 00 02 6331 00 00 00 "
         "00",
         MQTT_MALFORMED},
        {"password without user",
         "10 12 00 04 4d515454 04 42 00 3c 00 02 6331 00 02 7077",
         MQTT_MALFORMED},
        {"goes on", "10 0f 00 04 4d515454 04 02 00 3c 00 02 6331 00",
         MQTT_MALFORMED},
        {"no client id", "10 0c 00 04 4d515454 04 02 00 3c 00 02",
         MQTT_MALFORMED},
        {"client id not UTF-8", "10 0e 00 04 4d515454 04 02 00 3c 00 02 63ff",
         MQTT_MALFORMED},
        {"client id with NUL", "10 0e 00 04 4d515454 04 02 00 3c 00 02 6300",
         MQTT_MALFORMED},
        {"user announced, not there",
         "10 0e 00 04 4d515454 04 82 00 3c 00 02 6331", MQTT_MALFORMED},
        {"property of CONNACK",
         "10 12 00 04 4d515454 05 02 00 3c 03 13 00 01 00 02 6331",
         MQTT_MALFORMED},
        {"property twice",
         "10 15 00 04 4d515454 05 02 00 3c 06 21 00 01 21 00 01 00 02 6331",
         MQTT_PROTOCOL_ERROR},
        {"receive maximum 0",
         "10 12 00 04 4d515454 05 02 00 3c 03 21 00 00 00 02 6331",
         MQTT_PROTOCOL_ERROR},
        {"properties past the end",
         "10 0f 00 04 4d515454 05 02 00 3c 7f 00 02 6331", MQTT_MALFORMED},
        {"will property of no will",
         "10 18 00 04 4d515454 05 06 00 3c 00 00 02 6331 03 21 00 01 00 01 61 "
         "00 00",
         MQTT_MALFORMED},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        struct mqtt_connect c;
        const struct mqtt_fault *fault = parse(&c, &b);

        if (!fault || (int)fault->reason != cases[i].reason)
            fail_msg("%s: %s", cases[i].what, fault ? fault->why : "no fault");
    }
}

/* Cut anywhere it is no CONNECT, and nothing beyond the cut is read. */
static void test_cut(void **state)
{
    static const char *const wires[] = {PLAIN_3, PLAIN_4, PLAIN_5, FULL_4,
                                        FULL_5};
    (void)state;

    for (size_t i = 0; i < LEN(wires); i++) {
        struct bytes b = hex(wires[i]);
        for (size_t n = 2; n < b.n; n++) {
            uint8_t *copy = copy_of(b.p, n);
            struct mqtt_event ev = head_of(copy, n);
            struct mqtt_connect c;
            assert_non_null(mqtt_connect_parse(&c, &ev));
            free(copy);
        }
    }
}

/* Clients of MQTT 3.1 set flags for fields that they leave out. */
static void test_3_1_may_leave_out(void **state)
{
    struct bytes b = hex("10 10 00 06 4d5149736470 03 c2 00 3c 00 02 6331");
    struct mqtt_connect c;
    uint8_t out[64];
    (void)state;

    assert_null(parse(&c, &b));
    assert_false(c.has_user || c.has_password);
    struct bytes want = hex(PLAIN_3);
    assert_int_equal(mqtt_connect_encode(&c, out), want.n);
    assert_memory_equal(out, want.p, want.n);
}

static void test_refusals(void **state)
{
    static const struct {
        uint8_t version;
        enum mqtt_reason reason;
        const char *want;
    } cases[] = {
        {MQTT_5, MQTT_NOT_AUTHORIZED, "20 03 00 87 00"},
        {MQTT_5, MQTT_MALFORMED, "20 03 00 81 00"},
        {6, MQTT_BAD_VERSION, "20 03 00 84 00"},
        {MQTT_3_1_1, MQTT_NOT_AUTHORIZED, "20 02 00 05"},
        {MQTT_3_1_1, MQTT_BAD_VERSION, "20 02 00 01"},
        {MQTT_3_1, MQTT_BAD_CLIENT_ID, "20 02 00 02"},
        {MQTT_3_1_1, MQTT_QUOTA_EXCEEDED, "20 02 00 03"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes want = hex(cases[i].want);
        uint8_t out[MQTT_SMALL_MAX];

        assert_int_equal(mqtt_refusal(out, cases[i].version, cases[i].reason),
                         want.n);
        assert_memory_equal(out, want.p, want.n);
    }
}

static void test_connack(void **state)
{
    static const struct {
        const char *wire;
        uint8_t version;
        bool ok, present;
        uint8_t reason;
        uint16_t alias_max;
    } cases[] = {
        {"20 02 00 00", 4, true, false, 0, 0},
        {"20 02 01 00", 4, true, true, 0, 0},
        {"20 02 00 05", 4, true, false, 5, 0},
        {"20 03 00 00 00", 5, true, false, 0, 0},
        {"20 06 01 00 03 22 00 0a", 5, true, true, 0, 10},
        {"20 02 00 01", 5, true, false, 1, 0}, /* of a broker without it */
        {"20 03 00 00 00", 4, false, false, 0, 0},
        {"20 01 00", 4, false, false, 0, 0},
        {"20 04 00 00 05 22", 5, false, false, 0, 0},
        {"20 06 00 00 03 23 00 0a", 5, false, false, 0, 0},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        struct mqtt_event ev = head_of(b.p, b.n);
        struct mqtt_connack c;
        const struct mqtt_fault *fault =
            mqtt_connack_parse(&c, &ev, cases[i].version);

        assert_int_equal(fault == NULL, cases[i].ok);
        if (fault)
            continue;
        assert_int_equal(c.session_present, cases[i].present);
        assert_int_equal(c.reason, cases[i].reason);
        assert_int_equal(c.alias_max, cases[i].alias_max);
    }
}

static void test_notices(void **state)
{
    static const struct {
        const char *broker;
        struct mqtt_notice notice;
        const char *want;
    } cases[] = {
        {"20 03 00 00 00",
         {.keepalive = true, .keepalive_s = 300},
         "20 06 00 00 03 13 01 2c"},
        /* what the broker says counts if it is less */
        {"20 06 00 00 03 13 00 0a",
         {.keepalive = true, .keepalive_s = 300},
         "20 06 00 00 03 13 00 0a"},
        {"20 06 00 00 03 13 0f 00",
         {.keepalive = true, .keepalive_s = 300},
         "20 06 00 00 03 13 01 2c"},
        {"20 06 01 00 03 22 00 0a",
         {.expiry = true, .expiry_s = 60},
         "20 0b 01 00 08 22 00 0a 11 00 00 00 3c"},
        {"20 08 00 00 05 11 00 00 00 05",
         {.expiry = true, .expiry_s = 60},
         "20 08 00 00 05 11 00 00 00 05"},
        {"20 03 00 00 00", {.max_packet = 4096}, "20 08 00 00 05 27 00001000"},
        {"20 08 00 00 05 27 00 00 00 ff",
         {.max_packet = 4096},
         "20 08 00 00 05 27 00 00 00 ff"},
        {"20 0c 00 00 09 12 00 03 61626322 00 0a",
         {.client_id = {"xy", 2}},
         "20 0b 00 00 08 22 00 0a 12 00 02 7879"},
    };
    (void)state;

    assert_false(mqtt_notice_any(&(struct mqtt_notice){0}));
    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].broker), want = hex(cases[i].want);
        struct mqtt_event ev = head_of(b.p, b.n);
        struct mqtt_connack c;
        uint8_t out[64];

        assert_null(mqtt_connack_parse(&c, &ev, MQTT_5));
        assert_true(mqtt_notice_any(&cases[i].notice));
        assert_int_equal(mqtt_connack_encode(&c, &cases[i].notice, NULL),
                         want.n);
        assert_int_equal(mqtt_connack_encode(&c, &cases[i].notice, out),
                         want.n);
        assert_memory_equal(out, want.p, want.n);
    }
}

static void test_disconnect_clamped(void **state)
{
    static const struct {
        const char *wire, *want; /* NULL: may stay */
    } cases[] = {
        {"e0 00", NULL},
        {"e0 01 04", NULL},
        {"e0 02 00 00", NULL},
        {"e0 07 00 05 11 00 00 00 3c", NULL},
        {"e0 07 00 05 11 00 00 00 3d", "e0 07 00 05 11 00 00 00 3c"},
        {"e0 0b 04 09 11 ff ff ff ff 1f 00 01 78",
         "e0 0b 04 09 1f 00 01 78 11 00 00 00 3c"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct bytes b = hex(cases[i].wire);
        struct mqtt_event ev = head_of(b.p, b.n);
        uint8_t out[64];
        size_t n = mqtt_disconnect_clamp(&ev, 60, out);

        if (!cases[i].want) {
            assert_int_equal(n, 0);
            continue;
        }
        struct bytes want = hex(cases[i].want);
        assert_int_equal(n, want.n);
        assert_memory_equal(out, want.p, want.n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_too_long_to_write),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_3_1_may_leave_out),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_connack),
        cmocka_unit_test(test_notices),
        cmocka_unit_test(test_disconnect_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
