/* SPDX-License-Identifier: Apache-2.0 */
/* paho_send.c - publishes, in a window of our own, and subscriptions.
 *
 * The window is what bounds Paho. Its own ways are of no use here: its queue
 * grows without end, or drops messages and tells nobody; and once it has sent
 * as many publishes as the broker takes, it waits for a second whenever there
 * is an acknowledgement. So it is never given that many. */
#include "paho.h"

#include <stdlib.h>

enum {
    WINDOW_MAX = 4096,
    NUDGE_MS = 5,            /* at first; then after twice as long */
    REASON_TOPIC = 0x90,     /* Topic Name invalid */
    REASON_TOO_LARGE = 0x95, /* Packet too large */
    REASON_RETAIN = 0x9a,    /* Retain not supported */
    REASON_FILTER = 0x8f,    /* Topic Filter invalid */
    REASON_FAILED = 0x80,
    PACKET_HEAD = 16, /* of a PUBLISH, without topic and payload */
    FILTER_ID_MAX = 268435455,
};

/* A copy that ends with NUL. NULL: out of memory. */
static char *terminated(struct upstream *u, struct text t)
{
    if (u->topic_cap < t.n + 1) {
        char *p = realloc(u->topic, t.n + 1);
        if (!p)
            return NULL;
        u->topic = p;
        u->topic_cap = t.n + 1;
    }
    memcpy(u->topic, t.p, t.n);
    u->topic[t.n] = '\0';
    return u->topic;
}

/* ---- the window; with the lock ------------------------------------------ */

/* One less than the broker takes: at that number Paho would hesitate. */
static unsigned ack_window(const struct upstream *u)
{
    unsigned max = u->limits.receive_max > 1 ? u->limits.receive_max - 1 : 1;
    return max < u->n_slots ? max : u->n_slots;
}

static bool has_room(const struct upstream *u, size_t bytes, int qos)
{
    return u->used < u->n_slots &&
           (u->used == 0 ||
            u->used_bytes + bytes <= u->settings->window_bytes) &&
           (qos == 0 || u->unacked < ack_window(u));
}

/* Something is under way from now on, or has come back. */
static void moved(struct upstream *u)
{
    u->moved_ms = paho_now_ms();
}

static struct slot *slot_take(struct upstream *u, void *token, size_t bytes,
                              int qos)
{
    unsigned i = u->free_slot;
    void *handle = handle_new(&u->owner, i);
    if (!handle)
        return NULL;
    struct slot *s = &u->slots[i];
    u->free_slot = s->next;
    *s = (struct slot){.state = SLOT_SENDING,
                       .token = token,
                       .handle = handle,
                       .bytes = bytes,
                       .qos = qos};
    if (u->used++ == 0 && u->asked == 0)
        moved(u);
    u->unacked += qos > 0;
    u->used_bytes += bytes;
    return s;
}

static void slot_free(struct upstream *u, struct slot *s)
{
    u->used--;
    u->unacked -= s->qos > 0;
    u->used_bytes -= s->bytes;
    s->state = SLOT_FREE;
    s->next = u->free_slot;
    u->free_slot = (unsigned)(s - u->slots);
    if (u->used == 0)
        pthread_cond_broadcast(&u->idle);
}

/* Whether to say `writable` now. Not at each free place: the hub's thread
 * would be woken for every publish. */
static bool feed(struct upstream *u)
{
    bool enough =
        u->used <= u->n_slots - u->n_slots / 4 &&
        u->unacked <= ack_window(u) - ack_window(u) / 4 &&
        (u->used == 0 || u->used_bytes <= u->settings->window_bytes / 4 * 3);
    bool now = u->starved && u->up && enough;
    if (now)
        u->starved = false;
    return now;
}

/* ---- publishes ----------------------------------------------------------- */

static void publish_ended(void *context, int reason)
{
    uint32_t i;
    struct upstream *u = paho_enter(context, &i, true);
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    void *token = u->slots[i].token;
    slot_free(u, &u->slots[i]);
    moved(u);
    bool writable = feed(u);
    pthread_mutex_unlock(&u->lock);
    u->events->published(u->hub, token, reason);
    if (writable)
        u->events->writable(u->hub);
    paho_leave(u);
}

static void on_published(void *context, MQTTAsync_successData *d)
{
    (void)d;
    publish_ended(context, 0);
}

static void on_published5(void *context, MQTTAsync_successData5 *d)
{
    (void)d;
    publish_ended(context, 0);
}

static void on_publish_failed(void *context, MQTTAsync_failureData *d)
{
    (void)d;
    publish_ended(context, -1);
}

/* A reason is there only if the code is 0. */
static int reason_of(const MQTTAsync_failureData5 *d)
{
    return d->code == 0 && d->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR
               ? (int)d->reasonCode
               : -1;
}

