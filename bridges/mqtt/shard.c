/* SPDX-License-Identifier: Apache-2.0 */
/* shard.c - from the hub's events to the sessions of one worker. */
#include "shard.h"
#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- the queue --------------------------------------------------------- */

struct event *event_new(enum event_kind kind)
{
    struct event *e = calloc(1, sizeof *e);
    if (e)
        e->kind = kind;
    return e;
}

static void event_free(struct event *e)
{
    message_unref(e->message);
    free(e);
}

static size_t event_bytes(const struct event *e)
{
    return e->message ? e->message->topic.n + e->message->payload.n : 0;
}

static void shard_wake(void *arg);

void shard_push(struct shard *s, struct event *e)
{
    size_t n = event_bytes(e);
    bool wake = false;

    pthread_mutex_lock(&s->lock);
    bool room = !e->message || (s->n_events < SHARD_QUEUE_MAX &&
                                s->n_bytes + n <= SHARD_QUEUE_BYTES);
    if (room) {
        *s->last = e;
        s->last = &e->next;
        s->n_events++;
        s->n_bytes += n;
        wake = !s->posted && hub_hold(s->hub);
        s->posted = s->posted || wake;
    }
    pthread_mutex_unlock(&s->lock);

    if (!room) {
        s->host->add(hub_settings(s->hub)->bridge, COUNTER_DROPPED, 1);
        event_free(e);
    } else if (wake && !s->host->post(s->worker, shard_wake, s)) {
        hub_unhold_locked(s->hub); /* the worker is stopping */
    }
}

/* At most SHARD_TURN events; *more says whether there are others. */
static struct event *take_events(struct shard *s, bool *more)
{
    pthread_mutex_lock(&s->lock);
    struct event *first = s->first, **cut = &s->first;
    for (int i = 0; i < SHARD_TURN && *cut; i++) {
        s->n_events--;
        s->n_bytes -= event_bytes(*cut);
        cut = &(*cut)->next;
    }
    struct event *rest = *cut;
    *cut = NULL;
    s->first = rest;
    if (!rest)
        s->last = &s->first;
    *more = s->posted = rest != NULL;
    pthread_mutex_unlock(&s->lock);
    return first;
}

/* ---- fan-out ----------------------------------------------------------- */

/* The sessions that a message goes to, each once, with its best
 * subscription. */
struct audience {
    struct shard *shard;
    const struct message *message;
};

static void offer(struct audience *a, struct subscription *sub)
{
    struct client *c = sub->client;

    if (sub->checked && !client_may_hear(c, a->message->topic))
        return;
    if (c->mark != a->shard->mark) {
        c->mark = a->shard->mark;
        c->best = sub;
        LL_PREPEND2(a->shard->hearing, c, next_hearing);
    } else if (sub->qos > c->best->qos ||
               (sub->every_ms == 0 && c->best->every_ms > 0)) {
        c->best = sub;
    }
}

static void offer_live(void *ctx, void *value)
{
    const struct local_filter *f = value;
    struct subscription *sub;
    DL_FOREACH2(f->subs, sub, next_of_filter)
    offer(ctx, sub);
}

/* Retained messages are for those who wait for them only. */
static void offer_retained(void *ctx, void *value)
{
    const struct local_filter *f = value;
    struct subscription *sub;
    DL_FOREACH2(f->subs, sub, next_of_filter)
    if (sub->retained == RETAINED_COMING)
        offer(ctx, sub);
}

static struct local_filter *filter_by_id(struct shard *s, uint32_t id)
{
    struct local_filter *f;
    HASH_FIND(hh, s->by_id, &id, sizeof id, f);
    return f;
}

static void on_message(struct shard *s, const struct event *e)
{
    struct message *m = e->message;
    struct audience a = {s, m};
    struct client *c, *next;

    s->mark++;
    s->hearing = NULL;
    if (!m->retained) {
        trie_match(s->trie, m->topic, offer_live, &a);
    } else if (e->filter_id != 0) {
        struct local_filter *f = filter_by_id(s, e->filter_id);
        if (f)
            offer_retained(&a, f);
    } else {
        trie_match(s->trie, m->topic, offer_retained, &a);
    }
    for (c = s->hearing; c; c = next) {
        next = c->next_hearing;
        client_message(c, c->best, m);
    }
}

/* ---- other events ------------------------------------------------------ */

static void on_granted(struct shard *s, const struct event *e)
{
    struct local_filter *f = filter_by_id(s, e->filter_id);
    struct subscription *sub, *next;

    if (!f)
        return;
    f->granted = e->value;
    DL_FOREACH_SAFE2(f->subs, sub, next, next_of_filter)
    client_granted(sub, e->value);
}

/* A SUBSCRIBE goes out: who has waited for one gets what it brings. */
static void on_epoch(struct shard *s, const struct event *e)
{
    struct local_filter *f = filter_by_id(s, e->filter_id);
    struct subscription *sub;

    if (!f)
        return;
    DL_FOREACH2(f->subs, sub, next_of_filter)
    {
        bool waits = sub->retained == RETAINED_WAITING ||
                     (e->value && sub->retain == RETAIN_SEND);
        sub->retained = waits ? RETAINED_COMING : RETAINED_NO;
    }
}

