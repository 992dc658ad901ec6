/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h - listening sockets: opened by the main thread, accepted from by
 * the workers. */
#ifndef GW_LISTENER_H
#define GW_LISTENER_H

#include "../../conf/settings.h"
#include "loop.h"

/* Open a listening socket for `s`: non-blocking, close-on-exec; TCP with
 * SO_REUSEPORT so that each worker gets one of its own, dual-stack where the
 * address is "every". *port is 0 for the first socket of a listener, which
 * fails if anybody listens there already; it becomes the bound port, with
 * which the others are opened. For LISTEN_UNIX a stale socket file (nobody
 * accepts) is replaced, anything else is an error; for LISTEN_FD the inherited
 * descriptor is checked and duplicated. Those two are opened once: further
 * workers share the descriptor.
 * Returns the fd, or -1 with err set. Names are resolved here: may block. */
int listener_socket(const struct listener_settings *s, int *port,
                    struct err *err);

struct listener {
    struct loop *loop;
    ev_io io;
    ev_timer rest; /* no descriptors left: wait before the next accept */
    int fd;        /* owned; -1 when stopped */
    bool starved;  /* told that nothing can be accepted */
    void (*on_accept)(struct listener *l, int fd);
    void *owner;
};

enum { LISTENER_BATCH = 16, LISTENER_REST_MS = 100 };

/* Accept from fd: at most LISTENER_BATCH connections a turn, non-blocking,
 * close-on-exec, TCP_NODELAY. On EMFILE and the like it rests
 * LISTENER_REST_MS and logs once. on_accept owns its fd; it may stop the
 * listener, whose memory must outlive the call. */
void listener_start(struct listener *l, struct loop *loop, int fd,
                    void (*on_accept)(struct listener *l, int fd), void *owner);

/* Accept what is waiting in the backlog already, then stop and close. */
void listener_drain(struct listener *l);
void listener_stop(struct listener *l);

#endif
