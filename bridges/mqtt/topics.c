/* SPDX-License-Identifier: Apache-2.0 */
/* topics.c - sessions that speak of topics: requests, answers, presence. */
#include "client.h"

#include <stdio.h>
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
static void answer(struct client *c, const char *text, size_t n)
{
    if (c->dialect == DIALECT_RAW || c->closing || n == 0)
        return;
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
        answer(c, out, envelope_ack(out, sizeof out, id, qos));
}

static void refuse(struct client *c, bool has_id, uint32_t id,
                   enum envelope_error code, const char *why)
{
    char out[ENVELOPE_ANSWER_MAX];
    if (code == ERR_FORBIDDEN)
        host_of(c)->count(c->session, COUNTER_DENIED, 1);
    answer(c, out, envelope_err(out, sizeof out, has_id, id, code, why));
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
        refuse(sub->client, true, sub->ids[i], code, why);
    if (sub->n_ids == 0)
        refuse(sub->client, false, 0, code, why);
    sub->n_ids = 0;
    sub->ack_due = false;
}

static void unsubscribe(struct client *c, struct subscription *sub)
{
    deliver_forget(c, sub);
    c->n_subs--;
    shard_unsubscribe(c->shard, sub);
}

/* A refusal also comes without having been asked for: when the broker was
 * away and has changed its mind. */
