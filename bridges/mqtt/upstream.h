/* SPDX-License-Identifier: Apache-2.0 */
/* upstream.h - where topics come from and go to: a broker, or this process.
 *
 * A table, so that another MQTT client library could take Paho's place. All
 * functions are called by the hub's thread, which holds no lock meanwhile.
 * Events come from any thread, also within those functions, and return at
 * once. */
#ifndef GW_MQTT_UPSTREAM_H
#define GW_MQTT_UPSTREAM_H

#include "fanout.h"

struct hub;
struct upstream;

struct upstream_settings {
    const struct gw_host *host;     /* for message_new */
    const struct gw_bridge *bridge; /* for counters */
    struct gw_worker *worker;       /* whose resolver is asked */
    const char *brokers;            /* "host:port,host:port" */
    bool tls, insecure;
    const char *ca, *cert, *key, *sni; /* NULL: none */
    const char *user, *password;       /* NULL: none */
    const char *client_id;             /* beginning of the pool's ids */
    int version;                       /* 4 (3.1.1) or 5 */
    unsigned keepalive_s, connect_timeout_ms;
    const char *will_topic, *will_payload; /* NULL: none */
    unsigned window;                       /* publishes under way */
    size_t window_bytes;
    size_t max_payload;                  /* larger messages are dropped */
    size_t retained_max, retained_bytes; /* local: what is kept */
};

/* What an upstream tells its hub; any thread. */
struct upstream_events {
    void (*state)(struct hub *h, bool up, const char *why);
    /* A reference passes to the hub. */
    void (*message)(struct hub *h, struct message *m);
    /* The end of a publish that was taken: 0, an MQTT reason code, or -1. */
    void (*published)(struct hub *h, void *token, int reason);
    /* There is room in the window again, or tick has something to do. */
    void (*writable)(struct hub *h);
    /* The broker's answer to subscribe: the granted QoS, or >= 0x80. */
    void (*subscribed)(struct hub *h, uint32_t filter_id, int granted);
};

struct upstream_ops {
    const char *name;
    /* Connecting begins. `s` and its strings outlive the upstream. NULL with
     * the reason in err[0..cap). */
    struct upstream *(*open)(struct hub *h, const struct upstream_events *ev,
                             const struct upstream_settings *s, char *err,
                             size_t cap);
    /* Subscribe; or, for the retained messages, subscribe again. Only while
     * the state is up. */
    void (*subscribe)(struct upstream *u, struct text filter,
                      uint32_t filter_id, int qos);
    void (*unsubscribe)(struct upstream *u, struct text filter,
                        uint32_t filter_id);
    /* 0: taken, `published` follows. 1: the window is full, or the broker
     * away: nothing was taken, `writable` follows. */
    int (*publish)(struct upstream *u, void *token, struct text topic,
                   struct text payload, int qos, bool retain);
    /* Reconnects, heartbeats. Returns the milliseconds until it must be
     * called again; UINT32_MAX: never by itself. */
    uint32_t (*tick)(struct upstream *u);
    /* Disconnect and free. No event follows the return; publishes under way
     * have got theirs (-1). */
    void (*close)(struct upstream *u);
};

extern const struct upstream_ops upstream_paho, upstream_local;

#endif
