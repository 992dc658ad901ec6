/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_hub.c - the hub between two shards and an upstream that the test
 * plays. The hub's own thread runs; shards are read by the test in place of
 * their workers. */
#include "../../bridges/mqtt/hub_parts.h"

#include "mqtt_text.h"
#include "unit.h"

#include <stdio.h>
#include <time.h>

enum { CALLS = 4096, WAIT_MS = 10000, WORKERS = 2 };

/* ---- the upstream -------------------------------------------------------- */

/* What the hub's thread has asked for, in order. */
struct call {
    char what; /* 's'ubscribe, 'u'nsubscribe, 'p'ublish */
    char text[32];
    uint32_t id;
    int qos;
    void *token;
};

struct upstream {
    struct hub *hub;
    const struct upstream_events *events;
};

static struct upstream upstream;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct call calls[CALLS];
static size_t n_calls;
static size_t window; /* publishes that are taken */
static bool closed;

static void note_call(char what, struct text t, uint32_t id, int qos,
                      void *token)
{
    assert_true(n_calls < CALLS);
    struct call *c = &calls[n_calls++];
    *c = (struct call){.what = what, .id = id, .qos = qos, .token = token};
    snprintf(c->text, sizeof c->text, "%.*s", (int)t.n, t.p);
}

static struct upstream *up_open(struct hub *h, const struct upstream_events *ev,
                                const struct upstream_settings *s, char *err,
                                size_t cap)
{
    (void)s, (void)err, (void)cap;
    upstream = (struct upstream){h, ev};
    return &upstream;
}

static void up_subscribe(struct upstream *u, struct text filter, uint32_t id,
                         int qos)
{
    (void)u;
    pthread_mutex_lock(&lock);
    note_call('s', filter, id, qos, NULL);
    pthread_mutex_unlock(&lock);
}

static void up_unsubscribe(struct upstream *u, struct text filter, uint32_t id)
{
    (void)u;
    pthread_mutex_lock(&lock);
    note_call('u', filter, id, 0, NULL);
    pthread_mutex_unlock(&lock);
}

static int up_publish(struct upstream *u, void *token, struct text topic,
                      struct text payload, int qos, bool retain)
{
    (void)u, (void)payload, (void)retain;
    pthread_mutex_lock(&lock);
    bool full = window == 0;
    if (!full) {
        window--;
        note_call('p', topic, 0, qos, token);
    }
    pthread_mutex_unlock(&lock);
    return full;
}

static uint32_t up_tick(struct upstream *u)
{
    (void)u;
    return UINT32_MAX;
}

static void up_close(struct upstream *u)
{
    (void)u;
    pthread_mutex_lock(&lock);
    closed = true;
    pthread_mutex_unlock(&lock);
}

static const struct upstream_ops ops = {
    "played",   up_open, up_subscribe, up_unsubscribe,
    up_publish, up_tick, up_close};

/* ---- the host ------------------------------------------------------------ */

/* The workers' mailboxes: at most one call each, for a shard. */
static struct {
    void (*fn)(void *arg);
    void *arg;
} posted[WORKERS];

static struct gw_worker *worker(size_t i)
{
    return (struct gw_worker *)(void *)&posted[i];
}

static bool post(struct gw_worker *w, void (*fn)(void *arg), void *arg)
{
    for (size_t i = 0; i < WORKERS; i++)
        if (w == worker(i)) {
            posted[i].fn = fn;
            posted[i].arg = arg;
        }
    return true;
}

static atomic_int failed;

static void add(const struct gw_bridge *b, unsigned counter, int64_t n)
{
    (void)b;
    if (counter == COUNTER_PUBLISH_FAILED)
        atomic_fetch_add(&failed, (int)n);
}

static void note(const struct gw_bridge *b, enum gw_severity severity,
                 const char *event, const char *text)
{
    (void)b, (void)severity, (void)event, (void)text;
}

static const struct gw_host host = {.post = post, .add = add, .note = note};

/* ---- the stage ----------------------------------------------------------- */

static struct hub *hub;
static struct shard *shards[WORKERS];
static atomic_bool released;

