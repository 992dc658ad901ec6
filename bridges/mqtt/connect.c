/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - the two packets that say what a session will be. */
#include "connect.h"
#include "property.h"

enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER = 0x80,
};

static const struct mqtt_fault bad_name = {MQTT_PROTOCOL_ERROR,
                                           "CONNECT is of no MQTT"};
static const struct mqtt_fault bad_version = {MQTT_BAD_VERSION,
                                              "no such version of MQTT"};
static const struct mqtt_fault bad_flags = {
    MQTT_MALFORMED, "CONNECT: flags that make no sense"};
static const struct mqtt_fault longer = {
    MQTT_MALFORMED, "CONNECT goes on after its last field"};

/* ---- CONNECT --------------------------------------------------------------
 */

static const struct mqtt_fault *version_parse(struct mqtt_connect *c,
                                              struct mqtt_in *in)
{
    struct text name = mqtt_string(in);
    uint8_t version = mqtt_u8(in);

    if (in->cut)
        return &mqtt_cut;
    if (text_equal(name, text_of("MQIsdp"))) {
        c->version = version;
        return version == MQTT_3_1 ? NULL : &bad_version;
    }
    if (!text_equal(name, text_of("MQTT")))
        return &bad_name;
    c->version = version;
    return version == MQTT_3_1_1 || version == MQTT_5 ? NULL : &bad_version;
}

static const struct mqtt_fault *flags_parse(struct mqtt_connect *c,
                                            uint8_t flags)
{
    c->clean = flags & FLAG_CLEAN;
    c->has_will = flags & FLAG_WILL;
    c->will_qos = flags >> 3 & 3;
    c->will_retain = flags & FLAG_WILL_RETAIN;
    c->has_password = flags & FLAG_PASSWORD;
    c->has_user = flags & FLAG_USER;
    if ((flags & FLAG_RESERVED && c->version != MQTT_3_1) || c->will_qos == 3 ||
        (!c->has_will && (c->will_qos || c->will_retain)) ||
        (c->has_password && !c->has_user && c->version != MQTT_5))
        return &bad_flags;
    return NULL;
}

static const struct mqtt_fault *will_parse(struct mqtt_connect *c,
                                           struct mqtt_in *in)
{
    const struct mqtt_fault *fault = NULL;

    if (c->version == MQTT_5) {
        c->will_properties = mqtt_block(in);
        fault = mqtt_properties_check(c->will_properties, MQTT_WILL);
    }
    c->will_topic = mqtt_string(in);
    c->will_payload = mqtt_string(in);
    return fault;
}

/* MQTT 3.1 has clients that set a flag and leave the field out. */
static bool field_follows(const struct mqtt_connect *c, bool flag,
                          const struct mqtt_in *in)
{
    return flag && (c->version != MQTT_3_1 || in->p != in->end);
}

static const struct mqtt_fault *payload_parse(struct mqtt_connect *c,
                                              struct mqtt_in *in)
{
    const struct mqtt_fault *fault = NULL;

    c->client_id = mqtt_string(in);
    if (c->has_will)
        fault = will_parse(c, in);
    c->has_user = field_follows(c, c->has_user, in);
    if (c->has_user)
        c->user = mqtt_string(in);
    c->has_password = field_follows(c, c->has_password, in);
    if (c->has_password)
        c->password = mqtt_string(in);
    if (in->cut)
        return &mqtt_cut;
    if (fault)
        return fault;
    if (in->p != in->end)
        return &longer;
    return mqtt_string_valid(c->client_id) && mqtt_string_valid(c->user) &&
                   mqtt_string_valid(c->will_topic)
               ? NULL
               : &mqtt_bad_string;
}

const struct mqtt_fault *mqtt_connect_parse(struct mqtt_connect *c,
                                            const struct mqtt_event *head)
{
    struct mqtt_in in = mqtt_in_body(head);

    *c = (struct mqtt_connect){0};
    const struct mqtt_fault *fault = version_parse(c, &in);
    if (fault || (fault = flags_parse(c, mqtt_u8(&in))))
        return fault;
    c->keepalive_s = mqtt_u16(&in);
    if (c->version == MQTT_5) {
        c->properties = mqtt_block(&in);
        if ((fault = mqtt_properties_check(c->properties, MQTT_CONNECT)))
            return fault;
        c->expiry_s =
            mqtt_property_number(c->properties, PROP_SESSION_EXPIRY, 0);
    }
    return payload_parse(c, &in);
}

