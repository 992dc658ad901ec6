/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - templates of the route, and what they come to for a session: few
 * of them, in one block, asked one after the other. */
#include "rules.h"

#include <stdio.h>
#include <stdlib.h>

struct rule {
    uint8_t actions; /* enum rule_action */
    bool deny;
    char *filter; /* a template; within text[] */
};

struct rules {
    size_t n;
    struct rule *v;
    char *text; /* both options, cut at their ends of rules */
};

struct grant_rule {
    uint8_t actions;
    bool deny;
    uint16_t length;
    uint32_t at; /* of the filter, from the beginning of the block */
};

struct grants {
    size_t n;
    struct grant_rule v[];
};

/* ---- parsing ------------------------------------------------------------- */

static const struct {
    const char *name;
    uint8_t actions;
} actions[] = {
    {"pub:", RULE_PUBLISH},
    {"sub:", RULE_SUBSCRIBE},
    {"all:", RULE_PUBLISH | RULE_SUBSCRIBE},
};

/* "$share/GROUP/FILTER", where the group may be '+'. Placeholders pass for
 * the text that will be in their place. */
static bool shared_rule(struct text f, struct text *group, struct text *filter)
{
    struct text level;

    if (!topic_level(&f, &level) || !text_equal(level, text_of("$share")) ||
        !topic_level(&f, group) || !f.p)
        return false;
    *filter = f;
    return true;
}

static bool filter_valid(struct text f)
{
    struct text group, filter;

    if (!shared_rule(f, &group, &filter))
        return topic_filter_valid(f);
    return topic_filter_valid(filter) &&
           (text_equal(group, text_of("+")) || topic_is_shared(f, &filter));
}

static char *trim(char *s)
{
    s += strspn(s, " \t\r\n");
    for (size_t n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]); n--)
        s[n - 1] = '\0';
    return s;
}

static int rule_parse(struct rule *rule, char *text, const char **why)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        size_t n = strlen(actions[i].name);

        if (strncmp(text, actions[i].name, n) != 0)
            continue;
        rule->actions = actions[i].actions;
        rule->filter = trim(text + n);
        *why = "is not a topic filter";
        return filter_valid(text_of(rule->filter)) ? 0 : -1;
    }
    *why = "does not begin with pub:, sub: or all:";
    return -1;
}

/* Add the rules of one option. Empty ones (a ';' at the end) are no harm. */
static int rules_add(struct rules *r, char *text, bool deny, char *err,
                     size_t cap)
{
    for (char *next; text; text = next) {
        const char *why;

        next = strchr(text, ';');
        if (next)
            *next++ = '\0';
        text = trim(text);
        if (*text == '\0')
            continue;
        r->v[r->n].deny = deny;
        if (rule_parse(&r->v[r->n], text, &why)) {
            snprintf(err, cap, "%s: \"%s\" %s", deny ? "deny" : "allow", text,
                     why);
            return -1;
        }
        r->n++;
    }
    return 0;
}

/* How many rules a text has at most. */
static size_t rules_in(const char *text)
{
    size_t n = 1;

    for (; *text; text++)
        n += *text == ';';
    return n;
}

static bool rules_alloc(struct rules *r, const char *allow, const char *deny)
{
    size_t n = strlen(allow) + 1, m = strlen(deny) + 1;

    r->v = calloc(rules_in(allow) + rules_in(deny), sizeof(*r->v));
    r->text = malloc(n + m);
    if (!r->v || !r->text)
        return false;
    memcpy(r->text, allow, n);
    memcpy(r->text + n, deny, m);
    return true;
}

struct rules *rules_new(const char *allow, const char *deny, char *err,
                        size_t cap)
{
    struct rules *r = calloc(1, sizeof(*r));
    size_t n = allow ? strlen(allow) + 1 : 1;

    if (!r || !rules_alloc(r, allow ? allow : "", deny ? deny : "")) {
        snprintf(err, cap, "out of memory");
        goto fail;
    }
    if (rules_add(r, r->text, false, err, cap))
        goto fail;
    bool none_allowed = r->n == 0;
    if (rules_add(r, r->text + n, true, err, cap))
        goto fail;
    if (none_allowed && r->n > 0) {
        snprintf(err, cap,
                 "deny without allow: nothing is allowed anyway; "
                 "allow=all:# is everything");
        goto fail;
    }
    return r;
fail:
    rules_free(r);
    return NULL;
}

void rules_free(struct rules *r)
{
    if (!r)
        return;
    free(r->v);
    free(r->text);
    free(r);
}

