/* SPDX-License-Identifier: Apache-2.0 */
/* broker.c - two clients at a time, packets of MQTT 3.1.1 and 5 as far as Paho
 * sends them here, and no copy of any message: what is measured is the client.
 */
#include "paho_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PEERS = 8,
    IN_MAX = 256 << 10,
    OUT_MAX = 256 << 10,
    BLOCK = 64 << 10, /* of the flood, in whole packets */
    CONNECT = 1,
    PUBLISH = 3,
    SUBSCRIBE = 8,
    UNSUBSCRIBE = 10,
    PINGREQ = 12,
};

struct peer {
    int fd; /* -1: none */
    bool v5, subscribed;
    size_t n_in, n_out;
    uint8_t in[IN_MAX], out[OUT_MAX];
};

static struct peer peers[PEERS];
static pthread_t thread;

static void put(struct peer *p, const void *bytes, size_t n)
{
    if (n > OUT_MAX - p->n_out)
        die("the broker's output");
    memcpy(p->out + p->n_out, bytes, n);
    p->n_out += n;
}

/* ---- packets --------------------------------------------------------------
 */

static void on_publish(struct broker *b, struct peer *p, uint8_t head,
                       const uint8_t *body, size_t n)
{
    size_t topic = (size_t)body[0] << 8 | body[1];
    if ((head & 6) == 0)
        return;
    if (topic + 4 > n)
        die("a PUBLISH");
    const uint8_t ack[] = {0x40, 2, body[topic + 2], body[topic + 3]};
    put(p, ack, sizeof ack);
    atomic_fetch_add_explicit(&b->published, 1, memory_order_relaxed);
}

static void on_packet(struct broker *b, struct peer *p, uint8_t head,
                      const uint8_t *body, size_t n)
{
    if (n < 2 && head >> 4 != PINGREQ)
        return; /* DISCONNECT */
    switch (head >> 4) {
    case CONNECT:
        p->v5 = n > 6 && body[6] == 5;
        put(p, p->v5 ? "\x20\x03\0\0\0" : "\x20\x02\0\0", p->v5 ? 5 : 4);
        break;
    case PUBLISH:
        on_publish(b, p, head, body, n);
        break;
    case SUBSCRIBE:
        put(p, p->v5 ? "\x90\x04" : "\x90\x03", 2);
        put(p, body, 2);
        put(p, "\0\0", p->v5 ? 2 : 1);
        p->subscribed = true;
        break;
    case UNSUBSCRIBE:
        put(p, p->v5 ? "\xb0\x04" : "\xb0\x02", 2);
        put(p, body, 2);
        put(p, "\0\0", p->v5 ? 2 : 0);
        break;
    case PINGREQ:
        put(p, "\xd0\0", 2);
        break;
    default:
        break;
    }
}

/* Bytes of the packet at p[0..n), its body from *body; 0: not all is there. */
static size_t packet_size(const uint8_t *p, size_t n, size_t *body)
{
    size_t len = 0;

    for (size_t i = 1; i < 5 && i < n; i++) {
        len |= (size_t)(p[i] & 127) << 7 * (i - 1);
        if (p[i] & 128)
            continue;
        *body = i + 1;
        return i + 1 + len <= n ? i + 1 + len : 0;
    }
    return 0;
}

/* All whole packets whose answers have room. */
static void take(struct broker *b, struct peer *p)
{
    size_t at = 0, body, n;

    while (p->n_out < OUT_MAX / 2 &&
           (n = packet_size(p->in + at, p->n_in - at, &body)) > 0) {
        on_packet(b, p, p->in[at], p->in + at + body, n - body);
        at += n;
    }
    p->n_in -= at;
    memmove(p->in, p->in + at, p->n_in);
}

/* ---- the flood ------------------------------------------------------------
 */

static void pour(struct peer *p)
{
    uint8_t packet[8 + PAYLOAD];
    size_t n = 0;

    packet[n++] = PUBLISH << 4;
    packet[n++] = (uint8_t)(3 + p->v5 + PAYLOAD);
    memcpy(packet + n, "\0\1t", 3);
    n += 3;
    if (p->v5)
        packet[n++] = 0; /* no properties */
    memset(packet + n, 'x', PAYLOAD);
    n += PAYLOAD;
    while (p->n_out + n <= BLOCK)
        put(p, packet, n);
}

/* ---- the thread -----------------------------------------------------------
 */

static void welcome(int listener)
{
    const int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < PEERS; i++)
        if (peers[i].fd < 0) {
            peers[i].v5 = peers[i].subscribed = false;
            peers[i].n_in = peers[i].n_out = 0;
            peers[i].fd = fd;
            return;
        }
    close(fd);
}

static void serve(struct broker *b, struct peer *p, short events)
{
    ssize_t n = 1;

    if (events & (POLLIN | POLLERR | POLLHUP) && p->n_in < IN_MAX) {
        n = recv(p->fd, p->in + p->n_in, IN_MAX - p->n_in, 0);
        if (n > 0)
            p->n_in += (size_t)n;
    }
    take(b, p);
    if (p->subscribed && atomic_load(&b->flood))
        pour(p);
    if (p->n_out > 0 && (n > 0 || errno == EAGAIN)) {
        n = send(p->fd, p->out, p->n_out, MSG_NOSIGNAL);
        if (n > 0) {
            p->n_out -= (size_t)n;
            memmove(p->out, p->out + n, p->n_out);
        }
    }
    if (n > 0 || (n < 0 && errno == EAGAIN))
        return;
    close(p->fd);
    p->fd = -1;
}

static void *broker_main(void *arg)
{
    struct broker *b = arg;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&a, len) < 0 ||
        listen(listener, PEERS) < 0 ||
        getsockname(listener, (struct sockaddr *)&a, &len) < 0)
        die("the broker's port");
    for (int i = 0; i < PEERS; i++)
        peers[i].fd = -1;
    atomic_store(&b->port, ntohs(a.sin_port));
    for (;;) {
        struct pollfd fds[PEERS + 1] = {{listener, POLLIN, 0}};
        for (int i = 0; i < PEERS; i++) {
            struct peer *p = &peers[i];
            bool more = p->n_out > 0 || (p->subscribed && b->flood);
            fds[i + 1] = (struct pollfd){
                p->fd, (short)(POLLIN | (more ? POLLOUT : 0)), 0};
        }
        poll(fds, PEERS + 1, 10);
        for (int i = 0; i < PEERS; i++)
            if (fds[i + 1].revents)
                serve(b, &peers[i], fds[i + 1].revents);
        if (fds[0].revents)
            welcome(listener);
    }
    return NULL;
}

void broker_start(struct broker *b)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    if (pthread_create(&thread, NULL, broker_main, b) != 0)
        die("the broker's thread");
    while (atomic_load(&b->port) == 0)
        nanosleep(&moment, NULL);
}

double broker_cpu_s(void)
{
    struct timespec t;
    clockid_t clock;

    if (pthread_getcpuclockid(thread, &clock) != 0 ||
        clock_gettime(clock, &t) != 0)
        die("the broker's clock");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
