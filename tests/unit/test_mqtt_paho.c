/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_paho.c - the upstream on Paho against a real broker, which is
 * killed, stopped and restarted. This program's main thread is the hub's. */
#include "../../bridges/mqtt/upstream.h"

#include "mqtt_broker.h"

#include <glob.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- a hub that writes down what it is told ------------------------------ */

enum { TOKENS = 200000, MESSAGES = 64, FILTERS = 16, WAIT_MS = 20000 };

struct heard {
    char topic[64], payload[64];
    size_t payload_n;
    int qos;
    bool retained;
    uint32_t filter_id;
};

struct hub {
    const struct upstream_ops *ops;
    struct upstream *upstream;
    struct upstream_settings settings;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t news;
    bool up, closed;
    unsigned ups, downs, repeated; /* repeated: up while up */
    char why[600];
    unsigned writable, late; /* late: events after close */
    struct heard heard[MESSAGES];
    size_t n_heard; /* all of them, also where there is no place */
    int granted[FILTERS];
    unsigned answers[FILTERS];
    /* Of publishes; a token is its number + 1. */
    size_t taken, ended, lost, under_way_max;
    uint8_t ends[TOKENS];
    int reasons[TOKENS];
};

static struct hub hub;
static unsigned dropped;

static void count(const struct gw_bridge *b, unsigned counter, int64_t n)
{
    (void)b;
    assert_int_equal(counter, COUNTER_DROPPED);
    __atomic_add_fetch(&dropped, (unsigned)n, __ATOMIC_RELAXED);
}

static struct gw_tls *tls_new(const struct gw_tls_options *o, char *err,
                              size_t cap)
{
    if (!o->ca || access(o->ca, R_OK) == 0)
        return (struct gw_tls *)&hub;
    snprintf(err, cap, "%s: no such file", o->ca);
    return NULL;
}

static void tls_free(struct gw_tls *t)
{
    assert_ptr_equal(t, &hub);
}

/* A look-up on a thread of its own, as if it were a worker. */
struct question {
    gw_resolved_fn found;
    void *arg;
    char name[256];
};

static atomic_uint unanswered;
static atomic_bool silent; /* the name servers */

static void *answer_question(void *arg)
{
    struct question *q = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char texts[4][64];
    const char *addresses[4];
    size_t n = 0;

    while (silent)
        broker_pause_10ms();
    if (getaddrinfo(q->name, NULL, &hints, &list) == 0)
        for (struct addrinfo *a = list; a && n < LEN(texts); a = a->ai_next)
            if (getnameinfo(a->ai_addr, a->ai_addrlen, texts[n],
                            sizeof texts[n], NULL, 0, NI_NUMERICHOST) == 0) {
                addresses[n] = texts[n];
                n++;
            }
    if (list)
        freeaddrinfo(list);
    q->found(q->arg, addresses, n, n > 0 ? NULL : "no such host");
    free(q);
    unanswered--;
    return NULL;
}

static bool resolve(struct gw_worker *w, const char *name, gw_resolved_fn found,
                    void *arg)
{
    struct question *q = calloc(1, sizeof *q);
    pthread_t thread;

    assert_non_null(q);
    assert_null(w);
    q->found = found;
    q->arg = arg;
    snprintf(q->name, sizeof q->name, "%s", name);
    unanswered++;
    assert_int_equal(pthread_create(&thread, NULL, answer_question, q), 0);
    pthread_detach(thread);
    return true;
}

static const struct gw_host host = {
    .add = count, .tls_new = tls_new, .tls_free = tls_free, .resolve = resolve};

static void told(struct hub *h)
{
    h->news++;
    h->late += h->closed;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

static void on_state(struct hub *h, bool up, const char *why)
{
    pthread_mutex_lock(&h->lock);
    h->repeated += up && h->up;
    h->ups += up;
    h->downs += !up && h->up;
    h->up = up;
    snprintf(h->why, sizeof h->why, "%s", why);
    told(h);
}

static void on_message(struct hub *h, struct message *m)
{
    pthread_mutex_lock(&h->lock);
    struct heard *x = &h->heard[h->n_heard % MESSAGES];
    snprintf(x->topic, sizeof x->topic, "%.*s", (int)m->topic.n, m->topic.p);
    snprintf(x->payload, sizeof x->payload, "%.*s", (int)m->payload.n,
             m->payload.p);
    x->payload_n = m->payload.n;
    x->qos = m->qos;
    x->retained = m->retained;
    x->filter_id = m->filter_id;
    h->n_heard++;
    told(h);
    message_unref(m);
}

static void on_published(struct hub *h, void *token, int reason)
{
    size_t i = (uintptr_t)token - 1;

    pthread_mutex_lock(&h->lock);
    h->ends[i]++;
    h->reasons[i] = reason;
    h->ended++;
    h->lost += reason == -1;
    told(h);
}

static void on_writable(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    h->writable++;
    told(h);
}

static void on_subscribed(struct hub *h, uint32_t filter_id, int granted)
{
    pthread_mutex_lock(&h->lock);
    h->granted[filter_id] = granted;
    h->answers[filter_id]++;
    told(h);
}

static const struct upstream_events events = {
    on_state, on_message, on_published, on_writable, on_subscribed};

/* ---- the hub's thread -----------------------------------------------------
 */

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Wait for news or `ms`. */
static void rest(struct hub *h, uint64_t news, uint32_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&h->lock);
    while (h->news == news &&
           pthread_cond_timedwait(&h->wake, &h->lock, &t) == 0)
        ;
    pthread_mutex_unlock(&h->lock);
}

