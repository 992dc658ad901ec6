/* SPDX-License-Identifier: Apache-2.0 */
/* packet.c - fields, and the packets that are little more than a field. */
#include "packet.h"
#include "property.h"

#include <stdlib.h>

const struct mqtt_fault mqtt_cut = {MQTT_MALFORMED,
                                    "a field goes past its packet"};
const struct mqtt_fault mqtt_bad_string = {MQTT_MALFORMED,
                                           "a string is not UTF-8"};
const struct mqtt_fault mqtt_no_id = {MQTT_MALFORMED, "packet identifier 0"};

const struct mqtt_fault mqtt_bad_length = {
    MQTT_MALFORMED, "no such length of this type of packet"};

/* ---- numbers and strings ------------------------------------------------- */

int mqtt_varint_decode(const uint8_t *p, size_t n, uint32_t *value)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i == n)
            return 0;
        v |= (uint32_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            *value = v;
            return (int)i + 1;
        }
    }
    return -1;
}

size_t mqtt_varint_size(uint32_t value)
{
    return value < 1 << 7 ? 1 : value < 1 << 14 ? 2 : value < 1 << 21 ? 3 : 4;
}

size_t mqtt_varint_encode(uint8_t out[4], uint32_t value)
{
    size_t n = mqtt_varint_size(value);

    for (size_t i = 0; i < n; i++, value >>= 7)
        out[i] = (uint8_t)((value & 0x7f) | (i + 1 < n ? 0x80 : 0));
    return n;
}

struct mqtt_in mqtt_in_of(struct text t)
{
    const uint8_t *p = (const uint8_t *)(t.n > 0 ? t.p : "");

    return (struct mqtt_in){p, p + t.n, false};
}

struct mqtt_in mqtt_in_body(const struct mqtt_event *head)
{
    return (struct mqtt_in){head->p + head->fixed, head->p + head->n, false};
}

struct text mqtt_bytes(struct mqtt_in *in, size_t n)
{
    struct text t = {(const char *)in->p, n};

    if (n > (size_t)(in->end - in->p)) {
        in->cut = true;
        in->p = in->end;
        return (struct text){"", 0};
    }
    in->p += n;
    return t;
}

static uint32_t number(struct mqtt_in *in, size_t n)
{
    struct text t = mqtt_bytes(in, n);
    uint32_t v = 0;

    for (size_t i = 0; i < t.n; i++)
        v = v << 8 | (uint8_t)t.p[i];
    return v;
}

uint8_t mqtt_u8(struct mqtt_in *in)
{
    return (uint8_t)number(in, 1);
}

uint16_t mqtt_u16(struct mqtt_in *in)
{
    return (uint16_t)number(in, 2);
}

uint32_t mqtt_u32(struct mqtt_in *in)
{
    return number(in, 4);
}

uint32_t mqtt_varint(struct mqtt_in *in)
{
    uint32_t v = 0;
    int n = mqtt_varint_decode(in->p, (size_t)(in->end - in->p), &v);

    if (n <= 0) {
        in->cut = true;
        in->p = in->end;
        return 0;
    }
    in->p += n;
    return v;
}

struct text mqtt_string(struct mqtt_in *in)
{
    return mqtt_bytes(in, mqtt_u16(in));
}

struct text mqtt_block(struct mqtt_in *in)
{
    return mqtt_bytes(in, mqtt_varint(in));
}

bool mqtt_string_valid(struct text t)
{
    return t.n == 0 || (!memchr(t.p, '\0', t.n) && text_is_utf8(t));
}

void mqtt_put(struct mqtt_out *o, const void *p, size_t n)
{
    if (o->p && n > 0)
        memcpy(o->p + o->n, p, n);
    o->n += n;
}

void mqtt_put_u8(struct mqtt_out *o, uint8_t v)
{
    mqtt_put(o, &v, 1);
}

void mqtt_put_u16(struct mqtt_out *o, uint16_t v)
{
    mqtt_put_u8(o, (uint8_t)(v >> 8));
    mqtt_put_u8(o, (uint8_t)v);
}

void mqtt_put_u32(struct mqtt_out *o, uint32_t v)
{
    mqtt_put_u16(o, (uint16_t)(v >> 16));
    mqtt_put_u16(o, (uint16_t)v);
}

void mqtt_put_varint(struct mqtt_out *o, uint32_t v)
{
    uint8_t b[4];

    mqtt_put(o, b, mqtt_varint_encode(b, v));
}

void mqtt_put_string(struct mqtt_out *o, struct text t)
{
    mqtt_put_u16(o, (uint16_t)t.n);
    mqtt_put(o, t.p, t.n);
}

/* ---- single packets ------------------------------------------------------ */

