/* SPDX-License-Identifier: Apache-2.0 */
/* packets.c - the frame of a session: its connection, its flow control, its
 * end. What a read brings and is allowed leaves as one write, from where it
 * lies. What packets mean is judged in packets_up.c and packets_down.c. */
#include "packets.h"

#include <stdlib.h>

/* ---- flow control ---------------------------------------------------------
 */

static void hold_up(struct packets *p, enum hold why)
{
    if (!p->up_holds)
        p->route->host->pause(p->session);
    p->up_holds |= (uint8_t)why;
}

static void release_up(struct packets *p, enum hold why)
{
    if (!(p->up_holds & why))
        return;
    p->up_holds &= (uint8_t)~why;
    if (!p->up_holds)
        p->route->host->resume(p->session);
}

static void hold_down(struct packets *p, enum hold why)
{
    if (!p->down_holds && p->conn)
        p->route->host->conn_pause(p->conn);
    p->down_holds |= (uint8_t)why;
}

static void release_down(struct packets *p, enum hold why)
{
    if (!(p->down_holds & why))
        return;
    p->down_holds &= (uint8_t)~why;
    if (!p->down_holds && p->conn)
        p->route->host->conn_resume(p->conn);
}

/* ---- to the broker ---------------------------------------------------------
 */

static enum gw_sent send_up(struct packets *p, const struct gw_piece *v, int n)
{
    if (!p->conn)
        return GW_GONE;
    enum gw_sent sent = p->route->host->conn_sendv(p->conn, v, n);
    if (sent == GW_FULL)
        hold_up(p, HOLD_BROKER);
    return sent;
}

/* What is in a run, as pieces: how many. */
static int run_pieces(const struct run *run, struct gw_piece v[2])
{
    int n = 0;

    if (run->before)
        v[n++] = (struct gw_piece){run->before, run->before_n};
    if (run->n > 0)
        v[n++] = (struct gw_piece){run->p, run->n};
    return n;
}

static void run_clear(struct run *run)
{
    free(run->before);
    *run = (struct run){0};
}

void packets_flush_up(struct packets *p)
{
    struct gw_piece v[2];
    int n = run_pieces(&p->run_up, v);

    if (n > 0)
        send_up(p, v, n);
    run_clear(&p->run_up);
}

/* The input is the bridge's to write to; events only do not say so. */
static uint8_t *writable(const uint8_t *p)
{
    return (uint8_t *)(uintptr_t)p;
}

/* Whether these bytes come right behind those of the run. */
static bool run_goes_on(const struct run *run, const struct mqtt_event *ev)
{
    return !ev->kept && (run->n == 0 || run->p + run->n == ev->p);
}

static void run_add(struct run *run, struct mqtt_reader *r,
                    const struct mqtt_event *ev)
{
    if (ev->kept) {
        run->before = mqtt_reader_take(r);
        run->before_n = ev->n;
        return;
    }
    if (run->n == 0)
        run->p = writable(ev->p);
    run->n += ev->n;
}

void packets_pass_up(struct packets *p, const struct mqtt_event *ev)
{
    if (!run_goes_on(&p->run_up, ev))
        packets_flush_up(p);
    run_add(&p->run_up, &p->up, ev);
}

void packets_put_up(struct packets *p, const uint8_t *b, size_t n)
{
    packets_flush_up(p);
    send_up(p, &(struct gw_piece){b, n}, 1);
}

void packets_finish(struct packets *p)
{
    packets_flush_up(p);
    if (p->conn && !p->finished)
        p->route->host->conn_finish(p->conn);
    p->finished = true;
}

/* ---- to the client ---------------------------------------------------------
 */

static enum gw_sent sent_down(struct packets *p, enum gw_sent sent)
{
    if (sent == GW_FULL)
        hold_down(p, HOLD_CLIENT);
    return sent;
}

static enum gw_sent send_down(struct packets *p, const uint8_t *b, size_t n)
{
    return sent_down(p,
                     p->route->host->send(p->session, GW_BINARY, b, n, false));
}

void packets_flush_down(struct packets *p)
{
    const struct gw_host *host = p->route->host;
    struct run *run = &p->run_down;
    struct gw_piece v[2];
    int n = run_pieces(run, v);

    if (n > 0 && run->before)
        sent_down(p, host->sendv(p->session, GW_BINARY, v, n, false));
    else if (n > 0)
        sent_down(p, host->send_inplace(p->session, GW_BINARY, run->p, run->n,
                                        false));
    run_clear(run);
}

