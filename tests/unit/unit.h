/* SPDX-License-Identifier: Apache-2.0 */
/* unit.h - what every unit test of pure code needs. */
#ifndef GW_UNIT_H
#define GW_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../gateway/base/base.h"

/* The bytes of a literal and their number, NUL bytes included. */
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* The same literal as a slice that is not NUL-terminated by contract. */
#define SLICE(literal) ((struct slice){literal, sizeof(literal) - 1})

/* A copy of exactly n bytes, so that a sanitizer sees one byte too far. */
static inline void *copy_of(const void *p, size_t n)
{
    void *copy = calloc(n ? n : 1, 1);

    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

/* A slice that has exactly the text `want`. */
#define assert_slice(s, want)                                                  \
    do {                                                                       \
        assert_int_equal((s).n, strlen(want));                                 \
        assert_memory_equal((s).p, want, (s).n);                               \
    } while (0)

/* The same numbers on every run: a failure can be had again. */
struct rng {
    uint64_t state; /* not 0 */
};

static inline struct rng rng_of(uint32_t seed)
{
    return (struct rng){(seed + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15)};
}

static inline uint32_t rng_next(struct rng *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (uint32_t)(r->state >> 32);
}

/* 0..n-1 */
static inline size_t rng_below(struct rng *r, size_t n)
{
    return rng_next(r) % n;
}

#endif
