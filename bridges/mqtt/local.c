/* SPDX-License-Identifier: Apache-2.0 */
/* local.c - an upstream without a broker: what is published comes back to
 * whoever subscribes, in this process; retained messages are kept, bounded. */
#include "trie.h"
#include "upstream.h"

#include <stdlib.h>
#include <utlist.h>

/* A retained message, the oldest one first in the list. */
struct kept {
    struct kept *prev, *next;
    struct message *message;
};

struct upstream {
    struct hub *hub;
    const struct upstream_events *events;
    const struct upstream_settings *settings;
    struct trie *names; /* of struct kept; names are filters, too */
    struct kept *kept;  /* utlist */
    size_t n, bytes;
};

static size_t kept_size(const struct kept *k)
{
    return sizeof *k + k->message->topic.n + k->message->payload.n;
}

static void forget(struct upstream *u, struct kept *k)
{
    struct text name = k->message->topic;

    *trie_find(u->names, name) = NULL;
    trie_remove(u->names, name);
    DL_DELETE(u->kept, k);
    u->n--;
    u->bytes -= kept_size(k);
    u->settings->host->add(u->settings->bridge, COUNTER_RETAINED, -1);
    message_unref(k->message);
    free(k);
}

/* MQTT 5.0 section 3.3.1.3: an empty payload removes what is there. Above
 * the bounds the oldest go. */
static void keep(struct upstream *u, const struct message *m)
{
    void **at = trie_find(u->names, m->topic);
    if (at && *at)
        forget(u, *at);
    if (m->payload.n == 0)
        return;
    struct kept *k = calloc(1, sizeof *k);
    at = k ? trie_at(u->names, m->topic) : NULL;
    struct message *copy =
        at ? message_new(u->settings->host, m->topic, m->payload, m->qos, true)
           : NULL;
    if (!copy) {
        if (at)
            trie_remove(u->names, m->topic);
        free(k);
        return;
    }
    k->message = copy;
    *at = k;
    DL_APPEND(u->kept, k);
    u->n++;
    u->bytes += kept_size(k);
    u->settings->host->add(u->settings->bridge, COUNTER_RETAINED, 1);
    while (u->kept && (u->n > u->settings->retained_max ||
                       u->bytes > u->settings->retained_bytes))
        forget(u, u->kept);
}

static struct upstream *local_open(struct hub *h,
                                   const struct upstream_events *ev,
                                   const struct upstream_settings *s, char *err,
                                   size_t cap)
{
    struct upstream *u = calloc(1, sizeof *u);
    if (!u || !(u->names = trie_new())) {
        free(u);
        if (cap > 0)
            err[0] = '\0';
        return NULL;
    }
    u->hub = h;
    u->events = ev;
    u->settings = s;
    ev->state(h, true, NULL); /* and for ever */
    return u;
}

static void local_subscribe(struct upstream *u, struct text filter,
                            uint32_t filter_id, int qos)
{
    struct kept *k;

    u->events->subscribed(u->hub, filter_id, qos);
    DL_FOREACH(u->kept, k)
    {
        struct message *m = k->message;
        if (!topic_matches(filter, m->topic))
            continue;
        struct message *copy =
            message_new(u->settings->host, m->topic, m->payload, m->qos, true);
        if (!copy)
            continue;
        copy->filter_id = filter_id;
        u->events->message(u->hub, copy);
    }
}

static void local_unsubscribe(struct upstream *u, struct text filter,
                              uint32_t filter_id)
{
    (void)u, (void)filter, (void)filter_id;
}

static int local_publish(struct upstream *u, void *token, struct text topic,
                         struct text payload, int qos, bool retain)
{
    struct message *m =
        message_new(u->settings->host, topic, payload, qos, false);

    if (m) {
        if (retain)
            keep(u, m);
        u->events->message(u->hub, m);
    }
    u->events->published(u->hub, token, m ? 0 : -1);
    return 0;
}

static uint32_t local_tick(struct upstream *u)
{
    (void)u;
    return UINT32_MAX;
}

static void local_close(struct upstream *u)
{
    while (u->kept)
        forget(u, u->kept);
    trie_free(u->names);
    free(u);
}

const struct upstream_ops upstream_local = {
    .name = "local",
    .open = local_open,
    .subscribe = local_subscribe,
    .unsubscribe = local_unsubscribe,
    .publish = local_publish,
    .tick = local_tick,
    .close = local_close,
};
