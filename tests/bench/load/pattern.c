/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - one block for all streams. */
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NOISE = 131071, /* a prime: no size of frames or buffers divides it */
    CHECKED_AT_ONCE = 65536,
};

/* The block, and behind it its beginning again, so that a run may begin
 * anywhere. */
static struct {
    uint8_t *bytes;
    uint32_t n;    /* of the block */
    uint32_t unit; /* streams begin at a multiple of it */
    uint32_t head; /* bytes of a stream before the block */
} pattern;

static uint8_t claimed[STREAM_NUMBERS / 8];

static void pattern_set(const uint8_t *block, size_t n)
{
    pattern.n = (uint32_t)n;
    pattern.bytes = need(n + PATTERN_RUN, 1);
    for (size_t i = 0; i < n + PATTERN_RUN; i++)
        pattern.bytes[i] = block[i % n];
}

void pattern_init(bool text)
{
    uint8_t *noise = need(NOISE, 1);
    uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = 0; i < NOISE; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint8_t byte = (uint8_t)(x >> 32);
        noise[i] = text ? (uint8_t)(' ' + byte % 95) : byte;
    }
    pattern_set(noise, NOISE);
    pattern.unit = 1;
    pattern.head = PATTERN_HEAD;
    free(noise);
}

void pattern_init_packets(const uint8_t *block, size_t n, size_t packet)
{
    pattern_set(block, n);
    pattern.unit = (uint32_t)packet;
    pattern.head = 0;
}

static void stream_name(struct stream *s, uint32_t number)
{
    uint32_t units = pattern.n / pattern.unit;
    char text[16];

    s->number = number % STREAM_NUMBERS;
    s->at =
        (uint32_t)((uint64_t)s->number * 2654435761u % units) * pattern.unit;
    s->known = true;
    snprintf(text, sizeof text, "@%07u", s->number);
    memcpy(s->head, text, PATTERN_HEAD);
}

struct stream stream_of(uint32_t number)
{
    struct stream s = {0};

    stream_name(&s, number);
    return s;
}

struct stream stream_unknown(void)
{
    return (struct stream){.claims = true};
}

const uint8_t *stream_peek(const struct stream *s, size_t *n)
{
    if (s->n < pattern.head) {
        *n = min_size(*n, (size_t)(pattern.head - s->n));
        return s->head + s->n;
    }
    *n = min_size(*n, PATTERN_RUN);
    return pattern.bytes + s->at;
}

void stream_skip(struct stream *s, size_t n)
{
    if (s->n >= pattern.head) {
        s->at += (uint32_t)n;
        if (s->at >= pattern.n)
            s->at %= pattern.n;
    }
    s->n += n;
}

/* The number out of the head, each number once. */
static bool learn(struct stream *s)
{
    char text[PATTERN_HEAD] = {0};
    char *end;

    memcpy(text, s->head + 1, PATTERN_HEAD - 1);
    unsigned long number = strtoul(text, &end, 10);
    if (s->head[0] != '@' || *end || number >= STREAM_NUMBERS)
        return false;
    uint8_t *byte = &claimed[number / 8], bit = (uint8_t)(1 << number % 8);
    if (s->claims && *byte & bit)
        return false;
    *byte |= bit;
    stream_name(s, (uint32_t)number);
    return true;
}

bool stream_check(struct stream *s, const uint8_t *p, size_t n)
{
    for (; n > 0 && !s->known; p++, n--) {
        s->head[s->n++] = *p;
        if (s->n == PATTERN_HEAD && !learn(s))
            return false;
    }
    while (n > 0) {
        size_t run = min_size(n, CHECKED_AT_ONCE);
        const uint8_t *want = stream_peek(s, &run);
        if (memcmp(p, want, run) != 0)
            return false;
        stream_skip(s, run);
        p += run;
        n -= run;
    }
    return true;
}
