/* SPDX-License-Identifier: Apache-2.0 */
/* resolver.c - c-ares on the loop, behind a cache.
 *
 * A question whose answer is known is `ready` and told from a timer of zero
 * seconds; the others wait at their name. All who ask for a name while c-ares
 * is at it share its answer. A cancelled question leaves; c-ares goes on and
 * the cache gets the answer. */
#include "resolver.h"

#include "../base/hash.h"

#include <ares.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <utlist.h>

enum {
    NAME_MAX_LEN = 253, /* RFC 1035 section 3.1, as text */
    LABEL_MAX_LEN = 63,
    CACHE_MAX = 1024, /* names */
    TTL_MIN = 1,
    TTL_MAX = 300,
    TTL_FAILURE = 1,   /* seconds */
    TIMEOUT_MS = 1500, /* first try of a server; doubled for the next round */
    TRIES = 2,
};

static const char system_conf[] = "/etc/resolv.conf";

/* An address as the cache keeps it. */
struct found {
    uint16_t family; /* AF_INET, AF_INET6 */
    uint32_t scope;  /* of a link-local literal */
    uint8_t ip[16];
};

struct answer {
    enum resolved result;
    size_t n;
    struct found found[RESOLVER_ADDRS_MAX];
};

struct name {
    UT_hash_handle hh;
    struct name *prev, *next; /* in `used`, unless `asking` */
    struct resolver *resolver;
    struct resolver_query *waiting;
    bool asking;    /* c-ares will call back */
    double expires; /* see monotonic */
    struct answer answer;
    char text[]; /* lower case */
};

struct resolver_query {
    struct resolver_query *prev, *next; /* in name->waiting or `ready` */
    struct resolver *resolver;
    struct name *name; /* waits there; NULL: in `ready` */
    resolver_cb cb;
    void *ctx;
    uint16_t port;
    struct answer answer;
};

/* A socket of c-ares. */
struct watch {
    struct watch *prev, *next;
    struct resolver *resolver;
    ev_io io;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    char *conf;              /* watched for changes, or NULL */
    struct timespec conf_at; /* when it had last changed at the reading */
    struct watch *watches;
    ev_timer retry;   /* when c-ares wants to be called */
    ev_timer deliver; /* runs while `ready` is not empty */
    struct resolver_query *ready;
    struct name *names; /* all, by text */
    struct name *used;  /* answered ones, least recently used first */
    size_t n_used, n_asking;
};

static double monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- names that need no DNS -----------------------------------------------
 */

static void answer_add(struct answer *a, int family, const void *ip,
                       uint32_t scope)
{
    if (a->n == LEN(a->found))
        return;
    struct found *f = &a->found[a->n++];
    *f = (struct found){.family = (uint16_t)family, .scope = scope};
    memcpy(f->ip, ip, family == AF_INET ? 4 : 16);
}

/* fe80::1%eth0, fe80::1%2; 0 if there is no such interface. */
static uint32_t zone_index(const char *zone)
{
    char *end;
    unsigned long index = strtoul(zone, &end, 10);

    if (isdigit((unsigned char)zone[0]) && *end == '\0' && index <= UINT32_MAX)
        return (uint32_t)index;
    return if_nametoindex(zone);
}

/* Numeric addresses in the forms of URLs: 1.2.3.4, ::1, [::1], fe80::1%eth0.
 * True if host is one, or tries to be. */
static bool answer_literal(struct answer *a, const char *host)
{
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    size_t n = strlen(host);
    uint8_t ip[16];
    uint32_t scope = 0;

    if (host[0] == '[' && n > 2 && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n >= sizeof(text))
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    if (inet_pton(AF_INET, text, ip) == 1) {
        answer_add(a, AF_INET, ip, 0);
        return true;
    }
    char *zone = strchr(text, '%');
    if (zone) {
        *zone++ = '\0';
        scope = zone_index(zone);
    }
    if (inet_pton(AF_INET6, text, ip) != 1)
        return false;
    if (!zone || scope != 0)
        answer_add(a, AF_INET6, ip, scope);
    return true;
}

