/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt.h - what is needed of MQTT 3.1.1 to send PUBLISH packets of QoS 0
 * through a gateway, whether it understands them or not. */
#ifndef LOAD_MQTT_H
#define LOAD_MQTT_H

#include "load.h"

enum { MQTT_GREETING_MAX = 512 };

/* Of MQTT 3.1.1: no session was there, the connection is accepted. */
#define MQTT_CONNACK      "\x20\x02\x00\x00"
#define MQTT_CONNACK_SIZE (sizeof MQTT_CONNACK - 1)

enum mqtt_result { MQTT_MORE, MQTT_DONE, MQTT_BAD };

/* CONNECT of the session with this number, which is its client identifier.
 * Returns its size, at most MQTT_GREETING_MAX. */
size_t mqtt_connect_write(uint8_t *out, uint32_t number);

/* A CONNECT packet as it comes. */
struct mqtt_greeting {
    uint8_t packet[MQTT_GREETING_MAX];
    size_t n;
};

/* Takes the packet's bytes from *p, *n; MQTT_DONE: the number is known. */
enum mqtt_result mqtt_greeting_feed(struct mqtt_greeting *g, const uint8_t **p,
                                    size_t *n, uint32_t *number);

/* Make the pattern of PUBLISH packets with `payload` bytes each, on `topics`
 * topics in turn. Returns the size of a packet, which is that of all. */
size_t mqtt_pattern_init(size_t payload, unsigned topics);

#endif
