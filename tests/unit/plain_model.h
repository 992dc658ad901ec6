/* SPDX-License-Identifier: Apache-2.0 */
/* plain_model.h - which packets are plain, by way of the reader and of what
 * judges its heads, to compare bridges/mqtt/plain.c with. For unit tests and
 * fuzzing. */
#ifndef GW_PLAIN_MODEL_H
#define GW_PLAIN_MODEL_H

#include "../../bridges/mqtt/plain.h"
#include "../../bridges/mqtt/property.h"
#include "../check.h"

/* Some topics may pass, others not, whoever asks. */
static inline bool model_allowed(const struct grants *g, struct text topic)
{
    unsigned sum = 0;

    (void)g;
    for (size_t i = 0; i < topic.n; i++)
        sum = sum * 31 + (uint8_t)topic.p[i];
    return sum % 4 != 0;
}

/* No property but an alias instead of a topic, or some that are no matter. */
static inline bool model_properties(const struct plain *c,
                                    const struct mqtt_event *head,
                                    const struct mqtt_publish *pub)
{
    struct mqtt_in in = mqtt_in_body(head);

    mqtt_string(&in);
    if (pub->qos > 0)
        mqtt_u16(&in);
    if (in.p[0] >= 0x80)
        return false;
    struct text block = mqtt_block(&in);
    if (pub->topic.n == 0)
        return block.n == 3 &&
               mqtt_alias_get(c->aliases, pub->alias) == MQTT_ALLOWED;
    return pub->alias == 0 && !(c->from_client && pub->subscription_id);
}

static inline bool model_publish(const struct plain *c,
                                 const struct mqtt_event *head)
{
    struct mqtt_publish pub;

    if (mqtt_publish_parse(&pub, head, c->version) || (pub.dup && pub.qos == 0))
        return false;
    if (c->version == MQTT_5 && !model_properties(c, head, &pub))
        return false;
    return pub.topic.n == 0 || c->allowed(c->grants, pub.topic);
}

static inline bool model_ack(const struct plain *c,
                             const struct mqtt_event *head)
{
    return head->type >= MQTT_PUBACK && head->type <= MQTT_PUBCOMP &&
           head->flags == (head->type == MQTT_PUBREL ? 2 : 0) &&
           head->n - head->fixed <= 4 && !mqtt_small_check(head, c->version);
}

/* The size of the packet that lies whole at p[0..n), is plain and may pass;
 * 0: there is none. */
static inline size_t model_packet(const struct plain *c, const uint8_t *p,
                                  size_t n)
{
    const uint8_t *in = p;
    struct mqtt_reader r;
    struct mqtt_event ev;
    size_t size = 0;

    mqtt_reader_init(&r, c->from_client, UINT16_MAX);
    r.version = c->version;
    r.max_packet = c->max_packet;
    if (n >= 5 && mqtt_reader_next(&r, &in, p + n, &ev) == MQTT_GOT_HEAD &&
        ev.rest <= n - ev.n && ev.fixed <= 3 &&
        (ev.type == MQTT_PUBLISH ? model_publish(c, &ev) : model_ack(c, &ev)))
        size = ev.n + ev.rest;
    mqtt_reader_fini(&r);
    return size;
}

/* The size of a packet that lies whole at p[0..n), whatever it is; or 0. */
static inline size_t model_whole(const uint8_t *p, size_t n)
{
    uint32_t length;
    int size = n > 0 ? mqtt_varint_decode(p + 1, n - 1, &length) : 0;

    if (size <= 0 || 1 + (size_t)size + length > n)
        return 0;
    return 1 + (size_t)size + length;
}

/* Whether p[0..n) is passed as the model would, packet by packet; those that
 * are not plain are gone past. With `spoilt`, what has been gone past then is
 * not what it was. Returns how many bytes were plain. */
static inline size_t model_compare(const struct plain *config, const uint8_t *p,
                                   size_t n, bool spoilt)
{
    struct plain s = *config;
    size_t at = 0, intact = 0, plain = 0, size;
    uint8_t *copy = malloc(n ? n : 1);

    CHECK(copy);
    if (n > 0)
        memcpy(copy, p, n);
    s.input = copy;
    do {
        const uint8_t *end = plain_pass(&s, copy + intact, copy + at, copy + n);
        for (; (size = model_packet(config, p + at, n - at)) > 0; at += size)
            plain += size;
        CHECK(end == copy + at);
        CHECK(memcmp(copy + intact, p + intact, n - intact) == 0);
        size = model_whole(p + at, n - at);
        at += size;
        if (spoilt) {
            memset(copy, 0xee, at);
            intact = at;
        }
    } while (size > 0);
    free(copy);
    return plain;
}

#endif