static void on_publish_failed5(void *context, MQTTAsync_failureData5 *d)
{
    publish_ended(context, reason_of(d));
}

/* What would make the broker drop the connection, which others use too. 0:
 * nothing. */
static int refusal(const struct upstream *u, struct text topic,
                   struct text payload, bool retain)
{
    if (payload.n > u->max_payload ||
        topic.n + payload.n + PACKET_HEAD > u->limits.max_packet)
        return REASON_TOO_LARGE;
    return retain && !u->limits.retain ? REASON_RETAIN : 0;
}

static int hand_over(struct upstream *u, const struct slot *s,
                     const char *topic, struct text payload, bool retain)
{
    MQTTAsync_callOptions o = MQTTAsync_callOptions_initializer;

    o.context = s->handle;
    if (u->settings->version == 5) {
        o.onSuccess5 = on_published5;
        o.onFailure5 = on_publish_failed5;
    } else {
        o.onSuccess = on_published;
        o.onFailure = on_publish_failed;
    }
    pthread_rwlock_rdlock(&paho_calls);
    int rc = MQTTAsync_send(u->links[PUBLISHING].client, topic, (int)payload.n,
                            payload.n > 0 ? payload.p : "", s->qos, retain, &o);
    pthread_rwlock_unlock(&paho_calls);
    return rc;
}

/* Paho did not take it. 1: it may later; otherwise the publish has ended. */
static int not_taken(struct upstream *u, struct slot *s, int rc)
{
    bool later = rc == MQTTASYNC_DISCONNECTED ||
                 rc == MQTTASYNC_MAX_BUFFERED_MESSAGES ||
                 rc == MQTTASYNC_NO_MORE_MSGIDS;

    pthread_mutex_lock(&u->lock);
    void *token = s->token;
    handle_end(s->handle);
    slot_free(u, s);
    if (later) {
        u->starved = true;
        moved(u);
    }
    pthread_mutex_unlock(&u->lock);
    if (!later)
        u->events->published(
            u->hub, token, rc == MQTTASYNC_BAD_UTF8_STRING ? REASON_TOPIC : -1);
    return later;
}

/* Paho has it; unless the connection was lost meanwhile. `handle`: the slot
 * may be free again. */
static void taken(struct upstream *u, struct slot *s, void *handle)
{
    pthread_mutex_lock(&u->lock);
    void *token = s->token;
    bool lost = false;
    if (s->state == SLOT_SENDING && s->handle == handle) {
        s->state = SLOT_SENT;
        lost = s->lost && handle_end(handle);
        if (lost)
            slot_free(u, s);
    }
    pthread_mutex_unlock(&u->lock);
    if (lost)
        u->events->published(u->hub, token, -1);
}

int send_publish(struct upstream *u, void *token, struct text topic,
                 struct text payload, int qos, bool retain)
{
    size_t bytes = topic.n + payload.n;
    char *name = terminated(u, topic);
    struct slot *s = NULL;

    pthread_mutex_lock(&u->lock);
    int reason = name ? refusal(u, topic, payload, retain) : -1;
    bool room = u->up && has_room(u, bytes, qos);
    if (qos > u->limits.max_qos)
        qos = u->limits.max_qos;
    if (!room)
        u->starved = true;
    else if (reason == 0)
        s = slot_take(u, token, bytes, qos);
    pthread_mutex_unlock(&u->lock);

    if (!room)
        return 1;
    if (!s) {
        u->events->published(u->hub, token, reason != 0 ? reason : -1);
        return 0;
    }
    void *handle = s->handle;
    int rc = hand_over(u, s, name, payload, retain);
    if (rc != MQTTASYNC_SUCCESS)
        return not_taken(u, s, rc);
    taken(u, s, handle);
    return 0;
}

void send_fail_all(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    for (unsigned i = 0; i < u->n_slots; i++) {
        struct slot *s = &u->slots[i];
        if (s->state == SLOT_SENDING)
            s->lost = true; /* the sender still reads what it sends */
        if (s->state != SLOT_SENT || !handle_end(s->handle))
            continue;
        void *token = s->token;
        slot_free(u, s);
        pthread_mutex_unlock(&u->lock);
        u->events->published(u->hub, token, -1);
        pthread_mutex_lock(&u->lock);
    }
    u->asked = 0;
    pthread_mutex_unlock(&u->lock);
}

/* ---- subscriptions ------------------------------------------------------- */

/* `granted` < 0: there was no answer; the connection is lost, and the hub
 * begins anew. */
static void subscribe_ended(void *context, int granted)
{
    uint32_t filter_id;
    struct upstream *u = paho_enter(context, &filter_id, true);
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    if (u->asked > 0)
        u->asked--;
    moved(u);
    bool tell = u->up && granted >= 0;
    pthread_mutex_unlock(&u->lock);
    if (tell)
        u->events->subscribed(u->hub, filter_id, granted);
    paho_leave(u);
}

