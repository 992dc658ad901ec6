/* SPDX-License-Identifier: Apache-2.0 */
/* session_output.c - what the bridge sends: framed, accounted, bounded. */
#include "session_parts.h"

#include <assert.h>

enum { SMALL = 512 };

/* Whether the queue has room for what a bridge sends. It may not be able to
 * stop within the turn that made it full: one read of its backend's may have
 * become any number of messages. After that it should. */
static bool has_room(struct gw_session *s)
{
    const unsigned turn = s->serve->loop->turn;

    if (!s->conn->full) {
        s->full_in = 0;
        return true;
    }
    if (s->full_in == 0) {
        s->full_in = turn;
        s->send_cap = 0;
    }
    if (s->full_in == turn)
        return true;
    if (s->send_cap == 0)
        s->send_cap = conn_queued(s->conn) + session_limits(s)->queue_high;
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
        session_look_by(
            s, conn_stalls_at(s->conn, session_timeouts(s)->write_stall));
    return sent == CONN_SENT ? GW_SENT : sent == CONN_FULL ? GW_FULL : GW_GONE;
}

enum gw_sent session_send(struct gw_session *s, enum gw_type type, uint8_t *p,
                          size_t n, bool more, bool headroom)
{
    uint8_t head[WS_SERVER_HEAD_MAX];
    uint8_t *end = headroom ? p : head + sizeof head;
    uint8_t opcode = s->tx_message ? WS_CONTINUATION : (uint8_t)type;
    enum conn_sent sent;

    if (!headroom && n > SMALL)
        return session_sendv(s, type, &(struct gw_piece){p, n}, 1, more);
    if (!can_send(s))
        return GW_GONE;
    size_t h = ws_head_encode_before(end, !more, opcode, n);
    if (headroom) {
        sent = conn_send(s->conn, p - h, h + n);
    } else { /* cheaper than a second piece or TLS record */
        uint8_t small[WS_SERVER_HEAD_MAX + SMALL];
        memcpy(small, end - h, h);
        if (n > 0)
            memcpy(small + h, p, n);
        sent = conn_send(s->conn, small, h + n);
    }
    s->tx_message = more;
    return account_sent(s, type == GW_TEXT, n, sent);
}

enum gw_sent session_sendv(struct gw_session *s, enum gw_type type,
                           const struct gw_piece *v, int n, bool more)
{
    uint8_t head[WS_SERVER_HEAD_MAX];
    uint8_t *end = head + sizeof head;
    uint8_t opcode = s->tx_message ? WS_CONTINUATION : (uint8_t)type;
    struct iovec iov[1 + GW_PIECES_MAX];
    size_t total = 0;

    assert(n <= GW_PIECES_MAX);
    if (!can_send(s))
        return GW_GONE;
    for (int i = 0; i < n; i++) {
        iov[1 + i] = (struct iovec){(void *)(uintptr_t)v[i].p, v[i].n};
        total += v[i].n;
    }
    size_t h = ws_head_encode_before(end, !more, opcode, total);
    iov[0] = (struct iovec){end - h, h};
    s->tx_message = more;
    return account_sent(s, type == GW_TEXT, total,
                        conn_sendv(s->conn, iov, 1 + n));
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