static uint64_t news_of(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    uint64_t news = h->news;
    pthread_mutex_unlock(&h->lock);
    return news;
}

static size_t heard_of(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    size_t n = h->n_heard;
    pthread_mutex_unlock(&h->lock);
    return n;
}

/* Publishes that ended well, or with a reason of the broker's. */
static size_t well_of(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    size_t n = h->ended - h->lost;
    pthread_mutex_unlock(&h->lock);
    return n;
}

/* One turn of the thread, as the real one does it. */
static void turn(struct hub *h, uint32_t most_ms)
{
    uint64_t news = news_of(h);
    uint32_t ms = h->ops->tick(h->upstream);

    rest(h, news, ms < most_ms ? ms : most_ms);
}

/* Turns until the condition, looked at with the lock, holds. */
#define UNTIL(h, condition)                                                    \
    do {                                                                       \
        uint64_t end_ = now_ms() + WAIT_MS;                                    \
        for (;;) {                                                             \
            pthread_mutex_lock(&(h)->lock);                                    \
            bool done_ = (condition);                                          \
            pthread_mutex_unlock(&(h)->lock);                                  \
            if (done_)                                                         \
                break;                                                         \
            if (now_ms() > end_)                                               \
                fail_msg("never: %s (%s)", #condition, (h)->why);              \
            turn(h, 100);                                                      \
        }                                                                      \
    } while (0)

static void hub_start(struct hub *h, const struct upstream_settings *s)
{
    pthread_condattr_t attr;
    char err[256] = "";

    memset(h, 0, sizeof *h);
    h->ops = &upstream_paho;
    h->settings = *s;
    h->settings.host = &host;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    h->upstream = h->ops->open(h, &events, &h->settings, err, sizeof err);
    if (!h->upstream)
        fail_msg("%s", err);
}

/* Also checks that each publish has ended once, and nothing follows. */
static void hub_stop(struct hub *h)
{
    h->ops->close(h->upstream);
    pthread_mutex_lock(&h->lock);
    h->closed = true;
    assert_int_equal(h->ended, h->taken);
    for (size_t i = 0; i < h->taken; i++)
        assert_int_equal(h->ends[i], 1);
    assert_int_equal(h->repeated, 0);
    pthread_mutex_unlock(&h->lock);
    for (int i = 0; i < 2; i++)
        broker_pause_10ms();
    pthread_mutex_lock(&h->lock);
    assert_int_equal(h->late, 0);
    pthread_mutex_unlock(&h->lock);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
}

/* False: the window is full. */
static bool publish(struct hub *h, const char *topic, const char *payload,
                    int qos, bool retain)
{
    size_t i = h->taken;
    assert_true(i < TOKENS);
    int full = h->ops->publish(h->upstream, (void *)(i + 1), text_of(topic),
                               text_of(payload), qos, retain);
    if (full)
        return false;
    h->taken++;
    pthread_mutex_lock(&h->lock);
    size_t under_way = h->taken - h->ended;
    if (under_way > h->under_way_max)
        h->under_way_max = under_way;
    pthread_mutex_unlock(&h->lock);
    return true;
}

static void subscribe(struct hub *h, const char *filter, uint32_t id, int qos)
{
    pthread_mutex_lock(&h->lock);
    unsigned answers = h->answers[id];
    pthread_mutex_unlock(&h->lock);
    h->ops->subscribe(h->upstream, text_of(filter), id, qos);
    UNTIL(h, h->answers[id] > answers);
}

static struct upstream_settings settings_of(const char *brokers, int version)
{
    return (struct upstream_settings){.brokers = brokers,
                                      .client_id = "unit",
                                      .version = version,
                                      .keepalive_s = 10,
                                      .connect_timeout_ms = 5000,
                                      .window = 100,
                                      .window_bytes = 256 << 10,
                                      .max_payload = 65536};
}

static struct mosquitto broker;
static char brokers[64];

static void broker_up(const char *conf)
{
    broker = broker_start(conf);
    snprintf(brokers, sizeof brokers, "127.0.0.1:%d", broker.port);
}

/* A broker, and a hub whose upstream is up. */
static void pair_up(const char *conf, int version)
{
    broker_up(conf);
    struct upstream_settings s = settings_of(brokers, version);
    hub_start(&hub, &s);
    UNTIL(&hub, hub.up);
}

static void pair_down(void)
{
    hub_stop(&hub);
    broker_kill(&broker);
}

static const char open_to_all[] = "allow_anonymous true\n";
static const int versions[] = {4, 5};

/* ---- messages
 * --------------------------------------------------------------*/

static void each_qos(void **state)
{
    (void)state;
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(open_to_all, versions[v]);
        subscribe(&hub, "a/#", 7, 2);
        assert_int_equal(hub.granted[7], 2);
        assert_true(publish(&hub, "a/0", "nought", 0, false));
        UNTIL(&hub, hub.n_heard == 1);
        assert_true(publish(&hub, "a/1", "", 1, false));
        UNTIL(&hub, hub.n_heard == 2);
        assert_true(publish(&hub, "a/2", "two", 2, false));
        UNTIL(&hub, hub.n_heard == 3 && hub.ended == 3);
        static const char *const payloads[] = {"nought", "", "two"};
        for (int i = 0; i < 3; i++) {
            const struct heard *x = &hub.heard[i];
            assert_int_equal(x->topic[2], '0' + i);
            assert_string_equal(x->payload, payloads[i]);
            assert_int_equal(x->qos, i);
            assert_false(x->retained);
            assert_int_equal(x->filter_id, versions[v] == 5 ? 7 : 0);
            assert_int_equal(hub.reasons[i], 0);
        }
        hub.ops->unsubscribe(hub.upstream, text_of("a/#"), 7);
        subscribe(&hub, "b", 8, 0); /* behind it */
        assert_int_equal(hub.granted[8], 0);
        assert_true(publish(&hub, "a/0", "unheard", 0, false));
        assert_true(publish(&hub, "b", "heard", 0, false));
        UNTIL(&hub, hub.n_heard == 4);
        assert_string_equal(hub.heard[3].payload, "heard");
        pair_down();
    }
}

