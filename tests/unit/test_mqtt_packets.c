/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_packets.c - a session of an MQTT client between a client and a
 * broker that the test plays both. */
#include "hex.h"
#include "mqtt_host.h"

#include "../../bridges/mqtt/packets.h"

#define CONNECT_4 "10 0e 00 04 4d515454 04 02 00 3c 00 02 6331"
#define CONNECT_5 "10 0f 00 04 4d515454 05 02 00 3c 00 00 02 6331"
#define CONNACK_4 "20 02 00 00"
#define CONNACK_5 "20 06 00 00 03 22 00 0a" /* ten aliases */
#define PINGREQ   "c0 00"
#define PINGRESP  "d0 00"

/* ok/a and no/a, payload "hi" */
#define OK_Q0  "30 08 00 04 6f6b2f61 6869"
#define OK_Q1  "32 0a 00 04 6f6b2f61 00 05 6869"
#define NO_Q0  "30 08 00 04 6e6f2f61 6869"
#define NO_Q1  "32 0a 00 04 6e6f2f61 00 07 6869"
#define NO_Q2  "34 0a 00 04 6e6f2f61 00 08 6869"
#define OK5_Q0 "30 09 00 04 6f6b2f61 00 6869"
#define NO5_Q0 "30 09 00 04 6e6f2f61 00 6869"
#define NO5_Q1 "32 0b 00 04 6e6f2f61 00 07 00 6869"
#define NO5_Q2 "34 0b 00 04 6e6f2f61 00 08 00 6869"

/* ---- the stage -------------------------------------------------------------
 */

struct stage {
    struct mqtt_route route;
    struct gw_session session;
    void *state;
    enum gw_take take;
};

static struct rules *rules_of(const char *allow, const char *deny)
{
    char err[256] = "";
    struct rules *r = rules_new(allow, deny, err, sizeof err);

    if (!r)
        fail_msg("%s", err);
    return r;
}

/* A route as its options' defaults make it. */
static void stage_init(struct stage *g, const char *allow, const char *deny)
{
    *g = (struct stage){
        .route = {.host = &fake_host,
                  .default_port = 1883,
                  .connect_deadline_ms = 5000,
                  .max_keepalive_s = 300,
                  .rules = rules_of(allow, deny),
                  .checks_delivery = deny != NULL},
    };
}

static void stage_open(struct stage *g)
{
    const struct gw_request r = {
        .scheme = "mqtt", .address = "broker.test", .subprotocol = "mqtt"};

    g->state = mqtt_packets.open(&g->session, &g->route, &r, &g->take);
    if (g->state)
        g->session.conn.events->connected(g->state);
}

static void stage_fini(struct stage *g)
{
    if (g->state)
        mqtt_packets.close(g->state);
    rules_free(g->route.rules);
    fake_session_fini(&g->session);
}

static void from_client_bytes(struct stage *g, const uint8_t *p, size_t n)
{
    uint8_t *copy = copy_of(p, n);
    const struct gw_data d = {copy, n, GW_BINARY, false, false};

    mqtt_packets.data(g->state, &d);
    free(copy);
}

static void from_client(struct stage *g, const char *text)
{
    struct bytes b = hex(text);
    from_client_bytes(g, b.p, b.n);
}

static void from_broker(struct stage *g, const char *text)
{
    struct bytes b = hex(text);
    fake_conn_data(&g->session, b.p, b.n);
}

/* What has been sent since the last look, as hexadecimal digits. */
static const char *taken(struct fake_bytes *b, char *out, size_t cap)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < b->n && n + 2 < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%02x", b->p[i]);
    fake_clear(b);
    return out;
}

/* The same digits without blanks. */
static const char *digits(const char *text, char *out, size_t cap)
{
    size_t n = 0;

    for (; *text; text++) {
        if (*text != ' ' && n + 1 < cap)
            out[n++] = *text;
    }
    out[n] = '\0';
    return out;
}

#define assert_sent(bytes, want)                                               \
    do {                                                                       \
        char got_[4096], want_[4096];                                          \
        assert_string_equal(taken(bytes, got_, sizeof got_),                   \
                            digits(want, want_, sizeof want_));                \
    } while (0)

#define assert_to_broker(g, want) assert_sent(&(g)->session.conn.sent, want)
#define assert_to_client(g, want) assert_sent(&(g)->session.sent, want)

#define assert_closed(g, want_cause, want_code)                                \
    do {                                                                       \
        assert_true((g)->session.closed);                                      \
        assert_int_equal((g)->session.cause, want_cause);                      \
        assert_int_equal((g)->session.code, want_code);                        \
    } while (0)

/* A session with `connect` answered by `connack`, nothing of it left. */
static void stage_connected(struct stage *g, const char *connect,
                            const char *connack)
{
    stage_open(g);
    assert_true(g->session.accepted);
    from_client(g, connect);
    from_broker(g, connack);
    fake_clear(&g->session.sent);
    fake_clear(&g->session.conn.sent);
    g->session.sends = g->session.conn.sends = 0;
    assert_false(g->session.closed);
}

/* ---- opening ---------------------------------------------------------------
 */

static void test_opens(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_open(&g);
    assert_int_equal(g.take, GW_STREAM);
    assert_string_equal(g.session.conn.address, "broker.test");
    assert_int_equal(g.session.conn.default_port, 1883);
    assert_true(g.session.accepted);
    from_client(&g, CONNECT_4);
    assert_to_broker(&g, CONNECT_4);
    from_broker(&g, CONNACK_4);
    assert_to_client(&g, CONNACK_4);
    assert_int_equal(g.session.counts[COUNT_CONNECTS], 1);
    assert_int_equal(fake_timer_fire(&g.session), 0); /* no deadline left */
    stage_fini(&g);
}

static void test_broker_cannot_be_had(void **state)
{
    struct stage g;
    const struct gw_request r = {.address = "b", .subprotocol = "mqtt"};
    (void)state;

    stage_init(&g, NULL, NULL);
    g.state = mqtt_packets.open(&g.session, &g.route, &r, &g.take);
    assert_false(g.session.accepted);
    g.session.conn.events->failed(g.state, 504, "too late");
    assert_int_equal(g.session.refused, 504);
    stage_fini(&g);
}

