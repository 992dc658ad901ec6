/* SPDX-License-Identifier: Apache-2.0 */
/* property.c - one table: what each property holds and where it may stand. */
#include "property.h"

enum kind { NONE, U8, U16, U32, VARINT, STRING, BINARY, PAIR };

#define IN(type) MQTT_BIT(MQTT_##type)
#define ACKS                                                                   \
    (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) |         \
     IN(UNSUBACK))

/* Table 2-4 of MQTT 5.0. */
static const struct property {
    uint8_t kind;
    uint16_t in;
} properties[] = {
    [0x01] = {U8, IN(PUBLISH) | IN(WILL)},     /* payload format */
    [0x02] = {U32, IN(PUBLISH) | IN(WILL)},    /* message expiry */
    [0x03] = {STRING, IN(PUBLISH) | IN(WILL)}, /* content type */
    [0x08] = {STRING, IN(PUBLISH) | IN(WILL)}, /* response topic */
    [0x09] = {BINARY, IN(PUBLISH) | IN(WILL)}, /* correlation data */
    [PROP_SUBSCRIPTION_ID] = {VARINT, IN(PUBLISH) | IN(SUBSCRIBE)},
    [PROP_SESSION_EXPIRY] = {U32, IN(CONNECT) | IN(CONNACK) | IN(DISCONNECT)},
    [PROP_ASSIGNED_CLIENT_ID] = {STRING, IN(CONNACK)},
    [PROP_SERVER_KEEP_ALIVE] = {U16, IN(CONNACK)},
    [0x15] = {STRING, IN(CONNECT) | IN(CONNACK) | IN(AUTH)}, /* method */
    [0x16] = {BINARY, IN(CONNECT) | IN(CONNACK) | IN(AUTH)}, /* its data */
    [0x17] = {U8, IN(CONNECT)},                      /* request problem info */
    [0x18] = {U32, IN(WILL)},                        /* will delay */
    [0x19] = {U8, IN(CONNECT)},                      /* request response info */
    [0x1A] = {STRING, IN(CONNACK)},                  /* response information */
    [0x1C] = {STRING, IN(CONNACK) | IN(DISCONNECT)}, /* server reference */
    [0x1F] = {STRING, ACKS | IN(CONNACK) | IN(DISCONNECT) | IN(AUTH)},
    [0x21] = {U16, IN(CONNECT) | IN(CONNACK)}, /* receive maximum */
    [PROP_TOPIC_ALIAS_MAX] = {U16, IN(CONNECT) | IN(CONNACK)},
    [PROP_TOPIC_ALIAS] = {U16, IN(PUBLISH)},
    [0x24] = {U8, IN(CONNACK)}, /* maximum QoS */
    [0x25] = {U8, IN(CONNACK)}, /* retain available */
    [PROP_USER] = {PAIR, 0xffff},
    [PROP_MAX_PACKET] = {U32, IN(CONNECT) | IN(CONNACK)},
    [0x28] = {U8, IN(CONNACK)}, /* wildcards available */
    [0x29] = {U8, IN(CONNACK)}, /* subscription ids */
    [0x2A] = {U8, IN(CONNACK)}, /* shared subscriptions */
};

enum { PROPERTIES = sizeof properties / sizeof *properties };

static const struct mqtt_fault bad_property = {
    MQTT_MALFORMED, "no such property of this type of packet"};
static const struct mqtt_fault twice = {MQTT_PROTOCOL_ERROR,
                                        "a property appears twice"};
static const struct mqtt_fault bad_value = {MQTT_PROTOCOL_ERROR,
                                            "no such value of a property"};

bool mqtt_property_next(struct mqtt_in *in, struct mqtt_property *p)
{
    const uint8_t *from = in->p;

    if (in->p == in->end)
        return false;
    *p = (struct mqtt_property){.id = mqtt_u8(in)};
    switch (p->id < PROPERTIES ? properties[p->id].kind : NONE) {
    case U8:
        p->number = mqtt_u8(in);
        break;
    case U16:
        p->number = mqtt_u16(in);
        break;
    case U32:
        p->number = mqtt_u32(in);
        break;
    case VARINT:
        p->number = mqtt_varint(in);
        break;
    case STRING:
    case BINARY:
        p->value = mqtt_string(in);
        break;
    case PAIR:
        in->cut |= !mqtt_string_valid(mqtt_string(in));
        p->value = mqtt_string(in);
        break;
    default:
        in->cut = true;
    }
    p->whole = (struct text){(const char *)from, (size_t)(in->p - from)};
    return !in->cut;
}

static const struct mqtt_fault *value_check(const struct mqtt_property *p)
{
    uint8_t kind = properties[p->id].kind;

    if ((kind == STRING || kind == PAIR) && !mqtt_string_valid(p->value))
        return &mqtt_bad_string;
    if (kind == U8 && p->number > 1) /* every one of them is a choice of two */
        return &bad_value;
    if (p->number == 0 && (p->id == PROP_SUBSCRIPTION_ID ||
                           p->id == PROP_MAX_PACKET || p->id == 0x21))
        return &bad_value;
    return NULL;
}

const struct mqtt_fault *mqtt_properties_scan(struct text block,
                                              enum mqtt_type type,
                                              uint64_t *seen)
{
    struct mqtt_in in = mqtt_in_of(block);
    struct mqtt_property p;

    *seen = 0;
    while (mqtt_property_next(&in, &p)) {
        const struct mqtt_fault *fault = value_check(&p);
        if (fault)
            return fault;
        if (!(properties[p.id].in & MQTT_BIT(type)))
            return &bad_property;
        if (p.id != PROP_USER && (*seen & MQTT_PROPERTY_BIT(p.id)))
            return &twice;
        *seen |= MQTT_PROPERTY_BIT(p.id);
    }
    return in.cut ? &bad_property : NULL;
}

const struct mqtt_fault *mqtt_properties_check(struct text block,
                                               enum mqtt_type type)
{
    uint64_t seen;

    return mqtt_properties_scan(block, type, &seen);
}

uint32_t mqtt_property_number(struct text block, uint8_t id, uint32_t none)
{
    struct mqtt_in in = mqtt_in_of(block);
    struct mqtt_property p;

    while (mqtt_property_next(&in, &p)) {
        if (p.id == id)
            return p.number;
    }
    return none;
}

void mqtt_put_properties_but(struct mqtt_out *o, struct text block, uint8_t id)
{
    struct mqtt_in in = mqtt_in_of(block);
    struct mqtt_property p;

    while (mqtt_property_next(&in, &p)) {
        if (p.id != id)
            mqtt_put(o, p.whole.p, p.whole.n);
    }
}
