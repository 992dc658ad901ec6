/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - as little work as verification allows, so that the gateway is
 * what is measured: reads of many kilobytes, writes straight out of the
 * pattern, and no change of epoll's interest while bytes flow. */
#include "backend.h"
#include "load.h"
#include "mqtt.h"
#include "pattern.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 256 * 1024,
    EVENTS = 256,
    ACCEPTS = 64, /* in a turn */
    WRITES = 16,
    BACKLOG = 4096,
    TICK_MS = 50, /* how soon a flag is seen when nothing happens */
    LOOPS_MAX = 2,
};

/* What the gateway connects to us for. */
struct peer {
    int fd;
    struct loop *loop;
    struct peer *next, **link; /* of the loop's */
    uint32_t watched;
    struct stream stream;
    bool greeting; /* MQTT: CONNECT has not come yet */
    struct mqtt_greeting *hello;
    size_t write_left; /* source: of the write that is under way */
    uint8_t *held;     /* echo: what could not be sent at once */
    size_t off, left;
    bool ended;
};

struct loop {
    pthread_t thread;
    int epoll;
    struct peer *peers;
    pthread_mutex_t lock; /* of the list: another loop's thread may add */
    struct counter received, sent;
    uint8_t *buffer;
};

static struct {
    struct backend_options options;
    int listener;
    uint32_t accepted;
    size_t n_loops;
    struct loop loops[LOOPS_MAX];
    atomic_bool quiet, stop;
} backend;

static void watch(struct peer *p, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};

    if (op == EPOLL_CTL_MOD && events == p->watched)
        return;
    p->watched = events;
    if (epoll_ctl(p->loop->epoll, op, p->fd, &e) < 0)
        give_up("backend: epoll_ctl: %s", strerror(errno));
}

static void peer_close(struct peer *p)
{
    pthread_mutex_lock(&p->loop->lock);
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    pthread_mutex_unlock(&p->loop->lock);
    close(p->fd);
    free(p->hello);
    free(p->held);
    free(p);
}

/* Bytes sent, 0 if none can be now, -1 if none ever will. */
static ssize_t put(struct peer *p, const uint8_t *bytes, size_t n)
{
    ssize_t done = send(p->fd, bytes, n, MSG_NOSIGNAL);

    if (done < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    counter_add(&p->loop->sent, (uint64_t)done);
    return done;
}

/* ---- echo -----------------------------------------------------------------*/

static bool echo_flush(struct peer *p)
{
    ssize_t done = put(p, p->held + p->off, p->left);

    if (done < 0)
        return false;
    p->off += (size_t)done;
    p->left -= (size_t)done;
    if (p->left == 0) {
        free(p->held);
        p->held = NULL;
    }
    return true;
}

static bool echo(struct peer *p, const uint8_t *bytes, size_t n)
{
    ssize_t done = put(p, bytes, n);

    if (done < 0)
        return false;
    if ((size_t)done == n)
        return true;
    p->off = 0;
    p->left = n - (size_t)done;
    p->held = need(p->left, 1);
    memcpy(p->held, bytes + done, p->left);
    return true;
}

/* ---- source ---------------------------------------------------------------*/

static bool sending(const struct peer *p)
{
    return backend.options.service == SERVICE_SOURCE && !p->greeting &&
           !atomic_load_explicit(&backend.quiet, memory_order_relaxed);
}

static bool source(struct peer *p)
{
    for (int i = 0; i < WRITES && sending(p); i++) {
        if (p->write_left == 0)
            p->write_left = backend.options.write_size;
        size_t n = p->write_left;
        const uint8_t *bytes = stream_peek(&p->stream, &n);
        ssize_t done = put(p, bytes, n);
        if (done < 0)
            return false;
        stream_skip(&p->stream, (size_t)done);
        p->write_left -= (size_t)done;
        if ((size_t)done < n)
            break;
    }
    return true;
}

/* ---- what comes -----------------------------------------------------------*/

/* Takes the CONNECT packet away from the front. */
static bool greet(struct peer *p, const uint8_t **bytes, size_t *n)
{
    uint32_t number;

    switch (mqtt_greeting_feed(p->hello, bytes, n, &number)) {
    case MQTT_MORE:
        return true;
    case MQTT_BAD:
        fault(FAULT_CORRUPT, "backend: CONNECT is not what was sent");
        return false;
    default:
        p->greeting = false;
        p->stream = stream_of(number);
        return send(p->fd, MQTT_CONNACK, MQTT_CONNACK_SIZE, MSG_NOSIGNAL) ==
               MQTT_CONNACK_SIZE;
    }
}

static bool take(struct peer *p, const uint8_t *bytes, size_t n)
{
    if (p->greeting && !greet(p, &bytes, &n))
        return false;
    if (n == 0)
        return true;
    counter_add(&p->loop->received, n);
    switch (backend.options.service) {
    case SERVICE_ECHO:
        return echo(p, bytes, n);
    case SERVICE_SINK:
        if (stream_check(&p->stream, bytes, n))
            return true;
        fault(FAULT_CORRUPT,
              "backend: byte %llu of a stream is near a wrong"
              " one",
              (unsigned long long)p->stream.n);
        return false;
    default:
        fault(FAULT_CORRUPT, "backend: bytes that nobody sent");
        return false;
    }
}

static bool receive(struct peer *p)
{
    ssize_t n = recv(p->fd, p->loop->buffer, READ_SIZE, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
        p->ended = true;
        return true;
    }
    return take(p, p->loop->buffer, (size_t)n);
}

static bool peer_handle(struct peer *p, uint32_t events)
{
    if (events & EPOLLOUT && p->left > 0 && !echo_flush(p))
        return false;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && p->left == 0 && !p->ended &&
        !receive(p))
        return false;
    if (events & EPOLLOUT && !source(p))
        return false;
    return !p->ended || p->left > 0;
}

