/* SPDX-License-Identifier: Apache-2.0 */
/* session_input.c - what the client sends: payload to the bridge, control
 * frames answered, faults and ends told. */
#include "session_parts.h"

#include <stdlib.h>

/* ---- payload to the bridge --------------------------------------------- */

static void to_bridge(struct gw_session *s, const struct gw_data *d)
{
    if (s->bridge_done || s->client_done)
        return;
    s->route->bridge->data(s->state, d);
}

/* Keep a part of a message until it is whole; its size is bounded by the
 * stream's limit. */
static bool keep_part(struct gw_session *s, const struct ws_event *ev)
{
    if (s->early_n + ev->n > s->early_cap) {
        size_t cap = max_size(s->early_n + ev->n, 2 * s->early_cap);
        uint8_t *grown = realloc(s->early, cap);
        if (!grown)
            return false;
        s->early = grown;
        s->early_cap = cap;
    }
    if (ev->n > 0)
        memcpy(s->early + s->early_n, ev->p, ev->n);
    s->early_n += ev->n;
    return true;
}

static void message_data(struct gw_session *s, const struct ws_event *ev)
{
    struct gw_data d = {ev->p, ev->n, (enum gw_type)ev->opcode, true, true};

    if (!ev->first || !ev->last) {
        if (!keep_part(s, ev)) {
            session_end(s, END_FAILED, 0, NULL);
            session_client_ended(s, WS_CODE_INTERNAL);
            return;
        }
        if (!ev->last)
            return;
        d.p = s->early;
        d.n = s->early_n;
    }
    to_bridge(s, &d);
    if (s->early) {
        free(s->early);
        s->early = NULL;
        s->early_n = s->early_cap = 0;
    }
}

static void run_deliver(struct gw_session *s, struct gw_data *run)
{
    if (run->n > 0)
        to_bridge(s, run);
    run->n = 0;
}

static void data_event(struct gw_session *s, const struct ws_event *ev,
                       struct gw_data *run)
{
    s->bytes_in += ev->n;
    s->messages_in += ev->messages;
    counter_add(
        &s->serve->metrics
             .frames_in[ev->opcode == WS_TEXT ? FRAME_TEXT : FRAME_BINARY],
        ev->messages);
    if (s->take == GW_MESSAGES) {
        message_data(s, ev);
    } else if (s->take == GW_SLICES) {
        struct gw_data d = {ev->p, ev->n, (enum gw_type)ev->opcode, ev->first,
                            ev->last};
        to_bridge(s, &d);
    } else {
        if (run->n > 0 && run->type != (enum gw_type)ev->opcode)
            run_deliver(s, run);
        if (run->n == 0)
            *run =
                (struct gw_data){.p = ev->p, .type = (enum gw_type)ev->opcode};
        run->n += ev->n;
    }
}

/* ---- control frames ---------------------------------------------------- */

/* Whether one more control frame is within the rate. */
static bool control_allowed(struct gw_session *s)
{
    double now = loop_now(s->serve->loop);
    float burst = (float)session_limits(s)->control_burst;

    s->control_tokens +=
        (float)(now - s->control_at) * (float)session_limits(s)->control_rate;
    s->control_at = now;
    if (s->control_tokens > burst)
        s->control_tokens = burst;
    if (s->control_tokens < 1 && session_limits(s)->control_rate > 0)
        return false;
    s->control_tokens -= 1;
    return true;
}

static void got_ping(struct gw_session *s, const struct ws_event *ev)
{
    uint8_t frame[2 + WS_CONTROL_MAX];
    counter_add(&s->serve->metrics.frames_in[FRAME_PING], 1);
    if (s->sent_close)
        return;
    memcpy(frame + 2, ev->p, ev->n);
    ws_head_encode_before(frame + 2, true, WS_PONG, ev->n);
    conn_send_urgent(s->conn, frame, 2 + ev->n);
    counter_add(&s->serve->metrics.frames_out[FRAME_PONG], 1);
}

static void got_close(struct gw_session *s, uint16_t code)
{
    s->got_close = s->rx_over = true;
    counter_add(&s->serve->metrics.frames_in[FRAME_CLOSE], 1);
    session_set_end(s, END_CLIENT_CLOSE, code);
    session_send_close(s, code, NULL);
    session_client_ended(s, code);
    if (s->conn)
        session_client_finish(s);
}

/* The client did what it may not: nothing more of it counts. */
static void client_fault(struct gw_session *s, enum end end, uint16_t code,
                         const char *why)
{
    char id[SESSION_ID_TEXT];
    session_id_text(s, id);
    log_info("client-fault", log_str("sid", id), log_u64("code", code),
             log_str("why", why));
    s->rx_over = true;
    session_end(s, end, code, why);
    session_client_ended(s, code);
    if (s->conn)
        session_client_finish(s);
}

