/* SPDX-License-Identifier: Apache-2.0 */
/* ws_client.h - the other end of ws_stream, for its test and its fuzzer.
 *
 * put_frame writes what a client sends. A feeder gives bytes to a ws_stream
 * piece by piece, checks each event, and writes down what it was told as one
 * line of text, in which the cuts no longer show:
 *
 *     text(Hello) ping(x)@3 binary(\x00abc) close 1000 (bye)
 *
 * "@3" says that three bytes of a message had come before; an unfinished
 * message is "text(Hel..." . model_stream writes the same line from the whole
 * of the bytes, by a plain reading of RFC 6455. */
#ifndef GW_WS_CLIENT_H
#define GW_WS_CLIENT_H

#include "../../gateway/wire/ws_stream.h"
#include "../check.h"
#include "utf8_model.h"

struct bytes {
    uint8_t *p;
    size_t n, cap;
};

static inline void bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        b->p = realloc(b->p, b->cap);
        CHECK(b->p);
    }
    if (n > 0)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline void bytes_print(struct bytes *b, const char *text)
{
    bytes_add(b, text, strlen(text));
}

static inline void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){0};
}

/* ---- a client's frames ---------------------------------------------------*/

/* `first` is the first byte: FIN, RSV and opcode. */
static inline void put_frame(struct bytes *b, unsigned first,
                             const uint8_t key[4], const void *payload,
                             size_t n)
{
    uint8_t head[WS_HEAD_MAX] = {(uint8_t)first};
    size_t size = 2, more = n < 126 ? 0 : n < 65536 ? 2 : 8;

    head[1] = (uint8_t)(0x80 | (more == 0 ? n : more == 2 ? 126 : 127));
    for (size_t i = 0; i < more; i++)
        head[size++] = (uint8_t)((uint64_t)n >> (8 * (more - 1 - i)));
    memcpy(head + size, key, 4);
    bytes_add(b, head, size + 4);
    bytes_add(b, payload, n);
    for (size_t i = 0; i < n; i++)
        b->p[b->n - n + i] ^= key[i % 4];
}

/* ---- what was told -------------------------------------------------------*/

struct trace {
    struct bytes line;
    struct bytes open; /* payload of the message that has not ended */
    uint8_t opcode;    /* of that message */
};

static inline void trace_text(struct trace *t, const uint8_t *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        bool plain = p[i] > ' ' && p[i] < 0x7f && p[i] != '\\';
        char text[] = {'\\', 'x', hex[p[i] / 16], hex[p[i] % 16]};
        bytes_add(&t->line, plain ? (const char *)p + i : text, plain ? 1 : 4);
    }
}

static inline void trace_message(struct trace *t, const char *end)
{
    bytes_print(&t->line, t->opcode == WS_TEXT ? "text(" : "binary(");
    trace_text(t, t->open.p, t->open.n);
    bytes_print(&t->line, end);
    t->open.n = 0;
}

static inline void trace_control(struct trace *t, uint8_t opcode,
                                 const uint8_t *p, size_t n)
{
    char text[32] = ") ";

    bytes_print(&t->line, opcode == WS_PING ? "ping(" : "pong(");
    trace_text(t, p, n);
    if (t->open.n > 0)
        snprintf(text, sizeof(text), ")@%zu ", t->open.n);
    bytes_print(&t->line, text);
}

/* No more will come of a message that is open. */
static inline void trace_open(struct trace *t)
{
    if (t->open.n > 0)
        trace_message(t, "... ");
}

static inline void trace_close(struct trace *t, unsigned code, const uint8_t *p,
                               size_t n)
{
    char text[32];

    trace_open(t);
    snprintf(text, sizeof(text), "close %u (", code);
    bytes_print(&t->line, text);
    trace_text(t, p, n);
    bytes_print(&t->line, ") ");
}

