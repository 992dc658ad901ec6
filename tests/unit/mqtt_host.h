/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt_host.h - gangway's side of bridges/bridge.h for sessions of MQTT
 * clients, in unit tests and fuzzing: it keeps what goes to either side, plays
 * the broker's connection and the clock, and checks that the bridge does
 * nothing it may not. One session, one connection. */
#ifndef GW_MQTT_HOST_H
#define GW_MQTT_HOST_H

#include "../../bridges/bridge.h"
#include "../check.h"

#include <stdio.h>
#include <string.h>

enum { FAKE_COUNTERS = 16, FAKE_TIMERS = 4 };

/* Bytes that grow. */
struct fake_bytes {
    uint8_t *p;
    size_t n;
};

static inline void fake_put(struct fake_bytes *b, const uint8_t *p, size_t n)
{
    if (n == 0)
        return;
    b->p = realloc(b->p, b->n + n);
    CHECK(b->p);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline void fake_clear(struct fake_bytes *b)
{
    free(b->p);
    *b = (struct fake_bytes){0};
}

struct gw_conn {
    const struct gw_conn_events *events;
    void *ctx;
    struct fake_bytes sent;
    unsigned sends;
    enum gw_sent next; /* what the next send answers; then GW_SENT */
    bool paused, finished, closed;
    char address[128];
    uint16_t default_port;
};

struct gw_timer {
    uint32_t ms; /* 0: not set */
    void (*fn)(void *arg);
    void *arg;
};

struct gw_session {
    const char *value; /* of every placeholder; NULL: it is missing */
    bool accepted, paused, closed;
    int refused; /* status */
    enum gw_cause cause;
    uint16_t code;
    char why[128];
    struct fake_bytes sent; /* payload of all messages */
    unsigned sends;
    enum gw_sent next;
    uint64_t counts[FAKE_COUNTERS];
    struct gw_timer timers[FAKE_TIMERS];
    struct gw_conn conn;
    bool dialled;
};

/* "{anything}" becomes s->value; gangway's own tests know better. */
static inline int fake_template_fill(struct gw_session *s, const char *text,
                                     enum gw_fill kind, char *out, size_t cap,
                                     const char **why)
{
    size_t n = 0;

    for (; *text; text++) {
        if (*text == '{') {
            text += strcspn(text, "}");
            if (!s->value ||
                (kind == GW_FILL_TOPIC && strpbrk(s->value, "/+#"))) {
                snprintf(out, cap, "no such value");
                *why = out;
                return -1;
            }
            n += (size_t)snprintf(out + n, cap - n, "%s", s->value);
        } else {
            out[n++] = *text;
        }
        CHECK(n < cap);
    }
    out[n] = '\0';
    return (int)n;
}

static inline int fake_template_check(const struct gw_target *t,
                                      const char *text, char *err, size_t cap)
{
    (void)t;
    if (strstr(text, "{bad}")) {
        snprintf(err, cap, "no placeholder called bad");
        return -1;
    }
    return strchr(text, '{') != NULL;
}

static inline void fake_accept(struct gw_session *s)
{
    CHECK(!s->accepted && !s->refused);
    s->accepted = true;
}

static inline void fake_refuse(struct gw_session *s, int status,
                               const char *why)
{
    CHECK(!s->accepted && !s->refused);
    s->refused = status;
    snprintf(s->why, sizeof s->why, "%s", why);
}

static inline enum gw_sent fake_send(struct gw_session *s, enum gw_type type,
                                     const uint8_t *p, size_t n, bool more)
{
    enum gw_sent sent = s->next;

    CHECK(s->accepted && n > 0 && !more);
    CHECK(type == GW_BINARY);
    if (s->closed)
        return GW_GONE;
    s->next = GW_SENT;
    s->sends++;
    fake_put(&s->sent, p, n);
    return sent;
}

static inline enum gw_sent fake_send_inplace(struct gw_session *s,
                                             enum gw_type type, uint8_t *p,
                                             size_t n, bool more)
{
    enum gw_sent sent = fake_send(s, type, p, n, more);

    memset(p - GW_SENDROOM, 0xee, GW_SENDROOM); /* a header goes there */
    return sent;
}

static inline enum gw_sent fake_sendv(struct gw_session *s, enum gw_type type,
                                      const struct gw_piece *v, int n,
                                      bool more)
{
    enum gw_sent sent = s->next;
    unsigned sends = s->sends;

    CHECK(n > 0 && n <= GW_PIECES_MAX);
    for (int i = 0; i < n; i++)
        fake_send(s, type, v[i].p, v[i].n, more);
    s->sends = s->closed ? sends : sends + 1;
    return s->closed ? GW_GONE : sent;
}

static inline void fake_pause(struct gw_session *s)
{
    s->paused = true;
}

static inline void fake_resume(struct gw_session *s)
{
    s->paused = false;
}

static inline void fake_close(struct gw_session *s, enum gw_cause cause,
                              uint16_t code, const char *why)
{
    if (s->closed)
        return;
    s->closed = true;
    s->cause = cause;
    s->code = code;
    snprintf(s->why, sizeof s->why, "%s", why ? why : "");
}

static inline struct gw_conn *fake_dial(struct gw_session *s,
                                        const struct gw_dial *d)
{
    CHECK(!s->dialled);
    s->dialled = true;
    s->conn.events = d->events;
    s->conn.ctx = d->ctx;
    s->conn.default_port = d->default_port;
    snprintf(s->conn.address, sizeof s->conn.address, "%s", d->address);
    return &s->conn;
}

static inline enum gw_sent fake_conn_send(struct gw_conn *c, const uint8_t *p,
                                          size_t n)
{
    enum gw_sent sent = c->next;

    CHECK(!c->finished && !c->closed && n > 0);
    c->next = GW_SENT;
    c->sends++;
    fake_put(&c->sent, p, n);
    return sent;
}

static inline enum gw_sent fake_conn_sendv(struct gw_conn *c,
                                           const struct gw_piece *v, int n)
{
    enum gw_sent sent = c->next;
    unsigned sends = c->sends + 1;

    CHECK(n > 0 && n <= GW_PIECES_MAX);
    for (int i = 0; i < n; i++)
        fake_conn_send(c, v[i].p, v[i].n);
    c->sends = sends;
    return sent;
}

static inline void fake_conn_pause(struct gw_conn *c)
{
    c->paused = true;
}

static inline void fake_conn_resume(struct gw_conn *c)
{
    c->paused = false;
}

static inline void fake_conn_finish(struct gw_conn *c)
{
    c->finished = true;
}

static inline void fake_conn_close(struct gw_conn *c)
{
    c->closed = true;
}

static inline struct gw_timer *fake_timer(struct gw_session *s, uint32_t ms,
                                          void (*fn)(void *arg), void *arg)
{
    for (int i = 0; i < FAKE_TIMERS; i++) {
        if (s->timers[i].ms != 0)
            continue;
        s->timers[i] = (struct gw_timer){ms, fn, arg};
        return &s->timers[i];
    }
    return NULL;
}

static inline void fake_timer_cancel(struct gw_timer *t)
{
    CHECK(t->ms != 0);
    t->ms = 0;
}

/* The one timer that is set: its time has come. */
static inline uint32_t fake_timer_fire(struct gw_session *s)
{
    for (int i = 0; i < FAKE_TIMERS; i++) {
        struct gw_timer t = s->timers[i];
        if (t.ms == 0)
            continue;
        s->timers[i].ms = 0;
        t.fn(t.arg);
        return t.ms;
    }
    return 0;
}

static inline void fake_log(struct gw_session *s, enum gw_severity severity,
                            const char *event, const char *text)
{
    (void)s, (void)severity;
    CHECK(event && text);
}

static inline void fake_count(struct gw_session *s, unsigned counter,
                              uint64_t n)
{
    CHECK(counter < FAKE_COUNTERS);
    s->counts[counter] += n;
}

static const struct gw_host fake_host = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_host),
    .template_check = fake_template_check,
    .template_fill = fake_template_fill,
    .accept = fake_accept,
    .refuse = fake_refuse,
    .send = fake_send,
    .send_inplace = fake_send_inplace,
    .pause = fake_pause,
    .resume = fake_resume,
    .close = fake_close,
    .dial = fake_dial,
    .conn_send = fake_conn_send,
    .sendv = fake_sendv,
    .conn_sendv = fake_conn_sendv,
    .conn_pause = fake_conn_pause,
    .conn_resume = fake_conn_resume,
    .conn_finish = fake_conn_finish,
    .conn_close = fake_conn_close,
    .timer = fake_timer,
    .timer_cancel = fake_timer_cancel,
    .log = fake_log,
    .count = fake_count,
};

/* Bytes from the backend, with scratch bytes before them. */
static inline void fake_conn_data(struct gw_session *s, const uint8_t *p,
                                  size_t n)
{
    uint8_t *room = malloc(GW_HEADROOM + n);

    CHECK(room);
    memcpy(room + GW_HEADROOM, p, n);
    s->conn.events->data(s->conn.ctx, room + GW_HEADROOM, n);
    free(room);
}

static inline void fake_session_fini(struct gw_session *s)
{
    fake_clear(&s->sent);
    fake_clear(&s->conn.sent);
}

#endif
