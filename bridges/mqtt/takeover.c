/* SPDX-License-Identifier: Apache-2.0 */
/* takeover.c - the count goes from the session that is thrown out to the one
 * that comes, so that nothing is kept of ids that nobody has. */
#include "takeover.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct takeover {
    struct takeover *next, **at; /* *at is this one */
    uint64_t hash;
    uint64_t since_s; /* when the count began */
    unsigned count;
    size_t n;
    char name[]; /* broker, NUL, client id */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct takeover *buckets[BUCKETS];

/* FNV-1a. Who finds names that collide slows down a list, nothing else: names
 * are compared. */
static uint64_t hash_of(const char *p, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

static struct takeover *takeover_new(const char *broker, struct text id,
                                     uint64_t now_s)
{
    size_t n = strlen(broker) + 1;
    struct takeover *t = malloc(sizeof *t + n + id.n);

    if (!t)
        return NULL;
    memcpy(t->name, broker, n);
    memcpy(t->name + n, id.p, id.n);
    t->n = n + id.n;
    t->hash = hash_of(t->name, t->n);
    t->since_s = now_s;
    t->count = 0;
    return t;
}

/* The newest session of that name, or NULL. */
static struct takeover *find(const struct takeover *like)
{
    struct takeover *t = buckets[like->hash % BUCKETS];

    while (t && (t->hash != like->hash || t->n != like->n ||
                 memcmp(t->name, like->name, t->n) != 0))
        t = t->next;
    return t;
}

static void link_in(struct takeover *t)
{
    t->at = &buckets[t->hash % BUCKETS];
    t->next = *t->at;
    if (t->next)
        t->next->at = &t->next;
    *t->at = t;
}

/* Whether t may be the next of that name. */
static bool inherit(struct takeover *t, const struct takeover *old)
{
    if (!old)
        return true;
    if (t->since_s < old->since_s + TAKEOVERS_S) {
        t->since_s = old->since_s;
        t->count = old->count;
    }
    return ++t->count <= TAKEOVERS_MAX;
}

enum takeover_result takeover_enter(struct takeover **out, const char *broker,
                                    struct text client_id, uint64_t now_s)
{
    struct takeover *t = takeover_new(broker, client_id, now_s);

    if (!t)
        return TAKEOVER_NO_MEMORY;
    pthread_mutex_lock(&lock);
    bool ok = inherit(t, find(t));
    if (ok)
        link_in(t);
    pthread_mutex_unlock(&lock);
    if (!ok) {
        free(t);
        return TAKEOVER_TOO_MANY;
    }
    *out = t;
    return TAKEOVER_OK;
}

void takeover_leave(struct takeover *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&lock);
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    pthread_mutex_unlock(&lock);
    free(t);
}
