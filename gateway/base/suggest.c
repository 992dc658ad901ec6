/* SPDX-License-Identifier: Apache-2.0 */
/* suggest.c - edit distance with transpositions, over three rows. */
#include "suggest.h"

#include <stdio.h>

enum { WORD_MAX = 48 }; /* longer words get no suggestion */

static size_t min3(size_t a, size_t b, size_t c)
{
    return min_size(a, min_size(b, c));
}

/* Insertions, deletions, replacements and swaps of neighbours. '-' and '_'
 * are the same letter: flags use one, keys the other. */
static size_t edit_distance(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.n; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = a.p[i - 1] == '-' ? '_' : a.p[i - 1];
            char y = b.p[j - 1] == '-' ? '_' : b.p[j - 1];

            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
                a.p[i - 2] == b.p[j - 1])
                now[j] = min_size(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.n];
}

void suggest_init(struct suggest *s, struct slice word)
{
    *s = (struct suggest){word, NULL, 1 + min_size(word.n / 3, 3)};
}

void suggest_offer(struct suggest *s, const char *candidate)
{
    struct slice c = slice_of(candidate);

    if (s->word.n == 0 || s->word.n > WORD_MAX || c.n > WORD_MAX)
        return;
    size_t distance = edit_distance(s->word, c);
    if (distance < s->distance) {
        s->best = candidate;
        s->distance = distance;
    }
}

const char *suggest_text(const struct suggest *s, char *buf, size_t cap)
{
    buf[0] = '\0';
    if (s->best)
        snprintf(buf, cap, "; did you mean '%s'?", s->best);
    return buf;
}