void packets_pass_down(struct packets *p, const struct mqtt_event *ev)
{
    if (!run_goes_on(&p->run_down, ev))
        packets_flush_down(p);
    run_add(&p->run_down, &p->down, ev);
}

void packets_put_down(struct packets *p, const uint8_t *b, size_t n)
{
    packets_flush_down(p);
    send_down(p, b, n);
}

/* ---- packets of our own ----------------------------------------------------
 */

static bool answers_add(struct answers *a, const uint8_t *b, size_t n)
{
    if (a->n + n > a->cap) {
        size_t cap = a->cap ? 2 * (a->n + n) : n > 64 ? n : 64;
        uint8_t *grown = realloc(a->p, cap);
        if (!grown)
            return false;
        a->p = grown;
        a->cap = cap;
    }
    memcpy(a->p + a->n, b, n);
    a->n += n;
    return true;
}

static void answers_free(struct answers *a)
{
    free(a->p);
    *a = (struct answers){0};
}

void packets_answer(struct packets *p, const uint8_t *b, size_t n)
{
    if (!answers_add(&p->to_client, b, n)) {
        packets_no_memory(p);
        return;
    }
    if (p->to_client.n > PACKETS_ANSWERS_HIGH)
        hold_up(p, HOLD_ANSWERS);
}

void packets_tell_broker(struct packets *p, const uint8_t *b, size_t n)
{
    if (!answers_add(&p->to_broker, b, n)) {
        packets_no_memory(p);
        return;
    }
    if (p->to_broker.n > PACKETS_ANSWERS_HIGH)
        hold_down(p, HOLD_ANSWERS);
}

/* Nothing may come before CONNACK, nor into a packet. */
void packets_answers_leave(struct packets *p)
{
    bool between = p->drop_down || mqtt_reader_between(&p->down);

    if (p->to_client.n == 0 || !p->connack || !between)
        return;
    packets_flush_down(p);
    enum gw_sent sent = send_down(p, p->to_client.p, p->to_client.n);
    answers_free(&p->to_client);
    if (sent == GW_FULL) /* the client has to read before it asks on */
        hold_up(p, HOLD_CLIENT);
    release_up(p, HOLD_ANSWERS);
}

void packets_tells_leave(struct packets *p)
{
    bool between = p->drop_up || mqtt_reader_between(&p->up);

    if (p->to_broker.n == 0 || !between || p->finished)
        return;
    packets_flush_up(p);
    const struct gw_piece tells = {p->to_broker.p, p->to_broker.n};
    enum gw_sent sent = send_up(p, &tells, 1);
    answers_free(&p->to_broker);
    if (sent == GW_FULL)
        hold_down(p, HOLD_BROKER);
    release_down(p, HOLD_ANSWERS);
}

/* ---- the end ---------------------------------------------------------------
 */

void packets_end(struct packets *p, enum gw_cause cause, uint16_t code,
                 const char *why)
{
    if (p->over)
        return;
    packets_flush_up(p);
    packets_flush_down(p);
    packets_answers_leave(p);
    p->over = true;
    /* The broker sees the connection end without DISCONNECT: the will goes
     * out. */
    p->route->host->close(p->session, cause, code, why);
}

void packets_no_memory(struct packets *p)
{
    packets_end(p, GW_FAILED, 0, "out of memory");
}

/* MQTT 5 has a word for it; a client of MQTT 3 sees the close code. */
static void say_disconnect(struct packets *p, uint8_t reason)
{
    uint8_t out[MQTT_SMALL_MAX];

    if (p->version == MQTT_5 && p->connack)
        answers_add(&p->to_client, out, mqtt_disconnect(out, reason));
}

void packets_fault(struct packets *p, const struct mqtt_fault *fault)
{
    static const uint16_t protocol_error = 1002;
    const struct gw_host *host = p->route->host;

    if (p->over)
        return;
    host->log(p->session, GW_INFO, "mqtt-fault", fault->why);
    say_disconnect(p, (uint8_t)fault->reason);
    switch (fault->reason) {
    case MQTT_IMPLEMENTATION_ERROR:
        packets_end(p, GW_FAILED, 0, fault->why);
        return;
    case MQTT_PACKET_TOO_LARGE:
        packets_end(p, GW_TOO_BIG, 0, fault->why);
        break;
    case MQTT_QUOTA_EXCEEDED:
    case MQTT_NOT_AUTHORIZED:
        packets_end(p, GW_POLICY, 0, fault->why);
        return;
    default:
        packets_end(p, GW_BAD_DATA, protocol_error, fault->why);
    }
    packets_count(p, COUNT_MALFORMED, 1);
}

