/* SPDX-License-Identifier: Apache-2.0 */
/* A session of an MQTT client, both sides unfriendly: fed whole and in pieces
 * it does the same, and nothing that gangway forbids a bridge. The first byte
 * says which route, the second how input is cut; then pieces follow, each with
 * two bytes before it: whose it is, and its size. */
#include "../../bridges/mqtt/packets.h"
#include "../unit/mqtt_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char user[] = "user", password[] = "{query.p}";

static void route_init(struct mqtt_route *r, uint8_t kind)
{
    char err[256];

    *r = (struct mqtt_route){
        .host = &fake_host,
        .connect_deadline_ms = 5000,
        .max_keepalive_s = kind & 1 ? 10 : 300,
        .drop_denied = kind & 2,
        .allow_shared = kind & 4,
        .clamp_expiry = kind & 8,
        .max_packet = kind & 16 ? 100 : 0,
        .checks_delivery = kind & 32,
    };
    r->rules = rules_new(kind & 64 ? NULL : "all:a/#;sub:b",
                         kind & 32 && !(kind & 64) ? "all:a/x" : NULL, err,
                         sizeof err);
    CHECK(r->rules);
    if (kind & 128) {
        r->templates[TEMPLATE_USER] = user;
        r->templates[TEMPLATE_PASSWORD] = password;
    }
}

static void from_client(struct gw_session *s, void *state, const uint8_t *p,
                        size_t n)
{
    uint8_t *copy = malloc(n);
    const struct gw_data d = {copy, n, GW_BINARY, false, false};

    CHECK(copy);
    memcpy(copy, p, n);
    if (!s->closed)
        mqtt_packets.data(state, &d);
    free(copy);
}

static void play(struct gw_session *s, void *state, const uint8_t *p, size_t n,
                 size_t step)
{
    while (n >= 2 && !s->closed) {
        bool broker = p[0] & 1;
        size_t piece = p[1] < n - 2 ? p[1] : n - 2;
        p += 2;
        n -= 2;
        for (size_t at = 0; at < piece && !s->closed; at += step) {
            size_t some = step < piece - at ? step : piece - at;
            if (broker)
                fake_conn_data(s, p + at, some);
            else
                from_client(s, state, p + at, some);
        }
        p += piece;
        n -= piece;
    }
}

static void run(struct gw_session *s, const uint8_t *data, size_t size,
                size_t step)
{
    const struct gw_request r = {.address = "broker", .subprotocol = "mqtt"};
    struct mqtt_route route;
    enum gw_take take;

    route_init(&route, data[0]);
    s->value = "value";
    void *state = mqtt_packets.open(s, &route, &r, &take);
    CHECK(state);
    s->conn.events->connected(state);
    play(s, state, data + 2, size - 2, step);
    if (!s->closed)
        mqtt_packets.client_ended(state, 1006);
    if (!s->closed)
        s->conn.events->ended(state);
    CHECK(s->closed);
    mqtt_packets.close(state);
    rules_free(route.rules);
}

static bool same(const struct fake_bytes *a, const struct fake_bytes *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_session whole = {0}, cut = {0};

    if (size < 2)
        return 0;
    run(&whole, data, size, size);
    run(&cut, data, size, 1 + data[1] % 16U);
    CHECK(same(&whole.conn.sent, &cut.conn.sent));
    CHECK(same(&whole.sent, &cut.sent));
    CHECK(whole.cause == cut.cause && whole.code == cut.code);
    fake_session_fini(&whole);
    fake_session_fini(&cut);
    return 0;
}
