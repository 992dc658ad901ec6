/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - the listening sockets of all workers, kept by the main thread.
 *
 * Every worker has a socket of its own for each listener. A reload opens what
 * is new before anything is changed, so that it can still fail. */
#ifndef GW_PORTS_H
#define GW_PORTS_H

#include "../conf/settings.h"

enum { WORKERS_MAX = 256 };

struct port {
    char *place; /* what a reload finds it by: address, path or descriptor */
    char *path;  /* of a Unix socket, ours to remove; or NULL */
    unsigned id; /* the name of it between main thread and workers */
    int number;  /* bound TCP port, or 0 */
    bool fresh;  /* fds are to be handed to the workers */
    int fds[];   /* one a worker; -1 once handed over */
};

struct ports {
    struct port **v; /* in the order of settings.listeners */
    size_t n;
    unsigned workers;
    unsigned last_id;
};

/* Make *next for settings s: listeners that `now` has too are kept, others
 * opened. 0; or -1 with err and *next empty. `now` stays as it is. */
int ports_plan(struct ports *next, const struct ports *now,
               const struct settings *s, unsigned workers, struct err *err);

/* Close what was opened for a plan that is given up. */
void ports_abandon(struct ports *next, const struct ports *now);

/* `next` takes the place of `now`. */
void ports_commit(struct ports *now, struct ports *next);
void ports_fini(struct ports *p);

/* How users reach it: "ws://127.0.0.1:8080/". Returns out. */
const char *port_url(const struct port *p, const struct listener_settings *s,
                     char *out, size_t cap);

#endif