static void release(void *owner)
{
    (void)owner;
    released = true;
}

static struct hub_settings settings;

static void begin(size_t hold_max, unsigned hold_ms, bool up)
{
    char err[64] = "";

    n_calls = 0;
    window = SIZE_MAX;
    closed = released = false;
    failed = 0;
    memset(posted, 0, sizeof posted);
    settings = (struct hub_settings){
        .upstream = {.host = &host, .brokers = "b"},
        .ops = &ops,
        .hold_max = hold_max,
        .hold_bytes = 1 << 20,
        .hold_ms = hold_ms,
    };
    hub = hub_new(&settings, release, NULL, err, sizeof err);
    if (!hub)
        fail_msg("%s", err);
    for (size_t i = 0; i < WORKERS; i++) {
        shards[i] = hub_shard(hub, worker(i));
        assert_non_null(shards[i]);
        assert_ptr_equal(hub_shard(hub, worker(i)), shards[i]);
    }
    if (up)
        upstream.events->state(hub, true, "");
}

static void pause_1ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#define UNTIL(condition)                                                       \
    do {                                                                       \
        int left_ = WAIT_MS;                                                   \
        for (;;) {                                                             \
            pthread_mutex_lock(&lock);                                         \
            bool done_ = (condition);                                          \
            pthread_mutex_unlock(&lock);                                       \
            if (done_)                                                         \
                break;                                                         \
            if (left_-- == 0)                                                  \
                fail_msg("never: %s", #condition);                             \
            pause_1ms();                                                       \
        }                                                                      \
    } while (0)

/* Run what was posted: the events, which find no session, are gone. */
static void workers_run(void)
{
    for (size_t i = 0; i < WORKERS; i++)
        while (posted[i].fn) {
            void (*fn)(void *) = posted[i].fn;
            posted[i].fn = NULL;
            fn(posted[i].arg);
        }
}

static void end(void)
{
    workers_run();
    hub_unref(hub);
    for (int i = 0; i < WAIT_MS && !released; i++) {
        workers_run();
        pause_1ms();
    }
    assert_true(released);
    assert_true(closed);
}

/* The events of a kind that wait in a shard; the last one to *e. */
static unsigned events_of(size_t shard, enum event_kind kind, struct event *e)
{
    unsigned n = 0;
    struct shard *s = shards[shard];

    pthread_mutex_lock(&s->lock);
    for (const struct event *at = s->first; at; at = at->next)
        if (at->kind == kind) {
            n++;
            if (e)
                *e = *at;
        }
    pthread_mutex_unlock(&s->lock);
    return n;
}

static uint32_t want(size_t shard, const char *filter, int qos, bool retained,
                     int answer)
{
    uint32_t id = 0;
    assert_int_equal(
        hub_want(hub, (unsigned)shard, text_of(filter), qos, retained, &id),
        answer);
    return id;
}

static void call_is(size_t i, char what, const char *text, int qos)
{
    UNTIL(n_calls > i);
    pthread_mutex_lock(&lock);
    struct call c = calls[i];
    pthread_mutex_unlock(&lock);
    assert_int_equal(c.what, what);
    assert_string_equal(c.text, text);
    assert_int_equal(c.qos, qos);
}

static void granted(uint32_t id, int qos)
{
    upstream.events->subscribed(hub, id, qos);
}

/* ---- filters ------------------------------------------------------------- */

static void one_filter_for_all(void **state)
{
    struct event e;
    begin(10, 0, true);
    (void)state;

    uint32_t id = want(0, "a/+", 1, false, -1);
    call_is(0, 's', "a/+", 1);
    assert_int_equal(want(1, "a/+", 0, false, -1), id); /* asked already */
    granted(id, 1);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(events_of(i, EVENT_GRANTED, &e), 1);
        assert_int_equal(e.filter_id, id);
        assert_int_equal(e.value, 1);
    }
    want(0, "a/+", 1, false, 1); /* known */
    want(0, "a/+", 2, false, -1);
    call_is(1, 's', "a/+", 2); /* more is wanted than was granted */
    granted(id, 2);
    want(0, "a/+", 0, true, 2); /* what is retained, again */
    call_is(2, 's', "a/+", 2);
    assert_int_equal(events_of(0, EVENT_EPOCH, NULL), 3);
    assert_int_equal(n_calls, 3);
    end();
}

