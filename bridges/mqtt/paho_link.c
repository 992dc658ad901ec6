/* SPDX-License-Identifier: Apache-2.0 */
/* paho_link.c - the connection of one of the two clients. */
#include "paho.h"

#include <stdio.h>

enum {
    CONNACK_CODES = 6,       /* of MQTT 3.1.1, from 0 */
    HEAD_MAX = 65535 + 1024, /* of a PUBLISH: topic, properties */
    QUEUE_MAX = 64,          /* Paho's: publishes it has not begun to send */
};

/* ---- why it failed ------------------------------------------------------- */

static const char *const refusals[CONNACK_CODES] = {
    [1] = "unacceptable protocol version",
    [2] = "client identifier rejected",
    [3] = "server unavailable",
    [4] = "bad user name or password",
    [5] = "not authorized",
};

/* Paho's code on a failed connect: the broker's own if it is positive. */
static const char *refusal_text(int code)
{
    if (code > 0 && code < CONNACK_CODES)
        return refusals[code];
    const char *text = code >= MQTTREASONCODE_UNSPECIFIED_ERROR
                           ? MQTTReasonCode_toString((enum MQTTReasonCodes)code)
                           : NULL;
    return text ? text : "connection refused";
}

/* With the lock. */
static void failed_because(struct upstream *u, int code, const char *message)
{
    if (code > 0)
        snprintf(u->why, sizeof u->why, "%s", refusal_text(code));
    else if (u->tls_why[0] != '\0')
        snprintf(u->why, sizeof u->why, "TLS: %s", u->tls_why);
    else if (u->settings->tls)
        snprintf(u->why, sizeof u->why,
                 "cannot connect, or the certificate is for another name");
    else
        snprintf(u->why, sizeof u->why, "%s",
                 message ? message : "cannot connect");
}

/* OpenSSL's line is "THREAD:error:CODE:LIBRARY:FUNCTION:REASON:FILE:...". */
static int on_tls_error(const char *text, size_t n, void *context)
{
    uint32_t role;
    struct upstream *u = paho_enter(context, &role, false);
    const char *end = text + n;

    if (!u)
        return 0;
    for (int field = 0; field < 5 && text < end; field++) {
        const char *colon = memchr(text, ':', (size_t)(end - text));
        text = colon ? colon + 1 : end;
    }
    size_t len = 0;
    while (text + len < end && text[len] != ':' && text[len] != '\n')
        len++;
    pthread_mutex_lock(&u->lock);
    if (u->tls_why[0] == '\0')
        snprintf(u->tls_why, sizeof u->tls_why, "%.*s", (int)len, text);
    pthread_mutex_unlock(&u->lock);
    paho_leave(u);
    return 1;
}

/* ---- what the broker can do -----------------------------------------------
 */

static bool told(const MQTTProperties *p, enum MQTTPropertyCodes code,
                 unsigned *value)
{
    /* Neither changes the list. */
    MQTTProperties *list = (MQTTProperties *)(uintptr_t)p;
    if (!MQTTProperties_hasProperty(list, code))
        return false;
    *value = (unsigned)MQTTProperties_getNumericValue(list, code);
    return true;
}

static void limits_take(struct limits *l, const MQTTProperties *p)
{
    unsigned n;

    if (told(p, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, &n) && n > 0)
        l->receive_max = n;
    if (told(p, MQTTPROPERTY_CODE_MAXIMUM_QOS, &n) && n < 2)
        l->max_qos = (int)n;
    if (told(p, MQTTPROPERTY_CODE_RETAIN_AVAILABLE, &n))
        l->retain = n != 0;
    if (told(p, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE, &n))
        l->filter_ids = n != 0;
    if (told(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, &n) && n > 0)
        l->max_packet = n;
    if (told(p, MQTTPROPERTY_CODE_SERVER_KEEP_ALIVE, &n) && n > 0)
        l->keepalive_s = n;
}

/* ---- connected, lost ------------------------------------------------------
 */

/* Have tick called. */
static void wake(struct upstream *u)
{
    u->events->writable(u->hub);
}

