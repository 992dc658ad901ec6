/* SPDX-License-Identifier: Apache-2.0 */
/* topic.c - all questions about topics are walks over their levels, two
 * topics side by side. */
#include "topic.h"

/* ---- levels ------------------------------------------------------------ */

bool topic_level(struct text *rest, struct text *level)
{
    if (!rest->p)
        return false;

    const char *slash = rest->n > 0 ? memchr(rest->p, '/', rest->n) : NULL;
    if (!slash) {
        *level = *rest;
        *rest = (struct text){NULL, 0};
        return true;
    }
    level->p = rest->p;
    level->n = (size_t)(slash - rest->p);
    rest->p = slash + 1;
    rest->n -= level->n + 1;
    return true;
}

static bool is_level(struct text level, char c)
{
    return level.n == 1 && level.p[0] == c;
}

static bool is_plus(struct text level)
{
    return is_level(level, '+');
}

static bool is_hash(struct text level)
{
    return is_level(level, '#');
}

static bool begins_wild(struct text f)
{
    return f.n > 0 && (f.p[0] == '+' || f.p[0] == '#');
}

/* ---- what is well formed ------------------------------------------------ */

/* Control characters, and the code points that are none and never will be. */
static bool point_allowed(uint32_t c)
{
    return c >= 0xa0 && !(c >= 0xfdd0 && c <= 0xfdef) && (c & 0xfffe) != 0xfffe;
}

static bool characters_valid(struct text t)
{
    for (size_t i = 0; i < t.n;) {
        uint8_t c = (uint8_t)t.p[i];
        uint32_t point;
        size_t size;

        if (c >= 0x20 && c < 0x7f) {
            i++;
            continue;
        }
        size = text_char(t.p + i, t.n - i, &point);
        if (size == 0 || !point_allowed(point))
            return false;
        i += size;
    }
    return true;
}

static bool form_valid(struct text t)
{
    size_t levels = 1;

    if (t.n == 0 || t.n > TOPIC_MAX || !characters_valid(t))
        return false;
    for (size_t i = 0; i < t.n; i++)
        levels += t.p[i] == '/';
    return levels <= TOPIC_LEVELS_MAX;
}

bool topic_has_wildcard(struct text f)
{
    return f.n > 0 && (memchr(f.p, '+', f.n) || memchr(f.p, '#', f.n));
}

bool topic_name_valid(struct text t)
{
    return form_valid(t) && !topic_has_wildcard(t);
}

static bool wildcards_placed(struct text f)
{
    struct text level;

    while (topic_level(&f, &level)) {
        if (is_hash(level))
            return f.p == NULL;
        if (topic_has_wildcard(level) && !is_plus(level))
            return false;
    }
    return true;
}

static const char share[] = "$share/";

static bool begins_with_share(struct text f)
{
    return f.n >= sizeof(share) - 1 &&
           memcmp(f.p, share, sizeof(share) - 1) == 0;
}

bool topic_is_shared(struct text f, struct text *filter)
{
    struct text rest = f, level;

    if (!begins_with_share(f))
        return false;
    topic_level(&rest, &level);
    topic_level(&rest, &level);
    if (level.n == 0 || topic_has_wildcard(level) || !rest.p || rest.n == 0)
        return false;
    *filter = rest;
    return true;
}

bool topic_filter_valid(struct text f)
{
    struct text filter;

    return form_valid(f) && wildcards_placed(f) &&
           (!begins_with_share(f) || topic_is_shared(f, &filter));
}

bool topic_is_system(struct text t)
{
    return t.n > 0 && t.p[0] == '$';
}

/* ---- two of them -------------------------------------------------------- */

bool topic_matches(struct text filter, struct text name)
{
    struct text f, n;

    if (topic_is_system(name) && begins_wild(filter))
        return false;
    while (topic_level(&filter, &f)) {
        if (is_hash(f)) /* also where the name has ended: its parent */
            return true;
        if (!topic_level(&name, &n))
            return false;
        if (!is_plus(f) && !text_equal(f, n))
            return false;
    }
    return name.p == NULL;
}

bool topic_contains(struct text outer, struct text inner)
{
    struct text o, i;

    if (topic_is_system(inner) && begins_wild(outer))
        return false;
    /* Every name has a first level, so these two are the same. */
    if (text_equal(inner, text_of("#")) && text_equal(outer, text_of("+/#")))
        return true;
    while (topic_level(&outer, &o)) {
        if (is_hash(o))
            return true;
        if (!topic_level(&inner, &i) || is_hash(i))
            return false;
        if (!is_plus(o) && !text_equal(o, i))
            return false;
    }
    return inner.p == NULL;
}

/* What is left of the other one may be nothing, or begin with '#'. */
static bool ends_here(struct text rest)
{
    return !rest.p || text_equal(rest, text_of("#"));
}

bool topic_overlaps(struct text a, struct text b)
{
    struct text x, y;

    if ((topic_is_system(a) && begins_wild(b)) ||
        (topic_is_system(b) && begins_wild(a)))
        return false;
    while (a.p && b.p) {
        topic_level(&a, &x);
        topic_level(&b, &y);
        if (is_hash(x) || is_hash(y))
            return true;
        if (!is_plus(x) && !is_plus(y) && !text_equal(x, y))
            return false;
    }
    return ends_here(a) && ends_here(b);
}
