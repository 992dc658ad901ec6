/* SPDX-License-Identifier: Apache-2.0 */
/* packets_connect.c - the first packet: what the route says of a client goes
 * in place of what the client says of itself. */
#include "packets.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static const struct mqtt_fault no_client_id = {
    MQTT_BAD_CLIENT_ID, "a session that lasts needs a client id"};
static const struct mqtt_fault long_client_id = {MQTT_BAD_CLIENT_ID,
                                                 "the client id is too long"};
static const struct mqtt_fault bad_will = {MQTT_TOPIC_NAME_INVALID,
                                           "the will's topic is none"};
static const struct mqtt_fault denied_will = {MQTT_NOT_AUTHORIZED,
                                              "the will is not allowed"};
static const struct mqtt_fault duel = {
    MQTT_QUOTA_EXCEEDED, "others have this client id, time and again"};

/* No session: CONNACK says why in MQTT's words, if there are any. */
static void refuse(struct packets *p, const struct mqtt_connect *c,
                   const struct mqtt_fault *fault)
{
    uint8_t out[MQTT_SMALL_MAX];
    bool mqtt_3_knows = fault->reason == MQTT_BAD_VERSION ||
                        fault->reason == MQTT_BAD_CLIENT_ID ||
                        fault->reason == MQTT_NOT_AUTHORIZED ||
                        fault->reason == MQTT_QUOTA_EXCEEDED;

    if (mqtt_3_knows || c->version == MQTT_5)
        packets_put_down(p, out, mqtt_refusal(out, c->version, fault->reason));
    packets_fault(p, fault);
}

/* Sixteen characters that nobody guesses and everybody's broker takes. */
static bool make_up(char out[PACKETS_ID_RANDOM])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint8_t random[PACKETS_ID_RANDOM];

    if (getrandom(random, sizeof random, 0) != sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        out[i] = digits[random[i] % 32];
    return true;
}

/* The client's id with the prefix before it, as the new p->filled text. An
 * empty id would be the same for all, so one is made up, and the client told
 * its own part of it (MQTT 5), so that it may come again with it. */
static const struct mqtt_fault *prefix_id(struct packets *p,
                                          struct mqtt_connect *c)
{
    static const struct mqtt_fault no_memory = {MQTT_IMPLEMENTATION_ERROR,
                                                "out of memory"};
    char *prefix = p->filled[TEMPLATE_CLIENT_ID_PREFIX];
    size_t n = strlen(prefix);

    if (c->client_id.n == 0) {
        if (c->version != MQTT_5 && !c->clean)
            return &no_client_id;
        if (!make_up(p->made_up))
            return &no_memory;
        c->client_id = (struct text){p->made_up, sizeof p->made_up};
        p->notice.client_id = c->client_id;
    }
    if (n + c->client_id.n > UINT16_MAX)
        return &long_client_id;
    char *both = realloc(prefix, n + c->client_id.n);
    if (!both)
        return &no_memory;
    p->filled[TEMPLATE_CLIENT_ID_PREFIX] = both;
    memcpy(both + n, c->client_id.p, c->client_id.n);
    c->client_id = (struct text){both, n + c->client_id.n};
    return NULL;
}

/* True: the packet has changed. */
static bool identify(struct packets *p, struct mqtt_connect *c,
                     const struct mqtt_fault **fault)
{
    const char *user = p->filled[TEMPLATE_USER];
    const char *password = p->filled[TEMPLATE_PASSWORD];
    const char *id = p->filled[TEMPLATE_CLIENT_ID];

    if (user) {
        c->has_user = true;
        c->user = text_of(user);
    }
    if (password) {
        c->has_password = true;
        c->password = text_of(password);
    }
    if (id) {
        if (c->client_id.n == 0 && c->version == MQTT_5) {
            /* Whatever it comes with next time will do. */
            if (!make_up(p->made_up))
                *fault = &no_client_id;
            p->notice.client_id = (struct text){p->made_up, sizeof p->made_up};
        }
        c->client_id = text_of(id);
    } else if (p->filled[TEMPLATE_CLIENT_ID_PREFIX]) {
        *fault = prefix_id(p, c);
        id = "";
    }
    return user || password || id;
}