static void test_no_connect_in_time(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_open(&g);
    from_client(&g, "10");
    assert_int_equal(fake_timer_fire(&g.session), 5000);
    assert_closed(&g, GW_POLICY, 0);
    assert_to_broker(&g, "");
    stage_fini(&g);
}

static void test_a_value_is_missing(void **state)
{
    struct stage g;
    char user[] = "{query.user}";
    (void)state;

    stage_init(&g, NULL, NULL);
    g.route.templates[TEMPLATE_USER] = user;
    stage_open(&g);
    assert_null(g.state);
    assert_int_equal(g.session.refused, 400);
    stage_fini(&g);

    stage_init(&g, "pub:{path.id}/#", NULL);
    g.session.value = "a/b"; /* two levels where one is asked for */
    stage_open(&g);
    assert_null(g.state);
    assert_int_equal(g.session.refused, 400);
    stage_fini(&g);

    stage_init(&g, NULL, NULL);
    g.route.templates[TEMPLATE_USER] = user;
    g.session.value = "\xff";
    stage_open(&g);
    assert_null(g.state);
    assert_int_equal(g.session.refused, 400);
    stage_fini(&g);
}

/* ---- bad input -------------------------------------------------------------
 */

static void test_text_is_no_mqtt(void **state)
{
    struct stage g;
    uint8_t byte = 'x';
    const struct gw_data d = {&byte, 1, GW_TEXT, false, false};
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_open(&g);
    mqtt_packets.data(g.state, &d);
    assert_closed(&g, GW_UNSUPPORTED, 0);
    assert_to_broker(&g, "");
    stage_fini(&g);
}

static void test_first_packets_that_are_none(void **state)
{
    static const struct {
        const char *what, *wire, *answer;
        enum gw_cause cause;
        uint16_t code;
    } cases[] = {
        {"PINGREQ", PINGREQ, "", GW_BAD_DATA, 1002},
        {"CONNACK", CONNACK_4, "", GW_BAD_DATA, 1002},
        {"HTTP", "47 45 54 20", "", GW_BAD_DATA, 1002},
        {"too long", "10 ff ff ff 7f", "", GW_TOO_BIG, 0},
        {"level 9", "10 0e 00 04 4d515454 09 02 00 3c 00 02 6331",
         "20 03 00 84 00", GW_BAD_DATA, 1002},
        {"level 2", "10 0e 00 04 4d515454 02 02 00 3c 00 02 6331",
         "20 02 00 01", GW_BAD_DATA, 1002},
        {"v5 malformed", "10 0f 00 04 4d515454 05 03 00 3c 00 00 02 6331",
         "20 03 00 81 00", GW_BAD_DATA, 1002},
        {"3.1.1 malformed", "10 0e 00 04 4d515454 04 03 00 3c 00 02 6331", "",
         GW_BAD_DATA, 1002},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage g;
        stage_init(&g, NULL, NULL);
        stage_open(&g);
        from_client(&g, cases[i].wire);
        assert_closed(&g, cases[i].cause, cases[i].code);
        assert_to_client(&g, cases[i].answer);
        assert_to_broker(&g, "");
        assert_int_equal(g.session.counts[COUNT_MALFORMED], 1);
        stage_fini(&g);
    }
}

/* MQTT 5 says why, in DISCONNECT; what came before the fault is forwarded. */
static void test_faults_within_a_session(void **state)
{
    static const struct {
        const char *wire;
        bool v5;
        const char *to_client;
        enum gw_cause cause;
        uint16_t code;
    } cases[] = {
        {CONNECT_5, true, "e0 01 82", GW_BAD_DATA, 1002},
        {CONNECT_4, false, "", GW_BAD_DATA, 1002},
        {"f0 00", false, "", GW_BAD_DATA, 1002},
        {"36 00", true, "e0 01 81", GW_BAD_DATA, 1002},
        {"30 05 00 01 23 00 78", true, "e0 01 90", GW_BAD_DATA, 1002},
        {"30 04 00 01 2b 78", false, "", GW_BAD_DATA, 1002},
        {"30 06 00 00 03 23 00 01", true, "e0 01 94", GW_BAD_DATA, 1002},
        {"30 07 00 01 61 03 23 00 0b", true, "e0 01 94", GW_BAD_DATA, 1002},
        {"30 06 00 01 61 02 0b 01", true, "e0 01 82", GW_BAD_DATA, 1002},
        {"82 80 80 11", true, "e0 01 95", GW_TOO_BIG, 0},
        {"82 02 00 01", false, "", GW_BAD_DATA, 1002},
        {"a2 06 00 01 00 02 61 ff", false, "", GW_BAD_DATA, 1002},
        {"40 02 00 00", false, "", GW_BAD_DATA, 1002},
        {"e0 01 00", false, "", GW_BAD_DATA, 1002},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage g;
        char wire[256];

        stage_init(&g, NULL, NULL);
        stage_connected(&g, cases[i].v5 ? CONNECT_5 : CONNECT_4,
                        cases[i].v5 ? CONNACK_5 : CONNACK_4);
        snprintf(wire, sizeof wire, "%s %s", PINGREQ, cases[i].wire);
        from_client(&g, wire);
        assert_closed(&g, cases[i].cause, cases[i].code);
        assert_to_broker(&g, PINGREQ);
        assert_to_client(&g, cases[i].to_client);
        assert_int_equal(g.session.counts[COUNT_MALFORMED], 1);
        from_client(&g, PINGREQ); /* nobody hears it */
        assert_to_broker(&g, "");
        stage_fini(&g);
    }
}

static void test_max_packet(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    g.route.max_packet = 64;
    stage_open(&g);
    from_client(&g, CONNECT_5);
    from_broker(&g, CONNACK_5);
    assert_to_client(&g, "20 0b 00 00 08 22 00 0a 27 00 00 00 40");
    from_client(&g, "30 41");
    assert_closed(&g, GW_TOO_BIG, 0);
    stage_fini(&g);
}

