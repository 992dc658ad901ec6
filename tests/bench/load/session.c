/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - from connect() to the last byte. In a steady flow a session
 * costs one read for each readable event and one write for what follows. */
#include "session.h"
#include "client.h"
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    PUMPS = 4,  /* write buffers filled in a turn */
    READS = 16, /* TLS: records read in a turn */
    CLOSE_NORMAL = 1000,
};

static bool websocket(const struct session *s)
{
    return s->client->options.target->websocket;
}

static void session_enter(struct session *s, enum session_state state)
{
    s->state = state;
    s->moved_ns = now_ns();
}

/* ---- the end --------------------------------------------------------------*/

void session_drop(struct session *s)
{
    if (s->state == SESSION_CONNECTING || s->state == SESSION_UPGRADING)
        s->client->on_the_way--;
    counter_add(&s->client->gone, 1);
    link_close(&s->link);
    free(s->head);
    outbox_free(&s->waiting);
    free(s->sent_ns);
    free(s->context);
    *s = (struct session){.link.fd = -1};
}

static void session_fail(struct session *s, enum fault kind, const char *why)
{
    static const char *const when[] = {
        [SESSION_UNUSED] = "unused",       [SESSION_CONNECTING] = "connecting",
        [SESSION_UPGRADING] = "upgrading", [SESSION_OPEN] = "open",
        [SESSION_FINISHING] = "closing",
    };
    fault(kind, "session %u, %s: %s", s->number, when[s->state], why);
    session_drop(s);
}

void session_finished(struct session *s)
{
    const struct role *role = s->client->options.role;

    counter_add(&s->client->finished, 1);
    if (role->finished)
        role->finished(s);
    session_drop(s);
}

/* The gateway's end of stream, or its reset. */
static void session_ended(struct session *s, const char *how)
{
    if (s->state == SESSION_FINISHING)
        session_finished(s);
    else
        session_fail(s, s->state == SESSION_OPEN ? FAULT_BROKEN : FAULT_REFUSED,
                     how);
}

/* ---- out ------------------------------------------------------------------*/

void session_send(struct session *s, const uint8_t *p, size_t n)
{
    struct client *c = s->client;

    if (!websocket(s)) {
        outbox_add(&s->waiting, p, n);
        return;
    }
    uint8_t *to = outbox_room(&s->waiting, WS_HEAD_MAX + n);
    outbox_commit(&s->waiting,
                  ws_frame_write(to, c->options.text ? WS_TEXT : WS_BINARY, p,
                                 n, &c->random));
}

/* Between two frames: the pong that is due, then the Close. */
static void put_control(struct session *s)
{
    static const uint8_t code[] = {CLOSE_NORMAL >> 8, CLOSE_NORMAL & 0xff};

    if (s->out.left > 0)
        return;
    if (s->pong_n > 0)
        outbox_add(&s->waiting, s->pong, s->pong_n);
    s->pong_n = 0;
    if (s->close_due && s->out.todo == 0) {
        uint8_t *to = outbox_room(&s->waiting, WS_HEAD_MAX + sizeof code);
        outbox_commit(&s->waiting,
                      ws_frame_write(to, WS_CLOSE, code, sizeof code,
                                     &s->client->random));
        s->close_due = false;
    }
}

/* Write until the socket is full or there is nothing to write. */
static bool pump(struct session *s)
{
    struct client *c = s->client;

    for (int i = 0; i < PUMPS; i++) {
        uint64_t begun = 0;
        if (client_quiet(c) && s->state == SESSION_OPEN)
            s->out.todo = 0;
        put_control(s);
        if (!outbox_flush(&s->waiting, &s->link))
            return false;
        if (s->waiting.n > 0)
            return true;
        size_t n = ws_writer_fill(&s->out, &s->tx, c->write_buffer,
                                  CLIENT_WRITE, &c->random, &begun);
        if (n == 0)
            return true;
        counter_add(&c->sent, begun);
        if (!outbox_write(&s->waiting, &s->link, c->write_buffer, n))
            return false;
    }
    return true;
}