static void a_refusal_stands_for_a_while(void **state)
{
    struct event e;
    begin(10, 0, true);
    (void)state;

    uint32_t id = want(0, "no", 0, false, -1);
    call_is(0, 's', "no", 0);
    granted(id, 0x87);
    assert_int_equal(events_of(0, EVENT_GRANTED, &e), 1);
    assert_int_equal(e.value, 0x87);
    hub_unwant(hub, 0, T("no"));
    want(1, "no", 0, true, 0x87); /* not asked again */
    hub_unwant(hub, 1, T("no"));
    assert_int_equal(n_calls, 1);
    end();
}

static void all_again_for_a_new_broker(void **state)
{
    struct event e;
    begin(10, 0, false);
    (void)state;

    uint32_t a = want(0, "a", 0, false, -1), b = want(1, "b", 1, false, -1);
    want(0, "c", 0, false, -1);
    hub_unwant(hub, 0, T("c")); /* never asked for, and gone */
    upstream.events->state(hub, true, "");
    UNTIL(n_calls == 2);
    granted(a, 0);
    granted(b, 1);
    upstream.events->state(hub, false, "gone");
    upstream.events->state(hub, true, "");
    UNTIL(n_calls == 4);
    assert_int_equal(events_of(0, EVENT_EPOCH, &e), 2);
    assert_true(e.value); /* for a broker that was away */
    assert_int_equal(events_of(0, EVENT_STATE, NULL), 3);
    assert_int_equal(events_of(0, EVENT_GRANTED, NULL), 1);
    granted(a, 0x80); /* it has changed its mind */
    assert_int_equal(events_of(0, EVENT_GRANTED, &e), 2);
    assert_int_equal(e.value, 0x80);
    end();
}

/* ---- messages ------------------------------------------------------------ */

static void come(const char *topic, uint32_t filter_id, bool retained)
{
    struct message *m = message_new(&host, text_of(topic), T("x"), 0, retained);
    assert_non_null(m);
    m->filter_id = filter_id;
    upstream.events->message(hub, m);
}

static void only_where_they_are_wanted(void **state)
{
    begin(10, 0, true);
    (void)state;

    uint32_t all = want(0, "r/#", 0, false, -1);
    uint32_t one = want(1, "r/1", 1, false, -1);
    UNTIL(n_calls == 2);
    granted(all, 0);
    granted(one, 1);
    come("r/2", 0, false);
    assert_int_equal(events_of(0, EVENT_MESSAGE, NULL), 1);
    assert_int_equal(events_of(1, EVENT_MESSAGE, NULL), 0);
    come("other", 0, false);
    assert_int_equal(events_of(0, EVENT_MESSAGE, NULL), 1);
    /* One copy for each filter: the one with the highest QoS counts. */
    come("r/1", all, false);
    assert_int_equal(events_of(0, EVENT_MESSAGE, NULL), 1);
    come("r/1", one, false);
    assert_int_equal(events_of(0, EVENT_MESSAGE, NULL), 2);
    assert_int_equal(events_of(1, EVENT_MESSAGE, NULL), 1);
    /* Retained ones are for who asked by that filter: all go. */
    come("r/1", all, true);
    come("r/1", one, true);
    assert_int_equal(events_of(1, EVENT_MESSAGE, NULL), 3);
    end();
}

/* ---- publishes ----------------------------------------------------------- */

static int publish(struct publisher *by, uint32_t id)
{
    char topic[16];
    snprintf(topic, sizeof topic, "t/%u", (unsigned)id);
    struct publish *p = publish_new(text_of(topic), T("payload"), 1, false);
    assert_non_null(p);
    p->by = by;
    p->id = id;
    p->has_id = true;
    return hub_publish(hub, p);
}

static void *token(size_t call)
{
    pthread_mutex_lock(&lock);
    void *t = calls[call].token;
    pthread_mutex_unlock(&lock);
    return t;
}

