/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - the loop. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    TICK_MS = 20, /* how soon a flag is seen when nothing happens */
    STALL_S = 10, /* a session that waits so long for the gateway fails */
    GONE_S = 11,  /* for all to close */
};

/* Numbers of streams are never given twice, whichever client asks. */
static atomic_uint numbers;

/* ---- the thread -----------------------------------------------------------*/

static size_t in_use(const struct client *c)
{
    return (size_t)(counter_get(&c->begun) - counter_get(&c->gone));
}

static bool may_begin(struct client *c)
{
    const struct client_options *o = &c->options;

    if (atomic_load(&c->full) || in_use(c) >= o->sessions ||
        c->on_the_way >= o->opening)
        return false;
    if (o->again ? fault_any() : counter_get(&c->begun) >= o->sessions)
        return false;
    if (o->per_second > 0) {
        uint64_t now = now_ns();
        if (now < c->due_ns)
            return false;
        c->due_ns += (uint64_t)(1e9 / o->per_second);
    }
    return true;
}

static void begin_sessions(struct client *c)
{
    size_t i = 0;

    while (may_begin(c)) {
        if (!c->options.again)
            i = (size_t)counter_get(&c->begun);
        while (c->sessions[i].state != SESSION_UNUSED)
            i++;
        counter_add(&c->begun, 1);
        session_begin(&c->sessions[i], c, atomic_fetch_add(&numbers, 1));
    }
}

static bool waits_for_gateway(const struct session *s)
{
    return s->state == SESSION_CONNECTING || s->state == SESSION_UPGRADING ||
           s->state == SESSION_FINISHING;
}

/* Deadlines, and the wishes of others. */
static void look_around(struct client *c)
{
    bool finish = atomic_load(&c->finish);
    uint64_t now = now_ns();

    if (!finish && now - c->looked_ns < NS_PER_S / 4)
        return;
    c->looked_ns = now;
    for (size_t i = 0; i < c->options.sessions; i++) {
        struct session *s = &c->sessions[i];
        if (s->state == SESSION_OPEN && finish) {
            session_finish(s);
            session_kick(s);
        } else if (s->close_seen && now - s->moved_ns > NS_PER_S / 4) {
            session_finished(s); /* it leaves it to us to hang up */
        } else if (waits_for_gateway(s) &&
                   now - s->moved_ns > STALL_S * NS_PER_S) {
            fault(s->state == SESSION_FINISHING ? FAULT_BROKEN : FAULT_REFUSED,
                  "session %u: the gateway does not answer", s->number);
            session_drop(s);
        }
    }
}

static int patience_ms(const struct client *c)
{
    uint64_t now = now_ns();

    if (c->options.per_second <= 0)
        return TICK_MS;
    if (c->due_ns <= now)
        return in_use(c) < c->options.sessions ? 0 : TICK_MS;
    uint64_t ms = (c->due_ns - now) / 1000000 + 1;
    return ms < TICK_MS ? (int)ms : TICK_MS;
}

static void pass_on_wake(struct client *c)
{
    uint64_t times;

    if (read(c->wake_fd, &times, sizeof times) < 0)
        return;
    for (size_t i = 0; i < c->options.sessions && c->options.role->woken; i++) {
        struct session *s = &c->sessions[i];
        if (s->state == SESSION_OPEN) {
            c->options.role->woken(s);
            session_kick(s);
        }
    }
}

static void *client_run(void *arg)
{
    struct client *c = arg;
    struct epoll_event events[EVENTS];

    while (!atomic_load(&c->stop)) {
        begin_sessions(c);
        int n = epoll_wait(c->epoll, events, EVENTS, patience_ms(c));
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                session_event(events[i].data.ptr, events[i].events);
            else
                pass_on_wake(c);
        look_around(c);
    }
    for (size_t i = 0; i < c->options.sessions; i++)
        if (c->sessions[i].state != SESSION_UNUSED)
            session_drop(&c->sessions[i]);
    return NULL;
}

/* ---- for other threads ----------------------------------------------------*/

void client_wake(struct client *c)
{
    uint64_t once = 1;

    if (write(c->wake_fd, &once, sizeof once) < 0)
        give_up("eventfd: %s", strerror(errno));
}

void client_start(struct client *c, const struct client_options *o)
{
    struct epoll_event wake = {.events = EPOLLIN};

    *c = (struct client){
        .options = *o,
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .sessions = need(o->sessions, sizeof *c->sessions),
        .read_buffer = need(CLIENT_READ, 1),
        .write_buffer = need(CLIENT_WRITE, 1),
        .random.state = now_ns() | 1,
        .due_ns = now_ns(),
    };
    for (size_t i = 0; i < o->sessions; i++)
        c->sessions[i].link.fd = -1;
    if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wake_fd, &wake) < 0)
        give_up("epoll: %s", strerror(errno));
    if (pthread_create(&c->thread, NULL, client_run, c) != 0)
        give_up("no thread");
}

void client_wait_open(struct client *c, bool greeted)
{
    const struct counter *good = greeted ? &c->greeted : &c->opened;
    uint64_t seen = 0, moved = now_ns();

    while (counter_get(good) + counter_get(&c->gone) < c->options.sessions) {
        uint64_t now = now_ns(), n = counter_get(good);
        if (n != seen)
            moved = now;
        seen = n;
        if (now - moved > (STALL_S + 1) * NS_PER_S) {
            fault(FAULT_REFUSED, "%llu of %zu sessions opened, then no more",
                  (unsigned long long)n, c->options.sessions);
            return;
        }
        sleep_s(0.002);
    }
}

void client_wait_gone(struct client *c)
{
    uint64_t began = now_ns();

    atomic_store(&c->full, true);
    while (counter_get(&c->begun) > counter_get(&c->gone) &&
           now_ns() - began < GONE_S * NS_PER_S)
        sleep_s(0.002);
}

void client_finish(struct client *c)
{
    atomic_store(&c->full, true);
    atomic_store(&c->quiet, true);
    atomic_store(&c->finish, true);
    client_wake(c);
    client_wait_gone(c);
}

void client_stop(struct client *c)
{
    atomic_store(&c->stop, true);
    client_wake(c);
    pthread_join(c->thread, NULL);
    close(c->epoll);
    close(c->wake_fd);
    free(c->sessions);
    free(c->read_buffer);
    free(c->write_buffer);
}