static uint8_t flags_of(const struct mqtt_connect *c)
{
    return (uint8_t)((c->clean ? FLAG_CLEAN : 0) |
                     (c->has_will ? FLAG_WILL : 0) | c->will_qos << 3 |
                     (c->will_retain ? FLAG_WILL_RETAIN : 0) |
                     (c->has_password ? FLAG_PASSWORD : 0) |
                     (c->has_user ? FLAG_USER : 0));
}

static void connect_properties(struct mqtt_out *o, const struct mqtt_connect *c)
{
    mqtt_put_properties_but(o, c->properties, PROP_SESSION_EXPIRY);
    if (c->expiry_s > 0) { /* 0 is what none means */
        mqtt_put_u8(o, PROP_SESSION_EXPIRY);
        mqtt_put_u32(o, c->expiry_s);
    }
}

/* All behind the fixed header. */
static void connect_body(struct mqtt_out *o, const struct mqtt_connect *c)
{
    mqtt_put_string(o, text_of(c->version == MQTT_3_1 ? "MQIsdp" : "MQTT"));
    mqtt_put_u8(o, c->version);
    mqtt_put_u8(o, flags_of(c));
    mqtt_put_u16(o, c->keepalive_s);
    if (c->version == MQTT_5) {
        struct mqtt_out size = {0};
        connect_properties(&size, c);
        mqtt_put_varint(o, (uint32_t)size.n);
        connect_properties(o, c);
    }
    mqtt_put_string(o, c->client_id);
    if (c->has_will) {
        if (c->version == MQTT_5) {
            mqtt_put_varint(o, (uint32_t)c->will_properties.n);
            mqtt_put(o, c->will_properties.p, c->will_properties.n);
        }
        mqtt_put_string(o, c->will_topic);
        mqtt_put_string(o, c->will_payload);
    }
    if (c->has_user)
        mqtt_put_string(o, c->user);
    if (c->has_password)
        mqtt_put_string(o, c->password);
}

size_t mqtt_connect_encode(const struct mqtt_connect *c, uint8_t *out)
{
    struct mqtt_out size = {0}, o = {out, 0};

    connect_body(&size, c);
    if (size.n > MQTT_VARINT_MAX || c->client_id.n > UINT16_MAX ||
        c->user.n > UINT16_MAX || c->password.n > UINT16_MAX)
        return 0;
    mqtt_put_u8(&o, MQTT_CONNECT << 4);
    mqtt_put_varint(&o, (uint32_t)size.n);
    connect_body(&o, c);
    return o.n;
}

/* ---- CONNACK --------------------------------------------------------------
 */

/* MQTT 3.1.1 has five reasons to refuse, section 3.2.2.3. */
static uint8_t reason_3(enum mqtt_reason reason)
{
    switch (reason) {
    case MQTT_BAD_VERSION:
        return 1;
    case MQTT_BAD_CLIENT_ID:
        return 2;
    case MQTT_QUOTA_EXCEEDED:
        return 3; /* the server is unavailable */
    default:
        return 5; /* not authorized */
    }
}

size_t mqtt_refusal(uint8_t out[MQTT_SMALL_MAX], uint8_t version,
                    enum mqtt_reason reason)
{
    struct mqtt_out o = {out, 0};

    mqtt_put_u8(&o, MQTT_CONNACK << 4);
    mqtt_put_u8(&o, version < MQTT_5 ? 2 : 3);
    mqtt_put_u8(&o, 0); /* no session */
    mqtt_put_u8(&o, version < MQTT_5 ? reason_3(reason) : (uint8_t)reason);
    if (version >= MQTT_5)
        mqtt_put_u8(&o, 0); /* no properties */
    return o.n;
}

const struct mqtt_fault *mqtt_connack_parse(struct mqtt_connack *c,
                                            const struct mqtt_event *head,
                                            uint8_t version)
{
    struct mqtt_in in = mqtt_in_body(head);

    *c = (struct mqtt_connack){0};
    c->session_present = mqtt_u8(&in) & 1;
    c->reason = mqtt_u8(&in);
    /* A broker that does not know MQTT 5 refuses without properties. */
    if (version == MQTT_5 && !in.cut && in.p != in.end)
        c->properties = mqtt_block(&in);
    if (in.cut || in.p != in.end)
        return &mqtt_cut;
    const struct mqtt_fault *fault =
        mqtt_properties_check(c->properties, MQTT_CONNACK);
    if (!fault)
        c->alias_max = (uint16_t)mqtt_property_number(c->properties,
                                                      PROP_TOPIC_ALIAS_MAX, 0);
    return fault;
}

