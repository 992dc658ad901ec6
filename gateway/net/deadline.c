/* SPDX-License-Identifier: Apache-2.0 */
/* deadline.c - one timer that is moved forward only when it must be. */
#include "deadline.h"

static void deadline_timer_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    struct deadline *d = container_of(w, struct deadline, timer);
    (void)ev, (void)revents;

    d->at = 0;
    d->look(d);
}

void deadline_init(struct deadline *d, void (*look)(struct deadline *d))
{
    *d = (struct deadline){.look = look};
    ev_timer_init(&d->timer, deadline_timer_cb, 0., 0.);
}

void deadline_by(struct loop *l, struct deadline *d, double at)
{
    if (at == 0 || (d->at != 0 && d->at <= at))
        return;
    double wait = at - loop_now(l);
    ev_timer_stop(l->ev, &d->timer);
    ev_timer_set(&d->timer, wait > 0 ? wait : 0., 0.);
    ev_timer_start(l->ev, &d->timer);
    d->at = at;
}

void deadline_stop(struct loop *l, struct deadline *d)
{
    ev_timer_stop(l->ev, &d->timer);
    d->at = 0;
}
