/* SPDX-License-Identifier: Apache-2.0 */
/* line.c - one text message is one line: IRC, line-based commands.
 *
 * Going to the backend a line end is added unless the message has one; coming
 * from it the stream is split at newlines, and "\n" or "\r\n" taken off. */
#include "stream.h"

#include <stdlib.h>
#include <string.h>

enum { JOIN_MAX = 4096 };

static void line_up(struct stream *s, const struct gw_data *d)
{
    const char *eol = s->route->eol;
    size_t eol_n = strlen(eol);
    uint8_t joined[JOIN_MAX];

    if (d->first)
        s->ends_line = false;
    if (d->n > 0)
        s->ends_line = d->p[d->n - 1] == '\n';
    if (!d->last || s->ends_line) {
        stream_up(s, d->p, d->n);
    } else if (d->n + eol_n <= sizeof joined) { /* one write, not two */
        memcpy(joined, d->p, d->n);
        memcpy(joined + d->n, eol, eol_n);
        stream_up(s, joined, d->n + eol_n);
    } else {
        stream_up(s, d->p, d->n);
        stream_up(s, (const uint8_t *)eol, eol_n);
    }
}

static void send_line(struct stream *s, uint8_t *p, size_t n)
{
    if (n > 0 && p[n - 1] == '\r')
        n--;
    stream_down_line(s, p, n);
}

/* Send as much of what is kept as a line may have, but for a character that
 * this would cut. */
static void send_part(struct stream *s)
{
    size_t part = s->route->max_line, cut;
    size_t good = s->route->host->utf8(s->line, part, &cut);

    if (good > 0 && good + cut == part) /* else it is invalid anyway */
        part = good;
    stream_down_line(s, s->line, part);
    s->line_n -= (uint32_t)part;
    memmove(s->line, s->line + part, s->line_n);
}

/* The line that is kept is complete. */
static void send_kept(struct stream *s)
{
    size_t n = s->line_n;

    if (n > s->route->max_line && s->line[n - 1] != '\r')
        send_part(s);
    n = s->line_n;
    s->line_n = 0;
    send_line(s, s->line, n);
}

/* Keep the beginning of a line, and one byte more than a line may have: it
 * may be the '\r' of its end. */
static void keep(struct stream *s, const uint8_t *p, size_t n)
{
    size_t max = s->route->max_line + 1;

    while (n > 0 && s->conn) {
        if (s->line_n == max)
            send_part(s);
        size_t piece = n < max - s->line_n ? n : max - s->line_n;
        if (s->line_n + piece > s->line_cap) {
            size_t cap = 2 * (size_t)s->line_cap + piece;
            uint8_t *grown = realloc(s->line, cap < max ? cap : max);
            if (!grown) {
                stream_end(s, GW_FAILED, NULL);
                return;
            }
            s->line = grown;
            s->line_cap = (uint32_t)(cap < max ? cap : max);
        }
        memcpy(s->line + s->line_n, p, piece);
        s->line_n += (uint32_t)piece;
        p += piece;
        n -= piece;
    }
}

static void line_down(struct stream *s, uint8_t *p, size_t n)
{
    uint8_t *end = p + n, *nl;

    while (p < end && (nl = memchr(p, '\n', (size_t)(end - p)))) {
        size_t whole = (size_t)(nl - p);
        if (s->line_n > 0 || whole > s->route->max_line) {
            keep(s, p, whole);
            send_kept(s);
        } else {
            send_line(s, p, whole);
        }
        p = nl + 1;
    }
    keep(s, p, (size_t)(end - p));
    if (s->line_n == 0) {
        free(s->line);
        s->line = NULL;
        s->line_cap = 0;
    }
}

static void line_down_end(struct stream *s)
{
    if (s->line_n > 0)
        send_kept(s);
}

const struct stream_mode mode_line = {"line", GW_SLICES, line_up, line_down,
                                      line_down_end};
