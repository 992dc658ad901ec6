/* SPDX-License-Identifier: Apache-2.0 */
/* trie.h - topic filters to what is subscribed with them. One thread. Filters
 * and names are valid ones; a shared filter is taken as it is spelt. */
#ifndef GW_MQTT_TRIE_H
#define GW_MQTT_TRIE_H

#include "topic.h"

struct trie;

struct trie *trie_new(void);
/* Values still in it are the caller's. */
void trie_free(struct trie *t);

/* The place of a valid filter, made if need be: a pointer that the caller may
 * set; NULL inside at first. NULL: out of memory. */
void **trie_at(struct trie *t, struct text filter);

/* The same without making it; NULL: not there. */
void **trie_find(const struct trie *t, struct text filter);

/* Forget a filter and what only it needed; its place is gone, whatever was in
 * it. */
void trie_remove(struct trie *t, struct text filter);

/* Call fn for each non-NULL value whose filter matches the name, once each.
 * fn must not change the trie. */
void trie_match(const struct trie *t, struct text name,
                void (*fn)(void *ctx, void *value), void *ctx);

/* Call fn for each non-NULL value, in no order. fn must not change the trie. */
void trie_each(const struct trie *t, void (*fn)(void *ctx, void *value),
               void *ctx);

/* Filters that have a place. */
size_t trie_count(const struct trie *t);

#endif