/* ---- CONNECT ---------------------------------------------------------------
 */

static void test_rewritten_connect(void **state)
{
    char user[] = "u-{client.ip}", password[] = "pw", prefix[] = "{path.t}-";
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    g.session.value = "acme";
    g.route.templates[TEMPLATE_USER] = user;
    g.route.templates[TEMPLATE_PASSWORD] = password;
    g.route.templates[TEMPLATE_CLIENT_ID_PREFIX] = prefix;
    stage_open(&g);
    from_client(&g, CONNECT_4);
    assert_to_broker(&g, "10 1f 00 04 4d515454 04 c2 00 3c 00 07 61636d652d"
                         "6331 00 06 752d61636d65 00 02 7077");
    stage_fini(&g);
}

static void test_only_what_is_set_is_rewritten(void **state)
{
    char id[] = "forced";
    struct stage g;
    (void)state;

    /* User "u" and password "pw" are the client's. */
    stage_init(&g, NULL, NULL);
    g.route.templates[TEMPLATE_CLIENT_ID] = id;
    stage_open(&g);
    from_client(&g, "10 15 00 04 4d515454 04 c2 00 3c 00 02 6331 00 01 75 00 "
                    "02 7077");
    assert_to_broker(&g, "10 19 00 04 4d515454 04 c2 00 3c 00 06 666f72636564"
                         "00 01 75 00 02 7077");
    stage_fini(&g);
}

/* An empty client id with a prefix: one is made up, and told to MQTT 5. */
static void test_made_up_ids(void **state)
{
    char prefix[] = "p-", before[64];
    struct stage g;
    (void)state;

    for (int i = 0; i < 2; i++) {
        stage_init(&g, NULL, NULL);
        g.route.templates[TEMPLATE_CLIENT_ID_PREFIX] = prefix;
        stage_open(&g);
        from_client(&g, "10 0d 00 04 4d515454 05 02 00 3c 00 00 00");
        struct fake_bytes *sent = &g.session.conn.sent;
        assert_int_equal(sent->n, 2 + 13 + 18);
        assert_memory_equal(sent->p + 13, "\0\x12p-", 4);
        char id[17] = "";
        memcpy(id, sent->p + 17, 16);
        assert_int_equal(strspn(id, "0123456789abcdefghijklmnopqrstuv"), 16);
        from_broker(&g, "20 03 00 00 00");
        sent = &g.session.sent;
        assert_int_equal(sent->n, 5 + 19);
        assert_memory_equal(sent->p, "\x20\x16\0\0\x13\x12\0\x10", 8);
        assert_memory_equal(sent->p + 8, id, 16);
        if (i == 1) /* never the same */
            assert_string_not_equal(before, id);
        memcpy(before, id, sizeof id);
        stage_fini(&g);
    }
    /* A session that lasts would be lost. */
    stage_init(&g, NULL, NULL);
    g.route.templates[TEMPLATE_CLIENT_ID_PREFIX] = prefix;
    stage_open(&g);
    from_client(&g, "10 0c 00 04 4d515454 04 00 00 3c 00 00");
    assert_to_client(&g, "20 02 00 02");
    assert_true(g.session.closed);
    stage_fini(&g);
}

static void test_keepalive_clamped(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    g.route.max_keepalive_s = 30;
    stage_open(&g);
    from_client(&g, CONNECT_5);
    assert_to_broker(&g, "10 0f 00 04 4d515454 05 02 00 1e 00 00 02 6331");
    from_broker(&g, "20 03 00 00 00");
    assert_to_client(&g, "20 06 00 00 03 13 00 1e");
    assert_int_equal(fake_timer_fire(&g.session), 0);
    stage_fini(&g);
}

/* A client of MQTT 3 is not told; it is pinged for, where it says nothing. */
static void test_pings_for_a_client(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    g.route.max_keepalive_s = 30;
    stage_open(&g);
    from_client(&g, "10 0e 00 04 4d515454 04 02 00 00 00 02 6331"); /* none */
    assert_to_broker(&g, "10 0e 00 04 4d515454 04 02 00 1e 00 02 6331");
    from_broker(&g, CONNACK_4);
    assert_to_client(&g, CONNACK_4);
    assert_int_equal(fake_timer_fire(&g.session), 15000);
    assert_to_broker(&g, ""); /* it has just sent CONNECT */
    assert_int_equal(fake_timer_fire(&g.session), 15000);
    assert_to_broker(&g, PINGREQ);
    from_broker(&g, "30 05 00 03 61 2f 62 d0 00 30 05 00 03 61 2f 62");
    assert_to_client(&g, "30 05 00 03 61 2f 62 30 05 00 03 61 2f 62");
    from_client(&g, PINGREQ);
    assert_to_broker(&g, PINGREQ);
    from_broker(&g, PINGRESP); /* its own one passes */
    assert_to_client(&g, PINGRESP);
    /* Not into a packet of the client's. */
    fake_timer_fire(&g.session);
    from_client(&g, "30 08 00 04 6f6b2f61 68");
    fake_timer_fire(&g.session);
    fake_timer_fire(&g.session);
    assert_to_broker(&g, "30 08 00 04 6f6b2f61 68");
    from_client(&g, "69");
    assert_to_broker(&g, "69" PINGREQ);
    stage_fini(&g);
}