/* How much of a bad text came before its end was known depends on the cuts. */
static inline void trace_fault(struct trace *t, unsigned code)
{
    char text[32];

    if (code == WS_CODE_BAD_DATA)
        t->open.n = 0;
    trace_open(t);
    snprintf(text, sizeof(text), "fault %u ", code);
    bytes_print(&t->line, text);
}

/* The line as a string; the trace is then only to be freed. */
static inline const char *trace_line(struct trace *t)
{
    trace_open(t);
    bytes_add(&t->line, "", 1);
    return (const char *)t->line.p;
}

static inline void trace_free(struct trace *t)
{
    bytes_free(&t->line);
    bytes_free(&t->open);
}

/* ---- feeding -------------------------------------------------------------*/

/* Where the caller wants payload. */
enum place {
    PLACE_LIES,  /* out = NULL before each call: where it lies */
    PLACE_RUN,   /* one run for each read, from where its first lies */
    PLACE_FRONT, /* one run for each read, from the front of the buffer */
    PLACE_IN,    /* out = in before each call */
    PLACES,
};

struct feeder {
    struct ws_stream stream;
    struct ws_stream_limits limits;
    enum place place;
    struct trace trace;
    bool final;
    struct bytes run; /* a copy of what the run must hold */
    uint8_t *run_at;
};

static inline void feeder_data(struct feeder *f, const struct ws_input *input,
                               const uint8_t *in, const struct ws_event *e)
{
    struct trace *t = &f->trace;
    size_t left;

    CHECK(e->opcode == WS_TEXT || e->opcode == WS_BINARY);
    CHECK(e->n > 0 || e->last);
    CHECK(e->first == (t->open.n == 0));
    CHECK(e->first || e->opcode == t->opcode);
    CHECK(input->out == e->p + e->n);
    if (f->place == PLACE_LIES)
        CHECK(e->p + e->n == input->in);
    if (f->place == PLACE_IN)
        CHECK(e->p == in);
    if (!f->run_at)
        f->run_at = e->p;
    CHECK(f->place == PLACE_LIES || f->place == PLACE_IN ||
          e->p == f->run_at + f->run.n);

    bytes_add(&f->run, e->p, e->n);
    bytes_add(&t->open, e->p, e->n);
    t->opcode = e->opcode;
    if (e->opcode == WS_TEXT && t->open.n < 1000) /* it takes square time */
        CHECK(model_utf8(t->open.p, t->open.n, &left) != TEXT_BAD);
    if (e->last) {
        CHECK(e->opcode != WS_TEXT ||
              model_utf8(t->open.p, t->open.n, &left) == TEXT_WHOLE);
        trace_message(t, ") ");
    }
}

static inline void feeder_event(struct feeder *f, const struct ws_input *input,
                                const uint8_t *in, enum ws_got got,
                                const struct ws_event *e)
{
    CHECK(!f->final);
    f->final = got == WS_GOT_CLOSE || got == WS_GOT_FAULT;
    switch (got) {
    case WS_GOT_DATA:
        feeder_data(f, input, in, e);
        break;
    case WS_GOT_PING:
    case WS_GOT_PONG:
        CHECK(e->n <= WS_CONTROL_MAX);
        trace_control(&f->trace, got == WS_GOT_PING ? WS_PING : WS_PONG, e->p,
                      e->n);
        break;
    case WS_GOT_CLOSE:
        CHECK(e->n + 2 <= WS_CONTROL_MAX);
        CHECK(e->code == WS_CODE_NONE || ws_code_valid(e->code));
        trace_close(&f->trace, e->code, e->p, e->n);
        break;
    case WS_GOT_FAULT:
        CHECK(e->why && ws_code_valid(e->code));
        trace_fault(&f->trace, e->code);
        break;
    default:
        abort();
    }
}

