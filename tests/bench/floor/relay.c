/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c - the floor: the least that a TCP relay which waits for readiness
 * can do. What one side sends is read once and written once to the other; in
 * a steady flow nothing else is asked of the kernel but epoll_wait, and a pair
 * of connections costs one small struct. It knows no limits, no timeouts, no
 * log. What a gateway costs is told as a multiple of this.
 *
 *     relay LISTEN_PORT BACKEND_PORT */
#include "floor.h"

#include <string.h>

struct end {
    int fd;
    uint32_t watched; /* epoll's events */
    uint8_t *held;    /* what this end would not take at once, or NULL */
    size_t off, left; /* of it */
    bool is_backend;
    bool connecting;
    bool ended; /* it has sent its last byte */
    bool shut;  /* it has been told the same of the other */
};

struct pair {
    struct end ends[2];
    struct pair *next_dead;
};

static int epoll;
static struct sockaddr_in backend;
static uint8_t buffer[FLOOR_BUFFER];
static struct pair *dead; /* freed when no event can name them any more */

static struct pair *pair_of(struct end *e)
{
    return (struct pair *)(void *)(e - e->is_backend);
}

static struct end *other(struct end *e)
{
    return &pair_of(e)->ends[!e->is_backend];
}

static void drop(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        close(p->ends[i].fd);
        free(p->ends[i].held);
        p->ends[i].fd = -1;
    }
    p->next_dead = dead;
    dead = p;
}

static void watch(struct end *e)
{
    const struct end *to = other(e);
    uint32_t events = 0;

    if (e->connecting || e->left > 0)
        events |= EPOLLOUT;
    if (!e->ended && !e->connecting && !to->connecting && to->left == 0)
        events |= EPOLLIN;
    if (events != e->watched)
        floor_watch(epoll, EPOLL_CTL_MOD, e->fd, events, e);
    e->watched = events;
}

/* Bytes written, 0 if none can be now, -1 if none ever will. */
static ssize_t put(int fd, const uint8_t *p, size_t n)
{
    ssize_t done = send(fd, p, n, MSG_NOSIGNAL);
    return done < 0 && errno == EAGAIN ? 0 : done;
}

static bool flush(struct end *e)
{
    ssize_t done = put(e->fd, e->held + e->off, e->left);

    if (done < 0)
        return false;
    e->off += (size_t)done;
    e->left -= (size_t)done;
    if (e->left == 0) {
        free(e->held);
        e->held = NULL;
    }
    return true;
}

static bool hold(struct end *e, const uint8_t *p, size_t n)
{
    e->held = malloc(n);
    if (!e->held)
        return false;
    memcpy(e->held, p, n);
    e->off = 0;
    e->left = n;
    return true;
}

static bool pump(struct end *from, struct end *to)
{
    ssize_t n = recv(from->fd, buffer, sizeof buffer, 0);

    if (n < 0)
        return errno == EAGAIN;
    if (n == 0) {
        from->ended = true;
        return true;
    }
    ssize_t done = put(to->fd, buffer, (size_t)n);
    if (done < 0)
        return false;
    return done == n || hold(to, buffer + done, (size_t)(n - done));
}

static bool handle(struct end *e, uint32_t events)
{
    struct end *to = other(e);

    if (e->connecting) {
        e->connecting = false;
        return floor_connected(e->fd);
    }
    if (e->left > 0 && events & EPOLLOUT && !flush(e))
        return false;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !e->ended &&
        to->left == 0 && !pump(e, to))
        return false;
    if (e->ended && to->left == 0 && !to->shut) {
        shutdown(to->fd, SHUT_WR);
        to->shut = true;
    }
    if (to->ended && e->left == 0 && !e->shut) {
        shutdown(e->fd, SHUT_WR);
        e->shut = true;
    }
    return !e->shut || !to->shut;
}

static void on_event(struct end *e, uint32_t events)
{
    if (e->fd < 0)
        return;
    if (!handle(e, events)) {
        drop(pair_of(e));
        return;
    }
    watch(e);
    watch(other(e));
}

static void pair_new(int fd)
{
    struct pair *p = calloc(1, sizeof *p);
    int to = p ? floor_dial(&backend) : -1;

    if (to < 0) {
        close(fd);
        free(p);
        return;
    }
    floor_nodelay(fd);
    p->ends[0] = (struct end){.fd = fd};
    p->ends[1] = (struct end){
        .fd = to, .is_backend = true, .connecting = true, .watched = EPOLLOUT};
    floor_watch(epoll, EPOLL_CTL_ADD, fd, 0, &p->ends[0]);
    floor_watch(epoll, EPOLL_CTL_ADD, to, EPOLLOUT, &p->ends[1]);
}

static void turn(int listener)
{
    struct epoll_event events[FLOOR_EVENTS];
    int n = epoll_wait(epoll, events, FLOOR_EVENTS, -1);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            on_event(events[i].data.ptr, events[i].events);
            continue;
        }
        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
            pair_new(fd);
    }
    while (dead) {
        struct pair *p = dead;
        dead = p->next_dead;
        free(p);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: relay LISTEN_PORT BACKEND_PORT\n", stderr);
        return 2;
    }
    backend = floor_address(argv[2]);
    int listener = floor_listen(argv[1]);
    epoll = epoll_create1(0);
    floor_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;)
        turn(listener);
}
