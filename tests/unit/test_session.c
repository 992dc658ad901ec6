/* SPDX-License-Identifier: Apache-2.0 */
/* A session between a client and a bridge that does whatever a bridge may,
 * and some of what it may not. */
#include "session_rig.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

/* ---- opening -------------------------------------------------------------
 */

static void a_subprotocol_too_long_to_answer(void **state)
{
    static const size_t sizes[] = {10, 200, 700, 1000, 4000};
    char text[8192], name[5000];
    (void)state;

    for (size_t i = 0; i < LEN(sizes); i++) {
        struct stage *s = stage_new(routes);
        memset(name, 'p', sizes[i]);
        name[sizes[i]] = '\0';
        probe.on_open = accepts;
        client_connect(s, 0);
        snprintf(text, sizeof text,
                 HANDSHAKE("/", "Sec-WebSocket-Protocol: %s\r\n"), name);
        client_send(s, text, strlen(text));
        READ_UNTIL(s, strstr((char *)s->in, "\r\n\r\n"));
        assert_true(status_is(s, sizes[i] < 800 ? "101" : "400"));
        assert_true((strstr((char *)s->in, name) != NULL) ==
                    status_is(s, "101"));
        stage_free(s);
    }
}

static void refuses_500(struct probe *p)
{
    p->host->refuse(p->session, 500, "no");
    p->host->refuse(p->session, 403, "again");
    p->host->accept(p->session);
    p->sent =
        p->host->send(p->session, GW_TEXT, (const uint8_t *)"x", 1, false);
}

static void refuses_nonsense(struct probe *p)
{
    p->host->refuse(p->session, 200, NULL);
}

static void closes_first(struct probe *p)
{
    p->host->close(p->session, GW_TRY_LATER, 0, NULL);
}

static void does_nothing(struct probe *p)
{
    (void)p;
}