/* One read of n bytes, in memory of exactly that size. */
static inline void feed(struct feeder *f, const uint8_t *p, size_t n)
{
    uint8_t *read = malloc(n ? n : 1);
    CHECK(read);
    if (n > 0)
        memcpy(read, p, n);
    struct ws_input input = {read, read + n, NULL, false};
    if (f->place == PLACE_FRONT)
        input.out = read;
    f->run_at = NULL;
    f->run.n = 0;

    for (enum ws_got got = WS_GOT_PING; got != WS_GOT_MORE;) {
        struct ws_event event;
        uint8_t *in = input.in;
        if (f->place == PLACE_LIES)
            input.out = NULL;
        else if (f->place == PLACE_IN)
            input.out = in;
        got = ws_stream_next(&f->stream, &input, &f->limits, &event);
        CHECK(input.in >= in && input.in <= input.end);
        CHECK(!input.out || input.out <= input.in);
        if (got != WS_GOT_MORE)
            feeder_event(f, &input, in, got, &event);
    }
    CHECK(input.in == input.end);
    if (f->run.n > 0 && (f->place == PLACE_RUN || f->place == PLACE_FRONT))
        CHECK(memcmp(f->run_at, f->run.p, f->run.n) == 0);
    free(read);
}

static inline void feeder_free(struct feeder *f)
{
    ws_stream_free(&f->stream);
    trace_free(&f->trace);
    bytes_free(&f->run);
}

/* ---- messages that are but bytes -----------------------------------------*/

/* What a stream says to whom cuts are of no interest: payload bytes, each
 * behind its opcode, control frames and ends where they come, and how many
 * messages there were. */
struct flat {
    struct bytes told;
    uint64_t messages;
};

static inline void flat_event(struct flat *f, enum ws_got got,
                              const struct ws_event *e)
{
    const uint8_t intro[] = {(uint8_t)(0x80 | got), (uint8_t)e->n,
                             (uint8_t)e->code, (uint8_t)(e->code >> 8)};

    if (got != WS_GOT_DATA) {
        bytes_add(&f->told, intro, sizeof(intro));
        if (got != WS_GOT_FAULT)
            bytes_add(&f->told, e->p, e->n);
        return;
    }
    f->messages += e->messages;
    for (size_t i = 0; i < e->n; i++)
        bytes_add(&f->told, (uint8_t[]){e->opcode, e->p[i]}, 2);
}

/* Reads of `step` bytes, each in memory of exactly its size. */
static inline void flatten(struct flat *f, const uint8_t *p, size_t n,
                           size_t step, bool gather)
{
    struct ws_stream s = {0};
    struct ws_event e;

    for (size_t at = 0, some; at < n; at += some) {
        some = min_size(step, n - at);
        uint8_t *read = malloc(some);
        CHECK(read);
        memcpy(read, p + at, some);
        struct ws_input in = {read, read + some, NULL, gather};
        for (enum ws_got got = WS_GOT_PING; got != WS_GOT_MORE;) {
            got = ws_stream_next(&s, &in, &(struct ws_stream_limits){0}, &e);
            if (got != WS_GOT_MORE)
                flat_event(f, got, &e);
        }
        free(read);
    }
    ws_stream_free(&s);
}

static inline void check_gathers(const uint8_t *p, size_t n, size_t step)
{
    struct flat one = {0}, many = {0};

    flatten(&one, p, n, step, false);
    flatten(&many, p, n, step, true);
    CHECK(one.messages == many.messages);
    CHECK(one.told.n == many.told.n);
    CHECK(one.told.n == 0 || memcmp(one.told.p, many.told.p, one.told.n) == 0);
    bytes_free(&one.told);
    bytes_free(&many.told);
}

/* ---- the model -----------------------------------------------------------*/

struct model {
    const uint8_t *p;
    size_t n, at;
    struct ws_stream_limits limits;
    struct trace trace;
    uint8_t message; /* opcode of the message, 0 between messages */
    uint64_t size;   /* of that message so far */
    uint64_t frames;
};

struct model_frame {
    unsigned first, opcode;
    bool fin;
    uint64_t len;
    const uint8_t *key;
};