static struct client *client_by_id(struct shard *s, uint64_t id)
{
    struct client *c;
    HASH_FIND(hh, s->clients, &id, sizeof id, c);
    return c;
}

static void on_ack(struct shard *s, const struct event *e)
{
    struct client *c = client_by_id(s, e->client);
    if (c)
        client_published(c, e->id, e->qos, e->value);
}

static void on_room(struct shard *s, const struct event *e)
{
    struct client *c = client_by_id(s, e->client);
    if (c)
        client_room(c);
}

static void on_state(struct shard *s, bool up)
{
    struct client *c, *next;
    HASH_ITER(hh, s->clients, c, next)
    client_state(c, up);
}

static void on_event(struct shard *s, const struct event *e)
{
    switch (e->kind) {
    case EVENT_MESSAGE:
        on_message(s, e);
        break;
    case EVENT_GRANTED:
        on_granted(s, e);
        break;
    case EVENT_EPOCH:
        on_epoch(s, e);
        break;
    case EVENT_ACK:
        on_ack(s, e);
        break;
    case EVENT_ROOM:
        on_room(s, e);
        break;
    case EVENT_STATE:
        on_state(s, e->value);
        break;
    }
}

/* What one turn brings a session leaves as one write. */
static void shard_wake(void *arg)
{
    struct shard *s = arg;
    bool more = true;

    if (!s->taken)
        s->taken = take_events(s, &more);
    s->several = s->taken && s->taken->next;
    s->delivered = 0;
    while (s->taken && s->delivered < SHARD_DELIVERED) {
        struct event *e = s->taken;
        s->taken = e->next;
        on_event(s, e);
        event_free(e);
    }
    s->several = false;
    if ((!more && !s->taken) || !s->host->post(s->worker, shard_wake, s))
        hub_unref(s->hub); /* what hub_hold took */
}

/* ---- subscriptions ----------------------------------------------------- */

static struct local_filter *filter_new(struct shard *s, struct text filter)
{
    struct local_filter *f = calloc(1, sizeof *f + filter.n);
    void **at = f ? trie_at(s->trie, filter) : NULL;
    if (!at) {
        free(f);
        return NULL;
    }
    f->n = filter.n;
    memcpy(f->text, filter.p, filter.n);
    f->granted = -1;
    *at = f;
    return f;
}

static void filter_free(struct shard *s, struct local_filter *f)
{
    const struct text filter = {f->text, f->n};

    *trie_find(s->trie, filter) = NULL;
    trie_remove(s->trie, filter);
    if (f->id != 0) {
        HASH_DEL(s->by_id, f);
        hub_unwant(s->hub, s->index, filter);
    }
    free(f);
}

int shard_subscribe(struct shard *s, struct subscription *sub,
                    struct text filter)
{
    void **at = trie_find(s->trie, filter);
    struct local_filter *f = at ? *at : NULL;
    bool fresh = !f;

    if (!f && !(f = filter_new(s, filter))) {
        free(sub);
        return -2;
    }
    uint32_t id;
    bool retained = sub->retain != RETAIN_NONE;
    int answer = hub_want(s->hub, s->index, filter, sub->qos, retained, &id);
    if (answer == -2) {
        if (fresh)
            filter_free(s, f);
        free(sub);
        return -2;
    }
    if (fresh) {
        f->id = id;
        HASH_ADD(hh, s->by_id, id, sizeof f->id, f);
    }
    f->granted = answer;
    sub->filter = f;
    DL_APPEND2(f->subs, sub, prev_of_filter, next_of_filter);
    DL_APPEND2(sub->client->subs, sub, prev_of_client, next_of_client);
    if (retained)
        sub->retained = RETAINED_WAITING;
    return answer;
}

void shard_unsubscribe(struct shard *s, struct subscription *sub)
{
    struct local_filter *f = sub->filter;

    DL_DELETE2(f->subs, sub, prev_of_filter, next_of_filter);
    DL_DELETE2(sub->client->subs, sub, prev_of_client, next_of_client);
    if (sub->timer)
        s->host->timer_cancel(sub->timer);
    message_unref(sub->held);
    free(sub);
    if (!f->subs)
        filter_free(s, f);
}

/* ---- life -------------------------------------------------------------- */

struct shard *shard_new(struct hub *h, const struct gw_host *host,
                        struct gw_worker *w, unsigned index)
{
    struct shard *s = calloc(1, sizeof *s);
    if (!s || !(s->trie = trie_new())) {
        free(s);
        return NULL;
    }
    s->hub = h;
    s->host = host;
    s->worker = w;
    s->index = index;
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void events_free(struct event *e)
{
    for (struct event *next; e; e = next) {
        next = e->next;
        event_free(e);
    }
}

void shard_free(struct shard *s)
{
    events_free(s->taken);
    events_free(s->first);
    trie_free(s->trie);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
