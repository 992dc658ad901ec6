/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - what a WebSocket session does with frames, waits and ends. */
#include "session.h"
#include "../net/tls.h"
#include "bridge_host.h"
#include "http_reply.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

enum { ANSWER_MAX = 1024, SUBPROTOCOL_MAX = 768, SMALL = 512 };

/* What the answer to the request needs; freed with it. */
struct session_request {
    struct slice key, subprotocol, host, path;
    const struct template_values *values; /* while the bridge opens */
    char text[];
};

static const struct limit_settings *limits(const struct gw_session *s)
{
    return &s->generation->settings->limits;
}

static const struct timeout_settings *timeouts(const struct gw_session *s)
{
    return &s->generation->settings->timeouts;
}

void session_id_text(const struct gw_session *s, char out[SESSION_ID_TEXT])
{
    snprintf(out, SESSION_ID_TEXT, "%u-%llu", s->serve->worker,
             (unsigned long long)s->id);
}

/* ---- the end ----------------------------------------------------------- */

/* The first reason is the one. */
static void set_end(struct gw_session *s, enum end why, uint16_t code)
{
    if (s->ended_why)
        return;
    s->ended_why = true;
    s->end = (uint8_t)why;
    s->code = code ? code : end_code(why);
}

static void log_end(const struct gw_session *s)
{
    char id[SESSION_ID_TEXT], client[PEER_TEXT];
    double now = loop_now(s->serve->loop);

    session_id_text(s, id);
    peer_text(&s->peer, client);
    log_info("session-end", log_str("sid", id), log_str("client", client),
             log_str("route", s->route->name),
             log_str("reason", end_label(s->end)), log_u64("code", s->code),
             log_str("by", end_who(s->end)), log_u64("bytes_in", s->bytes_in),
             log_u64("bytes_out", s->bytes_out),
             log_u64("messages_in", s->messages_in),
             log_u64("frames_out", s->messages_out),
             log_u64("ms", (uint64_t)((now - s->opened_at) * 1000)));
}

static void count_end(struct gw_session *s)
{
    struct metrics *m = &s->serve->metrics;
    counter_add(&m->ends[s->end], 1);
    if (s->opened)
        counter_add(&m->sessions_closed, 1);
    if (s->code >= 1000 && s->code < 1000 + LEN(m->close_codes))
        counter_add(&m->close_codes[s->code - 1000], 1);
    else if (s->code >= 3000 && s->code < 5000)
        counter_add(&m->close_codes_app, 1);
}

static void session_free(struct gw_session *s)
{
    struct serve *serve = s->serve;

    count_end(s);
    if (s->opened)
        log_end(s);
    deadline_stop(serve->loop, &s->deadline);
    DL_DELETE(serve->sessions, s);
    generation_unref(s->generation);
    free(s->request);
    free(s->early);
    bool counted = s->opened; /* else the connection is still its h1's */
    free(s);
    if (counted)
        serve_client_gone(serve, false);
    else
        serve_settled(serve);
}

static void early_deliver(struct gw_session *s);

/* What may not happen within a call from the bridge or from libev. */
static void session_later_cb(struct loop_later *later)
{
    struct gw_session *s = container_of(later, struct gw_session, later);

    s->later_queued = false;
    if (s->early_due)
        early_deliver(s);
    if (s->bridge_done && !s->bridge_freed) {
        s->bridge_freed = true;
        if (s->state)
            s->route->bridge->close(s->state);
        s->state = NULL;
        backends_close(s); /* what the bridge has left */
    }
    if (s->bridge_freed && s->client_closed && !s->later_queued)
        session_free(s);
}

static void session_later(struct gw_session *s)
{
    if (s->later_queued)
        return;
    s->later_queued = true;
    s->later.fn = session_later_cb;
    loop_defer(s->serve->loop, &s->later);
}

static void bridge_over(struct gw_session *s)
{
    s->bridge_done = true;
    session_later(s);
}

/* The client's connection has nothing to do any more. */
static void client_close(struct gw_session *s, bool reset)
{
    if (s->client_closed)
        return;
    s->client_closed = true;
    conn_close(s->conn, reset);
    s->conn = NULL;
    session_later(s);
}

/* Both FINs have passed: the end. */
static void client_try_close(struct gw_session *s)
{
    if (s->conn && s->conn->told_eof && s->conn->finished)
        client_close(s, false);
}

