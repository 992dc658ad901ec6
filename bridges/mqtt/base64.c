/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c - three bytes are four characters. */
#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(char *out, const void *p, size_t n)
{
    const uint8_t *in = p;

    for (; n >= 3; n -= 3, in += 3, out += 4) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

        out[0] = alphabet[v >> 18];
        out[1] = alphabet[v >> 12 & 63];
        out[2] = alphabet[v >> 6 & 63];
        out[3] = alphabet[v & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0);

        out[0] = alphabet[v >> 18];
        out[1] = alphabet[v >> 12 & 63];
        out[2] = n > 1 ? alphabet[v >> 6 & 63] : '=';
        out[3] = '=';
    }
}

/* 0-63, or 64 and more: none. */
static uint32_t sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* The first `have` characters of a group (2-4) are not padding. */
static bool group(const char *p, size_t have, uint8_t *out)
{
    uint32_t v = 0;

    for (size_t i = 0; i < have; i++) {
        uint32_t six = sextet(p[i]);
        if (six > 63)
            return false;
        v |= six << (18 - 6 * i);
    }
    for (size_t i = 0; i + 1 < have; i++)
        out[i] = (uint8_t)(v >> (16 - 8 * i));
    /* Bits that belong to no byte are zero. */
    return (v & (0xffffffU >> (8 * (have - 1)))) == 0;
}

bool base64_decode(const char *p, size_t n, void *out, size_t *out_n)
{
    uint8_t *o = out;

    *out_n = 0;
    if (n % 4 != 0)
        return false;
    for (size_t i = 0; i < n; i += 4) {
        size_t have = 4;

        if (i + 4 == n && p[i + 3] == '=')
            have = p[i + 2] == '=' ? 2 : 3;
        if (!group(p + i, have, o))
            return false;
        o += have - 1;
    }
    *out_n = (size_t)(o - (uint8_t *)out);
    return true;
}
