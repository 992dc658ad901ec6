/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c - queued output: chunks, and where an urgent one may go between. */
#include "outbox.h"

#include <assert.h>
#include <stdlib.h>

enum { CHUNK_MIN = 4096 - sizeof(struct chunk) }; /* small sends share one */

/* ---- chunks ------------------------------------------------------------ */

static struct chunk *chunk_new(size_t cap)
{
    struct chunk *k = malloc(sizeof *k + cap);
    if (k)
        *k = (struct chunk){.data = k->bytes, .cap = cap};
    return k;
}

static void chunk_free(struct chunk *k)
{
    if (k)
        shared_unref(k->shared);
    free(k);
}

static void chunk_append(struct chunk *k, const void *p, size_t n)
{
    memcpy(k->bytes + k->len, p, n);
    k->len += n;
}

static struct iovec chunk_rest(const struct chunk *k)
{
    return (struct iovec){(void *)(uintptr_t)(k->data + k->off),
                          k->len - k->off};
}

static void append(struct outbox *b, struct chunk *k)
{
    if (b->last)
        b->last->next = k;
    else
        b->first = k;
    b->last = k;
}

static void pop_first(struct outbox *b)
{
    struct chunk *k = b->first;
    b->first = k->next;
    if (!b->first)
        b->last = NULL;
    chunk_free(k);
}

/* ---- in ---------------------------------------------------------------- */

int outbox_put(struct outbox *b, const struct iovec *v, int n, size_t total,
               size_t skip)
{
    struct chunk *k = b->last;
    size_t left = total - skip;

    if (!k || k->shared || k->cap - k->len < left) {
        k = chunk_new(max_size(left, CHUNK_MIN));
        if (!k)
            return -1;
        k->begun = skip > 0;
        append(b, k);
    }
    for (int i = 0; i < n; i++) {
        size_t cut = min_size(skip, v[i].iov_len);
        chunk_append(k, (const uint8_t *)v[i].iov_base + cut,
                     v[i].iov_len - cut);
        skip -= cut;
    }
    b->bytes += left;
    return 0;
}

int outbox_put_shared(struct outbox *b, struct shared *s, size_t skip)
{
    struct chunk *k = chunk_new(0);
    if (!k)
        return -1;
    k->shared = shared_ref(s);
    k->data = s->bytes;
    k->off = skip;
    k->len = s->n;
    k->begun = skip > 0;
    append(b, k);
    b->bytes += s->n - skip;
    return 0;
}

int outbox_put_urgent(struct outbox *b, const void *p, size_t n)
{
    struct chunk *k = chunk_new(n);
    if (!k)
        return -1;
    chunk_append(k, p, n);
    /* One that is on its way cannot be replaced, only followed. */
    bool begun = b->urgent && b->urgent->begun;
    struct chunk **slot = begun ? &b->urgent->next : &b->urgent;
    if (*slot)
        b->bytes -= (*slot)->len;
    free(*slot);
    *slot = k;
    b->bytes += n;
    return 0;
}

int outbox_put_sealed(struct outbox *b, const void *p, size_t n)
{
    const struct iovec had = outbox_peek_sealed(b);
    struct chunk *k = chunk_new(had.iov_len + n);
    if (!k)
        return -1;
    if (had.iov_len > 0)
        chunk_append(k, had.iov_base, had.iov_len);
    chunk_append(k, p, n);
    chunk_free(b->sealed);
    b->sealed = k;
    b->bytes += n;
    return 0;
}

/* ---- out --------------------------------------------------------------- */

static bool urgent_is_next(const struct outbox *b)
{
    return b->urgent && (b->urgent->begun || !b->first || !b->first->begun);
}

int outbox_peek(const struct outbox *b, struct iovec v[OUTBOX_IOV])
{
    int n = 0;
    const struct chunk *k = b->first;

    if (!urgent_is_next(b) && k) {
        v[n++] = chunk_rest(k);
        k = k->next;
    }
    for (const struct chunk *u = b->urgent; u; u = u->next)
        v[n++] = chunk_rest(u);
    for (; k && n < OUTBOX_IOV; k = k->next)
        v[n++] = chunk_rest(k);
    return n;
}

void outbox_take(struct outbox *b, size_t n)
{
    b->bytes -= n;
    while (n > 0) {
        bool urgent = urgent_is_next(b);
        struct chunk *k = urgent ? b->urgent : b->first;
        assert(k); /* no more leaves than was there */
        size_t took = min_size(n, k->len - k->off);
        k->off += took;
        k->begun = true;
        n -= took;
        if (k->off < k->len)
            return;
        if (urgent) {
            b->urgent = k->next;
            free(k);
        } else {
            pop_first(b);
        }
    }
}

struct iovec outbox_peek_sealed(const struct outbox *b)
{
    return b->sealed ? chunk_rest(b->sealed) : (struct iovec){NULL, 0};
}

void outbox_take_sealed(struct outbox *b, size_t n)
{
    b->bytes -= n;
    b->sealed->off += n;
    if (b->sealed->off < b->sealed->len)
        return;
    chunk_free(b->sealed);
    b->sealed = NULL;
}

void outbox_clear(struct outbox *b)
{
    while (b->first)
        pop_first(b);
    chunk_free(b->sealed);
    if (b->urgent)
        free(b->urgent->next);
    free(b->urgent);
    *b = (struct outbox){0};
}