const struct mqtt_fault *mqtt_publish_parse(struct mqtt_publish *p,
                                            const struct mqtt_event *head,
                                            uint8_t version)
{
    static const struct mqtt_fault alias_0 = {MQTT_TOPIC_ALIAS_INVALID,
                                              "topic alias 0"};
    static const struct mqtt_fault no_topic = {MQTT_TOPIC_NAME_INVALID,
                                               "no topic"};
    struct mqtt_in in = mqtt_in_body(head);

    *p = (struct mqtt_publish){
        .qos = (head->flags >> 1) & 3,
        .retain = head->flags & 1,
        .dup = head->flags & 8,
    };
    p->topic = mqtt_string(&in);
    p->id = p->qos ? mqtt_u16(&in) : 0;
    if (in.cut)
        return &mqtt_cut;
    if (p->qos && p->id == 0)
        return &mqtt_no_id;
    if (version != MQTT_5)
        return p->topic.n ? NULL : &no_topic;
    struct text block = mqtt_block(&in);
    if (in.cut)
        return &mqtt_cut;
    if (block.n > 0) {
        uint64_t seen;
        const struct mqtt_fault *fault =
            mqtt_properties_scan(block, MQTT_PUBLISH, &seen);
        if (fault)
            return fault;
        p->alias = (uint16_t)mqtt_property_number(block, PROP_TOPIC_ALIAS, 0);
        if (p->alias == 0 && (seen & MQTT_PROPERTY_BIT(PROP_TOPIC_ALIAS)))
            return &alias_0;
        p->subscription_id =
            mqtt_property_number(block, PROP_SUBSCRIPTION_ID, 0);
    }
    return p->topic.n || p->alias ? NULL : &no_topic;
}

const struct mqtt_fault *mqtt_small_check(const struct mqtt_event *head,
                                          uint8_t version)
{
    struct mqtt_in in = mqtt_in_body(head);
    bool acknowledges = head->type >= MQTT_PUBACK && head->type <= MQTT_PUBCOMP;

    if (acknowledges && mqtt_u16(&in) == 0)
        return &mqtt_no_id;
    if (version != MQTT_5 || in.p == in.end)
        return in.p == in.end ? NULL : &mqtt_bad_length;
    if (head->type == MQTT_PINGREQ)
        return &mqtt_bad_length;
    mqtt_u8(&in); /* the reason */
    if (in.p == in.end)
        return NULL;
    struct text block = mqtt_block(&in);
    if (in.cut || in.p != in.end)
        return &mqtt_cut;
    return mqtt_properties_check(block, head->type);
}

size_t mqtt_small(uint8_t out[MQTT_SMALL_MAX], enum mqtt_type type,
                  uint8_t version, uint16_t id, uint8_t reason)
{
    struct mqtt_out o = {out, 0};
    bool with_reason = version == MQTT_5 && reason != 0;

    mqtt_put_u8(&o, (uint8_t)(type << 4));
    mqtt_put_u8(&o, with_reason ? 3 : 2);
    mqtt_put_u16(&o, id);
    if (with_reason)
        mqtt_put_u8(&o, reason);
    return o.n;
}

size_t mqtt_disconnect(uint8_t out[MQTT_SMALL_MAX], uint8_t reason)
{
    struct mqtt_out o = {out, 0};

    mqtt_put_u8(&o, MQTT_DISCONNECT << 4);
    mqtt_put_u8(&o, 1);
    mqtt_put_u8(&o, reason);
    return o.n;
}

/* ---- topic aliases ------------------------------------------------------- */

enum mqtt_verdict mqtt_alias_get(const struct mqtt_aliases *a, uint16_t alias)
{
    if (alias >= a->n)
        return MQTT_UNKNOWN;
    return (enum mqtt_verdict)(a->verdicts[alias / 4] >> (alias % 4 * 2) & 3);
}

bool mqtt_alias_set(struct mqtt_aliases *a, uint16_t alias, enum mqtt_verdict v)
{
    const uint32_t step = 256;

    if (alias >= a->n) {
        uint32_t n = (alias / step + 1) * step;
        uint8_t *grown = realloc(a->verdicts, n / 4);
        if (!grown)
            return false;
        memset(grown + a->n / 4, 0, (n - a->n) / 4);
        a->verdicts = grown;
        a->n = n;
    }
    uint8_t *byte = &a->verdicts[alias / 4];
    unsigned shift = alias % 4 * 2;
    *byte = (uint8_t)((*byte & ~(3U << shift)) | (unsigned)v << shift);
    return true;
}

void mqtt_aliases_fini(struct mqtt_aliases *a)
{
    free(a->verdicts);
    *a = (struct mqtt_aliases){0};
}
