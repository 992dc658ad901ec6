/* SPDX-License-Identifier: Apache-2.0 */
/* envelope_out.c - answers and messages. Each is written by code that may
 * only count, so that its size is known before its bytes are. */
#include "envelope.h"

#include "base64.h"

#include <inttypes.h>
#include <stdio.h>

struct out {
    char *p;
    size_t n, cap; /* n goes on growing where cap ends */
};

static void put(struct out *o, const char *p, size_t n)
{
    if (n > 0 && o->n <= o->cap && n <= o->cap - o->n)
        memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void put_text(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

static void put_number(struct out *o, uint64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, v);

    put(o, digits, (size_t)n);
}

/* The escape sequence of a character, or "": none is needed. */
static const char *escape_of(char c, char unicode[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if ((unsigned char)c >= 0x20)
            return "";
        snprintf(unicode, 8, "\\u%04x", c);
        return unicode;
    }
}

static bool needs_escape(char c)
{
    return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

static void put_string(struct out *o, struct text t)
{
    char unicode[8];
    size_t done = 0;

    put(o, "\"", 1);
    for (size_t i = 0; i < t.n; i++) {
        if (!needs_escape(t.p[i]))
            continue;
        put(o, t.p + done, i - done);
        put_text(o, escape_of(t.p[i], unicode));
        done = i + 1;
    }
    if (done < t.n)
        put(o, t.p + done, t.n - done);
    put(o, "\"", 1);
}

static void put_base64(struct out *o, struct text t)
{
    size_t n = base64_size(t.n);

    put(o, "\"", 1);
    if (o->n <= o->cap && n <= o->cap - o->n)
        base64_encode(o->p + o->n, t.p, t.n);
    o->n += n;
    put(o, "\"", 1);
}

/* ---- messages
 * ---------------------------------------------------------------- */

static char choose_key(enum envelope_form form, struct text payload)
{
    if ((form == FORM_AUTO || form == FORM_JSON) &&
        json_valid(payload.p, payload.n))
        return 'd';
    if ((form == FORM_AUTO || form == FORM_TEXT) && text_is_utf8(payload))
        return 't';
    return 'b';
}

size_t envelope_msg(struct envelope_msg *m, char *out)
{
    struct out o = {out, 0, out ? SIZE_MAX : 0};

    if (!out)
        m->key = choose_key(m->form, m->payload);
    put_text(&o, "{\"op\":\"msg\",\"topic\":");
    put_string(&o, m->topic);
    put_text(&o, ",\"qos\":");
    put_number(&o, (uint64_t)m->qos);
    if (m->retained)
        put_text(&o, ",\"retained\":true");
    if (m->key == 'd') {
        put_text(&o, ",\"data\":");
        put(&o, m->payload.p, m->payload.n);
    } else if (m->key == 't') {
        put_text(&o, ",\"text\":");
        put_string(&o, m->payload);
    } else {
        put_text(&o, ",\"b64\":");
        put_base64(&o, m->payload);
    }
    put(&o, "}", 1);
    return o.n;
}

size_t envelope_msg_binary(const struct envelope_msg *m, uint8_t *out)
{
    const uint8_t head[8] = {TYPE_MSG,
                             (uint8_t)(m->qos | (m->retained ? 4 : 0)),
                             (uint8_t)(m->topic.n >> 8), (uint8_t)m->topic.n};
    struct out o = {(char *)out, 0, out ? SIZE_MAX : 0};

    put(&o, (const char *)head, sizeof(head));
    put(&o, m->topic.p, m->topic.n);
    put(&o, m->payload.p, m->payload.n);
    return o.n;
}

/* ---- answers
 * ------------------------------------------------------------------ */

static struct out answer(char *out, size_t cap, const char *op)
{
    struct out o = {out, 0, cap};

    put_text(&o, "{\"op\":\"");
    put_text(&o, op);
    put_text(&o, "\"");
    return o;
}

/* ,"name": */
static void put_key(struct out *o, const char *name)
{
    put_text(o, ",\"");
    put_text(o, name);
    put_text(o, "\":");
}

static void put_id(struct out *o, bool has_id, uint32_t id)
{
    if (!has_id)
        return;
    put_key(o, "id");
    put_number(o, id);
}

static size_t finish(struct out *o)
{
    put(o, "}", 1);
    return o->n;
}

size_t envelope_hello(char *out, size_t cap, const char *session,
                      size_t max_payload)
{
    struct out o = answer(out, cap, "hello");

    put_key(&o, "session");
    put_string(&o, text_of(session));
    put_key(&o, "max");
    put_number(&o, max_payload);
    return finish(&o);
}

size_t envelope_ack(char *out, size_t cap, uint32_t id, int qos)
{
    struct out o = answer(out, cap, "ack");

    put_id(&o, true, id);
    if (qos >= 0) {
        put_key(&o, "qos");
        put_number(&o, (uint64_t)qos);
    }
    return finish(&o);
}

size_t envelope_pong(char *out, size_t cap, bool has_id, uint32_t id)
{
    struct out o = answer(out, cap, "pong");

    put_id(&o, has_id, id);
    return finish(&o);
}

size_t envelope_err(char *out, size_t cap, bool has_id, uint32_t id,
                    enum envelope_error code, const char *msg)
{
    struct out o = answer(out, cap, "err");

    put_id(&o, has_id, id);
    put_key(&o, "code");
    put_string(&o, text_of(envelope_error_name(code)));
    if (msg) {
        put_key(&o, "msg");
        put_string(&o, text_of(msg));
    }
    return finish(&o);
}

size_t envelope_lost(char *out, size_t cap, struct text filter,
                     uint64_t dropped)
{
    struct out o = answer(out, cap, "lost");

    put_key(&o, "topic");
    put_string(&o, filter);
    put_key(&o, "dropped");
    put_number(&o, dropped);
    return finish(&o);
}

size_t envelope_state(char *out, size_t cap, bool up)
{
    struct out o = answer(out, cap, "state");

    put_key(&o, "up");
    put_text(&o, up ? "true" : "false");
    return finish(&o);
}
