/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - latencies, in buckets that are less than 1 % wide. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 128, /* buckets to an octave */
    HISTOGRAM_OCTAVES = 58,
};

struct histogram {
    uint64_t n;
    uint64_t counts[HISTOGRAM_OCTAVES * HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *h, uint64_t ns);

/* The latency, in microseconds, that the part `share` (0..1) of all does not
 * exceed; NaN if there is none. */
double histogram_us(const struct histogram *h, double share);

#endif