static void test_expiry_clamped(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    g.route.clamp_expiry = true;
    g.route.max_expiry_s = 60;
    stage_open(&g);
    from_client(&g, "10 14 00 04 4d515454 05 02 00 3c 05 11 ff ff ff ff 00 02 "
                    "6331");
    assert_to_broker(&g, "10 14 00 04 4d515454 05 02 00 3c 05 11 00 00 00 3c "
                         "00 02 6331");
    from_broker(&g, "20 03 00 00 00");
    assert_to_client(&g, "20 08 00 00 05 11 00 00 00 3c");
    from_client(&g, "e0 07 00 05 11 00 00 ff ff");
    assert_to_broker(&g, "e0 07 00 05 11 00 00 00 3c");
    assert_true(g.session.conn.finished);
    stage_fini(&g);

    /* MQTT 3 knows for ever, or not at all. */
    stage_init(&g, NULL, NULL);
    g.route.clamp_expiry = true;
    stage_open(&g);
    from_client(&g, "10 0e 00 04 4d515454 04 00 00 3c 00 02 6331");
    assert_to_broker(&g, CONNECT_4);
    stage_fini(&g);
}

static void test_wills_are_publishes(void **state)
{
    static const struct {
        const char *wire, *answer; /* NULL: passes */
        enum gw_cause cause;
    } cases[] = {
        {"10 17 00 04 4d515454 04 06 00 3c 00 02 6331 00 04 6f6b2f61 00 01 78",
         NULL, GW_DONE},
        {"10 17 00 04 4d515454 04 06 00 3c 00 02 6331 00 04 6e6f2f61 00 01 78",
         "20 02 00 05", GW_POLICY},
        {"10 19 00 04 4d515454 05 06 00 3c 00 00 02 6331 00 00 04 6e6f2f61 00 "
         "01 78",
         "20 03 00 87 00", GW_POLICY},
        {"10 19 00 04 4d515454 05 06 00 3c 00 00 02 6331 00 00 04 6f6b2f23 00 "
         "01 78",
         "20 03 00 90 00", GW_BAD_DATA},
        {"10 17 00 04 4d515454 04 06 00 3c 00 02 6331 00 04 6f6b2f2b 00 01 78",
         "", GW_BAD_DATA},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage g;
        stage_init(&g, "pub:ok/#", NULL);
        stage_open(&g);
        from_client(&g, cases[i].wire);
        if (!cases[i].answer) {
            assert_to_broker(&g, cases[i].wire);
        } else {
            assert_to_broker(&g, "");
            assert_to_client(&g, cases[i].answer);
            assert_true(g.session.closed);
            assert_int_equal(g.session.cause, cases[i].cause);
        }
        stage_fini(&g);
    }
}

static void test_duels(void **state)
{
    struct stage g[TAKEOVERS_MAX + 3];
    (void)state;

    for (size_t i = 0; i < LEN(g); i++) {
        stage_init(&g[i], NULL, NULL);
        stage_open(&g[i]);
        from_client(&g[i], CONNECT_5);
        if (i <= TAKEOVERS_MAX) {
            assert_false(g[i].session.closed);
            continue;
        }
        assert_to_client(&g[i], "20 03 00 97 00");
        assert_closed(&g[i], GW_POLICY, 0);
    }
    for (size_t i = 0; i < LEN(g); i++)
        stage_fini(&g[i]);
}

static void test_takeovers_are_forgotten(void **state)
{
    struct takeover *t[TAKEOVERS_MAX + 1], *late, *other;
    struct text id = {"c", 1};
    (void)state;

    for (size_t i = 0; i < LEN(t); i++)
        assert_int_equal(takeover_enter(&t[i], "b", id, 100), TAKEOVER_OK);
    assert_int_equal(takeover_enter(&late, "b", id, 159), TAKEOVER_TOO_MANY);
    assert_int_equal(takeover_enter(&other, "b2", id, 159), TAKEOVER_OK);
    takeover_leave(other);
    assert_int_equal(takeover_enter(&late, "b", id, 160), TAKEOVER_OK);
    takeover_leave(late);
    for (size_t i = 0; i < LEN(t); i++)
        takeover_leave(t[i]);
    /* Who comes when nobody is there takes nothing over. */
    for (int i = 0; i < 2 * TAKEOVERS_MAX; i++) {
        assert_int_equal(takeover_enter(&late, "b", id, 200), TAKEOVER_OK);
        takeover_leave(late);
    }
}

/* ---- PUBLISH ---------------------------------------------------------------
 */

static void test_a_read_is_one_write(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "pub:ok/#", NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, OK_Q0 OK_Q1 OK_Q0 PINGREQ OK_Q0);
    assert_to_broker(&g, OK_Q0 OK_Q1 OK_Q0 PINGREQ OK_Q0);
    assert_int_equal(g.session.conn.sends, 1);
    /* Cut within a head: what is kept is sent with the rest. */
    from_client(&g, OK_Q0 "30 08 00 04 6f");
    assert_to_broker(&g, OK_Q0);
    from_client(&g, "6b 2f 61 68 69" OK_Q0 OK_Q1);
    assert_to_broker(&g, OK_Q0 OK_Q0 OK_Q1);
    assert_int_equal(g.session.conn.sends, 3);
    /* Or alone, if no more has come of the packet. */
    from_client(&g, "30 08 00 04 6f");
    from_client(&g, "6b 2f 61");
    assert_to_broker(&g, "30 08 00 04 6f 6b 2f 61");
    from_client(&g, "68 69");
    assert_to_broker(&g, "68 69");
    assert_int_equal(g.session.conn.sends, 5);
    stage_fini(&g);
}

static void test_denied_publishes(void **state)
{
    static const struct {
        bool v5, drop;
        const char *wire, *to_broker, *to_client;
        bool closed;
    } cases[] = {
        {true, false, OK5_Q0 NO5_Q0 OK5_Q0, OK5_Q0 OK5_Q0, "", false},
        {true, false, NO5_Q1, "", "40 03 00 07 87", false},
        {true, false, OK5_Q0 NO5_Q1 NO5_Q2 OK5_Q0, OK5_Q0 OK5_Q0,
         "40 03 00 07 87 50 03 00 08 87", false},
        {false, false, OK_Q0 NO_Q0, OK_Q0, "", true},
        {false, false, NO_Q1, "", "", true},
        {false, true, OK_Q0 NO_Q0 OK_Q0, OK_Q0 OK_Q0, "", false},
        {false, true, NO_Q1 NO_Q2, "", "40 02 00 07 50 02 00 08", false},
        /* PUBREL is the broker's to complete */
        {false, true, "62 02 00 08", "62 02 00 08", "", false},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage g;
        stage_init(&g, "pub:ok/#", NULL);
        g.route.drop_denied = cases[i].drop;
        stage_connected(&g, cases[i].v5 ? CONNECT_5 : CONNECT_4,
                        cases[i].v5 ? CONNACK_5 : CONNACK_4);
        from_client(&g, cases[i].wire);
        assert_to_broker(&g, cases[i].to_broker);
        assert_to_client(&g, cases[i].to_client);
        if (cases[i].closed)
            assert_closed(&g, GW_POLICY, 0);
        else
            assert_false(g.session.closed);
        stage_fini(&g);
    }
}