/* ---- timers ----------------------------------------------------------------
 */

static void connect_late(void *arg)
{
    struct packets *p = arg;

    p->timer = NULL;
    packets_end(p, GW_POLICY, 0, "no CONNECT in time");
}

/* A client of MQTT 3 cannot be told that its keepalive was shortened, so it
 * is kept for it. That the client is alive is known from WebSocket pings. */
static void ping_due(void *arg)
{
    static const uint8_t pingreq[] = {MQTT_PINGREQ << 4, 0};
    struct packets *p = arg;

    p->timer = NULL;
    if (p->over || p->finished)
        return;
    if (!p->active && p->pings < UINT8_MAX) {
        p->pings++;
        packets_look(p);
        packets_tell_broker(p, pingreq, sizeof pingreq);
        packets_tells_leave(p);
    }
    p->active = false;
    packets_ping_start(p, p->ping_ms);
}

void packets_ping_start(struct packets *p, uint32_t ms)
{
    p->ping_ms = ms;
    p->timer = p->route->host->timer(p->session, ms, ping_due, p);
    if (!p->timer)
        packets_no_memory(p);
}

/* ---- the broker's events ---------------------------------------------------
 */

static void on_connected(void *ctx)
{
    struct packets *p = ctx;
    const struct gw_host *host = p->route->host;

    host->accept(p->session);
    p->timer =
        host->timer(p->session, p->route->connect_deadline_ms, connect_late, p);
    if (!p->timer)
        packets_no_memory(p);
}

static void on_failed(void *ctx, int status, const char *why)
{
    struct packets *p = ctx;

    p->conn = NULL;
    p->over = true;
    p->route->host->refuse(p->session, status, why);
}

void packets_look(struct packets *p)
{
    uint16_t want = 0;

    if (!p->connack)
        want |= MQTT_BIT(MQTT_CONNACK);
    if (p->merges)
        want |= MQTT_BIT(MQTT_SUBACK);
    if (p->pings)
        want |= MQTT_BIT(MQTT_PINGRESP);
    if (p->route->checks_delivery)
        want |= MQTT_BIT(MQTT_PUBLISH);
    p->down.want = want;
}

/* Where no delivery is denied, packets pass the reader without a look. */
static void on_data(void *ctx, uint8_t *b, size_t n)
{
    struct packets *p = ctx;
    const uint8_t *in = b, *end = b + n;
    struct mqtt_event ev;
    enum mqtt_got got = MQTT_GOT_BYTES;
    struct plain judged, *plain = NULL;

    if (p->route->checks_delivery) {
        judged = packets_down_begin(p, in);
        plain = &judged;
    }
    while (!p->over && got != MQTT_GOT_MORE) {
        p->down.step = p->to_client.n > 0;
        if (plain)
            in = packets_down_plain(p, plain, in, end);
        got = mqtt_reader_next(&p->down, &in, end, &ev);
        if (got == MQTT_GOT_FAULT)
            packets_end(p, GW_BACKEND_LOST, 0, "the broker sent no MQTT");
        else if (got == MQTT_GOT_HEAD)
            packets_down_head(p, &ev);
        else if (got == MQTT_GOT_BYTES)
            packets_down_bytes(p, &ev);
        packets_answers_leave(p);
    }
    packets_flush_down(p);
    packets_tells_leave(p);
}

static void on_drained(void *ctx)
{
    struct packets *p = ctx;

    release_up(p, HOLD_BROKER);
    release_down(p, HOLD_BROKER);
}

static void on_ended(void *ctx)
{
    struct packets *p = ctx;

    if (p->connack && mqtt_reader_between(&p->down))
        packets_end(p, GW_DONE, 0, NULL);
    else
        packets_end(p, GW_BACKEND_LOST, 0, "the broker went too early");
}

static void on_lost(void *ctx, const char *why)
{
    struct packets *p = ctx;

    p->conn = NULL;
    packets_end(p, GW_BACKEND_LOST, 0, why);
}

static const struct gw_conn_events conn_events = {
    .connected = on_connected,
    .failed = on_failed,
    .data = on_data,
    .drained = on_drained,
    .ended = on_ended,
    .lost = on_lost,
};

/* ---- the session's events --------------------------------------------------
 */