/* The link is up; so is the upstream if the other one is. */
static void link_up(void *context, const MQTTProperties *properties)
{
    uint32_t role;
    struct upstream *u = paho_enter(context, &role, true);
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->links[role].state = LINK_UP;
    if (properties)
        limits_take(&u->limits, properties);
    bool up = u->attempting && u->links[PUBLISHING].state == LINK_UP &&
              u->links[SUBSCRIBING].state == LINK_UP;
    if (up) {
        u->up = true;
        u->attempting = false;
        u->up_ms = paho_now_ms();
        u->events->state(u->hub, true, "");
    }
    pthread_mutex_unlock(&u->lock);
    if (!up)
        wake(u);
    paho_leave(u);
}

static void on_connected(void *context, MQTTAsync_successData *d)
{
    (void)d;
    link_up(context, NULL);
}

static void on_connected5(void *context, MQTTAsync_successData5 *d)
{
    link_up(context, &d->properties);
}

static void connect_failed(void *context, int code, const char *message)
{
    uint32_t role;
    struct upstream *u = paho_enter(context, &role, true);
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->links[role].state = LINK_DOWN;
    failed_because(u, code, message);
    pthread_mutex_unlock(&u->lock);
    wake(u);
    paho_leave(u);
}

static void on_connect_failed(void *context, MQTTAsync_failureData *d)
{
    connect_failed(context, d->code, d->message);
}

static void on_connect_failed5(void *context, MQTTAsync_failureData5 *d)
{
    connect_failed(context, d->code, d->message);
}

static void link_lost(void *context, const char *why)
{
    uint32_t role;
    struct upstream *u = paho_enter(context, &role, false);
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    bool was_up = u->up;
    u->links[role].state = LINK_DOWN;
    if (was_up) {
        u->up = false;
        connect_lost(u, why);
    }
    pthread_mutex_unlock(&u->lock);
    if (was_up)
        send_fail_all(u);
    else
        wake(u);
    paho_leave(u);
}

static void on_lost(void *context, char *cause)
{
    (void)cause; /* always NULL */
    link_lost(context, "the connection was lost");
}

/* on_lost does not follow. */
static void on_disconnected(void *context, MQTTProperties *p,
                            enum MQTTReasonCodes reason)
{
    const char *text = MQTTReasonCode_toString(reason);
    (void)p;
    link_lost(context, text ? text : "the broker disconnected");
}

/* ---- messages -------------------------------------------------------------
 */

static void message_arrived(struct upstream *u, struct text topic,
                            const MQTTAsync_message *a)
{
    const struct upstream_settings *s = u->settings;
    struct text payload = {a->payload, (size_t)a->payloadlen};
    bool good = payload.n <= u->max_payload && a->qos >= 0 && a->qos <= 2 &&
                topic_name_valid(topic);
    struct message *m =
        good ? message_new(s->host, topic, payload, a->qos, a->retained != 0)
             : NULL;
    if (!m) {
        s->host->add(s->bridge, COUNTER_DROPPED, 1);
        return;
    }
    unsigned id;
    if (told(&a->properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, &id))
        m->filter_id = id;
    u->events->message(u->hub, m);
}

/* Always taken: what is not, Paho would hold without end. */
static int on_message(void *context, char *topic, int n, MQTTAsync_message *m)
{
    uint32_t role;
    struct upstream *u = paho_enter(context, &role, false);

    if (u) {
        size_t len = n > 0 ? (size_t)n : strlen(topic);
        message_arrived(u, (struct text){topic, len}, m);
        paho_leave(u);
    }
    MQTTAsync_freeMessage(&m);
    MQTTAsync_free(topic);
    return 1;
}

/* ---- connecting -----------------------------------------------------------
 */

static void set_tls(MQTTAsync_SSLOptions *o, const struct upstream *u,
                    const struct link *l)
{
    const struct upstream_settings *s = u->settings;

    o->trustStore = s->ca;
    o->keyStore = s->cert;
    o->privateKey = s->key;
    o->enableServerCertAuth = !s->insecure; /* the chain */
    o->verify = !s->insecure;               /* the name */
    o->ssl_error_cb = on_tls_error;
    o->ssl_error_context = l->context;
}

static void set_will(MQTTAsync_willOptions *o,
                     const struct upstream_settings *s)
{
    const char *payload = s->will_payload ? s->will_payload : "";

    o->topicName = s->will_topic;
    o->payload.data = payload;
    o->payload.len = (int)strlen(payload);
    o->qos = 1;
}

static MQTTAsync_connectOptions options_3(void)
{
    MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;
    o.MQTTVersion = MQTTVERSION_3_1_1;
    o.cleansession = 1;
    o.onSuccess = on_connected;
    o.onFailure = on_connect_failed;
    return o;
}