bool rules_any(const struct rules *r)
{
    return r && r->n > 0;
}

int rules_each(const struct rules *r, int (*fn)(void *ctx, const char *text),
               void *ctx)
{
    int rc = 0;

    for (size_t i = 0; r && i < r->n && rc == 0; i++)
        rc = fn(ctx, r->v[i].filter);
    return rc;
}

/* ---- filling in -----------------------------------------------------------
 */

/* A value must not turn a plain topic into one that begins with '$'. */
static bool filled_well(const char *template, struct text filled)
{
    return filter_valid(filled) &&
           topic_is_system(filled) == (template[0] == '$');
}

struct grants *rules_fill(const struct rules *r,
                          int (*fill)(void *ctx, const char *text, char *out,
                                      size_t cap),
                          void *ctx)
{
    if (!rules_any(r))
        return NULL;

    size_t at = sizeof(struct grants) + r->n * sizeof(struct grant_rule);
    struct grants *g = malloc(at + r->n * (RULE_FILTER_MAX + 1));
    if (!g)
        return NULL;
    g->n = r->n;
    for (size_t i = 0; i < r->n; i++) {
        const struct rule *rule = &r->v[i];
        char *out = (char *)g + at;
        int n = fill(ctx, rule->filter, out, RULE_FILTER_MAX + 1);

        if (n < 0 || n > RULE_FILTER_MAX ||
            !filled_well(rule->filter, (struct text){out, (size_t)n})) {
            free(g);
            return NULL;
        }
        g->v[i] = (struct grant_rule){rule->actions, rule->deny, (uint16_t)n,
                                      (uint32_t)at};
        at += (size_t)n;
    }

    struct grants *small = realloc(g, at);
    return small ? small : g;
}

/* ---- asking ---------------------------------------------------------------
 */

static struct text filter_of(const struct grants *g, const struct grant_rule *v)
{
    return (struct text){(const char *)g + v->at, v->length};
}

enum grant grants_publish(const struct grants *g, struct text name)
{
    enum grant grant = GRANT_NO;

    if (!g)
        return topic_is_system(name) ? GRANT_NO : GRANT_YES;
    for (size_t i = 0; i < g->n; i++) {
        const struct grant_rule *v = &g->v[i];

        if (!(v->actions & RULE_PUBLISH) ||
            !topic_matches(filter_of(g, v), name))
            continue;
        if (v->deny)
            return GRANT_NO;
        grant = GRANT_YES;
    }
    return grant;
}

/* A filter, or a rule's: what is subscribed, and for which group. */
struct subscription {
    struct text group; /* p NULL: it is not shared */
    struct text filter;
};

static struct subscription subscription_of(struct text f)
{
    struct subscription s = {{NULL, 0}, f};

    shared_rule(f, &s.group, &s.filter);
    return s;
}

/* Whether a rule speaks of subscriptions of this kind. A deny that names no
 * group speaks of all. */
static bool kind_fits(const struct grant_rule *v,
                      const struct subscription *rule,
                      const struct subscription *s)
{
    if (!rule->group.p)
        return v->deny || !s->group.p;
    return s->group.p && (text_equal(rule->group, text_of("+")) ||
                          text_equal(rule->group, s->group));
}

enum grant grants_subscribe(const struct grants *g, struct text filter)
{
    struct subscription s = subscription_of(filter);
    bool allowed = false, overlapped = false;

    if (!g)
        return topic_is_system(filter) ? GRANT_NO : GRANT_YES;
    for (size_t i = 0; i < g->n; i++) {
        const struct grant_rule *v = &g->v[i];
        struct subscription rule = subscription_of(filter_of(g, v));

        if (!(v->actions & RULE_SUBSCRIBE) || !kind_fits(v, &rule, &s))
            continue;
        bool contained = topic_contains(rule.filter, s.filter);
        if (v->deny && contained)
            return GRANT_NO;
        if (v->deny)
            overlapped |= topic_overlaps(rule.filter, s.filter);
        else
            allowed |= contained;
    }
    if (!allowed)
        return GRANT_NO;
    return overlapped ? GRANT_CHECKED : GRANT_YES;
}

bool grants_deliver(const struct grants *g, struct text name)
{
    for (size_t i = 0; g && i < g->n; i++) {
        const struct grant_rule *v = &g->v[i];

        if (v->deny && (v->actions & RULE_SUBSCRIBE) &&
            topic_matches(filter_of(g, v), name))
            return false;
    }
    return true;
}
