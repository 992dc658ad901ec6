/* SPDX-License-Identifier: Apache-2.0 */
/* hub.c - the thread between many loops and one upstream.
 *
 * The lock guards all of struct hub; it is held for table look-ups only and
 * never across a call to the upstream. Interests are freed by the hub's
 * thread alone, which therefore may use one without the lock. */
#include "hub.h"
#include "shard.h"
#include "trie.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

enum interest_state { INTEREST_NEW, INTEREST_ASKED, INTEREST_ANSWERED };

enum {
    ASKING_MAX = 1000,    /* SUBSCRIBEs without an answer */
    LINGERING_MAX = 4096, /* filters that nobody wants any more */
    ASKS_A_TURN = 128,    /* before publishes have their turn */
};

/* A filter that somebody wants. */
struct interest {
    struct interest *prev, *next; /* of the list that it is in */
    struct interest **list;       /* hub.due, .later, .lingering; or NULL */
    UT_hash_handle hh;            /* hub.by_id */
    uint32_t id;
    unsigned refs; /* shards */
    uint8_t shards[HUB_SHARDS_MAX / 8];
    enum interest_state state;
    int qos;       /* the highest wanted */
    int asked_qos; /* in the last SUBSCRIBE */
    int granted;   /* the broker's answer, or -1 */
    double asked_at;
    double refresh_at; /* 0: no */
    double drop_at;    /* while it lingers */
    bool again;        /* to be asked of a broker that was away */
    size_t n;
    char text[];
};

struct hub {
    const struct hub_settings *settings;
    const struct gw_host *host;
    struct upstream *upstream;
    void (*release)(void *owner);
    void *owner;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned refs;
    bool stopping, up;
    unsigned ups;      /* how often it has come up */
    uint64_t writable; /* counts the upstream's events of that name */
    char last_why[256];
    struct trie *interests;
    struct interest *by_id;     /* uthash */
    struct interest *due;       /* utlist: to be asked now */
    struct interest *later;     /* utlist: to be asked at refresh_at */
    struct interest *lingering; /* utlist, by drop_at */
    size_t n_lingering;
    unsigned asking; /* how many are INTEREST_ASKED */
    uint32_t last_id;
    struct publish *first, **last; /* waiting */
    size_t n_waiting, waiting_bytes;
    struct shard *shards[HUB_SHARDS_MAX];
    unsigned n_shards;
};

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

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const struct hub_settings *hub_settings(const struct hub *h)
{
    return h->settings;
}

static struct text interest_filter(const struct interest *i)
{
    return (struct text){i->text, i->n};
}

/* Into this list and out of any other. */
static void list_put(struct hub *h, struct interest *i, struct interest **list)
{
    if (i->list == list)
        return;
    if (i->list)
        DL_DELETE(*i->list, i);
    h->n_lingering -= i->list == &h->lingering;
    h->n_lingering += list == &h->lingering;
    i->list = list;
    if (list)
        DL_APPEND(*list, i);
}

static void state_set(struct hub *h, struct interest *i,
                      enum interest_state state)
{
    h->asking -= i->state == INTEREST_ASKED;
    h->asking += state == INTEREST_ASKED;
    i->state = state;
}

static void to_shard(struct hub *h, unsigned shard, enum event_kind kind,
                     uint32_t filter_id, int value)
{
    struct event *e = event_new(kind);
    if (!e)
        return;
    e->filter_id = filter_id;
    e->value = value;
    shard_push(h->shards[shard], e);
}

static void to_shards_of(struct hub *h, const struct interest *i,
                         enum event_kind kind, int value)
{
    for (unsigned s = 0; s < h->n_shards; s++)
        if (i->shards[s / 8] & 1 << s % 8)
            to_shard(h, s, kind, i->id, value);
}

/* ---- publishes --------------------------------------------------------- */

struct publish *publish_new(struct text topic, struct text payload, int qos,
                            bool retain)
{
    struct publish *p = calloc(1, sizeof *p + topic.n + payload.n);
    if (!p)
        return NULL;
    memcpy(p->bytes, topic.p, topic.n);
    if (payload.n > 0)
        memcpy(p->bytes + topic.n, payload.p, payload.n);
    p->topic = (struct text){p->bytes, topic.n};
    p->payload = (struct text){p->bytes + topic.n, payload.n};
    p->qos = qos;
    p->retain = retain;
    return p;
}

static size_t publish_size(const struct publish *p)
{
    return sizeof *p + p->topic.n + p->payload.n;
}

struct publisher *publisher_new(unsigned shard, uint64_t client)
{
    struct publisher *by = calloc(1, sizeof *by);
    if (by) {
        by->refs = 1;
        by->shard = shard;
        by->client = client;
    }
    return by;
}

