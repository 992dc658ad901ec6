/* SPDX-License-Identifier: Apache-2.0 */
/* echo.c - a message is done when its last byte is back, however framed. */
#include "echo.h"

/* ---- what all of them do --------------------------------------------------*/

static void begin(struct session *s)
{
    s->tx = s->rx = stream_of(s->number);
    s->done_at = s->client->options.size;
}

static void send_messages(struct session *s, uint64_t n)
{
    s->out.todo += n;
    s->sent += n;
}

/* How many messages these bytes have completed; -1: they are wrong, or more
 * than was sent. */
static int take(struct session *s, const uint8_t *p, size_t n)
{
    uint64_t before = s->done;

    if (!stream_check(&s->rx, p, n))
        return -1;
    s->received += n;
    counter_add(&s->client->received, n);
    while (s->received >= s->done_at) {
        if (s->done == s->sent)
            return -1;
        s->done++;
        s->done_at += s->client->options.size;
    }
    counter_add(&s->client->echoed, s->done - before);
    return (int)(s->done - before);
}

/* ---- for ever -------------------------------------------------------------*/

static void echo_start(struct session *s)
{
    uint64_t window = s->client->options.window, now = now_ns();

    if (client_quiet(s->client) || s->sent_ns)
        return;
    s->sent_ns = need(window, sizeof *s->sent_ns);
    for (uint64_t i = 0; i < window; i++)
        s->sent_ns[i] = now;
    send_messages(s, window);
}

static void echo_begin(struct session *s)
{
    begin(s);
    if (!s->client->options.together)
        echo_start(s);
}

/* A message for each that is back: the ring's place of the one is that of the
 * other. */
static bool echo_data(struct session *s, const uint8_t *p, size_t n,
                      uint64_t now)
{
    struct client *c = s->client;
    uint64_t i = s->done;
    int done = take(s, p, n);

    if (done <= 0)
        return done == 0;
    for (; i < s->done; i++) {
        uint64_t *sent_ns = &s->sent_ns[i % c->options.window];
        client_note(c, now - *sent_ns);
        *sent_ns = now;
    }
    if (!client_quiet(c))
        send_messages(s, (uint64_t)done);
    return true;
}

const struct role role_echo = {
    .open = echo_begin,
    .data = echo_data,
    .woken = echo_start,
};

/* ---- once -----------------------------------------------------------------*/

static void once_begin(struct session *s)
{
    begin(s);
    send_messages(s, 1);
}

static bool touch_data(struct session *s, const uint8_t *p, size_t n,
                       uint64_t now)
{
    int done = take(s, p, n);

    (void)now;
    if (done > 0)
        counter_add(&s->client->greeted, 1);
    return done >= 0;
}

const struct role role_touch = {.open = once_begin, .data = touch_data};

static bool visit_data(struct session *s, const uint8_t *p, size_t n,
                       uint64_t now)
{
    int done = take(s, p, n);

    (void)now;
    if (done > 0)
        session_finish(s);
    return done >= 0;
}

static void visit_finished(struct session *s)
{
    client_note(s->client, now_ns() - s->began_ns);
}

const struct role role_visit = {
    .open = once_begin,
    .data = visit_data,
    .finished = visit_finished,
};
