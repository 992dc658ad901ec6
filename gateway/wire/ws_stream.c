/* SPDX-License-Identifier: Apache-2.0 */
/* ws_stream.c - the receiving half of RFC 6455, sections 5 to 8.
 *
 * Two states: between frames a header is awaited, inside a frame its payload.
 * A header that is whole in the input is decoded where it lies. */
#include "ws_stream.h"

#include <stdlib.h>

static size_t room(const struct ws_input *input)
{
    return (size_t)(input->end - input->in);
}

static bool is_control(const struct ws_stream *s)
{
    return s->opcode >= WS_CLOSE;
}

static enum ws_got finish(struct ws_stream *s, struct ws_input *input)
{
    s->closed = true;
    input->in = input->end;
    return WS_GOT_MORE;
}

static enum ws_got fault(struct ws_stream *s, struct ws_input *input,
                         struct ws_event *event, uint16_t code, const char *why)
{
    finish(s, input);
    *event = (struct ws_event){.code = code, .why = why};
    return WS_GOT_FAULT;
}

/* Decode the next header. Returns its size or -1, as ws_head_decode; or 0 when
 * the input has ended within it, which is then kept. */
static int next_head(struct ws_stream *s, struct ws_input *input,
                     struct ws_head *head)
{
    size_t kept = s->held;
    size_t n = min_size(room(input), WS_HEAD_MAX - kept);
    int size;

    if (kept == 0) {
        size = ws_head_decode(head, input->in, n);
        if (size == 0)
            memcpy(s->head, input->in, n);
    } else {
        memcpy(s->head + kept, input->in, n);
        size = ws_head_decode(head, s->head, kept + n);
    }
    if (size > 0) {
        input->in += (size_t)size - kept;
        s->held = 0;
    } else {
        input->in += n;
        s->held = (uint8_t)(kept + n);
    }
    return size;
}

/* What is wrong with a data frame here, if anything; else count it in. */
static uint16_t admit_data(struct ws_stream *s, const struct ws_head *head,
                           const struct ws_stream_limits *limits,
                           const char **why)
{
    if (head->opcode == WS_CONTINUATION) {
        if (!s->message) {
            *why = "continuation of no message";
            return WS_CODE_PROTOCOL;
        }
    } else {
        if (s->message) {
            *why = "new message within a message";
            return WS_CODE_PROTOCOL;
        }
        s->message = head->opcode;
        s->message_bytes = 0;
        s->fragments = 0;
        s->begun = false;
        s->utf8 = (struct utf8){0};
    }

    /* payload_len < 2^63, and the sum has passed this very check. */
    uint64_t cap = limits->message_bytes;
    if (cap != 0 && (s->message_bytes > cap ||
                     head->payload_len > cap - s->message_bytes)) {
        *why = "message too big";
        return WS_CODE_TOO_BIG;
    }
    if (limits->fragments != 0 && s->fragments >= limits->fragments) {
        *why = "too many fragments";
        return WS_CODE_POLICY;
    }
    s->message_bytes += head->payload_len;
    s->fragments++;
    return 0;
}

static uint16_t begin_frame(struct ws_stream *s, const struct ws_head *head,
                            const struct ws_stream_limits *limits,
                            const char **why)
{
    if (head->rsv != 0) {
        *why = "reserved bit set";
        return WS_CODE_PROTOCOL;
    }
    if (!head->masked) {
        *why = "frame not masked"; /* section 5.1 */
        return WS_CODE_PROTOCOL;
    }
    if (head->opcode < WS_CLOSE) {
        uint16_t code = admit_data(s, head, limits, why);
        if (code != 0)
            return code;
    }
    s->frame_left = head->payload_len;
    memcpy(s->key, head->key, sizeof(s->key));
    s->phase = 0;
    s->opcode = head->opcode;
    s->fin = head->fin;
    s->in_frame = true;
    return 0;
}

/* Unmask the next n bytes of payload to dst. */
static void take_payload(struct ws_stream *s, struct ws_input *input,
                         uint8_t *dst, size_t n)
{
    ws_unmask(dst, input->in, n, s->key, s->phase);
    input->in += n;
    s->frame_left -= n;
    s->phase = (uint8_t)((s->phase + n) % 4);
}

static enum ws_got end_close(struct ws_stream *s, struct ws_input *input,
                             struct ws_event *event, uint8_t *p, size_t n)
{
    struct utf8 utf8 = {0};

