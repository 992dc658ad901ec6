/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - one thread: a loop, its listeners, its sessions, its drain. */
#ifndef GW_WORKER_H
#define GW_WORKER_H

#include "net/listener.h"
#include "serve/serve.h"

struct worker; /* on a heap of its own: its counters are read from elsewhere */

/* What a worker is to listen on, for a generation. */
struct worker_port {
    unsigned id;  /* one that it has already, or a new one */
    int fd;       /* of a new one, the worker's from then on; or -1 */
    size_t index; /* among the generation's listeners */
};

/* Whom to tell that a worker has carried out a reload, and that its thread is
 * about to end. */
struct worker_home {
    struct mailbox *mailbox;
    void (*reloaded)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

/* Start a thread that serves generation g. NULL with err set; the fds are
 * closed then. */
struct worker *worker_start(unsigned number, struct crowd *crowd,
                            const struct worker_home *home,
                            struct generation *g,
                            const struct worker_port *ports, size_t n,
                            struct err *err);

/* From the main thread; carried out on the worker's, which then tells its home.
 * Listeners that are not in `ports` accept what waits for them and close.
 * False: no memory, and nothing changes. */
bool worker_reload(struct worker *w, struct generation *g,
                   const struct worker_port *ports, size_t n);

/* Stop accepting, end sessions with 1001, drop what is left after ms. The
 * thread ends when the last session has. */
void worker_drain(struct worker *w, unsigned ms);

/* Wait for the thread and free everything but what others may still use, as
 * long as the process lives: its counters, and its mailbox, which refuses. */
void worker_join(struct worker *w);

const struct metrics *worker_metrics(const struct worker *w);
struct mailbox *worker_mailbox(struct worker *w);

#endif
