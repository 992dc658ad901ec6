/* SPDX-License-Identifier: Apache-2.0 */
/* packets_down.c - what a broker sends, where it has to be looked at: CONNACK,
 * answers to subscriptions that were forwarded in part, answers to pings of
 * ours, and, where rules deny, the topic of each message. */
#include "packets.h"

#include <stdlib.h>

static void no_mqtt(struct packets *p)
{
    packets_end(p, GW_BACKEND_LOST, 0, "the broker sent no MQTT");
}

static void down_connack(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_connack c;
    uint8_t *out = NULL;
    size_t n = 0;

    if (mqtt_connack_parse(&c, ev, p->version)) {
        no_mqtt(p);
        return;
    }
    if (p->version == MQTT_5 && c.reason == 0 && mqtt_notice_any(&p->notice)) {
        n = mqtt_connack_encode(&c, &p->notice, NULL);
        out = malloc(n);
        if (!out) {
            packets_no_memory(p);
            return;
        }
        mqtt_connack_encode(&c, &p->notice, out);
        packets_put_down(p, out, n);
        free(out);
    } else {
        packets_pass_down(p, ev);
    }
    p->alias_max = c.alias_max;
    p->connack = true;
    packets_look(p);
}

/* The merge that a SUBACK is for, taken off the list; or NULL. */
static struct merge *merge_take(struct packets *p, uint16_t id)
{
    struct merge **at = &p->merges, *m;

    while (*at && (*at)->id != id)
        at = &(*at)->next;
    m = *at;
    if (!m)
        return NULL;
    *at = m->next;
    p->merges_n--;
    p->merges_bytes -= m->n;
    packets_look(p);
    return m;
}

static void down_suback(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_suback s;

    if (mqtt_suback_parse(&s, ev, p->version)) {
        no_mqtt(p);
        return;
    }
    struct merge *m = merge_take(p, s.id);
    if (!m) {
        packets_pass_down(p, ev);
        return;
    }
    mqtt_suback_merge(&s, m->codes, m->n);
    size_t n = mqtt_suback_encode(s.id, p->version, s.properties, m->codes,
                                  m->n, NULL);
    uint8_t *out = malloc(n);
    if (out) {
        mqtt_suback_encode(s.id, p->version, s.properties, m->codes, m->n, out);
        packets_put_down(p, out, n);
    } else {
        packets_no_memory(p);
    }
    free(out);
    free(m);
}

static bool delivers(struct packets *p, const struct mqtt_publish *pub,
                     bool *memory)
{
    if (pub->topic.n == 0)
        return mqtt_alias_get(&p->down_aliases, pub->alias) == MQTT_ALLOWED;
    bool yes = grants_deliver(p->grants, pub->topic);
    if (pub->alias)
        *memory = mqtt_alias_set(&p->down_aliases, pub->alias,
                                 yes ? MQTT_ALLOWED : MQTT_DENIED);
    return yes;
}

/* The broker is told that the message has come. Of QoS 2 and MQTT 3 it goes
 * on with PUBREL to the client, which completes what it does not know. */
static void withhold(struct packets *p, const struct mqtt_publish *pub)
{
    uint8_t out[MQTT_SMALL_MAX];
    enum mqtt_type type = pub->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;

    p->drop_down = true;
    packets_count(p, COUNT_DENIED_DELIVERIES, 1);
    if (pub->qos > 0)
        packets_tell_broker(
            p, out,
            mqtt_small(out, type, p->version, pub->id, MQTT_NOT_AUTHORIZED));
}

static void down_publish(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_publish pub;
    bool memory = true;

    if (mqtt_publish_parse(&pub, ev, p->version)) {
        no_mqtt(p);
        return;
    }
    if (delivers(p, &pub, &memory))
        packets_pass_down(p, ev);
    else
        withhold(p, &pub);
    if (!memory)
        packets_no_memory(p);
}

struct plain packets_down_begin(const struct packets *p, const uint8_t *in)
{
    return (struct plain){
        .input = in,
        .version = p->version,
        .max_packet = p->down.max_packet,
        .grants = p->grants,
        .aliases = &p->down_aliases,
        .allowed = grants_deliver,
    };
}

/* A frame's header goes before a run that leaves, over bytes that have been
 * looked at: those of the run under way are as they were. */
const uint8_t *packets_down_plain(struct packets *p, struct plain *plain,
                                  const uint8_t *in, const uint8_t *end)
{
    struct mqtt_event ev = {.p = in};
    const uint8_t *intact = p->run_down.n > 0 ? p->run_down.p : in;

    if (p->down.step || !mqtt_reader_idle(&p->down))
        return in;
    in = plain_pass(plain, intact, in, end);
    ev.n = (size_t)(in - ev.p);
    if (ev.n > 0)
        packets_pass_down(p, &ev);
    return in;
}

void packets_down_head(struct packets *p, const struct mqtt_event *ev)
{
    p->drop_down = false;
    switch (ev->type) {
    case MQTT_CONNACK:
        down_connack(p, ev);
        break;
    case MQTT_SUBACK:
        down_suback(p, ev);
        break;
    case MQTT_PUBLISH:
        down_publish(p, ev);
        break;
    case MQTT_PINGRESP: /* only our own pings are waited for here, but the
                           client's looks the same: it gets as many as it has
                           asked for */
        p->pings--;
        packets_look(p);
        break;
    default:
        packets_pass_down(p, ev);
    }
}

void packets_down_bytes(struct packets *p, const struct mqtt_event *ev)
{
    if (!ev->payload)
        p->drop_down = false;
    if (!p->drop_down)
        packets_pass_down(p, ev);
}
