/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.c - a locked list and an ev_async. The lock is held for a few
 * instructions only; libev merges wake-ups. */
#include "mailbox.h"

#include <stdlib.h>

struct mail {
    struct mail *next;
    void (*fn)(void *arg);
    void *arg;
};

static void mailbox_run(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct mail *mail = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->lock);

    while (mail) {
        struct mail *next = mail->next;
        mail->fn(mail->arg);
        free(mail);
        mail = next;
    }
}

static void mailbox_wake_cb(struct ev_loop *ev, ev_async *w, int revents)
{
    (void)ev, (void)revents;
    mailbox_run(container_of(w, struct mailbox, wake));
}

int mailbox_init(struct mailbox *m, struct loop *l)
{
    *m = (struct mailbox){.loop = l, .open = true};
    m->last = &m->first;
    if (pthread_mutex_init(&m->lock, NULL) != 0)
        return -1;
    ev_async_init(&m->wake, mailbox_wake_cb);
    ev_async_start(l->ev, &m->wake);
    return 0;
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    m->open = false;
    pthread_mutex_unlock(&m->lock);
    mailbox_run(m);
    ev_async_stop(m->loop->ev, &m->wake);
}

void mailbox_fini(struct mailbox *m)
{
    pthread_mutex_destroy(&m->lock);
}

bool mailbox_post(struct mailbox *m, void (*fn)(void *arg), void *arg)
{
    struct mail *mail = malloc(sizeof *mail);
    if (!mail)
        return false;
    *mail = (struct mail){.fn = fn, .arg = arg};

    pthread_mutex_lock(&m->lock);
    bool open = m->open;
    if (open) {
        *m->last = mail;
        m->last = &mail->next;
        /* Under the lock, so that a loop that has closed its mailbox is
         * never woken: it may be gone. */
        ev_async_send(m->loop->ev, &m->wake);
    }
    pthread_mutex_unlock(&m->lock);

    if (!open)
        free(mail);
    return open;
}
