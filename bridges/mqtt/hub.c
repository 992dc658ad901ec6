/* SPDX-License-Identifier: Apache-2.0 */
/* hub.c - the thread between many loops and one upstream: its life, and what
 * it does in turn. */
#include "hub_parts.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- the end of threads ------------------------------------------------ */

/* Hubs end by themselves, on threads that nobody joins; the process waits a
 * moment for them before it goes. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t none;
    unsigned threads;
} living = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void living_wait(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&living.lock);
    while (living.threads > 0 &&
           pthread_cond_timedwait(&living.none, &living.lock, &until) == 0)
        ;
    pthread_mutex_unlock(&living.lock);
}

/* What registers last is called first: OpenSSL, which the threads use through
 * their upstreams, has to be there until they have ended. */
static void living_register(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
    atexit(living_wait);
}

static void living_add(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, living_register);
    pthread_mutex_lock(&living.lock);
    living.threads++;
    pthread_mutex_unlock(&living.lock);
}

static void living_remove(void)
{
    pthread_mutex_lock(&living.lock);
    if (--living.threads == 0)
        pthread_cond_broadcast(&living.none);
    pthread_mutex_unlock(&living.lock);
}

/* ---- small things ------------------------------------------------------ */

double hub_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const struct hub_settings *hub_settings(const struct hub *h)
{
    return h->settings;
}

bool hub_is_up(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool up = h->up;
    pthread_mutex_unlock(&h->lock);
    return up;
}

void hub_tell(struct hub *h, unsigned shard, enum event_kind kind,
              uint32_t filter_id, int value)
{
    struct event *e = event_new(kind);
    if (!e)
        return;
    e->filter_id = filter_id;
    e->value = value;
    shard_push(h->shards[shard], e);
}

/* ---- the upstream's events --------------------------------------------- */

/* Each reason once, however often it is tried. With the lock. */
static void tell_log(struct hub *h, bool up, const char *why)
{
    const struct hub_settings *s = h->settings;
    char text[sizeof h->last_why];

    if (!why)
        return;
    if (up || h->up)
        snprintf(text, sizeof text, "%s%s%s", s->upstream.brokers,
                 *why ? ": " : "", why);
    else
        snprintf(text, sizeof text, "%s", why);
    if (!up && strcmp(text, h->last_why) == 0)
        return;
    snprintf(h->last_why, sizeof h->last_why, "%s", up ? "" : text);
    h->host->note(s->bridge, up ? GW_INFO : GW_WARN,
                  up ? "upstream-up" : "upstream-down", text);
}

