/* SPDX-License-Identifier: Apache-2.0 */
/* bridge_host.c - gangway's side of the contract in bridges/bridge.h. */
#include "bridge_host.h"
#include "../base/url.h"
#include "../base/utf8.h"
#include "../net/dialer.h"
#include "../net/proxy_end.h"
#include "../net/tls.h"
#include "lookup.h"
#include "parting.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

_Static_assert(LOOP_HEADROOM == GW_HEADROOM, "what reads leave, bridges get");
_Static_assert(GW_SENDROOM >= WS_SERVER_HEAD_MAX, "room for a header");

/* One connection to a backend, from the dial on. */
struct gw_conn {
    struct gw_session *session;
    struct gw_conn *prev, *next; /* session->conns */
    struct dialer *dialer;       /* until it is connected */
    struct conn *conn;           /* from then on */
    const struct tls_client *tls;
    const struct gw_conn_events *events;
    void *ctx;
    struct loop_later later;
    uint32_t dialled_us; /* when, see now_us */
    uint8_t proxy;
    bool ready; /* `connected` was told */
    bool closed;
    bool refused; /* by the allow-list, before any dial */
};

/* For differences: it comes around in an hour. */
static uint32_t now_us(const struct gw_conn *c)
{
    return (uint32_t)(uint64_t)(loop_now(c->session->serve->loop) * 1e6);
}

static double seconds_since_dial(const struct gw_conn *c)
{
    return (uint32_t)(now_us(c) - c->dialled_us) / 1e6;
}

struct gw_timer {
    struct gw_session *session;
    struct gw_timer *prev, *next; /* session->timers */
    ev_timer timer;
    void (*fn)(void *arg);
    void *arg;
};

/* gw_tls and gw_worker are names for what gangway has anyway. */
static struct tls_client *tls_of(struct gw_tls *t)
{
    return (struct tls_client *)(void *)t;
}

static struct serve *serve_of(struct gw_worker *w)
{
    return (struct serve *)(void *)w;
}

/* ---- life of a backend connection -------------------------------------- */

static void gw_conn_later(struct loop_later *later)
{
    struct gw_conn *c = container_of(later, struct gw_conn, later);

    if (c->refused && !c->closed) {
        c->refused = false;
        const struct gw_conn_events *events = c->events;
        void *ctx = c->ctx;
        bridge_host.conn_close(c);
        events->failed(ctx, 403, "this target is not allowed");
        return; /* conn_close has deferred once more */
    }
    free(c);
}

static void gw_conn_close(struct gw_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    if (c->dialer)
        dialer_cancel(c->dialer);
    if (c->conn)
        conn_close(c->conn, false);
    c->dialer = NULL;
    c->conn = NULL;
    DL_DELETE(c->session->conns, c);
    c->later.fn = gw_conn_later;
    if (!c->refused) /* else it is deferred already */
        loop_defer(c->session->serve->loop, &c->later);
}

static void gw_conn_failed(struct gw_conn *c, int status, const char *why)
{
    const struct gw_conn_events *events = c->events;
    void *ctx = c->ctx;

    counter_add(&c->session->serve->metrics.backend_failed, 1);
    gw_conn_close(c);
    events->failed(ctx, status, why);
}

static void gw_conn_ready(struct gw_conn *c)
{
    struct serve *serve = c->session->serve;

    c->ready = true;
    counter_add(&serve->metrics.backend_ok, 1);
    histogram_add(&serve->metrics.backend, seconds_since_dial(c));
    c->events->connected(c->ctx);
}

/* ---- its events -------------------------------------------------------- */

static void backend_on_open(struct conn *conn)
{
    gw_conn_ready(conn->owner);
}

static void backend_on_data(struct conn *conn, uint8_t *p, size_t n)
{
    struct gw_conn *c = conn->owner;
    c->events->data(c->ctx, p, n);
}

static void backend_on_eof(struct conn *conn)
{
    struct gw_conn *c = conn->owner;
    c->events->ended(c->ctx);
}

static void backend_on_drained(struct conn *conn)
{
    struct gw_conn *c = conn->owner;
    c->events->drained(c->ctx);
}