static void packets_free(struct packets *p)
{
    for (int i = 0; i < MQTT_TEMPLATES; i++)
        free(p->filled[i]);
    free(p->broker);
    free(p->grants);
    takeover_leave(p->takeover);
    mqtt_reader_fini(&p->up);
    mqtt_reader_fini(&p->down);
    mqtt_aliases_fini(&p->up_aliases);
    mqtt_aliases_fini(&p->down_aliases);
    run_clear(&p->run_up);
    run_clear(&p->run_down);
    answers_free(&p->to_client);
    answers_free(&p->to_broker);
    while (p->merges) {
        struct merge *m = p->merges;
        p->merges = m->next;
        free(m);
    }
    free(p);
}

/* What the route's templates are for this session. False: refused, or out of
 * memory. */
static bool fill(struct packets *p)
{
    enum { VALUE_MAX = 8192 };
    const struct gw_host *host = p->route->host;
    char value[VALUE_MAX];

    for (int i = 0; i < MQTT_TEMPLATES; i++) {
        const char *template = p->route->templates[i], *why;
        if (!template)
            continue;
        int n = host->template_fill(p->session, template, GW_FILL_TEXT, value,
                                    sizeof value, &why);
        if (n >= 0 && !mqtt_string_valid((struct text){value, (size_t)n})) {
            why = "a value of the request is not UTF-8";
            n = -1;
        }
        if (n < 0) {
            host->refuse(p->session, 400, why);
            return false;
        }
        if (!(p->filled[i] = strdup(value)))
            return false;
    }
    return true;
}

static void packets_limits(struct packets *p)
{
    uint32_t most = p->route->max_packet;

    mqtt_reader_init(&p->up, true, UINT16_MAX);
    mqtt_reader_init(&p->down, false, 0);
    p->up.max_head = p->down.max_head = PACKETS_HEAD_MAX;
    if (most > 0) {
        p->up.max_packet = most;
        if (most < PACKETS_HEAD_MAX)
            p->up.max_head = most;
    }
    packets_look(p);
}

static void *packets_open(struct gw_session *session,
                          const struct mqtt_route *route,
                          const struct gw_request *r, enum gw_take *take)
{
    struct packets *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->base.dialect = &mqtt_packets;
    p->route = route;
    p->session = session;
    packets_limits(p);
    *take = GW_STREAM;
    p->broker = strdup(r->address);
    if (!p->broker || !mqtt_grants(session, route, &p->grants) || !fill(p))
        goto fail;
    const struct gw_dial dial = {
        .address = r->address,
        .default_port = route->default_port,
        .connect_timeout_ms = route->connect_timeout_ms,
        .tls = route->tls,
        .proxy = route->proxy,
        .events = &conn_events,
        .ctx = p,
    };
    p->conn = route->host->dial(session, &dial);
    if (p->conn)
        return p;
fail:
    packets_free(p);
    return NULL;
}

static void packets_data(void *state, const struct gw_data *d)
{
    struct packets *p = state;
    const uint8_t *in = d->p, *end = d->p + d->n;
    struct mqtt_event ev;
    enum mqtt_got got = MQTT_GOT_BYTES;

    if (p->over || p->finished || !p->conn)
        return;
    if (d->type != GW_BINARY) {
        packets_end(p, GW_UNSUPPORTED, 0, "MQTT goes in binary frames");
        return;
    }
    p->active = true;
    struct plain plain = packets_up_begin(p, in);
    while (!p->over && !p->finished && got != MQTT_GOT_MORE) {
        packets_tells_leave(p);
        in = packets_up_plain(p, &plain, in, end);
        got = mqtt_reader_next(&p->up, &in, end, &ev);
        if (got == MQTT_GOT_FAULT)
            packets_fault(p, ev.fault);
        else if (got == MQTT_GOT_HEAD)
            packets_up_head(p, &ev);
        else if (got == MQTT_GOT_BYTES)
            packets_up_bytes(p, &ev);
    }
    packets_flush_up(p);
    packets_tells_leave(p);
    packets_answers_leave(p);
}

static void packets_drained(void *state)
{
    struct packets *p = state;

    release_down(p, HOLD_CLIENT);
    release_up(p, HOLD_CLIENT);
}

/* Without DISCONNECT before FIN, the broker publishes the will. */
static void packets_client_ended(void *state, uint16_t code)
{
    struct packets *p = state;
    (void)code;

    if (!p->conn || p->over) {
        packets_end(p, GW_DONE, 0, NULL);
        return;
    }
    packets_finish(p);
    p->down_holds = 0;
    p->route->host->conn_resume(p->conn); /* its FIN is to be read */
}

static void packets_close(void *state)
{
    packets_free(state);
}

const struct mqtt_dialect mqtt_packets = {
    .open = packets_open,
    .data = packets_data,
    .drained = packets_drained,
    .client_ended = packets_client_ended,
    .close = packets_close,
};
