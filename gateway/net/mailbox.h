/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.h - calls from any thread to one loop. */
#ifndef GW_MAILBOX_H
#define GW_MAILBOX_H

#include "loop.h"

#include <pthread.h>

struct mail; /* one call */

struct mailbox {
    struct loop *loop;
    ev_async wake;
    pthread_mutex_t lock;
    struct mail *first, **last;
    bool open;
};

int mailbox_init(struct mailbox *m, struct loop *l);

/* On the loop's thread. Runs what is there, refuses what comes later. */
void mailbox_close(struct mailbox *m);
void mailbox_fini(struct mailbox *m);

/* Call fn(arg) on the loop's thread, in the order of the posts. From any
 * thread. False: the mailbox is closed or memory is out, fn is not called. */
bool mailbox_post(struct mailbox *m, void (*fn)(void *arg), void *arg);

#endif
