/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - what the modes have in common: the window, the wait for what is
 * still under way, the result.
 *
 * Figures are differences between two samples taken while traffic flows, after
 * a warm-up. Then nothing new begins, and what has begun must arrive: that is
 * verified, not measured. */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "backend.h"
#include "client.h"
#include "options.h"
#include "proc.h"

/* What a mode counts, and of what context. */
struct counts {
    uint64_t messages, bytes;
    uint64_t frames;     /* down */
    uint64_t deliveries; /* fanout */
    uint64_t resumed;    /* connect */
};
typedef struct counts count_fn(const void *ctx);

struct sample {
    uint64_t ns;
    double gateway_s, own_s; /* CPU */
    struct machine_cpu machine;
    struct counts counts;
};

struct window {
    struct sample begin, end;
};

struct window window_measure(const struct options *o, double seconds,
                             count_fn *count, const void *ctx);

static inline double window_s(const struct window *w)
{
    return (double)(w->end.ns - w->begin.ns) / 1e9;
}

static inline double window_cpu_s(const struct window *w)
{
    return w->end.gateway_s - w->begin.gateway_s;
}

/* A client of the gateway as the options say. */
struct client_options run_client(const struct options *o,
                                 const struct role *role);

/* The backend, unless the gateway answers by itself. first_apart: as in
 * backend.h. */
void run_backend(const struct options *o, enum service service,
                 bool first_apart);

/* Sleep, but not beyond the first fault. */
void run_sleep(double seconds);

/* How much there is of something, by the context it is counted in. */
typedef uint64_t total_fn(const void *ctx);

/* Of a struct client. */
total_fn run_client_sent, run_client_received;

/* Wait until as much has come as was sent, while some comes. Returns how many
 * are lost, which is a fault. */
uint64_t run_drain(const char *unit, total_fn *sent, total_fn *come,
                   const void *ctx);

/* ---- the result ------------------------------------------------------------
 * result_begin, then what the mode has to say, then result_end. */

void result_begin(const struct options *o);
/* Time, messages, bytes, and what the gateway used for each. */
void result_window(const struct options *o, const struct window *w);
void result_latency(const struct histogram *h);
void result_end(const struct options *o, uint64_t lost);

#endif
