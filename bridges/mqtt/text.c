/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - most text is ASCII: eight bytes are looked at together until one
 * is not. */
#include "text.h"

/* The sequences of RFC 3629 section 4, by their first byte. */
static const struct lead {
    uint8_t first, last; /* first byte */
    uint8_t lo, hi;      /* second byte */
    uint8_t size;
} leads[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2},
    {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
    {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static const struct lead *lead_of(uint8_t c)
{
    for (size_t i = 0; i < sizeof(leads) / sizeof(*leads); i++) {
        if (c >= leads[i].first && c <= leads[i].last)
            return &leads[i];
    }
    return NULL;
}

size_t text_char(const char *p, size_t n, uint32_t *point)
{
    const uint8_t *b = (const uint8_t *)p;
    const struct lead *lead = n > 0 ? lead_of(b[0]) : NULL;

    if (!lead || n < lead->size)
        return 0;
    if (lead->size == 1) {
        *point = b[0];
        return 1;
    }
    if (b[1] < lead->lo || b[1] > lead->hi)
        return 0;
    *point = b[0] & (0x7fU >> lead->size);
    for (size_t i = 1; i < lead->size; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (b[i] & 0x3fU);
    }
    return lead->size;
}

size_t text_ascii(const char *p, size_t n)
{
    size_t i = 0;

    for (uint64_t eight; i + sizeof(eight) <= n; i += sizeof(eight)) {
        memcpy(&eight, p + i, sizeof(eight));
        if (eight & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < n && (uint8_t)p[i] < 0x80)
        i++;
    return i;
}

bool text_is_utf8(struct text t)
{
    size_t i = 0;

    while (i < t.n) {
        uint32_t point;
        size_t size = text_ascii(t.p + i, t.n - i);

        if (size == 0)
            size = text_char(t.p + i, t.n - i, &point);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}
