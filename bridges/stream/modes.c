/* SPDX-License-Identifier: Apache-2.0 */
/* modes.c - auto, binary and text, which keep no boundaries.
 *
 * What goes to the client as text must be valid UTF-8 (RFC 6455 section
 * 8.1), but a read may cut a character anywhere: up to three bytes are held
 * back for the next read, which has room before it to put them. */
#include "stream.h"

#include <string.h>

enum { GATHER_MAX = 4096 };

static uint8_t replacement[3] = {0xEF, 0xBF, 0xBD}; /* U+FFFD */

/* ---- text -------------------------------------------------------------- */

/* Text on its way to the client, gathered into messages of a fair size, or
 * into parts of one message. */
struct gather {
    struct stream *stream;
    bool is_line; /* one message */
    size_t used;
    uint8_t out[GATHER_MAX];
};

static void gather_flush(struct gather *g, bool last)
{
    if (g->used > 0)
        stream_down_part(g->stream, g->out, g->used, g->is_line && !last);
    g->used = 0;
}

/* Whole characters only. */
static void gather_put(struct gather *g, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t cut, piece = n < GATHER_MAX - g->used ? n : GATHER_MAX - g->used;
        if (piece < n)
            piece = g->stream->route->host->utf8(p, piece, &cut);
        memcpy(g->out + g->used, p, piece);
        g->used += piece;
        p += piece;
        n -= piece;
        if (n > 0)
            gather_flush(g, false);
    }
}

/* p[0..n) with every invalid byte replaced. Returns the size of a cut
 * character at the end, which of a line is replaced as well. */
static size_t down_replaced(struct stream *s, const uint8_t *p, size_t n,
                            bool is_line)
{
    struct gather g;
    size_t cut = 0;

    g.stream = s;
    g.is_line = is_line;
    g.used = 0;
    while (n > 0) {
        size_t good = s->route->host->utf8(p, n, &cut);
        gather_put(&g, p, good);
        p += good;
        n -= good;
        if (n == 0 || (n == cut && !is_line))
            break;
        gather_put(&g, replacement, sizeof replacement);
        size_t bad = n == cut ? cut : 1;
        p += bad;
        n -= bad;
        cut = 0;
    }
    gather_flush(&g, true);
    return cut;
}

static void not_text(struct stream *s)
{
    stream_end(s, GW_BAD_DATA, "the backend sent bytes that are not UTF-8");
}

size_t stream_down_text(struct stream *s, uint8_t *p, size_t n, bool headroom)
{
    size_t cut, good = s->route->host->utf8(p, n, &cut);

    if (good + cut == n) {
        if (good > 0)
            stream_down(s, GW_TEXT, p, good, headroom);
        return cut;
    }
    if (s->route->replace)
        return down_replaced(s, p, n, false);
    not_text(s);
    return 0;
}

void stream_down_line(struct stream *s, uint8_t *p, size_t n)
{
    size_t cut;

    if (s->route->host->utf8(p, n, &cut) == n)
        stream_down(s, GW_TEXT, p, n, false);
    else if (s->route->replace)
        down_replaced(s, p, n, true);
    else
        not_text(s);
}

/* Put what was held back before p, where there is room for it. */
static uint8_t *with_held(struct stream *s, uint8_t *p, size_t *n)
{
    p -= s->held_n;
    memcpy(p, s->held, s->held_n);
    *n += s->held_n;
    s->held_n = 0;
    return p;
}

static void hold(struct stream *s, const uint8_t *end, size_t cut)
{
    s->held_n = (uint8_t)cut;
    memcpy(s->held, end - cut, cut);
}

static void bytes_up(struct stream *s, const struct gw_data *d)
{
    stream_up(s, d->p, d->n);
}

static void text_down(struct stream *s, uint8_t *p, size_t n)
{
    p = with_held(s, p, &n);
    hold(s, p + n, stream_down_text(s, p, n, true));
}

/* A character that the end of the stream has cut. */
static void text_down_end(struct stream *s)
{
    if (s->held_n > 0)
        stream_down(s, GW_TEXT, replacement, sizeof replacement, false);
    s->held_n = 0;
}

/* ---- binary and auto --------------------------------------------------- */

static void binary_down(struct stream *s, uint8_t *p, size_t n)
{
    stream_down(s, GW_BINARY, p, n, true);
}

/* Text for a client that speaks text, as long as the bytes are; what is not
 * UTF-8 goes as a binary message, for nothing may be lost. */
static void auto_down(struct stream *s, uint8_t *p, size_t n)
{
    size_t cut, good;

    if (s->type != GW_TEXT) {
        stream_down(s, GW_BINARY, p, n, true);
        return;
    }
    p = with_held(s, p, &n);
    good = s->route->host->utf8(p, n, &cut);
    if (good + cut != n) {
        stream_down(s, GW_BINARY, p, n, true);
        return;
    }
    if (good > 0)
        stream_down(s, GW_TEXT, p, good, true);
    hold(s, p + n, cut);
}

static void auto_down_end(struct stream *s)
{
    if (s->held_n > 0)
        stream_down(s, GW_BINARY, s->held, s->held_n, false);
    s->held_n = 0;
}

static const struct stream_mode mode_auto = {"auto", GW_STREAM, bytes_up,
                                             auto_down, auto_down_end};
static const struct stream_mode mode_binary = {"binary", GW_STREAM, bytes_up,
                                               binary_down, NULL};
static const struct stream_mode mode_text = {"text", GW_STREAM, bytes_up,
                                             text_down, text_down_end};

const struct stream_mode *const stream_modes[] = {
    &mode_auto, &mode_binary, &mode_text, &mode_base64, &mode_line,
};
