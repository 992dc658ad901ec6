/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h - what waits to be written because the socket is full. An idle
 * session has none. */
#ifndef LOAD_OUTBOX_H
#define LOAD_OUTBOX_H

#include "link.h"

#include <stddef.h>
#include <stdint.h>

struct outbox {
    uint8_t *p;
    size_t off, n; /* what waits is p[off..off + n) */
    size_t room;   /* allocated */
};

/* Where n bytes may be put; outbox_commit says how many were. */
uint8_t *outbox_room(struct outbox *b, size_t n);
void outbox_commit(struct outbox *b, size_t n);

void outbox_add(struct outbox *b, const uint8_t *p, size_t n);

/* Write what waits, as far as the socket takes it. False: it is broken. */
bool outbox_flush(struct outbox *b, struct link *l);

/* The same for bytes that are not here yet; what is not written is. Nothing
 * waits before. */
bool outbox_write(struct outbox *b, struct link *l, const uint8_t *p, size_t n);

void outbox_free(struct outbox *b);

#endif