static void retained(void **state)
{
    (void)state;
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(open_to_all, versions[v]);
        assert_true(publish(&hub, "r/x", "kept", 1, true));
        UNTIL(&hub, hub.ended == 1);
        for (size_t i = 1; i <= 3; i++) {
            subscribe(&hub, "r/+", 1, 1);
            UNTIL(&hub, hub.n_heard == i);
            assert_true(hub.heard[i - 1].retained);
        }
        assert_true(publish(&hub, "r/x", "live", 1, true));
        UNTIL(&hub, hub.n_heard == 4);
        assert_false(hub.heard[3].retained);
        pair_down();
    }
}

static void overlapping_filters(void **state)
{
    (void)state;
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(open_to_all, versions[v]);
        subscribe(&hub, "o/#", 3, 0);
        subscribe(&hub, "o/+", 4, 0);
        assert_true(publish(&hub, "o/x", "1", 0, false));
        assert_true(publish(&hub, "o/y/z", "2", 0, false));
        if (versions[v] == 4) {
            UNTIL(&hub, hub.n_heard == 2);
        } else {
            UNTIL(&hub, hub.n_heard == 3);
            assert_int_equal(hub.heard[0].filter_id + hub.heard[1].filter_id,
                             3 + 4);
            assert_int_equal(hub.heard[2].filter_id, 3);
        }
        pair_down();
    }
}

/* ---- the window
 * ------------------------------------------------------------*/

static void publish_many(struct hub *h, size_t n, const char *payload, int qos)
{
    for (size_t i = 0; i < n;)
        if (publish(h, "w/x", payload, qos, false))
            i++;
        else
            turn(h, 100);
    UNTIL(h, h->ended == h->taken);
}

/* Mosquitto takes 20 at a time from an MQTT 5 client, and says so. */
static void receive_maximum(void **state)
{
    pair_up(open_to_all, 5);
    (void)state;

    publish_many(&hub, 3000, "x", 1);
    assert_int_equal(hub.under_way_max, 19);
    hub.under_way_max = 0;
    publish_many(&hub, 1000, "x", 2);
    assert_int_equal(hub.under_way_max, 19);
    publish_many(&hub, 3000, "x", 0);
    assert_int_equal(hub.lost, 0);
    assert_true(hub.writable > 0);
    pair_down();
}

