/* SPDX-License-Identifier: Apache-2.0 */
/* fake_host.h - gangway's table for bridges, played by the test: what a
 * bridge does is written down, and nothing else happens. */
#ifndef GW_FAKE_HOST_H
#define GW_FAKE_HOST_H

#include "unit.h"

#include <stdio.h>

#include "../../gateway/serve/registry.h"
#include "../../gateway/serve/route.h"

enum { FAKE_BYTES = 1 << 20, FAKE_MESSAGES = 4096 };

struct gw_session {
    unsigned accepts, pauses, resumes, closes, refusals;
    int status; /* of refuse */
    enum gw_cause cause;
    char why[128];
    enum gw_sent answer; /* to every send */

    uint8_t bytes[FAKE_BYTES]; /* of all messages, side by side */
    size_t n;
    struct {
        enum gw_type type;
        size_t at, n;
    } messages[FAKE_MESSAGES];
    size_t n_messages;
    bool within; /* a message that goes on */
};

struct gw_conn {
    struct gw_dial dial;
    char address[256];
    unsigned dials, pauses, resumes, finishes;
    enum gw_sent answer;
    bool no_memory; /* of dial */
    uint8_t bytes[FAKE_BYTES];
    size_t n;
};

static struct gw_session fake_session;
static struct gw_conn fake_conn;
static char fake_tls[256]; /* what the last tls_new was asked for */
static unsigned fake_tls_live;
static struct gw_host fake_host;

static inline void fake_accept(struct gw_session *s)
{
    s->accepts++;
}

static inline void fake_refuse(struct gw_session *s, int status,
                               const char *why)
{
    s->refusals++;
    s->status = status;
    snprintf(s->why, sizeof s->why, "%s", why ? why : "");
}

static inline enum gw_sent fake_send(struct gw_session *s, enum gw_type type,
                                     const uint8_t *p, size_t n, bool more)
{
    if (s->closes > 0)
        return GW_GONE;
    assert_true(s->n + n <= FAKE_BYTES && s->n_messages < FAKE_MESSAGES);
    if (!s->within) {
        s->messages[s->n_messages].type = type;
        s->messages[s->n_messages].at = s->n;
        s->messages[s->n_messages].n = 0;
        s->n_messages++;
    }
    assert_int_equal(s->messages[s->n_messages - 1].type, type);
    if (n > 0)
        memcpy(s->bytes + s->n, p, n);
    s->n += n;
    s->messages[s->n_messages - 1].n += n;
    s->within = more;
    return s->answer;
}

static inline enum gw_sent fake_send_inplace(struct gw_session *s,
                                             enum gw_type type, uint8_t *p,
                                             size_t n, bool more)
{
    memset(p - GW_SENDROOM, 0xEE, GW_SENDROOM); /* a header goes there */
    return fake_send(s, type, p, n, more);
}

static inline void fake_pause(struct gw_session *s)
{
    s->pauses++;
}

static inline void fake_resume(struct gw_session *s)
{
    s->resumes++;
}

static inline void fake_close(struct gw_session *s, enum gw_cause cause,
                              uint16_t code, const char *why)
{
    assert_int_equal(code, 0);
    if (s->closes++ > 0)
        return;
    s->cause = cause;
    snprintf(s->why, sizeof s->why, "%s", why ? why : "");
}

static inline struct gw_conn *fake_dial(struct gw_session *s,
                                        const struct gw_dial *d)
{
    assert_ptr_equal(s, &fake_session);
    if (fake_conn.no_memory)
        return NULL;
    fake_conn.dials++;
    fake_conn.dial = *d;
    snprintf(fake_conn.address, sizeof fake_conn.address, "%s", d->address);
    return &fake_conn;
}

static inline enum gw_sent fake_conn_send(struct gw_conn *c, const uint8_t *p,
                                          size_t n)
{
    assert_true(c->n + n <= FAKE_BYTES);
    memcpy(c->bytes + c->n, p, n);
    c->n += n;
    return c->answer;
}

static inline void fake_conn_pause(struct gw_conn *c)
{
    c->pauses++;
}

static inline void fake_conn_resume(struct gw_conn *c)
{
    c->resumes++;
}

static inline void fake_conn_finish(struct gw_conn *c)
{
    c->finishes++;
}

static inline struct gw_tls *fake_tls_new(const struct gw_tls_options *o,
                                          char *err, size_t cap)
{
    snprintf(fake_tls, sizeof fake_tls, "%s %s %s %s %d", o->sni ? o->sni : "",
             o->ca ? o->ca : "", o->cert ? o->cert : "", o->key ? o->key : "",
             o->insecure);
    if (o->ca && strcmp(o->ca, "bad.pem") == 0) {
        snprintf(err, cap, "bad.pem: no use");
        return NULL;
    }
    fake_tls_live++;
    return (struct gw_tls *)(void *)fake_tls;
}

static inline void fake_tls_free(struct gw_tls *t)
{
    assert_ptr_equal(t, fake_tls);
    fake_tls_live--;
}

/* A fresh start. */
static inline void fake_begin(void)
{
    memset(&fake_session, 0, sizeof fake_session);
    memset(&fake_conn, 0, sizeof fake_conn);
    fake_host = (struct gw_host){
        .abi = GW_ABI,
        .size = sizeof(struct gw_host),
        .accept = fake_accept,
        .refuse = fake_refuse,
        .send = fake_send,
        .send_inplace = fake_send_inplace,
        .pause = fake_pause,
        .resume = fake_resume,
        .close = fake_close,
        .dial = fake_dial,
        .conn_send = fake_conn_send,
        .conn_pause = fake_conn_pause,
        .conn_resume = fake_conn_resume,
        .conn_finish = fake_conn_finish,
        .tls_new = fake_tls_new,
        .tls_free = fake_tls_free,
        .utf8 = bridge_host.utf8,
    };
}

/* A route of `b` with options "name=value&name=value", or NULL with err. */
static inline void *fake_route(const struct gw_bridge *b, const char *scheme,
                               const char *address, const char *options,
                               char *err, size_t cap)
{
    struct option_text given[16] = {0};
    struct gw_value *values = NULL;
    struct err e;
    size_t n = 0;

    for (const char *p = options; *p; n++) {
        size_t name = strcspn(p, "="), all = strcspn(p, "&");
        given[n] = (struct option_text){
            {p, name}, {p + name + 1, all - name - 1}, false};
        p += all + (p[all] == '&');
    }
    if (options_parse(b, given, n, NULL, &values, &e) < 0)
        fail_msg("%s", e.text);
    const struct gw_target t = {scheme, address, values};
    void *route = NULL;
    int status = b->route_open(&fake_host, &t, &route, err, cap);
    options_free(b, values);
    return status < 0 ? NULL : route;
}

/* The text of message i. */
static inline const char *fake_message(size_t i)
{
    static char text[4096];
    assert_true(i < fake_session.n_messages);
    size_t n = min_size(fake_session.messages[i].n, sizeof text - 1);
    memcpy(text, fake_session.bytes + fake_session.messages[i].at, n);
    text[n] = '\0';
    return text;
}

/* Give bytes to a callback as gangway does: with scratch before them, in
 * memory of just that size. */
static inline void fake_data(void (*data)(void *ctx, uint8_t *p, size_t n),
                             void *ctx, const void *p, size_t n)
{
    uint8_t *read = malloc(GW_HEADROOM + n);
    assert_non_null(read);
    memset(read, 0xDD, GW_HEADROOM);
    memcpy(read + GW_HEADROOM, p, n);
    data(ctx, read + GW_HEADROOM, n);
    free(read);
}

#endif
