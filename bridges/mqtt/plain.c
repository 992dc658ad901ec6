/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - the way of most packets, some nanoseconds long. Whatever is not
 * plain to see is left to the reader: in doubt, stop. */
#include "plain.h"
#include "property.h"

/* ---- bytes, sixteen at a time ------------------------------------------- */

enum { SIXTEEN = 16 };

struct sixteen {
    uint64_t a, b;
};

static inline struct sixteen load(const uint8_t *p)
{
    struct sixteen v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load_8(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* Of less than sixteen bytes, at least two: both halves, which overlap. */
static struct sixteen load_few(const uint8_t *p, size_t n)
{
    struct sixteen v = {0, 0};
    const size_t half = n >= 8 ? 8 : n >= 4 ? 4 : 2;

    memcpy(&v.a, p, half);
    memcpy(&v.b, p + n - half, half);
    return v;
}

/* Not 0 if they differ. */
static inline uint64_t differ(struct sixteen v, struct sixteen w)
{
    return (v.a ^ w.a) | (v.b ^ w.b);
}

/* Both ends of a string, which overlap if it has less than 32 bytes; those in
 * the middle of a longer one are looked at where they are. */
struct ends {
    struct sixteen first, last;
};

static inline struct ends ends_of(const uint8_t *p, size_t n)
{
    if (n < SIXTEEN)
        return (struct ends){load_few(p, n), {0, 0}};
    return (struct ends){load(p), load(p + n - SIXTEEN)};
}

static inline uint64_t middles_differ(const uint8_t *p, const uint8_t *q,
                                      size_t n)
{
    uint64_t d = 0;

    for (size_t i = SIXTEEN; i + SIXTEEN < n; i += SIXTEEN)
        d |= differ(load(p + i), load(q + i));
    return d;
}

static inline bool same(const uint8_t *p, const uint8_t *q, size_t n,
                        struct ends q_ends)
{
    const struct ends e = ends_of(p, n);

    return (differ(e.first, q_ends.first) | differ(e.last, q_ends.last) |
            middles_differ(p, q, n)) == 0;
}

/* Collisions, also wanted ones, cost time and no more. */
static inline size_t slot_of(const uint8_t *p, size_t n, struct ends ends)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = ends.first.a + 3 * ends.first.b;

    h ^= 5 * ends.last.a + 9 * ends.last.b;
    for (size_t i = SIXTEEN; i + SIXTEEN < n; i += SIXTEEN)
        h = 3 * h + load_8(p + i) + 5 * load_8(p + i + 8);
    return h * odd >> (64 - PLAIN_TOPICS_LOG);
}

/* ---- topics and properties ---------------------------------------------- */

/* Whether a slot has the topic at p, which is there with the two bytes of its
 * length before it. The place that it is compared with lies before it: n bytes
 * are there too, whatever they are. */
static inline bool slot_has(const struct plain *s, size_t slot,
                            const uint8_t *p, size_t n, struct ends ends)
{
    const size_t at = s->topics[slot];

    return at > s->intact && same(s->input + at, p, n, ends);
}

/* The slot of a topic that is not where it should be: it has been put nearby,
 * or is new. -1: it may not pass. */
static int slot_judged(struct plain *s, const uint8_t *p, size_t n, size_t slot)
{
    const struct text topic = {(const char *)p + 2, n - 2};
    const struct ends ends = ends_of(p, n);
    size_t to = slot;

    for (size_t i = PLAIN_PROBES; i > 0; i--) {
        const size_t near = (slot + i) % PLAIN_TOPICS;
        if (slot_has(s, near, p, n, ends))
            return (int)near;
        if (s->topics[to] > s->intact)
            to = near;
    }
    if (!s->allowed(s->grants, topic))
        return -1;
    s->topics[to] = (uint32_t)(p - s->input);
    return (int)to;
}

/* Where the topic at p was seen before, if that was among the regular packets
 * of late, and else p. NULL: it may not pass. */
static inline const uint8_t *topic_passes(struct plain *s, const uint8_t *p,
                                          size_t n)
{
    const struct ends ends = ends_of(p, n);
    int slot = (int)slot_of(p, n, ends);

    if (!slot_has(s, (size_t)slot, p, n, ends) &&
        (slot = slot_judged(s, p, n, (size_t)slot)) < 0)
        return NULL;
    if (s->topics[slot] < s->regular)
        s->topics[slot] = (uint32_t)(p - s->input);
    return s->input + s->topics[slot];
}

/* Whether nothing in a block of properties is in the way: *b is its size,
 * `left` what the packet has behind that. */
static bool properties_pass(struct plain *s, const uint8_t *b, size_t left)
{
    const struct text block = {(const char *)b + 1, *b};
    const size_t at = s->properties;
    uint64_t seen;

    if (*b & 0x80 || *b > left)
        return false;
    if (at > s->intact && s->input[at] == *b &&
        memcmp(s->input + at, b, 1 + block.n) == 0)
        return true;
    if (mqtt_properties_scan(block, MQTT_PUBLISH, &seen) ||
        (seen & MQTT_PROPERTY_BIT(PROP_TOPIC_ALIAS)) ||
        (s->from_client && (seen & MQTT_PROPERTY_BIT(PROP_SUBSCRIPTION_ID))))
        return false;
    s->properties = (uint32_t)(b - s->input);
    return true;
}

/* An alias instead of the topic, and no other property. */
static bool alias_passes(const struct plain *s, const uint8_t *b, size_t left)
{
    return *b == 3 && left >= 3 && b[1] == PROP_TOPIC_ALIAS &&
           mqtt_alias_get(s->aliases, (uint16_t)(b[2] << 8 | b[3])) ==
               MQTT_ALLOWED;
}

/* ---- packets like others ------------------------------------------------ */

/* Most packets that come in a row differ in their payload only, or take turns
 * that do. So one that has been let pass is followed by others as it was
 * before: `like` goes through the input behind `in`, packet by packet, as long
 * as the packets there are alike. All that lie between the two have passed and
 * are regular: PUBLISHes with a topic and `fixed` bytes of fixed header, 2 or
 * 3. */

enum { LENGTH_2 = 127, LENGTH_3 = 16383, FEW = 2 + LENGTH_2 };

static inline size_t length_of(const uint8_t *p, size_t fixed)
{
    return fixed == 2 ? p[1] : (p[1] & 0x7fU) | (size_t)p[2] << 7;
}

static inline const uint8_t *behind(const uint8_t *p, size_t fixed)
{
    return p + fixed + length_of(p, fixed);
}

/* Type, flags and topic of p and q: n bytes, but for those of the length (which
 * with n just above sixteen are compared too: then they may be alike, and are
 * not taken for it). Sixteen bytes are there. */
static inline bool same_head(const uint8_t *p, const uint8_t *q, size_t n,
                             size_t fixed)
{
    static const uint8_t but_length[2][8] = {
        {255, 0, 255, 255, 255, 255, 255, 255},
        {255, 0, 0, 255, 255, 255, 255, 255},
    };
    static const uint8_t few[2 * SIXTEEN] = {
        255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255,
    };
    const struct sixteen v = load(p), w = load(q);
    uint64_t a = (v.a ^ w.a) & load_8(but_length[fixed - 2]), b = v.b ^ w.b;

    if (n <= SIXTEEN) {
        const struct sixteen mask = load(few + SIXTEEN - n);
        return ((a & mask.a) | (b & mask.b)) == 0;
    }
    return (a | b | differ(load(p + n - SIXTEEN), load(q + n - SIXTEEN)) |
            middles_differ(p, q, n)) == 0;
}

/* What has no more than LENGTH_2 bytes needs one to tell. */
static inline size_t topic_size(const uint8_t *string, size_t fixed)
{
    return fixed == 2 ? string[1] : (size_t)(string[0] << 8 | string[1]);
}

/* Whether the packet at in..end is whole, regular, and has the head of that
 * one. FEW bytes are there. */
static inline bool alike(const uint8_t *like, const uint8_t *in,
                         const uint8_t *end, size_t fixed, size_t length_max,
                         bool v5)
{
    const size_t length = length_of(in, fixed), size = fixed + length;
    const size_t head = fixed + 2 + topic_size(like + fixed, fixed);
    const bool has_id = in[0] & 6;
    size_t rest = head + v5;

    if (length > length_max || /* or it takes more bytes to tell */
        (fixed == 3 && (in[1] < 0x80 || size > (size_t)(end - in))))
        return false;
    if (has_id)
        rest += 2;
    return size >= rest && same_head(in, like, head, fixed) &&
           (!has_id || in[head] | in[head + 1]) && (!v5 || in[rest - 1] == 0);
}

/* Each value of `fixed` gets a loop of its own. */
__attribute__((always_inline)) static inline const uint8_t *pass_alike(
    const struct plain *s, const uint8_t *like, const uint8_t *in,
    const uint8_t *end, size_t fixed)
{
    const bool v5 = s->version == MQTT_5;
    const size_t most = fixed == 2 ? LENGTH_2 : LENGTH_3;
    const size_t length_max = s->max_packet < most ? s->max_packet : most;

    if (end - in < FEW)
        return in;
    const uint8_t *last = end - FEW;
    while (in <= last && alike(like, in, end, fixed, length_max, v5)) {
        like = behind(like, fixed);
        in = behind(in, fixed);
    }
    return in;
}

/* ---- packets ------------------------------------------------------------ */

/* Body and Remaining Length of a PUBLISH, and the size of its identifier. If
 * it has a topic, *seen is what topic_passes says. */
static inline bool publish_passes(struct plain *s, const uint8_t *b,
                                  size_t length, size_t id,
                                  const uint8_t **seen)
{
    const bool v5 = s->version == MQTT_5;
    const size_t string = 2 + (size_t)(b[0] << 8 | b[1]);
    const size_t size = string + id + v5, left = length - size;

    if (size > length || length > s->max_packet ||
        (id > 0 && !(b[string] | b[string + 1])))
        return false;
    if (string == 2)
        return v5 && alias_passes(s, b + size - 1, left);
    if (v5 && b[size - 1] != 0 && !properties_pass(s, b + size - 1, left))
        return false;
    return (*seen = topic_passes(s, b, string));
}

/* PUBACK, PUBREC, PUBREL or PUBCOMP with no properties. */
static bool ack_passes(const struct plain *s, uint8_t first, const uint8_t *b,
                       size_t length)
{
    uint8_t type = first >> 4;

    if (type < MQTT_PUBACK || type > MQTT_PUBCOMP ||
        (first & 0xf) != (type == MQTT_PUBREL ? 2 : 0) || length < 2 ||
        !(b[0] | b[1]))
        return false;
    return length == 2 || (s->version == MQTT_5 &&
                           (length == 3 || (length == 4 && b[3] == 0)));
}

/* By the first byte, bytes of the packet identifier and one: PUBLISH of QoS 0
 * to 2, of which only 1 and 2 may be repeated. */
static const uint8_t publish[256] = {
    [0x30] = 1, [0x31] = 1, [0x32] = 3, [0x33] = 3, [0x34] = 3,
    [0x35] = 3, [0x3a] = 3, [0x3b] = 3, [0x3c] = 3, [0x3d] = 3,
};

/* Packet by packet, until one is not plain, or found to be followed by such as
 * were there before. */
static const uint8_t *pass_known(struct plain *s, const uint8_t *in,
                                 const uint8_t *end, const uint8_t **like)
{
    enum {
        LEAST = 5,  /* of a PUBLISH, with its topic's first byte */
        TRIES = 64, /* to find an order where there is none costs time */
    };

    *like = NULL;
    while (end - in >= LEAST) {
        const uint8_t *b = in + 2, *seen = NULL;
        size_t length = in[1];

        if (length & 0x80) {
            if (in[2] & 0x80) /* so large that it does not matter */
                break;
            length = (length & 0x7f) | (size_t)in[2] << 7;
            b++;
        }
        if (length > (size_t)(end - b))
            break;
        const size_t kind = publish[in[0]];
        if (kind ? !publish_passes(s, b, length, kind - 1, &seen)
                 : !ack_passes(s, in[0], b, length))
            break;
        const size_t fixed = (size_t)(b - in);
        const uint8_t *next = b + length;
        if (!seen || fixed != s->fixed) {
            s->regular = (size_t)(in - s->input);
            s->fixed = (uint8_t)fixed;
        } else if (seen < b && s->tries < TRIES) {
            s->tries++;
            *like = behind(seen - fixed, fixed);
            return next;
        }
        in = next;
    }
    return in;
}

const uint8_t *plain_pass(struct plain *s, const uint8_t *intact,
                          const uint8_t *in, const uint8_t *end)
{
    const uint8_t *like;

    if (end - s->input > UINT32_MAX)
        return in;
    s->intact = (size_t)(intact - s->input);
    s->regular = (size_t)(in - s->input);
    while ((in = pass_known(s, in, end, &like)), like)
        in = s->fixed == 2 ? pass_alike(s, like, in, end, 2)
                           : pass_alike(s, like, in, end, 3);
    return in;
}
