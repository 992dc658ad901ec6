/* SPDX-License-Identifier: Apache-2.0 */
/* packets_up.c - what a client sends: passed on, or answered in the broker's
 * place. */
#include "packets.h"

#include <stdlib.h>

/* ---- PUBLISH ---------------------------------------------------------------
 */

static const struct mqtt_fault bad_name = {MQTT_TOPIC_NAME_INVALID,
                                           "no such topic name"};
static const struct mqtt_fault bad_alias = {MQTT_TOPIC_ALIAS_INVALID,
                                            "no such topic alias"};
static const struct mqtt_fault not_for_clients = {
    MQTT_PROTOCOL_ERROR, "a client's PUBLISH with a subscription identifier"};
static const struct mqtt_fault denied_publish = {
    MQTT_NOT_AUTHORIZED, "not allowed to publish there"};
static const struct mqtt_fault no_memory = {MQTT_IMPLEMENTATION_ERROR,
                                            "out of memory"};

static const struct mqtt_fault *verdict_of(struct packets *p,
                                           const struct mqtt_publish *pub,
                                           enum mqtt_verdict *verdict)
{
    if (pub->alias > p->alias_max)
        return &bad_alias;
    if (pub->topic.n == 0) {
        *verdict = mqtt_alias_get(&p->up_aliases, pub->alias);
        return *verdict == MQTT_UNKNOWN ? &bad_alias : NULL;
    }
    if (!topic_name_valid(pub->topic))
        return &bad_name;
    *verdict = grants_publish(p->grants, pub->topic) == GRANT_NO ? MQTT_DENIED
                                                                 : MQTT_ALLOWED;
    if (pub->alias && !mqtt_alias_set(&p->up_aliases, pub->alias, *verdict))
        return &no_memory;
    return NULL;
}

static void late_answer(struct packets *p)
{
    uint8_t out[MQTT_SMALL_MAX];

    if (p->late_type == 0)
        return;
    packets_answer(p, out,
                   mqtt_small(out, (enum mqtt_type)p->late_type, p->version,
                              p->late_id, MQTT_NOT_AUTHORIZED));
    p->late_type = 0;
}

/* After PUBREC with a reason (MQTT 5) the exchange is over. A client of MQTT 3
 * goes on with PUBREL, which is passed on: a broker completes what it does not
 * know. */
static void deny_publish(struct packets *p, const struct mqtt_publish *pub)
{
    packets_count(p, COUNT_DENIED_PUBLISHES, 1);
    if (p->version != MQTT_5 && !p->route->drop_denied) {
        packets_fault(p, &denied_publish);
        return;
    }
    p->drop_up = true;
    p->late_id = pub->id;
    p->late_type = pub->qos == 0   ? 0
                   : pub->qos == 1 ? MQTT_PUBACK
                                   : MQTT_PUBREC;
    if (p->up.rest == 0)
        late_answer(p);
}

static void up_publish(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_publish pub;
    enum mqtt_verdict verdict = MQTT_DENIED;
    const struct mqtt_fault *fault = mqtt_publish_parse(&pub, ev, p->version);

    if (!fault && pub.subscription_id)
        fault = &not_for_clients;
    if (!fault)
        fault = verdict_of(p, &pub, &verdict);
    if (fault)
        packets_fault(p, fault);
    else if (verdict == MQTT_DENIED)
        deny_publish(p, &pub);
    else
        packets_pass_up(p, ev);
}

static bool up_allowed(const struct grants *g, struct text topic)
{
    return topic_name_valid(topic) && grants_publish(g, topic) != GRANT_NO;
}

struct plain packets_up_begin(const struct packets *p, const uint8_t *in)
{
    return (struct plain){
        .input = in,
        .version = p->version,
        .from_client = true,
        .max_packet = p->up.max_packet,
        .grants = p->grants,
        .aliases = &p->up_aliases,
        .allowed = up_allowed,
    };
}

/* Nothing changes the bytes that go up. */
const uint8_t *packets_up_plain(struct packets *p, struct plain *plain,
                                const uint8_t *in, const uint8_t *end)
{
    struct mqtt_event ev = {.p = in};

    plain->version = p->version; /* CONNECT may have come just now */
    if (p->version == 0 || !mqtt_reader_idle(&p->up))
        return in;
    in = plain_pass(plain, plain->input, in, end);
    ev.n = (size_t)(in - ev.p);
    if (ev.n > 0)
        packets_pass_up(p, &ev);
    return in;
}

/* ---- SUBSCRIBE -------------------------------------------------------------
 */

static const struct mqtt_fault many_merges = {
    MQTT_QUOTA_EXCEEDED, "too many subscriptions under way"};

/* MQTT_ASK_BROKER, or why not. */
static uint8_t judge_filter(const struct packets *p, struct text filter)
{
    struct text plain;

    if (!topic_filter_valid(filter))
        return MQTT_TOPIC_FILTER_INVALID;
    if (grants_subscribe(p->grants, filter) != GRANT_NO)
        return MQTT_ASK_BROKER;
    if (!topic_is_shared(filter, &plain))
        return MQTT_NOT_AUTHORIZED;
    if (!p->route->allow_shared)
        return MQTT_NO_SHARED_SUBSCRIPTIONS;
    return grants_subscribe(p->grants, plain) != GRANT_NO ? MQTT_ASK_BROKER
                                                          : MQTT_NOT_AUTHORIZED;
}

