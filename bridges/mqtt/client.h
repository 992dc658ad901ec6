/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - one session of the topic dialects: envelopes, their binary twin,
 * raw topics. */
#ifndef GW_MQTT_CLIENT_H
#define GW_MQTT_CLIENT_H

#include "dialect.h"
#include "pool.h"
#include "rules.h"
#include "shard.h"

enum slow_policy {
    SLOW_DROP_OLDEST,
    SLOW_DROP_NEWEST,
    SLOW_CONFLATE, /* the newest of each topic */
    SLOW_DISCONNECT,
};

/* What a route says of its topic sessions. */
struct topics_route {
    const struct gw_host *host;
    pthread_mutex_t lock; /* of hub */
    struct hub *hub;      /* a reference; NULL: no session has come yet */
    struct pool_settings pool;
    struct rules *rules;
    enum slow_policy slow;
    size_t queue_max, queue_bytes; /* of a session that is slow */
    size_t max_payload, max_subscriptions;
    int form;              /* enum envelope_form */
    int qos;               /* raw: of publishes and subscriptions */
    bool retain;           /* raw: publishes are retained */
    const char *publish;   /* raw: template of the topic, or NULL */
    const char *subscribe; /* raw: templates, separated by ','; NULL */
    const char *presence;  /* template of a topic, or NULL */
};

/* A message that waits for its session to take more. */
struct waiting {
    struct waiting *prev, *next;
    struct message *message;
    struct subscription *sub; /* NULL: it has gone meanwhile */
    int qos;
    bool retained;
};

struct client {
    struct mqtt_session dialect_; /* first: what the mqtt bridge goes by */
    const struct topics_route *route;
    struct hub *hub; /* a reference */
    struct gw_session *session;
    struct shard *shard;
    struct grants *grants;
    enum dialect dialect;
    uint64_t id;
    UT_hash_handle hh;         /* shard.clients */
    struct subscription *subs; /* utlist */
    size_t n_subs;
    struct waiting *waiting; /* utlist */
    size_t n_waiting, waiting_bytes;
    struct publisher *publisher;
    bool full;    /* the session takes no more for now */
    bool crowded; /* not read: too many of its publishes are under way */
    bool closing, joined;
    bool refused;              /* raw: a filter of its, by the broker */
    uint64_t mark;             /* of the message that it hears */
    struct subscription *best; /* the subscription it hears it by */
    struct client *next_hearing;
    char *publish;  /* raw: filled in, or NULL */
    char *presence; /* filled in, or NULL */
    char session_id[24];
};

/* The route's hub, which its first session brings into being. NULL with the
 * reason. */
struct hub *topics_hub(struct topics_route *r, struct gw_worker *w, char *err,
                       size_t cap);

extern const struct gw_bridge bridge_local;

/* gw_bridge.open and the rest, for the topic dialects. */
void *topics_open(struct gw_session *s, struct topics_route *r,
                  const struct gw_request *req, enum gw_take *take);
void topics_data(void *state, const struct gw_data *d);
void topics_drained(void *state);
void topics_client_ended(void *state, uint16_t code);
void topics_close(void *state);

/* For shard.c. */
bool client_may_hear(const struct client *c, struct text topic);
void client_message(struct client *c, struct subscription *sub,
                    struct message *m);
void client_granted(struct subscription *sub, int granted);
void client_published(struct client *c, uint32_t id, int qos, int reason);
void client_room(struct client *c);
void client_state(struct client *c, bool up);

/* ---- topics_requests.c: what it asks for ----------------------------------
 * Errors are ERR_COUNT if there is none, else *why says it for people. */

void client_request(struct client *c, const struct envelope *e);
enum envelope_error client_subscribe(struct client *c, const struct envelope *e,
                                     const char **why);
void client_unsubscribe(struct client *c, struct subscription *sub);
/* `e` is the request that this is of, or NULL. */
enum envelope_error client_publish(struct client *c, struct text topic,
                                   struct text payload, int qos, bool retain,
                                   const struct envelope *e, const char **why);
/* Raw topics have no answers: these do nothing there. */
void client_answer(struct client *c, const char *text, size_t n);
void client_refuse(struct client *c, bool has_id, uint32_t id,
                   enum envelope_error code, const char *why);

/* deliver.c: to the session, now or when it takes more. */
void deliver(struct client *c, struct subscription *sub, struct message *m,
             bool retained);
void deliver_drained(struct client *c);
void deliver_forget(struct client *c, const struct subscription *sub);
void deliver_drop_all(struct client *c);

#endif
