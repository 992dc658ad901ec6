/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.c - one character at a time, but runs of ASCII eight bytes at a time.
 *
 * The second byte of a character decides all that is hard: overlong forms
 * (E0, F0), surrogates (ED) and what lies above U+10FFFF (F4) each narrow its
 * range. RFC 3629, section 4. */
#include "utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static size_t skip_ascii(const uint8_t *p, size_t i, size_t n)
{
    uint64_t a, b;

    for (; n - i >= 16; i += 16) {
        memcpy(&a, p + i, 8);
        memcpy(&b, p + i + 8, 8);
        if ((a | b) & HIGH_BITS)
            break;
    }
    if (n - i >= 8) {
        memcpy(&a, p + i, 8);
        if ((a & HIGH_BITS) == 0)
            i += 8;
    }
    while (i < n && p[i] < 0x80)
        i++;
    return i;
}

/* What must follow the first byte of a character that is not ASCII. */
static bool begin(struct utf8 *u, uint8_t byte)
{
    if (byte < 0xc2 || byte > 0xf4) /* C0, C1: overlong for ASCII */
        return false;
    u->need = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    u->have = 1;
    u->lo = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    u->hi = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool proceed(struct utf8 *u, uint8_t byte)
{
    if (byte < u->lo || byte > u->hi)
        return false;
    u->need--;
    u->have = u->need ? (uint8_t)(u->have + 1) : 0;
    u->lo = 0x80;
    u->hi = 0xbf;
    return true;
}

bool utf8_feed(struct utf8 *u, const uint8_t *p, size_t n)
{
    struct utf8 now = *u; /* in registers */

    for (size_t i = 0; i < n;) {
        if (now.need == 0) {
            i = skip_ascii(p, i, n);
            if (i < n && !begin(&now, p[i++]))
                return false;
        } else if (!proceed(&now, p[i++])) {
            return false;
        }
    }
    *u = now;
    return true;
}

size_t utf8_whole(const uint8_t *p, size_t n)
{
    struct utf8 u = {0};

    return utf8_feed(&u, p, n) ? n - u.have : SIZE_MAX;
}
