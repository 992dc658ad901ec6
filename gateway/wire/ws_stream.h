/* SPDX-License-Identifier: Apache-2.0 */
/* ws_stream.h - what a client sends after the handshake: bytes in, events out.
 *
 * Frames may arrive cut anywhere. Payload is unmasked in place and handed on
 * as it arrives, never assembled; only a frame header or a control frame that
 * a read has cut is kept: the header in the struct, the frame, which is rare,
 * in a block of its own. RFC 6455 sections 5, 6.2, 7.1, 8.1. No I/O. */
#ifndef GW_WS_STREAM_H
#define GW_WS_STREAM_H

#include "../base/utf8.h"
#include "ws_frame.h"

struct ws_stream_limits {
    uint64_t message_bytes; /* whole message: 1009; 0 = any size */
    uint32_t fragments;     /* frames of one message: 1008; 0 = any number */
};

/* All zero to begin with. */
struct ws_stream {
    uint64_t frame_left;    /* payload bytes of this frame still to come */
    uint64_t message_bytes; /* of this message, announced so far */
    uint8_t *control;       /* payload of a cut control frame, or NULL */
    uint32_t fragments;     /* frames of this message so far */
    uint8_t key[4];
    uint8_t phase;    /* position in the key, 0-3 */
    uint8_t opcode;   /* of the frame being read */
    uint8_t message;  /* WS_TEXT or WS_BINARY within a message, else 0 */
    bool in_frame;    /* header done, payload or its end still to come */
    bool fin;         /* the frame being read is its message's last */
    bool begun;       /* the message has yielded WS_GOT_DATA before */
    bool closed;      /* a final event was given: what follows is ignored */
    uint8_t held;     /* bytes in head[] or control[] */
    struct utf8 utf8; /* of the message, when it is text */
    uint8_t head[WS_HEAD_MAX]; /* a cut header */
};

enum ws_got {
    WS_GOT_MORE, /* all input consumed, nothing to tell */
    WS_GOT_DATA, /* payload of a text or binary message */
    WS_GOT_PING, /* payload to be echoed in a pong */
    WS_GOT_PONG,
    WS_GOT_CLOSE, /* code, and the reason in p and n; no event follows */
    WS_GOT_FAULT, /* code says why; no event follows */
};

struct ws_event {
    uint8_t *p; /* payload: valid until the next call, and DATA beyond it,
                   as long as the run and the input buffer last */
    size_t n;
    uint8_t opcode;  /* DATA: WS_TEXT or WS_BINARY, also in continuations */
    bool first;      /* DATA: these bytes begin a message */
    bool last;       /* DATA: these bytes end it (n may then be 0) */
    size_t messages; /* DATA: how many begin in them; see ws_input */
    uint16_t code;   /* CLOSE: as received, or WS_CODE_NONE; FAULT: to send */
    const char *why; /* FAULT: static text for log and close reason */
};

/* A read's bytes. `in` advances over what was consumed. Payload is written at
 * `out` (out <= in), which advances too, so that the payloads of consecutive
 * data frames lie side by side and can leave as one write; control payloads
 * never go there.
 *
 * The caller sets out = NULL to begin a run: its first payload is unmasked
 * where it lies, nothing moves. A frame whose header came in the same input
 * then has free bytes before p: a client's header is four bytes longer than
 * the server's for the same payload, so that an answer's header fits. Setting
 * out to any place up to `in` is allowed as well: payload is moved there. */
struct ws_input {
    uint8_t *in, *end;
    uint8_t *out;
    bool gather; /* binary messages that follow one another, each one whole
                    and short, may come as one event: for a caller to whom
                    messages are but bytes, and who sets no limits */
};

/* Consume input up to the next event. Call until it returns WS_GOT_MORE or
 * one of the final events; later calls only consume. A DATA event has n == 0
 * only when it ends a message: empty fragments before that are counted, not
 * told. Text is validated as it arrives: a bad slice is never yielded. */
enum ws_got ws_stream_next(struct ws_stream *s, struct ws_input *input,
                           const struct ws_stream_limits *limits,
                           struct ws_event *event);

/* Free what it keeps. */
void ws_stream_free(struct ws_stream *s);

/* Write a Close payload (code and a reason cut to fit, at a character's
 * border) to out[WS_CONTROL_MAX]; code WS_CODE_NONE gives an empty one.
 * Returns its size. */
size_t ws_close_payload(uint8_t *out, uint16_t code, const char *reason);

#endif