static void in_order_and_acknowledged(void **state)
{
    struct event e;
    begin(100, 0, true);
    struct publisher *by = publisher_new(1, 77);
    (void)state;

    pthread_mutex_lock(&lock);
    window = 2;
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(publish(by, i), 0);
    call_is(1, 'p', "t/1", 1);
    upstream.events->published(hub, token(0), 0);
    upstream.events->published(hub, token(1), 0x87);
    assert_int_equal(events_of(1, EVENT_ACK, &e), 2);
    assert_int_equal(e.client, 77);
    assert_int_equal(e.id, 1);
    assert_int_equal(e.value, 0x87);
    assert_int_equal(failed, 1);
    assert_int_equal(n_calls, 2); /* the window is full */
    pthread_mutex_lock(&lock);
    window = SIZE_MAX;
    pthread_mutex_unlock(&lock);
    upstream.events->writable(hub);
    for (size_t i = 2; i < 5; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t/%zu", i);
        call_is(i, 'p', topic, 1);
    }
    publisher_close(hub, by); /* nobody is told any more */
    for (size_t i = 2; i < 5; i++)
        upstream.events->published(hub, token(i), 0);
    assert_int_equal(events_of(1, EVENT_ACK, NULL), 2);
    end();
}

static void held_and_then_failed(void **state)
{
    struct event e;
    begin(3, 100, false);
    struct publisher *by = publisher_new(0, 5);
    (void)state;

    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(publish(by, i), 0);
    assert_int_equal(publish(by, 3), -1); /* hold_max */
    UNTIL(events_of(0, EVENT_ACK, &e) == 3);
    assert_int_equal(e.id, 2);
    assert_int_equal(e.value, -1);
    assert_int_equal(publish(by, 4), 0);
    upstream.events->state(hub, true, "");
    call_is(0, 'p', "t/4", 1);
    upstream.events->published(hub, token(0), 0);
    publisher_close(hub, by);
    end();

    begin(3, 0, false); /* or not held at all */
    by = publisher_new(0, 5);
    assert_int_equal(publish(by, 0), -1);
    publisher_close(hub, by);
    end();
}

/* One session does not get the whole queue, and hears when it may go on. */
static void a_share_for_each(void **state)
{
    begin(10000, 0, true);
    struct publisher *by = publisher_new(0, 5), *other = publisher_new(1, 6);
    int taken = 0;
    uint32_t n = 0;
    (void)state;

    pthread_mutex_lock(&lock);
    window = 0;
    pthread_mutex_unlock(&lock);
    while ((taken = publish(by, n)) == 0)
        n++;
    assert_int_equal(taken, 1);
    assert_int_equal(n + 1, HUB_SHARE_MAX);
    assert_int_equal(publish(other, 0), 0);
    assert_int_equal(events_of(0, EVENT_ROOM, NULL), 0);
    pthread_mutex_lock(&lock);
    window = SIZE_MAX;
    pthread_mutex_unlock(&lock);
    upstream.events->writable(hub);
    UNTIL(n_calls == HUB_SHARE_MAX + 1);
    for (size_t i = 0; i <= HUB_SHARE_MAX / 2; i++)
        upstream.events->published(hub, token(i), 0);
    assert_int_equal(events_of(0, EVENT_ROOM, NULL), 1);
    for (size_t i = HUB_SHARE_MAX / 2 + 1; i <= HUB_SHARE_MAX; i++)
        upstream.events->published(hub, token(i), 0);
    assert_int_equal(events_of(0, EVENT_ROOM, NULL), 1);
    publisher_close(hub, by);
    publisher_close(hub, other);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_filter_for_all),
        cmocka_unit_test(a_refusal_stands_for_a_while),
        cmocka_unit_test(all_again_for_a_new_broker),
        cmocka_unit_test(only_where_they_are_wanted),
        cmocka_unit_test(in_order_and_acknowledged),
        cmocka_unit_test(held_and_then_failed),
        cmocka_unit_test(a_share_for_each),
    };
    return cmocka_run_group_tests_name("mqtt_hub", tests, NULL, NULL);
}