static void got_fault(struct gw_session *s, const struct ws_event *ev)
{
    enum end why = END_PROTOCOL;
    struct metrics *m = &s->serve->metrics;

    if (ev->code == WS_CODE_BAD_DATA) {
        why = END_BAD_TEXT;
    } else if (ev->code == WS_CODE_TOO_BIG) {
        why = END_TOO_BIG;
        counter_add(&m->limit_hits[LIMIT_MESSAGE], 1);
    } else if (ev->code == WS_CODE_POLICY) {
        why = END_POLICY;
        counter_add(&m->limit_hits[LIMIT_FRAGMENTS], 1);
    }
    client_fault(s, why, ev->code, ev->why);
}

static void control_flood(struct gw_session *s)
{
    counter_add(&s->serve->metrics.limit_hits[LIMIT_CONTROL], 1);
    client_fault(s, END_POLICY, WS_CODE_POLICY, "too many control frames");
}

/* ---- input ------------------------------------------------------------- */

static void control_event(struct gw_session *s, enum ws_got got,
                          const struct ws_event *ev, struct gw_data *run)
{
    bool flood =
        (got == WS_GOT_PING || got == WS_GOT_PONG) && !control_allowed(s);

    if (flood || got == WS_GOT_CLOSE || got == WS_GOT_FAULT)
        run_deliver(s, run); /* what came before it counts */
    if (flood)
        control_flood(s);
    else if (got == WS_GOT_FAULT)
        got_fault(s, ev);
    else if (got == WS_GOT_CLOSE)
        got_close(s, ev->code);
    else if (got == WS_GOT_PING)
        got_ping(s, ev);
    else
        counter_add(&s->serve->metrics.frames_in[FRAME_PONG], 1);
}

static void session_input(struct gw_session *s, uint8_t *p, size_t n)
{
    const bool whole = s->take == GW_MESSAGES;
    const struct ws_stream_limits lim = {
        .message_bytes = whole ? s->route->max_message : 0,
        .fragments = whole ? session_limits(s)->fragments : 0,
    };
    struct ws_input in = {p, p + n, NULL, s->take == GW_STREAM};
    struct gw_data run = {0};
    struct ws_event ev;
    enum ws_got got;
    uint64_t before = s->bytes_in;

    for (;;) {
        if (run.n == 0)
            in.out = NULL; /* a run of its own stays where it is */
        got = ws_stream_next(&s->rx, &in, &lim, &ev);
        if (got == WS_GOT_MORE)
            break;
        if (got == WS_GOT_DATA) {
            data_event(s, &ev, &run);
            continue;
        }
        control_event(s, got, &ev, &run);
        if (!s->conn || s->rx_over)
            break;
    }
    run_deliver(s, &run);
    if (s->bytes_in != before) {
        counter_add(&s->serve->metrics.payload_in, s->bytes_in - before);
        s->data_at = loop_now(s->serve->loop);
    }
}

static void session_on_data(struct conn *c, uint8_t *p, size_t n)
{
    struct gw_session *s = c->owner;

    s->ping_at = 0; /* any sign of life will do */
    if (!s->rx_over)
        session_input(s, p, n);
    s->rx_at = loop_now(s->serve->loop);
}

void session_early_deliver(struct gw_session *s)
{
    uint8_t *p = s->early;
    size_t n = s->early_n;

    s->early_due = false;
    s->early = NULL;
    s->early_n = s->early_cap = 0;
    if (s->conn && !s->client_done)
        session_input(s, p, n);
    free(p);
    session_read_on(s);
}

static void session_on_eof(struct conn *c)
{
    struct gw_session *s = c->owner;

    s->rx_over = true;
    session_set_end(s, END_CLIENT_GONE, 0);
    session_client_ended(s, WS_CODE_ABNORMAL);
    if (!s->conn)
        return;
    if (s->sent_close)
        session_client_finish(s);
}

static void session_on_drained(struct conn *c)
{
    struct gw_session *s = c->owner;
    if (!s->bridge_done && s->route->bridge->drained)
        s->route->bridge->drained(s->state);
}

static void session_on_finished(struct conn *c)
{
    session_try_close(c->owner);
}

static void session_on_error(struct conn *c, int error)
{
    (void)error;
    session_client_lost(c->owner, END_CLIENT_RESET, false);
}

const struct conn_ops session_conn_ops = {
    .on_data = session_on_data,
    .on_eof = session_on_eof,
    .on_drained = session_on_drained,
    .on_finished = session_on_finished,
    .on_error = session_on_error,
};

void session_pause(struct gw_session *s)
{
    if (!s->conn || s->bridge_done || s->client_done)
        return;
    s->rx_paused = true;
    conn_pause(s->conn);
}

void session_resume(struct gw_session *s)
{
    if (!s->rx_paused)
        return;
    s->rx_paused = false;
    s->rx_at = loop_now(s->serve->loop); /* it could not be heard */
    session_read_on(s);
}