/* A denied payload is gone however it comes, and answered at its end. */
static void test_denied_payload_in_pieces(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "pub:ok/#", NULL);
    stage_connected(&g, CONNECT_5, CONNACK_5);
    from_client(&g, OK5_Q0 "32 0d 00 04 6e6f2f61 00 07 00 68");
    assert_to_client(&g, "");
    from_client(&g, "6969");
    assert_to_client(&g, "");
    from_client(&g, "69" OK5_Q0);
    assert_to_client(&g, "40 03 00 07 87");
    assert_to_broker(&g, OK5_Q0 OK5_Q0);
    assert_int_equal(g.session.counts[COUNT_DENIED_PUBLISHES], 1);
    stage_fini(&g);
}

/* What is not to be looked at twice is known by what CONNECT said, though it
 * has come a moment ago: 0b is no property for clients, and all of it payload
 * in MQTT 3. */
static void test_plain_packets_behind_connect(void **state)
{
    static const char odd[] = "30 06 00 01 61 02 0b 01";
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_open(&g);
    from_client(&g, CONNECT_5 OK5_Q0);
    assert_to_broker(&g, CONNECT_5 OK5_Q0);
    stage_fini(&g);

    stage_init(&g, NULL, NULL);
    stage_open(&g);
    char wire[256];
    snprintf(wire, sizeof wire, "%s %s", CONNECT_5, odd);
    from_client(&g, wire);
    assert_to_broker(&g, CONNECT_5);
    assert_closed(&g, GW_BAD_DATA, 1002);
    stage_fini(&g);

    stage_init(&g, NULL, NULL);
    stage_open(&g);
    snprintf(wire, sizeof wire, "%s %s", CONNECT_4, odd);
    from_client(&g, wire);
    assert_to_broker(&g, wire);
    assert_false(g.session.closed);
    stage_fini(&g);
}

/* A topic that was denied is denied again, and one that was not is not. */
static void test_topics_in_turn(void **state)
{
    enum { TURNS = 20 };
    struct stage g;
    char wire[4096], want[4096];
    size_t n = 0, m = 0;
    (void)state;

    for (int i = 0; i < TURNS; i++) {
        n += (size_t)snprintf(wire + n, sizeof wire - n,
                              "30 06 00 04 6f6b2f%02x 30 06 00 04 6e6f2f%02x ",
                              'a' + i % 3, 'a' + i % 3);
        m += (size_t)snprintf(want + m, sizeof want - m,
                              "30 06 00 04 6f6b2f%02x ", 'a' + i % 3);
    }
    stage_init(&g, "pub:ok/#;sub:#", "sub:no/#");
    g.route.drop_denied = true;
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, wire);
    assert_to_broker(&g, want);
    assert_int_equal(g.session.counts[COUNT_DENIED_PUBLISHES], TURNS);
    from_broker(&g, wire);
    assert_to_client(&g, want);
    assert_int_equal(g.session.counts[COUNT_DENIED_DELIVERIES], TURNS);
    stage_fini(&g);
}

static void test_large_payload_streams(void **state)
{
    enum { SIZE = 1 << 20, PIECE = 10000 };
    struct stage g;
    uint8_t piece[PIECE];
    size_t left = SIZE;
    (void)state;

    memset(piece, 'x', sizeof piece);
    stage_init(&g, NULL, NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, "30 83 80 40 00 01 61"); /* 3 + 1 MiB */
    while (left > 0) {
        size_t n = min_size(left, sizeof piece);
        from_client_bytes(&g, piece, n);
        left -= n;
    }
    assert_int_equal(g.session.conn.sent.n, 7 + SIZE);
    from_client(&g, PINGREQ);
    assert_int_equal(g.session.conn.sent.n, 7 + SIZE + 2);
    assert_memory_equal(g.session.conn.sent.p + 7 + SIZE, "\xc0\0", 2);
    stage_fini(&g);
}

#define ALIAS_OK      "30 0a 00 04 6f6b2f61 03 23 00 01"
#define ALIAS_NO      "30 0a 00 04 6e6f2f61 03 23 00 01"
#define ALIAS_NO_Q1   "32 0c 00 04 6e6f2f61 00 09 03 23 00 01"
#define ALIAS_ONLY    "30 06 00 00 03 23 00 01"
#define ALIAS_ONLY_Q1 "32 08 00 00 00 09 03 23 00 01"

static void test_aliases(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "pub:ok/#", NULL);
    stage_connected(&g, CONNECT_5, CONNACK_5);
    from_client(&g, ALIAS_OK ALIAS_ONLY);
    assert_to_broker(&g, ALIAS_OK ALIAS_ONLY);
    from_client(&g, ALIAS_NO ALIAS_ONLY);
    assert_to_broker(&g, "");
    from_client(&g, ALIAS_ONLY_Q1);
    assert_to_client(&g, "40 03 00 09 87");
    from_client(&g, ALIAS_OK ALIAS_ONLY_Q1);
    assert_to_broker(&g, ALIAS_OK ALIAS_ONLY_Q1);
    assert_false(g.session.closed);
    stage_fini(&g);
}

/* ---- SUBSCRIBE -------------------------------------------------------------
 */