static void backend_on_error(struct conn *conn, int error)
{
    struct gw_conn *c = conn->owner;
    char why[200];

    if (error == EPROTO)
        tls_error_text(conn_ssl(conn), why, sizeof why);
    else
        snprintf(why, sizeof why, "%s", strerror(error));
    if (!c->ready) {
        gw_conn_failed(c, 502, why);
        return;
    }
    const struct gw_conn_events *events = c->events;
    void *ctx = c->ctx;
    gw_conn_close(c);
    events->lost(ctx, why);
}

static const struct conn_ops backend_conn_ops = {
    .on_open = backend_on_open,
    .on_data = backend_on_data,
    .on_eof = backend_on_eof,
    .on_drained = backend_on_drained,
    .on_error = backend_on_error,
};

/* ---- dialling ---------------------------------------------------------- */

/* The PROXY header goes before TLS and before anything else. A fresh socket
 * takes its few bytes at once. */
static bool send_proxy(struct gw_conn *c, int fd)
{
    struct gw_session *s = c->session;
    uint8_t head[PROXY_HEADER_MAX];
    struct sockaddr_storage peer = {0}, local = {0};
    socklen_t peer_len = sizeof peer, local_len = sizeof local;
    const struct conn *client = session_client(s);

    if (!client ||
        getpeername(client->io.fd, (struct sockaddr *)&peer, &peer_len) < 0 ||
        getsockname(client->io.fd, (struct sockaddr *)&local, &local_len) < 0)
        return false;
    const struct proxy_end ends[2] = {proxy_end_of((struct sockaddr *)&peer),
                                      proxy_end_of((struct sockaddr *)&local)};
    size_t n = proxy_encode(head, c->proxy, &ends[0], &ends[1]);
    return n > 0 && send(fd, head, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Where a session was led, of several backends and addresses. */
static void log_connected(const struct gw_conn *c, const struct address *peer)
{
    const struct gw_session *s = c->session;
    char id[SESSION_ID_TEXT], host[64], port[8], to[80] = "unix";

    if (!log_enabled(LOG_SEV_DEBUG))
        return;
    if (getnameinfo((const struct sockaddr *)&peer->sa, peer->len, host,
                    sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
        peer->sa.ss_family != AF_UNIX)
        snprintf(to, sizeof to, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
                 port);
    session_id_text(s, id);
    log_debug("backend-connected", log_str("sid", id), log_str("to", to),
              log_u64("ms", (uint64_t)(seconds_since_dial(c) * 1000)));
}

static void dial_connected(void *ctx, int fd, const char *host,
                           const struct address *peer)
{
    struct gw_conn *c = ctx;
    struct gw_session *s = c->session;
    SSL *ssl = NULL;

    c->dialer = NULL;
    log_connected(c, peer);
    if (c->proxy && !send_proxy(c, fd)) {
        close(fd);
        gw_conn_failed(c, 502, "the PROXY header could not be sent");
        return;
    }
    if (c->tls && !(ssl = tls_client_ssl(c->tls, host))) {
        close(fd);
        gw_conn_failed(c, 503, "out of memory");
        return;
    }
    c->conn = conn_open(s->serve->loop, fd, ssl, &backend_conn_ops, c,
                        &s->generation->rules.marks);
    if (!c->conn)
        gw_conn_failed(c, 503, "out of memory");
    else if (!ssl)
        gw_conn_ready(c);
}

static int dial_status(enum dial_result result)
{
    switch (result) {
    case DIAL_FORBIDDEN:
        return 403;
    case DIAL_TIMEOUT:
        return 504;
    case DIAL_NO_FD:
        return 503;
    default:
        return 502;
    }
}

static void dial_failed(void *ctx, enum dial_result result, const char *why)
{
    struct gw_conn *c = ctx;
    c->dialer = NULL;
    gw_conn_failed(c, dial_status(result), why);
}

static bool dial_permit(void *ctx, const char *host, uint16_t port,
                        const struct address *a)
{
    const struct gw_conn *c = ctx;
    const struct gw_session *s = c->session;

    if (!s->route->dynamic)
        return true;
    if (!a)
        return allow_unix(s->generation->allow, host);
    return allow_address(s->generation->allow, host, port,
                         (const struct sockaddr *)&a->sa);
}

/* Names outside the allow-list are not even looked up. */
static bool names_allowed(const struct gw_session *s, const struct gw_dial *d)
{
    struct slice list = slice_of(d->address);
    struct endpoint e;
    char host[256];

    if (!s->route->dynamic || d->is_unix)
        return true;
    while (endpoint_next(&list, &e) == 1) {
        int port = e.port.n ? port_parse(e.port, false) : d->default_port;
        if (port <= 0 || e.host.n >= sizeof host)
            return false;
        memcpy(host, e.host.p, e.host.n);
        host[e.host.n] = '\0';
        if (!allow_name(s->generation->allow, host, (uint16_t)port))
            return false;
    }
    return true;
}

static const struct dial_ops dial_ops = {
    .connected = dial_connected,
    .failed = dial_failed,
    .permit = dial_permit,
};

static struct gw_conn *host_dial(struct gw_session *s, const struct gw_dial *d)
{
    struct gw_conn *c = calloc(1, sizeof *c);
    const struct timeout_settings *t = &s->generation->settings->timeouts;
    unsigned timeout =
        d->connect_timeout_ms ? d->connect_timeout_ms : t->connect;

    if (!c)
        return NULL;
    *c = (struct gw_conn){
        .session = s,
        .tls = (const struct tls_client *)(const void *)d->tls,
        .events = d->events,
        .ctx = d->ctx,
        .proxy = (uint8_t)d->proxy,
    };
    c->dialled_us = now_us(c);
    if (!names_allowed(s, d)) {
        c->refused = true;
        c->later.fn = gw_conn_later;
        loop_defer(s->serve->loop, &c->later);
    } else {
        c->dialer =
            dialer_start(s->serve->loop, s->serve->resolver, d->address,
                         d->is_unix, d->default_port, timeout, &dial_ops, c);
        if (!c->dialer) {
            free(c);
            return NULL;
        }
    }
    DL_APPEND(s->conns, c);
    session_opening_by(
        s, deadline_in(s->serve->loop, timeout + t->tls_handshake + 500));
    return c;
}

/* ---- connections ------------------------------------------------------- */

static enum gw_sent host_conn_sendv(struct gw_conn *c, const struct gw_piece *v,
                                    int n)
{
    struct iovec iov[GW_PIECES_MAX];

    assert(n <= GW_PIECES_MAX);
    if (!c->conn)
        return GW_GONE;
    for (int i = 0; i < n; i++)
        iov[i] = (struct iovec){(void *)(uintptr_t)v[i].p, v[i].n};
    enum conn_sent sent = conn_sendv(c->conn, iov, n);
    if (conn_queued(c->conn) > 0)
        session_look_by(c->session,
                        conn_stalls_at(c->conn, c->session->generation->settings
                                                    ->timeouts.write_stall));
    return sent == CONN_SENT ? GW_SENT : sent == CONN_FULL ? GW_FULL : GW_GONE;
}

static enum gw_sent host_conn_send(struct gw_conn *c, const uint8_t *p,
                                   size_t n)
{
    return host_conn_sendv(c, &(struct gw_piece){p, n}, 1);
}

static void host_conn_pause(struct gw_conn *c)
{
    if (c->conn)
        conn_pause(c->conn);
}

static void host_conn_resume(struct gw_conn *c)
{
    if (c->conn)
        conn_resume(c->conn);
}

static void host_conn_finish(struct gw_conn *c)
{
    if (c->conn)
        conn_finish(c->conn);
}

double backends_stall_at(const struct gw_session *s, bool *stalled,
                         size_t *queued)
{
    const unsigned ms = s->generation->settings->timeouts.write_stall;
    const struct gw_conn *c;
    double at = 0;

    *stalled = false;
    *queued = 0;
    DL_FOREACH(s->conns, c)
    {
        if (!c->conn)
            continue;
        *queued += conn_queued(c->conn);
        if (conn_stalled(c->conn, ms))
            *stalled = true;
        at = deadline_first(at, conn_stalls_at(c->conn, ms));
    }
    return at;
}

/* ---- timers ------------------------------------------------------------ */

static void host_timer_cancel(struct gw_timer *t)
{
    ev_timer_stop(t->session->serve->loop->ev, &t->timer);
    DL_DELETE(t->session->timers, t);
    free(t);
}

static void timer_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct gw_timer *t = container_of(w, struct gw_timer, timer);
    void (*fn)(void *) = t->fn;
    void *arg = t->arg;
    (void)ev, (void)revents;

    host_timer_cancel(t);
    fn(arg);
}

static struct gw_timer *host_timer(struct gw_session *s, uint32_t ms,
                                   void (*fn)(void *arg), void *arg)
{
    struct gw_timer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->session = s;
    t->fn = fn;
    t->arg = arg;
    ev_timer_init(&t->timer, timer_cb, ms / 1000., 0.);
    ev_timer_start(s->serve->loop->ev, &t->timer);
    DL_APPEND(s->timers, t);
    return t;
}

/* What the client sent in time is still delivered, unless the backend is the
 * one who does not take it. */
static void backend_part(struct gw_conn *c)
{
    struct gw_session *s = c->session;

    if (c->conn && conn_queued(c->conn) > 0 && s->end != END_BACKEND_STALLED &&
        !s->aborted) {
        parting_start(s->serve, s->generation, c->conn);
        c->conn = NULL;
    }
    gw_conn_close(c);
}

void backends_close(struct gw_session *s)
{
    while (s->conns)
        backend_part(s->conns);
    while (s->timers)
        host_timer_cancel(s->timers);
}

/* ---- sessions ---------------------------------------------------------- */

static enum gw_sent host_send(struct gw_session *s, enum gw_type type,
                              const uint8_t *p, size_t n, bool more)
{
    return session_send(s, type, (uint8_t *)(uintptr_t)p, n, more, false);
}

static enum gw_sent host_send_inplace(struct gw_session *s, enum gw_type type,
                                      uint8_t *p, size_t n, bool more)
{
    return session_send(s, type, p, n, more, true);
}

static void host_gather(struct gw_session *s)
{
    if (s->conn)
        conn_gather(s->conn);
}

static void host_close(struct gw_session *s, enum gw_cause cause, uint16_t code,
                       const char *why)
{
    static const enum end ends[] = {
        [GW_DONE] = END_BACKEND_DONE,   [GW_BACKEND_LOST] = END_BACKEND_LOST,
        [GW_BAD_DATA] = END_BAD_TEXT,   [GW_UNSUPPORTED] = END_UNSUPPORTED,
        [GW_POLICY] = END_POLICY,       [GW_TOO_BIG] = END_TOO_BIG,
        [GW_TRY_LATER] = END_TRY_LATER, [GW_FAILED] = END_FAILED,
    };
    session_close(s, (size_t)cause < LEN(ends) ? ends[cause] : END_FAILED, code,
                  why);
}

static struct gw_frame *host_frame_new(enum gw_type type, size_t n,
                                       uint8_t **payload)
{
    uint8_t head[WS_SERVER_HEAD_MAX];
    uint8_t *end = head + sizeof head;
    size_t h = ws_head_encode_before(end, true, (uint8_t)type, n);
    struct shared *b = shared_new(h + n);

    if (!b)
        return NULL;
    memcpy(b->bytes, end - h, h);
    *payload = b->bytes + h;
    return (struct gw_frame *)(void *)b;
}

static struct gw_frame *host_frame_ref(struct gw_frame *f)
{
    shared_ref((struct shared *)(void *)f);
    return f;
}

static void host_frame_unref(struct gw_frame *f)
{
    shared_unref((struct shared *)(void *)f);
}

static enum gw_sent host_send_frame(struct gw_session *s, struct gw_frame *f)
{
    return session_send_frame(s, (struct shared *)(void *)f);
}

/* ---- templates --------------------------------------------------------- */

static int host_template_check(const struct gw_target *t, const char *text,
                               char *err, size_t cap)
{
    const struct route_target *rt =
        container_of(t, struct route_target, target);
    struct err e;
    int n = template_check(text, rt->pattern, &e);
    if (n < 0)
        snprintf(err, cap, "%s", e.text);
    return n;
}

static int host_template_fill(struct gw_session *s, const char *text,
                              enum gw_fill kind, char *out, size_t cap,
                              const char **why)
{
    return session_template(
        s, text, kind == GW_FILL_TOPIC ? TEMPLATE_TOPIC : TEMPLATE_TEXT, out,
        cap, why);
}

static struct gw_tls *host_tls_new(const struct gw_tls_options *o, char *err,
                                   size_t cap)
{
    struct err e;
    const struct tls_client_settings t = {
        .sni = o->sni,
        .ca = o->ca,
        .cert = o->cert,
        .key = o->key,
        .insecure = o->insecure,
    };
    struct tls_client *client = tls_client_new(&t, &e);
    if (!client)
        snprintf(err, cap, "%s", e.text);
    return (struct gw_tls *)(void *)client;
}

static void host_tls_free(struct gw_tls *t)
{
    tls_client_free(tls_of(t));
}

static struct gw_worker *host_worker(struct gw_session *s)
{
    return (struct gw_worker *)(void *)s->serve;
}

static bool host_post(struct gw_worker *w, void (*fn)(void *arg), void *arg)
{
    return mailbox_post(serve_of(w)->mailbox, fn, arg);
}

static bool host_resolve(struct gw_worker *w, const char *host,
                         gw_resolved_fn found, void *arg)
{
    return lookup_start(serve_of(w), host, found, arg);
}

/* utf8_whole says whether; where is looked for only when it is not. */
static size_t host_utf8(const uint8_t *p, size_t n, size_t *cut)
{
    size_t good = utf8_whole(p, n);
    struct utf8 u = {0};

    *cut = 0;
    if (good != SIZE_MAX) {
        *cut = n - good;
        return good;
    }
    good = 0;
    for (size_t i = 0; i < n && utf8_feed(&u, p + i, 1); i++)
        if (utf8_done(&u))
            good = i + 1;
    return good;
}

static void host_log(struct gw_session *s, enum gw_severity severity,
                     const char *event, const char *text)
{
    char id[SESSION_ID_TEXT];
    session_id_text(s, id);
    log_fields((enum log_severity)severity, event, log_str("sid", id),
               log_str("bridge", s->route->bridge->name),
               log_str("text", text));
}

static void host_note(const struct gw_bridge *b, enum gw_severity severity,
                      const char *event, const char *text)
{
    log_fields((enum log_severity)severity, event, log_str("bridge", b->name),
               log_str("text", text));
}

static void host_count(struct gw_session *s, unsigned index, uint64_t n)
{
    if (index < BRIDGE_COUNTERS_MAX)
        counter_add(&s->serve->metrics.bridge[s->route->bridge_index][index],
                    n);
}

static void host_add(const struct gw_bridge *b, unsigned index, int64_t n)
{
    size_t i = registry_index(b);
    if (i < BRIDGES_MAX && index < BRIDGE_COUNTERS_MAX)
        atomic_fetch_add_explicit(&metrics_shared[i][index], n,
                                  memory_order_relaxed);
}

const struct gw_host bridge_host = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_host),
    .template_check = host_template_check,
    .template_fill = host_template_fill,
    .accept = session_accept,
    .refuse = session_refuse,
    .send = host_send,
    .send_inplace = host_send_inplace,
    .frame_new = host_frame_new,
    .frame_ref = host_frame_ref,
    .frame_unref = host_frame_unref,
    .send_frame = host_send_frame,
    .pause = session_pause,
    .resume = session_resume,
    .close = host_close,
    .dial = host_dial,
    .conn_send = host_conn_send,
    .conn_pause = host_conn_pause,
    .conn_resume = host_conn_resume,
    .conn_finish = host_conn_finish,
    .conn_close = gw_conn_close,
    .tls_new = host_tls_new,
    .tls_free = host_tls_free,
    .timer = host_timer,
    .timer_cancel = host_timer_cancel,
    .worker = host_worker,
    .post = host_post,
    .utf8 = host_utf8,
    .log = host_log,
    .count = host_count,
    .add = host_add,
    .note = host_note,
    .resolve = host_resolve,
    .gather = host_gather,
    .sendv = session_sendv,
    .conn_sendv = host_conn_sendv,
};
