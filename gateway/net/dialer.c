/* SPDX-License-Identifier: Apache-2.0 */
/* dialer.c - endpoints in order, addresses raced, one deadline over all.
 *
 * An endpoint that neither answers nor refuses would use up the deadline and
 * make failover a word only; so each gets an equal share of what is left, and
 * its attempts go on beside those of the next. */
#include "dialer.h"

#include "../base/url.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    STAGGER_MS = 250, /* RFC 8305 section 8 */
    BUSY_MS = 50,     /* until a full backlog of a Unix socket is tried again */
};

/* What to say when all has failed: of several outcomes the one of highest
 * weight, of equals the first. */
struct outcome {
    enum dial_result result;
    int weight;
    const char *why;
};

static const struct outcome no_outcome = {DIAL_BAD, 0, "no address"},
                            bad_address = {DIAL_BAD, 1,
                                           "the address makes no sense"},
                            no_such_host = {DIAL_UNRESOLVED, 2, "no such host"},
                            not_resolved = {DIAL_UNRESOLVED, 2,
                                            "name resolution failed"},
                            forbidden = {DIAL_FORBIDDEN, 3,
                                         "address not allowed"},
                            no_memory = {DIAL_NO_FD, 8, "out of memory"},
                            timed_out = {DIAL_TIMEOUT, 9, "timed out"};

/* A machine without IPv6 has no source address for ::1 and no route to
 * others; that says less than what came of the IPv4 addresses. */
static const struct {
    int error;
    struct outcome outcome;
} outcomes[] = {
    {EADDRNOTAVAIL, {DIAL_NO_FD, 4, "no source port left"}},
    {EAGAIN, {DIAL_NO_FD, 4, "no source port left"}},
    {ENETUNREACH, {DIAL_REFUSED, 5, "network unreachable"}},
    {EAFNOSUPPORT, {DIAL_REFUSED, 5, "network unreachable"}},
    {EHOSTUNREACH, {DIAL_REFUSED, 6, "no route to host"}},
    {ECONNREFUSED, {DIAL_REFUSED, 7, "connection refused"}},
    {ECONNRESET, {DIAL_REFUSED, 7, "connection reset"}},
    {EACCES, {DIAL_REFUSED, 7, "permission denied"}},
    {EPERM, {DIAL_REFUSED, 7, "permission denied"}},
    {ENOENT, {DIAL_REFUSED, 7, "no such socket"}},
    {EPROTOTYPE, {DIAL_REFUSED, 7, "not a stream socket"}},
    {ETIMEDOUT, {DIAL_TIMEOUT, 7, "timed out"}},
    {EMFILE, {DIAL_NO_FD, 8, "no descriptor left"}},
    {ENFILE, {DIAL_NO_FD, 8, "no descriptor left"}},
    {ENOBUFS, {DIAL_NO_FD, 8, "out of memory"}},
    {ENOMEM, {DIAL_NO_FD, 8, "out of memory"}},
    {EINVAL, {DIAL_BAD, 1, "the address makes no sense"}},
};

static struct outcome outcome_of(int error)
{
    for (size_t i = 0; i < LEN(outcomes); i++)
        if (outcomes[i].error == error)
            return outcomes[i].outcome;
    return (struct outcome){DIAL_REFUSED, 6, "cannot connect"};
}

/* One socket on its way. */
struct attempt {
    struct attempt *next;
    struct dialer *dialer;
    ev_io io;
    const char *host; /* in dialer->text */
    struct address peer;
};

struct dialer {
    struct loop *loop;
    struct resolver *resolver;
    const struct dial_ops *ops;
    void *ctx;
    uint16_t default_port;
    bool is_unix;
    struct slice rest; /* endpoints not begun */
    unsigned n_rest;

    const char *host; /* of the endpoint at hand */
    uint16_t port;
    struct resolver_query *query;
    struct address addrs[RESOLVER_ADDRS_MAX];
    size_t n_addrs, next_addr;

    struct attempt *attempts;
    ev_timer step;  /* time for the next address */
    ev_timer share; /* time for the next endpoint */
    ev_timer deadline;
    struct outcome outcome;
    char text[]; /* the address; hosts in it are terminated one by one */
};

static void note(struct dialer *d, struct outcome o)
{
    if (o.weight > d->outcome.weight)
        d->outcome = o;
}

/* ---- the end ------------------------------------------------------------ */

static void attempt_free(struct attempt *a)
{
    ev_io_stop(a->dialer->loop->ev, &a->io);
    if (a->io.fd != -1)
        close(a->io.fd);
    free(a);
}

static void attempt_drop(struct attempt *a)
{
    struct attempt **at = &a->dialer->attempts;

    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    attempt_free(a);
}

static void dialer_stop(struct dialer *d)
{
    ev_timer_stop(d->loop->ev, &d->step);
    ev_timer_stop(d->loop->ev, &d->share);
    ev_timer_stop(d->loop->ev, &d->deadline);
    resolver_cancel(d->query);
    d->query = NULL;
    for (struct attempt *a = d->attempts, *next; a; a = next) {
        next = a->next;
        attempt_free(a);
    }
    d->attempts = NULL;
}

