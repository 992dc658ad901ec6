/* SPDX-License-Identifier: Apache-2.0 */
/* ws_frame.c - the bits of RFC 6455 section 5.2, and the XOR of 5.3. */
#include "ws_frame.h"

enum { LEN_16 = 126, LEN_64 = 127 }; /* 7-bit lengths that announce others */

static bool is_control(uint8_t opcode)
{
    return (opcode & 0x8) != 0;
}

static bool opcode_known(uint8_t opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

static uint64_t get_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* Each check is made as soon as its bytes are there: a peer that is wrong in
 * its first byte is told so without waiting for the rest. */
int ws_head_decode(struct ws_head *h, const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    h->fin = p[0] & 0x80;
    h->rsv = p[0] >> 4 & 0x7;
    h->opcode = p[0] & 0xf;
    if (!opcode_known(h->opcode) || (is_control(h->opcode) && !h->fin))
        return -1;
    if (n < 2)
        return 0;

    h->masked = p[1] & 0x80;
    h->payload_len = p[1] & 0x7f;
    if (is_control(h->opcode) && h->payload_len > WS_CONTROL_MAX)
        return -1;

    size_t size = 2;
    if (h->payload_len >= LEN_16) {
        size_t more = h->payload_len == LEN_16 ? 2 : 8;
        if (n < size + more)
            return 0;
        h->payload_len = get_be(p + size, more);
        if (h->payload_len < (more == 2 ? LEN_16 : UINT64_C(0x10000)) ||
            h->payload_len > INT64_MAX)
            return -1;
        size += more;
    }
    if (h->masked) {
        if (n < size + sizeof(h->key))
            return 0;
        memcpy(h->key, p + size, sizeof(h->key));
        size += sizeof(h->key);
    }
    return (int)size;
}

size_t ws_head_encode_before(uint8_t *end, bool fin, uint8_t opcode,
                             uint64_t payload_len)
{
    size_t more = payload_len < LEN_16 ? 0 : payload_len <= 0xffff ? 2 : 8;
    uint8_t len7 = more == 0   ? (uint8_t)payload_len
                   : more == 2 ? LEN_16
                               : LEN_64;
    uint8_t *p = end - 2 - more;

    p[0] = (uint8_t)((fin ? 0x80 : 0) | opcode);
    p[1] = len7;
    for (size_t i = more; i > 0; i--) {
        p[1 + i] = (uint8_t)payload_len;
        payload_len >>= 8;
    }
    return 2 + more;
}

/* Four vector registers at a time; gcc and clang lower the type to whatever
 * the machine has. */
typedef uint64_t vec __attribute__((vector_size(16)));

enum { BLOCK = 4 * sizeof(vec) };

/* A block is read whole before it is written, and blocks go upward: so the
 * destination may lie below the source at any distance. */
static inline void unmask_block(uint8_t *dst, const uint8_t *src, vec key)
{
    vec a, b, c, d;

    memcpy(&a, src, sizeof(vec));
    memcpy(&b, src + sizeof(vec), sizeof(vec));
    memcpy(&c, src + 2 * sizeof(vec), sizeof(vec));
    memcpy(&d, src + 3 * sizeof(vec), sizeof(vec));
    a ^= key;
    b ^= key;
    c ^= key;
    d ^= key;
    memcpy(dst, &a, sizeof(vec));
    memcpy(dst + sizeof(vec), &b, sizeof(vec));
    memcpy(dst + 2 * sizeof(vec), &c, sizeof(vec));
    memcpy(dst + 3 * sizeof(vec), &d, sizeof(vec));
}

static inline void unmask(uint8_t *dst, const uint8_t *src, size_t n,
                          uint32_t key)
{
    const uint64_t kk = (uint64_t)key << 32 | key;
    size_t i = 0;

    for (; n - i >= BLOCK; i += BLOCK)
        unmask_block(dst + i, src + i, (vec){kk, kk});
    for (uint64_t word; n - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, src + i, sizeof(word));
        word ^= kk;
        memcpy(dst + i, &word, sizeof(word));
    }
    uint8_t rest[sizeof(kk)];
    memcpy(rest, &kk, sizeof(kk));
    for (size_t r = 0; i < n; i++, r++)
        dst[i] = src[i] ^ rest[r];
}

void ws_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4],
               unsigned phase)
{
    uint8_t turned[4];
    uint32_t k;

    for (unsigned i = 0; i < sizeof(turned); i++)
        turned[i] = key[(phase + i) % 4];
    memcpy(&k, turned, sizeof(k));
    unmask(dst, src, n, k);
}

size_t ws_unmask_run(uint8_t **dst, uint8_t **src, const uint8_t *end,
                     uint8_t first)
{
    enum { HEAD = 2 + 4, MASKED = 0x80 };
    uint8_t *to = *dst;
    const uint8_t *p = *src;
    size_t frames = 0;

    while (end - p >= HEAD && p[0] == first && p[1] >= MASKED) {
        size_t n = p[1] - MASKED;
        uint32_t key;
        if (n >= LEN_16 || n > (size_t)(end - p) - HEAD)
            break;
        memcpy(&key, p + 2, sizeof(key));
        unmask(to, p + HEAD, n, key);
        to += n;
        p += HEAD + n;
        frames++;
    }
    *src += p - *src;
    *dst = to;
    return frames;
}

bool ws_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
