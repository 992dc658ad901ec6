/* SPDX-License-Identifier: Apache-2.0 */
/* trie.c - a node for each level of each filter; "a/#" hangs on the node of
 * "a", since it matches "a" too.
 *
 * The children of all nodes share one hash table, keyed by parent and level:
 * a node costs the same whether it has one child or a million, and a level of
 * a name costs one look. Clients choose the levels, so the hash is SipHash-1-3
 * under a key of the trie's own. */
#include "trie.h"

#include <stdlib.h>
#include <sys/random.h>

struct node {
    struct node *parent; /* NULL: the root */
    struct node *next;   /* in the same bucket */
    struct node *plus;   /* the child '+', which is in a bucket as well */
    void *value;         /* of the filter that ends here */
    void *deeper;        /* of that filter and "/#"; at the root of "#" */
    uint64_t hash;       /* of the way from the root */
    uint32_t children;
    bool placed, placed_deeper;
    uint16_t length;
    char level[];
};

struct trie {
    uint64_t key[2];
    struct node *root;
    size_t nodes, filters; /* the root is not counted */
    size_t mask;           /* number of buckets - 1 */
    struct node **buckets;
};

enum { BUCKETS_MIN = 16 };

/* ---- hash ------------------------------------------------------------------
 */

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static uint64_t level_hash(const struct trie *t, struct text level)
{
    uint64_t v[4] = {
        t->key[0] ^ 0x736f6d6570736575, t->key[1] ^ 0x646f72616e646f6d,
        t->key[0] ^ 0x6c7967656e657261, t->key[1] ^ 0x7465646279746573};
    uint64_t word, last = 0;
    size_t i = 0;

    for (; i + sizeof(word) <= level.n; i += sizeof(word)) {
        memcpy(&word, level.p + i, sizeof(word));
        sip_word(v, word);
    }
    if (i < level.n)
        memcpy(&last, level.p + i, level.n - i);
    sip_word(v, last | (uint64_t)level.n << 56);
    v[2] ^= 0xff;
    for (int round = 0; round < 3; round++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The hashes of levels are as good as random: little mixing will do. */
static uint64_t way_hash(const struct node *parent, uint64_t level)
{
    uint64_t x = (parent->hash ^ level) * UINT64_C(0x9e3779b97f4a7c15);

    return x ^ x >> 32;
}

/* ---- nodes -----------------------------------------------------------------
 */

static struct node **bucket_of(const struct trie *t, uint64_t hash)
{
    return &t->buckets[hash & t->mask];
}

static bool level_is(const struct node *node, struct text level)
{
    return text_equal((struct text){node->level, node->length}, level);
}

static struct node *child_find(const struct trie *t, const struct node *parent,
                               struct text level, uint64_t hash)
{
    uint64_t way = way_hash(parent, hash);

    for (struct node *c = *bucket_of(t, way); c; c = c->next) {
        if (c->hash == way && c->parent == parent && level_is(c, level))
            return c;
    }
    return NULL;
}

/* With the same buckets as before if there is no memory for others: slower,
 * not wrong. */
static void buckets_resize(struct trie *t, size_t n)
{
    struct node **old = t->buckets, **fresh = calloc(n, sizeof(struct node *));
    size_t had = t->mask + 1;

    if (!fresh)
        return;
    t->buckets = fresh;
    t->mask = n - 1;
    for (size_t i = 0; i < had; i++) {
        for (struct node *c = old[i], *next; c; c = next) {
            struct node **bucket = bucket_of(t, c->hash);

            next = c->next;
            c->next = *bucket;
            *bucket = c;
        }
    }
    free(old);
}

static bool is_wild(struct text level, char c)
{
    return level.n == 1 && level.p[0] == c;
}

static struct node *node_new(struct text level)
{
    struct node *node = calloc(1, sizeof(*node) + level.n);

    if (!node)
        return NULL;
    node->length = (uint16_t)level.n;
    if (level.n > 0)
        memcpy(node->level, level.p, level.n);
    return node;
}

static struct node *child_new(struct trie *t, struct node *parent,
                              struct text level, uint64_t hash)
{
    struct node *c = node_new(level);

    if (!c)
        return NULL;
    if (t->nodes > t->mask)
        buckets_resize(t, 2 * (t->mask + 1));
    c->parent = parent;
    c->hash = way_hash(parent, hash);
    struct node **bucket = bucket_of(t, c->hash);
    c->next = *bucket;
    *bucket = c;
    parent->children++;
    if (is_wild(level, '+'))
        parent->plus = c;
    t->nodes++;
    return c;
}

static void child_free(struct trie *t, struct node *c)
{
    struct node **at = bucket_of(t, c->hash);

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->parent->children--;
    if (c->parent->plus == c)
        c->parent->plus = NULL;
    free(c);
    t->nodes--;
    if (t->mask >= BUCKETS_MIN && t->nodes < t->mask / 8)
        buckets_resize(t, (t->mask + 1) / 2);
}

/* Free a node that nothing needs, then perhaps its parent. */
static void prune(struct trie *t, struct node *node)
{
    while (node->parent && !node->placed && !node->placed_deeper &&
           node->children == 0) {
        struct node *parent = node->parent;

        child_free(t, node);
        node = parent;
    }
}

struct trie *trie_new(void)
{
    struct trie *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->mask = BUCKETS_MIN - 1;
    t->buckets = calloc(BUCKETS_MIN, sizeof(struct node *));
    t->root = node_new((struct text){NULL, 0});
    if (!t->buckets || !t->root ||
        getrandom(t->key, sizeof(t->key), 0) != sizeof(t->key)) {
        free(t->buckets);
        free(t->root);
        free(t);
        return NULL;
    }
    return t;
}

void trie_free(struct trie *t)
{
    if (!t)
        return;
    for (size_t i = 0; i <= t->mask; i++) {
        for (struct node *c = t->buckets[i], *next; c; c = next) {
            next = c->next;
            free(c);
        }
    }
    free(t->buckets);
    free(t->root);
    free(t);
}

/* ---- places
 * ------------------------------------------------------------------ */

/* The node that a filter's place is in, and whether it is `deeper` there.
 * NULL: there is none, or no memory for it. */
static struct node *node_find(const struct trie *t, struct text filter,
                              bool *deeper)
{
    struct node *node = t->root;
    struct text level;

    *deeper = false;
    while (node && topic_level(&filter, &level)) {
        if (is_wild(level, '#')) {
            *deeper = true;
            break;
        }
        node = child_find(t, node, level, level_hash(t, level));
    }
    return node;
}

static struct node *node_make(struct trie *t, struct text filter, bool *deeper)
{
    struct node *node = t->root;
    struct text level;

    *deeper = false;
    while (topic_level(&filter, &level)) {
        uint64_t hash;
        struct node *child;

        if (is_wild(level, '#')) {
            *deeper = true;
            break;
        }
        hash = level_hash(t, level);
        child = child_find(t, node, level, hash);
        if (!child)
            child = child_new(t, node, level, hash);
        if (!child) {
            prune(t, node);
            return NULL;
        }
        node = child;
    }
    return node;
}

void **trie_at(struct trie *t, struct text filter)
{
    bool deeper;
    struct node *node = node_make(t, filter, &deeper);

    if (!node)
        return NULL;
    bool *placed = deeper ? &node->placed_deeper : &node->placed;
    t->filters += !*placed;
    *placed = true;
    return deeper ? &node->deeper : &node->value;
}

void **trie_find(const struct trie *t, struct text filter)
{
    bool deeper;
    struct node *node = node_find(t, filter, &deeper);

    if (!node || !(deeper ? node->placed_deeper : node->placed))
        return NULL;
    return deeper ? &node->deeper : &node->value;
}

void trie_remove(struct trie *t, struct text filter)
{
    void **value = trie_find(t, filter);
    bool deeper;
    struct node *node;

    if (!value)
        return;
    *value = NULL;
    node = node_find(t, filter, &deeper);
    if (deeper)
        node->placed_deeper = false;
    else
        node->placed = false;
    t->filters--;
    prune(t, node);
}

/* ---- all that match
 * ------------------------------------------------------------ */

struct walk {
    const struct trie *t;
    void (*fn)(void *ctx, void *value);
    void *ctx;
    bool system; /* wildcards at the first level do not match */
    size_t n;
    struct text level[TOPIC_LEVELS_MAX];
    uint64_t hash[TOPIC_LEVELS_MAX];
};

static void walk_from(const struct walk *w, const struct node *node,
                      size_t depth)
{
    bool wild = depth > 0 || !w->system;

    if (node->deeper && wild)
        w->fn(w->ctx, node->deeper);
    if (depth == w->n) {
        if (node->value)
            w->fn(w->ctx, node->value);
        return;
    }
    if (node->children > (node->plus != NULL)) {
        const struct node *child =
            child_find(w->t, node, w->level[depth], w->hash[depth]);

        if (child)
            walk_from(w, child, depth + 1);
    }
    if (node->plus && wild)
        walk_from(w, node->plus, depth + 1);
}

void trie_match(const struct trie *t, struct text name,
                void (*fn)(void *ctx, void *value), void *ctx)
{
    struct walk w;

    if (t->filters == 0)
        return;
    w.t = t;
    w.fn = fn;
    w.ctx = ctx;
    w.system = topic_is_system(name);
    for (w.n = 0; w.n < TOPIC_LEVELS_MAX; w.n++) {
        if (!topic_level(&name, &w.level[w.n]))
            break;
        w.hash[w.n] = level_hash(t, w.level[w.n]);
    }
    if (!name.p)
        walk_from(&w, t->root, 0);
}

void trie_each(const struct trie *t, void (*fn)(void *ctx, void *value),
               void *ctx)
{
    if (t->root->deeper)
        fn(ctx, t->root->deeper);
    for (size_t i = 0; i <= t->mask; i++) {
        for (const struct node *c = t->buckets[i]; c; c = c->next) {
            if (c->value)
                fn(ctx, c->value);
            if (c->deeper)
                fn(ctx, c->deeper);
        }
    }
}

size_t trie_count(const struct trie *t)
{
    return t->filters;
}