/* How many filters are refused. MQTT 3 has one code for all reasons. */
static size_t judge_filters(const struct packets *p,
                            const struct mqtt_subscribe *s, uint8_t *codes)
{
    struct mqtt_in in = mqtt_in_of(s->filters);
    struct mqtt_filter f;
    size_t refused = 0;

    while (mqtt_filter_next(s, &in, &f)) {
        uint8_t code = judge_filter(p, f.text);
        if (code != MQTT_ASK_BROKER) {
            refused++;
            code = p->version == MQTT_5 ? code : 0x80;
        }
        *codes++ = code;
    }
    return refused;
}

static bool merge_add(struct packets *p, struct merge *m)
{
    struct merge **at = &p->merges;

    if (p->merges_n >= PACKETS_MERGES_MAX ||
        p->merges_bytes + m->n > PACKETS_MERGES_BYTES)
        return false;
    while (*at)
        at = &(*at)->next;
    *at = m;
    p->merges_n++;
    p->merges_bytes += m->n;
    packets_look(p);
    return true;
}

/* The answer, or the packet with fewer filters, in one buffer. */
static void subscribe_none(struct packets *p, const struct mqtt_subscribe *s,
                           const struct merge *m)
{
    static const struct text empty = {"", 0};
    size_t n =
        mqtt_suback_encode(s->id, p->version, empty, m->codes, m->n, NULL);
    uint8_t *out = malloc(n);

    if (!out) {
        packets_no_memory(p);
        return;
    }
    mqtt_suback_encode(s->id, p->version, empty, m->codes, m->n, out);
    packets_answer(p, out, n);
    free(out);
}

static void subscribe_some(struct packets *p, const struct mqtt_subscribe *s,
                           const struct merge *m)
{
    size_t n = mqtt_subscribe_encode(s, p->version, m->codes, NULL);
    uint8_t *out = malloc(n);

    if (!out) {
        packets_no_memory(p);
        return;
    }
    mqtt_subscribe_encode(s, p->version, m->codes, out);
    packets_put_up(p, out, n);
    free(out);
}

static void up_subscribe(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_subscribe s;
    const struct mqtt_fault *fault = mqtt_subscribe_parse(&s, ev, p->version);

    if (fault) {
        packets_fault(p, fault);
        return;
    }
    struct merge *m = calloc(1, sizeof *m + s.n);
    if (!m) {
        packets_no_memory(p);
        return;
    }
    m->id = s.id;
    m->n = s.n;
    size_t refused = judge_filters(p, &s, m->codes);
    packets_count(p, COUNT_DENIED_SUBSCRIPTIONS, refused);
    if (refused == 0) {
        packets_pass_up(p, ev);
    } else if (refused == s.n) {
        subscribe_none(p, &s, m);
    } else if (merge_add(p, m)) {
        subscribe_some(p, &s, m);
        return; /* m is the list's */
    } else {
        packets_fault(p, &many_merges);
    }
    free(m);
}

static void up_unsubscribe(struct packets *p, const struct mqtt_event *ev)
{
    struct mqtt_subscribe s;
    const struct mqtt_fault *fault = mqtt_subscribe_parse(&s, ev, p->version);

    if (fault)
        packets_fault(p, fault);
    else
        packets_pass_up(p, ev);
}

/* ---- the others ------------------------------------------------------------
 */

static void up_small(struct packets *p, const struct mqtt_event *ev)
{
    const struct mqtt_fault *fault = mqtt_small_check(ev, p->version);

    if (fault)
        packets_fault(p, fault);
    else
        packets_pass_up(p, ev);
}

/* Its session expiry may not be longer than CONNECT's would have been. */
static void disconnect_clamped(struct packets *p, const struct mqtt_event *ev)
{
    enum { GROWS = 16 };
    uint8_t *out = malloc(ev->n + GROWS);

    if (!out) {
        packets_no_memory(p);
        return;
    }
    size_t n = mqtt_disconnect_clamp(ev, p->route->max_expiry_s, out);
    if (n > 0)
        packets_put_up(p, out, n);
    else
        packets_pass_up(p, ev);
    free(out);
}

static void up_disconnect(struct packets *p, const struct mqtt_event *ev)
{
    const struct mqtt_fault *fault = mqtt_small_check(ev, p->version);

    if (fault) {
        packets_fault(p, fault);
        return;
    }
    if (p->version == MQTT_5 && p->route->clamp_expiry)
        disconnect_clamped(p, ev);
    else
        packets_pass_up(p, ev);
    packets_finish(p);
}

void packets_up_head(struct packets *p, const struct mqtt_event *ev)
{
    p->drop_up = false;
    switch (ev->type) {
    case MQTT_CONNECT:
        packets_connect(p, ev);
        break;
    case MQTT_PUBLISH:
        up_publish(p, ev);
        break;
    case MQTT_SUBSCRIBE:
        up_subscribe(p, ev);
        break;
    case MQTT_UNSUBSCRIBE:
        up_unsubscribe(p, ev);
        break;
    case MQTT_DISCONNECT:
        up_disconnect(p, ev);
        break;
    default:
        up_small(p, ev);
    }
}

void packets_up_bytes(struct packets *p, const struct mqtt_event *ev)
{
    if (!p->drop_up)
        packets_pass_up(p, ev);
    else if (p->up.rest == 0)
        late_answer(p);
}