static void peer_event(struct peer *p, uint32_t events)
{
    if (!peer_handle(p, events)) {
        peer_close(p);
        return;
    }
    watch(p, EPOLL_CTL_MOD,
          (p->left > 0 || sending(p) ? EPOLLOUT : 0) |
              (p->left > 0 || p->ended ? 0 : EPOLLIN));
}

/* ---- the loops ------------------------------------------------------------*/

static void peer_new(int fd)
{
    struct peer *p = need(1, sizeof *p);
    uint32_t number = backend.accepted++;
    bool apart = backend.options.first_apart && number > 0;
    int yes = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    p->fd = fd;
    p->loop = &backend.loops[apart ? 1 : 0];
    p->stream = backend.options.service == SERVICE_SOURCE ? stream_of(number)
                                                          : stream_unknown();
    p->greeting = backend.options.mqtt;
    if (p->greeting)
        p->hello = need(1, sizeof *p->hello);
    pthread_mutex_lock(&p->loop->lock);
    p->next = p->loop->peers;
    p->link = &p->loop->peers;
    if (p->next)
        p->next->link = &p->next;
    p->loop->peers = p;
    pthread_mutex_unlock(&p->loop->lock);
    watch(p, EPOLL_CTL_ADD, EPOLLIN | (sending(p) ? EPOLLOUT : 0));
}

static void accept_some(void)
{
    int fd;

    for (int i = 0; i < ACCEPTS; i++) {
        fd =
            accept4(backend.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        peer_new(fd);
    }
}

static void *loop_run(void *arg)
{
    struct loop *l = arg;
    struct epoll_event events[EVENTS];

    while (!atomic_load(&backend.stop)) {
        int n = epoll_wait(l->epoll, events, EVENTS, TICK_MS);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                peer_event(events[i].data.ptr, events[i].events);
            else
                accept_some();
    }
    return NULL;
}

static void listen_on(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct epoll_event e = {.events = EPOLLIN};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(fd, BACKLOG) < 0 ||
        epoll_ctl(backend.loops[0].epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        give_up("backend: port %d: %s", port, strerror(errno));
    backend.listener = fd;
}

void backend_start(const struct backend_options *o)
{
    backend.options = *o;
    backend.n_loops = o->first_apart ? 2 : 1;
    for (size_t i = 0; i < backend.n_loops; i++) {
        struct loop *l = &backend.loops[i];
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        l->buffer = need(READ_SIZE, 1);
        pthread_mutex_init(&l->lock, NULL);
    }
    listen_on(o->port);
    for (size_t i = 0; i < backend.n_loops; i++) {
        struct loop *l = &backend.loops[i];
        if (pthread_create(&l->thread, NULL, loop_run, l) != 0)
            give_up("backend: no thread");
    }
}

uint64_t backend_received(void)
{
    return counter_get(&backend.loops[0].received) +
           counter_get(&backend.loops[1].received);
}

uint64_t backend_sent(void)
{
    return counter_get(&backend.loops[0].sent) +
           counter_get(&backend.loops[1].sent);
}

void backend_quiet(void)
{
    atomic_store(&backend.quiet, true);
}

void backend_stop(void)
{
    atomic_store(&backend.stop, true);
    for (size_t i = 0; i < backend.n_loops; i++)
        pthread_join(backend.loops[i].thread, NULL);
    for (size_t i = 0; i < backend.n_loops; i++) {
        struct loop *l = &backend.loops[i];
        while (l->peers)
            peer_close(l->peers);
        close(l->epoll);
        free(l->buffer);
    }
    if (backend.n_loops > 0)
        close(backend.listener);
    backend.n_loops = 0;
}
