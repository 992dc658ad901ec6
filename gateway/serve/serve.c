/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - what becomes of a request: a refusal, a file or a session. */
#include "serve.h"
#include "../base/url.h"
#include "lookup.h"
#include "parting.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

/* ---- counting clients -------------------------------------------------- */

void serve_settled(struct serve *s)
{
    if (s->draining && !s->requests && !s->sessions && !s->parting &&
        s->on_empty)
        s->on_empty(s);
}

/* Freed memory stays with the allocator, and a burst of clients must not
 * cost its peak for ever. */
static void crowd_left(struct crowd *c, unsigned now)
{
    unsigned peak = atomic_load(&c->peak);
    if (peak >= CROWD_PEAK && now < peak / 4 &&
        atomic_compare_exchange_strong(&c->peak, &peak, now))
        c->thinned(c);
}

static unsigned crowd_joined(struct crowd *c)
{
    unsigned now = atomic_fetch_add(&c->connections, 1) + 1;
    if (now > atomic_load_explicit(&c->peak, memory_order_relaxed))
        atomic_store(&c->peak, now);
    return now;
}

void serve_crowd_joined(struct serve *s)
{
    crowd_joined(s->crowd);
}

void serve_crowd_left(struct serve *s)
{
    crowd_left(s->crowd, atomic_fetch_sub(&s->crowd->connections, 1) - 1);
    serve_settled(s);
}

void serve_client_gone(struct serve *s, bool over)
{
    if (over)
        atomic_fetch_sub(&s->crowd->over, 1);
    counter_add(&s->metrics.closed, 1);
    serve_crowd_left(s);
}

/* ---- answers ----------------------------------------------------------- */

static void log_refusal(const struct h1 *h, const struct http_head *head,
                        int status, const char *why)
{
    char client[PEER_TEXT];
    peer_text(&h->peer, client);
    log_info(status ? "request-refused" : "tls-failed",
             log_str("client", client),
             log_slice("host", head ? head->host : (struct slice){0}),
             log_slice("path", head ? head->path : (struct slice){0}),
             log_i64("status", status), log_str("why", why));
}

void serve_refuse(struct serve *s, struct h1 *h, const struct http_head *head,
                  int status, const char *why)
{
    log_refusal(h, head, status, why);
    if (head && ws_handshake_wanted(head))
        counter_add(&s->metrics.refused[status - 400], 1);
    h1_refuse(h, status, why);
}

static bool origin_allowed(const struct settings *s, const struct route *r,
                           struct slice origin)
{
    const struct string_list *list = &s->origins;
    if (r->settings && r->settings->origins.n > 0)
        list = &r->settings->origins;
    if (list->n == 0 || origin.n == 0) /* only browsers send one */
        return true;
    for (size_t i = 0; i < list->n; i++)
        if (slice_ieq(origin, slice_of(list->v[i])))
            return true;
    return false;
}

/* To a folder's own path, as a path: no other host can get into it. */
static void serve_redirect(struct h1 *h, const struct http_head *head)
{
    struct files_answer a = {.status = 301, .fd = -1};
    int n = snprintf(a.extra, sizeof a.extra,
                     "Location: " SLICE_FMT "/%s" SLICE_FMT "\r\n",
                     SLICE_ARGS(head->path), head->query.n > 0 ? "?" : "",
                     SLICE_ARGS(head->query));
    if (n < 0 || (size_t)n >= sizeof a.extra)
        h1_refuse(h, 414, "the request target is too long");
    else
        h1_reply_file(h, &a);
}

static void serve_nothing(struct serve *s, struct h1 *h,
                          const struct http_head *head, bool websocket)
{
    if (websocket)
        serve_refuse(s, h, head, 426, "this is a WebSocket");
    else
        serve_refuse(s, h, head, 404, "not found");
}

/* `websocket`: a more specific route is one. */
static void serve_file(struct serve *s, struct h1 *h,
                       const struct http_head *head, const struct route *r,
                       bool websocket)
{
    char path[4096 + 1];
    struct files_answer a = {.fd = -1};

    int n = url_decode(head->path, path, sizeof path);
    if (n < 0 || (size_t)n < r->prefix) {
        serve_nothing(s, h, head, websocket);
        return;
    }
    files_lookup(r->files, path + r->prefix, head, &a);
    if (a.status == 404)
        serve_nothing(s, h, head, websocket);
    else if (a.status == 405 || a.status == 503)
        serve_refuse(s, h, head, a.status,
                     a.status == 405 ? "only GET is served here"
                                     : "out of descriptors");
    else
        h1_reply_file(h, &a);
}

