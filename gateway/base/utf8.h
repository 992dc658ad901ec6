/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - streaming UTF-8 validation (RFC 3629; RFC 6455 section 8.1). */
#ifndef GW_UTF8_H
#define GW_UTF8_H

#include "base.h"

/* All zero is the state between two characters. */
struct utf8 {
    uint8_t need;   /* continuation bytes still owed */
    uint8_t have;   /* bytes of the unfinished character already seen */
    uint8_t lo, hi; /* what the next continuation byte may be */
};

/* Feed p[0..n). False as soon as the bytes seen so far cannot begin any valid
 * text; the state is then of no further use. */
bool utf8_feed(struct utf8 *u, const uint8_t *p, size_t n);

/* Whether the text may end here. */
static inline bool utf8_done(const struct utf8 *u)
{
    return u->need == 0;
}

/* The size of the longest prefix of p[0..n) that ends between two characters,
 * or SIZE_MAX if p[0..n) is no beginning of valid text. At most three bytes
 * are left over. */
size_t utf8_whole(const uint8_t *p, size_t n);

#endif
