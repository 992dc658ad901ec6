/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - the few words that every part of the load generator uses.
 *
 * Three threads at least: main opens and closes the window and reads what the
 * gateway costs, a client thread speaks to the gateway, a backend thread is
 * the TCP service behind it. Between them go counters, each of which has one
 * writer, and flags. */
#ifndef LOAD_H
#define LOAD_H

#include "../../../gateway/base/base.h"

#include <stdatomic.h>

enum { EXIT_USAGE = 2 };

static const uint64_t NS_PER_S = 1000000000;

uint64_t now_ns(void);
void sleep_s(double seconds);

/* Zeroed; the program ends if there is none. */
void *need(size_t n, size_t size);

/* One thread adds, the others look. */
struct counter {
    _Atomic uint64_t n;
};

static inline uint64_t counter_get(const struct counter *c)
{
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

static inline void counter_add(struct counter *c, uint64_t n)
{
    atomic_store_explicit(&c->n, counter_get(c) + n, memory_order_relaxed);
}

/* ---- what went wrong -------------------------------------------------------
 * The first of each run is told in words; the rest is counted. */

enum fault {
    FAULT_REFUSED,  /* no connection, no TLS, no 101 */
    FAULT_CORRUPT,  /* other bytes than were sent, or more */
    FAULT_LOST,     /* fewer than were sent */
    FAULT_BROKEN,   /* a session ended before its time */
    FAULT_PROTOCOL, /* frames that no server may send */
    FAULT_KINDS,
};

void fault(enum fault kind, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint64_t fault_count(enum fault kind);
bool fault_any(void);
const char *fault_first(void); /* in words; NULL: there was none */

/* Ends the program with one line of JSON that says why, exit code 1: nothing
 * could be measured. */
_Noreturn void give_up(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