/* 0: read; -1: the bytes end here; else the code to fail with. */
static inline int model_head(struct model *m, struct model_frame *f)
{
    if (m->at == m->n)
        return -1;

    const uint8_t *p = m->p + m->at;
    size_t n = m->n - m->at, size = 2;
    f->first = p[0];
    f->fin = p[0] >= 0x80;
    f->opcode = p[0] % 16;
    if ((f->opcode > 2 && f->opcode < 8) || f->opcode > 10 ||
        (f->opcode > 7 && !f->fin))
        return 1002;
    if (n < 2)
        return -1;
    f->len = p[1] % 128;
    if (f->opcode > 7 && f->len > 125)
        return 1002;
    if (f->len > 125) {
        size_t more = f->len == 126 ? 2 : 8;
        if (n < 2 + more)
            return -1;
        f->len = 0;
        for (; size < 2 + more; size++)
            f->len = f->len * 256 + p[size];
        if (f->len <= (more == 2 ? 125U : 65535U) || f->len >> 63)
            return 1002;
    }
    if (p[1] < 0x80)
        return 1002;
    if (n < size + 4)
        return -1;
    f->key = p + size;
    m->at += size + 4;
    return (f->first & 0x70) ? 1002 : 0;
}

/* Unmask into b what there is of the payload. False if that is not all. */
static inline bool model_payload(struct model *m, const struct model_frame *f,
                                 struct bytes *b)
{
    size_t i = 0;

    for (; i < f->len && m->at < m->n; i++) {
        uint8_t byte = m->p[m->at++] ^ f->key[i % 4];
        bytes_add(b, &byte, 1);
    }
    return i == f->len;
}

static inline int model_data(struct model *m, const struct model_frame *f)
{
    struct trace *t = &m->trace;
    enum model_text text = TEXT_WHOLE;
    size_t left;

    if ((f->opcode == 0) != (m->message != 0))
        return 1002;
    if (f->opcode != 0) {
        m->message = t->opcode = (uint8_t)f->opcode;
        m->size = m->frames = 0;
    }
    if (m->limits.message_bytes && m->size + f->len > m->limits.message_bytes)
        return 1009;
    m->size += f->len;
    if (m->limits.fragments && ++m->frames > m->limits.fragments)
        return 1008;
    bool all = model_payload(m, f, &t->open);
    if (m->message == WS_TEXT)
        text = model_utf8(t->open.p, t->open.n, &left);
    if (text == TEXT_BAD || (all && f->fin && text == TEXT_OPEN))
        return 1007;
    if (!all)
        return -1;
    if (f->fin) {
        trace_message(t, ") ");
        m->message = 0;
    }
    return 0;
}

static inline int model_control(struct model *m, const struct model_frame *f)
{
    struct bytes b = {0};
    size_t left;
    int code = 0;

    bytes_add(&b, "", 0);
    if (!model_payload(m, f, &b)) {
        code = -1;
    } else if (f->opcode != WS_CLOSE) {
        trace_control(&m->trace, (uint8_t)f->opcode, b.p, b.n);
    } else if (b.n == 0) {
        trace_close(&m->trace, WS_CODE_NONE, NULL, 0);
        code = -1;
    } else if (b.n == 1 || !ws_code_valid(b.p[0] * 256U + b.p[1])) {
        code = 1002;
    } else if (model_utf8(b.p + 2, b.n - 2, &left) != TEXT_WHOLE) {
        code = 1007;
    } else {
        trace_close(&m->trace, b.p[0] * 256U + b.p[1], b.p + 2, b.n - 2);
        code = -1;
    }
    bytes_free(&b);
    return code;
}

static inline void model_stream(struct model *m)
{
    struct model_frame f;
    int code = 0;

    while (code == 0) {
        code = model_head(m, &f);
        if (code == 0)
            code = f.opcode < 8 ? model_data(m, &f) : model_control(m, &f);
    }
    if (code > 0)
        trace_fault(&m->trace, (unsigned)code);
}

#endif
