/* SPDX-License-Identifier: Apache-2.0 */
/* hub_filters.c - what somebody wants: subscribed once for all, asked for again
 * for retained messages, given up a while after its last use. And who hears a
 * message. */
#include "hub_parts.h"

#include <stdlib.h>
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

/* ---- small things ------------------------------------------------------ */

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

static void to_shards_of(struct hub *h, const struct interest *i,
                         enum event_kind kind, int value)
{
    for (unsigned s = 0; s < h->n_shards; s++)
        if (i->shards[s / 8] & 1 << s % 8)
            hub_tell(h, s, kind, i->id, value);
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

void filters_subscribed(struct hub *h, uint32_t filter_id, int granted)
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

/* ---- messages ---------------------------------------------------------- */

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

void filters_message(struct hub *h, struct message *m)
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
    double now = hub_now();

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

/* ---- on the hub's thread ----------------------------------------------- */

/* Those of h->later whose time has come become due. Returns when the next
 * one's will have; 0: none. */
static double serve_later(struct hub *h)
{
    double now = hub_now(), next = 0;
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
        i->asked_at = hub_now();
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

bool filters_due(const struct hub *h)
{
    return h->up && h->due && h->asking < ASKING_MAX;
}

/* Give up what nobody has wanted for long; also while the broker is away,
 * which then need not be told. Returns when the next one is; 0: none. */
static double serve_lingering(struct hub *h)
{
    struct interest *i;
    double now = hub_now();

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

static void free_interest(void *ctx, void *value)
{
    (void)ctx;
    free(value);
}

double filters_serve(struct hub *h)
{
    double next = serve_later(h);
    serve_due(h);
    return earlier(next, serve_lingering(h));
}

void filters_anew(struct hub *h)
{
    trie_each(h->interests, want_again, h);
}

void filters_fini(struct hub *h)
{
    HASH_CLEAR(hh, h->by_id);
    if (!h->interests)
        return;
    trie_each(h->interests, free_interest, NULL);
    trie_free(h->interests);
}