/* RFC 6761 section 6.3: never a question for a server. */
static bool answer_localhost(struct answer *a, const char *name, size_t n)
{
    static const char localhost[] = ".localhost";
    const size_t size = sizeof(localhost) - 1;
    const uint32_t v4 = htonl(INADDR_LOOPBACK);

    if (!(n == size - 1 && memcmp(name, localhost + 1, n) == 0) &&
        !(n >= size && memcmp(name + n - size, localhost, size) == 0))
        return false;
    answer_add(a, AF_INET6, &in6addr_loopback, 0);
    answer_add(a, AF_INET, &v4, 0);
    return true;
}

/* Letters, digits, hyphens and underscores in labels; the last is no number,
 * for who writes 127.1 or 10.0.0.256 means an address. */
static bool is_host_name(const char *name, size_t n)
{
    size_t label = 0;
    bool number = true;

    if (n == 0 || n > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            number = true;
            continue;
        }
        if (c >= 0x80 || !(isalnum(c) || c == '-' || c == '_') ||
            ++label > LABEL_MAX_LEN)
            return false;
        number = number && isdigit(c);
    }
    return label > 0 && !number;
}

/* Lower case into out. Returns the length without the root's dot, or 0 if it
 * can be no name. */
static size_t name_fold(const char *host, char out[NAME_MAX_LEN + 2])
{
    size_t n = strlen(host);

    if (n > NAME_MAX_LEN + 1)
        return 0;
    for (size_t i = 0; i < n; i++)
        out[i] =
            (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
    out[n] = '\0';
    size_t bare = n > 0 && out[n - 1] == '.' ? n - 1 : n;
    return is_host_name(out, bare) ? bare : 0;
}

/* ---- telling --------------------------------------------------------------
 */

static void address_make(struct address *a, const struct found *f,
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
    const struct answer *a = &q->answer;

    for (size_t i = 0; i < a->n; i++)
        address_make(&addrs[i], &a->found[i], q->port);
    resolver_cb cb = q->cb;
    void *ctx = q->ctx;
    enum resolved result = a->result;
    size_t n = a->n;
    free(q);
    cb(ctx, result, addrs, n);
}

static void query_ready(struct resolver_query *q, const struct answer *a)
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

/* ---- the cache ------------------------------------------------------------
 */

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

/* ---- what c-ares answers ---------------------------------------------------
 */

/* RFC 8305 section 4: the families alternate, IPv6 begins. Within a family the
 * order is the server's, which may be how it spreads the load. */
static void answer_from(struct answer *a, const struct ares_addrinfo *ai)
{
    static const int families[] = {AF_INET6, AF_INET};
    const struct ares_addrinfo_node *at[] = {ai->nodes, ai->nodes};

    for (unsigned turn = 0; at[0] || at[1]; turn ^= 1) {
        const struct ares_addrinfo_node *node = at[turn];
        while (node && node->ai_family != families[turn])
            node = node->ai_next;
        at[turn] = node ? node->ai_next : NULL;
        if (!node)
            continue;
        if (families[turn] == AF_INET6)
            answer_add(
                a, AF_INET6,
                &((struct sockaddr_in6 *)(void *)node->ai_addr)->sin6_addr, 0);
        else
            answer_add(a, AF_INET,
                       &((struct sockaddr_in *)(void *)node->ai_addr)->sin_addr,
                       0);
    }
}

/* Seconds the answer may be kept. */
static int answer_ttl(const struct ares_addrinfo *ai)
{
    int ttl = TTL_MAX;

    for (const struct ares_addrinfo_node *n = ai->nodes; n; n = n->ai_next)
        if (n->ai_ttl < ttl)
            ttl = n->ai_ttl;
    return ttl < TTL_MIN ? TTL_MIN : ttl;
}

static enum resolved result_of(int status)
{
    switch (status) {
    case ARES_SUCCESS: /* with no address in it */
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return RESOLVE_NOT_FOUND;
    default:
        return RESOLVE_FAILED;
    }
}

static void name_answered(struct name *name, int status,
                          const struct ares_addrinfo *ai)
{
    struct answer *a = &name->answer;
    struct resolver_query *q, *next;
    int ttl = TTL_FAILURE;

    *a = (struct answer){.result = RESOLVED};
    if (status == ARES_SUCCESS && ai) {
        answer_from(a, ai);
        ttl = answer_ttl(ai);
    }
    if (a->n == 0) {
        a->result = result_of(status);
        ttl = TTL_FAILURE;
    }
    name->expires = monotonic() + ttl;
    DL_FOREACH_SAFE(name->waiting, q, next)
    {
        DL_DELETE(name->waiting, q);
        query_ready(q, a);
    }
}

/* May come from within ares_getaddrinfo. */
static void resolver_answered_cb(void *arg, int status, int timeouts,
                                 struct ares_addrinfo *ai)
{
    struct name *name = arg;
    struct resolver *r = name->resolver;
    (void)timeouts;

    if (status != ARES_EDESTRUCTION) {
        name_answered(name, status, ai);
        name->asking = false;
        r->n_asking--;
        name_use(name);
        cache_trim(r);
    }
    ares_freeaddrinfo(ai);
}

/* ---- c-ares' sockets and timer ---------------------------------------------
 */

static void resolver_rearm(struct resolver *r)
{
    struct timeval tv, *wait = ares_timeout(r->channel, NULL, &tv);

    ev_timer_stop(r->loop->ev, &r->retry);
    if (!wait)
        return;
    ev_timer_set(&r->retry, (double)wait->tv_sec + (double)wait->tv_usec / 1e6,
                 0.);
    ev_timer_start(r->loop->ev, &r->retry);
}

static void resolver_process(struct resolver *r, ares_socket_t readable,
                             ares_socket_t writable)
{
    ares_process_fd(r->channel, readable, writable);
    resolver_rearm(r);
}

static void resolver_retry_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev;
    (void)revents;
    resolver_process(container_of(w, struct resolver, retry), ARES_SOCKET_BAD,
                     ARES_SOCKET_BAD);
}

