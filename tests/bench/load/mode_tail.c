/* SPDX-License-Identifier: Apache-2.0 */
/* mode_tail.c - how long a small message takes while others are served: its
 * latency when it is alone, beside a session that moves bulk both ways, and
 * while new sessions arrive. The three run one after the other against the
 * same gateway, so that they can be compared.
 *
 * What is measured has threads of its own here, client and backend: a session
 * of bulk must not wait for our own. */
#include "echo.h"
#include "json.h"
#include "mode.h"
#include "run.h"

enum {
    PROBE_SIZE = 64,
    BULK_SIZE = 64 * 1024,
    HANDSHAKES = 100, /* a second */
};

struct phase {
    struct histogram latency;
    double seconds;
};

static struct client probe;

/* Warm up, then note the probe's latencies. */
static void phase_run(const struct options *o, struct phase *p)
{
    run_sleep(o->warmup);
    uint64_t began = now_ns();
    atomic_store(&probe.latency, &p->latency);
    run_sleep(o->seconds);
    atomic_store(&probe.latency, NULL);
    p->seconds = (double)(now_ns() - began) / 1e9;
}

/* ---- beside bulk ----------------------------------------------------------*/

static void bulk_begin(struct session *s)
{
    s->tx = s->rx = stream_of(s->number);
    s->out.todo = WS_ENDLESS;
}

static bool bulk_data(struct session *s, const uint8_t *p, size_t n,
                      uint64_t now)
{
    (void)now;
    s->received += n;
    counter_add(&s->client->received, n);
    return stream_check(&s->rx, p, n);
}

static double run_bulk(const struct options *o, struct phase *p, uint64_t *lost)
{
    static const struct role role = {.open = bulk_begin, .data = bulk_data};
    static struct client bulk;
    struct client_options co = run_client(o, &role);

    co.sessions = 1;
    co.size = BULK_SIZE;
    client_start(&bulk, &co);
    client_wait_open(&bulk, false);
    uint64_t before = counter_get(&bulk.received), began = now_ns();
    phase_run(o, p);
    double bytes = (double)(counter_get(&bulk.received) - before);
    double seconds = (double)(now_ns() - began) / 1e9;
    atomic_store(&bulk.quiet, true);
    *lost += run_drain("bytes", run_client_sent, run_client_received, &bulk);
    client_finish(&bulk);
    client_stop(&bulk);
    return bytes / 1e6 / seconds;
}

/* ---- while sessions arrive ------------------------------------------------*/

static double run_visits(const struct options *o, struct phase *p)
{
    static struct client visits;
    struct client_options co = run_client(o, &role_visit);

    co.sessions = co.opening = HANDSHAKES;
    co.size = PROBE_SIZE;
    co.again = true;
    co.per_second = HANDSHAKES;
    client_start(&visits, &co);
    uint64_t began = now_ns();
    phase_run(o, p);
    double n = (double)counter_get(&visits.finished);
    double seconds = (double)(now_ns() - began) / 1e9;
    client_wait_gone(&visits);
    client_stop(&visits);
    return n / seconds;
}

/* ---- all three ------------------------------------------------------------*/

void mode_tail(const struct options *o)
{
    static struct phase quiet, bulk, handshakes;
    struct client_options co = run_client(o, &role_echo);
    uint64_t lost = 0;

    co.sessions = 1;
    co.size = PROBE_SIZE;
    co.window = 1;
    run_backend(o, SERVICE_ECHO, true);
    client_start(&probe, &co);
    client_wait_open(&probe, false);
    phase_run(o, &quiet);
    double mb_per_s = run_bulk(o, &bulk, &lost);
    double visits_per_s = run_visits(o, &handshakes);
    atomic_store(&probe.quiet, true);
    lost += run_drain("bytes", run_client_sent, run_client_received, &probe);
    client_finish(&probe);
    client_stop(&probe);
    backend_stop();

    result_begin(o);
    json_number("seconds", quiet.seconds, 4);
    json_int("messages",
             quiet.latency.n + bulk.latency.n + handshakes.latency.n);
    json_number("quiet_p50_us", histogram_us(&quiet.latency, 0.5), 1);
    json_number("quiet_p99_us", histogram_us(&quiet.latency, 0.99), 1);
    json_number("bulk_p50_us", histogram_us(&bulk.latency, 0.5), 1);
    json_number("bulk_p99_us", histogram_us(&bulk.latency, 0.99), 1);
    json_number("bulk_mb_per_s", mb_per_s, 1);
    json_number("handshakes_p50_us", histogram_us(&handshakes.latency, 0.5), 1);
    json_number("handshakes_p99_us", histogram_us(&handshakes.latency, 0.99),
                1);
    json_number("handshakes_per_s", visits_per_s, 1);
    result_end(o, lost);
}
