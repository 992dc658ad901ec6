/* SPDX-License-Identifier: Apache-2.0 */
/* paho.h - an upstream on two clients of Paho MQTT C, for the files that make
 * it up: paho.c (its life), paho_connect.c (whom to connect to, and when),
 * paho_link.c (one client's connection) and paho_send.c (what goes out).
 *
 * Of the hub's thread, and of Paho's two threads in callbacks. The lock
 * guards what its comment says; it is not held across a call to Paho. Events
 * about the state are called with it, so that they come in order. */
#ifndef GW_MQTT_PAHO_H
#define GW_MQTT_PAHO_H

#include "paho_handle.h"
#include "paho_library.h"
#include "paho_target.h"
#include "upstream.h"

#include <MQTTAsync.h>
#include <pthread.h>

/* One client publishes and one subscribes: the acknowledgements that the
 * second writes would delay the publishes of the first (Nagle), and a client
 * with an unfinished write does not read. */
enum role { PUBLISHING, SUBSCRIBING, ROLES };

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_UP };

/* A client is used for one connection. What Paho still has to send when that
 * is lost it would send at the next one, however much later; and a disconnect
 * waits behind it. */
struct link {
    char id[256]; /* client identifier */
    MQTTAsync client;
    void *context; /* handle of its callbacks */
    void *attempt; /* handle of the connect under way */
    enum link_state state;
};

/* What the broker said it can do; MQTT 5 only. */
struct limits {
    unsigned receive_max; /* unacknowledged publishes */
    int max_qos;
    bool retain, filter_ids;
    size_t max_packet;
    unsigned keepalive_s;
};

/* A publish under way. */
struct slot {
    enum { SLOT_FREE, SLOT_SENDING, SLOT_SENT } state;
    bool lost; /* while it was being sent */
    void *token, *handle;
    size_t bytes;
    int qos;
    unsigned next; /* while free: the next free one */
};

struct upstream {
    struct handle_owner owner;
    struct hub *hub;
    const struct upstream_events *events;
    const struct upstream_settings *settings;
    size_t max_payload;
    unsigned connect_timeout_ms;

    /* Of the hub's thread alone. */
    struct targets targets; /* while there is a look-up, with the lock */
    unsigned keepalive_s;
    bool linked;      /* the links have been opened */
    unsigned look_ms; /* until the next look at them */
    char *topic;      /* with a NUL behind it, for Paho */
    size_t topic_cap;
    uint32_t nudge_ms;  /* so long must nothing move for the next nudge */
    uint64_t nudged_ms; /* when the last one was */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t idle;  /* nothing is under way */
    struct link links[ROLES];
    void *lookup; /* handle of the one under way */
    bool up;
    bool attempting;   /* to connect, and not told how it went */
    bool starved;      /* publish has said no since the last `writable` */
    unsigned failures; /* rounds of all brokers that failed in a row */
    uint64_t next_ms;  /* when to connect; or, connecting, to give up */
    uint64_t up_ms;    /* since when */
    uint64_t moved_ms; /* when an answer last came, or was first due */
    unsigned asked;    /* subscribes without an answer */
    char why[256];     /* of the last failure */
    char tls_why[128]; /* OpenSSL's word on it */
    struct limits limits;
    struct slot *slots;
    unsigned n_slots, free_slot; /* n_slots: none is free */
    unsigned used, unacked;      /* of any QoS; of QoS 1 and 2 */
    size_t used_bytes;
};

uint64_t paho_now_ms(void);
uint32_t paho_ms_until(uint64_t at_ms); /* 0: it is past */
uint32_t paho_random(void);

/* The upstream of a callback, or NULL; leave it again. */
struct upstream *paho_enter(void *handle, uint32_t *value, bool last);
void paho_leave(struct upstream *u);

/* ---- paho_connect.c ------------------------------------------------------*/

/* While it is down: what is next. Returns as upstream_ops.tick. */
uint32_t connect_tick(struct upstream *u);
/* The upstream is down from now on: tell, and when to connect again. With the
 * lock. */
void connect_lost(struct upstream *u, const char *why);

/* ---- paho_link.c ---------------------------------------------------------*/

/* Begin to connect, with a new client. 0, or -1. */
int link_open(struct upstream *u, enum role role, const char *uri);
/* Disconnect if need be, and be rid of both clients. Not in a callback. */
void links_close(struct upstream *u);

/* ---- paho_send.c ---------------------------------------------------------*/

int send_init(struct upstream *u);
void send_fini(struct upstream *u);
int send_publish(struct upstream *u, void *token, struct text topic,
                 struct text payload, int qos, bool retain);
void send_subscribe(struct upstream *u, struct text filter, uint32_t filter_id,
                    int qos);
void send_unsubscribe(struct upstream *u, struct text filter,
                      uint32_t filter_id);
/* The connection is lost: publishes under way end with -1. Without the
 * lock. */
void send_fail_all(struct upstream *u);
/* See that answers come, and messages. Returns as upstream_ops.tick. */
uint32_t send_tick(struct upstream *u);

#endif
