/* SPDX-License-Identifier: Apache-2.0 */
/* utf8_model.h - UTF-8 from its definition, to compare the validator with.
 *
 * A character is decoded into a number; bytes not there yet make it an
 * interval. It is possible if the interval meets what a character of that
 * length may be: no overlong form, no surrogate, nothing above U+10FFFF. */
#ifndef GW_UTF8_MODEL_H
#define GW_UTF8_MODEL_H

#include "../../gateway/base/base.h"

enum model_text { TEXT_BAD, TEXT_OPEN, TEXT_WHOLE };

/* `*left` is the number of bytes of an unfinished last character. */
static inline enum model_text model_utf8(const uint8_t *p, size_t n,
                                         size_t *left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    *left = 0;
    for (size_t i = 0; i < n;) {
        size_t len = p[i] < 0x80           ? 1
                     : (p[i] >> 5) == 0x6  ? 2
                     : (p[i] >> 4) == 0xe  ? 3
                     : (p[i] >> 3) == 0x1e ? 4
                                           : 0;
        if (len == 0)
            return TEXT_BAD;
        if (len == 1) {
            i++;
            continue;
        }
        uint32_t low = p[i] & (0x7fU >> len), high = low;
        size_t seen = 1;
        for (; seen < len && i + seen < n; seen++) {
            if ((p[i + seen] & 0xc0) != 0x80)
                return TEXT_BAD;
            low = high = low << 6 | (p[i + seen] & 0x3f);
        }
        for (size_t k = seen; k < len; k++) {
            low = low << 6;
            high = high << 6 | 0x3f;
        }
        if (high < least[len] || low > 0x10ffff ||
            (low >= 0xd800 && high <= 0xdfff))
            return TEXT_BAD;
        if (seen < len) {
            *left = seen;
            return TEXT_OPEN;
        }
        i += len;
    }
    return TEXT_WHOLE;
}

#endif