static MQTTAsync_connectOptions options_5(void)
{
    MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer5;
    o.MQTTVersion = MQTTVERSION_5;
    o.cleanstart = 1;
    o.onSuccess5 = on_connected5;
    o.onFailure5 = on_connect_failed5;
    return o;
}

/* Paho reads whole packets into memory, of any size. */
static void set_max_packet(MQTTProperties *p, const struct upstream *u)
{
    MQTTProperty size = {.identifier = MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE};
    size_t n = u->max_payload;

    size.value.integer4 =
        n < INT32_MAX - HEAD_MAX ? (unsigned)n + HEAD_MAX : (unsigned)INT32_MAX;
    MQTTProperties_add(p, &size);
}

static int link_connect(struct upstream *u, enum role role, const char *uri)
{
    const struct upstream_settings *s = u->settings;
    struct link *l = &u->links[role];
    char *uris[] = {(char *)(uintptr_t)uri}; /* copied */
    MQTTAsync_connectOptions o = s->version == 5 ? options_5() : options_3();
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;

    o.context = l->attempt;
    o.serverURIs = uris;
    o.serverURIcount = 1;
    o.maxInflight = 65535; /* the window is ours; so is the timeout */
    o.connectTimeout = (int)(u->connect_timeout_ms / 1000) + 60;
    o.keepAliveInterval = (int)u->keepalive_s;
    o.username = s->user;
    o.password = s->password;
    if (s->tls) {
        set_tls(&tls, u, l);
        o.ssl = &tls;
    }
    if (s->will_topic && role == PUBLISHING) {
        set_will(&will, s);
        o.will = &will;
    }
    if (s->version == 5) {
        set_max_packet(&properties, u);
        o.connectProperties = &properties;
    }
    pthread_rwlock_rdlock(&paho_calls);
    int rc = MQTTAsync_connect(l->client, &o);
    pthread_rwlock_unlock(&paho_calls);
    MQTTProperties_free(&properties);
    return rc;
}

static int link_create(struct upstream *u, struct link *l)
{
    const char *scheme = u->settings->tls ? "ssl://-" : "tcp://-";
    MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;

    o.MQTTVersion =
        u->settings->version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    o.maxBufferedMessages = QUEUE_MAX;
    /* The URI only says that it is TLS; link_connect brings the true one. */
    int rc = MQTTAsync_createWithOptions(&l->client, scheme, l->id,
                                         MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
    if (rc != MQTTASYNC_SUCCESS)
        return rc;
    MQTTAsync_setCallbacks(l->client, l->context, on_lost, on_message, NULL);
    MQTTAsync_setDisconnected(l->client, l->context, on_disconnected);
    return rc;
}

int link_open(struct upstream *u, enum role role, const char *uri)
{
    struct link *l = &u->links[role];

    l->context = handle_new(&u->owner, role);
    l->attempt = handle_new(&u->owner, role);
    pthread_mutex_lock(&u->lock);
    l->state = LINK_CONNECTING;
    pthread_mutex_unlock(&u->lock);

    int rc = l->context && l->attempt ? link_create(u, l) : MQTTASYNC_FAILURE;
    if (rc == MQTTASYNC_SUCCESS)
        rc = link_connect(u, role, uri);
    if (rc == MQTTASYNC_SUCCESS || (l->attempt && !handle_end(l->attempt)))
        return 0; /* or a callback has told why not */
    pthread_mutex_lock(&u->lock);
    l->state = LINK_DOWN;
    snprintf(u->why, sizeof u->why, "%s", MQTTAsync_strerror(rc));
    pthread_mutex_unlock(&u->lock);
    return -1;
}

static void link_close(struct upstream *u, enum role role)
{
    struct link *l = &u->links[role];

    handle_end(l->context);
    handle_end(l->attempt);
    l->context = l->attempt = NULL;
    if (l->client) {
        pthread_rwlock_wrlock(&paho_calls);
        MQTTAsync_destroy(&l->client);
        pthread_rwlock_unlock(&paho_calls);
    }
    pthread_mutex_lock(&u->lock);
    l->state = LINK_DOWN;
    pthread_mutex_unlock(&u->lock);
}

void links_close(struct upstream *u)
{
    for (enum role r = 0; r < ROLES; r++)
        link_close(u, r);
}
