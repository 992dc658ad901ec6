/* SPDX-License-Identifier: Apache-2.0 */
/* packets.h - a session of an MQTT client: its packets relayed to a broker on
 * a connection of its own, looked at in passing. */
#ifndef GW_MQTT_PACKETS_H
#define GW_MQTT_PACKETS_H

#include "connect.h"
#include "mqtt.h"
#include "packet.h"
#include "plain.h"
#include "subscribe.h"
#include "takeover.h"

enum {
    /* Remaining Length of all but PUBLISH, whose payload is not kept. */
    PACKETS_HEAD_MAX = 256 << 10,
    /* Answers of ours that wait for a place; above it the client is paused. */
    PACKETS_ANSWERS_HIGH = 16 << 10,
    /* SUBSCRIBEs under way of which we know a part of the answer. */
    PACKETS_MERGES_MAX = 100,
    PACKETS_MERGES_BYTES = 64 << 10,
    PACKETS_ID_RANDOM = 16, /* characters of a client id that we make up */
};

/* Bytes of the input under way that leave together, and a head before them
 * that the input has cut. */
struct run {
    uint8_t *p, *before; /* before: from malloc(3), or NULL */
    size_t n, before_n;
};

/* Packets of our own: they go between two others. */
struct answers {
    uint8_t *p;
    size_t n, cap;
};

/* A SUBSCRIBE that was forwarded in part. */
struct merge {
    struct merge *next;
    uint16_t id;
    size_t n;
    uint8_t codes[]; /* or MQTT_ASK_BROKER */
};

/* Who has stopped a reader. */
enum hold {
    HOLD_BROKER = 1,  /* the broker takes no more for now */
    HOLD_CLIENT = 2,  /* the client takes no more for now */
    HOLD_ANSWERS = 4, /* answers wait for a place */
};

struct packets {
    struct mqtt_session base;
    const struct mqtt_route *route;
    struct gw_session *session;
    struct gw_conn *conn;   /* NULL: not any more */
    struct gw_timer *timer; /* until CONNECT its deadline, then our ping's */
    struct grants *grants;  /* NULL: no rules */

    /* Until CONNECT. */
    char *filled[MQTT_TEMPLATES];
    char *broker;

    struct takeover *takeover;
    struct mqtt_reader up, down;
    struct run run_up, run_down;
    struct answers to_client, to_broker;
    struct mqtt_aliases up_aliases, down_aliases;
    struct merge *merges; /* the oldest first */
    size_t merges_n, merges_bytes;

    /* From CONNECT to CONNACK. */
    struct mqtt_notice notice;
    char made_up[PACKETS_ID_RANDOM];

    uint32_t ping_ms;   /* MQTT 3: what we do for a client with a longer one */
    uint16_t alias_max; /* the broker's; 0 until CONNACK */
    uint16_t late_id;   /* of a denied PUBLISH whose payload still comes */
    uint8_t late_type;  /* of the answer to it; 0: none */
    uint8_t up_holds, down_holds; /* enum hold */
    uint8_t version;              /* 0: no CONNECT yet */
    uint8_t pings;                /* of ours, not answered yet */
    bool connack;                 /* it has passed */
    bool active;                  /* the client sent something since the ping */
    bool drop_up, drop_down;      /* the PUBLISH under way goes nowhere */
    bool finished;                /* the broker is sent no more */
    bool over;
};

/* ---- packets.c: both directions ------------------------------------------ */

/* Pass bytes of an event on, with those before and behind them. */
void packets_pass_up(struct packets *p, const struct mqtt_event *ev);
void packets_pass_down(struct packets *p, const struct mqtt_event *ev);
/* Send a packet instead of the one under way. */
void packets_put_up(struct packets *p, const uint8_t *b, size_t n);
void packets_put_down(struct packets *p, const uint8_t *b, size_t n);
/* What has been passed leaves. */
void packets_flush_up(struct packets *p);
void packets_flush_down(struct packets *p);

/* FIN behind what was sent. */
void packets_finish(struct packets *p);

/* A packet of our own, when there is a place for it. */
void packets_answer(struct packets *p, const uint8_t *b, size_t n);
void packets_tell_broker(struct packets *p, const uint8_t *b, size_t n);
/* This may be the place. */
void packets_answers_leave(struct packets *p);
void packets_tells_leave(struct packets *p);

/* The session ends: because of what the client sent; or for another reason. */
void packets_fault(struct packets *p, const struct mqtt_fault *fault);
void packets_end(struct packets *p, enum gw_cause cause, uint16_t code,
                 const char *why);
void packets_no_memory(struct packets *p);

/* Start the clock that pings for an MQTT 3 client. */
void packets_ping_start(struct packets *p, uint32_t ms);

/* Which packets of the broker are to be looked at. */
void packets_look(struct packets *p);

/* ---- packets_up.c, packets_down.c ---------------------------------------- */

/* For an input that begins at `in`: pass its plain packets as they come up.
 * Returns where they end. */
struct plain packets_up_begin(const struct packets *p, const uint8_t *in);
const uint8_t *packets_up_plain(struct packets *p, struct plain *plain,
                                const uint8_t *in, const uint8_t *end);
struct plain packets_down_begin(const struct packets *p, const uint8_t *in);
const uint8_t *packets_down_plain(struct packets *p, struct plain *plain,
                                  const uint8_t *in, const uint8_t *end);

/* The others, as the reader tells them. */
void packets_up_head(struct packets *p, const struct mqtt_event *ev);
void packets_up_bytes(struct packets *p, const struct mqtt_event *ev);
void packets_down_head(struct packets *p, const struct mqtt_event *ev);
void packets_down_bytes(struct packets *p, const struct mqtt_event *ev);

/* ---- packets_connect.c --------------------------------------------------- */

void packets_connect(struct packets *p, const struct mqtt_event *ev);

static inline void packets_count(struct packets *p, unsigned counter,
                                 uint64_t n)
{
    if (n > 0)
        p->route->host->count(p->session, counter, n);
}

#endif
