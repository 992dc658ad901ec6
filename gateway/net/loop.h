/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - one thread's event loop and what all of its connections share. */
#ifndef GW_LOOP_H
#define GW_LOOP_H

#include "../base/base.h"

#include <ev.h>

enum {
    LOOP_HEADROOM = 32,     /* scratch before every read's bytes */
    LOOP_CIPHER = 96 << 10, /* room for the records of one write */
};

/* Something to be done at the end of the loop turn, when no callback can
 * name the object any more. Embedded in the object. */
struct loop_later {
    struct loop_later *next;
    void (*fn)(struct loop_later *l);
};

struct loop {
    struct ev_loop *ev;
    /* One read at a time goes here: LOOP_HEADROOM bytes, then read_cap. Its
     * content is dead when the callback that got it returns. */
    uint8_t *read_buf;
    size_t read_cap;
    uint8_t *cipher_buf; /* LOOP_CIPHER: one write's TLS records */
    size_t cipher_len;
    uint8_t *raw_buf; /* read_cap: one read's TLS records */
    struct loop_later *later;
    ev_prepare prepare;
    ev_check check;
    double now;    /* see loop_now */
    unsigned turn; /* counts them; never 0 */
};

/* Returns 0, or -1: out of memory or descriptors. */
int loop_init(struct loop *l, size_t read_cap);
void loop_fini(struct loop *l);

/* Run l->fn at the end of this turn, before the loop waits. */
void loop_defer(struct loop *l, struct loop_later *later);

/* Run what is deferred now: when the loop turns no more. */
void loop_settle(struct loop *l);

/* When this turn began, in seconds of a clock that nobody sets: ev_now is the
 * time of day. */
static inline double loop_now(const struct loop *l)
{
    return l->now;
}

#endif
