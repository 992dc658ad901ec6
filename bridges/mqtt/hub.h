/* SPDX-License-Identifier: Apache-2.0 */
/* hub.h - one broker (or the local bus), and all sessions that share it.
 *
 * The hub's thread alone calls the upstream. Loops ask it for filters and
 * hand it publishes; the upstream's messages go straight to the loops that
 * want them (shard.h). A filter is subscribed once for all, and given up a
 * while after its last use. Functions may be called from any thread. */
#ifndef GW_MQTT_HUB_H
#define GW_MQTT_HUB_H

#include "upstream.h"

enum {
    HUB_SHARDS_MAX = 256,
    HUB_LINGER_MS = 10000, /* from the last use of a filter to UNSUBSCRIBE */
    HUB_REFUSED_MS = 2000, /* so long a broker's refusal stands */
    HUB_REFRESH_MS = 250,  /* between two SUBSCRIBEs for retained messages */
    HUB_SHARE_MAX = 256,   /* publishes of one session under way */
    HUB_SHARE_BYTES = 256 << 10,
};

struct shard;

struct hub_settings {
    struct upstream_settings upstream;
    const struct upstream_ops *ops;
    const struct gw_bridge *bridge; /* for counters */
    size_t hold_max, hold_bytes;    /* publishes that wait */
    unsigned hold_ms;               /* for how long while the broker is away;
                                       0: they fail at once */
};

/* Copies nothing: `s` and all its strings outlive the hub; `release(owner)`
 * is called when it is gone. Connecting begins. NULL with the reason. One
 * reference. */
struct hub *hub_new(const struct hub_settings *s, void (*release)(void *owner),
                    void *owner, char *err, size_t cap);
void hub_ref(struct hub *h);
/* The same for who has none: false if the hub is ending. */
bool hub_try_ref(struct hub *h);
/* The last reference ends the thread, which frees the hub by itself as soon as
 * no call to a loop is under way. */
void hub_unref(struct hub *h);

/* For shard.c: a call to a loop is on its way and will use the shard. With
 * the hub's lock held; false: the hub is ending. */
bool hub_hold(struct hub *h);
void hub_unhold_locked(struct hub *h);

const struct hub_settings *hub_settings(const struct hub *h);

/* The shard of a worker, made if need be. On the worker. NULL: no memory. */
struct shard *hub_shard(struct hub *h, struct gw_worker *w);

/* The shard with this index has a subscriber of `filter`, who wants retained
 * messages or does not. *id names it from now on. Returns the granted QoS, or
 * >= 0x80 if the broker has refused it, or -1: the answer comes as an event;
 * -2: out of memory. */
int hub_want(struct hub *h, unsigned shard, struct text filter, int qos,
             bool retained, uint32_t *id);
void hub_unwant(struct hub *h, unsigned shard, struct text filter);

bool hub_is_up(struct hub *h);

/* A session's share of the queue, so that none has it all. The hub's lock
 * guards it. */
struct publisher {
    unsigned refs; /* the session, and each of its publishes */
    unsigned shard, n;
    size_t bytes;
    uint64_t client; /* 0: it has gone */
    bool crowded;    /* it is to be told when there is room */
};

/* NULL: out of memory. */
struct publisher *publisher_new(unsigned shard, uint64_t client);
void publisher_close(struct hub *h, struct publisher *by);

/* A publish on its way; the hub frees it. */
struct publish {
    struct publish *next;
    struct publisher *by; /* NULL: the gateway itself; nobody is told */
    uint32_t id;
    bool has_id, retain;
    int qos;
    double held_at;
    struct text topic, payload; /* within bytes[] */
    char bytes[];
};

struct publish *publish_new(struct text topic, struct text payload, int qos,
                            bool retain);

/* 0: taken. 1: taken, but the session should send no more until an event
 * EVENT_ROOM, or until the broker is away. -1: the queue is full, or the
 * broker is away and publishes are not held; p is freed. */
int hub_publish(struct hub *h, struct publish *p);

#endif
