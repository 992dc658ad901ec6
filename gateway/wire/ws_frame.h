/* SPDX-License-Identifier: Apache-2.0 */
/* ws_frame.h - frame headers, RFC 6455 section 5.2. No I/O, no allocation. */
#ifndef GW_WS_FRAME_H
#define GW_WS_FRAME_H

#include "../base/base.h"

enum {
    WS_HEAD_MAX = 14,        /* 2 + 8 length + 4 masking key */
    WS_SERVER_HEAD_MAX = 10, /* a server's frames carry no key */
    WS_CONTROL_MAX = 125,    /* payload of a control frame, section 5.5 */
};

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
};

/* Section 7.4.1. The last three never travel. */
enum ws_code {
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_UNSUPPORTED = 1003,
    WS_CODE_NONE = 1005, /* a Close frame without a code */
    WS_CODE_ABNORMAL = 1006,
    WS_CODE_BAD_DATA = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_BIG = 1009,
    WS_CODE_INTERNAL = 1011,
    WS_CODE_RESTART = 1012,
    WS_CODE_TRY_LATER = 1013,
    WS_CODE_BAD_GATEWAY = 1014,
    WS_CODE_TLS = 1015,
};

struct ws_head {
    bool fin, masked;
    uint8_t rsv;          /* RSV1-3 in bits 2-0 */
    uint8_t opcode;       /* enum ws_opcode */
    uint8_t key[4];       /* masking key, if masked */
    uint64_t payload_len; /* bytes, below 2^63 */
};

/* Decode the header at p[0..n).
 * Returns its size (2..WS_HEAD_MAX), 0 if more bytes are needed, or -1 if no
 * peer may send it: fail the connection with 1002 (section 7.1.7). Reserved
 * opcodes, fragmented or oversized control frames, lengths that are not
 * minimal or have the top bit set are such; RSV bits and masking are the
 * caller's to judge. */
int ws_head_decode(struct ws_head *h, const uint8_t *p, size_t n);

/* Write the header of an unmasked frame so that it ENDS at `end`, in the room
 * reserved before a payload. Returns its size (2, 4 or 10). */
size_t ws_head_encode_before(uint8_t *end, bool fin, uint8_t opcode,
                             uint64_t payload_len);

/* dst[i] = src[i] ^ key[(phase + i) % 4]. dst == src or dst < src (payloads of
 * consecutive frames are compacted while they are unmasked). Runs at memory
 * bandwidth. */
void ws_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
               unsigned phase);

/* The payloads of whole frames that follow one another at *src, each with the
 * first byte `first` and at most 125 bytes, unmasked to *dst side by side; as
 * above. Both are moved on. Returns how many frames there were: the next, if
 * any, is of another kind, longer, unmasked or cut. */
size_t ws_unmask_run(uint8_t **dst, uint8_t **src, const uint8_t *end,
                     uint8_t first);

/* Whether a Close frame may carry this code (sections 7.4.1 and 7.4.2:
 * 1000-1003, 1007-1014, 3000-4999). */
bool ws_code_valid(unsigned code);

#endif
