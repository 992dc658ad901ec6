/* SPDX-License-Identifier: Apache-2.0 */
/* topics_route.c - options to a route of topics. */
#include "topics_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct gw_value *mqtt_option(const struct gw_option *options,
                                   const struct gw_value *values,
                                   const char *name)
{
    static const struct gw_value none;
    for (size_t i = 0; options[i].name; i++)
        if (strcmp(options[i].name, name) == 0)
            return &values[i];
    return &none;
}

struct check {
    const struct gw_host *host;
    const struct gw_target *target;
    char *err;
    size_t cap;
};

static int check(void *ctx, const char *text)
{
    const struct check *c = ctx;
    return text && c->host->template_check(c->target, text, c->err, c->cap) < 0
               ? -1
               : 0;
}

int topics_route_open(struct topics_route *r, const struct gw_host *host,
                      const struct gw_option *options,
                      const struct gw_target *t,
                      const struct pool_settings *pool, char *err, size_t cap)
{
    struct check c = {host, t, err, cap};
#define OPTION(name) mqtt_option(options, t->values, name)
    *r = (struct topics_route){
        .host = host,
        .slow = (enum slow_policy)OPTION("slow")->number,
        .queue_max = OPTION("queue")->number,
        .queue_bytes = OPTION("queue_bytes")->number,
        .max_payload = OPTION("max_payload")->number,
        .max_subscriptions = OPTION("max_subscriptions")->number,
        .form = (int)OPTION("form")->number,
        .qos = (int)OPTION("qos")->number,
        .retain = OPTION("retain")->number,
        .publish = OPTION("publish")->text,
        .subscribe = OPTION("subscribe")->text,
        .presence = OPTION("presence")->text,
        .pool = *pool,
    };
    r->pool.hold_ms = (unsigned)OPTION("hold")->number;
    r->pool.hold_max = OPTION("hold_max")->number;
    r->pool.hold_bytes = OPTION("hold_bytes")->number;
    r->pool.max_payload = r->max_payload;
    pthread_mutex_init(&r->lock, NULL);
    r->rules = rules_new(OPTION("allow")->text, OPTION("deny")->text, err, cap);
#undef OPTION
    if (!r->rules || check(&c, r->publish) < 0 || check(&c, r->subscribe) < 0 ||
        check(&c, r->presence) < 0 || rules_each(r->rules, check, &c) < 0)
        return -1;
    r->hub = pool_find(&r->pool); /* of the generation before */
    return 0;
}

void topics_route_close(struct topics_route *r)
{
    if (r->hub)
        hub_unref(r->hub);
    rules_free(r->rules);
    pthread_mutex_destroy(&r->lock);
}

struct hub *topics_hub(struct topics_route *r, struct gw_worker *w, char *err,
                       size_t cap)
{
    pthread_mutex_lock(&r->lock);
    if (!r->hub)
        r->hub = pool_get(&r->pool, w, err, cap);
    struct hub *h = r->hub;
    pthread_mutex_unlock(&r->lock);
    return h;
}
