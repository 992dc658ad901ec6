/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what the fuzz targets share. */
#ifndef GW_FUZZ_H
#define GW_FUZZ_H

#include <stdlib.h>

#include "../../gateway/base/base.h"
#include "../check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly n bytes, so that a sanitizer sees one byte too far. */
static inline void *copy_of(const void *p, size_t n)
{
    void *copy = calloc(n ? n : 1, 1);

    CHECK(copy);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

/* Whether s lies within p[0..n). */
static inline bool lies_in(struct slice s, const void *p, size_t n)
{
    const char *from = p;

    return s.n == 0 || (s.p >= from && s.p + s.n <= from + n);
}

#endif
