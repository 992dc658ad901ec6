/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - what clients of a route may publish and subscribe.
 *
 *     allow=sub:news/#;pub:chat/{path.room}   deny=sub:news/secret/#
 *
 * A rule is "pub:", "sub:" or "all:" and a filter; rules are separated by
 * ';', placeholders are filled in for each session. What no rule allows is
 * denied; a deny wins over every allow. A route without any rule allows
 * everything but what begins with '$' (for dialects that name their topics).
 *
 * A filter to subscribe passes if it is contained in an allowed one and in no
 * denied one. Where it only overlaps a denied one, that is enforced on
 * delivery: see grants_deliver.
 *
 * A shared subscription takes messages away from others, so it passes only
 * where a rule that is shared itself allows it: sub:$share/workers/jobs/#, or
 * sub:$share/+/jobs/# for any group. What is denied to a plain subscription
 * is denied to a shared one too. */
#ifndef GW_MQTT_RULES_H
#define GW_MQTT_RULES_H

#include "topic.h"

enum rule_action { RULE_PUBLISH = 1, RULE_SUBSCRIBE = 2 };

/* Templates, as the route gives them. */
struct rules;

/* Parse `allow` and `deny` (either may be NULL). NULL with err set. The check
 * of placeholders is the caller's: rules_each lists the filters. A deny where
 * nothing is allowed is an error. */
struct rules *rules_new(const char *allow, const char *deny, char *err,
                        size_t cap);
void rules_free(struct rules *r);

bool rules_any(const struct rules *r);

/* Call fn for each template; stops and returns what fn returns if not 0. */
int rules_each(const struct rules *r, int (*fn)(void *ctx, const char *text),
               void *ctx);

enum { RULE_FILTER_MAX = 1023 }; /* bytes, filled in */

/* Filled in for a session: `fill` writes the template to out[0..cap) and
 * returns its length, or -1. NULL: a value was missing or is no part of a
 * topic, or out of memory. One block, free(3) it. Rules without any give NULL
 * too: ask rules_any first. */
struct grants;
struct grants *rules_fill(const struct rules *r,
                          int (*fill)(void *ctx, const char *text, char *out,
                                      size_t cap),
                          void *ctx);

enum grant {
    GRANT_NO,
    GRANT_YES,
    GRANT_CHECKED, /* a subscription: yes, but ask grants_deliver for each
                      message, for a denied filter overlaps it */
};

/* `g` NULL: a route without rules. Names and filters are valid ones. */
enum grant grants_publish(const struct grants *g, struct text name);
enum grant grants_subscribe(const struct grants *g, struct text filter);
bool grants_deliver(const struct grants *g, struct text name);

#endif