static void own_window(void **state)
{
    static char big[20001];
    pair_up("allow_anonymous true\n"
            "max_inflight_messages 0\n",
            4);
    (void)state;

    publish_many(&hub, 3000, "x", 1);
    assert_true(hub.under_way_max > 19 && hub.under_way_max <= 100);
    memset(big, 'x', sizeof big - 1);
    hub.under_way_max = 0;
    publish_many(&hub, 500, big, 1);
    assert_true(hub.under_way_max >= 2 &&
                hub.under_way_max <= (256 << 10) / 20000);
    pair_down();
}

static void sizes(void **state)
{
    static char big[65537];
    (void)state;

    memset(big, 'x', sizeof big - 1);
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(open_to_all, versions[v]);
        subscribe(&hub, "s", 1, 1);
        big[65536] = '\0';
        assert_true(publish(&hub, "s", big, 1, false));
        UNTIL(&hub, hub.n_heard == 1 && hub.ended == 1);
        assert_int_equal(hub.heard[0].payload_n, 65536);
        pair_down();

        /* One byte less is taken: it is too large, either way. */
        broker_up(open_to_all);
        struct upstream_settings s = settings_of(brokers, versions[v]);
        hub_start(&hub, &s);
        static struct hub small;
        s.max_payload = 65535;
        hub_start(&small, &s);
        UNTIL(&hub, hub.up);
        UNTIL(&small, small.up);
        subscribe(&small, "s", 1, 1);
        assert_true(publish(&small, "s", big, 1, false));
        assert_int_equal(small.reasons[0], 0x95);
        dropped = 0;
        assert_true(publish(&hub, "s", big, 1, false));
        assert_true(publish(&hub, "s", "small", 1, false));
        UNTIL(&hub, hub.ended == 2);
        UNTIL(&small, small.n_heard == 1);
        assert_string_equal(small.heard[0].payload, "small");
        assert_int_equal(__atomic_load_n(&dropped, __ATOMIC_RELAXED), 1);
        hub_stop(&small);
        pair_down();
    }
}

/* ---- how soon -------------------------------------------------------------
 */

/* Paho by itself takes a second to see that it is connected. */
static void connects_at_once(void **state)
{
    uint64_t best_ms = UINT64_MAX;
    broker_up(open_to_all);
    (void)state;

    for (int i = 0; i < 3; i++) {
        struct upstream_settings s = settings_of(brokers, 5);
        uint64_t began = now_ms();
        hub_start(&hub, &s);
        UNTIL(&hub, hub.up);
        if (now_ms() - began < best_ms)
            best_ms = now_ms() - began;
        hub_stop(&hub);
    }
    assert_in_range(best_ms, 0, 700);
    broker_kill(&broker);
}

/* And it sleeps, once nothing has come for a second, for a tenth of one. */
static void hears_at_once(void **state)
{
    static struct hub speaker;
    uint64_t best_ms = UINT64_MAX;
    pair_up(open_to_all, 5);
    struct upstream_settings s = settings_of(brokers, 5);
    (void)state;

    hub_start(&speaker, &s);
    UNTIL(&speaker, speaker.up);
    subscribe(&hub, "soon", 1, 0);
    for (size_t i = 1; i <= 2; i++) {
        uint64_t until = now_ms() + 1020;
        while (now_ms() < until)
            turn(&hub, (uint32_t)(until - now_ms()));
        uint64_t began = now_ms();
        assert_true(publish(&speaker, "soon", "x", 0, false));
        UNTIL(&hub, hub.n_heard == i);
        if (now_ms() - began < best_ms)
            best_ms = now_ms() - began;
    }
    assert_in_range(best_ms, 0, 40);
    hub_stop(&speaker);
    pair_down();
}

/* ---- a broker that goes and comes
 * ------------------------------------------*/

/* Publish until `more` have ended well. */
static void load(struct hub *h, size_t more)
{
    static const char *const payloads[] = {"short", "a little longer than it"};
    size_t enough = well_of(h) + more;
    uint64_t end = now_ms() + WAIT_MS;

    for (size_t i = h->taken;; i++) {
        bool full = !publish(h, "k/x", payloads[i % 2], (int)(i % 3), false);
        if (full)
            turn(h, 100);
        if (well_of(h) >= enough)
            return;
        assert_true(now_ms() < end);
    }
}

static void killed_under_load(void **state)
{
    (void)state;
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(open_to_all, versions[v]);
        for (unsigned i = 1; i <= 1 + v; i++) {
            subscribe(&hub, "k/#", 1, 2);
            load(&hub, 300);
            broker_kill(&broker);
            for (int n = 0; n < 200; n++)
                publish(&hub, "k/x", "late", n % 3, false);
            UNTIL(&hub, !hub.up);
            /* All that were under way have ended, and no more are taken. */
            UNTIL(&hub, hub.ended == hub.taken);
            assert_false(publish(&hub, "k/x", "away", 1, false));
            assert_int_equal(hub.downs, i);
            broker_run(&broker);
            UNTIL(&hub, hub.up);
            assert_int_equal(hub.ups, i + 1);
            size_t before = heard_of(&hub);
            subscribe(&hub, "k/#", 1, 2);
            while (!publish(&hub, "k/x", "again", 1, false))
                turn(&hub, 100);
            UNTIL(&hub, hub.n_heard > before);
        }
        assert_true(heard_of(&hub) > 100 * (1 + v));
        pair_down();
    }
}

