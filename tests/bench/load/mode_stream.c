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

    run_backend(o, d->service, false);
    /* Thousands that speak already would hold up those who come. */
    co.together = true;
    client_start(&client, &co);
    client_wait_open(&client, false);
    client_wake(&client);
    run_sleep(o->warmup);
    atomic_store(&client.latency, &latency);
    struct window w = window_measure(o, o->seconds, d->count, &client);
    atomic_store(&client.latency, NULL);

    backend_quiet();
    atomic_store(&client.quiet, true);
    uint64_t lost = run_drain("bytes", d->sent, d->come, &client);
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
    return (struct counts){.messages = n, .bytes = n * c->options.size};
}

void mode_echo(const struct options *o)
{
    static const struct direction echo = {
        .role = &role_echo,
        .service = SERVICE_ECHO,
        .count = count_echo,
        .sent = run_client_sent,
        .come = run_client_received,
    };

    run(o, &echo);
}

/* ---- MQTT: CONNECT before the stream, and its answer ---------------------*/

static void greet(struct session *s)
{
    uint8_t packet[MQTT_GREETING_MAX];

    session_send(s, packet, mqtt_connect_write(packet, s->number));
}

/* Takes the bytes of CONNACK away from the front. */
static bool greeted(struct session *s, const uint8_t **p, size_t *n)
{
    for (; *n > 0 && s->answered < MQTT_CONNACK_SIZE; ++*p, --*n)
        if (**p != (uint8_t)MQTT_CONNACK[s->answered++])
            return false;
    return true;
}

/* ---- up: as fast as the gateway takes it ----------------------------------*/

static void up_begin(struct session *s)
{
    s->tx = stream_of(s->number);
    if (s->client->options.mqtt)
        greet(s);
    else
        s->out.todo = WS_ENDLESS;
}

static bool up_data(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
    (void)now;
    if (!s->client->options.mqtt || !greeted(s, &p, &n))
        return false; /* nobody sends anything */
    if (s->answered == MQTT_CONNACK_SIZE)
        s->out.todo = WS_ENDLESS;
    return n == 0;
}

static struct counts count_up(const void *client)
{
    const struct client *c = client;
    uint64_t n = backend_received();
    return (struct counts){.messages = n / c->options.size, .bytes = n};
}

void mode_up(const struct options *o)
{
    static const struct role role = {.open = up_begin, .data = up_data};
    static const struct direction up = {
        .role = &role,
        .service = SERVICE_SINK,
        .count = count_up,
        .sent = run_client_sent,
        .come = service_come,
    };

    run(o, &up);
}

/* ---- down -----------------------------------------------------------------*/

static void down_begin(struct session *s)
{
    if (s->client->options.mqtt) {
        s->rx = stream_of(s->number);
        greet(s);
    } else {
        s->rx = stream_unknown();
    }
}

static bool down_data(struct session *s, const uint8_t *p, size_t n,
                      uint64_t now)
{
    (void)now;
    if (s->client->options.mqtt && !greeted(s, &p, &n))
        return false;
    s->received += n;
    counter_add(&s->client->received, n);
    return stream_check(&s->rx, p, n);
}

static struct counts count_down(const void *client)
{
    const struct client *c = client;
    uint64_t n = counter_get(&c->received);
    return (struct counts){
        .messages = n / c->options.size,
        .bytes = n,
        .frames = counter_get(&c->frames),
    };
}

void mode_down(const struct options *o)
{
    static const struct role role = {.open = down_begin, .data = down_data};
    static const struct direction down = {
        .role = &role,
        .service = SERVICE_SOURCE,
        .count = count_down,
        .sent = service_sent,
        .come = run_client_received,
    };

    run(o, &down);
}
