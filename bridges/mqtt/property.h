/* SPDX-License-Identifier: Apache-2.0 */
/* property.h - properties of MQTT 5.0 packets, section 2.2.2.2. Pure. */
#ifndef GW_MQTT_PROPERTY_H
#define GW_MQTT_PROPERTY_H

#include "packet.h"

enum {
    PROP_SESSION_EXPIRY = 0x11,
    PROP_ASSIGNED_CLIENT_ID = 0x12,
    PROP_SERVER_KEEP_ALIVE = 0x13,
    PROP_SUBSCRIPTION_ID = 0x0B,
    PROP_TOPIC_ALIAS_MAX = 0x22,
    PROP_TOPIC_ALIAS = 0x23,
    PROP_USER = 0x26,
    PROP_MAX_PACKET = 0x27,
};

struct mqtt_property {
    uint8_t id;
    uint32_t number;   /* if it is one */
    struct text value; /* string or binary; of a user property the value */
    struct text whole; /* all of its bytes */
};

/* The next one of a block. False: the end, or (in->cut) malformed. */
bool mqtt_property_next(struct mqtt_in *in, struct mqtt_property *p);

/* Whether the block may stand in a packet of this type: known properties that
 * belong there, each once, well formed. *seen tells which there are. */
#define MQTT_PROPERTY_BIT(id) (UINT64_C(1) << (id))
const struct mqtt_fault *mqtt_properties_scan(struct text block,
                                              enum mqtt_type type,
                                              uint64_t *seen);

/* The same, whichever there are. */
const struct mqtt_fault *mqtt_properties_check(struct text block,
                                               enum mqtt_type type);

/* The number of a property, or `none` if it is absent. Of a checked block. */
uint32_t mqtt_property_number(struct text block, uint8_t id, uint32_t none);

/* Copy a checked block without the property `id`. */
void mqtt_put_properties_but(struct mqtt_out *o, struct text block, uint8_t id);

#endif
