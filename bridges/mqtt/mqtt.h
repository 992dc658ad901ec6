/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt.h - mqtt:// and mqtts://: one target, several dialects of clients. The
 * subprotocol decides which; each is a table of its own. */
#ifndef GW_MQTT_H
#define GW_MQTT_H

#include "client.h"

/* What a route fills in for each session. */
enum mqtt_template {
    TEMPLATE_USER,
    TEMPLATE_PASSWORD,
    TEMPLATE_CLIENT_ID,
    TEMPLATE_CLIENT_ID_PREFIX,
    MQTT_TEMPLATES
};

struct mqtt_route {
    const struct gw_host *host;
    struct gw_tls *tls; /* or NULL */
    uint16_t default_port;
    uint32_t connect_timeout_ms;
    int proxy;
    char *templates[MQTT_TEMPLATES]; /* or NULL */
    struct rules *rules;
    bool checks_delivery; /* there are rules that deny */
    bool allow_shared;    /* $share where the plain filter is allowed */

    /* Packets. */
    bool drop_denied; /* MQTT 3: a denied PUBLISH is no reason to close */
    uint32_t connect_deadline_ms;
    uint16_t max_keepalive_s; /* 0: as the client wants */
    bool clamp_expiry;        /* to max_expiry_s */
    uint32_t max_expiry_s;
    uint32_t max_packet; /* 0: as large as MQTT allows */

    struct topics_route *topics; /* the other dialects */
};

enum mqtt_counter {
    COUNT_CONNECTS = COUNTER_TOPICS_END,
    COUNT_DENIED_PUBLISHES,
    COUNT_DENIED_SUBSCRIPTIONS,
    COUNT_DENIED_DELIVERIES,
    COUNT_MALFORMED,
};

extern const struct mqtt_dialect mqtt_packets, mqtt_topics;

/* A session's grants, from the route's rules. False: it was refused. *g stays
 * NULL without rules. */
bool mqtt_grants(struct gw_session *s, const struct mqtt_route *route,
                 struct grants **g);

#endif
