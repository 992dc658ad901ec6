/* SPDX-License-Identifier: Apache-2.0 */
/* hub_parts.h - the inside of a hub, for the files that make it up: hub.c (its
 * life and its thread), hub_filters.c (what is subscribed) and hub_publish.c
 * (what is published).
 *
 * The lock guards all of struct hub; it is held for table look-ups only and
 * never across a call to the upstream. Interests are freed by the hub's
 * thread alone, which therefore may use one without the lock. Functions
 * without another word are called with the lock. */
#ifndef GW_MQTT_HUB_PARTS_H
#define GW_MQTT_HUB_PARTS_H

#include "hub.h"
#include "shard.h"
#include "trie.h"

#include <pthread.h>

struct interest;

struct hub {
    const struct hub_settings *settings;
    const struct gw_host *host;
    struct upstream *upstream;
    void (*release)(void *owner);
    void *owner;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned refs;
    bool stopping, up;
    unsigned ups;      /* how often it has come up */
    uint64_t writable; /* counts the upstream's events of that name */
    char last_why[256];
    struct trie *interests;
    struct interest *by_id;     /* uthash */
    struct interest *due;       /* utlist: to be asked now */
    struct interest *later;     /* utlist: to be asked at refresh_at */
    struct interest *lingering; /* utlist, by drop_at */
    size_t n_lingering;
    unsigned asking; /* how many are INTEREST_ASKED */
    uint32_t last_id;
    struct publish *first, **last; /* waiting */
    size_t n_waiting, waiting_bytes;
    struct shard *shards[HUB_SHARDS_MAX];
    unsigned n_shards;
};

/* Seconds of a clock that nobody sets. */
double hub_now(void);

/* An event for the loop of a shard. */
void hub_tell(struct hub *h, unsigned shard, enum event_kind kind,
              uint32_t filter_id, int value);

/* The earlier of two times; 0 is never. */
static inline double earlier(double a, double b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* ---- hub_filters.c -------------------------------------------------------*/

void filters_fini(struct hub *h);

/* Upstream events; without the lock. */
void filters_subscribed(struct hub *h, uint32_t filter_id, int granted);
void filters_message(struct hub *h, struct message *m);

/* The broker is new: all filters are new to it. */
void filters_anew(struct hub *h);
/* On the hub's thread: subscribe what is due, give up what nobody has wanted
 * for long. The lock is given up for the calls. Returns when this has to be
 * called again; 0: never by itself. */
double filters_serve(struct hub *h);
/* There is something that could be subscribed now. */
bool filters_due(const struct hub *h);

/* ---- hub_publish.c -------------------------------------------------------*/

void publishes_fini(struct hub *h);

/* The end of one; reason as in upstream_events. */
void publish_end(struct hub *h, struct publish *p, int reason);

/* On the hub's thread: hand over until the window is full (true). The lock is
 * given up for the calls. */
bool publishes_serve(struct hub *h);
/* What has waited for the broker for too long fails. Returns when the next
 * would; 0: none. */
double publishes_expire(struct hub *h);

#endif
