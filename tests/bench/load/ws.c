/* SPDX-License-Identifier: Apache-2.0 */
/* ws.c - the frames of section 5.2, masked as in 5.3. */
#include "ws.h"

enum { LEN_16 = 126, LEN_64 = 127, MASKED = 0x80, FIN = 0x80, RSV = 0x70 };

uint64_t ws_random_next(struct ws_random *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

/* ---- out ------------------------------------------------------------------*/

static size_t head_write(uint8_t *out, enum ws_opcode opcode, uint64_t n,
                         const uint8_t key[4])
{
    size_t more = n < LEN_16 ? 0 : n <= UINT16_MAX ? 2 : 8;

    out[0] = (uint8_t)(FIN | opcode);
    out[1] = (uint8_t)(MASKED | (more == 0 ? n : more == 2 ? LEN_16 : LEN_64));
    for (size_t i = 0; i < more; i++)
        out[2 + i] = (uint8_t)(n >> 8 * (more - 1 - i));
    memcpy(out + 2 + more, key, 4);
    return 2 + more + 4;
}

/* Copies and masks, in words of eight bytes; then turns the key so that it
 * begins with the byte for what comes next. */
static void mask(uint8_t *out, const uint8_t *p, size_t n, uint8_t key[4])
{
    uint64_t word, wide;
    uint8_t turned[4];
    size_t i = 0;

    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    for (; n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        word ^= wide;
        memcpy(out + i, &word, sizeof word);
    }
    for (; i < n; i++)
        out[i] = p[i] ^ key[i % 4];
    for (i = 0; i < 4; i++)
        turned[i] = key[(n + i) % 4];
    memcpy(key, turned, 4);
}

size_t ws_frame_write(uint8_t *out, enum ws_opcode opcode, const uint8_t *p,
                      size_t n, struct ws_random *random)
{
    uint64_t noise = ws_random_next(random);
    uint8_t key[4];

    memcpy(key, &noise, 4);
    size_t head = head_write(out, opcode, n, key);
    mask(out + head, p, n, key);
    return head + n;
}

static size_t begin_frame(struct ws_writer *w, uint8_t *out,
                          struct ws_random *random)
{
    w->left = w->size;
    if (w->todo != WS_ENDLESS)
        w->todo--;
    if (w->plain)
        return 0;
    uint64_t noise = ws_random_next(random);
    memcpy(w->key, &noise, 4);
    return head_write(out, w->opcode, w->size, w->key);
}

size_t ws_writer_fill(struct ws_writer *w, struct stream *s, uint8_t *out,
                      size_t room, struct ws_random *random, uint64_t *begun)
{
    size_t n = 0;

    while (n < room) {
        if (w->left == 0) {
            if (w->todo == 0 || room - n < WS_HEAD_MAX)
                break;
            n += begin_frame(w, out + n, random);
            *begun += w->size;
        }
        size_t run = min_size(w->left, room - n);
        const uint8_t *p = stream_peek(s, &run);
        if (w->plain)
            memcpy(out + n, p, run);
        else
            mask(out + n, p, run, w->key);
        stream_skip(s, run);
        w->left -= run;
        n += run;
    }
    return n;
}

/* ---- in -------------------------------------------------------------------*/

static size_t head_size(const uint8_t *head)
{
    uint8_t len = head[1] & 0x7f;
    return len == LEN_16 ? 4 : len == LEN_64 ? 10 : 2;
}

/* Sections 5.1, 5.2, 5.4 and 5.5: what a client must not accept. */
static bool head_read(struct ws_reader *r, const uint8_t *head)
{
    size_t size = head_size(head);
    bool control = head[0] & 0x8;

    r->opcode = head[0] & 0xf;
    r->fin = head[0] & FIN;
    r->left = head[1] & 0x7f;
    if (size > 2) {
        r->left = 0;
        for (size_t i = 2; i < size; i++)
            r->left = r->left << 8 | head[i];
        if (r->left < (size == 4 ? LEN_16 : UINT16_MAX + 1u))
            return false;
    }
    if (head[0] & RSV || head[1] & MASKED || r->left > INT64_MAX)
        return false;
    if (control)
        return r->opcode <= WS_PONG && r->fin && r->left <= WS_CONTROL_MAX;
    return r->opcode <= WS_BINARY &&
           r->in_message == (r->opcode == WS_CONTINUATION);
}

/* The frame's header from the bytes at hand; what an earlier call has kept of
 * it stands before them. Returns WS_MORE if it is not whole, WS_DATA if so. */
static enum ws_event take_head(struct ws_reader *r, const uint8_t **p,
                               size_t *n)
{
    if (r->head_n == 0 && *n >= 2 && *n >= head_size(*p)) {
        size_t size = head_size(*p);
        const uint8_t *head = *p;
        *p += size;
        *n -= size;
        return head_read(r, head) ? WS_DATA : WS_BAD;
    }
    while (r->head_n < 2 || r->head_n < head_size(r->head)) {
        if (*n == 0)
            return WS_MORE;
        r->head[r->head_n++] = *(*p)++;
        --*n;
    }
    r->head_n = 0;
    return head_read(r, r->head) ? WS_DATA : WS_BAD;
}

enum ws_event ws_reader_next(struct ws_reader *r, const uint8_t **p, size_t *n,
                             struct ws_piece *piece)
{
    if (!r->in_frame) {
        enum ws_event e = take_head(r, p, n);
        if (e != WS_DATA)
            return e;
        r->in_frame = true;
        if (!(r->opcode & 0x8))
            r->in_message = !r->fin;
    }
    if (*n == 0 && r->left > 0)
        return WS_MORE;
    piece->p = *p;
    piece->n = r->left < *n ? (size_t)r->left : *n;
    piece->opcode = r->opcode;
    *p += piece->n;
    *n -= piece->n;
    r->left -= piece->n;
    r->in_frame = r->left > 0;
    piece->frame_end = !r->in_frame;
    piece->message_end = piece->frame_end && r->fin && !(r->opcode & 0x8);
    return r->opcode & 0x8 ? WS_CONTROL : WS_DATA;
}