static void watch_io_cb(struct ev_loop *ev, ev_io *w, int revents)
{
    struct watch *watch = container_of(w, struct watch, io);
    (void)ev;

    resolver_process(watch->resolver,
                     revents & EV_READ ? w->fd : ARES_SOCKET_BAD,
                     revents & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
}

static void watch_free(struct watch *watch)
{
    ev_io_stop(watch->resolver->loop->ev, &watch->io);
    DL_DELETE(watch->resolver->watches, watch);
    free(watch);
}

/* Without memory for a watch the socket is not seen, and the question times
 * out. */
static struct watch *watch_of(struct resolver *r, ares_socket_t fd, bool make)
{
    struct watch *watch;

    DL_FOREACH(r->watches, watch)
    {
        if (watch->io.fd == fd)
            return watch;
    }
    if (!make || !(watch = calloc(1, sizeof(*watch))))
        return NULL;
    watch->resolver = r;
    ev_io_init(&watch->io, watch_io_cb, fd, 0);
    DL_APPEND(r->watches, watch);
    return watch;
}

static void resolver_socket_cb(void *data, ares_socket_t fd, int readable,
                               int writable)
{
    struct resolver *r = data;
    struct watch *watch = watch_of(r, fd, readable || writable);

    if (!watch)
        return;
    if (!readable && !writable) {
        watch_free(watch);
        return;
    }
    ev_io_stop(r->loop->ev, &watch->io);
    ev_io_set(&watch->io, fd,
              (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(r->loop->ev, &watch->io);
}

/* ---- life of the channel ----------------------------------------------------
 */

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL); /* not thread-safe; kept for ever */
}

/* /etc/hosts first, then DNS. */
static int channel_open(struct resolver *r, const char *servers)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char lookups[] = "fb";
    struct ares_options o = {.lookups = lookups,
                             .timeout = TIMEOUT_MS,
                             .tries = TRIES,
                             .resolvconf_path = r->conf,
                             .sock_state_cb = resolver_socket_cb,
                             .sock_state_cb_data = r};
    int mask = ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
               ARES_OPT_SOCK_STATE_CB;

    pthread_once(&once, library_init);
    if (r->conf)
        mask |= ARES_OPT_RESOLVCONF;
    ares_channel channel;
    if (ares_init_options(&channel, &o, mask) != ARES_SUCCESS)
        return -1;
    if (servers &&
        ares_set_servers_ports_csv(channel, servers) != ARES_SUCCESS) {
        ares_destroy(channel);
        return -1;
    }
    r->channel = channel;
    return 0;
}