/* It is there, but says nothing: what is under way ends with the upstream. */
static void closed_under_way(void **state)
{
    pair_up(open_to_all, 5);
    (void)state;

    publish_many(&hub, 10, "x", 1);
    kill(broker.pid, SIGSTOP);
    for (int i = 0; i < 10; i++)
        assert_true(publish(&hub, "c", "x", 1 + i % 2, false));
    hub_stop(&hub);
    assert_int_equal(hub.lost, 10);
    kill(broker.pid, SIGCONT);
    broker_kill(&broker);
}

static void closed_gracefully(void **state)
{
    pair_up(open_to_all, 4);
    (void)state;

    while (hub.taken < 50)
        if (!publish(&hub, "c", "x", 1, false))
            turn(&hub, 100);
    pair_down();
    assert_int_equal(hub.lost, 0);
}

static void closed_before_connected(void **state)
{
    struct upstream_settings s = settings_of("127.0.0.1:1", 5);
    (void)state;

    hub_start(&hub, &s);
    hub_stop(&hub); /* at once */
    hub_start(&hub, &s);
    turn(&hub, 0); /* while it connects */
    hub_stop(&hub);
    hub_start(&hub, &s);
    UNTIL(&hub, hub.why[0] != '\0');
    hub_stop(&hub);
    assert_int_equal(hub.ups, 0);
}

/* Brokers in turn, addresses in turn: localhost may be ::1 first, where nobody
 * listens. */
static void failover(void **state)
{
    char list[256];
    (void)state;

    struct mosquitto a = broker_start(open_to_all);
    struct mosquitto b = broker_start(open_to_all);
    snprintf(list, sizeof list,
             "127.0.0.1:%d,[::1]:%d,%064d.example,localhost:%d,127.0.0.1:%d",
             broker_free_port(), a.port, 0, a.port, b.port);
    struct upstream_settings s = settings_of(list, 4);
    hub_start(&hub, &s);
    UNTIL(&hub, hub.up);
    broker_kill(&a);
    UNTIL(&hub, hub.ups == 2);
    broker_run(&a);
    broker_kill(&b);
    UNTIL(&hub, hub.ups == 3);
    publish_many(&hub, 10, "x", 1);
    assert_int_equal(hub.lost, 0);
    hub_stop(&hub);
    broker_kill(&a);
}

/* Nothing waits for a name, and an answer may come when nobody does. */
static void slow_names(void **state)
{
    broker_up(open_to_all);
    struct upstream_settings s = settings_of(brokers, 5);
    (void)state;

    s.connect_timeout_ms = 200;
    silent = true;
    hub_start(&hub, &s);
    uint64_t began = now_ms();
    turn(&hub, 0);
    turn(&hub, 0);
    assert_in_range(now_ms() - began, 0, 150);
    UNTIL(&hub, strstr(hub.why, "name resolution timed out"));
    assert_int_equal(unanswered, 1);
    silent = false;
    UNTIL(&hub, hub.up);
    hub_stop(&hub);
    silent = true;
    hub_start(&hub, &s);
    turn(&hub, 0);
    hub_stop(&hub); /* before the answer */
    silent = false;
    broker_kill(&broker);
    while (unanswered > 0)
        broker_pause_10ms();
}

/* An MQTT 5 broker that is stopped says so. */
static void told_why(void **state)
{
    int status;
    pair_up(open_to_all, 5);
    (void)state;

    publish_many(&hub, 10, "x", 1);
    kill(broker.pid, SIGTERM);
    UNTIL(&hub, hub.downs == 1);
    assert_int_equal(waitpid(broker.pid, &status, 0), broker.pid);
    UNTIL(&hub, strstr(hub.why, brokers)); /* it tries again */
    broker_run(&broker);
    UNTIL(&hub, hub.ups == 2);
    pair_down();
}

/* ---- who may do what
 * -------------------------------------------------------*/

