/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - counters that belong to a worker and are summed when read.
 *
 * Only the owning thread writes a counter, so adding is a plain load and
 * store; any thread may read. */
#ifndef GW_METRICS_H
#define GW_METRICS_H

#include "../../bridges/bridge.h"
#include "../base/base.h"

#include <stdatomic.h>
#include <stdio.h>

typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

enum end {
#define END(symbol, label, code, who, text) symbol,
#include "ends.def"
#undef END
    END_COUNT
};

const char *end_label(enum end e);
uint16_t end_code(enum end e);
const char *end_who(enum end e);
const char *end_text(enum end e);

enum frame_kind {
    FRAME_TEXT,
    FRAME_BINARY,
    FRAME_PING,
    FRAME_PONG,
    FRAME_CLOSE,
    FRAME_KINDS
};

enum limit_kind {
    LIMIT_CONNECTIONS,  /* limits.connections: 503 */
    LIMIT_HEADER,       /* 414, 431 */
    LIMIT_REQUEST_TIME, /* 408 */
    LIMIT_MESSAGE,      /* 1009 */
    LIMIT_FRAGMENTS,    /* 1008 */
    LIMIT_CONTROL,      /* 1008 */
    LIMIT_KINDS
};

enum { DURATION_BUCKETS = 12, BRIDGES_MAX = 32, BRIDGE_COUNTERS_MAX = 16 };

struct histogram {
    counter bucket[DURATION_BUCKETS]; /* not cumulative; the last is +Inf */
    counter sum_us;
};

void histogram_add(struct histogram *h, double seconds);

struct metrics {
    counter accepted;        /* client connections */
    counter closed;          /* of them */
    counter sessions_opened; /* 101 sent */
    counter sessions_closed;
    counter ends[END_COUNT];
    counter close_codes[16];    /* 1000-1015, by code - 1000 */
    counter close_codes_app;    /* 3000-4999 */
    counter refused[600 - 400]; /* WebSocket requests by status - 400 */
    counter http[600 - 100];    /* plain HTTP answers by status - 100 */
    counter frames_in[FRAME_KINDS], frames_out[FRAME_KINDS];
    counter payload_in, payload_out; /* bytes of data frames */
    counter backend_ok, backend_failed;
    struct histogram handshake; /* accept of the connection to 101 */
    struct histogram backend;   /* dial to connected */
    counter limit_hits[LIMIT_KINDS];
    counter tls_failed; /* handshakes */
    counter ticks;      /* loop turns seen by the health check */
    counter bridge[BRIDGES_MAX][BRIDGE_COUNTERS_MAX];
};

/* Bridges' counters that are not a worker's: added to from any thread. */
extern _Atomic int64_t metrics_shared[BRIDGES_MAX][BRIDGE_COUNTERS_MAX];

/* What is not a worker's: told by whoever calls metrics_write. */
struct metrics_extra {
    double start_time; /* seconds since 1970 */
    bool last_reload_ok;
    uint64_t reloads_ok, reloads_failed;
    uint64_t log_dropped;
    int64_t cert_not_after; /* 0: no certificate */
    uint64_t max_connections;
    double loop_lag_s; /* worst of all loops, last health round */
    const struct gw_bridge *const *bridges; /* by index into metrics.bridge */
    size_t n_bridges;
    const char *version;
};

/* Write the Prometheus text format, summing v[0..n). */
void metrics_write(FILE *f, const struct metrics *const *v, size_t n,
                   const struct metrics_extra *extra);

#endif
