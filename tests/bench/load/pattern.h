/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.h - the bytes that travel, and how they are known again.
 *
 * Every session has a stream in each direction that carries bytes. A stream
 * begins with its number, in eight bytes, and goes on with a long block of
 * noise, over and over, from a place in it that the number gives. The far end
 * compares every byte, however the gateway has cut them: what is lost,
 * doubled, swapped, changed or led to another session does not fit.
 *
 * With MQTT the block consists of PUBLISH packets, and the number stands in
 * the CONNECT packet before it; mqtt.h. */
#ifndef LOAD_PATTERN_H
#define LOAD_PATTERN_H

#include "load.h"

enum {
    PATTERN_HEAD = 8,         /* bytes that tell the number */
    PATTERN_RUN = 1 << 20,    /* contiguous bytes to be had at any place */
    STREAM_NUMBERS = 1 << 20, /* numbers begin again from there */
};

struct stream {
    uint64_t n;      /* bytes that have passed */
    uint32_t at;     /* place in the block of the next byte */
    uint32_t number; /* below STREAM_NUMBERS, if known */
    bool known;
    bool claims; /* the number, when it is known, must be new */
    uint8_t head[PATTERN_HEAD];
};

/* Before anything else. Noise is printable ASCII if `text`. */
void pattern_init(bool text);

/* Packets of `packet` bytes each in place of noise; streams then begin with
 * the first of a packet. The block is copied. */
void pattern_init_packets(const uint8_t *block, size_t n, size_t packet);

/* A stream that we send, or know the number of. */
struct stream stream_of(uint32_t number);

/* A stream that will tell its number. No two with the same may come. */
struct stream stream_unknown(void);

/* The next bytes of a known stream: their address and, in *n, how many there
 * are there, at most what *n says. */
const uint8_t *stream_peek(const struct stream *s, size_t *n);
void stream_skip(struct stream *s, size_t n);

/* Whether p[0..n) is what comes next; moves on if so. */
bool stream_check(struct stream *s, const uint8_t *p, size_t n);

#endif
