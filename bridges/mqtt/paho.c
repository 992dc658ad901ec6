/* SPDX-License-Identifier: Apache-2.0 */
/* paho.c - an upstream's life: two clients that are up or down together. */
#include "paho.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
    FLUSH_MS = 1000, /* for publishes under way, when closing */
    KEEPALIVE_S = 60,
    CONNECT_TIMEOUT_MS = 5000,
    PAYLOAD_MAX = 65536, /* Paho stalls on writes that a socket does not take */
};

/* ---- small things ---------------------------------------------------------*/

uint64_t paho_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint32_t paho_ms_until(uint64_t at_ms)
{
    uint64_t now = paho_now_ms();
    return at_ms > now ? (uint32_t)(at_ms - now) : 0;
}

uint32_t paho_random(void)
{
    uint32_t r;
    if (getrandom(&r, sizeof r, 0) != sizeof r)
        r = (uint32_t)paho_now_ms();
    return r;
}

struct upstream *paho_enter(void *handle, uint32_t *value, bool last)
{
    struct handle_owner *o = handle_enter(handle, value, last);
    return (struct upstream *)o; /* its first member */
}

void paho_leave(struct upstream *u)
{
    handle_leave(&u->owner);
}

/* ---- life -----------------------------------------------------------------*/

static bool settings_valid(struct upstream *u, char *err, size_t cap)
{
    const struct upstream_settings *s = u->settings;

    if (targets_init(&u->targets, s->brokers, s->tls, err, cap) < 0)
        return false;
    if (!s->tls)
        return true;
    for (size_t i = 0; s->sni && i < u->targets.n; i++)
        if (strcmp(s->sni, u->targets.brokers[i].host) != 0) {
            snprintf(err, cap,
                     "sni: Paho verifies the name that it connects to, \"%s\"",
                     u->targets.brokers[i].host);
            return false;
        }
    const struct gw_tls_options o = {
        .ca = s->ca, .cert = s->cert, .key = s->key, .insecure = s->insecure};
    struct gw_tls *t = s->host->tls_new(&o, err, cap); /* are they there? */
    if (t)
        s->host->tls_free(t);
    return t != NULL;
}

static void name_links(struct upstream *u)
{
    const char *prefix = u->settings->client_id;
    uint32_t unique = paho_random();

    for (enum role r = 0; r < ROLES; r++)
        snprintf(u->links[r].id, sizeof u->links[r].id, "%.230s-%08x-%c",
                 prefix ? prefix : "gangway", unique,
                 r == PUBLISHING ? 'p' : 's');
}

static void destroy(struct upstream *u)
{
    links_close(u);
    handle_end_all(&u->owner);
    targets_fini(&u->targets);
    send_fini(u);
    pthread_cond_destroy(&u->idle);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

static struct upstream *paho_open(struct hub *h,
                                  const struct upstream_events *ev,
                                  const struct upstream_settings *s, char *err,
                                  size_t cap)
{
    pthread_condattr_t attr;
    struct upstream *u = calloc(1, sizeof *u);
    if (!u) {
        snprintf(err, cap, "out of memory");
        return NULL;
    }
    u->hub = h;
    u->events = ev;
    u->settings = s;
    u->keepalive_s = s->keepalive_s ? s->keepalive_s : KEEPALIVE_S;
    u->connect_timeout_ms =
        s->connect_timeout_ms ? s->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    u->max_payload = s->max_payload ? s->max_payload : PAYLOAD_MAX;
    pthread_mutex_init(&u->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->idle, &attr);
    pthread_condattr_destroy(&attr);
    if (!settings_valid(u, err, cap)) {
        destroy(u);
        return NULL;
    }
    name_links(u);
    if (!paho_library_ready() || send_init(u) < 0) {
        snprintf(err, cap, "out of memory");
        destroy(u);
        return NULL;
    }
    return u;
}

/* Give what is under way a moment: sessions say good-bye with a publish. */
static void flush(struct upstream *u)
{
    uint64_t until = paho_now_ms() + FLUSH_MS;

    pthread_mutex_lock(&u->lock);
    while (u->up && u->used > 0 && paho_ms_until(until) > 0) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += 20000000;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&u->idle, &u->lock, &t);
        pthread_mutex_unlock(&u->lock);
        send_tick(u);
        pthread_mutex_lock(&u->lock);
    }
    u->up = false;
    pthread_mutex_unlock(&u->lock);
}

static uint32_t paho_tick(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    bool up = u->up;
    pthread_mutex_unlock(&u->lock);

    if (!up)
        return connect_tick(u);
    targets_worked(&u->targets);
    return send_tick(u);
}

static void paho_close(struct upstream *u)
{
    flush(u);
    send_fail_all(u);
    destroy(u);
    /* The process may end before this thread has done so by itself. */
    OPENSSL_thread_stop();
}

const struct upstream_ops upstream_paho = {
    .name = "paho",
    .open = paho_open,
    .subscribe = send_subscribe,
    .unsubscribe = send_unsubscribe,
    .publish = send_publish,
    .tick = paho_tick,
    .close = paho_close,
};
