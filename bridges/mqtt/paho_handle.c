/* SPDX-License-Identifier: Apache-2.0 */
/* paho_handle.c - one table for the process: Paho runs its callbacks one at a
 * time, whatever they are for, so its lock is hardly ever contended. */
#include "paho_handle.h"

#include <pthread.h>
#include <stdlib.h>

enum { INDEX_BITS = 24, FIRST_PLACES = 256 };

struct place {
    struct handle_owner *owner; /* NULL: free */
    uintptr_t generation;       /* from 1: no handle is NULL */
    uint32_t value;
    uint32_t next; /* while free: the next free one, plus 1; 0: none */
};

/* Places are never given back to the system: there were once so many calls
 * under way, and there may be again. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t left;
    struct place *places;
    uint32_t n, free;
} table = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, 0};

/* All of this with the lock. */

static bool grow(void)
{
    uint32_t n = table.n ? table.n * 2 : FIRST_PLACES;
    if (n > 1U << INDEX_BITS)
        return false;
    struct place *p = realloc(table.places, n * sizeof *p);
    if (!p)
        return false;
    for (uint32_t i = table.n; i < n; i++)
        p[i] = (struct place){.generation = 1, .next = i + 1 < n ? i + 2 : 0};
    table.places = p;
    table.free = table.n + 1;
    table.n = n;
    return true;
}

static struct place *place_of(void *handle)
{
    uintptr_t h = (uintptr_t)handle;
    uintptr_t i = h & ((1U << INDEX_BITS) - 1);
    struct place *p = i < table.n ? &table.places[i] : NULL;
    return p && p->owner && p->generation == h >> INDEX_BITS ? p : NULL;
}

static void end(struct place *p)
{
    const uintptr_t last = UINTPTR_MAX >> INDEX_BITS;

    p->owner = NULL;
    p->generation = p->generation == last ? 1 : p->generation + 1;
    p->next = table.free;
    table.free = (uint32_t)(p - table.places) + 1;
}

/* ---- public ------------------------------------------------------------- */

void *handle_new(struct handle_owner *o, uint32_t value)
{
    uintptr_t handle = 0;

    pthread_mutex_lock(&table.lock);
    if (table.free != 0 || grow()) {
        uint32_t i = table.free - 1;
        struct place *p = &table.places[i];
        table.free = p->next;
        p->owner = o;
        p->value = value;
        handle = p->generation << INDEX_BITS | i;
    }
    pthread_mutex_unlock(&table.lock);
    return (void *)handle;
}

struct handle_owner *handle_enter(void *handle, uint32_t *value, bool last)
{
    struct handle_owner *o = NULL;

    pthread_mutex_lock(&table.lock);
    struct place *p = place_of(handle);
    if (p) {
        o = p->owner;
        o->inside++;
        *value = p->value;
        if (last)
            end(p);
    }
    pthread_mutex_unlock(&table.lock);
    return o;
}

void handle_leave(struct handle_owner *o)
{
    pthread_mutex_lock(&table.lock);
    if (--o->inside == 0)
        pthread_cond_broadcast(&table.left);
    pthread_mutex_unlock(&table.lock);
}

bool handle_end(void *handle)
{
    pthread_mutex_lock(&table.lock);
    struct place *p = place_of(handle);
    if (p)
        end(p);
    pthread_mutex_unlock(&table.lock);
    return p != NULL;
}

void handle_end_all(struct handle_owner *o)
{
    pthread_mutex_lock(&table.lock);
    for (uint32_t i = 0; i < table.n; i++)
        if (table.places[i].owner == o)
            end(&table.places[i]);
    while (o->inside > 0)
        pthread_cond_wait(&table.left, &table.lock);
    pthread_mutex_unlock(&table.lock);
}