    if (n == 1)
        return fault(s, input, event, WS_CODE_PROTOCOL, "close code cut short");
    if (n == 0) {
        *event = (struct ws_event){.p = p, .code = WS_CODE_NONE};
    } else {
        uint16_t code = (uint16_t)(p[0] << 8 | p[1]);
        if (!ws_code_valid(code))
            return fault(s, input, event, WS_CODE_PROTOCOL,
                         "invalid close code");
        if (!utf8_feed(&utf8, p + 2, n - 2) || !utf8_done(&utf8))
            return fault(s, input, event, WS_CODE_BAD_DATA,
                         "close reason is not UTF-8");
        *event = (struct ws_event){.p = p + 2, .n = n - 2, .code = code};
    }
    finish(s, input);
    return WS_GOT_CLOSE;
}

/* A control frame that is whole in the input stays there; the pieces of a cut
 * one are gathered. */
static enum ws_got read_control(struct ws_stream *s, struct ws_input *input,
                                struct ws_event *event)
{
    size_t n = min_size(room(input), (size_t)s->frame_left);
    uint8_t *p = input->in;

    if (!s->control && n < s->frame_left) {
        s->control = malloc(WS_CONTROL_MAX);
        if (!s->control)
            return fault(s, input, event, WS_CODE_INTERNAL, "out of memory");
    }
    if (s->control)
        p = s->control;
    take_payload(s, input, p + s->held, n);
    n += s->held;
    if (s->frame_left > 0) {
        s->held = (uint8_t)n;
        return WS_GOT_MORE;
    }
    s->held = 0;
    s->in_frame = false;
    if (s->opcode == WS_CLOSE)
        return end_close(s, input, event, p, n);
    *event = (struct ws_event){.p = p, .n = n, .opcode = s->opcode};
    return s->opcode == WS_PING ? WS_GOT_PING : WS_GOT_PONG;
}

/* The messages that follow, if they are of the same kind, short and whole. */
static void gather(struct ws_input *input, struct ws_event *event)
{
    uint8_t *before = input->out;

    event->messages +=
        ws_unmask_run(&input->out, &input->in, input->end, 0x80 | WS_BINARY);
    event->n += (size_t)(input->out - before);
}

static enum ws_got read_data(struct ws_stream *s, struct ws_input *input,
                             struct ws_event *event)
{
    size_t n = (size_t)s->frame_left;
    if (s->frame_left > room(input))
        n = room(input);
    uint8_t *p = input->out ? input->out : input->in;

    take_payload(s, input, p, n);
    s->in_frame = s->frame_left > 0;

    bool last = s->fin && !s->in_frame;
    if (n == 0 && !last)
        return WS_GOT_MORE;
    if (s->message == WS_TEXT) {
        if (!utf8_feed(&s->utf8, p, n) || (last && !utf8_done(&s->utf8)))
            return fault(s, input, event, WS_CODE_BAD_DATA,
                         "text is not UTF-8");
    }
    input->out = p + n;
    *event = (struct ws_event){.p = p,
                               .n = n,
                               .opcode = s->message,
                               .first = !s->begun,
                               .last = last,
                               .messages = !s->begun};
    s->begun = true;
    if (last) {
        s->message = 0;
        if (input->gather && event->opcode == WS_BINARY)
            gather(input, event);
    }
    return WS_GOT_DATA;
}

enum ws_got ws_stream_next(struct ws_stream *s, struct ws_input *input,
                           const struct ws_stream_limits *limits,
                           struct ws_event *event)
{
    if (s->closed)
        return finish(s, input);

    for (;;) {
        if (!s->in_frame) {
            ws_stream_free(s); /* what the last event told of is dead */
            struct ws_head head;
            const char *why = NULL;

            int size = next_head(s, input, &head);
            if (size == 0)
                return WS_GOT_MORE;
            if (size < 0)
                return fault(s, input, event, WS_CODE_PROTOCOL,
                             "malformed frame header");
            uint16_t code = begin_frame(s, &head, limits, &why);
            if (code != 0)
                return fault(s, input, event, code, why);
        }

        enum ws_got got = is_control(s) ? read_control(s, input, event)
                                        : read_data(s, input, event);
        if (got != WS_GOT_MORE || s->in_frame)
            return got;
    }
}

void ws_stream_free(struct ws_stream *s)
{
    free(s->control);
    s->control = NULL;
}

size_t ws_close_payload(uint8_t *out, uint16_t code, const char *reason)
{
    if (code == WS_CODE_NONE)
        return 0;
    out[0] = (uint8_t)(code >> 8);
    out[1] = (uint8_t)code;

    if (!reason)
        reason = "";
    size_t n = strnlen(reason, WS_CONTROL_MAX - 2);
    n = utf8_whole((const uint8_t *)reason, n);
    if (n == SIZE_MAX) /* not text: better no reason than a broken frame */
        n = 0;
    memcpy(out + 2, reason, n);
    return 2 + n;
}
