/* SPDX-License-Identifier: Apache-2.0 */
/* connect.h - CONNECT and CONNACK of MQTT 3.1, 3.1.1 and 5.0 (section 3.1 and
 * 3.2), taken apart, changed and put together again. Pure. */
#ifndef GW_MQTT_CONNECT_H
#define GW_MQTT_CONNECT_H

#include "packet.h"

/* All texts lie in the packet that was parsed, or are the caller's. */
struct mqtt_connect {
    uint8_t version;
    bool clean, has_will, will_retain, has_user, has_password;
    uint8_t will_qos;
    uint16_t keepalive_s; /* 0: none */
    uint32_t expiry_s;    /* of the session; MQTT 5; UINT32_MAX: never */
    struct text properties, client_id;
    struct text will_properties, will_topic, will_payload;
    struct text user, password;
};

/* `head` is a whole CONNECT. If the version is one that we know, or at least
 * could be read, c->version is set even when there is a fault. */
const struct mqtt_fault *mqtt_connect_parse(struct mqtt_connect *c,
                                            const struct mqtt_event *head);

/* The packet: its size; and with out not NULL its bytes. 0: it would be too
 * large, or a field is. */
size_t mqtt_connect_encode(const struct mqtt_connect *c, uint8_t *out);

/* A CONNACK that refuses, in the words of the version. Returns its size. */
size_t mqtt_refusal(uint8_t out[MQTT_SMALL_MAX], uint8_t version,
                    enum mqtt_reason reason);

struct mqtt_connack {
    bool session_present;
    uint8_t reason;
    uint16_t alias_max;     /* MQTT 5 */
    struct text properties; /* MQTT 5 */
};

/* From a whole CONNACK. */
const struct mqtt_fault *mqtt_connack_parse(struct mqtt_connack *c,
                                            const struct mqtt_event *head,
                                            uint8_t version);

/* What a client has to be told beyond what the broker says, since the broker
 * was told other than what the client said. */
struct mqtt_notice {
    bool keepalive, expiry; /* the next two count */
    uint16_t keepalive_s;   /* the broker's, if less, counts */
    uint32_t expiry_s;      /* the broker's, if less, counts */
    uint32_t max_packet;    /* 0: none; the broker's, if less, counts */
    struct text client_id;  /* n == 0: none; else in place of the broker's */
};

bool mqtt_notice_any(const struct mqtt_notice *n);

/* An MQTT 5 CONNACK with the notice in it; as mqtt_connect_encode. */
size_t mqtt_connack_encode(const struct mqtt_connack *c,
                           const struct mqtt_notice *n, uint8_t *out);

/* An MQTT 5 DISCONNECT of a client whose session may live expiry_s at most:
 * its size and its bytes; 0 if it may stay as it is. `head` was checked. */
size_t mqtt_disconnect_clamp(const struct mqtt_event *head, uint32_t expiry_s,
                             uint8_t *out);

#endif
