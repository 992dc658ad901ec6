/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - where packets begin and end, and what heads there are. */
#include "packet.h"

#include <stdlib.h>

static const struct mqtt_fault no_memory = {MQTT_IMPLEMENTATION_ERROR,
                                            "out of memory"};
static const struct mqtt_fault too_large = {MQTT_PACKET_TOO_LARGE,
                                            "the packet is too large"};
static const struct mqtt_fault bad_varint = {
    MQTT_MALFORMED, "a length of more than four bytes"};
static const struct mqtt_fault bad_flags = {MQTT_MALFORMED, "reserved flags"};
static const struct mqtt_fault bad_qos = {MQTT_MALFORMED, "no such QoS"};
static const struct mqtt_fault bad_type = {
    MQTT_PROTOCOL_ERROR, "no client may send this type of packet"};
static const struct mqtt_fault not_connect = {MQTT_PROTOCOL_ERROR,
                                              "the first packet is no CONNECT"};
static const struct mqtt_fault second_connect = {MQTT_PROTOCOL_ERROR,
                                                 "a second CONNECT"};

/* ---- what a client may send ---------------------------------------------- */

/* By type: the flags that section 2.1.3 (3.1.1: 2.2.2) fixes, and the least
 * length, which in MQTT 3 may be the only one. */
static const struct form {
    bool allowed, only_5;
    uint8_t flags, least;
    bool exact_3;
} forms[16] = {
    [MQTT_CONNECT] = {.allowed = true, .least = 12},
    [MQTT_PUBLISH] = {.allowed = true, .least = 2},
    [MQTT_PUBACK] = {.allowed = true, .least = 2, .exact_3 = true},
    [MQTT_PUBREC] = {.allowed = true, .least = 2, .exact_3 = true},
    [MQTT_PUBREL] = {.allowed = true, .flags = 2, .least = 2, .exact_3 = true},
    [MQTT_PUBCOMP] = {.allowed = true, .least = 2, .exact_3 = true},
    [MQTT_SUBSCRIBE] = {.allowed = true, .flags = 2, .least = 6},
    [MQTT_UNSUBSCRIBE] = {.allowed = true, .flags = 2, .least = 5},
    [MQTT_PINGREQ] = {.allowed = true, .exact_3 = true},
    [MQTT_DISCONNECT] = {.allowed = true, .exact_3 = true},
    [MQTT_AUTH] = {.allowed = true, .only_5 = true},
};

/* MQTT 3.1 lets PUBREL, SUBSCRIBE and UNSUBSCRIBE be marked as repeated. */
static bool flags_fit(const struct form *f, uint8_t flags, uint8_t version)
{
    if (version == MQTT_3_1 && f->flags == 2)
        flags &= 0x7;
    return flags == f->flags;
}

static const struct mqtt_fault *first_byte(const struct mqtt_reader *r,
                                           uint8_t byte)
{
    uint8_t type = byte >> 4, flags = byte & 0xf;
    const struct form *f = &forms[type];

    if (type == MQTT_PUBLISH && (flags & 6) == 6)
        return &bad_qos;
    if (!r->from_client)
        return NULL;
    if (r->version == 0 && type != MQTT_CONNECT)
        return &not_connect;
    if (r->version != 0 && type == MQTT_CONNECT)
        return &second_connect;
    if (!f->allowed || (f->only_5 && r->version != MQTT_5))
        return &bad_type;
    if (type == MQTT_PUBLISH)
        return (flags & 0xe) == 8 ? &bad_flags : NULL; /* repeated QoS 0 */
    return flags_fit(f, flags, r->version) ? NULL : &bad_flags;
}

static const struct mqtt_fault *length_fits(const struct mqtt_reader *r,
                                            uint8_t type, uint32_t length)
{
    const struct form *f = &forms[type];

    if (length > r->max_packet ||
        (type != MQTT_PUBLISH && length > r->max_head))
        return &too_large;
    if (r->from_client &&
        (length < f->least ||
         (f->exact_3 && r->version != MQTT_5 && length > f->least)))
        return &mqtt_bad_length;
    return NULL;
}

/* ---- the reader: heads --------------------------------------------------- */

/* The head of the packet at p: how large it is, or how much has to be there
 * before that is known. */
struct head {
    size_t need;
    uint8_t fixed;
    uint32_t length; /* Remaining Length; with `fixed` */
};

/* Whether a head may end at `at`. */
static const struct mqtt_fault *head_fits(const struct mqtt_reader *r,
                                          const struct head *h, size_t at)
{
    if (at > h->fixed + (size_t)h->length)
        return &mqtt_cut;
    return at - h->fixed > r->max_head ? &too_large : NULL;
}

