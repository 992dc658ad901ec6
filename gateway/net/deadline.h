/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.h - one timer for an object with several things to wait for.
 *
 * The owner computes, whenever it is called, which of its waits come next;
 * a timer that fires early costs one look. So activity never touches the
 * timer: it stores the time and the next look re-arms (libev's manual calls
 * this the cheapest way to time out). Monotonic: a set wall clock moves
 * nothing. */
#ifndef GW_DEADLINE_H
#define GW_DEADLINE_H

#include "loop.h"

struct deadline {
    ev_timer timer;
    double at; /* loop_now() of the next look; 0: none */
    void (*look)(struct deadline *d);
};

void deadline_init(struct deadline *d, void (*look)(struct deadline *d));
/* See to it that look is called at `at` or before. */
void deadline_by(struct loop *l, struct deadline *d, double at);
void deadline_stop(struct loop *l, struct deadline *d);

/* The time `ms` from now; and the earlier of two times, 0 being never. */
static inline double deadline_in(const struct loop *l, unsigned ms)
{
    return loop_now(l) + ms / 1000.0;
}
static inline double deadline_first(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

#endif