static void end_within(struct gw_session *s, unsigned ms)
{
    s->end_by = deadline_in(s->serve->loop, ms);
    deadline_by(s->serve->loop, &s->deadline, s->end_by);
}

/* The client sends no more that matters; the bridge may finish its work. */
static void client_ended(struct gw_session *s, uint16_t code)
{
    if (s->client_done)
        return;
    s->client_done = true;
    end_within(s, timeouts(s)->linger);
    if (s->bridge_done)
        return;
    if (s->state && s->route->bridge->client_ended)
        s->route->bridge->client_ended(s->state, code);
    else
        session_close(s, s->end, s->code, NULL);
}

static void send_close(struct gw_session *s, uint16_t code, const char *reason)
{
    uint8_t frame[2 + WS_CONTROL_MAX];
    if (s->sent_close || !s->conn)
        return;
    if (code == WS_CODE_ABNORMAL) /* never on the wire, section 7.4.1 */
        code = WS_CODE_GOING_AWAY;
    size_t n = ws_close_payload(frame + 2, code, reason);
    ws_head_encode_before(frame + 2, true, WS_CLOSE, n);
    s->sent_close = true;
    conn_send(s->conn, frame, 2 + n);
    counter_add(&s->serve->metrics.frames_out[FRAME_CLOSE], 1);
}

/* Send FIN after the Close frame. */
static void client_finish(struct gw_session *s)
{
    conn_finish(s->conn);
    conn_resume(s->conn); /* its FIN is still to be read */
    end_within(s, timeouts(s)->linger);
    client_try_close(s);
}

/* What came before the 101 is looked at first. */
static void client_read_on(struct gw_session *s)
{
    if (s->conn && !s->rx_paused && !s->early_due)
        conn_resume(s->conn);
}

/* The gateway ends the session: what the bridge has sent goes first. */
static void session_end(struct gw_session *s, enum end why, uint16_t code,
                        const char *reason)
{
    set_end(s, why, code);
    send_close(s, code ? code : end_code(why), reason);
    s->rx_paused = false;
    client_read_on(s);
    end_within(s, timeouts(s)->close);
}

/* The client's connection is gone, or is to be dropped. */
static void client_lost(struct gw_session *s, enum end why, bool reset)
{
    set_end(s, why, 0);
    client_close(s, reset);
    client_ended(s, WS_CODE_ABNORMAL);
}

void session_close(struct gw_session *s, enum end why, uint16_t code,
                   const char *reason)
{
    if (s->bridge_done)
        return;
    if (!s->opened) {
        session_refuse(s, why == END_TRY_LATER ? 503 : 502, reason);
        return;
    }
    bridge_over(s);
    if (s->client_closed) {
        set_end(s, why, code);
        return;
    }
    session_end(s, why, code, reason);
    if (s->rx_over)
        client_finish(s);
}

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
            client_ended(s, WS_CODE_INTERNAL);
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
    if (ev->first) {
        s->messages_in++;
        counter_add(
            &s->serve->metrics
                 .frames_in[ev->opcode == WS_TEXT ? FRAME_TEXT : FRAME_BINARY],
            1);
    }
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
    float burst = (float)limits(s)->control_burst;

    s->control_tokens +=
        (float)(now - s->control_at) * (float)limits(s)->control_rate;
    s->control_at = now;
    if (s->control_tokens > burst)
        s->control_tokens = burst;
    if (s->control_tokens < 1 && limits(s)->control_rate > 0)
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
    set_end(s, END_CLIENT_CLOSE, code);
    send_close(s, code, NULL);
    client_ended(s, code);
    if (s->conn)
        client_finish(s);
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
    client_ended(s, code);
    if (s->conn)
        client_finish(s);
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
        .fragments = whole ? limits(s)->fragments : 0,
    };
    struct ws_input in = {p, p + n, NULL};
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

static void early_deliver(struct gw_session *s)
{
    uint8_t *p = s->early;
    size_t n = s->early_n;

    s->early_due = false;
    s->early = NULL;
    s->early_n = s->early_cap = 0;
    if (s->conn && !s->client_done)
        session_input(s, p, n);
    free(p);
    client_read_on(s);
}

