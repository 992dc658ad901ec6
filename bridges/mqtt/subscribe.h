/* SPDX-License-Identifier: Apache-2.0 */
/* subscribe.h - SUBSCRIBE, SUBACK and UNSUBSCRIBE (sections 3.8 to 3.10): to
 * forward some filters of a packet, and to answer for all of them. Pure. */
#ifndef GW_MQTT_SUBSCRIBE_H
#define GW_MQTT_SUBSCRIBE_H

#include "packet.h"

struct mqtt_subscribe {
    uint16_t id;
    struct text properties; /* MQTT 5 */
    struct text filters;    /* one behind the other, as they came */
    size_t n;
    bool unsubscribes;
};

struct mqtt_filter {
    struct text text; /* a string, no more */
    uint8_t options;  /* SUBSCRIBE only */
};

/* From a whole SUBSCRIBE or UNSUBSCRIBE of a client. */
const struct mqtt_fault *mqtt_subscribe_parse(struct mqtt_subscribe *s,
                                              const struct mqtt_event *head,
                                              uint8_t version);

/* The next of s->filters: begin with mqtt_in_of(s->filters). */
bool mqtt_filter_next(const struct mqtt_subscribe *s, struct mqtt_in *in,
                      struct mqtt_filter *f);

/* One code a filter: the one of our refusal, or that the broker is asked. */
enum { MQTT_ASK_BROKER = 0xff };

/* The same SUBSCRIBE with those filters only that the broker is asked for: its
 * size; and with out not NULL its bytes. */
size_t mqtt_subscribe_encode(const struct mqtt_subscribe *s, uint8_t version,
                             const uint8_t *codes, uint8_t *out);

/* SUBACK for codes[0..n): its size; and with out not NULL its bytes. */
size_t mqtt_suback_encode(uint16_t id, uint8_t version, struct text properties,
                          const uint8_t *codes, size_t n, uint8_t *out);

struct mqtt_suback {
    uint16_t id;
    struct text properties; /* MQTT 5 */
    struct text codes;
};

/* From a whole SUBACK. */
const struct mqtt_fault *mqtt_suback_parse(struct mqtt_suback *s,
                                           const struct mqtt_event *head,
                                           uint8_t version);

/* Put the broker's codes where it was asked, in order. Where it said nothing
 * that is a refusal. */
void mqtt_suback_merge(const struct mqtt_suback *s, uint8_t *codes, size_t n);

#endif
