/* SPDX-License-Identifier: Apache-2.0 */
/* resolver.c - a cache before the name servers.
 *
 * A question whose answer is known is `ready` and told from a timer of zero
 * seconds; the others wait at their name. All who ask for a name while it is
 * being looked up share the answer. A cancelled question leaves; the look-up
 * goes on and the cache gets the answer. */
#include "resolver.h"

#include "../base/hash.h"
#include "dns.h"
#include "host_name.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

enum { CACHE_MAX = 1024 }; /* names */

struct name {
    UT_hash_handle hh;
    struct name *prev, *next; /* in `used`, unless `asking` */
    struct resolver *resolver;
    struct resolver_query *waiting;
    struct dns_question question;
    bool asking;
    double expires; /* see monotonic */
    struct dns_answer answer;
    char text[]; /* lower case */
};

struct resolver_query {
    struct resolver_query *prev, *next; /* in name->waiting or `ready` */
    struct resolver *resolver;
    struct name *name; /* waits there; NULL: in `ready` */
    resolver_cb cb;
    void *ctx;
    uint16_t port;
    struct dns_answer answer;
};

struct resolver {
    struct loop *loop;
    struct dns dns;
    ev_timer deliver; /* runs while `ready` is not empty */
    struct resolver_query *ready;
    struct name *names; /* all, by text */
    struct name *used;  /* answered ones, least recently used first */
    size_t n_used;
};

static double monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- telling ------------------------------------------------------------ */

static void address_make(struct address *a, const struct dns_addr *f,
                         uint16_t port)
{
    memset(a, 0, sizeof(*a));
    if (f->family == AF_INET) {
        struct sockaddr_in sa = {.sin_family = AF_INET,
                                 .sin_port = htons(port)};
        memcpy(&sa.sin_addr, f->ip, 4);
        memcpy(&a->sa, &sa, a->len = sizeof(sa));
    } else {
        struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
                                  .sin6_port = htons(port),
                                  .sin6_scope_id = f->scope};
        memcpy(&sa.sin6_addr, f->ip, 16);
        memcpy(&a->sa, &sa, a->len = sizeof(sa));
    }
}

/* The callback may ask and cancel. */
static void query_tell(struct resolver_query *q)
{
    struct address addrs[RESOLVER_ADDRS_MAX];
    const struct dns_answer *a = &q->answer;

    for (size_t i = 0; i < a->n; i++)
        address_make(&addrs[i], &a->addrs[i], q->port);
    resolver_cb cb = q->cb;
    void *ctx = q->ctx;
    enum resolved result = a->result;
    size_t n = a->n;
    free(q);
    cb(ctx, result, addrs, n);
}

static void query_ready(struct resolver_query *q, const struct dns_answer *a)
{
    struct resolver *r = q->resolver;

    if (a)
        q->answer = *a;
    q->name = NULL;
    DL_APPEND(r->ready, q);
    if (!ev_is_active(&r->deliver)) {
        ev_timer_set(&r->deliver, 0., 0.);
        ev_timer_start(r->loop->ev, &r->deliver);
    }
}

/* What becomes ready meanwhile is told in the next turn. */
static void resolver_deliver_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct resolver *r = container_of(w, struct resolver, deliver);
    struct resolver_query *q;
    size_t n;
    (void)revents;

    DL_COUNT(r->ready, q, n);
    while (n-- > 0 && r->ready) {
        q = r->ready;
        DL_DELETE(r->ready, q);
        query_tell(q);
    }
    if (r->ready && !ev_is_active(w)) {
        ev_timer_set(w, 0., 0.);
        ev_timer_start(ev, w);
    }
}

/* ---- the cache ---------------------------------------------------------- */

static struct name *name_find(struct resolver *r, const char *text, size_t n)
{
    struct name *name;

    HASH_FIND(hh, r->names, text, n, name);
    return name;
}

static struct name *name_new(struct resolver *r, const char *text, size_t n)
{
    struct name *name = calloc(1, sizeof(*name) + n + 1);

