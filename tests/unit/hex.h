/* SPDX-License-Identifier: Apache-2.0 */
/* hex.h - bytes of a binary protocol, readable in a test. */
#ifndef GW_HEX_H
#define GW_HEX_H

#include "unit.h"

#include <stdio.h>

/* Bytes written as hexadecimal; blanks do not count. */
struct bytes {
    uint8_t p[512];
    size_t n;
};

static inline struct bytes hex(const char *text)
{
    struct bytes b = {.n = 0};
    unsigned v;

    for (; *text; text += 2) {
        text += strspn(text, " ");
        if (!*text)
            break;
        assert_true(b.n < sizeof b.p);
        assert_int_equal(sscanf(text, "%2x", &v), 1);
        b.p[b.n++] = (uint8_t)v;
    }
    return b;
}

#endif
