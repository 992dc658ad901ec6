/* SPDX-License-Identifier: Apache-2.0 */
/* topics_requests.c - what a session asks for, and what becomes of it. */
#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static const struct gw_host *host_of(const struct client *c)
{
    return c->route->host;
}

/* ---- answers ----------------------------------------------------------- */

/* Short answers pass the queue of messages: they are few, bounded by what the
 * client asks, and a client that does not read is paused. */
void client_answer(struct client *c, const char *text, size_t n)
{
    if (c->dialect == DIALECT_RAW || c->closing || n == 0)
        return;
    if (c->shard->several)
        host_of(c)->gather(c->session);
    if (host_of(c)->send(c->session, GW_TEXT, (const uint8_t *)text, n,
                         false) == GW_FULL) {
        c->full = true;
        host_of(c)->pause(c->session);
    }
}

static void ack(struct client *c, bool has_id, uint32_t id, int qos)
{
    char out[ENVELOPE_ANSWER_MAX];
    if (has_id)
        client_answer(c, out, envelope_ack(out, sizeof out, id, qos));
}

void client_refuse(struct client *c, bool has_id, uint32_t id,
                   enum envelope_error code, const char *why)
{
    char out[ENVELOPE_ANSWER_MAX];
    if (code == ERR_FORBIDDEN)
        host_of(c)->count(c->session, COUNTER_DENIED, 1);
    client_answer(c, out, envelope_err(out, sizeof out, has_id, id, code, why));
}

/* ---- what comes for it ------------------------------------------------- */

bool client_may_hear(const struct client *c, struct text topic)
{
    return grants_deliver(c->grants, topic);
}

/* The time of "every" is over: what has come meanwhile goes, and the next one
 * waits again; or nothing has, and the next one goes at once. */
static void held_due(void *arg)
{
    struct subscription *sub = arg;
    struct message *m = sub->held;

    sub->timer = NULL;
    sub->held = NULL;
    if (!m)
        return;
    sub->timer =
        host_of(sub->client)
            ->timer(sub->client->session, sub->every_ms, held_due, sub);
    deliver(sub->client, sub, m, sub->held_retained);
    message_unref(m);
}

/* With "every" a subscription hears its newest message, at most that often:
 * while a timer runs messages replace each other, and it delivers the last. */
static void message_every(struct client *c, struct subscription *sub,
                          struct message *m)
{
    if (!sub->timer) {
        deliver(c, sub, m, m->retained);
        sub->timer =
            host_of(c)->timer(c->session, sub->every_ms, held_due, sub);
        return;
    }
    message_unref(sub->held);
    sub->held = message_ref(m);
    sub->held_retained = m->retained;
}

void client_message(struct client *c, struct subscription *sub,
                    struct message *m)
{
    if (sub->every_ms > 0)
        message_every(c, sub, m);
    else
        deliver(c, sub, m, m->retained);
}

/* Those who still wait for the broker's word on a filter do so in vain. */
static void refuse_waiting(struct subscription *sub, enum envelope_error code,
                           const char *why)
{
    for (unsigned i = 0; i < sub->n_ids; i++)
        client_refuse(sub->client, true, sub->ids[i], code, why);
    if (sub->n_ids == 0)
        client_refuse(sub->client, false, 0, code, why);
    sub->n_ids = 0;
    sub->ack_due = false;
}

void client_unsubscribe(struct client *c, struct subscription *sub)
{
    deliver_forget(c, sub);
    c->n_subs--;
    shard_unsubscribe(c->shard, sub);
}

/* It would never hear anything, and there is no other way to say so. */
static void raw_refused(struct client *c, const char *why)
{
    c->refused = true;
    if (!c->joined || c->closing)
        return;
    c->closing = true;
    host_of(c)->close(c->session, GW_POLICY, CLOSE_REFUSED, why);
}

/* A refusal also comes without having been asked for: when the broker was
 * away and has changed its mind. */
void client_granted(struct subscription *sub, int granted)
{
    static const char why[] = "the broker refuses this filter";
    struct client *c = sub->client;

    if (granted >= 0x80) {
        refuse_waiting(sub, ERR_FORBIDDEN, why);
        client_unsubscribe(c, sub);
        if (c->dialect == DIALECT_RAW)
            raw_refused(c, why);
    } else if (sub->ack_due) {
        if (granted < sub->qos)
            sub->qos = granted;
        sub->ack_due = false;
        for (unsigned i = 0; i < sub->n_ids; i++)
            ack(c, true, sub->ids[i], sub->qos);
        sub->n_ids = 0;
    }
}

void client_published(struct client *c, uint32_t id, int qos, int reason)
{
    if (reason == 0)
        ack(c, true, id, qos);
    else
        client_refuse(c, true, id,
                      reason == 0x87 ? ERR_FORBIDDEN : ERR_UNAVAILABLE,
                      reason == 0x87 ? "the broker refuses this publish"
                                     : "the broker could not be reached");
}

void client_room(struct client *c)
{
    if (!c->crowded)
        return;
    c->crowded = false;
    if (!c->full)
        host_of(c)->resume(c->session);
}

/* While the broker is away nothing is waited for: what has no room fails. */
void client_state(struct client *c, bool up)
{
    if (!up)
        client_room(c);
    char out[ENVELOPE_ANSWER_MAX];
    client_answer(c, out, envelope_state(out, sizeof out, up));
}

/* ---- subscribing ------------------------------------------------------- */

static struct subscription *sub_find(struct client *c, struct text filter)
{
    struct subscription *sub;
    DL_FOREACH2(c->subs, sub, next_of_client)
    if (sub->filter->n == filter.n &&
        memcmp(sub->filter->text, filter.p, filter.n) == 0)
        return sub;
    return NULL;
}