/* Filters ok/#, no/#, ok/+ (QoS 0, 1, 2), identifier 0x0102. */
#define SUB_MIXED                                                              \
    "82 17 01 02 00 04 6f6b2f23 00 00 04 6e6f2f23 01 00 04 6f6b2f2b 02"
#define SUB_ALLOWED "82 10 01 02 00 04 6f6b2f23 00 00 04 6f6b2f2b 02"
#define SUB_NONE    "82 09 01 03 00 04 6e6f2f23 01"
#define SUB5_MIXED                                                             \
    "82 18 01 02 00 00 04 6f6b2f23 00 00 04 6e6f2f23 01 00 04 6f6b2f2b 02"
#define SUB5_ALLOWED "82 11 01 02 00 00 04 6f6b2f23 00 00 04 6f6b2f2b 02"
#define SUB5_NONE    "82 0a 01 03 00 00 04 6e6f2f23 01"

static void test_subscriptions(void **state)
{
    static const struct {
        bool v5;
        const char *wire, *to_broker, *answered; /* at once */
        const char *suback, *to_client;
    } cases[] = {
        {false, SUB_ALLOWED, SUB_ALLOWED, "", "90 04 01 02 00 02",
         "90 04 01 02 00 02"},
        {false, SUB_MIXED, SUB_ALLOWED, "", "90 04 01 02 00 02",
         "90 05 01 02 00 80 02"},
        {false, SUB_NONE, "", "90 03 01 03 80", PINGRESP, PINGRESP},
        {true, SUB5_MIXED, SUB5_ALLOWED, "", "90 05 01 02 00 00 02",
         "90 06 01 02 00 00 87 02"},
        {true, SUB5_NONE, "", "90 04 01 03 00 87", PINGRESP, PINGRESP},
        /* filters that are none */
        {true, "82 09 01 03 00 00 03 61 23 62 00", "", "90 04 01 03 00 8f", "",
         ""},
        {false, "82 08 01 03 00 03 61 23 62 00", "", "90 03 01 03 80", "", ""},
        /* $share/g/ok */
        {true, "82 11 01 03 00 00 0b 2473686172652f672f6f6b 00", "",
         "90 04 01 03 00 9e", "", ""},
        /* another's SUBACK passes before ours is merged */
        {false, SUB_MIXED, SUB_ALLOWED, "",
         "90 03 00 09 01 90 04 01 02 00 02 90 04 01 02 00 02",
         "90 03 00 09 01 90 05 01 02 00 80 02 90 04 01 02 00 02"},
        {false, "a2 08 01 03 00 04 6e6f2f23", "a2 08 01 03 00 04 6e6f2f23", "",
         "b0 02 01 03", "b0 02 01 03"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage g;
        stage_init(&g, "sub:ok/#", NULL);
        stage_connected(&g, cases[i].v5 ? CONNECT_5 : CONNECT_4,
                        cases[i].v5 ? CONNACK_5 : CONNACK_4);
        from_client(&g, cases[i].wire);
        assert_to_broker(&g, cases[i].to_broker);
        assert_to_client(&g, cases[i].answered);
        if (*cases[i].suback)
            from_broker(&g, cases[i].suback);
        assert_to_client(&g, cases[i].to_client);
        stage_fini(&g);
    }
}

static void test_shared_where_it_is_allowed(void **state)
{
    static const char sub[] = "82 10 01 03 00 0b 2473686172652f672f6f6b 00";
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    g.route.allow_shared = true;
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, sub);
    assert_to_broker(&g, sub);
    from_client(&g, "82 10 01 03 00 0b 2473686172652f672f6e6f 00"); /* no */
    assert_to_broker(&g, "");
    assert_to_client(&g, "90 03 01 03 80");
    stage_fini(&g);

    stage_init(&g, "sub:$share/g/ok", NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, sub);
    assert_to_broker(&g, sub);
    stage_fini(&g);
}

static void test_without_rules(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, SUB_MIXED NO_Q0);
    assert_to_broker(&g, SUB_MIXED NO_Q0);
    from_client(&g, "82 0c 01 03 00 07 245359532f2b23 00"); /* no filter */
    assert_to_client(&g, "90 03 01 03 80");
    from_client(&g, "82 0b 01 03 00 06 245359532f23 00"); /* $SYS/# */
    assert_to_client(&g, "90 03 01 03 80");
    assert_to_broker(&g, "");
    stage_fini(&g);
}

static void test_merges_are_bounded(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    stage_connected(&g, CONNECT_5, CONNACK_5);
    for (int i = 0; i < PACKETS_MERGES_MAX; i++) {
        from_client(&g, SUB5_MIXED);
        assert_false(g.session.closed);
    }
    from_client(&g, SUB5_MIXED);
    assert_closed(&g, GW_POLICY, 0);
    assert_to_client(&g, "e0 01 97");
    stage_fini(&g);
}

/* ---- places for packets of our own -----------------------------------------
 */

static void test_answers_wait_for_connack(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    stage_open(&g);
    from_client(&g, CONNECT_4 SUB_NONE);
    assert_to_client(&g, "");
    from_broker(&g, "20 02");
    assert_to_client(&g, "");
    from_broker(&g, "00 00 d0");
    assert_to_client(&g, CONNACK_4 "90 03 01 03 80 d0");
    from_broker(&g, "00");
    assert_to_client(&g, "00");
    stage_fini(&g);
}

static void test_answers_wait_for_the_end_of_a_packet(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_broker(&g, "30 08 00 04 6f6b2f61 68");
    assert_to_client(&g, "30 08 00 04 6f6b2f61 68");
    from_client(&g, SUB_NONE);
    assert_to_client(&g, "");
    from_broker(&g, "69" OK_Q0 "30 08");
    assert_to_client(&g, "69 90 03 01 03 80" OK_Q0 "30 08");
    from_client(&g, SUB_NONE);
    assert_to_client(&g, "");
    from_broker(&g, "00 04 6f6b2f61 6869");
    assert_to_client(&g, "00 04 6f6b2f61 6869 90 03 01 03 80");
    stage_fini(&g);
}