static void on_state(struct hub *h, bool up, const char *why)
{
    pthread_mutex_lock(&h->lock);
    tell_log(h, up, why);
    if (h->up != up) {
        h->up = up;
        h->ups += up;
        h->host->add(h->settings->bridge, COUNTER_UPSTREAMS_UP, up ? 1 : -1);
        for (unsigned s = 0; s < h->n_shards; s++)
            hub_tell(h, s, EVENT_STATE, 0, up);
        pthread_cond_signal(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
}

static void on_writable(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    h->writable++;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

static void on_published(struct hub *h, void *token, int reason)
{
    pthread_mutex_lock(&h->lock);
    publish_end(h, token, reason);
    pthread_mutex_unlock(&h->lock);
}

static const struct upstream_events events = {
    .state = on_state,
    .message = filters_message,
    .published = on_published,
    .writable = on_writable,
    .subscribed = filters_subscribed,
};

/* ---- the thread -------------------------------------------------------- */

static void sleep_until(struct hub *h, double at)
{
    if (at == 0) {
        pthread_cond_wait(&h->wake, &h->lock);
        return;
    }
    struct timespec t = {.tv_sec = (time_t)at,
                         .tv_nsec = (long)((at - (double)(time_t)at) * 1e9)};
    pthread_cond_timedwait(&h->wake, &h->lock, &t);
}

static void hub_loop(struct hub *h)
{
    unsigned ups = 0;

    while (!h->stopping) {
        if (h->ups != ups)
            filters_anew(h);
        ups = h->ups;
        bool was_up = h->up;
        uint64_t writable = h->writable;
        double next = filters_serve(h);
        bool full = publishes_serve(h);
        next = earlier(next, publishes_expire(h));
        pthread_mutex_unlock(&h->lock);
        uint32_t ms = h->settings->ops->tick(h->upstream);
        pthread_mutex_lock(&h->lock);
        if (ms != UINT32_MAX)
            next = earlier(next, hub_now() + ms / 1000.);
        bool news = h->up != was_up || h->ups != ups ||
                    h->writable != writable || filters_due(h) ||
                    (h->up && h->first && !full);
        if (!h->stopping && !news)
            sleep_until(h, next);
    }
}

static void hub_free(struct hub *h)
{
    for (unsigned i = 0; i < h->n_shards; i++)
        shard_free(h->shards[i]);
    filters_fini(h);
    publishes_fini(h);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->wake);
    if (h->release)
        h->release(h->owner);
    free(h);
}

static void *hub_main(void *arg)
{
    struct hub *h = arg;

    pthread_mutex_lock(&h->lock);
    hub_loop(h);
    pthread_mutex_unlock(&h->lock);
    h->settings->ops->close(h->upstream);
    pthread_mutex_lock(&h->lock);
    while (h->refs > 0) /* calls to loops */
        pthread_cond_wait(&h->wake, &h->lock);
    pthread_mutex_unlock(&h->lock);
    if (h->up)
        h->host->add(h->settings->bridge, COUNTER_UPSTREAMS_UP, -1);
    hub_free(h);
    living_remove();
    return NULL;
}

static int hub_thread(struct hub *h)
{
    pthread_t thread;
    sigset_t all, before;

    living_add();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&thread, NULL, hub_main, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        living_remove();
        return -1;
    }
    pthread_setname_np(thread, "mqtt hub");
    pthread_detach(thread);
    return 0;
}

/* ---- life -------------------------------------------------------------- */

struct hub *hub_new(const struct hub_settings *s, void (*release)(void *owner),
                    void *owner, char *err, size_t cap)
{
    pthread_condattr_t attr;
    struct hub *h = calloc(1, sizeof *h);
    if (!h) {
        snprintf(err, cap, "out of memory");
        return NULL;
    }
    h->settings = s;
    h->host = s->upstream.host;
    h->refs = 1;
    h->last = &h->first;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    h->interests = trie_new();
    if (!h->interests)
        snprintf(err, cap, "out of memory");
    else
        h->upstream = s->ops->open(h, &events, &s->upstream, err, cap);
    if (h->upstream && hub_thread(h) < 0) {
        s->ops->close(h->upstream);
        h->upstream = NULL;
        snprintf(err, cap, "cannot start a thread");
    }
    if (!h->upstream) {
        hub_free(h);
        return NULL;
    }
    h->release = release;
    h->owner = owner;
    return h;
}

void hub_ref(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    h->refs++;
    pthread_mutex_unlock(&h->lock);
}

bool hub_try_ref(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool alive = hub_hold(h);
    pthread_mutex_unlock(&h->lock);
    return alive;
}

void hub_unhold_locked(struct hub *h)
{
    if (--h->refs == 0) {
        h->stopping = true;
        pthread_cond_signal(&h->wake);
    }
}

void hub_unref(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    hub_unhold_locked(h);
    pthread_mutex_unlock(&h->lock);
}

bool hub_hold(struct hub *h)
{
    if (h->stopping)
        return false;
    h->refs++;
    return true;
}

struct shard *hub_shard(struct hub *h, struct gw_worker *w)
{
    struct shard *s = NULL;

    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->n_shards && !s; i++)
        if (h->shards[i]->worker == w)
            s = h->shards[i];
    if (!s && h->n_shards < HUB_SHARDS_MAX &&
        (s = shard_new(h, h->host, w, h->n_shards)))
        h->shards[h->n_shards++] = s;
    pthread_mutex_unlock(&h->lock);
    return s;
}