static void publisher_unref(struct publisher *by)
{
    if (--by->refs == 0)
        free(by);
}

void publisher_close(struct hub *h, struct publisher *by)
{
    pthread_mutex_lock(&h->lock);
    by->client = 0;
    publisher_unref(by);
    pthread_mutex_unlock(&h->lock);
}

static bool share_used(const struct publisher *by, unsigned part)
{
    return by->n >= HUB_SHARE_MAX / part || by->bytes >= HUB_SHARE_BYTES / part;
}

/* One more of a session. With the lock. */
static void share_take(struct publish *p)
{
    if (!p->by)
        return;
    p->by->refs++;
    p->by->n++;
    p->by->bytes += publish_size(p);
}

static void publish_free(struct hub *h, struct publish *p)
{
    struct publisher *by = p->by;

    if (by) {
        by->n--;
        by->bytes -= publish_size(p);
        struct event *e = by->crowded && by->client && !share_used(by, 2)
                              ? event_new(EVENT_ROOM)
                              : NULL;
        if (e) {
            by->crowded = false;
            e->client = by->client;
            shard_push(h->shards[by->shard], e);
        }
        publisher_unref(by);
    }
    free(p);
}

/* Tell the publisher, if it wants to know; free. With the lock. */
static void publish_end(struct hub *h, struct publish *p, int reason)
{
    if (reason != 0)
        h->host->add(h->settings->bridge, COUNTER_PUBLISH_FAILED, 1);
    bool tell = p->by && p->by->client && p->has_id;
    struct event *e = tell ? event_new(EVENT_ACK) : NULL;
    if (e) {
        e->client = p->by->client;
        e->id = p->id;
        e->has_id = p->has_id;
        e->qos = p->qos;
        e->value = reason;
        shard_push(h->shards[p->by->shard], e);
    }
    publish_free(h, p);
}