/* All before the payload: topic, identifier, properties. */
static const struct mqtt_fault *publish_head(const struct mqtt_reader *r,
                                             const uint8_t *p, size_t n,
                                             struct head *h)
{
    size_t at = h->fixed, end = at + h->length;
    uint32_t properties = 0;
    const struct mqtt_fault *fault = NULL;

    h->need = at + 2;
    if (h->length < 2)
        return &mqtt_bad_length;
    if (n > end) /* the next packet's bytes say nothing of this one */
        n = end;
    if (n < h->need)
        return NULL;
    at += 2 + (size_t)(p[at] << 8 | p[at + 1]) + ((p[0] & 6) ? 2 : 0);
    if (r->version == MQTT_5 && !(fault = head_fits(r, h, at))) {
        int size = n > at ? mqtt_varint_decode(p + at, n - at, &properties) : 0;
        if (size < 0)
            return &bad_varint;
        if (size == 0) {
            h->need = (n > at ? n : at) + 1;
            return h->need > end ? &mqtt_cut : NULL;
        }
        at += (size_t)size + properties;
    }
    h->need = at;
    return fault ? fault : head_fits(r, h, at);
}

static const struct mqtt_fault *head_need(const struct mqtt_reader *r,
                                          const uint8_t *p, size_t n,
                                          struct head *h)
{
    const struct mqtt_fault *fault = first_byte(r, p[0]);
    uint8_t type = p[0] >> 4;

    h->need = n + 1;
    if (fault)
        return fault;
    int size = mqtt_varint_decode(p + 1, n - 1, &h->length);
    if (size <= 0)
        return size < 0 ? &bad_varint : NULL;
    h->fixed = (uint8_t)(1 + size);
    if ((fault = length_fits(r, type, h->length)))
        return fault;
    if (type == MQTT_PUBLISH)
        return publish_head(r, p, n, h);
    h->need = h->fixed + h->length;
    return NULL;
}

static enum mqtt_got fault_told(struct mqtt_event *ev,
                                const struct mqtt_fault *fault)
{
    ev->fault = fault;
    return MQTT_GOT_FAULT;
}

static enum mqtt_got head_told(struct mqtt_reader *r, struct mqtt_event *ev,
                               const uint8_t *p, const struct head *h,
                               bool kept)
{
    ev->p = p;
    ev->n = h->need;
    ev->kept = kept;
    ev->type = (enum mqtt_type)(p[0] >> 4);
    ev->flags = p[0] & 0xf;
    ev->fixed = h->fixed;
    ev->rest = r->rest = (uint32_t)(h->fixed + h->length - h->need);
    r->told = true;
    r->kept_told = kept;
    return MQTT_GOT_HEAD;
}

/* Room grows with what has come, not with what was announced. */
static bool keep(struct mqtt_reader *r, const uint8_t *p, size_t n, size_t need)
{
    enum { STEP = 4096 };

    if (r->kept_n + n > r->kept_cap) {
        size_t cap = need <= STEP ? need : 2 * (r->kept_n + n);
        if (cap > need)
            cap = need;
        uint8_t *grown = realloc(r->kept, cap);
        if (!grown)
            return false;
        r->kept = grown;
        r->kept_cap = cap;
    }
    memcpy(r->kept + r->kept_n, p, n);
    r->kept_n += n;
    return true;
}

/* A head of which some bytes are kept. */
static enum mqtt_got head_kept(struct mqtt_reader *r, const uint8_t **in,
                               const uint8_t *end, struct mqtt_event *ev)
{
    for (;;) {
        struct head h = {0};
        const struct mqtt_fault *fault = head_need(r, r->kept, r->kept_n, &h);
        if (fault)
            return fault_told(ev, fault);
        if (h.need <= r->kept_n)
            return head_told(r, ev, r->kept, &h, true);
        size_t n = h.need - r->kept_n, left = (size_t)(end - *in);
        if (n > left)
            n = left;
        if (n == 0)
            return MQTT_GOT_MORE;
        if (!keep(r, *in, n, h.need))
            return fault_told(ev, &no_memory);
        *in += n;
    }
}

static enum mqtt_got head_next(struct mqtt_reader *r, const uint8_t **in,
                               const uint8_t *end, struct mqtt_event *ev)
{
    struct head h = {0};
    size_t n = (size_t)(end - *in);

    if (r->kept_n > 0)
        return head_kept(r, in, end, ev);
    const struct mqtt_fault *fault = head_need(r, *in, n, &h);
    if (fault)
        return fault_told(ev, fault);
    if (h.need > n) {
        if (!keep(r, *in, n, h.need))
            return fault_told(ev, &no_memory);
        *in = end;
        return MQTT_GOT_MORE;
    }
    enum mqtt_got got = head_told(r, ev, *in, &h, false);
    *in += h.need;
    return got;
}