static void serve_plain(struct serve *s, struct h1 *h,
                        const struct http_head *head)
{
    const struct generation *g = h->context;
    struct captures c;
    bool other;
    const struct route *r = router_find(&g->router, ROUTE_STATIC, head->host,
                                        head->path, &c, &other);
    if (r && r->redirect)
        serve_redirect(h, head);
    else if (r)
        serve_file(s, h, head, r, other);
    else
        serve_nothing(s, h, head, other);
}

static void serve_websocket(struct serve *s, struct h1 *h,
                            const struct http_head *head)
{
    const struct generation *g = h->context;
    struct ws_offer offer;
    struct captures c;
    const char *why;
    bool other;
    int status = ws_handshake_check(head, &offer, &why);

    if (status != 101) {
        serve_refuse(s, h, head, status, why);
        return;
    }
    const struct route *r = router_find(&g->router, ROUTE_BRIDGE, head->host,
                                        head->path, &c, &other);
    if (!r)
        serve_refuse(s, h, head, 404, "no route");
    else if (!origin_allowed(g->settings, r, offer.origin))
        serve_refuse(s, h, head, 403, "this origin is not allowed");
    else
        session_open(s, h, head, &offer, r, &c);
}

static void on_request(struct h1 *h, const struct http_head *head)
{
    struct serve *s = h->owner;

    if (h->over) {
        counter_add(&s->metrics.limit_hits[LIMIT_CONNECTIONS], 1);
        serve_refuse(s, h, head, 503, "at capacity");
    } else if (s->draining) {
        serve_refuse(s, h, head, 503, "gangway is stopping");
    } else if (ws_handshake_wanted(head)) {
        serve_websocket(s, h, head);
    } else {
        serve_plain(s, h, head);
    }
}

static void on_bad(struct h1 *h, int status, const char *why)
{
    log_refusal(h, NULL, status, why);
}

static void on_close(struct h1 *h)
{
    struct serve *s = h->owner;
    DL_DELETE(s->requests, h);
    generation_unref(h->context);
    serve_client_gone(s, h->over);
}

static const struct h1_ops serve_h1_ops = {
    .on_request = on_request,
    .on_bad = on_bad,
    .on_close = on_close,
};

/* ---- accepting --------------------------------------------------------- */

static void reject(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
               sizeof(struct linger));
    close(fd);
}

void serve_accept(struct serve *s, struct generation *g, struct tls_server *tls,
                  int fd)
{
    struct crowd *crowd = s->crowd;
    SSL *ssl = NULL;
    bool over = crowd_joined(crowd) > atomic_load(&crowd->max);

    counter_add(&s->metrics.accepted, 1);
    if (over && atomic_fetch_add(&crowd->over, 1) >= CROWD_OVER_MAX) {
        counter_add(&s->metrics.limit_hits[LIMIT_CONNECTIONS], 1);
        reject(fd);
        serve_client_gone(s, true);
        return;
    }
    if (tls && !(ssl = tls_server_ssl(tls))) {
        close(fd);
        serve_client_gone(s, over);
        return;
    }
    struct h1 *h = h1_open(s->loop, fd, ssl, &g->rules, &serve_h1_ops, s,
                           generation_ref(g), &s->metrics);
    if (!h) {
        generation_unref(g);
        serve_client_gone(s, over);
        return;
    }
    h->over = over;
    DL_APPEND(s->requests, h);
}

/* ---- life -------------------------------------------------------------- */

int serve_init(struct serve *s, struct loop *l, struct mailbox *m,
               struct crowd *crowd, struct generation *g, unsigned worker)
{
    s->loop = l;
    s->mailbox = m;
    s->crowd = crowd;
    s->worker = worker;
    s->generation = generation_ref(g);
    s->resolver = resolver_new(l, getenv("GANGWAY_RESOLVER"));
    return s->resolver ? 0 : -1;
}

void serve_fini(struct serve *s)
{
    lookups_forget(s);
    if (s->resolver)
        resolver_free(s->resolver);
    if (s->generation)
        generation_unref(s->generation);
    s->resolver = NULL;
    s->generation = NULL;
}

void serve_generation(struct serve *s, struct generation *g)
{
    generation_ref(g);
    generation_unref(s->generation);
    s->generation = g;
}

void serve_drain(struct serve *s)
{
    struct h1 *h, *next_h;
    struct gw_session *w, *next_w;

    s->draining = true;
    DL_FOREACH_SAFE(s->sessions, w, next_w)
    session_shutdown(w);
    DL_FOREACH_SAFE(s->requests, h, next_h)
    h1_drain(h);
    serve_settled(s);
}

void serve_abort(struct serve *s)
{
    struct h1 *h, *next_h;
    struct gw_session *w, *next_w;

    s->draining = true;
    DL_FOREACH_SAFE(s->sessions, w, next_w)
    session_abort(w, END_SHUTDOWN);
    DL_FOREACH_SAFE(s->requests, h, next_h)
    h1_close(h);
    parting_abort(s);
}
