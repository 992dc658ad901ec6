/* SPDX-License-Identifier: Apache-2.0 */
/* topics.c - sessions that speak of topics: how they begin, what comes in, how
 * they end. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct gw_host *host_of(const struct client *c)
{
    return c->route->host;
}

/* ---- messages of the client -------------------------------------------- */

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
        client_request(c, &e);
    else
        client_refuse(c, e.has_id, e.id, ERR_BAD_REQUEST, why);
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
    bad = client_publish(c, (struct text){c->publish, strlen(c->publish)},
                         payload, c->route->qos, c->route->retain, NULL, &why);
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
    int status;    /* if it fails */
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
        const struct envelope e = {.op = OP_SUB,
                                   .topic = {out, (size_t)len},
                                   .qos = c->route->qos,
                                   .retained = RETAIN_SEND};
        const char *why;
        enum envelope_error bad = client_subscribe(c, &e, &why);
        if (bad != ERR_COUNT) {
            f->status = bad == ERR_FORBIDDEN   ? 403
                        : bad == ERR_BAD_TOPIC ? 400
                                               : 503;
            snprintf(f->why, sizeof f->why, "%s", why);
            return -1;
        }
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
    client_answer(
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
    struct filling f = {s, r->host, 400, "out of memory"};

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
        r->host->refuse(s, f.status, f.why);
        return c;
    }
    if (c->refused) { /* as the broker has told others just now */
        r->host->refuse(s, 403, "the broker refuses this filter");
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
        client_unsubscribe(c, c->subs);
    HASH_DELETE(hh, c->shard->clients, c);
    publisher_close(hub, c->publisher);
    free(c->grants);
    free(c->publish);
    free(c->presence);
    free(c);
    hub_unref(hub);
}
