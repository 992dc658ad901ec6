/* SPDX-License-Identifier: Apache-2.0 */
/* session_open.c - from a request that has found its route to the answer: the
 * bridge is asked, and accepts or refuses. */
#include "../net/tls.h"
#include "http_reply.h"
#include "session_parts.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

enum { ANSWER_MAX = 1024, SUBPROTOCOL_MAX = 768 };

/* What the answer to the request needs; freed with it. */
struct session_request {
    struct h1 *h1;
    struct slice key, subprotocol, host, path;
    const struct template_values *values; /* while the bridge opens */
    char text[];
};

/* Before the answer: a client that has it finds its line. */
static void log_open(const struct gw_session *s, double took)
{
    char id[SESSION_ID_TEXT], client[PEER_TEXT];
    const SSL *ssl = conn_ssl(s->request->h1->conn);

    session_id_text(s, id);
    peer_text(&s->peer, client);
    log_info("session-open", log_str("sid", id), log_str("client", client),
             log_u64("port", s->peer.port), log_str("route", s->route->name),
             log_slice("host", s->request->host),
             log_slice("path", s->request->path),
             log_str("bridge", s->route->bridge->name),
             log_slice("subprotocol", s->request->subprotocol),
             log_str("tls", ssl ? SSL_get_version(ssl) : NULL),
             log_u64("ms", (uint64_t)(took * 1000)));
}

const struct conn *session_client(const struct gw_session *s)
{
    return s->request ? s->request->h1->conn : s->conn;
}

/* The request is answered; what its h1 was is this session's, or nobody's. */
static void request_over(struct gw_session *s)
{
    free(s->request);
    s->request = NULL;
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
    DL_DELETE(serve->requests, s->request->h1);
    s->opened = true;
    s->opened_at = s->rx_at = s->data_at = loop_now(serve->loop);
    const double took = s->opened_at - s->request->h1->accepted_at;
    log_open(s, took);
    s->conn = h1_upgrade(s->request->h1, answer, n, &s->early, &s->early_n);
    s->end_by = 0;
    deadline_stop(serve->loop, &s->deadline);
    counter_add(&serve->metrics.sessions_opened, 1);
    generation_unref(s->generation); /* the h1's reference */
    if (!s->conn) {
        s->client_closed = s->client_done = true;
        session_set_end(s, END_ABANDONED, 0);
        request_over(s);
        session_bridge_over(s);
        return;
    }
    conn_adopt(s->conn, &session_conn_ops, s);
    histogram_add(&serve->metrics.handshake, took);
    request_over(s);
    s->early_due = s->early != NULL;
    if (s->early_due)
        session_later(s);
    session_read_on(s);
    session_look_open(s);
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
    session_set_end(s, END_REFUSED, (uint16_t)status);
    s->client_closed = s->client_done = true;
    deadline_stop(s->serve->loop, &s->deadline);
    h1_refuse(s->request->h1, status, why);
    request_over(s);
    session_bridge_over(s);
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
static struct session_request *request_new(struct h1 *h,
                                           const struct http_head *head,
                                           const struct ws_offer *offer,
                                           int chosen)
{
    struct slice sub = chosen >= 0 ? offer->tokens[chosen] : (struct slice){0};
    struct session_request *r = malloc(sizeof *r + offer->key.n + sub.n +
                                       head->host.n + head->path.n + 4);
    if (!r)
        return NULL;
    char *at = r->text;
    r->h1 = h;
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
    s->control_tokens = (float)session_limits(s)->control_burst;
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
        .secure = conn_ssl(s->request->h1->conn) != NULL,
    };
    peer_text(&s->peer, client);
    snprintf(query, sizeof query, SLICE_FMT, SLICE_ARGS(head->query));

    session_opening_by(
        s, deadline_in(s->serve->loop, session_timeouts(s)->connect + 1000));
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
    if (s && (s->request = request_new(h, head, offer, chosen))) {
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
