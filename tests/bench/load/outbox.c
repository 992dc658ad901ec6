/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c - one block that moves up when it must grow. */
#include "outbox.h"
#include "load.h"

#include <stdlib.h>

uint8_t *outbox_room(struct outbox *b, size_t n)
{
    if (b->off + b->n + n > b->room && b->off > 0) {
        memmove(b->p, b->p + b->off, b->n);
        b->off = 0;
    }
    if (b->n + n > b->room) {
        b->room = b->n + n;
        b->p = realloc(b->p, b->room);
        if (!b->p)
            give_up("out of memory");
    }
    return b->p + b->off + b->n;
}

void outbox_commit(struct outbox *b, size_t n)
{
    b->n += n;
}

void outbox_add(struct outbox *b, const uint8_t *p, size_t n)
{
    memcpy(outbox_room(b, n), p, n);
    outbox_commit(b, n);
}

bool outbox_flush(struct outbox *b, struct link *l)
{
    while (b->n > 0) {
        ssize_t done = link_write(l, b->p + b->off, b->n);
        if (done < 0)
            return done == LINK_AGAIN;
        b->off += (size_t)done;
        b->n -= (size_t)done;
    }
    b->off = 0;
    return true;
}

bool outbox_write(struct outbox *b, struct link *l, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t done = link_write(l, p, n);
        if (done == LINK_BROKEN)
            return false;
        if (done == LINK_AGAIN)
            break;
        p += done;
        n -= (size_t)done;
    }
    if (n > 0)
        outbox_add(b, p, n);
    return true;
}

void outbox_free(struct outbox *b)
{
    free(b->p);
    *b = (struct outbox){0};
}
