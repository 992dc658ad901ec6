/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory that lives and dies with one loaded configuration.
 *
 * Nothing is freed on its own, so no error path has anything to release.
 * When memory runs out a function returns NULL and the arena remembers it:
 * callers give up quietly and settings_load tells it once. */
#ifndef GW_CONF_ARENA_H
#define GW_CONF_ARENA_H

#include "../gateway/base/base.h"

/* No configuration needs more; a bomb made of aliases and variables would. */
enum { ARENA_BYTES_MAX = 64 << 20 };

struct arena_block;

/* All zero is an empty arena. */
struct arena {
    struct arena_block *blocks;
    size_t bytes; /* of all blocks */
    bool failed;  /* memory ran out at least once */
};

void *arena_alloc(struct arena *a, size_t n); /* zeroed, aligned */
char *arena_text(struct arena *a, struct slice text);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Room for one more element in an array of *n elements that only this
 * function has grown. Returns the new element, zeroed, and counts it. */
void *arena_append(struct arena *a, void **array, size_t *n, size_t size);

void arena_free(struct arena *a);

#endif
