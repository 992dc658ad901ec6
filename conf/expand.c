/* SPDX-License-Identifier: Apache-2.0 */
/* expand.c - ${VAR} and ${VAR:-default}. */
#include "expand.h"

#include <stdlib.h>

struct output {
    char *p; /* NULL: only count */
    size_t n;
};

static void put(struct output *o, struct slice s)
{
    if (o->p && s.n > 0)
        memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && c != '_' && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.n > 0;
}

/* The value of what stands between "${" and "}". */
static int variable(struct slice inside, struct slice *value, struct err *err)
{
    const char *dash = memmem(inside.p, inside.n, ":-", 2);
    struct slice name = inside, standard = {NULL, 0};
    char text[128];

    if (dash) {
        name.n = (size_t)(dash - inside.p);
        standard = (struct slice){dash + 2, inside.n - name.n - 2};
    }
    if (!is_name(name) || name.n >= sizeof(text))
        return err_set(err,
                       "'${%.*s}' names no variable; write $${ for the two "
                       "characters",
                       (int)min_size(inside.n, 48), inside.p);
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';

    const char *found = getenv(text);
    *value = slice_of(found);
    if (standard.p && value->n == 0)
        *value = standard;
    else if (!found)
        return err_set(err,
                       "the environment has no %s; give a default with "
                       "${%s:-default}",
                       text, text);
    return 0;
}

static int expand_into(struct output *o, struct slice text, struct err *err)
{
    while (text.n > 0) {
        const char *dollar = memmem(text.p, text.n, "${", 2);
        size_t plain = dollar ? (size_t)(dollar - text.p) : text.n;
        bool escaped = dollar && plain > 0 && dollar[-1] == '$';
        size_t used = plain;

        put(o, (struct slice){text.p, escaped ? plain - 1 : plain});
        if (escaped) {
            put(o, slice_of("${"));
            used = plain + 2;
        } else if (dollar) {
            const char *end = memchr(dollar, '}', text.n - plain);
            struct slice value = {0};

            if (!end)
                return err_set(err, "'${' is not closed with '}'");
            struct slice inside = {dollar + 2, (size_t)(end - dollar) - 2};
            if (variable(inside, &value, err))
                return -1;
            put(o, value);
            used = plain + inside.n + 3;
        }
        if (o->n > EXPANDED_MAX)
            return err_set(err, "longer than %d bytes when expanded",
                           EXPANDED_MAX);
        text = (struct slice){text.p + used, text.n - used};
    }
    return 0;
}

int expand_variables(struct arena *a, struct slice *text, struct err *err)
{
    struct output o = {0};

    if (text->n == 0 || !memmem(text->p, text->n, "${", 2))
        return 0;
    if (expand_into(&o, *text, err))
        return -1;
    size_t n = o.n;
    o = (struct output){arena_alloc(a, n + 1), 0};
    if (!o.p)
        return err_set(err, "out of memory");
    if (expand_into(&o, *text, err) || o.n != n)
        return err_set(err, "the environment changes while it is read");
    *text = (struct slice){o.p, o.n};
    return 0;
}
