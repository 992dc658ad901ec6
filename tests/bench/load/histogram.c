/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - up to 127 ns a bucket for each, then 128 to the octave. */
#include "histogram.h"

#include <math.h>

enum { STEP_BITS = 7 }; /* of HISTOGRAM_STEPS */

/* A value's bucket is its octave and its STEP_BITS bits below the highest. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift = 0;

    if (ns < HISTOGRAM_STEPS)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    return (shift + 1) * HISTOGRAM_STEPS +
           (unsigned)(ns >> shift) % HISTOGRAM_STEPS;
}

/* The middle of a bucket. */
static double bucket_ns(unsigned bucket)
{
    unsigned octave = bucket / HISTOGRAM_STEPS, step = bucket % HISTOGRAM_STEPS;

    if (octave == 0)
        return step;
    uint64_t width = UINT64_C(1) << (octave - 1);
    return (double)((HISTOGRAM_STEPS + step) * width) + (double)width / 2;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->counts[bucket_of(ns)]++;
    h->n++;
}

double histogram_us(const struct histogram *h, double share)
{
    uint64_t rank = (uint64_t)(share * (double)h->n), seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_OCTAVES * HISTOGRAM_STEPS; i++) {
        seen += h->counts[i];
        if (seen > rank)
            return bucket_ns(i) / 1e3;
    }
    return NAN;
}
