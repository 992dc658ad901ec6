/* SPDX-License-Identifier: Apache-2.0 */
/* shard.h - a hub's part on one worker: the sessions there, a trie of what
 * they subscribe, and a queue of what comes for them. All but shard_push and
 * shard_new is for the worker's thread. */
#ifndef GW_MQTT_SHARD_H
#define GW_MQTT_SHARD_H

#include "hub.h"
#include "trie.h"

#include <pthread.h>
#include <uthash.h>

enum {
    SHARD_TURN = 128,        /* events a loop turn, at most */
    SHARD_DELIVERED = 16384, /* by them; then others have their turn */
    SHARD_QUEUE_MAX = 65536, /* messages waiting for a loop */
    SHARD_QUEUE_BYTES = 64 << 20,
    SUB_IDS_MAX = 4, /* requests for one filter that wait for its broker */
};

enum event_kind {
    EVENT_MESSAGE,
    EVENT_GRANTED, /* filter_id, value: the broker's answer */
    EVENT_EPOCH,   /* filter_id: SUBSCRIBE goes out, retained messages follow;
                      value: it is for a broker that was away */
    EVENT_ACK,     /* client, id, has_id, qos; value: 0 or what went wrong */
    EVENT_ROOM,    /* client: it may publish again */
    EVENT_STATE,   /* value: up */
};

struct event {
    struct event *next;
    enum event_kind kind;
    struct message *message; /* a reference */
    uint32_t filter_id, id;
    int value, qos;
    bool has_id;
    uint64_t client;
};

struct client;
struct local_filter;

/* One session's subscription. */
struct subscription {
    struct client *client;
    struct local_filter *filter;
    struct subscription *next_of_filter, *prev_of_filter;
    struct subscription *next_of_client, *prev_of_client;
    int qos;
    uint8_t retain; /* enum envelope_retain */
    enum { RETAINED_NO, RETAINED_WAITING, RETAINED_COMING } retained;
    bool checked; /* ask grants_deliver for each message */
    bool ack_due; /* requests wait for the broker's answer: */
    uint8_t n_ids;
    uint32_t ids[SUB_IDS_MAX]; /* of those that had one */
    uint32_t every_ms;
    struct message *held; /* the newest one not delivered yet */
    bool held_retained;
    struct gw_timer *timer;
    uint64_t dropped; /* told as "lost" */
};

/* A filter that at least one session here has. */
struct local_filter {
    uint32_t id; /* the hub's */
    int granted; /* as hub_want */
    struct subscription *subs;
    UT_hash_handle hh; /* shard.by_id */
    size_t n;
    char text[];
};

struct shard {
    struct hub *hub;
    const struct gw_host *host;
    struct gw_worker *worker;
    unsigned index;
    struct trie *trie;          /* of struct local_filter */
    struct local_filter *by_id; /* uthash */
    struct client *clients;     /* uthash, by id */
    struct client *hearing;     /* those a message goes to, while it does */
    uint64_t last_client, mark;
    struct event *taken; /* from the queue; those not served yet */
    bool several;        /* of them in this turn */
    unsigned delivered;  /* in this turn */

    pthread_mutex_t lock; /* of what follows */
    struct event *first, **last;
    size_t n_events, n_bytes;
    bool posted;
};

struct shard *shard_new(struct hub *h, const struct gw_host *host,
                        struct gw_worker *w, unsigned index);
/* With its queue; no client is left. */
void shard_free(struct shard *s);

/* Any thread, with the hub's lock held: e is the shard's from now on. Messages
 * over the bounds are dropped and counted. */
void shard_push(struct shard *s, struct event *e);

struct event *event_new(enum event_kind kind);

/* Subscribe; the subscription is the shard's, and the client's, until
 * shard_unsubscribe. Returns as hub_want; sub is freed on -2. */
int shard_subscribe(struct shard *s, struct subscription *sub,
                    struct text filter);
void shard_unsubscribe(struct shard *s, struct subscription *sub);

#endif
