/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c - bytes as base64 in text messages (RFC 4648 section 4), for
 * clients that cannot take binary ones. Each message is complete: it decodes
 * by itself. */
#include "stream.h"

#include <openssl/evp.h>

enum { PIECE = 12288, PIECE_CODED = PIECE / 3 * 4 };

static void base64_down(struct stream *s, uint8_t *p, size_t n)
{
    uint8_t out[PIECE_CODED + 1]; /* EVP_EncodeBlock ends with a NUL */

    while (n > 0) {
        size_t piece = n < PIECE ? n : PIECE;
        int coded = EVP_EncodeBlock(out, p, (int)piece);
        stream_down(s, GW_TEXT, out, (size_t)coded, false);
        p += piece;
        n -= piece;
    }
}

/* 0-63, or -1. */
static int sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Decode four characters to out[0..3). Returns the bytes, or -1. */
static int group(const uint8_t in[4], uint8_t out[3])
{
    int n = in[3] != '=' ? 3 : in[2] != '=' ? 2 : 1;
    unsigned v = 0;

    for (int i = 0; i < 4; i++) {
        int x = i <= n ? sextet(in[i]) : 0;
        if (x < 0 || (i > n && in[i] != '='))
            return -1;
        v = v << 6 | (unsigned)x;
    }
    for (int i = 0; i < 3; i++)
        out[i] = (uint8_t)(v >> (16 - 8 * i));
    bool canonical = n == 3 || (n == 2 ? out[2] == 0 : (v & 0xFFFF) == 0);
    return canonical ? n : -1;
}

/* Up to three characters wait for the rest of their group; after padding the
 * message may hold no more. */
static void base64_up(struct stream *s, const struct gw_data *d)
{
    uint8_t out[PIECE];
    size_t used = 0;
    bool good = true;

    if (d->type != GW_TEXT) {
        stream_end(s, GW_UNSUPPORTED, "mode=base64 takes text");
        return;
    }
    if (d->first) {
        s->held_n = 0;
        s->padded = false;
    }
    for (size_t i = 0; i < d->n && good; i++) {
        s->held[s->held_n++] = d->p[i];
        good = !s->padded;
        if (s->held_n < 4)
            continue;
        int n = group(s->held, out + used);
        good = good && n > 0;
        s->padded = n < 3;
        s->held_n = 0;
        used += n > 0 ? (size_t)n : 0;
        if (used > PIECE - 3) {
            stream_up(s, out, used);
            used = 0;
        }
    }
    if (!good || (d->last && s->held_n > 0))
        stream_end(s, GW_BAD_DATA, "not base64");
    else
        stream_up(s, out, used);
}

const struct stream_mode mode_base64 = {"base64", GW_SLICES, base64_up,
                                        base64_down, NULL};
