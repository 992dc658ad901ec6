/* SPDX-License-Identifier: Apache-2.0 */
/* dns.c - c-ares' sockets are watched, its timeouts kept, its answers put in
 * order. */
#include "dns.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <utlist.h>

enum {
    TTL_MIN = 1, /* seconds */
    TTL_MAX = 300,
    TTL_FAILURE = 1,
    TIMEOUT_MS = 1500, /* first try of a server; doubled for the next round */
    TRIES = 2,
};

static const char system_conf[] = "/etc/resolv.conf";

/* A socket of c-ares. */
struct dns_watch {
    struct dns_watch *prev, *next;
    struct dns *dns;
    ev_io io;
};

/* ---- answers ------------------------------------------------------------ */

void dns_answer_add(struct dns_answer *a, int family, const void *ip,
                    uint32_t scope)
{
    if (a->n == LEN(a->addrs))
        return;
    struct dns_addr *f = &a->addrs[a->n++];
    *f = (struct dns_addr){.family = (uint16_t)family, .scope = scope};
    memcpy(f->ip, ip, family == AF_INET ? 4 : 16);
}

/* RFC 8305 section 4: the families alternate, IPv6 begins. Within a family the
 * order is the server's, which may be how it spreads the load. */
static void answer_from(struct dns_answer *a, const struct ares_addrinfo *ai)
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
            dns_answer_add(
                a, AF_INET6,
                &((struct sockaddr_in6 *)(void *)node->ai_addr)->sin6_addr, 0);
        else
            dns_answer_add(
                a, AF_INET,
                &((struct sockaddr_in *)(void *)node->ai_addr)->sin_addr, 0);
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

static void dns_answered_cb(void *arg, int status, int timeouts,
                            struct ares_addrinfo *ai)
{
    struct dns_question *q = arg;
    struct dns_answer a = {.result = RESOLVED};
    int ttl = TTL_FAILURE;
    (void)timeouts;

    if (status == ARES_EDESTRUCTION)
        return;
    if (status == ARES_SUCCESS && ai)
        answer_from(&a, ai);
    if (a.n > 0)
        ttl = answer_ttl(ai);
    else
        a.result = result_of(status);
    if (ai)
        ares_freeaddrinfo(ai);
    q->dns->n_asking--;
    q->answered(q, &a, ttl);
}

/* ---- sockets and timer -------------------------------------------------- */

static void dns_rearm(struct dns *d)
{
    struct timeval tv, *wait = ares_timeout(d->channel, NULL, &tv);

    ev_timer_stop(d->loop->ev, &d->retry);
    if (!wait)
        return;
    ev_timer_set(&d->retry, (double)wait->tv_sec + (double)wait->tv_usec / 1e6,
                 0.);
    ev_timer_start(d->loop->ev, &d->retry);
}

static void dns_process(struct dns *d, ares_socket_t readable,
                        ares_socket_t writable)
{
    ares_process_fd(d->channel, readable, writable);
    dns_rearm(d);
}

static void dns_retry_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev;
    (void)revents;
    dns_process(container_of(w, struct dns, retry), ARES_SOCKET_BAD,
                ARES_SOCKET_BAD);
}

static void watch_io_cb(struct ev_loop *ev, ev_io *w, int revents)
{
    struct dns_watch *watch = container_of(w, struct dns_watch, io);
    (void)ev;

    dns_process(watch->dns, revents & EV_READ ? w->fd : ARES_SOCKET_BAD,
                revents & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
}

static void watch_free(struct dns_watch *watch)
{
    ev_io_stop(watch->dns->loop->ev, &watch->io);
    DL_DELETE(watch->dns->watches, watch);
    free(watch);
}

/* Without memory for a watch the socket is not seen, and the question times
 * out. */
static struct dns_watch *watch_of(struct dns *d, ares_socket_t fd, bool make)
{
    struct dns_watch *watch;

    DL_FOREACH(d->watches, watch)
    {
        if (watch->io.fd == fd)
            return watch;
    }
    if (!make || !(watch = calloc(1, sizeof(*watch))))
        return NULL;
    watch->dns = d;
    ev_io_init(&watch->io, watch_io_cb, fd, 0);
    DL_APPEND(d->watches, watch);
    return watch;
}

static void dns_socket_cb(void *data, ares_socket_t fd, int readable,
                          int writable)
{
    struct dns *d = data;
    struct dns_watch *watch = watch_of(d, fd, readable || writable);

    if (!watch)
        return;
    if (!readable && !writable) {
        watch_free(watch);
        return;
    }
    ev_io_stop(d->loop->ev, &watch->io);
    ev_io_set(&watch->io, fd,
              (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(d->loop->ev, &watch->io);
}

/* ---- life --------------------------------------------------------------- */

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL); /* not thread-safe; kept for ever */
}

/* /etc/hosts first, then DNS. */
static int channel_open(struct dns *d, const char *servers)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char lookups[] = "fb";
    struct ares_options o = {.lookups = lookups,
                             .timeout = TIMEOUT_MS,
                             .tries = TRIES,
                             .resolvconf_path = d->conf,
                             .sock_state_cb = dns_socket_cb,
                             .sock_state_cb_data = d};
    int mask = ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
               ARES_OPT_SOCK_STATE_CB;

    pthread_once(&once, library_init);
    if (d->conf)
        mask |= ARES_OPT_RESOLVCONF;
    ares_channel channel;
    if (ares_init_options(&channel, &o, mask) != ARES_SUCCESS)
        return -1;
    if (servers &&
        ares_set_servers_ports_csv(channel, servers) != ARES_SUCCESS) {
        ares_destroy(channel);
        return -1;
    }
    d->channel = channel;
    return 0;
}

static struct timespec changed_at(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

/* c-ares 1.18 reads its configuration once, a gateway runs for months. When
 * nothing is under way a new channel can take the place of the old. */
static void dns_refresh(struct dns *d)
{
    if (!d->conf || d->n_asking > 0)
        return;
    struct timespec at = changed_at(d->conf);
    if (at.tv_sec == d->conf_at.tv_sec && at.tv_nsec == d->conf_at.tv_nsec)
        return;
    ares_channel old = d->channel;
    if (channel_open(d, NULL) == -1)
        return; /* perhaps it is being written; tried again */
    d->conf_at = at;
    ares_destroy(old);
}

int dns_open(struct dns *d, struct loop *l, const char *servers)
{
    *d = (struct dns){.loop = l};
    ev_init(&d->retry, dns_retry_cb);
    if (!servers)
        servers = system_conf;
    if (servers[0] == '/') {
        d->conf = strdup(servers);
        d->conf_at = changed_at(servers);
        servers = NULL;
    }
    if ((servers || d->conf) && channel_open(d, servers) == 0)
        return 0;
    free(d->conf);
    return -1;
}

void dns_close(struct dns *d)
{
    struct dns_watch *watch, *next;

    ares_destroy(d->channel); /* tells of most of its sockets that they go */
    DL_FOREACH_SAFE(d->watches, watch, next)
    {
        ev_io_stop(d->loop->ev, &watch->io);
        free(watch);
    }
    ev_timer_stop(d->loop->ev, &d->retry);
    free(d->conf);
}

void dns_ask(struct dns *d, struct dns_question *q, const char *name)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = ARES_AI_NOSORT,
    };

    dns_refresh(d);
    q->dns = d;
    d->n_asking++;
    ares_getaddrinfo(d->channel, name, NULL, &hints, dns_answered_cb, q);
    dns_rearm(d);
}