static void test_many_answers_pause_the_client(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_broker(&g, "30 08 00 04 6f6b2f61 68"); /* no place */
    for (int i = 0; i * 5 <= PACKETS_ANSWERS_HIGH; i++) {
        assert_false(g.session.paused);
        from_client(&g, SUB_NONE);
    }
    assert_true(g.session.paused);
    from_broker(&g, "69");
    assert_false(g.session.paused);
    stage_fini(&g);
}

/* ---- down ------------------------------------------------------------------
 */

static void test_down_passes_untouched(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_broker(&g, OK_Q0 OK_Q1 PINGRESP "90 03 00 01 00" OK_Q0 "30 08 00");
    assert_to_client(&g,
                     OK_Q0 OK_Q1 PINGRESP "90 03 00 01 00" OK_Q0 "30 08 00");
    assert_int_equal(g.session.sends, 1);
    stage_fini(&g);
}

static void test_denied_deliveries(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "all:#", "sub:no/#");
    stage_connected(&g, CONNECT_5, CONNACK_5);
    from_broker(&g, OK5_Q0 NO5_Q0 OK5_Q0);
    assert_to_client(&g, OK5_Q0 OK5_Q0);
    assert_to_broker(&g, "");
    from_broker(&g, NO5_Q1 NO5_Q2);
    assert_to_client(&g, "");
    assert_to_broker(&g, "40 03 00 07 87 50 03 00 08 87");
    from_broker(&g, ALIAS_NO ALIAS_ONLY ALIAS_OK ALIAS_ONLY ALIAS_NO_Q1);
    assert_to_client(&g, ALIAS_OK ALIAS_ONLY);
    assert_to_broker(&g, "40 03 00 09 87");
    assert_int_equal(g.session.counts[COUNT_DENIED_DELIVERIES], 6);
    /* An answer to the broker waits for the end of the client's packet. */
    from_client(&g, "30 0a 00 04 6f6b2f61 00 68");
    from_broker(&g, NO5_Q1);
    from_client(&g, "69");
    assert_to_broker(&g, "30 0a 00 04 6f6b2f61 00 6869");
    from_client(&g, "69" PINGREQ);
    assert_to_broker(&g, "69 40 03 00 07 87" PINGREQ);
    stage_fini(&g);
}

/* As upward: a head that is cut leaves with what follows. */
static void test_cut_deliveries(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "all:#", "sub:no/#");
    stage_connected(&g, CONNECT_5, CONNACK_5);
    from_broker(&g, OK5_Q0 "30 09 00 04 6f");
    assert_to_client(&g, OK5_Q0);
    from_broker(&g, "6b 2f 61 00 68 69" OK5_Q0 "30 09 00 04 6e");
    assert_to_client(&g, OK5_Q0 OK5_Q0);
    assert_int_equal(g.session.sends, 2);
    from_broker(&g, "6f 2f 61 00 68 69" OK5_Q0); /* this one was denied */
    assert_to_client(&g, OK5_Q0);
    from_broker(&g, "30 09 00 04 6f 6b");
    g.session.next = GW_FULL;
    from_broker(&g, "2f 61 00 68");
    assert_to_client(&g, "30 09 00 04 6f 6b 2f 61 00 68");
    assert_true(g.session.conn.paused);
    stage_fini(&g);
}

/* ---- flow control ----------------------------------------------------------
 */

static void test_back_pressure(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    g.session.conn.next = GW_FULL;
    from_client(&g, OK_Q0);
    assert_true(g.session.paused);
    from_client(&g, OK_Q0); /* what was read already */
    assert_to_broker(&g, OK_Q0 OK_Q0);
    g.session.conn.events->drained(g.state);
    assert_false(g.session.paused);

    g.session.next = GW_FULL;
    from_broker(&g, OK_Q0);
    assert_true(g.session.conn.paused);
    assert_false(g.session.paused);
    from_broker(&g, OK_Q0);
    assert_to_client(&g, OK_Q0 OK_Q0);
    mqtt_packets.drained(g.state);
    assert_false(g.session.conn.paused);
    stage_fini(&g);
}

/* Who does not read answers may not go on asking. */
static void test_answers_that_are_not_read(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, "sub:ok/#", NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    g.session.next = GW_FULL;
    from_client(&g, SUB_NONE);
    assert_true(g.session.paused);
    assert_true(g.session.conn.paused);
    mqtt_packets.drained(g.state);
    assert_false(g.session.paused);
    assert_false(g.session.conn.paused);
    stage_fini(&g);
}

/* ---- the end ---------------------------------------------------------------
 */

static void test_disconnect(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    from_client(&g, OK_Q0 "e0 00" OK_Q0);
    assert_to_broker(&g, OK_Q0 "e0 00"); /* what follows is nothing */
    assert_true(g.session.conn.finished);
    mqtt_packets.client_ended(g.state, 1000);
    assert_false(g.session.closed);
    g.session.conn.events->ended(g.state);
    assert_closed(&g, GW_DONE, 0);
    stage_fini(&g);
}

/* No DISCONNECT of ours: the broker sees an end without one, as it should. */
static void test_client_goes_without_disconnect(void **state)
{
    static const uint16_t codes[] = {1000, 1005, 1006};
    (void)state;

    for (size_t i = 0; i < LEN(codes); i++) {
        struct stage g;
        stage_init(&g, NULL, NULL);
        stage_connected(&g, CONNECT_4, CONNACK_4);
        from_client(&g, OK_Q0 "30 08 00");
        mqtt_packets.client_ended(g.state, codes[i]);
        assert_to_broker(&g, OK_Q0);
        assert_true(g.session.conn.finished);
        g.session.conn.events->ended(g.state);
        assert_closed(&g, GW_DONE, 0);
        stage_fini(&g);
    }
}

