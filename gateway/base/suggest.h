/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.h - the known word nearest to a misspelt one. */
#ifndef GW_SUGGEST_H
#define GW_SUGGEST_H

#include "base.h"

struct suggest {
    struct slice word; /* as written */
    const char *best;  /* NULL: nothing is near enough */
    size_t distance;   /* of best */
};

void suggest_init(struct suggest *s, struct slice word);
void suggest_offer(struct suggest *s, const char *candidate);

/* "; did you mean 'x'?" in buf, or "" */
const char *suggest_text(const struct suggest *s, char *buf, size_t cap);

#endif
