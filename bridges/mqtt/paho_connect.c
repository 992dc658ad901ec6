/* SPDX-License-Identifier: Apache-2.0 */
/* paho_connect.c - address after address, broker after broker, with a growing
 * random pause after each round in which all have failed.
 *
 * The hub's thread calls connect_tick, which moves things on. Paho's own
 * reconnect looks at the clock every three seconds and knows nothing of the
 * other client. */
#include "paho.h"

#include <stdio.h>

enum {
    PAUSE_MIN_MS = 500, /* at most this at first, doubled each round */
    PAUSE_MAX_MS = 30000,
    STABLE_MS = 1000, /* lost sooner, a connection counts as failed */
    FLAPS_MAX = 2,    /* up to so many times */
    LOOK_MS = 1,      /* after beginning to connect */
    LOOK_MAX_MS = 64,
};

/* ---- how it went --------------------------------------------------------- */

/* Full jitter: from nothing to twice as much as the time before. */
static uint64_t pause_ms(unsigned failures)
{
    uint32_t most = failures < 6 ? (uint32_t)PAUSE_MIN_MS << failures
                                 : (uint32_t)PAUSE_MAX_MS;
    return paho_random() % (most + 1);
}

void connect_lost(struct upstream *u, const char *why)
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
    handle_end(u->lookup);
    u->lookup = NULL;
    u->attempting = false;
    u->next_ms = paho_now_ms();
    if (targets_failed(&u->targets))
        u->next_ms += pause_ms(u->failures++);
    u->events->state(u->hub, false, why);
}

/* Whether the attempt under way is one no more. With the lock. */
static bool has_failed(struct upstream *u)
{
    if (paho_ms_until(u->next_ms) == 0) {
        snprintf(u->why, sizeof u->why, "%s",
                 u->lookup ? "name resolution timed out" : "timed out");
        return true;
    }
    if (u->lookup)
        return false;
    return targets_unknown(&u->targets) ||
           (u->linked && (u->links[PUBLISHING].state == LINK_DOWN ||
                          u->links[SUBSCRIBING].state == LINK_DOWN));
}

/* ---- names --------------------------------------------------------------- */

/* On a worker; the upstream may be gone, or wait no more. */
static void on_found(void *handle, const char *const *addresses, size_t n,
                     const char *why)
{
    uint32_t unused;
    struct upstream *u = paho_enter(handle, &unused, true);
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    if (u->lookup == handle) {
        u->lookup = NULL;
        targets_found(&u->targets, addresses, n);
        snprintf(u->why, sizeof u->why, "%s", why ? why : "");
    }
    pthread_mutex_unlock(&u->lock);
    u->events->writable(u->hub); /* have tick called */
    paho_leave(u);
}

/* Returns as tick. */
static uint32_t look_up(struct upstream *u, const char *host)
{
    const struct upstream_settings *s = u->settings;
    void *handle = handle_new(&u->owner, 0);

    pthread_mutex_lock(&u->lock);
    u->lookup = handle;
    uint64_t next_ms = u->next_ms;
    pthread_mutex_unlock(&u->lock);
    if (handle && s->host->resolve(s->worker, host, on_found, handle))
        return paho_ms_until(next_ms);

    handle_end(handle);
    pthread_mutex_lock(&u->lock);
    u->lookup = NULL;
    snprintf(u->why, sizeof u->why, "out of memory");
    pthread_mutex_unlock(&u->lock);
    return 0;
}

/* ---- connecting ---------------------------------------------------------- */

static uint32_t link_up_both(struct upstream *u)
{
    char uri[TARGET_URI_MAX];

    targets_uri(&u->targets, uri);
    u->linked = true;
    u->look_ms = LOOK_MS;
    if (link_open(u, SUBSCRIBING, uri) < 0 || link_open(u, PUBLISHING, uri) < 0)
        return 0;
    return u->look_ms;
}

/* Paho does not see by itself that a connection has come about. */
static uint32_t look_again(struct upstream *u, uint32_t left_ms)
{
    paho_wake_sender();
    paho_wake_receiver();
    if (u->look_ms < LOOK_MAX_MS)
        u->look_ms *= 2;
    return u->look_ms < left_ms ? u->look_ms : left_ms;
}

static uint32_t attempt(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    if (u->limits.keepalive_s > 0 && u->limits.keepalive_s < u->keepalive_s)
        u->keepalive_s = u->limits.keepalive_s;
    u->limits = (struct limits){.receive_max = 65535,
                                .max_qos = 2,
                                .retain = true,
                                .filter_ids = true,
                                .max_packet = SIZE_MAX};
    u->tls_why[0] = u->why[0] = '\0';
    u->attempting = true;
    u->next_ms = paho_now_ms() + u->connect_timeout_ms;
    pthread_mutex_unlock(&u->lock);

    const char *host = targets_unknown(&u->targets);
    return host ? look_up(u, host) : link_up_both(u);
}

uint32_t connect_tick(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    if (u->attempting && has_failed(u))
        attempt_failed(u);
    bool attempting = u->attempting || u->up, looking = u->lookup != NULL;
    uint32_t left_ms = paho_ms_until(u->next_ms);
    pthread_mutex_unlock(&u->lock);

    if (attempting && looking)
        return left_ms;
    if (attempting)
        return u->linked ? look_again(u, left_ms) : link_up_both(u);
    links_close(u);
    u->linked = false;
    return left_ms > 0 ? left_ms : attempt(u);
}