/* Returns what went wrong, or ERR_COUNT. */
static enum envelope_error sub_check(const struct client *c, struct text filter,
                                     enum grant *grant, const char **why)
{
    struct text inner;

    *why = "not a topic filter";
    if (!topic_filter_valid(filter))
        return ERR_BAD_TOPIC;
    *why = "shared subscriptions are not served here";
    if (topic_is_shared(filter, &inner))
        return ERR_FORBIDDEN;
    *why = "not allowed here";
    *grant = grants_subscribe(c->grants, filter);
    return *grant == GRANT_NO ? ERR_FORBIDDEN : ERR_COUNT;
}

static struct subscription *sub_new(struct client *c, const struct envelope *e,
                                    const struct subscription *old)
{
    struct subscription *sub = calloc(1, sizeof *sub);
    if (!sub)
        return NULL;
    sub->client = c;
    sub->qos = e->qos;
    sub->retain =
        (uint8_t)(e->retained == RETAIN_NEW && old ? RETAIN_NONE : e->retained);
    sub->ack_due = true;
    if (old) { /* who waits for the old one will hear of this one */
        sub->n_ids = old->n_ids;
        memcpy(sub->ids, old->ids, sizeof sub->ids);
    }
    if (e->has_id)
        sub->ids[sub->n_ids++] = e->id;
    sub->every_ms = e->every_ms;
    return sub;
}

enum envelope_error client_subscribe(struct client *c, const struct envelope *e,
                                     const char **why)
{
    enum grant grant = GRANT_YES;
    enum envelope_error bad = sub_check(c, e->topic, &grant, why);
    struct subscription *old = bad == ERR_COUNT ? sub_find(c, e->topic) : NULL;

    if (bad != ERR_COUNT)
        return bad;
    *why = "too many subscriptions";
    if ((!old && c->n_subs >= c->route->max_subscriptions) ||
        (old && e->has_id && old->n_ids == SUB_IDS_MAX))
        return ERR_RATE;
    *why = "out of memory";
    struct subscription *sub = sub_new(c, e, old);
    if (!sub)
        return ERR_INTERNAL;
    sub->checked = grant == GRANT_CHECKED;
    c->n_subs++;
    int granted = shard_subscribe(c->shard, sub, e->topic);
    if (granted == -2) {
        c->n_subs--;
        return ERR_INTERNAL;
    }
    if (old) /* the same again replaces it, as in MQTT */
        client_unsubscribe(c, old);
    if (granted >= 0)
        client_granted(sub, granted);
    return ERR_COUNT;
}

static void op_sub(struct client *c, const struct envelope *e)
{
    const char *why;
    enum envelope_error bad = client_subscribe(c, e, &why);
    if (bad != ERR_COUNT)
        client_refuse(c, e->has_id, e->id, bad, why);
}

static void op_unsub(struct client *c, const struct envelope *e)
{
    struct subscription *sub = sub_find(c, e->topic);
    if (!sub) {
        client_refuse(c, e->has_id, e->id, ERR_BAD_TOPIC, "not subscribed");
        return;
    }
    if (sub->ack_due)
        refuse_waiting(sub, ERR_UNAVAILABLE, "unsubscribed meanwhile");
    client_unsubscribe(c, sub);
    ack(c, e->has_id, e->id, -1);
}

/* ---- publishing -------------------------------------------------------- */

enum envelope_error client_publish(struct client *c, struct text topic,
                                   struct text payload, int qos, bool retain,
                                   const struct envelope *e, const char **why)
{
    *why = "not a topic";
    if (!topic_name_valid(topic))
        return ERR_BAD_TOPIC;
    *why = "not allowed here";
    if (grants_publish(c->grants, topic) != GRANT_YES)
        return ERR_FORBIDDEN;
    *why = "the payload is too large";
    if (payload.n > c->route->max_payload)
        return ERR_TOO_LARGE;
    *why = "out of memory";
    struct publish *p = publish_new(topic, payload, qos, retain);
    if (!p)
        return ERR_INTERNAL;
    p->by = c->publisher;
    if (e && e->has_id) {
        p->has_id = true;
        p->id = e->id;
    }
    *why = "the broker is away, or too many publishes wait for it";
    int taken = hub_publish(c->hub, p);
    if (taken < 0)
        return ERR_UNAVAILABLE;
    if (taken > 0) {
        c->crowded = true;
        host_of(c)->pause(c->session);
    }
    host_of(c)->count(c->session, COUNTER_PUBLISHED, 1);
    return ERR_COUNT;
}

static void op_pub(struct client *c, const struct envelope *e)
{
    const char *why;
    enum envelope_error bad =
        client_publish(c, e->topic, e->payload, e->qos, e->retain, e, &why);
    if (bad != ERR_COUNT)
        client_refuse(c, e->has_id, e->id, bad, why);
}

/* ---- requests ---------------------------------------------------------- */

void client_request(struct client *c, const struct envelope *e)
{
    char out[ENVELOPE_ANSWER_MAX];

    switch (e->op) {
    case OP_SUB:
        op_sub(c, e);
        break;
    case OP_UNSUB:
        op_unsub(c, e);
        break;
    case OP_PUB:
        op_pub(c, e);
        break;
    case OP_AUTH:
        client_refuse(c, e->has_id, e->id, ERR_FORBIDDEN,
                      "no tokens are taken here");
        break;
    case OP_PING:
        client_answer(c, out, envelope_pong(out, sizeof out, e->has_id, e->id));
        break;
    case OP_COUNT:
        break;
    }
}
