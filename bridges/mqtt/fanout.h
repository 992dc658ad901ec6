/* SPDX-License-Identifier: Apache-2.0 */
/* fanout.h - messages, and the frames that carry them to sessions. */
#ifndef GW_MQTT_FANOUT_H
#define GW_MQTT_FANOUT_H

#include "../bridge.h"
#include "envelope.h"
#include "topic.h"

#include <stdatomic.h>

/* Counters of the topic dialects, in the bridges' tables from this index. */
enum topic_counter {
    COUNTER_UPSTREAMS_UP, /* gauge */
    COUNTER_MESSAGES_IN,
    COUNTER_DELIVERED,
    COUNTER_DROPPED,
    COUNTER_PUBLISHED,
    COUNTER_PUBLISH_FAILED,
    COUNTER_DENIED,
    COUNTER_RETAINED, /* gauge */
    COUNTER_TOPICS_END
};

enum dialect { DIALECT_JSON, DIALECT_BINARY, DIALECT_RAW };

enum {
    MESSAGE_RAW = 5 * 6, /* four JSON forms and the binary one, by QoS and
                            retained; then the payload alone */
    MESSAGE_FORMS
};

/* Written once and then constant; counted; on any thread. */
struct message {
    atomic_uint refs;
    uint8_t qos;
    bool retained;      /* sent for a new subscription, not just published */
    uint32_t filter_id; /* of the upstream filter it came for; 0: unknown */
    const struct gw_host *host;
    struct text topic, payload; /* within bytes[] */
    _Atomic(struct gw_frame *) encoded[MESSAGE_FORMS];
    uint8_t bytes[];
};

/* Copies both. One reference. NULL: out of memory. */
struct message *message_new(const struct gw_host *host, struct text topic,
                            struct text payload, int qos, bool retained);
struct message *message_ref(struct message *m);
void message_unref(struct message *m);

/* The frame of a message in a form, made at the first call and shared by all
 * later ones. The message keeps the reference. `form` is an envelope_form,
 * for DIALECT_JSON. NULL: out of memory. */
struct gw_frame *message_frame(struct message *m, enum dialect dialect, int qos,
                               bool retained, int form);

#endif
