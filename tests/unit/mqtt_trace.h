/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt_trace.h - what a reader of MQTT packets tells, written down so that two
 * ways to feed it can be compared: for unit tests and fuzzing. */
#ifndef GW_MQTT_TRACE_H
#define GW_MQTT_TRACE_H

#include "../../bridges/mqtt/packet.h"
#include "../check.h"

#include <stdint.h>
#include <string.h>

/* Records, one behind the other: a kind, and what belongs to it. Bytes that
 * pass are one record however many events bring them. */
struct mqtt_trace {
    uint8_t *p;
    size_t n, cap;
    size_t run; /* where the run under way has its length; 0: none is */
    uint8_t run_kind;
    bool faulted;
};

static inline void mqtt_trace_add(struct mqtt_trace *t, const void *p, size_t n)
{
    if (t->n + n > t->cap) {
        t->cap = 2 * (t->n + n) + 256;
        t->p = realloc(t->p, t->cap);
        CHECK(t->p);
    }
    if (n > 0)
        memcpy(t->p + t->n, p, n);
    t->n += n;
}

static inline void mqtt_trace_kind(struct mqtt_trace *t, uint8_t kind, size_t n)
{
    mqtt_trace_add(t, &kind, 1);
    mqtt_trace_add(t, &n, sizeof n);
}

static inline void mqtt_trace_bytes(struct mqtt_trace *t, uint8_t kind,
                                    const uint8_t *p, size_t n)
{
    if (t->run == 0 || t->run_kind != kind) {
        mqtt_trace_kind(t, kind, 0);
        t->run = t->n - sizeof(size_t);
        t->run_kind = kind;
    }
    size_t total;
    memcpy(&total, t->p + t->run, sizeof total);
    total += n;
    memcpy(t->p + t->run, &total, sizeof total);
    mqtt_trace_add(t, p, n);
}

static inline void mqtt_trace_event(struct mqtt_trace *t, enum mqtt_got got,
                                    const struct mqtt_event *ev)
{
    if (got == MQTT_GOT_BYTES) {
        CHECK(ev->n > 0 && !ev->kept);
        mqtt_trace_bytes(t, ev->payload ? 'p' : 'b', ev->p, ev->n);
        return;
    }
    t->run = 0;
    if (got == MQTT_GOT_HEAD) {
        CHECK(ev->type == ev->p[0] >> 4 && ev->flags == (ev->p[0] & 0xf));
        CHECK(ev->fixed >= 2 && ev->fixed <= ev->n);
        mqtt_trace_kind(t, 'h', ev->n);
        mqtt_trace_add(t, ev->p, ev->n);
        mqtt_trace_add(t, &ev->rest, sizeof ev->rest);
    } else if (got == MQTT_GOT_FAULT) {
        mqtt_trace_kind(t, 'f', ev->fault->reason);
        mqtt_trace_add(t, ev->fault->why, strlen(ev->fault->why));
        t->faulted = true;
    }
}

/* Feed p[0..n) as one input; `seen` may look at each event. A copy of just
 * these bytes is read, so that a sanitizer sees one too far. */
static inline void mqtt_trace_feed(struct mqtt_trace *t, struct mqtt_reader *r,
                                   const uint8_t *p, size_t n,
                                   void (*seen)(struct mqtt_reader *r,
                                                const struct mqtt_event *ev))
{
    uint8_t *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n > 0)
        memcpy(copy, p, n);
    const uint8_t *in = copy;

    while (!t->faulted) {
        struct mqtt_event ev;
        const uint8_t *before = in;
        enum mqtt_got got = mqtt_reader_next(r, &in, copy + n, &ev);
        CHECK(in >= before && in <= copy + n);
        if (got == MQTT_GOT_MORE) {
            CHECK(in == copy + n);
            break;
        }
        if (got == MQTT_GOT_HEAD && seen)
            seen(r, &ev);
        mqtt_trace_event(t, got, &ev);
    }
    free(copy);
}

static inline bool mqtt_trace_equal(const struct mqtt_trace *a,
                                    const struct mqtt_trace *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

#endif