static void on_subscribed(void *context, MQTTAsync_successData *d)
{
    subscribe_ended(context, d->alt.qos);
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *d)
{
    subscribe_ended(context, (int)d->reasonCode);
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData *d)
{
    subscribe_ended(context, d->code >= REASON_FAILED ? d->code : -1);
}

static void on_subscribe_failed5(void *context, MQTTAsync_failureData5 *d)
{
    subscribe_ended(context, reason_of(d));
}

static int ask(struct upstream *u, const char *filter, uint32_t filter_id,
               int qos, void *handle, bool with_id)
{
    MQTTAsync_callOptions o = MQTTAsync_callOptions_initializer;

    o.context = handle;
    if (u->settings->version == 5) {
        o.onSuccess5 = on_subscribed5;
        o.onFailure5 = on_subscribe_failed5;
    } else {
        o.onSuccess = on_subscribed;
        o.onFailure = on_subscribe_failed;
    }
    if (with_id) {
        MQTTProperty id = {.identifier =
                               MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER};
        id.value.integer4 = filter_id;
        MQTTProperties_add(&o.properties, &id);
    }
    pthread_rwlock_rdlock(&paho_calls);
    int rc = MQTTAsync_subscribe(u->links[SUBSCRIBING].client, filter, qos, &o);
    pthread_rwlock_unlock(&paho_calls);
    MQTTProperties_free(&o.properties);
    return rc;
}

void send_subscribe(struct upstream *u, struct text filter, uint32_t filter_id,
                    int qos)
{
    char *name = terminated(u, filter);

    pthread_mutex_lock(&u->lock);
    bool up = u->up, with_id = u->settings->version == 5 &&
                               u->limits.filter_ids && filter_id > 0 &&
                               filter_id <= FILTER_ID_MAX;
    void *handle = up && name ? handle_new(&u->owner, filter_id) : NULL;
    if (handle && u->asked++ == 0 && u->used == 0)
        moved(u);
    pthread_mutex_unlock(&u->lock);

    if (!up)
        return;
    int rc = handle ? ask(u, name, filter_id, qos, handle, with_id)
                    : MQTTASYNC_FAILURE;
    if (rc == MQTTASYNC_SUCCESS)
        return;
    if (handle && handle_end(handle)) {
        pthread_mutex_lock(&u->lock);
        if (u->asked > 0)
            u->asked--;
        pthread_mutex_unlock(&u->lock);
    }
    if (rc != MQTTASYNC_DISCONNECTED)
        u->events->subscribed(u->hub, filter_id,
                              rc == MQTTASYNC_BAD_UTF8_STRING ? REASON_FILTER
                                                              : REASON_FAILED);
}

void send_unsubscribe(struct upstream *u, struct text filter,
                      uint32_t filter_id)
{
    (void)filter_id;
    char *name = terminated(u, filter);
    if (!name)
        return; /* its messages find nobody */
    pthread_rwlock_rdlock(&paho_calls);
    MQTTAsync_unsubscribe(u->links[SUBSCRIBING].client, name, NULL);
    pthread_rwlock_unlock(&paho_calls);
}

/* ---- nudges -------------------------------------------------------------- */

uint32_t send_tick(struct upstream *u)
{
    pthread_mutex_lock(&u->lock);
    uint64_t now = paho_now_ms();
    bool waits = u->used > 0 || u->asked > 0 || u->starved;
    uint64_t moved_ms = u->moved_ms, quiet = now - moved_ms;
    /* Paho itself had no room: nothing of ours may be under way. */
    bool writable = quiet >= NUDGE_MS && feed(u);
    pthread_mutex_unlock(&u->lock);

    if (writable)
        u->events->writable(u->hub);
    uint32_t awake = paho_keep_awake();
    if (!waits)
        return awake;
    if (u->nudged_ms < moved_ms)
        u->nudge_ms = NUDGE_MS;
    if (quiet >= u->nudge_ms) {
        paho_wake_sender();
        paho_wake_receiver();
        u->nudged_ms = now;
        u->nudge_ms *= 2;
    }
    uint64_t next = u->nudge_ms > quiet ? u->nudge_ms - quiet : NUDGE_MS;
    return next < awake ? (uint32_t)next : awake;
}

/* ---- life ---------------------------------------------------------------- */

int send_init(struct upstream *u)
{
    unsigned n = u->settings->window;

    u->n_slots = n < 1 ? 1 : n > WINDOW_MAX ? WINDOW_MAX : n;
    u->slots = calloc(u->n_slots, sizeof *u->slots);
    for (unsigned i = 0; u->slots && i < u->n_slots; i++)
        u->slots[i].next = i + 1;
    u->nudge_ms = NUDGE_MS;
    return u->slots ? 0 : -1;
}

void send_fini(struct upstream *u)
{
    free(u->slots);
    free(u->topic);
}
