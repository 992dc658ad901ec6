/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - the way of most packets, some nanoseconds long. Whatever is not
 * plain to see is left to the reader: in doubt, stop. */
#include "plain.h"
#include "property.h"

/* ---- bytes, sixteen at a time ------------------------------------------- */

/* gcc and clang lower it to what the machine has. */
typedef uint64_t vec __attribute__((vector_size(16)));

static inline vec load(const uint8_t *p)
{
    vec v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* Both ends of a string, which overlap if it has less than 32 bytes; those in
 * the middle of a longer one are looked at where they are. */
struct ends {
    vec first, last;
};

/* Of less than sixteen bytes, at least two: both halves, which overlap. */
static vec load_few(const uint8_t *p, size_t n)
{
    uint64_t a = 0, b = 0;
    const size_t half = n >= 8 ? 8 : n >= 4 ? 4 : 2;

    memcpy(&a, p, half);
    memcpy(&b, p + n - half, half);
    return (vec){a, b};
}

static inline struct ends ends_of(const uint8_t *p, size_t n)
{
    if (n < sizeof(vec))
        return (struct ends){load_few(p, n), {0}};
    return (struct ends){load(p), load(p + n - sizeof(vec))};
}

static inline bool same(const uint8_t *p, const uint8_t *q, size_t n,
                        struct ends q_ends)
{
    const struct ends e = ends_of(p, n);
    vec d = (e.first ^ q_ends.first) | (e.last ^ q_ends.last);

    for (size_t i = sizeof(vec); i + sizeof(vec) < n; i += sizeof(vec))
        d |= load(p + i) ^ load(q + i);
    return (d[0] | d[1]) == 0;
}

/* Collisions, also wanted ones, cost time and no more. */
static inline size_t slot_of(const uint8_t *p, size_t n, struct ends ends)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    vec v = (ends.first + ends.first) ^ ends.last;

    for (size_t i = sizeof(vec); i + sizeof(vec) < n; i += sizeof(vec))
        v = (v + v) ^ load(p + i);
    return (v[0] * 3 ^ v[1]) * odd >> (64 - PLAIN_TOPICS_LOG);
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

/* It is not where it should be: it has been put nearby, or is new. */
static bool topic_judged(struct plain *s, const uint8_t *p, size_t n,
                         size_t slot)
{
    const struct text topic = {(const char *)p + 2, n - 2};
    const struct ends ends = ends_of(p, n);
    size_t to = slot;

    for (size_t i = PLAIN_PROBES; i > 0; i--) {
        const size_t near = (slot + i) % PLAIN_TOPICS;
        if (slot_has(s, near, p, n, ends))
            return true;
        if (s->topics[to] > s->intact)
            to = near;
    }
    if (!s->allowed(s->grants, topic))
        return false;
    s->topics[to] = (uint32_t)(p - s->input);
    return true;
}

static inline bool topic_passes(struct plain *s, const uint8_t *p, size_t n)
{
    const struct ends ends = ends_of(p, n);
    const size_t slot = slot_of(p, n, ends);

    return slot_has(s, slot, p, n, ends) || topic_judged(s, p, n, slot);
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

/* ---- packets ------------------------------------------------------------ */

/* Body and Remaining Length of a PUBLISH, and the size of its identifier. */
static inline bool publish_passes(struct plain *s, const uint8_t *b,
                                  size_t length, size_t id)
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
    return topic_passes(s, b, string);
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

const uint8_t *plain_pass(struct plain *s, const uint8_t *intact,
                          const uint8_t *in, const uint8_t *end)
{
    /* By the first byte, bytes of the packet identifier and one: PUBLISH of
     * QoS 0 to 2, of which only 1 and 2 may be repeated. */
    static const uint8_t publish[256] = {
        [0x30] = 1, [0x31] = 1, [0x32] = 3, [0x33] = 3, [0x34] = 3,
        [0x35] = 3, [0x3a] = 3, [0x3b] = 3, [0x3c] = 3, [0x3d] = 3,
    };
    enum { LEAST = 5 }; /* of a PUBLISH, with its topic's first byte */

    if (end - s->input > UINT32_MAX)
        return in;
    s->intact = (size_t)(intact - s->input);
    while (end - in >= LEAST) {
        const uint8_t *b = in + 2;
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
        if (kind ? !publish_passes(s, b, length, kind - 1)
                 : !ack_passes(s, in[0], b, length))
            break;
        in = b + length;
    }
    return in;
}
