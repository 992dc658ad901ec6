/* SPDX-License-Identifier: Apache-2.0 */
/* ws.h - a WebSocket client's side of RFC 6455. No I/O.
 *
 * It shares no code with the gateway: what both got wrong would not show. */
#ifndef LOAD_WS_H
#define LOAD_WS_H

#include "pattern.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

enum {
    WS_HEAD_MAX = 14,
    WS_CONTROL_MAX = 125,
    WS_ACCEPT_LEN = 28, /* of the value of Sec-WebSocket-Accept */
    WS_REQUEST_MAX = 8192,
    WS_RESPONSE_MAX = 8192,
};

/* Random enough to mask with, and cheap: never 0. */
struct ws_random {
    uint64_t state;
};
uint64_t ws_random_next(struct ws_random *r);

/* ---- the opening handshake, section 4.1 -----------------------------------
 */

struct ws_request {
    const char *host; /* with its port */
    const char *path;
    const char *subprotocol; /* or NULL */
    const char *const *headers;
    size_t n_headers;
};

/* Returns the request's length, at most WS_REQUEST_MAX, or 0 if it is longer.
 * accept: what the server must answer, NUL-terminated. */
size_t ws_request_write(char *out, const struct ws_request *r,
                        struct ws_random *random,
                        char accept[WS_ACCEPT_LEN + 1]);

/* A whole head, NUL-terminated. NULL: it opens the session; else why not. */
const char *ws_response_check(const char *head, const char *accept,
                              const char *subprotocol);

/* ---- out ------------------------------------------------------------------
 */

/* A frame of our own, masked. Returns its size; out has room for
 * WS_HEAD_MAX + n. */
size_t ws_frame_write(uint8_t *out, enum ws_opcode opcode, const uint8_t *p,
                      size_t n, struct ws_random *random);

/* Frames of one size, filled from a stream. They are made in pieces as the
 * socket takes them: a frame of a megabyte never lies in memory. */
struct ws_writer {
    uint64_t todo; /* frames to begin */
    size_t size;   /* payload of each */
    size_t left;   /* of the one that has begun */
    uint8_t key[4];
    enum ws_opcode opcode;
    bool plain; /* no WebSocket: payload only */
};

static const uint64_t WS_ENDLESS = UINT64_MAX; /* for todo */

/* The next bytes for the wire: at most `room`, which is at least WS_HEAD_MAX;
 * 0: none. Adds the payload of each frame that begins to *begun. */
size_t ws_writer_fill(struct ws_writer *w, struct stream *s, uint8_t *out,
                      size_t room, struct ws_random *random, uint64_t *begun);

/* ---- in -------------------------------------------------------------------
 */

struct ws_reader {
    uint64_t left; /* of the frame that has begun */
    uint8_t head[WS_HEAD_MAX];
    uint8_t head_n;
    uint8_t opcode;
    bool in_frame, fin;
    bool in_message; /* a fragment has come, its end has not */
};

enum ws_event {
    WS_MORE,    /* nothing more in these bytes */
    WS_DATA,    /* payload of a message */
    WS_CONTROL, /* payload of a control frame */
    WS_BAD,     /* no server may send that */
};

struct ws_piece {
    const uint8_t *p;
    size_t n;
    bool frame_end, message_end;
    enum ws_opcode opcode; /* of the frame */
};

/* Takes from *p, *n what it can make one event of, and moves them on. Frames
 * without payload make events too. */
enum ws_event ws_reader_next(struct ws_reader *r, const uint8_t **p, size_t *n,
                             struct ws_piece *piece);

#endif
