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

/* What one look at a topic finds. */
struct form {
    size_t slashes;
    bool wild;
};

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS (0x80 * EACH_BYTE)

/* The high bit of each byte that is c; of a word without high bits. */
static uint64_t bytes_equal(uint64_t word, uint8_t c)
{
    return (HIGH_BITS - (word ^ c * EACH_BYTE)) & HIGH_BITS;
}

/* Eight characters at p. False: not all are printable ASCII. */
static bool eight_printable(const char *p, struct form *f)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    /* A carry or borrow between bytes needs one that is none of them. */
    if ((word | (word + EACH_BYTE) | (word - 0x20 * EACH_BYTE)) & HIGH_BITS)
        return false;
    f->slashes += (bytes_equal(word, '/') >> 7) * EACH_BYTE >> 56;
    f->wild |= (bytes_equal(word, '+') | bytes_equal(word, '#')) != 0;
    return true;
}

/* The size of the character at p[0..n); 0: no topic has it. */
static size_t one_character(const char *p, size_t n, struct form *f)
{
    uint8_t c = (uint8_t)p[0];
    uint32_t point;

    if (c >= 0x20 && c < 0x7f) {
        f->slashes += c == '/';
        f->wild |= c == '+' || c == '#';
        return 1;
    }
    n = text_char(p, n, &point);
    return n > 0 && point_allowed(point) ? n : 0;
}

static bool form_valid(struct text t, struct form *f)
{
    *f = (struct form){0};
    if (t.n == 0 || t.n > TOPIC_MAX)
        return false;
    for (size_t i = 0; i < t.n;) {
        if (t.n - i >= 8 && eight_printable(t.p + i, f)) {
            i += 8;
            continue;
        }
        size_t size = one_character(t.p + i, t.n - i, f);
        if (size == 0)
            return false;
        i += size;
    }
    return f->slashes < TOPIC_LEVELS_MAX;
}

bool topic_has_wildcard(struct text f)
{
    return f.n > 0 && (memchr(f.p, '+', f.n) || memchr(f.p, '#', f.n));
}

bool topic_name_valid(struct text t)
{
    struct form form;

    return form_valid(t, &form) && !form.wild;
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
    struct form form;

    return form_valid(f, &form) && (!form.wild || wildcards_placed(f)) &&
           (!begins_with_share(f) || topic_is_shared(f, &filter));
}

bool topic_is_system(struct text t)
{
    return t.n > 0 && t.p[0] == '$';
}

/* ---- two of them -------------------------------------------------------- */

/* Byte by byte: a '+' takes the rest of the name's level, a '#' all. */
bool topic_matches(struct text filter, struct text name)
{
    const char *f = filter.p, *f_end = f + filter.n;
    const char *n = name.p, *n_end = n + name.n;

    if (topic_is_system(name) && begins_wild(filter))
        return false;
    while (f < f_end && *f != '#') {
        if (*f == '+') {
            while (n < n_end && *n != '/')
                n++;
            f++;
        } else if (n < n_end && *f == *n) {
            f++;
            n++;
        } else { /* "a/#" matches its parent, too */
            return n == n_end && f_end - f == 2 && f[1] == '#';
        }
    }
    return f < f_end || n == n_end;
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
