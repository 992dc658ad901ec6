/* SPDX-License-Identifier: Apache-2.0 */
/* mode_stream.c - echo, up and down: how much goes through, and what of it
 * costs the gateway. */
#include "echo.h"
#include "json.h"
#include "mode.h"
#include "mqtt.h"
#include "run.h"

#include <stdlib.h>

/* ---- what all three do ----------------------------------------------------*/

struct direction {
    const struct role *role;
    enum service service;
    count_fn *count;
    uint64_t (*sent)(const void *client);
    uint64_t (*come)(const void *client);
};

/* Counters of one client, where modes look for them. */
static uint64_t client_sent(const void *client)
{
    return counter_get(&((const struct client *)client)->sent);
}

static uint64_t client_come(const void *client)
{
    return counter_get(&((const struct client *)client)->received);
}

static uint64_t service_sent(const void *client)
{
    (void)client;
    return backend_sent();
}

static uint64_t service_come(const void *client)
{
    (void)client;
    return backend_received();
}

static void run(const struct options *o, const struct direction *d)
{
    static struct client client;
    static struct histogram latency;
    struct client_options co = run_client(o, d->role);

    run_backend(o, d->service);
    client_start(&client, &co);
    client_wait_open(&client, false);
    run_sleep(o->warmup);
    atomic_store(&client.latency, &latency);
    struct window w = window_measure(o, o->seconds, d->count, &client);
    atomic_store(&client.latency, NULL);

    backend_quiet();
    atomic_store(&client.quiet, true);
    uint64_t lost = run_drain(d->sent, d->come, &client);
    client_finish(&client);
    client_stop(&client);
    backend_stop();

    result_begin(o);
    result_window(o, &w);
    if (latency.n > 0)
        result_latency(&latency);
    if (w.end.counts.frames > w.begin.counts.frames)
        json_number("frame_avg",
                    (double)(w.end.counts.bytes - w.begin.counts.bytes) /
                        (double)(w.end.counts.frames - w.begin.counts.frames),
                    1);
    result_end(o, lost);
}

/* ---- echo: a closed loop of messages --------------------------------------*/

static struct counts count_echo(const void *client)
{
    const struct client *c = client;
    uint64_t n = counter_get(&c->echoed);
    return (struct counts){n, n * c->options.size, 0};
}

void mode_echo(const struct options *o)
{
    static const struct direction echo = {
        .role = &role_echo,
        .service = SERVICE_ECHO,
        .count = count_echo,
        .sent = client_sent,
        .come = client_come,
    };

    run(o, &echo);
}

/* ---- up: as fast as the gateway takes it ----------------------------------*/

static void up_begin(struct session *s)
{
    s->tx = stream_of(s->number);
    s->out.todo = WS_ENDLESS;
}

static bool up_data(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
    (void)s, (void)p, (void)n, (void)now;
    return false; /* nobody sends anything */
}

static struct counts count_up(const void *client)
{
    const struct client *c = client;
    uint64_t n = backend_received();
    return (struct counts){n / c->options.size, n, 0};
}

void mode_up(const struct options *o)
{
    static const struct role role = {.open = up_begin, .data = up_data};
    static const struct direction up = {
        .role = &role,
        .service = SERVICE_SINK,
        .count = count_up,
        .sent = client_sent,
        .come = service_come,
    };

    run(o, &up);
}

/* ---- down -----------------------------------------------------------------*/

static void down_begin(struct session *s)
{
    s->rx = stream_unknown();
}

static bool down_data(struct session *s, const uint8_t *p, size_t n,
                      uint64_t now)
{
    (void)now;
    s->received += n;
    return stream_check(&s->rx, p, n);
}

static struct counts count_down(const void *client)
{
    const struct client *c = client;
    uint64_t n = counter_get(&c->received);
    return (struct counts){n / c->options.size, n, counter_get(&c->frames)};
}

void mode_down(const struct options *o)
{
    static const struct role role = {.open = down_begin, .data = down_data};
    static const struct direction down = {
        .role = &role,
        .service = SERVICE_SOURCE,
        .count = count_down,
        .sent = service_sent,
        .come = client_come,
    };

    run(o, &down);
}