    if (!name)
        return NULL;
    name->resolver = r;
    memcpy(name->text, text, n);
    HASH_ADD_KEYPTR(hh, r->names, name->text, n, name);
    if (!name->hh.tbl) {
        free(name);
        return NULL;
    }
    return name;
}

static void name_unuse(struct name *name)
{
    DL_DELETE(name->resolver->used, name);
    name->resolver->n_used--;
}

static void name_use(struct name *name)
{
    DL_APPEND(name->resolver->used, name);
    name->resolver->n_used++;
}

static void name_free(struct name *name)
{
    HASH_DEL(name->resolver->names, name);
    free(name);
}

static void cache_trim(struct resolver *r)
{
    while (r->n_used > CACHE_MAX) {
        struct name *oldest = r->used;
        name_unuse(oldest);
        name_free(oldest);
    }
}

/* May come while it is being asked. */
static void name_answered(struct dns_question *question,
                          const struct dns_answer *a, int ttl)
{
    struct name *name = container_of(question, struct name, question);
    struct resolver *r = name->resolver;
    struct resolver_query *q, *next;

    name->answer = *a;
    name->expires = monotonic() + ttl;
    name->asking = false;
    DL_FOREACH_SAFE(name->waiting, q, next)
    {
        DL_DELETE(name->waiting, q);
        query_ready(q, a);
    }
    name_use(name);
    cache_trim(r);
}

/* ---- life --------------------------------------------------------------- */

struct resolver *resolver_new(struct loop *l, const char *servers)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->loop = l;
    ev_init(&r->deliver, resolver_deliver_cb);
    if (dns_open(&r->dns, l, servers) == -1) {
        free(r);
        return NULL;
    }
    return r;
}

static void queries_free(struct resolver_query *list)
{
    struct resolver_query *q, *next;

    DL_FOREACH_SAFE(list, q, next)
    {
        free(q);
    }
}

void resolver_free(struct resolver *r)
{
    struct name *name, *next;

    if (!r)
        return;
    dns_close(&r->dns);
    ev_timer_stop(r->loop->ev, &r->deliver);
    queries_free(r->ready);
    HASH_ITER(hh, r->names, name, next)
    {
        queries_free(name->waiting);
        name_free(name);
    }
    free(r);
}

/* ---- questions ---------------------------------------------------------- */

/* True if q is in somebody's list now; false: out of memory. */
static bool query_by_name(struct resolver_query *q, const char *text)
{
    struct resolver *r = q->resolver;
    size_t n = strlen(text);
    struct name *name = name_find(r, text, n);

    if (name && !name->asking)
        name_unuse(name);
    if (name && !name->asking && monotonic() < name->expires) {
        name_use(name); /* as the latest */
        query_ready(q, &name->answer);
        return true;
    }
    if (!name && !(name = name_new(r, text, n)))
        return false;
    q->name = name;
    DL_APPEND(name->waiting, q);
    if (!name->asking) {
        name->asking = true;
        name->question.answered = name_answered;
        dns_ask(&r->dns, &name->question, name->text);
    }
    return true;
}

struct resolver_query *resolver_ask(struct resolver *r, const char *host,
                                    uint16_t port, resolver_cb cb, void *ctx)
{
    char text[HOST_NAME_SIZE];
    struct resolver_query *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->resolver = r;
    q->port = port;
    q->cb = cb;
    q->ctx = ctx;
    q->answer.result = RESOLVED;
    size_t bare = 0;
    if (host_literal(&q->answer, host) || (bare = host_fold(host, text)) == 0 ||
        host_localhost(&q->answer, text, bare)) {
        if (q->answer.n == 0)
            q->answer.result = RESOLVE_NOT_FOUND;
        query_ready(q, NULL);
    } else if (!query_by_name(q, text)) {
        free(q);
        return NULL;
    }
    return q;
}

void resolver_cancel(struct resolver_query *q)
{
    if (!q)
        return;
    if (q->name)
        DL_DELETE(q->name->waiting, q);
    else
        DL_DELETE(q->resolver->ready, q);
    free(q);
}