/* ---- the reader: bytes that pass ----------------------------------------- */

/* One byte of the fixed header of a packet that nobody wants to see. False: no
 * packet has it, and nothing has changed. */
static bool fixed_byte(struct mqtt_reader *r, uint8_t byte)
{
    bool more = byte & 0x80;

    if (r->fixed_n == 0) {
        r->fixed_n = 1;
        return true;
    }
    if (more && r->fixed_n == MQTT_FIXED_MAX - 1)
        return false;
    r->rest |= (uint32_t)(byte & 0x7f) << (7 * (r->fixed_n - 1));
    r->fixed_n = more ? (uint8_t)(r->fixed_n + 1) : 0;
    return true;
}

static const uint8_t *pass_rest(struct mqtt_reader *r, const uint8_t *p,
                                const uint8_t *end)
{
    size_t n = (size_t)(end - p);

    if (n > r->rest)
        n = r->rest;
    r->rest -= (uint32_t)n;
    return p + n;
}

static bool wanted(const struct mqtt_reader *r, uint8_t byte)
{
    return r->want & MQTT_BIT(byte >> 4);
}

/* Where packets end that are as long as the one of n bytes before p. To find
 * each by the length of the one before it takes as long as a load. */
static const uint8_t *pass_equal(const struct mqtt_reader *r, const uint8_t *p,
                                 const uint8_t *end, uint8_t n)
{
    const ptrdiff_t size = 2 + n;

    while (end - p >= size && p[1] == n && !wanted(r, p[0]))
        p += size;
    return p;
}

/* Where the packets at p end that lie whole there, nobody wants, and are of no
 * great size: nearly all of them. */
static const uint8_t *pass_whole(const struct mqtt_reader *r, const uint8_t *p,
                                 const uint8_t *end)
{
    /* Lengths that change all the time are not guessed for ever. */
    unsigned guesses = 16;

    while (end - p >= 2 && !wanted(r, p[0])) {
        const uint8_t *body = p + 2;
        size_t length = p[1];

        if (length & 0x80) {
            if (body == end || (*body & 0x80))
                break;
            length = (length & 0x7f) | (size_t)*body++ << 7;
        }
        if (length > (size_t)(end - body))
            break;
        p = body + length;
        if (r->step)
            break;
        if (length < 0x80 && guesses > 0) {
            guesses--;
            p = pass_equal(r, p, end, (uint8_t)length);
        }
    }
    return p;
}

/* Everything up to a head that is wanted. */
static const struct mqtt_fault *pass(struct mqtt_reader *r, const uint8_t **in,
                                     const uint8_t *end)
{
    const uint8_t *p = *in, *next;
    const struct mqtt_fault *fault = NULL;

    while (p < end) {
        if (r->rest > 0 && r->fixed_n == 0) {
            p = pass_rest(r, p, end);
        } else if (r->fixed_n == 0 && wanted(r, *p)) {
            break;
        } else if (r->fixed_n == 0 && (next = pass_whole(r, p, end)) > p) {
            p = next;
        } else if (fixed_byte(r, *p)) {
            p++;
        } else {
            fault = &bad_varint;
            break;
        }
        if ((r->told || r->step) && mqtt_reader_between(r))
            break;
    }
    *in = p;
    return fault;
}

uint8_t *mqtt_reader_take(struct mqtt_reader *r)
{
    uint8_t *kept = r->kept;

    r->kept = NULL;
    r->kept_n = r->kept_cap = 0;
    r->kept_told = false;
    return kept;
}

enum mqtt_got mqtt_reader_next(struct mqtt_reader *r, const uint8_t **in,
                               const uint8_t *end, struct mqtt_event *ev)
{
    const uint8_t *from = *in;

    if (r->kept_told)
        free(mqtt_reader_take(r));
    if (r->rest == 0)
        r->told = false;
    if (from == end)
        return MQTT_GOT_MORE;
    if (r->kept_n == 0) {
        ev->payload = r->told;
        const struct mqtt_fault *fault = pass(r, in, end);
        ev->p = from;
        ev->n = (size_t)(*in - from);
        ev->kept = false;
        if (ev->n > 0)
            return MQTT_GOT_BYTES; /* a fault is found again */
        if (fault)
            return fault_told(ev, fault);
    }
    return head_next(r, in, end, ev);
}

void mqtt_reader_init(struct mqtt_reader *r, bool from_client, uint16_t want)
{
    *r = (struct mqtt_reader){
        .want = want,
        .from_client = from_client,
        .max_head = MQTT_VARINT_MAX,
        .max_packet = MQTT_VARINT_MAX,
    };
}

void mqtt_reader_fini(struct mqtt_reader *r)
{
    free(r->kept);
    r->kept = NULL;
}
