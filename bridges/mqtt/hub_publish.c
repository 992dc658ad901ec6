/* SPDX-License-Identifier: Apache-2.0 */
/* hub_publish.c - publishes on their way to the broker: a queue that is bounded
 * altogether, for each session and in time. */
#include "hub_parts.h"

#include <stdlib.h>

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

/* Tell the publisher, if it wants to know; free. */
void publish_end(struct hub *h, struct publish *p, int reason)
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
        p->held_at = hub_now();
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

/* ---- on the hub's thread ----------------------------------------------- */

bool publishes_serve(struct hub *h)
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

double publishes_expire(struct hub *h)
{
    double patience = h->settings->hold_ms / 1000.;

    while (!h->up && h->first && h->first->held_at + patience <= hub_now())
        publish_end(h, take_publish(h), -1);
    return !h->up && h->first ? h->first->held_at + patience : 0;
}

void publishes_fini(struct hub *h)
{
    while (h->first) {
        struct publish *p = take_publish(h);
        if (p->by)
            publisher_unref(p->by);
        free(p);
    }
}