static void test_broker_ends(void **state)
{
    static const struct {
        const char *last;
        bool connack;
        enum gw_cause cause;
    } cases[] = {
        {OK_Q0, true, GW_DONE},
        {"20 02 00 05", false, GW_DONE},
        {"", false, GW_BACKEND_LOST},
        {"20 02", false, GW_BACKEND_LOST},
        {OK_Q0 "30 08 00", true, GW_BACKEND_LOST},
        {"e0 01 8b", true, GW_DONE},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage g;
        stage_init(&g, NULL, NULL);
        stage_open(&g);
        from_client(&g, CONNECT_4);
        if (cases[i].connack)
            from_broker(&g, CONNACK_4);
        if (*cases[i].last)
            from_broker(&g, cases[i].last);
        g.session.conn.events->ended(g.state);
        assert_closed(&g, cases[i].cause, 0);
        stage_fini(&g);
    }
}

static void test_broker_is_lost(void **state)
{
    struct stage g;
    (void)state;

    stage_init(&g, NULL, NULL);
    stage_connected(&g, CONNECT_4, CONNACK_4);
    g.session.conn.events->lost(g.state, "reset");
    assert_closed(&g, GW_BACKEND_LOST, 0);
    from_client(&g, OK_Q0);
    mqtt_packets.client_ended(g.state, 1006);
    stage_fini(&g);
}

static void test_broker_speaks_no_mqtt(void **state)
{
    static const char *const answers[] = {"30 ff ff ff ff ff",
                                          "20 03 00 00 00"};
    (void)state;

    for (size_t i = 0; i < LEN(answers); i++) {
        struct stage g;
        stage_init(&g, NULL, NULL);
        stage_open(&g);
        from_client(&g, CONNECT_4);
        from_broker(&g, answers[i]);
        assert_closed(&g, GW_BACKEND_LOST, 0);
        stage_fini(&g);
    }
}

/* ---- cuts ------------------------------------------------------------------
 */

/* The same session, its input cut in every way: the same bytes come out. */
static void test_cuts(void **state)
{
    static const char client[] = CONNECT_5 OK5_Q0 NO5_Q1 SUB5_MIXED ALIAS_OK
        NO5_Q2 ALIAS_ONLY PINGREQ SUB5_NONE OK5_Q0 "e0 00";
    static const char broker[] = CONNACK_5 OK5_Q0
        "90 05 01 02 00 00 02" NO5_Q0 ALIAS_NO ALIAS_ONLY PINGRESP;
    char want_up[2048], want_down[2048], got[2048];
    (void)state;

    for (uint32_t seed = 0; seed < 100; seed++) {
        struct bytes c = hex(client), b = hex(broker);
        struct rng rng = rng_of(seed);
        struct stage g;

        stage_init(&g, "pub:ok/#;sub:#", "sub:no/#");
        stage_open(&g);
        size_t connect = 17, at = 0;
        for (size_t step; at < c.n; at += step) {
            step = seed == 0 ? c.n : 1 + rng_below(&rng, seed < 3 ? 1 : 20);
            /* Aliases are known with CONNACK: the broker comes in between. */
            step = min_size(step, (at < connect ? connect : c.n) - at);
            from_client_bytes(&g, c.p + at, step);
            for (size_t i = 0, n; at + step == connect && i < 8; i += n) {
                n = min_size(8 - i, 1 + rng_below(&rng, 8));
                fake_conn_data(&g.session, b.p + i, n);
            }
        }
        for (size_t n, i = 8; i < b.n; i += n) {
            n = seed == 0 ? b.n - i : min_size(b.n - i, 1 + rng_below(&rng, 9));
            fake_conn_data(&g.session, b.p + i, n);
        }
        assert_false(g.session.closed);
        if (seed == 0) {
            taken(&g.session.conn.sent, want_up, sizeof want_up);
            taken(&g.session.sent, want_down, sizeof want_down);
        } else {
            assert_string_equal(taken(&g.session.conn.sent, got, sizeof got),
                                want_up);
            assert_string_equal(taken(&g.session.sent, got, sizeof got),
                                want_down);
        }
        stage_fini(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),
        cmocka_unit_test(test_broker_cannot_be_had),
        cmocka_unit_test(test_no_connect_in_time),
        cmocka_unit_test(test_a_value_is_missing),
        cmocka_unit_test(test_text_is_no_mqtt),
        cmocka_unit_test(test_first_packets_that_are_none),
        cmocka_unit_test(test_faults_within_a_session),
        cmocka_unit_test(test_max_packet),
        cmocka_unit_test(test_rewritten_connect),
        cmocka_unit_test(test_only_what_is_set_is_rewritten),
        cmocka_unit_test(test_made_up_ids),
        cmocka_unit_test(test_keepalive_clamped),
        cmocka_unit_test(test_pings_for_a_client),
        cmocka_unit_test(test_expiry_clamped),
        cmocka_unit_test(test_wills_are_publishes),
        cmocka_unit_test(test_duels),
        cmocka_unit_test(test_takeovers_are_forgotten),
        cmocka_unit_test(test_a_read_is_one_write),
        cmocka_unit_test(test_denied_publishes),
        cmocka_unit_test(test_denied_payload_in_pieces),
        cmocka_unit_test(test_plain_packets_behind_connect),
        cmocka_unit_test(test_topics_in_turn),
        cmocka_unit_test(test_large_payload_streams),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_subscriptions),
        cmocka_unit_test(test_shared_where_it_is_allowed),
        cmocka_unit_test(test_without_rules),
        cmocka_unit_test(test_merges_are_bounded),
        cmocka_unit_test(test_answers_wait_for_connack),
        cmocka_unit_test(test_answers_wait_for_the_end_of_a_packet),
        cmocka_unit_test(test_many_answers_pause_the_client),
        cmocka_unit_test(test_down_passes_untouched),
        cmocka_unit_test(test_denied_deliveries),
        cmocka_unit_test(test_cut_deliveries),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_answers_that_are_not_read),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_client_goes_without_disconnect),
        cmocka_unit_test(test_broker_ends),
        cmocka_unit_test(test_broker_is_lost),
        cmocka_unit_test(test_broker_speaks_no_mqtt),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
