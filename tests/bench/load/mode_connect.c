/* SPDX-License-Identifier: Apache-2.0 */
/* mode_connect.c - visits: connect, upgrade, one echo, close, again. */
#include "echo.h"
#include "json.h"
#include "mode.h"
#include "run.h"

static struct counts count_visits(const void *client)
{
    const struct client *c = client;
    uint64_t n = counter_get(&c->finished);
    return (struct counts){
        .messages = n,
        .bytes = n * c->options.size,
        .resumed = counter_get(&c->resumed),
    };
}

void mode_connect(const struct options *o)
{
    static struct client client;
    static struct histogram latency;
    struct client_options co = run_client(o, &role_visit);

    co.again = true;
    co.opening = co.sessions;
    run_backend(o, SERVICE_ECHO, false);
    client_start(&client, &co);
    run_sleep(o->warmup);
    atomic_store(&client.latency, &latency);
    struct window w = window_measure(o, o->seconds, count_visits, &client);
    atomic_store(&client.latency, NULL);
    client_wait_gone(&client);
    uint64_t lost = counter_get(&client.begun) - counter_get(&client.finished);
    if (lost > 0)
        fault(FAULT_LOST, "%llu visits did not end well",
              (unsigned long long)lost);
    client_stop(&client);
    backend_stop();

    result_begin(o);
    result_window(o, &w);
    result_latency(&latency);
    if (o->resume)
        json_int("resumed", w.end.counts.resumed - w.begin.counts.resumed);
    result_end(o, lost * o->size);
}
