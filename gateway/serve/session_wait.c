/* SPDX-License-Identifier: Apache-2.0 */
/* session_wait.c - what a session waits for, and when it has waited enough:
 * one look computes the next. */
#include "bridge_host.h"
#include "session_parts.h"

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
    const struct timeout_settings *t = session_timeouts(s);
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
        session_client_lost(s, END_CLIENT_SILENT, true);
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
    session_bridge_over(s);
    if (s->client_closed)
        session_set_end(s, END_BACKEND_STALLED, 0);
    else
        session_end(s, END_BACKEND_STALLED, 0, "the backend does not read");
    if (s->conn && s->rx_over)
        session_client_finish(s);
}

void session_look_open(struct gw_session *s)
{
    const struct timeout_settings *t = session_timeouts(s);
    double now = loop_now(s->serve->loop), next = 0;
    bool stalled;
    size_t queued;

    if (conn_stalled(s->conn, t->write_stall)) {
        session_client_lost(s, END_CLIENT_STALLED, true);
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
            session_client_ended(s, WS_CODE_GOING_AWAY);
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
    const struct timeout_settings *t = session_timeouts(s);
    double now = loop_now(s->serve->loop);
    bool stalled;
    size_t queued;

    backends_stall_at(s, &stalled, &queued);
    if (!s->bridge_done && s->client_done) {
        bool replying =
            s->conn && !s->sent_close && now < s->data_at + t->linger / 1000.;
        if ((queued > 0 && !stalled) || replying)
            session_end_within(s, t->linger);
        else if (now >= s->end_by)
            session_close(s, s->end, s->code, NULL);
    }
    if (s->conn && conn_outstanding(s->conn) > 0 &&
        !conn_stalled(s->conn, t->write_stall))
        session_end_within(s, t->close);
    else if (s->conn && now >= s->end_by)
        session_client_lost(s, s->end, true);
    if (s->end_by > now)
        deadline_by(s->serve->loop, &s->deadline, s->end_by);
}

void session_look(struct deadline *d)
{
    struct gw_session *s = container_of(d, struct gw_session, deadline);
    double now = loop_now(s->serve->loop);

    if (s->opened && !s->client_done && !s->sent_close && s->conn)
        session_look_open(s);
    else if (s->opened)
        look_ending(s);
    else if (now >= s->end_by)
        session_refuse(s, 504, "the backend took too long");
    else
        deadline_by(s->serve->loop, d, s->end_by);
}
