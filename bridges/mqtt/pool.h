/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - hubs, found by what they connect to.
 *
 * Routes that name the same broker with the same credentials share one hub,
 * also across reloads; so do all routes to one local: bus. A hub comes into
 * being with its first session, for loading a configuration does no I/O. */
#ifndef GW_MQTT_POOL_H
#define GW_MQTT_POOL_H

#include "hub.h"

/* What makes two hubs the same, as given; NULL where nothing was. */
struct pool_settings {
    const struct upstream_ops *ops;
    const struct gw_bridge *bridge;
    const struct gw_host *host;
    const char *brokers; /* or the name of a local bus */
    bool tls, insecure;
    const char *ca, *cert, *key, *sni, *user, *password, *client_id;
    const char *will_topic, *will_payload;
    int version;
    unsigned keepalive_s, connect_timeout_ms, window, hold_ms;
    size_t hold_max, hold_bytes, window_bytes, max_payload;
    size_t retained_max, retained_bytes;
};

/* The hub of these settings if there is one, with a reference; or NULL. */
struct hub *pool_find(const struct pool_settings *s);

/* The same, made if need be; then names are looked up by this worker. NULL
 * with the reason. */
struct hub *pool_get(const struct pool_settings *s, struct gw_worker *w,
                     char *err, size_t cap);

#endif