static void session_on_eof(struct conn *c)
{
    struct gw_session *s = c->owner;

    s->rx_over = true;
    set_end(s, END_CLIENT_GONE, 0);
    client_ended(s, WS_CODE_ABNORMAL);
    if (!s->conn)
        return;
    if (s->sent_close)
        client_finish(s);
}

static void session_on_drained(struct conn *c)
{
    struct gw_session *s = c->owner;
    if (!s->bridge_done && s->route->bridge->drained)
        s->route->bridge->drained(s->state);
}

static void session_on_finished(struct conn *c)
{
    client_try_close(c->owner);
}

static void session_on_error(struct conn *c, int error)
{
    (void)error;
    client_lost(c->owner, END_CLIENT_RESET, false);
}

static const struct conn_ops session_conn_ops = {
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
    client_read_on(s);
}

/* ---- output ------------------------------------------------------------ */

/* Whether the queue has room for what a bridge sends. It may not be able to
 * stop within the turn that made it full: one read of its backend's may have
 * become any number of messages. After that it should. */
static bool has_room(struct gw_session *s)
{
    double now = loop_now(s->serve->loop);

    if (!s->conn->full) {
        s->full_at = 0;
        return true;
    }
    if (s->full_at == 0) {
        s->full_at = now;
        s->send_cap = 0;
    }
    if (s->full_at == now)
        return true;
    if (s->send_cap == 0)
        s->send_cap = conn_queued(s->conn) + limits(s)->queue_high;
    return conn_queued(s->conn) < s->send_cap;
}

/* Whether there is anybody to send to; ends the session of a bridge that
 * goes on although it was told to stop. */
static bool can_send(struct gw_session *s)
{
    if (!s->conn || s->sent_close)
        return false;
    if (has_room(s))
        return true;
    session_close(s, END_FAILED, 0, "output queue overrun");
    return false;
}

/* n bytes of payload have been given to the connection. */
static enum gw_sent account_sent(struct gw_session *s, bool text, size_t n,
                                 enum conn_sent sent)
{
    struct metrics *m = &s->serve->metrics;

    s->bytes_out += n;
    s->messages_out++;
    s->data_at = loop_now(s->serve->loop);
    counter_add(&m->frames_out[text ? FRAME_TEXT : FRAME_BINARY], 1);
    counter_add(&m->payload_out, n);
    if (conn_queued(s->conn) > 0)
        session_look_by(s, conn_stalls_at(s->conn, timeouts(s)->write_stall));
    return sent == CONN_SENT ? GW_SENT : sent == CONN_FULL ? GW_FULL : GW_GONE;
}

enum gw_sent session_send(struct gw_session *s, enum gw_type type, uint8_t *p,
                          size_t n, bool more, bool headroom)
{
    uint8_t head[WS_SERVER_HEAD_MAX];
    uint8_t *end = headroom ? p : head + sizeof head;
    uint8_t opcode = s->tx_message ? WS_CONTINUATION : (uint8_t)type;
    enum conn_sent sent;

    if (!can_send(s))
        return GW_GONE;
    size_t h = ws_head_encode_before(end, !more, opcode, n);
    if (headroom) {
        sent = conn_send(s->conn, p - h, h + n);
    } else if (n <= SMALL) { /* cheaper than a second piece or TLS record */
        uint8_t small[WS_SERVER_HEAD_MAX + SMALL];
        memcpy(small, end - h, h);
        if (n > 0)
            memcpy(small + h, p, n);
        sent = conn_send(s->conn, small, h + n);
    } else {
        const struct iovec v[2] = {{end - h, h}, {p, n}};
        sent = conn_sendv(s->conn, v, 2);
    }
    s->tx_message = more;
    return account_sent(s, type == GW_TEXT, n, sent);
}

enum gw_sent session_send_frame(struct gw_session *s, struct shared *frame)
{
    struct ws_head head;

    if (!can_send(s))
        return GW_GONE;
    ws_head_decode(&head, frame->bytes, frame->n);
    return account_sent(s, head.opcode == WS_TEXT, (size_t)head.payload_len,
                        conn_send_shared(s->conn, frame));
}

/* ---- waits ------------------------------------------------------------- */

void session_look_by(struct gw_session *s, double at)
{
    deadline_by(s->serve->loop, &s->deadline, at);
}

void session_opening_by(struct gw_session *s, double at)
{
    if (s->opened || s->refused)
        return;
    if (at > s->end_by)
        s->end_by = at;
    deadline_by(s->serve->loop, &s->deadline, s->end_by);
}

