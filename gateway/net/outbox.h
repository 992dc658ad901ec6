/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h - the bytes of a connection that the kernel has not taken, in the
 * order in which they leave: TLS records, which exist in one order only; a
 * control frame, as soon as no data frame is under way; the rest. */
#ifndef GW_OUTBOX_H
#define GW_OUTBOX_H

#include "../base/shared.h"

#include <sys/uio.h>

enum { OUTBOX_IOV = 16 }; /* pieces of one write */

/* A chunk ends where a send ended, so that a control frame can go between
 * two chunks. */
struct chunk {
    struct chunk *next;
    const uint8_t *data;   /* bytes[], or those of `shared` */
    size_t off, len;       /* data[off..len) is still to be sent */
    size_t cap;            /* of bytes[] */
    struct shared *shared; /* a reference, or NULL */
    bool begun; /* what stands before data[off] has left: nothing may come in
                   between */
    uint8_t bytes[];
};

struct outbox {
    struct chunk *sealed;       /* records, in one chunk, or NULL */
    struct chunk *urgent;       /* a control frame; once begun, its next is
                                   the one to follow */
    struct chunk *first, *last; /* the rest */
    size_t bytes;               /* in all of them */
};

/* Each put copies, or takes a reference, and returns 0, or -1: out of memory,
 * with nothing changed. */

/* What is left of v[0..n), `total` bytes, after `skip`, which have left
 * already: small pieces share a chunk. */
int outbox_put(struct outbox *b, const struct iovec *v, int n, size_t total,
               size_t skip);
/* The same of one buffer that others hold too. */
int outbox_put_shared(struct outbox *b, struct shared *s, size_t skip);
/* A control frame. It replaces one that is still waiting. */
int outbox_put_urgent(struct outbox *b, const void *p, size_t n);
/* Records, behind those that are there. */
int outbox_put_sealed(struct outbox *b, const void *p, size_t n);

/* What leaves next but for the records, as at most OUTBOX_IOV pieces. */
int outbox_peek(const struct outbox *b, struct iovec v[OUTBOX_IOV]);
/* n bytes of that have left. */
void outbox_take(struct outbox *b, size_t n);

/* The records to leave; and n bytes of them have left. */
struct iovec outbox_peek_sealed(const struct outbox *b);
void outbox_take_sealed(struct outbox *b, size_t n);

void outbox_clear(struct outbox *b);

#endif