static bool wants_write(const struct session *s)
{
    if (s->state == SESSION_CONNECTING && !s->link.ssl)
        return true;
    return s->waiting.n > 0 || s->link.wants_write || s->out.left > 0 ||
           s->out.todo > 0;
}

static void watch(struct session *s)
{
    struct epoll_event e = {
        .events = EPOLLIN | (wants_write(s) ? EPOLLOUT : 0),
        .data.ptr = s,
    };

    if (e.events == s->watched)
        return;
    s->watched = e.events;
    if (epoll_ctl(s->client->epoll, EPOLL_CTL_MOD, s->link.fd, &e) < 0)
        give_up("epoll_ctl: %s", strerror(errno));
}

void session_finish(struct session *s)
{
    if (s->state != SESSION_OPEN)
        return;
    session_enter(s, SESSION_FINISHING);
    if (websocket(s))
        s->close_due = true;
    else
        s->shutdown_due = true;
}

void session_kick(struct session *s)
{
    if (!pump(s)) {
        session_ended(s, strerror(errno));
        return;
    }
    if (s->shutdown_due && s->waiting.n == 0 && s->out.left == 0) {
        s->shutdown_due = false;
        link_shutdown(&s->link);
    }
    watch(s);
}

/* ---- in -------------------------------------------------------------------*/

static bool on_control(struct session *s, const struct ws_piece *piece)
{
    memcpy(s->control + s->control_n, piece->p, piece->n);
    s->control_n = (uint8_t)(s->control_n + piece->n);
    if (!piece->frame_end)
        return true;
    size_t n = s->control_n;
    s->control_n = 0;
    if (piece->opcode == WS_PING)
        s->pong_n = (uint8_t)ws_frame_write(s->pong, WS_PONG, s->control, n,
                                            &s->client->random);
    if (piece->opcode == WS_CLOSE && s->state == SESSION_FINISHING)
        s->close_seen = true;
    if (piece->opcode == WS_CLOSE && s->state == SESSION_OPEN) {
        int code = n < 2 ? 1005 : s->control[0] << 8 | s->control[1];
        fault(FAULT_BROKEN, "session %u: closed by the gateway, %d %.*s",
              s->number, code, n < 2 ? 0 : (int)n - 2,
              (const char *)s->control + 2);
        return false;
    }
    return true;
}

static bool on_data(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
    const struct role *role = s->client->options.role;

    if (n == 0 || !role->data || role->data(s, p, n, now))
        return true;
    fault(FAULT_CORRUPT, "session %u: wrong bytes near byte %llu", s->number,
          (unsigned long long)s->received);
    return false;
}

static bool on_message(struct session *s)
{
    const struct role *role = s->client->options.role;

    if (!role->message || role->message(s))
        return true;
    fault(FAULT_CORRUPT, "session %u: a message that is another", s->number);
    return false;
}

/* False: a fault, which has been told. */
static bool feed(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
    struct ws_piece piece;

    if (!websocket(s))
        return on_data(s, p, n, now);
    for (;;) {
        switch (ws_reader_next(&s->in, &p, &n, &piece)) {
        case WS_MORE:
            return true;
        case WS_BAD:
            fault(FAULT_PROTOCOL, "session %u: a frame that no server may send",
                  s->number);
            return false;
        case WS_CONTROL:
            if (!on_control(s, &piece))
                return false;
            break;
        case WS_DATA:
            if (!on_data(s, piece.p, piece.n, now))
                return false;
            if (piece.frame_end)
                counter_add(&s->client->frames, 1);
            if (piece.message_end && !on_message(s))
                return false;
            break;
        }
    }
}

/* ---- the beginning --------------------------------------------------------*/

static void session_opened(struct session *s)
{
    const struct role *role = s->client->options.role;

    session_enter(s, SESSION_OPEN);
    s->client->on_the_way--;
    counter_add(&s->client->opened, 1);
    if (link_resumed(&s->link))
        counter_add(&s->client->resumed, 1);
    if (role->open)
        role->open(s);
}