void dialer_cancel(struct dialer *d)
{
    if (!d)
        return;
    dialer_stop(d);
    free(d);
}

static void dialer_fail(struct dialer *d)
{
    dialer_stop(d);
    d->ops->failed(d->ctx, d->outcome.result, d->outcome.why);
    free(d);
}

static void dialer_win(struct attempt *a)
{
    struct dialer *d = a->dialer;
    int fd = a->io.fd;
    const char *host = a->host;
    const struct address peer = a->peer;

    ev_io_stop(d->loop->ev, &a->io);
    a->io.fd = -1;
    dialer_stop(d);
    d->ops->connected(d->ctx, fd, host, &peer);
    free(d);
}

/* ---- one attempt -------------------------------------------------------- */

static void dialer_go_on(struct dialer *d);

/* A socket that dials a free port of this machine may be given that very port
 * as its own, and meet itself. */
static bool met_itself(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t n = sizeof(here), m = sizeof(there);

    return getsockname(fd, (struct sockaddr *)&here, &n) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &m) == 0 && n == m &&
           here.ss_family != AF_UNIX && memcmp(&here, &there, n) == 0;
}

/* 0, or the errno of what became of the connect. */
static int connect_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
        return errno;
    return error == 0 && met_itself(fd) ? ECONNREFUSED : error;
}

static void attempt_io_cb(struct ev_loop *ev, ev_io *w, int revents)
{
    struct attempt *a = container_of(w, struct attempt, io);
    struct dialer *d = a->dialer;
    int error = connect_error(w->fd);
    (void)ev;
    (void)revents;

    if (error == 0) {
        dialer_win(a);
        return;
    }
    note(d, outcome_of(error));
    attempt_drop(a);
    dialer_go_on(d);
}

static int socket_for(const struct address *a)
{
    const int on = 1;
    int fd =
        socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd != -1 && a->sa.ss_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    return fd;
}

enum begun { WON, BEGUN, BUSY, FAILED };

static enum begun attempt_connect(struct attempt *a)
{
    struct dialer *d = a->dialer;
    int fd = a->io.fd;
    int error = 0;

    if (connect(fd, (struct sockaddr *)&a->peer.sa, a->peer.len) == -1)
        error = errno;
    if (error == 0 && !met_itself(fd)) {
        dialer_win(a);
        return WON;
    }
    if (error == EINPROGRESS || error == EINTR) {
        ev_io_start(d->loop->ev, &a->io);
        return BEGUN;
    }
    if (error != EAGAIN || !d->is_unix)
        note(d, outcome_of(error ? error : ECONNREFUSED));
    attempt_drop(a);
    return error == EAGAIN && d->is_unix ? BUSY : FAILED;
}

/* Afterwards, WON: the dialer is gone. */
static enum begun attempt_begin(struct dialer *d, const struct address *peer)
{
    struct attempt *a = calloc(1, sizeof(*a));

    if (!a) {
        note(d, no_memory);
        return FAILED;
    }
    int fd = socket_for(peer);
    if (fd == -1) {
        note(d, outcome_of(errno));
        free(a);
        return FAILED;
    }
    a->dialer = d;
    a->host = d->host;
    a->peer = *peer;
    ev_io_init(&a->io, attempt_io_cb, fd, EV_WRITE);
    a->next = d->attempts;
    d->attempts = a;
    return attempt_connect(a);
}

/* ---- the addresses of an endpoint
 * -------------------------------------------- */

static void step_in(struct dialer *d, unsigned ms)
{
    ev_timer_stop(d->loop->ev, &d->step);
    ev_timer_set(&d->step, ms / 1000., 0.);
    ev_timer_start(d->loop->ev, &d->step);
}

static bool permitted(struct dialer *d, const struct address *a)
{
    return !d->ops->permit ||
           d->ops->permit(d->ctx, d->host, d->port, d->is_unix ? NULL : a);
}

/* Begin an attempt at the next address that lets us. True: no more is to be
 * done for now, or ever. */
static bool try_addresses(struct dialer *d)
{
    ev_timer_stop(d->loop->ev, &d->step);
    while (d->next_addr < d->n_addrs) {
        const struct address *a = &d->addrs[d->next_addr++];
        if (!permitted(d, a)) {
            note(d, forbidden);
            continue;
        }
        switch (attempt_begin(d, a)) {
        case WON:
            return true;
        case BEGUN:
            if (d->next_addr < d->n_addrs)
                step_in(d, STAGGER_MS);
            return true;
        case BUSY:
            d->next_addr--;
            step_in(d, BUSY_MS);
            return true;
        case FAILED:
            break;
        }
    }
    return false;
}

static void dialer_resolved_cb(void *ctx, enum resolved result,
                               const struct address *addrs, size_t n)
{
    struct dialer *d = ctx;

    d->query = NULL;
    if (result == RESOLVED) {
        memcpy(d->addrs, addrs, n * sizeof(*addrs));
        d->n_addrs = n;
    } else {
        note(d, result == RESOLVE_NOT_FOUND ? no_such_host : not_resolved);
    }
    dialer_go_on(d);
}