static void refused_by_the_bridge(void **state)
{
    static const struct {
        void (*on_open)(struct probe *p);
        bool no_state;
        const char *status;
    } cases[] = {
        {refuses_500, false, "500"},  {refuses_nonsense, false, "502"},
        {closes_first, false, "503"}, {does_nothing, true, "503"},
        {refuses_500, true, "500"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct stage *s = stage_new(routes);
        probe.on_open = cases[i].on_open;
        probe.no_state = cases[i].no_state;
        client_connect(s, 0);
        client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
        READ_UNTIL(s, s->end);
        assert_true(status_is(s, cases[i].status));
        assert_int_equal(counter_get(&s->r.serve.metrics.ends[END_REFUSED]), 1);
        assert_null(strstr((char *)s->in, "null"));
        stage_free(s);
    }
}

static void accepts_and_closes(struct probe *p)
{
    p->host->accept(p->session);
    p->host->send(p->session, GW_TEXT, (const uint8_t *)"bye", 3, false);
    p->host->close(p->session, GW_DONE, 4000, "enough");
}

/* The client has sent frames, and half of one, behind its request; what comes
 * later continues them. */
static void early_bytes_of_a_session_that_ends_at_once(void **state)
{
    uint8_t text[1024];
    struct stage *s = stage_new(routes);
    size_t n = sizeof HANDSHAKE("/", "") - 1;
    (void)state;

    probe.on_open = accepts_and_closes;
    memcpy(text, HANDSHAKE("/", ""), n);
    n += frame(text + n, 0x81, "hello", 5);
    n += frame(text + n, 0x88, "\x0f\xa0", 2); /* 4000 */
    client_connect(s, 0);
    client_send(s, text, n - 3);
    READ_UNTIL(s, GOT(s, "\x88\x08\x0f\xa0"
                         "enough"));
    assert_true(GOT(s, "\x81\x03"
                       "bye"));
    client_send(s, text + n - 3, 3);
    READ_UNTIL(s, s->end);
    assert_int_equal(probe.data_n, 0); /* it has closed */
    assert_int_equal(counter_get(&s->r.serve.metrics.frames_in[FRAME_CLOSE]),
                     1);
    assert_false(s->reset);
    stage_free(s);
}

static void early_bytes_reach_the_bridge_after_accept(void **state)
{
    uint8_t text[1024];
    struct stage *s = stage_new(routes);
    size_t n = sizeof HANDSHAKE("/", "") - 1;
    (void)state;

    probe.on_open = does_nothing;
    memcpy(text, HANDSHAKE("/", ""), n);
    n += frame(text + n, 0x81, "one", 3);
    n += frame(text + n, 0x81, "two", 3);
    client_connect(s, 0);
    client_send(s, text, n - 2);
    turn_for(s, 6);
    client_send(s, text + n - 2, 2);
    turn_for(s, 6);
    assert_int_equal(probe.opens, 1);
    assert_int_equal(probe.data_n, 0);
    accepts(&probe);
    assert_int_equal(probe.data_n, 0); /* not from within */
    READ_UNTIL(s, probe.data_n == 6);
    assert_memory_equal(probe.data, "onetwo", 6);
    stage_free(s);
}

/* ---- ending --------------------------------------------------------------
 */

static void drained_although_a_refused_client_left(void **state)
{
    struct stage *s = stage_new(routes);
    (void)state;

    probe.on_open = does_nothing;
    client_connect(s, 0);
    client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
    READ_UNTIL(s, probe.opens == 1);
    peer_reset(s->fd);
    s->fd = -1;
    turn_for(s, 4);
    serve_drain(&s->r.serve);
    READ_UNTIL(s, s->r.emptied > 0);
    assert_true(!s->r.serve.sessions && !s->r.serve.requests);
    stage_free(s);
}

static void drained_at_once_when_empty(void **state)
{
    struct stage *s = stage_new(routes);
    (void)state;

    serve_drain(&s->r.serve);
    assert_int_equal(s->r.emptied, 1);
    stage_free(s);
}

/* echo: has no more to say; the client hears a proper end. */
static void end_without_close_frame(void **state)
{
    struct stage *s = stage_new(routes);
    (void)state;

    client_connect(s, 0);
    client_send(s, HANDSHAKE("/echo", ""), sizeof HANDSHAKE("/echo", "") - 1);
    READ_UNTIL(s, status_is(s, "101"));
    client_frame(s, 0x81, "last");
    assert_int_equal(shutdown(s->fd, SHUT_WR), 0);
    READ_UNTIL(s, s->end || s->reset);
    assert_true(GOT(s, "\x81\x04last"));
    assert_false(s->reset);
    stage_free(s);
}

static void sends_endlessly(struct probe *p)
{
    static const uint8_t piece[8192];
    p->sent = p->host->send(p->session, GW_BINARY, piece, sizeof piece, false);
}

/* A client that half-closed and went away, and a bridge that goes on: the
 * session must not outlive its client for ever. */
static void a_ticker_to_nobody(void **state)
{
    struct stage *s = stage_new(routes);
    (void)state;

    opened(s, 0);
    assert_int_equal(shutdown(s->fd, SHUT_WR), 0);
    READ_UNTIL(s, probe.ended);
    assert_int_equal(probe.code, 1006);
    close(s->fd);
    s->fd = -1;
    double until = ev_time() + RIG_PATIENCE_S;
    while (!probe.closes && ev_time() < until) {
        sends_endlessly(&probe);
        turn(s);
    }
    assert_int_equal(probe.closes, 1);
    stage_free(s);
}

static void closes_in_data(struct probe *p, const struct gw_data *d)
{
    (void)d;
    p->host->close(p->session, GW_BAD_DATA, 0, "no");
    p->host->close(p->session, GW_DONE, 0, NULL);
    p->sent =
        p->host->send(p->session, GW_TEXT, (const uint8_t *)"x", 1, false);
}

static void closed_in_the_midst_of_data(void **state)
{
    struct stage *s = stage_new(routes);
    uint8_t out[64];
    (void)state;

    opened(s, 0);
    probe.on_data = closes_in_data;
    size_t n = frame(out, 0x81, "a", 1);
    n += frame(out + n, 0x89, "ping", 4);
    n += frame(out + n, 0x82, "b", 1);
    n += frame(out + n, 0x88, "\x03\xef", 2);
    client_send(s, out, n);
    READ_UNTIL(s, s->end);
    assert_int_equal(probe.data_n, 1);
    assert_int_equal(probe.sent, GW_GONE);
    assert_true(GOT(s, "\x88\x04\x03\xef"
                       "no"));
    READ_UNTIL(s, !s->r.serve.sessions);
    assert_int_equal(counter_get(&s->r.serve.metrics.ends[END_BAD_TEXT]), 1);
    stage_free(s);
}

/* ---- a slow client -------------------------------------------------------
 */

static void a_bridge_that_does_not_stop(void **state)
{
    struct stage *s = stage_new(routes);
    unsigned n = 0;
    (void)state;

    opened(s, 8 << 10);
    do {
        sends_endlessly(&probe); /* nobody reads */
        turn(s);
        assert_true(++n < 10000);
    } while (probe.sent != GW_GONE);
    assert_true(conn_queued(s->r.serve.sessions->conn) < 256 << 10);
    READ_UNTIL(s, !s->r.serve.sessions);
    assert_int_equal(counter_get(&s->r.serve.metrics.ends[END_FAILED]), 1);
    stage_free(s);
}

struct backend {
    char path[64];
    char yaml[512];
    int listener, fd;
};

static void backend_open(struct backend *b, const char *mode)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(b->path, sizeof b->path, "/tmp/gangway-session-%d", getpid());
    snprintf(b->yaml, sizeof b->yaml,
             SETTINGS "routes:\n- {path: /, target: 'unix:%s?mode=%s'}\n",
             b->path, mode);
    memcpy(a.sun_path, b->path, sizeof b->path);
    b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    unlink(b->path);
    assert_int_equal(bind(b->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(b->listener, 4), 0);
    b->fd = -1;
}

static void backend_close(struct backend *b)
{
    if (b->fd >= 0)
        close(b->fd);
    close(b->listener);
    unlink(b->path);
}

static bool backend_accepted(struct backend *b)
{
    if (b->fd < 0)
        b->fd = accept4(b->listener, NULL, NULL, SOCK_NONBLOCK);
    return b->fd >= 0;
}

/* The payload of the frames so far. */
static size_t payload_of(struct stage *s, uint8_t *out)
{
    uint8_t *p = frames_of(s), *end = s->in + s->n;
    struct ws_head h;
    size_t n = 0;
    int k;

    while ((k = ws_head_decode(&h, p, (size_t)(end - p))) > 0 &&
           (size_t)(end - p) - (size_t)k >= h.payload_len) {
        p += k;
        if (h.opcode < WS_CLOSE) {
            memcpy(out + n, p, h.payload_len);
            n += h.payload_len;
        }
        p += h.payload_len;
    }
    return n;
}

/* Each byte of the backend becomes several to the client, and the client does
 * not read: the backend is paused, whatever one read of it has grown to. */
static void modes_that_grow_pause_too(void **state)
{
    static const char *const modes[] = {"line", "base64", "text", "auto",
                                        "binary"};
    static uint8_t bytes[600 << 10], payload[1 << 20];
    (void)state;

    for (size_t i = 0; i < LEN(modes); i++) {
        struct backend b;
        backend_open(&b, modes[i]);
        struct stage *s = stage_new(b.yaml);
        memset(bytes, i == 0 ? '\n' : 0xFF, sizeof bytes);
        client_connect(s, 8 << 10);
        client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
        READ_UNTIL(s, backend_accepted(&b) && status_is(s, "101"));
        size_t at = 0, want = i == 2 ? 80 << 10 : 200 << 10;
        double until = ev_time() + 0.03;
        while (ev_time() < until) { /* nobody reads */
            ssize_t n = send(b.fd, bytes + at, want - at, MSG_NOSIGNAL);
            at += n > 0 ? (size_t)n : 0;
            turn(s);
        }
        assert_non_null(s->r.serve.sessions->conn);
        until = ev_time() + RIG_PATIENCE_S;
        while (!s->end && ev_time() < until) {
            ssize_t n =
                at < want ? send(b.fd, bytes + at, want - at, MSG_NOSIGNAL) : 0;
            at += n > 0 ? (size_t)n : 0;
            if (at == want)
                shutdown(b.fd, SHUT_WR);
            client_read(s, SIZE_MAX);
            if (s->n > 4 &&
                memcmp(s->in + s->n - 4, "\x88\x02\x03\xe8", 4) == 0)
                shutdown(s->fd, SHUT_WR);
            turn(s);
        }
        assert_true(s->end);
        size_t n = payload_of(s, payload), pads = 0;
        for (size_t k = 0; k < n; k++)
            pads += payload[k] == '=';
        if (i == 0) /* frames without payload */
            n = (size_t)(s->in + s->n - frames_of(s) - 4) / 2;
        else if (i == 1)
            n = n / 4 * 3 - pads;
        assert_int_equal(n, i == 2 ? want * 3 : want);
        assert_int_equal(
            counter_get(&s->r.serve.metrics.ends[END_BACKEND_DONE]), 1);
        stage_free(s);
        backend_close(&b);
    }
}

/* The client has said all and reads slowly: its reply is not cut off. */
static void a_reply_to_a_half_closed_client(void **state)
{
    static uint8_t bytes[500 << 10], payload[1 << 20];
    struct backend b;
    (void)state;

    backend_open(&b, "binary");
    struct stage *s = stage_new(b.yaml);
    stream_fill(bytes, sizeof bytes, 0, 1);
    client_connect(s, 8 << 10);
    client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
    READ_UNTIL(s, backend_accepted(&b) && status_is(s, "101"));
    client_frame(s, 0x82, "all of it");
    size_t at = 0;
    bool shut = false;
    double until = ev_time() + RIG_PATIENCE_S;
    for (unsigned i = 0; !s->end && ev_time() < until; i++) {
        ssize_t n = send(b.fd, bytes + at, sizeof bytes - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        if (at == sizeof bytes)
            shutdown(b.fd, SHUT_WR);
        if (i == 20)
            shut = shutdown(s->fd, SHUT_WR) == 0;
        if (i > 40)
            client_read(s, 3000);
        turn(s);
    }
    assert_true(shut && s->end);
    assert_int_equal(payload_of(s, payload), sizeof bytes);
    assert_true(stream_is(payload, sizeof bytes, 0, 1));
    stage_free(s);
    backend_close(&b);
}

/* ---- counts --------------------------------------------------------------
 */

static void above_the_limit(void **state)
{
    struct stage *s = stage_new(routes);
    int fds[CROWD_OVER_MAX + 8][2];
    (void)state;

    atomic_store(&s->r.crowd.max, 2);
    for (size_t i = 0; i < LEN(fds); i++) {
        tcp_pair(fds[i], 0);
        serve_rig_accept(&s->r, fds[i][0]);
    }
    assert_int_equal(atomic_load(&s->r.crowd.connections), CROWD_OVER_MAX + 2);
    assert_int_equal(atomic_load(&s->r.crowd.over), CROWD_OVER_MAX);
    s->fd = fds[5][1];
    client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
    READ_UNTIL(s, s->end);
    assert_true(status_is(s, "503"));
    s->fd = -1;
    for (size_t i = 0; i < LEN(fds); i++)
        close(fds[i][1]);
    READ_UNTIL(s, atomic_load(&s->r.crowd.connections) == 0);
    assert_int_equal(atomic_load(&s->r.crowd.over), 0);
    stage_free(s);
}

/* Sessions and requests keep the generation they began with. */
static void a_reload_changes_nothing_under_way(void **state)
{
    struct stage *s = stage_new(routes);
    (void)state;

    opened(s, 0);
    struct generation *old = s->r.generation;
    s->r.generation = serve_rig_generation(
        &s->r, SETTINGS "routes: [{path: /, target: 'echo:'}]\n",
        &probe_bridge);
    serve_generation(&s->r.serve, s->r.generation);
    assert_int_equal(atomic_load(&old->refs), 2); /* ours and the session's */
    generation_unref(old);
    client_frame(s, 0x81, "still");
    READ_UNTIL(s, probe.data_n == 5);
    int first = s->fd;
    client_connect(s, 0);
    s->n = 0;
    client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
    client_frame(s, 0x81, "new");
    READ_UNTIL(s, GOT(s, "\x81\x03new"));
    assert_int_equal(probe.opens, 1);
    assert_int_equal(atomic_load(&s->r.generation->refs), 3);
    close(first);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subprotocol_too_long_to_answer),
        cmocka_unit_test(refused_by_the_bridge),
        cmocka_unit_test(early_bytes_of_a_session_that_ends_at_once),
        cmocka_unit_test(early_bytes_reach_the_bridge_after_accept),
        cmocka_unit_test(drained_although_a_refused_client_left),
        cmocka_unit_test(drained_at_once_when_empty),
        cmocka_unit_test(end_without_close_frame),
        cmocka_unit_test(a_ticker_to_nobody),
        cmocka_unit_test(closed_in_the_midst_of_data),
        cmocka_unit_test(a_bridge_that_does_not_stop),
        cmocka_unit_test(modes_that_grow_pause_too),
        cmocka_unit_test(a_reply_to_a_half_closed_client),
        cmocka_unit_test(above_the_limit),
        cmocka_unit_test(a_reload_changes_nothing_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
