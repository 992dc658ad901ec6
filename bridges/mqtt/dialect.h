/* SPDX-License-Identifier: Apache-2.0 */
/* dialect.h - the functions of gw_bridge, for the sessions of one dialect. */
#ifndef GW_MQTT_DIALECT_H
#define GW_MQTT_DIALECT_H

#include "../bridge.h"

struct mqtt_route;

/* What open returns begins with a struct mqtt_session. */
struct mqtt_dialect {
    void *(*open)(struct gw_session *s, const struct mqtt_route *route,
                  const struct gw_request *r, enum gw_take *take);
    void (*data)(void *state, const struct gw_data *d);
    void (*drained)(void *state);
    void (*client_ended)(void *state, uint16_t code);
    void (*close)(void *state);
};

struct mqtt_session {
    const struct mqtt_dialect *dialect;
};

#endif
