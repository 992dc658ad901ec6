/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt_naive.h - MQTT 5.0 section 4.7 as plainly as it can be written: lists
 * of levels, compared one by one. */
#ifndef GW_MQTT_NAIVE_H
#define GW_MQTT_NAIVE_H

#include "fuzz.h"

#include "../../bridges/mqtt/topic.h"

enum { NAIVE_LEVELS = 64 };

struct naive {
    size_t n;
    char *level[NAIVE_LEVELS];
    char *copy;
};

static inline struct naive naive_of(struct text t)
{
    struct naive v = {.copy = calloc(1, t.n + 1)};
    char *rest = v.copy, *level;

    CHECK(v.copy);
    memcpy(v.copy, t.p, t.n);
    while ((level = strsep(&rest, "/"))) {
        CHECK(v.n < NAIVE_LEVELS);
        v.level[v.n++] = level;
    }
    return v;
}

static inline bool naive_compare(const struct naive *f, const struct naive *n)
{
    bool open = strcmp(f->level[f->n - 1], "#") == 0;
    size_t levels = f->n - open;

    if (*n->level[0] == '$' && strchr("+#", *f->level[0]) && *f->level[0])
        return false;
    if (open ? n->n < levels : n->n != levels)
        return false;
    for (size_t i = 0; i < levels; i++) {
        if (strcmp(f->level[i], "+") != 0 &&
            strcmp(f->level[i], n->level[i]) != 0)
            return false;
    }
    return true;
}

static inline bool naive_matches(struct text filter, struct text name)
{
    struct naive f = naive_of(filter), n = naive_of(name);
    bool matches = naive_compare(&f, &n);

    free(f.copy);
    free(n.copy);
    return matches;
}

/* Take a line from *rest; false: there is none. */
static inline bool next_line(struct text *rest, struct text *line)
{
    const char *end;

    if (rest->n == 0)
        return false;
    end = memchr(rest->p, '\n', rest->n);
    line->p = rest->p;
    line->n = end ? (size_t)(end - rest->p) : rest->n;
    rest->p += line->n + (end != NULL);
    rest->n -= line->n + (end != NULL);
    return true;
}

#endif
