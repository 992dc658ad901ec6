/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - one WebSocket session: a client, a bridge, and how both end.
 *
 * A session is created when a request has found its route; it opens the
 * bridge and waits. accept turns the request into a WebSocket, refuse into
 * an HTTP answer. It ends when both sides are done: the client's connection
 * is closed, and the bridge has no more use for its backend. */
#ifndef GW_SESSION_H
#define GW_SESSION_H

#include "../wire/ws_handshake.h"
#include "../wire/ws_stream.h"
#include "serve.h"

struct gw_session {
    struct serve *serve;
    struct generation *generation; /* a reference */
    const struct route *route;
    struct gw_session *prev, *next; /* serve->sessions */
    uint64_t id;
    struct peer peer;
    float control_tokens; /* control frames that may come; see control_at */

    /* The client's side: its h1 until the answer, conn from the 101 on. */
    struct session_request *request;
    struct conn *conn;
    struct ws_stream rx;
    uint8_t *early; /* what came before the 101; or the message under way */
    size_t early_n, early_cap;

    /* The bridge's side. */
    void *state;
    struct gw_conn *conns;   /* utlist; bridge_host.c */
    struct gw_timer *timers; /* utlist */

    struct deadline deadline;
    struct loop_later later;
    double opened_at;
    double rx_at;      /* last bytes from the client */
    double data_at;    /* last data, either way */
    double ping_at;    /* a ping that has no answer yet; 0: none */
    double end_by;     /* of the phase under way: opening, closing; 0: none */
    size_t send_cap;   /* how far a queue may go that was full_in a turn */
    double control_at; /* when the tokens were last counted */

    uint64_t bytes_in, bytes_out;       /* payload of data frames */
    uint64_t messages_in, messages_out; /* data messages, frames out */
    uint16_t code;      /* close code of the end, or HTTP status */
    uint8_t end;        /* enum end: the first reason counts */
    uint8_t take;       /* enum gw_take */
    uint8_t tx_message; /* within a fragmented message to the client */

    bool ended_why; /* end and code are set */
    bool opened;    /* 101 sent */
    bool refused;   /* an HTTP answer was sent instead */
    bool sent_close, got_close;
    bool rx_over;       /* no frame will come that we want */
    bool client_done;   /* no more from the client: its end was told */
    bool client_closed; /* nor to it: the connection is closed */
    bool bridge_done;   /* host.close or refuse was called */
    bool bridge_freed;  /* bridge->close was called */
    bool rx_paused;     /* by the bridge */
    bool aborted;       /* nothing is delivered any more */
    bool later_queued, early_due;
    unsigned full_in; /* the turn of the bridge's first send to a full queue;
                         0: it is not */
};

/* A WebSocket request for `route`. Takes over the reference of h->context
 * and answers the request sooner or later. */
void session_open(struct serve *s, struct h1 *h, const struct http_head *head,
                  const struct ws_offer *offer, const struct route *route,
                  const struct captures *captures);

/* gangway is stopping: 1001. */
void session_shutdown(struct gw_session *s);

/* Drop it now. */
void session_abort(struct gw_session *s, enum end why);

/* ---- for bridge_host.c ---- */

/* Its connection, before and after the answer; NULL: not any more. */
const struct conn *session_client(const struct gw_session *s);

void session_accept(struct gw_session *s);
void session_refuse(struct gw_session *s, int status, const char *why);
enum gw_sent session_send(struct gw_session *s, enum gw_type type, uint8_t *p,
                          size_t n, bool more, bool headroom);
/* As a message, or a part of one. At most GW_PIECES_MAX pieces. */
enum gw_sent session_sendv(struct gw_session *s, enum gw_type type,
                           const struct gw_piece *v, int n, bool more);
/* A whole frame that many sessions share. */
enum gw_sent session_send_frame(struct gw_session *s, struct shared *frame);
/* While the bridge opens: see template.h. */
int session_template(struct gw_session *s, const char *text,
                     enum template_kind kind, char *out, size_t cap,
                     const char **why);
void session_pause(struct gw_session *s);
void session_resume(struct gw_session *s);
void session_close(struct gw_session *s, enum end why, uint16_t code,
                   const char *reason);
/* Waits of the backend have changed: look at `at` at the latest. */
void session_look_by(struct gw_session *s, double at);
/* Give the opening phase until `at` at least. */
void session_opening_by(struct gw_session *s, double at);
/* Something the client sees moved from the backend. */
static inline void session_moved(struct gw_session *s)
{
    s->data_at = loop_now(s->serve->loop);
}

/* "w-n", the id in logs. */
enum { SESSION_ID_TEXT = 32, HTTP_QUERY_TEXT = 8192 };
void session_id_text(const struct gw_session *s, char out[SESSION_ID_TEXT]);

#endif
