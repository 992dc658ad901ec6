/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - one thread's event loop, its shared buffers, its end of turn. */
#include "loop.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

void loop_settle(struct loop *l)
{
    while (l->later) {
        struct loop_later *later = l->later;
        l->later = later->next;
        later->fn(later);
    }
}

static void loop_prepare_cb(struct ev_loop *ev, ev_prepare *w, int revents)
{
    (void)ev, (void)revents;
    loop_settle(container_of(w, struct loop, prepare));
}

static double monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The first of a turn's callbacks. */
static void loop_check_cb(struct ev_loop *ev, ev_check *w, int revents)
{
    (void)ev, (void)revents;
    struct loop *l = container_of(w, struct loop, check);
    l->now = monotonic();
    l->turn += l->turn == UINT_MAX ? 2 : 1;
}

int loop_init(struct loop *l, size_t read_cap)
{
    *l = (struct loop){.read_cap = read_cap, .now = monotonic(), .turn = 1};
    /* Nothing less: poll is slow, and select ends at descriptor 1024. */
    l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    l->read_buf = malloc(LOOP_HEADROOM + read_cap);
    l->raw_buf = malloc(read_cap);
    l->cipher_buf = malloc(LOOP_CIPHER);
    if (!l->ev || !l->read_buf || !l->raw_buf || !l->cipher_buf) {
        loop_fini(l);
        return -1;
    }
    ev_prepare_init(&l->prepare, loop_prepare_cb);
    ev_prepare_start(l->ev, &l->prepare);
    ev_check_init(&l->check, loop_check_cb);
    ev_set_priority(&l->check, EV_MAXPRI);
    ev_check_start(l->ev, &l->check);
    ev_unref(l->ev); /* they alone must not keep the loop running */
    ev_unref(l->ev);
    return 0;
}

void loop_fini(struct loop *l)
{
    if (l->ev) {
        loop_settle(l);
        if (ev_is_active(&l->prepare)) {
            ev_ref(l->ev);
            ev_ref(l->ev);
            ev_prepare_stop(l->ev, &l->prepare);
            ev_check_stop(l->ev, &l->check);
        }
        ev_loop_destroy(l->ev);
    }
    free(l->read_buf);
    free(l->raw_buf);
    free(l->cipher_buf);
    *l = (struct loop){0};
}

void loop_defer(struct loop *l, struct loop_later *later)
{
    later->next = l->later;
    l->later = later;
}