static struct timespec changed_at(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

/* c-ares 1.18 reads its configuration once, a gateway runs for months. When
 * nothing is under way a new channel can take the place of the old. */
static void resolver_refresh(struct resolver *r)
{
    if (!r->conf || r->n_asking > 0)
        return;
    struct timespec at = changed_at(r->conf);
    if (at.tv_sec == r->conf_at.tv_sec && at.tv_nsec == r->conf_at.tv_nsec)
        return;
    ares_channel old = r->channel;
    if (channel_open(r, NULL) == -1)
        return; /* perhaps it is being written; tried again */
    r->conf_at = at;
    ares_destroy(old);
}

struct resolver *resolver_new(struct loop *l, const char *servers)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->loop = l;
    ev_init(&r->retry, resolver_retry_cb);
    ev_init(&r->deliver, resolver_deliver_cb);
    if (!servers)
        servers = system_conf;
    if (servers[0] == '/') {
        r->conf = strdup(servers);
        r->conf_at = changed_at(servers);
        servers = NULL;
    }
    if ((!servers && !r->conf) || channel_open(r, servers) == -1) {
        free(r->conf);
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
    struct watch *watch, *next_watch;
    struct name *name, *next;

    if (!r)
        return;
    ares_destroy(r->channel); /* tells of most of its sockets that they go */
    DL_FOREACH_SAFE(r->watches, watch, next_watch)
    {
        ev_io_stop(r->loop->ev, &watch->io);
        free(watch);
    }
    ev_timer_stop(r->loop->ev, &r->retry);
    ev_timer_stop(r->loop->ev, &r->deliver);
    queries_free(r->ready);
    HASH_ITER(hh, r->names, name, next)
    {
        queries_free(name->waiting);
        name_free(name);
    }
    free(r->conf);
    free(r);
}

/* ---- questions --------------------------------------------------------------
 */

static void name_ask(struct name *name)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT,
    };
    struct resolver *r = name->resolver;

    resolver_refresh(r);
    name->asking = true;
    r->n_asking++;
    ares_getaddrinfo(r->channel, name->text, NULL, &hints, resolver_answered_cb,
                     name);
    resolver_rearm(r);
}

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
    if (!name->asking)
        name_ask(name);
    return true;
}

struct resolver_query *resolver_ask(struct resolver *r, const char *host,
                                    uint16_t port, resolver_cb cb, void *ctx)
{
    char text[NAME_MAX_LEN + 2];
    struct resolver_query *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->resolver = r;
    q->port = port;
    q->cb = cb;
    q->ctx = ctx;
    q->answer.result = RESOLVED;
    size_t bare = 0;
    if (answer_literal(&q->answer, host) ||
        (bare = name_fold(host, text)) == 0 ||
        answer_localhost(&q->answer, text, bare)) {
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
