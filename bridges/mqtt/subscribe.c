/* SPDX-License-Identifier: Apache-2.0 */
/* subscribe.c - lists of filters, and the lists of codes that answer them. */
#include "subscribe.h"
#include "property.h"

enum {
    OPTIONS_QOS = 0x03,
    OPTIONS_NO_LOCAL = 0x04,
    OPTIONS_RETAIN = 0x30, /* retain handling */
    OPTIONS_RESERVED = 0xc0,
    REFUSED = 0x80,
};

static const struct mqtt_fault no_filter = {MQTT_PROTOCOL_ERROR,
                                            "a subscription of nothing"};
static const struct mqtt_fault bad_options = {
    MQTT_MALFORMED, "no such options of a subscription"};
static const struct mqtt_fault shared_no_local = {
    MQTT_PROTOCOL_ERROR, "a shared subscription with No Local"};

static const struct mqtt_fault *options_check(const struct mqtt_filter *f,
                                              uint8_t version)
{
    uint8_t o = f->options;

    if ((o & OPTIONS_QOS) == 3)
        return &bad_options;
    if (version != MQTT_5)
        return o & ~OPTIONS_QOS ? &bad_options : NULL;
    if (o & OPTIONS_RESERVED || (o & OPTIONS_RETAIN) == OPTIONS_RETAIN)
        return &bad_options;
    if (o & OPTIONS_NO_LOCAL && f->text.n > 7 &&
        memcmp(f->text.p, "$share/", 7) == 0)
        return &shared_no_local;
    return NULL;
}

bool mqtt_filter_next(const struct mqtt_subscribe *s, struct mqtt_in *in,
                      struct mqtt_filter *f)
{
    if (in->p == in->end)
        return false;
    f->text = mqtt_string(in);
    f->options = s->unsubscribes ? 0 : mqtt_u8(in);
    return !in->cut;
}

const struct mqtt_fault *mqtt_subscribe_parse(struct mqtt_subscribe *s,
                                              const struct mqtt_event *head,
                                              uint8_t version)
{
    struct mqtt_in in = mqtt_in_body(head);
    const struct mqtt_fault *fault = NULL;
    struct mqtt_filter f;

    *s = (struct mqtt_subscribe){
        .unsubscribes = head->type == MQTT_UNSUBSCRIBE,
        .id = mqtt_u16(&in),
    };
    if (s->id == 0)
        return &mqtt_no_id;
    if (version == MQTT_5) {
        s->properties = mqtt_block(&in);
        fault = mqtt_properties_check(s->properties, head->type);
    }
    s->filters = (struct text){(const char *)in.p, (size_t)(in.end - in.p)};
    while (!fault && mqtt_filter_next(s, &in, &f)) {
        s->n++;
        fault = mqtt_string_valid(f.text) ? options_check(&f, version)
                                          : &mqtt_bad_string;
    }
    if (fault || in.cut)
        return fault ? fault : &mqtt_cut;
    return s->n > 0 ? NULL : &no_filter;
}

/* All behind the fixed header. */
static void subscribe_body(struct mqtt_out *o, const struct mqtt_subscribe *s,
                           uint8_t version, const uint8_t *codes)
{
    struct mqtt_in in = mqtt_in_of(s->filters);
    struct mqtt_filter f;

    mqtt_put_u16(o, s->id);
    if (version == MQTT_5) {
        mqtt_put_varint(o, (uint32_t)s->properties.n);
        mqtt_put(o, s->properties.p, s->properties.n);
    }
    while (mqtt_filter_next(s, &in, &f)) {
        if (*codes++ != MQTT_ASK_BROKER)
            continue;
        mqtt_put_string(o, f.text);
        mqtt_put_u8(o, f.options);
    }
}

size_t mqtt_subscribe_encode(const struct mqtt_subscribe *s, uint8_t version,
                             const uint8_t *codes, uint8_t *out)
{
    struct mqtt_out size = {0}, o = {out, 0};

    subscribe_body(&size, s, version, codes);
    mqtt_put_u8(&o, MQTT_SUBSCRIBE << 4 | 2);
    mqtt_put_varint(&o, (uint32_t)size.n);
    subscribe_body(&o, s, version, codes);
    return o.n;
}

size_t mqtt_suback_encode(uint16_t id, uint8_t version, struct text properties,
                          const uint8_t *codes, size_t n, uint8_t *out)
{
    struct mqtt_out o = {out, 0};
    size_t size = 2 + n;

    if (version == MQTT_5)
        size += mqtt_varint_size((uint32_t)properties.n) + properties.n;
    mqtt_put_u8(&o, MQTT_SUBACK << 4);
    mqtt_put_varint(&o, (uint32_t)size);
    mqtt_put_u16(&o, id);
    if (version == MQTT_5) {
        mqtt_put_varint(&o, (uint32_t)properties.n);
        mqtt_put(&o, properties.p, properties.n);
    }
    mqtt_put(&o, codes, n);
    return o.n;
}

const struct mqtt_fault *mqtt_suback_parse(struct mqtt_suback *s,
                                           const struct mqtt_event *head,
                                           uint8_t version)
{
    struct mqtt_in in = mqtt_in_body(head);

    *s = (struct mqtt_suback){.id = mqtt_u16(&in)};
    if (version == MQTT_5)
        s->properties = mqtt_block(&in);
    s->codes = mqtt_bytes(&in, (size_t)(in.end - in.p));
    return in.cut ? &mqtt_cut : NULL;
}

void mqtt_suback_merge(const struct mqtt_suback *s, uint8_t *codes, size_t n)
{
    size_t next = 0;

    for (size_t i = 0; i < n; i++) {
        if (codes[i] != MQTT_ASK_BROKER)
            continue;
        codes[i] = next < s->codes.n ? (uint8_t)s->codes.p[next] : REFUSED;
        next++;
    }
}
