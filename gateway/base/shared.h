/* SPDX-License-Identifier: Apache-2.0 */
/* shared.h - bytes that several owners hold, on any threads: written once,
 * then constant, freed with the last reference. */
#ifndef GW_SHARED_H
#define GW_SHARED_H

#include "base.h"

#include <stdatomic.h>
#include <stdlib.h>

struct shared {
    atomic_uint refs;
    size_t n;
    uint8_t bytes[];
};

/* n bytes to be filled in; one reference. NULL: out of memory. */
static inline struct shared *shared_new(size_t n)
{
    struct shared *b = malloc(sizeof *b + n);
    if (b) {
        atomic_init(&b->refs, 1);
        b->n = n;
    }
    return b;
}

static inline struct shared *shared_ref(struct shared *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

static inline void shared_unref(struct shared *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

#endif
