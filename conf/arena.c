/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - blocks of memory in a list, freed together. */
#include "arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 4096 };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

static struct arena_block *block_new(struct arena *a, size_t size)
{
    struct arena_block *b = NULL;

    if (size <= ARENA_BYTES_MAX - a->bytes)
        b = calloc(1, sizeof(*b) + size);
    if (!b) {
        a->failed = true;
        return NULL;
    }
    a->bytes += size;
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    const size_t unit = alignof(max_align_t);
    struct arena_block *b = a->blocks;

    if (n > ARENA_BYTES_MAX) {
        a->failed = true;
        return NULL;
    }
    n = (n + unit - 1) / unit * unit;
    if (!b || b->size - b->used < n)
        b = block_new(a, max_size(n, BLOCK_SIZE));
    if (!b)
        return NULL;
    b->used += n;
    return b->bytes + b->used - n;
}

char *arena_text(struct arena *a, struct slice text)
{
    char *copy = arena_alloc(a, text.n + 1);

    if (copy && text.n > 0)
        memcpy(copy, text.p, text.n);
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    char *text = NULL;

    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n >= 0)
        text = arena_alloc(a, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(args);
    return text;
}

void *arena_append(struct arena *a, void **array, size_t *n, size_t size)
{
    size_t have = *n;

    /* The room doubles at each power of two, so that it need not be kept. */
    if ((have & (have - 1)) == 0) {
        void *grown = arena_alloc(a, (have ? 2 * have : 1) * size);
        if (!grown)
            return NULL;
        if (have > 0)
            memcpy(grown, *array, have * size);
        *array = grown;
    }
    *n = have + 1;
    return (char *)*array + have * size;
}

void arena_free(struct arena *a)
{
    for (struct arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct arena){0};
}
