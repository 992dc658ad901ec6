/* SPDX-License-Identifier: Apache-2.0 */
/* admin.h - the operator's listener: /healthz, /readyz, /metrics.
 *
 * Runs on the main thread's loop, on a Unix socket or a loopback address. A
 * health check asks every worker to answer through its mailbox: a loop that
 * is stuck is one that does not. Nothing happens while nobody asks. */
#ifndef GW_ADMIN_H
#define GW_ADMIN_H

#include "../net/listener.h"
#include "../net/mailbox.h"
#include "h1.h"
#include "metrics.h"

/* What the admin listener tells of; all of it outlives it. */
struct admin_view {
    size_t n_workers;
    struct mailbox *const *mailboxes;
    const struct metrics *const *metrics;
    bool (*ready)(void *ctx); /* accepting, not draining */
    void (*fill)(void *ctx, struct metrics_extra *extra);
    void *ctx;
};

struct admin;

/* `address`: unix:PATH or a loopback ADDR:PORT. `mailbox` is the main
 * thread's. *url gets how it is reached. NULL with err set. */
struct admin *admin_open(struct loop *l, struct mailbox *mailbox,
                         const char *address, const struct admin_view *view,
                         char *url, size_t cap, struct err *err);
void admin_close(struct admin *a);

#endif