void client_granted(struct subscription *sub, int granted)
{
    struct client *c = sub->client;

    if (granted >= 0x80) {
        refuse_waiting(sub, ERR_FORBIDDEN, "the broker refuses this filter");
        unsubscribe(c, sub);
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
        refuse(c, true, id, reason == 0x87 ? ERR_FORBIDDEN : ERR_UNAVAILABLE,
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
    answer(c, out, envelope_state(out, sizeof out, up));
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

static void subscribe(struct client *c, const struct envelope *e)
{
    const char *why;
    enum grant grant = GRANT_YES;
    enum envelope_error bad = sub_check(c, e->topic, &grant, &why);
    struct subscription *old = bad == ERR_COUNT ? sub_find(c, e->topic) : NULL;
    bool had = old != NULL;

    if (bad != ERR_COUNT) {
        refuse(c, e->has_id, e->id, bad, why);
        return;
    }
    if ((!had && c->n_subs >= c->route->max_subscriptions) ||
        (had && e->has_id && old->n_ids == SUB_IDS_MAX)) {
        refuse(c, e->has_id, e->id, ERR_RATE, "too many subscriptions");
        return;
    }
    struct subscription *sub = calloc(1, sizeof *sub);
    if (!sub) {
        refuse(c, e->has_id, e->id, ERR_INTERNAL, "out of memory");
        return;
    }
    sub->client = c;
    sub->qos = e->qos;
    sub->retain =
        (uint8_t)(e->retained == RETAIN_NEW && had ? RETAIN_NONE : e->retained);
    sub->checked = grant == GRANT_CHECKED;
    sub->ack_due = true;
    if (had) { /* who waits for the old one will hear of this one */
        sub->n_ids = old->n_ids;
        memcpy(sub->ids, old->ids, sizeof sub->ids);
    }
    if (e->has_id)
        sub->ids[sub->n_ids++] = e->id;
    sub->every_ms = e->every_ms;
    c->n_subs++;
    int granted = shard_subscribe(c->shard, sub, e->topic);
    if (granted == -2) {
        c->n_subs--;
        refuse(c, e->has_id, e->id, ERR_INTERNAL, "out of memory");
        return;
    }
    if (had) /* the same again replaces it, as in MQTT */
        unsubscribe(c, old);
    if (granted >= 0)
        client_granted(sub, granted);
}

static void op_unsub(struct client *c, const struct envelope *e)
{
    struct subscription *sub = sub_find(c, e->topic);
    if (!sub) {
        refuse(c, e->has_id, e->id, ERR_BAD_TOPIC, "not subscribed");
        return;
    }
    if (sub->ack_due)
        refuse_waiting(sub, ERR_UNAVAILABLE, "unsubscribed meanwhile");
    unsubscribe(c, sub);
    ack(c, e->has_id, e->id, -1);
}

/* ---- publishing -------------------------------------------------------- */

static enum envelope_error publish(struct client *c, struct text topic,
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
        publish(c, e->topic, e->payload, e->qos, e->retain, e, &why);
    if (bad != ERR_COUNT)
        refuse(c, e->has_id, e->id, bad, why);
}

/* ---- requests ---------------------------------------------------------- */

static void request(struct client *c, const struct envelope *e)
{
    char out[ENVELOPE_ANSWER_MAX];

    switch (e->op) {
    case OP_SUB:
        subscribe(c, e);
        break;
    case OP_UNSUB:
        op_unsub(c, e);
        break;
    case OP_PUB:
        op_pub(c, e);
        break;
    case OP_AUTH:
        refuse(c, e->has_id, e->id, ERR_FORBIDDEN, "no tokens are taken here");
        break;
    case OP_PING:
        answer(c, out, envelope_pong(out, sizeof out, e->has_id, e->id));
        break;
    case OP_COUNT:
        break;
    }
}

static void data_envelope(struct client *c, const struct gw_data *d)
{
    struct envelope e = {0};
    const char *why;
    char *scratch = NULL;
    int status;

    if (c->dialect == DIALECT_BINARY && d->type == GW_BINARY) {
        status = envelope_parse_binary(&e, d->p, d->n, &why);
    } else if (d->type == GW_TEXT) {
        scratch = malloc(d->n + 1);
        why = "out of memory";
        status = scratch ? envelope_parse(&e, (const char *)d->p, d->n, scratch,
                                          &why)
                         : -1;
    } else {
        c->closing = true;
        host_of(c)->close(c->session, GW_UNSUPPORTED, 0,
                          "gangway.v1.json is text");
        return;
    }
    if (status == 0)
        request(c, &e);
    else
        refuse(c, e.has_id, e.id, ERR_BAD_REQUEST, why);
    free(scratch);
}

static void data_raw(struct client *c, const struct gw_data *d)
{
    const char *why;
    const struct text payload = {(const char *)d->p, d->n};
    enum envelope_error bad;

    if (!c->publish) {
        c->closing = true;
        host_of(c)->close(c->session, GW_POLICY, 0,
                          "nothing is published here");
        return;
    }
    bad = publish(c, (struct text){c->publish, strlen(c->publish)}, payload,
                  c->route->qos, c->route->retain, NULL, &why);
    if (bad == ERR_COUNT)
        return;
    if (bad == ERR_UNAVAILABLE) { /* there is no way to say so: no frames */
        host_of(c)->count(c->session, COUNTER_DROPPED, 1);
        return;
    }
    c->closing = true;
    host_of(c)->close(c->session, bad == ERR_TOO_LARGE ? GW_TOO_BIG : GW_POLICY,
                      0, why);
}

void topics_data(void *state, const struct gw_data *d)
{
    struct client *c = state;
    if (c->closing)
        return;
    if (c->dialect == DIALECT_RAW)
        data_raw(c, d);
    else
        data_envelope(c, d);
}

void topics_drained(void *state)
{
    struct client *c = state;
    deliver_drained(c);
    if (!c->crowded)
        host_of(c)->resume(c->session);
}

/* ---- life -------------------------------------------------------------- */

struct filling {
    struct gw_session *session;
    const struct gw_host *host;
    char why[256]; /* a copy: template_fill's own lies in what it failed to
                      fill */
};

static int fill(void *ctx, const char *text, char *out, size_t cap)
{
    struct filling *f = ctx;
    const char *why = "";
    int n =
        f->host->template_fill(f->session, text, GW_FILL_TOPIC, out, cap, &why);
    if (n < 0)
        snprintf(f->why, sizeof f->why, "%s", why);
    return n;
}

/* A template filled in; malloc. NULL: it could not be. */
static char *filled(struct filling *f, const char *text)
{
    char out[2048];
    return fill(f, text, out, sizeof out) < 0 ? NULL : strdup(out);
}

static void presence(struct client *c, const char *state)
{
    char body[128];
    if (!c->presence)
        return;
    int n = snprintf(body, sizeof body, "{\"session\":\"%s\",\"state\":\"%s\"}",
                     c->session_id, state);
    struct publish *p =
        publish_new((struct text){c->presence, strlen(c->presence)},
                    (struct text){body, (size_t)n}, 1, false);
    if (p)
        hub_publish(c->hub, p);
}

/* Raw: every template of the route's list, before the client is answered. */
static int raw_subscribe(struct client *c, struct filling *f)
{
    const char *at = c->route->subscribe;

    while (at && *at) {
        char template[1024], out[2048];
        size_t n = strcspn(at, ",");
        if (n >= sizeof template)
            return -1;
        memcpy(template, at, n);
        template[n] = '\0';
        int len = fill(f, template, out, sizeof out);
        if (len < 0)
            return -1;
        subscribe(c, &(struct envelope){
                         .op = OP_SUB,
                         .topic = {out, (size_t)len},
                         .qos = c->route->qos,
                         .retained = RETAIN_SEND,
                     });
        at += n + (at[n] == ',');
    }
    return 0;
}

/* Whether all templates of the route can be filled in for this request. */
static int client_fill(struct client *c, struct filling *f)
{
    const struct topics_route *r = c->route;

    if (rules_any(r->rules) && !(c->grants = rules_fill(r->rules, fill, f)))
        return -1;
    if (r->publish && c->dialect == DIALECT_RAW &&
        !(c->publish = filled(f, r->publish)))
        return -1;
    if (r->presence && !(c->presence = filled(f, r->presence)))
        return -1;
    return c->dialect == DIALECT_RAW ? raw_subscribe(c, f) : 0;
}

static enum dialect dialect_of(const char *subprotocol)
{
    if (strcmp(subprotocol, "gangway.v1.json") == 0)
        return DIALECT_JSON;
    return strcmp(subprotocol, "gangway.v1") == 0 ? DIALECT_BINARY
                                                  : DIALECT_RAW;
}

static void greet(struct client *c)
{
    char out[ENVELOPE_ANSWER_MAX];
    answer(
        c, out,
        envelope_hello(out, sizeof out, c->session_id, c->route->max_payload));
    if (!hub_is_up(c->hub))
        client_state(c, false);
}

void *topics_open(struct gw_session *s, struct topics_route *r,
                  const struct gw_request *req, enum gw_take *take)
{
    char err[256];
    struct client *c = calloc(1, sizeof *c);
    struct filling f = {s, r->host, "out of memory"};

    if (!c)
        return NULL;
    c->hub = topics_hub(r, r->host->worker(s), err, sizeof err);
    if (!c->hub) {
        r->host->log(s, GW_ERROR, "no-hub", err);
        free(c);
        return NULL;
    }
    c->route = r;
    c->session = s;
    c->dialect = dialect_of(req->subprotocol);
    c->shard = hub_shard(c->hub, r->host->worker(s));
    c->id = c->shard ? ++c->shard->last_client : 0;
    c->publisher = c->shard ? publisher_new(c->shard->index, c->id) : NULL;
    if (!c->publisher) {
        free(c);
        return NULL;
    }
    hub_ref(c->hub);
    snprintf(c->session_id, sizeof c->session_id, "%u-%llu", c->shard->index,
             (unsigned long long)c->id);
    HASH_ADD(hh, c->shard->clients, id, sizeof c->id, c);
    *take = GW_MESSAGES;
    if (c->dialect == DIALECT_RAW && !r->publish && !r->subscribe) {
        r->host->refuse(s, 400,
                        "offer gangway.v1.json, gangway.v1 or mqtt: this "
                        "route has no raw topics");
        return c;
    }
    if (client_fill(c, &f) < 0) {
        r->host->refuse(s, 400, f.why);
        return c;
    }
    r->host->accept(s);
    greet(c);
    c->joined = true;
    presence(c, "join");
    return c;
}

/* Nothing of its is under way that it could still hear of. */
void topics_client_ended(void *state, uint16_t code)
{
    struct client *c = state;
    (void)code;
    c->closing = true;
    host_of(c)->close(c->session, GW_DONE, 0, NULL);
}

void topics_close(void *state)
{
    struct client *c = state;
    struct hub *hub = c->hub;

    if (c->joined)
        presence(c, "leave");
    c->closing = true;
    deliver_drop_all(c);
    while (c->subs)
        unsubscribe(c, c->subs);
    HASH_DELETE(hh, c->shard->clients, c);
    publisher_close(hub, c->publisher);
    free(c->grants);
    free(c->publish);
    free(c->presence);
    free(c);
    hub_unref(hub);
}