static void send_ping(struct gw_session *s)
{
    uint8_t frame[2];
    ws_head_encode_before(frame + 2, true, WS_PING, 0);
    conn_send(s->conn, frame, sizeof frame);
    counter_add(&s->serve->metrics.frames_out[FRAME_PING], 1);
    s->ping_at = loop_now(s->serve->loop);
}

/* Whether the client is alive: the next look, or 0 with the session ended. A
 * client that we do not read cannot prove it, and one that takes nothing is
 * judged by write_stall. */
static double look_alive(struct gw_session *s)
{
    const struct timeout_settings *t = timeouts(s);
    double now = loop_now(s->serve->loop);

    if (t->ping_interval == 0)
        return 0;
    double next = now + t->ping_interval / 1000.;
    if (s->rx_paused) {
        s->ping_at = 0;
        return next;
    }
    if (s->ping_at != 0) {
        double due = s->ping_at + t->pong_wait / 1000.;
        if (now < due)
            return deadline_first(due, next); /* the pong may be early */
        client_lost(s, END_CLIENT_SILENT, true);
        return 0;
    }
    double due = s->rx_at + t->ping_interval / 1000.;
    if (now < due)
        return due;
    if (conn_queued(s->conn) > 0)
        return next;
    send_ping(s);
    return deadline_first(now + t->pong_wait / 1000., next);
}

static void backend_stalled(struct gw_session *s)
{
    bridge_over(s);
    if (s->client_closed)
        set_end(s, END_BACKEND_STALLED, 0);
    else
        session_end(s, END_BACKEND_STALLED, 0, "the backend does not read");
    if (s->conn && s->rx_over)
        client_finish(s);
}

static void look_open(struct gw_session *s)
{
    const struct timeout_settings *t = timeouts(s);
    double now = loop_now(s->serve->loop), next = 0;
    bool stalled;
    size_t queued;

    if (conn_stalled(s->conn, t->write_stall)) {
        client_lost(s, END_CLIENT_STALLED, true);
        return;
    }
    next = deadline_first(conn_stalls_at(s->conn, t->write_stall),
                          backends_stall_at(s, &stalled, &queued));
    if (stalled) {
        backend_stalled(s);
        return;
    }
    if (t->idle > 0) {
        double due = s->data_at + t->idle / 1000.;
        if (due <= now) {
            session_end(s, END_IDLE, 0, "idle");
            client_ended(s, WS_CODE_GOING_AWAY);
            return;
        }
        next = deadline_first(next, due);
    }
    next = deadline_first(next, look_alive(s));
    if (s->conn)
        deadline_by(s->serve->loop, &s->deadline, next);
}

/* One or both sides are ending: what is queued may go on as long as it
 * moves, then the deadline falls. */
static void look_ending(struct gw_session *s)
{
    const struct timeout_settings *t = timeouts(s);
    double now = loop_now(s->serve->loop);
    bool stalled;
    size_t queued;

    backends_stall_at(s, &stalled, &queued);
    if (!s->bridge_done && s->client_done) {
        bool replying =
            s->conn && !s->sent_close && now < s->data_at + t->linger / 1000.;
        if ((queued > 0 && !stalled) || replying)
            end_within(s, t->linger);
        else if (now >= s->end_by)
            session_close(s, s->end, s->code, NULL);
    }
    if (s->conn && conn_outstanding(s->conn) > 0 &&
        !conn_stalled(s->conn, t->write_stall))
        end_within(s, t->close);
    else if (s->conn && now >= s->end_by)
        client_lost(s, s->end, true);
    if (s->end_by > now)
        deadline_by(s->serve->loop, &s->deadline, s->end_by);
}

static void session_look(struct deadline *d)
{
    struct gw_session *s = container_of(d, struct gw_session, deadline);
    double now = loop_now(s->serve->loop);

    if (s->opened && !s->client_done && !s->sent_close && s->conn)
        look_open(s);
    else if (s->opened)
        look_ending(s);
    else if (now >= s->end_by)
        session_refuse(s, 504, "the backend took too long");
    else
        deadline_by(s->serve->loop, d, s->end_by);
}

/* ---- opening ----------------------------------------------------------- */

