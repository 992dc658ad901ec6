/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - SipHash-1-3, and the key of this process. */
#include "hash.h"

#include <pthread.h>
#include <sys/random.h>
#include <time.h>

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(struct sip *s)
{
    s->a += s->b;
    s->b = rotate(s->b, 13) ^ s->a;
    s->a = rotate(s->a, 32);
    s->c += s->d;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotate(s->b, 17) ^ s->c;
    s->c = rotate(s->c, 32);
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

uint64_t siphash13(const uint8_t key[16], const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t k0 = get_le(key, 8), k1 = get_le(key + 8, 8);
    struct sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
                    k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
    size_t words = n / 8 * 8;

    for (size_t i = 0; i < words; i += 8)
        sip_word(&s, get_le(p + i, 8));
    sip_word(&s, get_le(p + words, n - words) | (uint64_t)n << 56);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

static uint8_t process_key[16];

/* Without getrandom (a sandbox may refuse it) the clock and where we were
 * loaded must do: collisions cost time, never correctness. */
static void draw_key(void)
{
    struct timespec now;
    uintptr_t here = (uintptr_t)&process_key;

    if (getrandom(process_key, sizeof(process_key), 0) ==
        (ssize_t)sizeof(process_key))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    memcpy(process_key, &now.tv_nsec, sizeof(now.tv_nsec));
    memcpy(process_key + 8, &here, sizeof(here));
}

uint64_t hash_keyed(const void *p, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, draw_key);
    return siphash13(process_key, p, n);
}