int hub_publish(struct hub *h, struct publish *p)
{
    const struct hub_settings *s = h->settings;
    size_t n = publish_size(p);
    bool crowded = false;

    pthread_mutex_lock(&h->lock);
    bool room = h->n_waiting < s->hold_max &&
                h->waiting_bytes + n <= s->hold_bytes &&
                (h->up || (s->hold_ms > 0 && !(p->by && share_used(p->by, 1))));
    if (room) {
        share_take(p);
        p->held_at = now_s();
        *h->last = p;
        h->last = &p->next;
        h->n_waiting++;
        h->waiting_bytes += n;
        crowded = h->up && p->by && share_used(p->by, 1);
        if (crowded)
            p->by->crowded = true;
        pthread_cond_signal(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
    if (!room)
        free(p);
    return room ? crowded : -1;
}

static struct publish *take_publish(struct hub *h)
{
    struct publish *p = h->first;
    h->first = p->next;
    if (!h->first)
        h->last = &h->first;
    p->next = NULL;
    h->n_waiting--;
    h->waiting_bytes -= publish_size(p);
    return p;
}

static void return_publish(struct hub *h, struct publish *p)
{
    p->next = h->first;
    if (!h->first)
        h->last = &p->next;
    h->first = p;
    h->n_waiting++;
    h->waiting_bytes += publish_size(p);
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
            to_shard(h, s, EVENT_STATE, 0, up);
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

static bool refused(const struct interest *i)
{
    return i->granted >= 0x80;
}

/* Whether the broker's answer is to the QoS that is wanted by now. */
static bool settled(const struct interest *i)
{
    return i->state == INTEREST_ANSWERED &&
           (i->asked_qos >= i->qos || refused(i));
}

static void on_subscribed(struct hub *h, uint32_t filter_id, int granted)
{
    struct interest *i;

    pthread_mutex_lock(&h->lock);
    HASH_FIND(hh, h->by_id, &filter_id, sizeof filter_id, i);
    /* Of the connection before, it is no answer. */
    if (i && i->state != INTEREST_NEW) {
        state_set(h, i, INTEREST_ANSWERED);
        i->granted = granted;
        if (settled(i))
            to_shards_of(h, i, EVENT_GRANTED, granted);
        else if (i->refs > 0)
            list_put(h, i, &h->due);
        if (h->due)
            pthread_cond_signal(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
}

/* Which loops a message goes to. Where the broker sends one copy for each
 * filter that matches (MQTT 5), the one that counts came for the filter with
 * the highest granted QoS, and of those for the oldest. */
struct routing {
    uint8_t shards[HUB_SHARDS_MAX / 8];
    uint32_t best; /* 0: none */
    int granted;
};

static void route_one(void *ctx, void *value)
{
    struct routing *r = ctx;
    const struct interest *i = value;

    for (size_t b = 0; b < sizeof r->shards; b++)
        r->shards[b] |= i->shards[b];
    /* One that is asked for again is still in force. */
    if (i->granted < 0 || refused(i))
        return;
    if (r->best == 0 || i->granted > r->granted ||
        (i->granted == r->granted && i->id < r->best)) {
        r->best = i->id;
        r->granted = i->granted;
    }
}

static void on_message(struct hub *h, struct message *m)
{
    struct routing r = {0};

    h->host->add(h->settings->bridge, COUNTER_MESSAGES_IN, 1);
    pthread_mutex_lock(&h->lock);
    trie_match(h->interests, m->topic, route_one, &r);
    bool copy = !m->retained && m->filter_id != 0 && r.best != 0 &&
                m->filter_id != r.best;
    for (unsigned s = 0; s < h->n_shards && !copy; s++) {
        struct event *e =
            r.shards[s / 8] & 1 << s % 8 ? event_new(EVENT_MESSAGE) : NULL;
        if (!e)
            continue;
        e->message = message_ref(m);
        e->filter_id = m->filter_id;
        shard_push(h->shards[s], e);
    }
    pthread_mutex_unlock(&h->lock);
    message_unref(m);
}

static const struct upstream_events events = {
    .state = on_state,
    .message = on_message,
    .published = on_published,
    .writable = on_writable,
    .subscribed = on_subscribed,
};

/* ---- interests --------------------------------------------------------- */

static struct interest *interest_new(struct hub *h, struct text filter)
{
    void **at = trie_at(h->interests, filter);
    struct interest *i = at ? calloc(1, sizeof *i + filter.n) : NULL;

    if (!i) {
        if (at)
            trie_remove(h->interests, filter);
        return NULL;
    }
    i->id = ++h->last_id;
    i->granted = -1;
    i->n = filter.n;
    memcpy(i->text, filter.p, filter.n);
    HASH_ADD(hh, h->by_id, id, sizeof i->id, i);
    *at = i;
    return i;
}

/* Have the broker asked, if it must be. */
static void ask_for(struct hub *h, struct interest *i, bool retained)
{
    if (i->state == INTEREST_NEW ||
        (i->state == INTEREST_ANSWERED && !settled(i))) {
        list_put(h, i, &h->due);
    } else if (retained && !refused(i) && i->refresh_at == 0) {
        i->refresh_at = i->asked_at + HUB_REFRESH_MS / 1000.;
        list_put(h, i, &h->later);
    } else {
        return;
    }
    pthread_cond_signal(&h->wake);
}

int hub_want(struct hub *h, unsigned shard, struct text filter, int qos,
             bool retained, uint32_t *id)
{
    int answer = -2;

    pthread_mutex_lock(&h->lock);
    void **at = trie_find(h->interests, filter);
    struct interest *i = at && *at ? *at : interest_new(h, filter);
    if (i) {
        uint8_t bit = (uint8_t)(1 << shard % 8);
        if (!(i->shards[shard / 8] & bit)) {
            i->shards[shard / 8] |= bit;
            i->refs++;
        }
        if (i->list == &h->lingering)
            list_put(h, i, NULL);
        if (qos > i->qos)
            i->qos = qos;
        *id = i->id;
        answer = settled(i) ? i->granted : -1;
        ask_for(h, i, retained);
    }
    pthread_mutex_unlock(&h->lock);
    return answer;
}

/* Nobody wants it. One that is refused does not become older by being asked
 * for: else who tries again and again would never see that it is allowed. */
static void linger(struct hub *h, struct interest *i)
{
    double now = now_s();

    i->drop_at = now + HUB_LINGER_MS / 1000.;
    i->refresh_at = 0;
    list_put(h, i, &h->lingering);
    if (refused(i) || i->state == INTEREST_NEW) {
        i->drop_at = refused(i) ? i->asked_at + HUB_REFUSED_MS / 1000. : now;
        DL_DELETE(h->lingering, i);
        DL_PREPEND(h->lingering, i);
    }
    pthread_cond_signal(&h->wake);
}

void hub_unwant(struct hub *h, unsigned shard, struct text filter)
{
    pthread_mutex_lock(&h->lock);
    void **at = trie_find(h->interests, filter);
    struct interest *i = at ? *at : NULL;
    uint8_t bit = (uint8_t)(1 << shard % 8);
    if (i && i->shards[shard / 8] & bit) {
        i->shards[shard / 8] &= (uint8_t)~bit;
        if (--i->refs == 0)
            linger(h, i);
    }
    pthread_mutex_unlock(&h->lock);
}

bool hub_is_up(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool up = h->up;
    pthread_mutex_unlock(&h->lock);
    return up;
}

/* All filters are new to a broker that comes back. */
static void want_again(void *ctx, void *value)
{
    struct hub *h = ctx;
    struct interest *i = value;
    i->again = i->again || i->state != INTEREST_NEW;
    state_set(h, i, INTEREST_NEW);
    i->granted = -1;
    i->refresh_at = 0;
    if (i->refs > 0)
        list_put(h, i, &h->due);
}

/* ---- the thread -------------------------------------------------------- */

/* Those of h->later whose time has come become due. Returns when the next
 * one's will have; 0: none. */
static double serve_later(struct hub *h)
{
    double now = now_s(), next = 0;
    struct interest *i, *after;

    DL_FOREACH_SAFE(h->later, i, after)
    {
        if (i->refresh_at <= now)
            list_put(h, i, &h->due);
        else if (next == 0 || i->refresh_at < next)
            next = i->refresh_at;
    }
    return next;
}

/* Subscribe what is due; the lock is given up for the calls. */
static void serve_due(struct hub *h)
{
    struct interest *i;

    for (int n = 0;
         n < ASKS_A_TURN && h->up && h->asking < ASKING_MAX && (i = h->due);
         n++) {
        list_put(h, i, NULL);
        state_set(h, i, INTEREST_ASKED);
        i->asked_qos = i->qos;
        i->asked_at = now_s();
        i->refresh_at = 0;
        to_shards_of(h, i, EVENT_EPOCH, i->again);
        i->again = false;
        int qos = i->qos;
        pthread_mutex_unlock(&h->lock);
        h->settings->ops->subscribe(h->upstream, interest_filter(i), i->id,
                                    qos);
        pthread_mutex_lock(&h->lock);
    }
}

static bool due_now(const struct hub *h)
{
    return h->up && h->due && h->asking < ASKING_MAX;
}

/* Give up what nobody has wanted for long; also while the broker is away,
 * which then need not be told. Returns when the next one is; 0: none. */
static double serve_lingering(struct hub *h)
{
    struct interest *i;
    double now = now_s();

    while ((i = h->lingering) &&
           (i->drop_at <= now || h->n_lingering > LINGERING_MAX)) {
        struct text filter = interest_filter(i);
        bool known = h->up && i->state != INTEREST_NEW && !refused(i);
        list_put(h, i, NULL);
        state_set(h, i, INTEREST_NEW);
        *trie_find(h->interests, filter) = NULL;
        trie_remove(h->interests, filter);
        HASH_DEL(h->by_id, i);
        pthread_mutex_unlock(&h->lock);
        if (known)
            h->settings->ops->unsubscribe(h->upstream, filter, i->id);
        free(i);
        pthread_mutex_lock(&h->lock);
    }
    return i ? i->drop_at : 0;
}

/* Hand over publishes until the window is full: true. */
static bool serve_publishes(struct hub *h)
{
    while (h->up && h->first) {
        struct publish *p = take_publish(h);
        uint64_t writable = h->writable;
        pthread_mutex_unlock(&h->lock);
        int full = h->settings->ops->publish(h->upstream, p, p->topic,
                                             p->payload, p->qos, p->retain);
        pthread_mutex_lock(&h->lock);
        if (!full)
            continue;
        return_publish(h, p);
        if (writable == h->writable)
            return true;
    }
    return false;
}

/* What has waited for the broker for too long fails. Returns when the next
 * would; 0: none. */
static double serve_held(struct hub *h)
{
    double patience = h->settings->hold_ms / 1000.;

    while (!h->up && h->first && h->first->held_at + patience <= now_s())
        publish_end(h, take_publish(h), -1);
    return !h->up && h->first ? h->first->held_at + patience : 0;
}

static double earlier(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

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
            trie_each(h->interests, want_again, h);
        ups = h->ups;
        bool was_up = h->up;
        uint64_t writable = h->writable;
        double next = serve_later(h);
        serve_due(h);
        next = earlier(next, serve_lingering(h));
        bool full = serve_publishes(h);
        next = earlier(next, serve_held(h));
        pthread_mutex_unlock(&h->lock);
        uint32_t ms = h->settings->ops->tick(h->upstream);
        pthread_mutex_lock(&h->lock);
        if (ms != UINT32_MAX)
            next = earlier(next, now_s() + ms / 1000.);
        bool news = h->up != was_up || h->ups != ups ||
                    h->writable != writable || due_now(h) ||
                    (h->up && h->first && !full);
        if (!h->stopping && !news)
            sleep_until(h, next);
    }
}

static void free_interest(void *ctx, void *value)
{
    (void)ctx;
    free(value);
}

static void hub_free(struct hub *h)
{
    for (unsigned i = 0; i < h->n_shards; i++)
        shard_free(h->shards[i]);
    HASH_CLEAR(hh, h->by_id);
    if (h->interests) {
        trie_each(h->interests, free_interest, NULL);
        trie_free(h->interests);
    }
    while (h->first) {
        struct publish *p = take_publish(h);
        if (p->by)
            publisher_unref(p->by);
        free(p);
    }
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