/* Before the answer: a client that has it finds its line. */
static void log_open(const struct gw_session *s)
{
    char id[SESSION_ID_TEXT], client[PEER_TEXT];
    const SSL *ssl = conn_ssl(s->h1->conn);

    session_id_text(s, id);
    peer_text(&s->peer, client);
    log_info("session-open", log_str("sid", id), log_str("client", client),
             log_u64("port", s->peer.port), log_str("route", s->route->name),
             log_slice("host", s->request->host),
             log_slice("path", s->request->path),
             log_str("bridge", s->route->bridge->name),
             log_slice("subprotocol", s->request->subprotocol),
             log_str("tls", ssl ? SSL_get_version(ssl) : NULL),
             log_u64("ms", (uint64_t)((s->opened_at - s->accepted_at) * 1000)));
}

/* The request is answered; what its h1 was is this session's, or nobody's. */
static void request_over(struct gw_session *s)
{
    free(s->request);
    s->request = NULL;
    s->h1 = NULL;
}

void session_accept(struct gw_session *s)
{
    char answer[ANSWER_MAX];
    struct serve *serve = s->serve;

    if (s->opened || s->refused || s->bridge_done)
        return;
    size_t n = ws_handshake_answer(answer, sizeof answer, s->request->key,
                                   s->request->subprotocol, "");
    if (n == 0) {
        session_refuse(s, 503, "out of memory");
        return;
    }
    DL_DELETE(serve->requests, s->h1);
    s->opened = true;
    s->opened_at = s->rx_at = s->data_at = loop_now(serve->loop);
    s->accepted_at = s->h1->accepted_at;
    log_open(s);
    s->conn = h1_upgrade(s->h1, answer, n, &s->early, &s->early_n);
    s->end_by = 0;
    deadline_stop(serve->loop, &s->deadline);
    counter_add(&serve->metrics.sessions_opened, 1);
    generation_unref(s->generation); /* the h1's reference */
    if (!s->conn) {
        s->client_closed = s->client_done = true;
        set_end(s, END_ABANDONED, 0);
        request_over(s);
        bridge_over(s);
        return;
    }
    conn_adopt(s->conn, &session_conn_ops, s);
    histogram_add(&serve->metrics.handshake, s->opened_at - s->accepted_at);
    request_over(s);
    s->early_due = s->early != NULL;
    if (s->early_due)
        session_later(s);
    client_read_on(s);
    look_open(s);
}

void session_refuse(struct gw_session *s, int status, const char *why)
{
    char id[SESSION_ID_TEXT], client[PEER_TEXT];

    if (s->opened || s->refused || !s->request)
        return;
    if (status < 400 || status > 599) /* a bridge's mistake */
        status = 502;
    s->refused = true;
    session_id_text(s, id);
    peer_text(&s->peer, client);
    log_info("session-refused", log_str("sid", id), log_str("client", client),
             log_str("route", s->route->name),
             log_slice("path", s->request->path),
             log_u64("status", (uint64_t)status), log_str("why", why));
    counter_add(&s->serve->metrics.refused[status - 400], 1);
    set_end(s, END_REFUSED, (uint16_t)status);
    s->client_closed = s->client_done = true;
    deadline_stop(s->serve->loop, &s->deadline);
    h1_refuse(s->h1, status, why);
    request_over(s);
    bridge_over(s);
}

static struct slice put_text(char **at, struct slice s)
{
    char *p = *at;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *at += s.n + 1;
    return (struct slice){p, s.n};
}

/* One block with all that outlives the head. */
static struct session_request *request_new(const struct http_head *head,
                                           const struct ws_offer *offer,
                                           int chosen)
{
    struct slice sub = chosen >= 0 ? offer->tokens[chosen] : (struct slice){0};
    struct session_request *r = malloc(sizeof *r + offer->key.n + sub.n +
                                       head->host.n + head->path.n + 4);
    if (!r)
        return NULL;
    char *at = r->text;
    r->values = NULL;
    r->key = put_text(&at, offer->key);
    r->subprotocol = put_text(&at, sub);
    r->host = put_text(&at, head->host);
    r->path = put_text(&at, head->path);
    return r;
}

static struct gw_session *session_new(struct serve *serve, struct h1 *h,
                                      const struct route *route)
{
    struct gw_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->serve = serve;
    s->generation = generation_ref(h->context);
    s->route = route;
    s->id = ++serve->next_id;
    s->peer = h->peer;
    s->h1 = h;
    s->control_tokens = (float)limits(s)->control_burst;
    deadline_init(&s->deadline, session_look);
    DL_APPEND(serve->sessions, s);
    return s;
}