bool mqtt_notice_any(const struct mqtt_notice *n)
{
    return n->keepalive || n->expiry || n->max_packet || n->client_id.n;
}

static bool replaced(const struct mqtt_notice *n, uint8_t id)
{
    switch (id) {
    case PROP_SERVER_KEEP_ALIVE:
        return n->keepalive;
    case PROP_SESSION_EXPIRY:
        return n->expiry;
    case PROP_MAX_PACKET:
        return n->max_packet;
    case PROP_ASSIGNED_CLIENT_ID:
        return n->client_id.n;
    default:
        return false;
    }
}

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void connack_properties(struct mqtt_out *o, struct text block,
                               const struct mqtt_notice *n)
{
    struct mqtt_in in = mqtt_in_of(block);
    struct mqtt_property p;

    while (mqtt_property_next(&in, &p)) {
        if (!replaced(n, p.id))
            mqtt_put(o, p.whole.p, p.whole.n);
    }
    if (n->keepalive) {
        mqtt_put_u8(o, PROP_SERVER_KEEP_ALIVE);
        mqtt_put_u16(o, (uint16_t)less(
                            n->keepalive_s,
                            mqtt_property_number(block, PROP_SERVER_KEEP_ALIVE,
                                                 n->keepalive_s)));
    }
    if (n->expiry) {
        mqtt_put_u8(o, PROP_SESSION_EXPIRY);
        mqtt_put_u32(o, less(n->expiry_s,
                             mqtt_property_number(block, PROP_SESSION_EXPIRY,
                                                  n->expiry_s)));
    }
    if (n->max_packet) {
        mqtt_put_u8(o, PROP_MAX_PACKET);
        mqtt_put_u32(
            o, less(n->max_packet, mqtt_property_number(block, PROP_MAX_PACKET,
                                                        n->max_packet)));
    }
    if (n->client_id.n) {
        mqtt_put_u8(o, PROP_ASSIGNED_CLIENT_ID);
        mqtt_put_string(o, n->client_id);
    }
}

size_t mqtt_connack_encode(const struct mqtt_connack *c,
                           const struct mqtt_notice *n, uint8_t *out)
{
    struct mqtt_out size = {0}, o = {out, 0};

    connack_properties(&size, c->properties, n);
    mqtt_put_u8(&o, MQTT_CONNACK << 4);
    mqtt_put_varint(
        &o, (uint32_t)(2 + mqtt_varint_size((uint32_t)size.n) + size.n));
    mqtt_put_u8(&o, c->session_present);
    mqtt_put_u8(&o, c->reason);
    mqtt_put_varint(&o, (uint32_t)size.n);
    connack_properties(&o, c->properties, n);
    return o.n;
}

/* ---- DISCONNECT -----------------------------------------------------------
 */

size_t mqtt_disconnect_clamp(const struct mqtt_event *head, uint32_t expiry_s,
                             uint8_t *out)
{
    struct mqtt_in in = mqtt_in_body(head);
    uint8_t reason = mqtt_u8(&in);
    struct text block = {"", 0};

    if (!in.cut && in.p != in.end)
        block = mqtt_block(&in);
    if (mqtt_property_number(block, PROP_SESSION_EXPIRY, 0) <= expiry_s)
        return 0;
    struct mqtt_out size = {0}, o = {out, 0};
    mqtt_put_properties_but(&size, block, PROP_SESSION_EXPIRY);
    uint32_t properties = (uint32_t)size.n + 5;
    mqtt_put_u8(&o, MQTT_DISCONNECT << 4);
    mqtt_put_varint(&o,
                    (uint32_t)(1 + mqtt_varint_size(properties)) + properties);
    mqtt_put_u8(&o, reason);
    mqtt_put_varint(&o, properties);
    mqtt_put_properties_but(&o, block, PROP_SESSION_EXPIRY);
    mqtt_put_u8(&o, PROP_SESSION_EXPIRY);
    mqtt_put_u32(&o, expiry_s);
    return o.n;
}
