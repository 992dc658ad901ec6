/* SPDX-License-Identifier: Apache-2.0 */
/* mode_fanout.c - one publisher, many subscribers, the same message again and
 * again. The publisher is never further ahead of the slowest subscriber than
 * the window, so no gateway has a reason to drop. Every subscriber must get
 * every message, and each must be like the first: of its length and hash. */
#include "json.h"
#include "mode.h"
#include "run.h"

#include <stdlib.h>

/* Written by the subscribers' thread, but for `published`. */
static struct {
    const struct options *options;
    struct client subscribers, publisher;
    struct counter published;  /* by the publisher's thread */
    struct counter deliveries; /* to all subscribers */
    struct counter everywhere; /* messages that all subscribers have */
    struct counter bytes;
    uint32_t *reached;          /* a ring: how many have the message */
    uint64_t like_hash, like_n; /* of the first message; like_n 0: none yet */
    atomic_bool go;             /* all subscribers are there: publish */
} fan;

/* What a subscriber is in the midst of. */
struct subscriber {
    uint64_t answers; /* what has come that is no delivery */
    uint64_t hash, n; /* of the message, or packet, so far */
    /* With --packets: MQTT 3.1.1, 2.2 */
    uint8_t type;  /* first byte of the packet; 0: it has not come */
    uint8_t shift; /* bits of the remaining length that have come */
    bool in_body;
    uint64_t left; /* remaining length */
};

static const uint64_t HASH_BEGIN = UINT64_C(0xcbf29ce484222325);

/* FNV-1a */
static void hash_add(struct subscriber *u, const uint8_t *p, size_t n)
{
    uint64_t hash = u->hash;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    u->hash = hash;
    u->n += n;
}

/* ---- deliveries -----------------------------------------------------------*/

/* The ring has room for all that may be under way: a message more than that
 * was never published. */
static bool count_delivery(struct session *s)
{
    uint64_t window = fan.options->window, nth = s->done;
    uint64_t low = counter_get(&fan.everywhere);

    if (nth >= counter_get(&fan.published))
        return false;
    s->done++;
    counter_add(&fan.deliveries, 1);
    fan.reached[nth % window]++;
    while (fan.reached[low % window] == fan.options->sessions) {
        fan.reached[low % window] = 0;
        low++;
    }
    if (low != counter_get(&fan.everywhere)) {
        counter_add(&fan.everywhere, low - counter_get(&fan.everywhere));
        client_wake(&fan.publisher);
    }
    return true;
}

static bool is_like_first(const struct subscriber *u)
{
    if (fan.like_n == 0) {
        fan.like_n = u->n;
        fan.like_hash = u->hash;
    }
    return u->n == fan.like_n && u->hash == fan.like_hash;
}

/* A message or packet is whole. */
static bool arrived(struct session *s, bool may_be_delivery)
{
    struct subscriber *u = s->context;
    bool good = true;

    if (u->answers < fan.options->ready) {
        u->answers++;
        if (u->answers == fan.options->ready)
            counter_add(&s->client->greeted, 1);
    } else if (may_be_delivery) {
        good = is_like_first(u) && count_delivery(s);
    }
    u->hash = HASH_BEGIN;
    u->n = 0;
    return good;
}

/* ---- subscribers ----------------------------------------------------------*/

static void subscriber_begin(struct session *s)
{
    const struct frames *first = &fan.options->first;
    struct subscriber *u = need(1, sizeof *u);

    u->hash = HASH_BEGIN;
    s->context = u;
    for (size_t i = 0; i < first->n; i++)
        session_send(s, first->list[i].p, first->list[i].n);
    if (fan.options->ready == 0)
        counter_add(&s->client->greeted, 1);
}

static bool subscriber_data(struct session *s, const uint8_t *p, size_t n,
                            uint64_t now)
{
    (void)now;
    s->received += n;
    counter_add(&fan.bytes, n);
    hash_add(s->context, p, n);
    return true;
}

static bool subscriber_message(struct session *s)
{
    return arrived(s, true);
}

/* ---- with --packets -------------------------------------------------------*/

static bool is_publish(const struct subscriber *u)
{
    return u->type >> 4 == 3;
}

