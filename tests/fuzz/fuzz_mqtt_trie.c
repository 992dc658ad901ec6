/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a trie, a line each: +FILTER adds, -FILTER removes, anything
 * else is a name to be matched. A plain list is asked the same. */
#include "mqtt_naive.h"

#include "../../bridges/mqtt/trie.h"

enum { FILTERS_MAX = 200 };

struct listed {
    struct text filter;
    int hits;
};

struct list {
    size_t n;
    struct listed *v[FILTERS_MAX];
};

static size_t list_find(const struct list *l, struct text filter)
{
    size_t i = 0;

    while (i < l->n && !text_equal(l->v[i]->filter, filter))
        i++;
    return i;
}

static void add(struct trie *t, struct list *l, struct text filter)
{
    void **at;
    size_t i = list_find(l, filter);

    if (i == FILTERS_MAX)
        return;
    at = trie_at(t, filter);
    CHECK(at);
    CHECK((i < l->n) == (*at != NULL));
    if (*at)
        return;
    l->v[i] = calloc(1, sizeof(*l->v[i]));
    CHECK(l->v[i]);
    l->v[i]->filter = filter;
    *at = l->v[i];
    l->n++;
}

static void take(struct trie *t, struct list *l, struct text filter)
{
    size_t i = list_find(l, filter);
    void **at = trie_find(t, filter);

    CHECK((i < l->n) == (at != NULL));
    CHECK(!at || *at == l->v[i]);
    trie_remove(t, filter);
    CHECK(!trie_find(t, filter));
    if (i == l->n)
        return;
    free(l->v[i]);
    l->v[i] = l->v[--l->n];
}

static void hit(void *ctx, void *value)
{
    (void)ctx;
    ((struct listed *)value)->hits++;
}

static void match(const struct trie *t, const struct list *l, struct text name)
{
    trie_match(t, name, hit, NULL);
    for (size_t i = 0; i < l->n; i++) {
        CHECK(l->v[i]->hits == naive_matches(l->v[i]->filter, name));
        l->v[i]->hits = 0;
    }
}

static void turn(struct trie *t, struct list *l, struct text line)
{
    struct text rest = {line.p + 1, line.n > 0 ? line.n - 1 : 0};

    if (line.n > 0 && line.p[0] == '+' && topic_filter_valid(rest))
        add(t, l, rest);
    else if (line.n > 0 && line.p[0] == '-' && topic_filter_valid(rest))
        take(t, l, rest);
    else if (topic_name_valid(line))
        match(t, l, line);
    CHECK(trie_count(t) == l->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {copy_of(data, size), size}, line;
    char *all = (char *)rest.p;
    struct trie *t = trie_new();
    struct list l = {0};

    while (next_line(&rest, &line))
        turn(t, &l, line);
    trie_each(t, hit, NULL);
    for (size_t i = 0; i < l.n; i++)
        CHECK(l.v[i]->hits == 1);
    while (l.n > 0)
        take(t, &l, l.v[l.n - 1]->filter);
    CHECK(trie_count(t) == 0);
    trie_free(t);
    free(all);
    return 0;
}
