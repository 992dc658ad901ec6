/* SPDX-License-Identifier: Apache-2.0 */
/* paho_bench.h - one shared upstream, measured beside plain Paho: the parts. */
#ifndef GW_PAHO_BENCH_H
#define GW_PAHO_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAYLOAD = 64, /* bytes of each message */
    WINDOW = 100, /* publishes without their PUBACK; gangway's own */
};

/* Print the reason and end. */
_Noreturn void die(const char *what);
double now_s(void);

/* ---- broker.c: the least that a broker can be, on a thread of its own ----
 *
 * It acknowledges what it gets, and to who has subscribed it sends messages of
 * QoS 0 as fast as they are taken, once `flood` is set. */
struct broker {
    atomic_int port;
    atomic_bool flood;
    atomic_ulong published; /* of QoS 1, that have come */
};
void broker_start(struct broker *b);
double broker_cpu_s(void); /* of its thread so far */

/* ---- what is measured: messages in, or acknowledged publishes out --------
 *
 * `begin` returns when it is connected, and has subscribed if messages are to
 * come in. `*count` grows from then on. */
struct contestant {
    void (*begin)(struct broker *b, bool in, atomic_ulong *count);
    double (*cpu_s)(void); /* so far, without the broker's */
};
extern const struct contestant plain, through_gangway;

#endif
