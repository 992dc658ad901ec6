/* SPDX-License-Identifier: Apache-2.0 */
/* topics_route.h - a route's options for the topic dialects. */
#ifndef GW_MQTT_TOPICS_ROUTE_H
#define GW_MQTT_TOPICS_ROUTE_H

#include "client.h"
#include "pool.h"

/* Rows for the option tables of the mqtt and local bridges. */
#define TOPICS_OPTIONS                                                         \
    {"publish", GW_OPT_STRING, NULL, NULL,                                     \
     "raw: the topic that messages are published to (template)"},              \
        {"subscribe", GW_OPT_STRING, NULL, NULL,                               \
         "raw: filters to subscribe, comma-separated (templates)"},            \
        {"qos", GW_OPT_ENUM, "0|1|2", "0",                                     \
         "raw: of publishes and subscriptions"},                               \
        {"retain", GW_OPT_BOOL, NULL, "false", "raw: publishes are retained"}, \
        {"form", GW_OPT_ENUM, "auto|json|text|b64", "auto",                    \
         "gangway.v1.json: how payloads are written in messages"},             \
        {"slow", GW_OPT_ENUM, "drop_oldest|drop_newest|conflate|disconnect",   \
         "drop_oldest", "what happens to a session that does not keep up"},    \
        {"queue", GW_OPT_SIZE, NULL, "1000",                                   \
         "messages that wait for a session that is slow"},                     \
        {"queue_bytes", GW_OPT_SIZE, NULL, "1MiB", "and their bytes"},         \
        {"max_subscriptions", GW_OPT_SIZE, NULL, "100", "of a session"},       \
        {"max_payload", GW_OPT_SIZE, NULL, "64KiB",                            \
         "of a publish or a message, in the topic dialects"},                  \
        {"presence", GW_OPT_STRING, NULL, NULL,                                \
         "topic that tells of sessions that join and leave (template)"},       \
        {"hold", GW_OPT_DURATION, NULL, "10s",                                 \
         "how long publishes wait for a broker that is away; 0: they fail"},   \
        {"hold_max", GW_OPT_SIZE, NULL, "10000",                               \
         "publishes that wait, of all sessions"},                              \
    {                                                                          \
        "hold_bytes", GW_OPT_SIZE, NULL, "16MiB", "and their bytes"            \
    }

/* Rows of their counters; the first ones of the tables. */
#define TOPICS_COUNTERS                                                        \
    [COUNTER_UPSTREAMS_UP] = {"upstreams_up",                                  \
                              "Brokers that topics are connected to.", true},  \
    [COUNTER_MESSAGES_IN] = {"messages_received",                              \
                             "Messages from brokers and local buses.", false}, \
    [COUNTER_DELIVERED] = {"messages_delivered", "Messages sent to sessions.", \
                           false},                                             \
    [COUNTER_DROPPED] = {"messages_dropped",                                   \
                         "Messages dropped for slow sessions or loops.",       \
                         false},                                               \
    [COUNTER_PUBLISHED] = {"publishes", "Publishes taken from sessions.",      \
                           false},                                             \
    [COUNTER_PUBLISH_FAILED] = {"publishes_failed",                            \
                                "Publishes that the broker did not take.",     \
                                false},                                        \
    [COUNTER_DENIED] = {"denied", "Requests that no rule allows.", false},     \
    [COUNTER_RETAINED] = {"retained", "Retained messages of local buses.",     \
                          true}

/* An option's value by its name, in tables that end with a NULL name. */
const struct gw_value *mqtt_option(const struct gw_option *options,
                                   const struct gw_value *values,
                                   const char *name);

/* Fill in *r from the options; `rules` becomes its. 0, or -1 with the reason;
 * topics_route_close frees either way. Does no I/O. */
int topics_route_open(struct topics_route *r, const struct gw_host *host,
                      const struct gw_option *options,
                      const struct gw_target *t,
                      const struct pool_settings *pool, char *err, size_t cap);
void topics_route_close(struct topics_route *r);

#endif
