/* SPDX-License-Identifier: Apache-2.0 */
/* paho.c - an upstream's life: two clients that are up or down together.
 *
 * The hub's thread calls tick, which moves things on: address after address,
 * broker after broker, with a growing random pause after each round in which
 * all have failed. Paho's own reconnect looks at the clock every three
 * seconds and knows nothing of the other client. */
#include "paho.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
    PAUSE_MIN_MS = 500, /* at most this at first, doubled each round */
    PAUSE_MAX_MS = 30000,
    STABLE_MS = 1000, /* lost sooner, a connection counts as failed */
    FLAPS_MAX = 2,    /* up to so many times */
    LOOK_MS = 1,      /* after beginning to connect */
    LOOK_MAX_MS = 64,
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

static uint32_t random_u32(void)
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

/* ---- connecting, again and again ----------------------------------------- */

/* Full jitter: from nothing to twice as much as the time before. */
static uint64_t pause_ms(unsigned failures)
{
    uint32_t most = failures < 6 ? (uint32_t)PAUSE_MIN_MS << failures
                                 : (uint32_t)PAUSE_MAX_MS;
    return random_u32() % (most + 1);
}

void paho_lost(struct upstream *u, const char *why)
{
    uint64_t now = paho_now_ms();

    bool stable = now - u->up_ms >= STABLE_MS;
    u->failures = stable                    ? 0
                  : u->failures < FLAPS_MAX ? u->failures + 1
                                            : FLAPS_MAX;
    u->next_ms = now + pause_ms(u->failures);
    u->events->state(u->hub, false, why);
}

/* The attempt has failed, for the reason u->why. With the lock. */
static void attempt_failed(struct upstream *u)
{
    char name[sizeof u->targets.brokers->host + 16];
    char why[sizeof name + sizeof u->why + 2];

    targets_name(&u->targets, name, sizeof name);
    snprintf(why, sizeof why, "%s: %s", name, u->why);
    u->attempting = false;
    u->next_ms = paho_now_ms();
    if (targets_failed(&u->targets))
        u->next_ms += pause_ms(u->failures++);
    u->events->state(u->hub, false, why);
}

/* Returns as tick. */
static uint32_t attempt(struct upstream *u)
{
    char uri[TARGET_URI_MAX];
    const char *why = "";
    bool found = targets_uri(&u->targets, uri, &why) == 0;

    pthread_mutex_lock(&u->lock);
    if (u->limits.keepalive_s > 0 && u->limits.keepalive_s < u->keepalive_s)
        u->keepalive_s = u->limits.keepalive_s;
    u->limits = (struct limits){.receive_max = 65535,
                                .max_qos = 2,
                                .retain = true,
                                .filter_ids = true,
                                .max_packet = SIZE_MAX};
    u->tls_why[0] = '\0';
    snprintf(u->why, sizeof u->why, "%s", why);
    u->attempting = true;
    u->next_ms = paho_now_ms() + u->connect_timeout_ms;
    pthread_mutex_unlock(&u->lock);

    if (!found || link_open(u, SUBSCRIBING, uri) < 0 ||
        link_open(u, PUBLISHING, uri) < 0)
        return 0;
    u->look_ms = LOOK_MS;
    return u->look_ms;
}

static uint32_t ms_until(uint64_t at_ms)
{
    uint64_t now = paho_now_ms();
    return at_ms > now ? (uint32_t)(at_ms - now) : 0;
}

static void links_close(struct upstream *u)
{
    for (enum role r = 0; r < ROLES; r++)
        link_close(u, r);
}

static bool either(const struct upstream *u, enum link_state state)
{
    return u->links[PUBLISHING].state == state ||
           u->links[SUBSCRIBING].state == state;
}

/* With the lock. */
static bool still_connecting(struct upstream *u)
{
    if (!u->attempting || either(u, LINK_DOWN))
        return false;
    if (ms_until(u->next_ms) > 0)
        return true;
    snprintf(u->why, sizeof u->why, "timed out");
    return false;
}

/* Paho does not see by itself that a connection has come about. */
static uint32_t look(struct upstream *u, uint32_t left_ms)
{
    paho_wake_sender();
    paho_wake_receiver();
    if (u->look_ms < LOOK_MAX_MS)
        u->look_ms *= 2;
    return u->look_ms < left_ms ? u->look_ms : left_ms;
}

static uint32_t paho_tick(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    bool up = u->up, connecting = !up && still_connecting(u);
    if (!connecting && u->attempting)
        attempt_failed(u);
    uint64_t next_ms = u->next_ms;
    pthread_mutex_unlock(&u->lock);

    if (up) {
        targets_worked(&u->targets);
        return send_tick(u);
    }
    if (connecting)
        return look(u, ms_until(next_ms));
    links_close(u);
    return ms_until(next_ms) > 0 ? ms_until(next_ms) : attempt(u);
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
    uint32_t unique = random_u32();

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
    while (u->up && u->used > 0 && ms_until(until) > 0) {
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