/* One byte of the fixed header. */
static bool packet_head(struct subscriber *u, uint8_t byte)
{
    hash_add(u, &byte, 1);
    if (u->type == 0) {
        u->type = byte;
        u->shift = 0;
        u->left = 0;
        return byte >> 4 != 0;
    }
    u->left |= (uint64_t)(byte & 0x7f) << u->shift;
    u->shift = (uint8_t)(u->shift + 7);
    u->in_body = !(byte & 0x80);
    return u->shift <= 28;
}

static bool packets_data(struct session *s, const uint8_t *p, size_t n,
                         uint64_t now)
{
    struct subscriber *u = s->context;

    (void)now;
    s->received += n;
    counter_add(&fan.bytes, n);
    while (n > 0) {
        size_t used = 1;
        if (u->in_body) {
            used = u->left < n ? (size_t)u->left : n;
            hash_add(u, p, used);
            u->left -= used;
        } else if (!packet_head(u, *p)) {
            return false;
        }
        p += used;
        n -= used;
        if (u->in_body && u->left == 0) {
            bool good = arrived(s, is_publish(u));
            u->type = 0;
            u->in_body = false;
            if (!good)
                return false;
        }
    }
    return true;
}

/* ---- the publisher --------------------------------------------------------*/

static void publisher_begin(struct session *s)
{
    const struct frames *first = &fan.options->publisher_first;

    for (size_t i = 0; i < first->n; i++)
        session_send(s, first->list[i].p, first->list[i].n);
}

static void publisher_woken(struct session *s)
{
    const struct bytes *m = &fan.options->message;

    while (atomic_load(&fan.go) && !client_quiet(s->client) &&
           counter_get(&fan.published) - counter_get(&fan.everywhere) <
               fan.options->window) {
        counter_add(&fan.published, 1);
        session_send(s, m->p, m->n);
    }
}

/* ---- the run --------------------------------------------------------------*/

static struct counts count_messages(const void *ctx)
{
    (void)ctx;
    return (struct counts){
        .messages = counter_get(&fan.everywhere),
        .bytes = counter_get(&fan.bytes),
        .deliveries = counter_get(&fan.deliveries),
    };
}

static uint64_t due(const void *ctx)
{
    (void)ctx;
    return counter_get(&fan.published) * fan.options->sessions;
}

static uint64_t come(const void *ctx)
{
    (void)ctx;
    return counter_get(&fan.deliveries);
}

static void begin(const struct options *o)
{
    static const struct role frames = {
        .open = subscriber_begin,
        .data = subscriber_data,
        .message = subscriber_message,
    };
    static const struct role packets = {
        .open = subscriber_begin,
        .data = packets_data,
    };
    static const struct role publisher = {
        .open = publisher_begin,
        .woken = publisher_woken,
    };
    struct client_options subs = run_client(o, o->packets ? &packets : &frames);
    struct client_options pub = run_client(o, &publisher);

    pub.target = &o->publisher;
    pub.subprotocol = o->publisher_subprotocol;
    pub.sessions = 1;
    client_start(&fan.subscribers, &subs);
    client_wait_open(&fan.subscribers, true);
    client_start(&fan.publisher, &pub);
    client_wait_open(&fan.publisher, false);
    atomic_store(&fan.go, !fault_any());
    client_wake(&fan.publisher);
}

void mode_fanout(const struct options *o)
{
    fan.options = o;
    fan.reached = need(o->window, sizeof *fan.reached);
    begin(o);
    run_sleep(o->warmup);
    struct window w = window_measure(o, o->seconds, count_messages, NULL);
    double n = (double)(w.end.counts.deliveries - w.begin.counts.deliveries);
    atomic_store(&fan.publisher.quiet, true);
    uint64_t lost = run_drain("deliveries", due, come, NULL);
    client_finish(&fan.publisher);
    client_finish(&fan.subscribers);
    client_stop(&fan.publisher);
    client_stop(&fan.subscribers);

    result_begin(o);
    result_window(o, &w);
    json_number("deliveries", n, 0);
    json_number("deliveries_per_s", n / window_s(&w), 1);
    if (o->pid > 0)
        json_number("cpu_us_per_delivery", window_cpu_s(&w) * 1e6 / n, 4);
    result_end(o, lost * o->message.n);
}