static bool clamp_keepalive(struct packets *p, struct mqtt_connect *c)
{
    uint16_t most = p->route->max_keepalive_s;

    if (most == 0 || (c->keepalive_s > 0 && c->keepalive_s <= most))
        return false;
    c->keepalive_s = most;
    if (c->version == MQTT_5) {
        p->notice.keepalive = true;
        p->notice.keepalive_s = most;
    } else {
        /* Never silent for longer than `most`, seen from the broker. */
        p->ping_ms = most * 500U;
    }
    return true;
}

static bool clamp_expiry(struct packets *p, struct mqtt_connect *c)
{
    uint32_t most = p->route->max_expiry_s;

    if (!p->route->clamp_expiry)
        return false;
    if (c->version != MQTT_5) {
        bool changes = most == 0 && !c->clean;
        c->clean |= changes;
        return changes;
    }
    if (c->expiry_s <= most)
        return false;
    c->expiry_s = most;
    p->notice.expiry = true;
    p->notice.expiry_s = most;
    return true;
}

static const struct mqtt_fault *judge_will(struct packets *p,
                                           const struct mqtt_connect *c)
{
    if (!c->has_will)
        return NULL;
    if (!topic_name_valid(c->will_topic))
        return &bad_will;
    if (grants_publish(p->grants, c->will_topic) != GRANT_NO)
        return NULL;
    packets_count(p, COUNT_DENIED_PUBLISHES, 1);
    return &denied_will;
}

static const struct mqtt_fault *take_id(struct packets *p,
                                        const struct mqtt_connect *c)
{
    struct timespec now;

    if (c->client_id.n == 0)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, &now);
    switch (takeover_enter(&p->takeover, p->broker, c->client_id,
                           (uint64_t)now.tv_sec)) {
    case TAKEOVER_TOO_MANY:
        return &duel;
    case TAKEOVER_NO_MEMORY:
        packets_no_memory(p);
        break;
    case TAKEOVER_OK:
        break;
    }
    return NULL;
}

static void send_connect(struct packets *p, const struct mqtt_connect *c)
{
    size_t n = mqtt_connect_encode(c, NULL);
    uint8_t *out = n > 0 ? malloc(n) : NULL;

    if (!out) {
        packets_no_memory(p);
        return;
    }
    mqtt_connect_encode(c, out);
    packets_put_up(p, out, n);
    explicit_bzero(out, n);
    free(out);
}

/* Secrets do not stay longer than they are needed. */
static void forget(struct packets *p)
{
    for (int i = 0; i < MQTT_TEMPLATES; i++) {
        free(p->filled[i]);
        p->filled[i] = NULL;
    }
    free(p->broker);
    p->broker = NULL;
}

static void clock_change(struct packets *p)
{
    if (p->timer)
        p->route->host->timer_cancel(p->timer);
    p->timer = NULL;
    if (p->ping_ms > 0)
        packets_ping_start(p, p->ping_ms);
}

void packets_connect(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_connect c;
    const struct mqtt_fault *fault = mqtt_connect_parse(&c, ev);

    if (fault) {
        refuse(p, &c, fault);
        return;
    }
    bool changed = identify(p, &c, &fault);
    changed |= clamp_keepalive(p, &c);
    changed |= clamp_expiry(p, &c);
    p->notice.max_packet = p->route->max_packet;
    if (fault || (fault = judge_will(p, &c)) || (fault = take_id(p, &c))) {
        refuse(p, &c, fault);
        return;
    }
    if (p->over)
        return;
    p->version = p->up.version = p->down.version = c.version;
    packets_count(p, COUNT_CONNECTS, 1);
    if (changed)
        send_connect(p, &c);
    else
        packets_pass_up(p, ev);
    forget(p);
    clock_change(p);
}
