/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - a thread that runs many sessions of one role on one epoll. */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include "histogram.h"
#include "session.h"

#include <pthread.h>

struct client_options {
    const struct target *target;
    const char *subprotocol;
    const struct texts *headers;
    const struct role *role;
    size_t sessions;   /* that are open at the same time, at most */
    size_t opening;    /* of them, that may be on the way to it */
    bool again;        /* one that has finished makes room for another */
    double per_second; /* begin so many, evenly; 0: as many as may be */
    bool together;     /* echo: the first messages await a client_wake */
    bool text;         /* messages are text; else binary */
    bool mqtt;         /* streams consist of packets, after a CONNECT */
    size_t size;       /* of a message */
    uint64_t window;   /* messages in flight */
};

struct client {
    struct client_options options;
    pthread_t thread;
    int epoll, wake_fd;
    struct session *sessions;
    uint8_t *read_buffer, *write_buffer; /* for all of them */
    struct ws_random random;
    size_t on_the_way;  /* sessions that are neither open nor gone */
    uint64_t due_ns;    /* of per_second: when the next one begins */
    uint64_t looked_ns; /* when sessions were last looked at for deadlines */

    /* Written by its thread, read by others. */
    struct counter begun;    /* sessions */
    struct counter opened;   /* that were accepted */
    struct counter gone;     /* that have ended, open or not */
    struct counter finished; /* that have ended as they should */
    struct counter greeted;  /* that have had their first answer */
    struct counter resumed;  /* that resumed a TLS session */
    struct counter echoed;   /* messages that are back */
    struct counter sent;     /* payload bytes of messages begun */
    struct counter received; /* payload bytes */
    struct counter frames;   /* of data, received */

    /* Written by others, seen by its thread. */
    _Atomic(struct histogram *) latency; /* where to note it; NULL: nowhere */
    atomic_bool full;                    /* begin no session any more */
    atomic_bool quiet;                   /* begin no message any more */
    atomic_bool finish;                  /* close all sessions properly */
    atomic_bool stop;                    /* end now */
};

enum {
    CLIENT_READ = 256 * 1024,
    CLIENT_WRITE = 64 * 1024,
};

/* From here on sessions open and do what their role does. The options'
 * pointers must live as long. */
void client_start(struct client *c, const struct client_options *o);

/* From any thread: its sessions' woken() is called soon, by its thread. */
void client_wake(struct client *c);

/* Until all sessions are open (and have been greeted, if so asked), have
 * failed, or it has come to a standstill, which is a fault. */
void client_wait_open(struct client *c, bool greeted);

/* Close all sessions properly and wait for it, a bounded time. */
void client_finish(struct client *c);

/* No more sessions begin; wait, a bounded time, until those have finished that
 * do so by themselves. */
void client_wait_gone(struct client *c);

/* Drop what is left; the thread ends. */
void client_stop(struct client *c);

static inline bool client_quiet(const struct client *c)
{
    return atomic_load_explicit(&c->quiet, memory_order_relaxed);
}

/* Called by sessions: a latency, if it is to be noted now. */
static inline void client_note(struct client *c, uint64_t ns)
{
    struct histogram *h =
        atomic_load_explicit(&c->latency, memory_order_relaxed);
    if (h)
        histogram_add(h, ns);
}

#endif