static void upgrade(struct session *s)
{
    const struct client_options *o = &s->client->options;
    struct ws_request r = {
        .host = o->target->host,
        .path = o->target->path,
        .subprotocol = o->subprotocol,
        .headers = o->headers->list,
        .n_headers = o->headers->n,
    };

    if (!websocket(s)) {
        session_opened(s);
        return;
    }
    char *to = (char *)outbox_room(&s->waiting, WS_REQUEST_MAX);
    size_t n = ws_request_write(to, &r, &s->client->random, s->accept);
    if (n == 0)
        give_up("the request is too long");
    outbox_commit(&s->waiting, n);
    session_enter(s, SESSION_UPGRADING);
}

/* The response's head; what stands behind it is left in *p, *n. Returns NULL,
 * or why it is refused. */
static const char *take_head(struct session *s, const uint8_t **p, size_t *n)
{
    size_t had = s->head_n, take = min_size(*n, WS_RESPONSE_MAX - had);

    if (!s->head)
        s->head = need(WS_RESPONSE_MAX + 1, 1);
    memcpy(s->head + had, *p, take);
    s->head_n += take;
    s->head[s->head_n] = '\0';
    char *end = strstr(s->head, "\r\n\r\n");
    if (!end) {
        *p += take;
        *n -= take;
        return s->head_n < WS_RESPONSE_MAX ? NULL : "its answer does not end";
    }
    size_t used = (size_t)(end + 4 - s->head) - had;
    *p += used;
    *n -= used;
    end[2] = '\0';
    const char *why =
        ws_response_check(s->head, s->accept, s->client->options.subprotocol);
    if (why)
        return why;
    free(s->head);
    s->head = NULL;
    outbox_free(&s->waiting); /* the request's */
    session_opened(s);
    return NULL;
}

/* ---- events ---------------------------------------------------------------*/

/* False: the session is gone. */
static bool take(struct session *s, const uint8_t *p, size_t n)
{
    uint64_t now = now_ns();

    if (s->state == SESSION_UPGRADING) {
        const char *why = take_head(s, &p, &n);
        if (why) {
            session_fail(s, FAULT_REFUSED, why);
            return false;
        }
    }
    if (n > 0 && !feed(s, p, n, now)) {
        session_drop(s);
        return false;
    }
    return true;
}

static bool session_read(struct session *s)
{
    uint8_t *buffer = s->client->read_buffer;

    for (int i = 0; i < READS; i++) {
        ssize_t n = link_read(&s->link, buffer, CLIENT_READ);
        if (n == LINK_AGAIN)
            return true;
        if (n <= 0) {
            session_ended(s, n == 0 ? "the gateway has closed the connection"
                                    : strerror(errno));
            return false;
        }
        if (!take(s, buffer, (size_t)n))
            return false;
        if (!link_pending(&s->link))
            return true;
    }
    return true;
}

static bool session_continue(struct session *s)
{
    const char *why = "";
    int result = link_continue(&s->link, s->client->options.target, &why);

    if (result == LINK_BROKEN) {
        session_fail(s, FAULT_REFUSED, why);
        return false;
    }
    if (result == 1)
        upgrade(s);
    return true;
}

void session_event(struct session *s, uint32_t events)
{
    if (s->state == SESSION_CONNECTING) {
        if (!session_continue(s))
            return;
        if (s->state == SESSION_CONNECTING) {
            watch(s);
            return;
        }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !session_read(s))
        return;
    session_kick(s);
}

void session_begin(struct session *s, struct client *c, uint32_t number)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};

    *s = (struct session){
        .client = c,
        .number = number,
        .began_ns = now_ns(),
        .watched = e.events,
        .out.size = c->options.size,
        .out.opcode = c->options.text ? WS_TEXT : WS_BINARY,
        .out.plain = !c->options.target->websocket,
    };
    session_enter(s, SESSION_CONNECTING);
    c->on_the_way++;
    if (link_open(&s->link, c->options.target) < 0) {
        session_fail(s, FAULT_REFUSED, strerror(errno));
        return;
    }
    if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, s->link.fd, &e) < 0)
        give_up("epoll_ctl: %s", strerror(errno));
}
