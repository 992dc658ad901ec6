/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - what a program gets that uses Paho as its documentation says, but
 * keeps fewer publishes under way than the broker takes. */
#include "paho_bench.h"

#include <MQTTAsync.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static MQTTAsync client;
static atomic_ulong *count;
static sem_t window, step; /* step: connected, subscribed */

static int on_message(void *context, char *topic, int n, MQTTAsync_message *m)
{
    (void)context, (void)n;
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    MQTTAsync_freeMessage(&m);
    MQTTAsync_free(topic);
    return 1;
}

static void on_step(void *context, MQTTAsync_successData5 *d)
{
    (void)context, (void)d;
    sem_post(&step);
}

static void on_published(void *context, MQTTAsync_successData5 *d)
{
    (void)context, (void)d;
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    sem_post(&window);
}

static void on_failure(void *context, MQTTAsync_failureData5 *d)
{
    (void)context, (void)d;
    die("Paho: a request failed");
}

static void *publish(void *arg)
{
    static const char payload[PAYLOAD];
    (void)arg;

    for (;;) {
        MQTTAsync_callOptions o = MQTTAsync_callOptions_initializer;
        o.onSuccess5 = on_published;
        o.onFailure5 = on_failure;
        sem_wait(&window);
        if (MQTTAsync_send(client, "t", PAYLOAD, payload, 1, 0, &o) !=
            MQTTASYNC_SUCCESS)
            die("Paho: send");
    }
    return NULL;
}

static void subscribe(void)
{
    MQTTAsync_callOptions o = MQTTAsync_callOptions_initializer;

    o.onSuccess5 = on_step;
    o.onFailure5 = on_failure;
    if (MQTTAsync_subscribe(client, "t", 0, &o) != MQTTASYNC_SUCCESS)
        die("Paho: subscribe");
    sem_wait(&step);
}

static void begin(struct broker *b, bool in, atomic_ulong *counter)
{
    MQTTAsync_createOptions c = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer5;
    char uri[32];
    pthread_t thread;

    count = counter;
    sem_init(&window, 0, WINDOW);
    sem_init(&step, 0, 0);
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", b->port);
    c.maxBufferedMessages = 2 * WINDOW;
    if (MQTTAsync_createWithOptions(&client, uri, "plain",
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                    &c) != MQTTASYNC_SUCCESS)
        die("Paho: create");
    MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL);
    o.onSuccess5 = on_step;
    o.onFailure5 = on_failure;
    o.maxInflight = 65535;
    o.keepAliveInterval = 60;
    if (MQTTAsync_connect(client, &o) != MQTTASYNC_SUCCESS)
        die("Paho: connect");
    sem_wait(&step);
    if (in)
        subscribe();
    else if (pthread_create(&thread, NULL, publish, NULL) != 0)
        die("a thread");
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9 - broker_cpu_s();
}

const struct contestant plain = {begin, cpu_s};