/* ---- endpoints
 * ---------------------------------------------------------------- */

/* An equal part of what is left of the time, unless it is the last. */
static void share_time(struct dialer *d)
{
    ev_timer_stop(d->loop->ev, &d->share);
    if (d->n_rest == 0 || !ev_is_active(&d->deadline))
        return;
    double left = ev_timer_remaining(d->loop->ev, &d->deadline);
    ev_timer_set(&d->share, left / (d->n_rest + 1), 0.);
    ev_timer_start(d->loop->ev, &d->share);
}

/* Turn to the next endpoint. False: there is none. */
static bool next_endpoint(struct dialer *d)
{
    struct endpoint e;

    if (d->n_rest == 0)
        return false;
    d->n_rest--;
    d->n_addrs = d->next_addr = 0;
    endpoint_next(&d->rest, &e); /* counted, hence well-formed */
    int port = e.port.n > 0 ? port_parse(e.port, false) : d->default_port;
    size_t at = (size_t)(e.host.p - d->text);
    d->text[at + e.host.n] = '\0'; /* on its ':', ',' or ']' */
    d->host = d->text + at;
    if (port <= 0) {
        note(d, bad_address);
        return true;
    }
    d->port = (uint16_t)port;
    d->query =
        resolver_ask(d->resolver, d->host, d->port, dialer_resolved_cb, d);
    if (!d->query)
        note(d, no_memory);
    share_time(d);
    return true;
}

/* Whether the endpoint at hand may still lead to something. */
static bool endpoint_lives(const struct dialer *d)
{
    if (d->query)
        return true;
    for (const struct attempt *a = d->attempts; a; a = a->next)
        if (a->host == d->host)
            return true;
    return false;
}

static void dialer_go_on(struct dialer *d)
{
    for (;;) {
        if (try_addresses(d) || endpoint_lives(d))
            return;
        if (!next_endpoint(d))
            break;
    }
    if (!d->attempts)
        dialer_fail(d);
}

/* ---- timers
 * --------------------------------------------------------------------- */

static void dialer_step_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev;
    (void)revents;
    dialer_go_on(container_of(w, struct dialer, step));
}

/* What the endpoint has not begun by now it never will. */
static void dialer_share_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct dialer *d = container_of(w, struct dialer, share);
    (void)ev;
    (void)revents;

    if (d->query)
        note(d, not_resolved);
    resolver_cancel(d->query);
    d->query = NULL;
    next_endpoint(d);
    dialer_go_on(d);
}

static void dialer_deadline_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct dialer *d = container_of(w, struct dialer, deadline);
    (void)ev;
    (void)revents;

    note(d, timed_out);
    dialer_fail(d);
}

/* ---- the beginning
 * -------------------------------------------------------------- */

/* A path is one address of the one endpoint there is. */
static void unix_endpoint(struct dialer *d)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = strlen(d->text);
    bool abstract = d->text[0] == '@';

    d->host = d->text;
    if (n <= abstract || n > sizeof(sa.sun_path) - !abstract) {
        note(d, bad_address);
        return;
    }
    memcpy(sa.sun_path, d->text, n);
    if (abstract)
        sa.sun_path[0] = '\0';
    memcpy(&d->addrs[0].sa, &sa, sizeof(sa));
    d->addrs[0].len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
    d->n_addrs = 1;
}

/* A list with an error anywhere is no list. */
static void tcp_endpoints(struct dialer *d)
{
    struct slice list = slice_of(d->text);
    struct endpoint e;
    int more;

    d->rest = list;
    while ((more = endpoint_next(&list, &e)) == 1)
        d->n_rest++;
    if (more == -1) {
        d->n_rest = 0;
        note(d, bad_address);
    }
}

static void dialer_time(struct dialer *d, unsigned timeout_ms)
{
    ev_init(&d->step, dialer_step_cb);
    ev_init(&d->share, dialer_share_cb);
    ev_timer_init(&d->deadline, dialer_deadline_cb, timeout_ms / 1000., 0.);
    if (timeout_ms > 0)
        ev_timer_start(d->loop->ev, &d->deadline);
    step_in(d, 0);
}

struct dialer *dialer_start(struct loop *l, struct resolver *r,
                            const char *address, bool is_unix,
                            uint16_t default_port, unsigned timeout_ms,
                            const struct dial_ops *ops, void *ctx)
{
    size_t n = strlen(address) + 1;
    struct dialer *d = calloc(1, sizeof(*d) + n);

    if (!d)
        return NULL;
    d->loop = l;
    d->resolver = r;
    d->ops = ops;
    d->ctx = ctx;
    d->default_port = default_port;
    d->is_unix = is_unix;
    d->outcome = no_outcome;
    memcpy(d->text, address, n);
    if (is_unix)
        unix_endpoint(d);
    else
        tcp_endpoints(d);
    dialer_time(d, timeout_ms);
    return d;
}