int session_template(struct gw_session *s, const char *text,
                     enum template_kind kind, char *out, size_t cap,
                     const char **why)
{
    *why = "only while a session opens";
    if (!s->request || !s->request->values)
        return -1;
    return template_fill(text, s->request->values, kind, out, cap, why);
}

/* Ask the bridge. Its answer may have come when this returns. */
static void bridge_open(struct gw_session *s, const struct http_head *head,
                        const struct template_values *values,
                        const char *address)
{
    char client[PEER_TEXT], query[HTTP_QUERY_TEXT];
    enum gw_take take = GW_STREAM;
    const struct gw_request r = {
        .scheme = s->route->scheme,
        .address = address,
        .subprotocol = s->request->subprotocol.p,
        .host = s->request->host.p,
        .path = s->request->path.p,
        .query = query,
        .client = client,
        .client_port = s->peer.port,
        .secure = conn_ssl(s->h1->conn) != NULL,
    };
    peer_text(&s->peer, client);
    snprintf(query, sizeof query, SLICE_FMT, SLICE_ARGS(head->query));

    session_opening_by(
        s, deadline_in(s->serve->loop, timeouts(s)->connect + 1000));
    s->request->values = values;
    s->state = s->route->bridge->open(s, s->route->bridge_route, &r, &take);
    if (s->request)
        s->request->values = NULL;
    s->take = (uint8_t)take;
    if (!s->state && s->opened)
        session_close(s, END_FAILED, 0, NULL);
    else if (!s->state)
        session_refuse(s, 503, "out of memory");
}

void session_open(struct serve *serve, struct h1 *h,
                  const struct http_head *head, const struct ws_offer *offer,
                  const struct route *route, const struct captures *captures)
{
    char address[2048], client[PEER_TEXT];
    const char *why = NULL;
    const struct string_list *list =
        route->settings ? &route->settings->subprotocols : NULL;
    const char *const *allowed = route->bridge->subprotocols;
    size_t n = 0;

    if (list && list->n > 0) {
        allowed = (const char *const *)list->v;
        n = list->n;
    }
    while (allowed == route->bridge->subprotocols && allowed && allowed[n])
        n++;
    int chosen = ws_choose_subprotocol(offer, allowed, n);
    if (chosen == -2) {
        serve_refuse(serve, h, head, 400, "no subprotocol in common");
        return;
    }
    if (chosen >= 0 && offer->tokens[chosen].n > SUBPROTOCOL_MAX) {
        serve_refuse(serve, h, head, 400, "the subprotocol is too long");
        return;
    }
    peer_text(&h->peer, client);
    const struct template_values values = {
        .path = captures,
        .query = head->query,
        .host = host_name(head->host),
        .client_ip = slice_of(h->peer.family == AF_UNIX ? "" : client),
    };
    if (template_fill(route->address, &values,
                      route->is_unix ? TEMPLATE_PATH : TEMPLATE_ENDPOINT,
                      address, sizeof address, &why) < 0) {
        serve_refuse(serve, h, head, 400, why);
        return;
    }
    struct gw_session *s = session_new(serve, h, route);
    if (s && (s->request = request_new(head, offer, chosen))) {
        bridge_open(s, head, &values, address);
        return;
    }
    if (s) {
        DL_DELETE(serve->sessions, s);
        generation_unref(s->generation);
        free(s);
    }
    serve_refuse(serve, h, head, 503, "out of memory");
}

/* ---- from above -------------------------------------------------------- */

void session_shutdown(struct gw_session *s)
{
    if (!s->opened) {
        session_refuse(s, 503, "gangway is stopping");
    } else if (s->conn && !s->sent_close && !s->client_done) {
        /* What the client sends until it has read this still counts. */
        set_end(s, END_SHUTDOWN, 0);
        send_close(s, end_code(END_SHUTDOWN), "going away");
        end_within(s, timeouts(s)->close);
    }
}

void session_abort(struct gw_session *s, enum end why)
{
    set_end(s, why, 0);
    s->aborted = true;
    if (!s->opened)
        session_refuse(s, 503, "gangway is stopping");
    client_close(s, true);
    bridge_over(s);
}
