/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - how a session ends: each side by itself, both in order, once. */
#include "bridge_host.h"
#include "session_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

void session_id_text(const struct gw_session *s, char out[SESSION_ID_TEXT])
{
    snprintf(out, SESSION_ID_TEXT, "%u-%llu", s->serve->worker,
             (unsigned long long)s->id);
}

/* ---- the end ----------------------------------------------------------- */

/* The first reason is the one. */
void session_set_end(struct gw_session *s, enum end why, uint16_t code)
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
    ws_stream_free(&s->rx);
    free(s->request);
    free(s->early);
    bool counted = s->opened; /* else the connection is still its h1's */
    free(s);
    if (counted)
        serve_client_gone(serve, false);
    else
        serve_settled(serve);
}

/* What may not happen within a call from the bridge or from libev. */
static void session_later_cb(struct loop_later *later)
{
    struct gw_session *s = container_of(later, struct gw_session, later);

    s->later_queued = false;
    if (s->early_due)
        session_early_deliver(s);
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

void session_later(struct gw_session *s)
{
    if (s->later_queued)
        return;
    s->later_queued = true;
    s->later.fn = session_later_cb;
    loop_defer(s->serve->loop, &s->later);
}

void session_bridge_over(struct gw_session *s)
{
    s->bridge_done = true;
    session_later(s);
}

/* The client's connection has nothing to do any more. */
void session_client_close(struct gw_session *s, bool reset)
{
    if (s->client_closed)
        return;
    s->client_closed = true;
    conn_close(s->conn, reset);
    s->conn = NULL;
    session_later(s);
}

/* Both FINs have passed: the end. */
void session_try_close(struct gw_session *s)
{
    if (s->conn && s->conn->told_eof && s->conn->finished)
        session_client_close(s, false);
}

void session_end_within(struct gw_session *s, unsigned ms)
{
    s->end_by = deadline_in(s->serve->loop, ms);
    deadline_by(s->serve->loop, &s->deadline, s->end_by);
}

/* The client sends no more that matters; the bridge may finish its work. */
void session_client_ended(struct gw_session *s, uint16_t code)
{
    if (s->client_done)
        return;
    s->client_done = true;
    session_end_within(s, session_timeouts(s)->linger);
    if (s->bridge_done)
        return;
    if (s->state && s->route->bridge->client_ended)
        s->route->bridge->client_ended(s->state, code);
    else
        session_close(s, s->end, s->code, NULL);
}

void session_send_close(struct gw_session *s, uint16_t code, const char *reason)
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
void session_client_finish(struct gw_session *s)
{
    conn_finish(s->conn);
    conn_resume(s->conn); /* its FIN is still to be read */
    session_end_within(s, session_timeouts(s)->linger);
    session_try_close(s);
}

/* What came before the 101 is looked at first. */
void session_read_on(struct gw_session *s)
{
    if (s->conn && !s->rx_paused && !s->early_due)
        conn_resume(s->conn);
}

/* The gateway ends the session: what the bridge has sent goes first. */
void session_end(struct gw_session *s, enum end why, uint16_t code,
                 const char *reason)
{
    session_set_end(s, why, code);
    session_send_close(s, code ? code : end_code(why), reason);
    s->rx_paused = false;
    session_read_on(s);
    session_end_within(s, session_timeouts(s)->close);
}

/* The client's connection is gone, or is to be dropped. */
void session_client_lost(struct gw_session *s, enum end why, bool reset)
{
    session_set_end(s, why, 0);
    session_client_close(s, reset);
    session_client_ended(s, WS_CODE_ABNORMAL);
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
    session_bridge_over(s);
    if (s->client_closed) {
        session_set_end(s, why, code);
        return;
    }
    session_end(s, why, code, reason);
    if (s->rx_over)
        session_client_finish(s);
}

/* ---- from above -------------------------------------------------------- */

void session_shutdown(struct gw_session *s)
{
    if (!s->opened) {
        session_refuse(s, 503, "gangway is stopping");
    } else if (s->conn && !s->sent_close && !s->client_done) {
        /* What the client sends until it has read this still counts. */
        session_set_end(s, END_SHUTDOWN, 0);
        session_send_close(s, end_code(END_SHUTDOWN), "going away");
        session_end_within(s, session_timeouts(s)->close);
    }
}

void session_abort(struct gw_session *s, enum end why)
{
    session_set_end(s, why, 0);
    s->aborted = true;
    if (!s->opened)
        session_refuse(s, 503, "gangway is stopping");
    session_client_close(s, true);
    session_bridge_over(s);
}