static void run(const char *format, ...)
{
    char command[2048];
    va_list ap;
    int n = snprintf(command, sizeof command, "cd '%s' && ", broker_dir);

    va_start(ap, format);
    vsnprintf(command + n, sizeof command - (size_t)n, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

/* The state stays down, and `why` is said. */
static void refused(const struct upstream_settings *s, const char *why)
{
    hub_start(&hub, s);
    UNTIL(&hub, hub.why[0] != '\0');
    if (!strstr(hub.why, why))
        fail_msg("got: %s", hub.why);
    assert_false(hub.up);
    assert_false(publish(&hub, "x", "x", 1, false));
    hub_stop(&hub);
    assert_int_equal(hub.ups, 0);
}

static void accepted(const struct upstream_settings *s)
{
    hub_start(&hub, s);
    UNTIL(&hub, hub.up);
    subscribe(&hub, "t", 1, 1);
    assert_true(publish(&hub, "t", "through", 1, false));
    UNTIL(&hub, hub.n_heard == 1 && hub.ended == 1);
    hub_stop(&hub);
}

static void passwords(void **state)
{
    char conf[128];
    (void)state;

    run("mosquitto_passwd -b -c passwd me secret");
    snprintf(conf, sizeof conf, "password_file %s/passwd\n", broker_dir);
    broker_up(conf);
    for (size_t v = 0; v < LEN(versions); v++) {
        struct upstream_settings s = settings_of(brokers, versions[v]);
        const char *why =
            versions[v] == 5 ? "Not authorized" : "not authorized";
        refused(&s, why);
        s.user = "me";
        s.password = "guess";
        refused(&s, why);
        s.password = "secret";
        accepted(&s);
    }
    broker_kill(&broker);
}

/* Debian's mosquitto brings it. */
static const char *dynamic_security(void)
{
    static char path[256];
    glob_t g;

    assert_int_equal(
        glob("/usr/lib/*/mosquitto_dynamic_security.so", 0, NULL, &g), 0);
    snprintf(path, sizeof path, "%s", g.gl_pathv[0]);
    globfree(&g);
    return path;
}

static void denied(void **state)
{
    char conf[512];
    (void)state;

    run("cat >acl.json <<'END'\n"
        "{\"defaultACLAccess\": {\"publishClientSend\": false,"
        " \"publishClientReceive\": true, \"subscribe\": false,"
        " \"unsubscribe\": true}, \"clients\": [],"
        " \"anonymousGroup\": \"all\","
        " \"groups\": [{\"groupname\": \"all\","
        "   \"roles\": [{\"rolename\": \"r\"}]}],"
        " \"roles\": [{\"rolename\": \"r\", \"acls\": ["
        "  {\"acltype\": \"subscribePattern\", \"topic\": \"ok/#\","
        "   \"allow\": true},"
        "  {\"acltype\": \"publishClientSend\", \"topic\": \"ok/#\","
        "   \"allow\": true}]}]}\nEND\n");
    snprintf(conf, sizeof conf,
             "allow_anonymous true\nplugin %s\n"
             "plugin_opt_config_file %s/acl.json\n",
             dynamic_security(), broker_dir);
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(conf, versions[v]);
        subscribe(&hub, "ok/x", 1, 1);
        subscribe(&hub, "no/x", 2, 1);
        assert_int_equal(hub.granted[1], 1);
        assert_int_equal(hub.granted[2], versions[v] == 5 ? 0x87 : 0x80);
        assert_true(publish(&hub, "ok/x", "1", 1, false));
        assert_true(publish(&hub, "no/x", "2", 1, false));
        assert_true(publish(&hub, "no/x", "3", 2, false));
        assert_true(publish(&hub, "ok/x", "4", 0, false));
        UNTIL(&hub, hub.ended == 4 && hub.n_heard == 2);
        assert_int_equal(hub.reasons[0], 0);
        assert_int_equal(hub.reasons[1], versions[v] == 5 ? 0x87 : 0);
        assert_int_equal(hub.reasons[2], versions[v] == 5 ? 0x87 : 0);
        assert_int_equal(hub.downs, 0);
        pair_down();
    }
}

/* What an MQTT 5 broker cannot do it does not get: it would drop the
 * connection, which all share. */
static void less_able_broker(void **state)
{
    pair_up("allow_anonymous true\nmax_qos 1\nretain_available false\n"
            "max_packet_size 2000\n",
            5);
    static char big[2001];
    (void)state;

    memset(big, 'x', sizeof big - 1);
    subscribe(&hub, "q", 1, 1);
    assert_true(publish(&hub, "q", "two", 2, false));
    UNTIL(&hub, hub.n_heard == 1);
    assert_int_equal(hub.heard[0].qos, 1);
    assert_true(publish(&hub, "q", "kept", 1, true));
    assert_int_equal(hub.reasons[1], 0x9a);
    assert_true(publish(&hub, "q", big, 1, false));
    assert_int_equal(hub.reasons[2], 0x95);
    publish_many(&hub, 10, "x", 2);
    assert_int_equal(hub.downs, 0);
    pair_down();
}

/* ---- TLS
 * -------------------------------------------------------------------*/

static void make_certificates(void)
{
    run("{ for ca in ca other; do"
        "  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        "   -nodes -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem; done;"
        " n=1; for name in localhost:DNS:localhost"
        "   address:IP:127.0.0.1,IP:::1 client:DNS:client; do"
        "  n=$((n + 1)); file=${name%%%%:*};"
        "  echo \"subjectAltName=${name#*:}\" >$file.ext;"
        "  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        "   -subj /CN=$file -keyout $file.key -out $file.csr;"
        "  openssl x509 -req -in $file.csr -CA ca.pem -CAkey ca.key -days 2"
        "   -set_serial $n -extfile $file.ext -out $file.pem;"
        " done; } >openssl.log 2>&1");
}

/* A path in the directory; good for a while. */
static const char *file(const char *name)
{
    static char paths[4][96];
    static unsigned next;
    char *path = paths[next++ % LEN(paths)];

    broker_path(path, sizeof paths[0], name);
    return path;
}

static int port_v6;

static void tls_up(const char *certificate, const char *more)
{
    char conf[512];
    int n = broker_free_port();

    snprintf(conf, sizeof conf,
             "allow_anonymous true\ncafile %s/ca.pem\n"
             "certfile %s/%s.pem\nkeyfile %s/%s.key\n%s"
             "listener %d ::1\nallow_anonymous true\n"
             "cafile %s/ca.pem\ncertfile %s/%s.pem\nkeyfile %s/%s.key\n",
             broker_dir, broker_dir, certificate, broker_dir, certificate, more,
             n, broker_dir, broker_dir, certificate, broker_dir, certificate);
    broker_up(conf);
    port_v6 = n;
}

static void tls_names(void **state)
{
    static const struct {
        const char *certificate, *host, *ca;
        bool insecure;
        const char *refused; /* NULL: accepted */
    } cases[] = {
        {"localhost", "localhost", "ca.pem", false, NULL},
        {"localhost", "127.0.0.1", "ca.pem", false, "another name"},
        {"localhost", "localhost", "other.pem", false, "verify failed"},
        {"localhost", "localhost", NULL, false, "verify failed"},
        {"localhost", "127.0.0.1", "other.pem", true, NULL},
        {"address", "localhost", "ca.pem", false, "another name"},
        {"address", "127.0.0.1", "ca.pem", false, NULL},
        {"address", "[::1]", "ca.pem", false, NULL},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        char list[64];
        print_message("%s as %s\n", cases[i].certificate, cases[i].host);
        tls_up(cases[i].certificate, "");
        snprintf(list, sizeof list, "%s:%d", cases[i].host,
                 cases[i].host[0] == '[' ? port_v6 : broker.port);
        struct upstream_settings s = settings_of(list, i % 2 ? 4 : 5);
        s.tls = true;
        s.ca = cases[i].ca ? file(cases[i].ca) : NULL;
        s.insecure = cases[i].insecure;
        if (cases[i].refused)
            refused(&s, cases[i].refused);
        else
            accepted(&s);
        broker_kill(&broker);
    }
}

static void tls_client_certificate(void **state)
{
    char list[64];
    (void)state;

    tls_up("localhost", "require_certificate true\n");
    snprintf(list, sizeof list, "localhost:%d", broker.port);
    struct upstream_settings s = settings_of(list, 5);
    s.tls = true;
    s.ca = file("ca.pem");
    refused(&s, list);
    s.cert = file("client.pem");
    s.key = file("client.key");
    accepted(&s);
    broker_kill(&broker);

    /* And a broker without TLS. */
    broker_up(open_to_all);
    snprintf(list, sizeof list, "localhost:%d", broker.port);
    refused(&s, list);
    broker_kill(&broker);
}

/* ---- settings
 * --------------------------------------------------------------*/

static void bad_settings(void **state)
{
    static const struct {
        const char *brokers, *ca, *sni, *want;
    } cases[] = {
        {"", NULL, NULL, "not HOST:PORT: \"\""},
        {"a,,b", NULL, NULL, "not HOST:PORT: \"\""},
        {"a:0", NULL, NULL, "not HOST:PORT: \"a:0\""},
        {"a:1883,b:65536", NULL, NULL, "\"b:65536\""},
        {"a:1883,b:", NULL, NULL, "\"b:\""},
        {"a:12x", NULL, NULL, "\"a:12x\""},
        {"::1", NULL, NULL, "\"::1\""},
        {"[::1", NULL, NULL, "\"[::1\""},
        {"[::1]8883", NULL, NULL, "\"[::1]8883\""},
        {":1883", NULL, NULL, "\":1883\""},
        {"a", "none.pem", NULL, "none.pem: no such file"},
        {"a,b", NULL, "a", "\"b\""},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        char err[256] = "";
        struct upstream_settings s = settings_of(cases[i].brokers, 5);
        s.host = &host;
        s.tls = true;
        s.ca = cases[i].ca;
        s.sni = cases[i].sni;
        assert_null(upstream_paho.open(&hub, &events, &s, err, sizeof err));
        if (!strstr(err, cases[i].want))
            fail_msg("got: %s", err);
    }
}

/* ---- the will
 * --------------------------------------------------------------*/

/* In a process of its own: connect, say so, and go when told. */
static int will_main(const char *list, int version)
{
    struct upstream_settings s = settings_of(list, version);
    char c = '.';

    s.will_topic = "will/gateway";
    s.will_payload = "gone";
    hub_start(&hub, &s);
    UNTIL(&hub, hub.up);
    if (write(STDOUT_FILENO, &c, 1) == 1 && read(STDIN_FILENO, &c, 1) == 1)
        hub_stop(&hub);
    return 0;
}

struct child {
    pid_t pid;
    int in, out;
};

static struct child will_start(int version)
{
    char number[8], self[] = "/proc/self/exe";
    char *argv[] = {self, brokers, number, NULL};
    int in[2], out[2];
    char c;
    posix_spawn_file_actions_t actions;
    struct child child;

    snprintf(number, sizeof number, "%d", version);
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    assert_int_equal(
        posix_spawn(&child.pid, self, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    child.in = in[1];
    child.out = out[0];
    assert_int_equal(read(child.out, &c, 1), 1);
    return child;
}

static void will_end(const struct child *c)
{
    int status;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    close(c->in);
    close(c->out);
}

static void will(void **state)
{
    (void)state;
    for (size_t v = 0; v < LEN(versions); v++) {
        pair_up(open_to_all, versions[v]);
        subscribe(&hub, "will/#", 1, 1);
        struct child c = will_start(versions[v]);
        assert_int_equal(write(c.in, "c", 1), 1); /* goes politely */
        will_end(&c);
        c = will_start(versions[v]);
        kill(c.pid, SIGKILL);
        will_end(&c);
        UNTIL(&hub, hub.n_heard == 1);
        assert_string_equal(hub.heard[0].topic, "will/gateway");
        assert_string_equal(hub.heard[0].payload, "gone");
        assert_true(publish(&hub, "will/x", "last", 1, false));
        UNTIL(&hub, hub.n_heard == 2);
        assert_string_equal(hub.heard[1].payload, "last");
        pair_down();
    }
}

/* ---- two upstreams
 * ---------------------------------------------------------*/

static atomic_bool enough;

static void *be_busy(void *arg)
{
    struct hub *h = arg;

    while (!enough) {
        for (int i = 0; i < 50; i++)
            publish(h, "b/x", "x", i % 3, false);
        turn(h, 10);
    }
    return NULL;
}

/* One is opened and closed while another thread keeps the other busy. */
static void beside_another(void **state)
{
    static struct hub other;
    pthread_t thread;
    pair_up(open_to_all, 5);
    struct upstream_settings s = settings_of(brokers, 4);
    (void)state;

    enough = false;
    assert_int_equal(pthread_create(&thread, NULL, be_busy, &hub), 0);
    for (int i = 0; i < 5; i++) {
        hub_start(&other, &s);
        UNTIL(&other, other.up);
        subscribe(&other, "b/#", 1, 0);
        UNTIL(&other, other.n_heard > 100);
        hub_stop(&other);
    }
    enough = true;
    pthread_join(thread, NULL);
    publish_many(&hub, 100, "x", 1);
    assert_int_equal(hub.lost, 0);
    pair_down();
}

static int make_files(void **state)
{
    int status = broker_dir_make(state);
    make_certificates();
    return status;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_qos),
        cmocka_unit_test(retained),
        cmocka_unit_test(overlapping_filters),
        cmocka_unit_test(receive_maximum),
        cmocka_unit_test(own_window),
        cmocka_unit_test(sizes),
        cmocka_unit_test(connects_at_once),
        cmocka_unit_test(hears_at_once),
        cmocka_unit_test(killed_under_load),
        cmocka_unit_test(closed_under_way),
        cmocka_unit_test(closed_gracefully),
        cmocka_unit_test(closed_before_connected),
        cmocka_unit_test(failover),
        cmocka_unit_test(slow_names),
        cmocka_unit_test(told_why),
        cmocka_unit_test(passwords),
        cmocka_unit_test(denied),
        cmocka_unit_test(less_able_broker),
        cmocka_unit_test(tls_names),
        cmocka_unit_test(tls_client_certificate),
        cmocka_unit_test(bad_settings),
        cmocka_unit_test(will),
        cmocka_unit_test(beside_another),
    };
    if (argc == 3)
        return will_main(argv[1], argv[2][0] - '0');
    return cmocka_run_group_tests_name("mqtt_paho", tests, make_files,
                                       broker_dir_remove);
}
