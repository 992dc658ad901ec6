/* SPDX-License-Identifier: Apache-2.0 */
/* What gangway does for a bridge: backends, timers, frames, calls from other
 * threads; and what it does when the bridge lets go of them at any moment. */
#include "session_rig.h"

#include <pthread.h>

/* ---- a backend, and what the bridge hears of it --------------------------
 */

enum told { CONNECTED, FAILED, DATA, DRAINED, ENDED, LOST, TOLD };

static struct back {
    struct gw_conn *conn; /* NULL: none, or dead */
    char address[64];
    struct gw_dial dial;
    unsigned told[TOLD];
    int status; /* of FAILED */
    char text[256];
    size_t n;
    void (*then)(enum told t);
    int listener, fd;
} back;

static void tell(enum told t)
{
    assert_non_null(back.conn); /* nothing comes after the end */
    back.told[t]++;
    if (t == FAILED || t == LOST)
        back.conn = NULL;
    if (back.then)
        back.then(t);
}

static void on_connected(void *ctx)
{
    assert_ptr_equal(ctx, &back);
    tell(CONNECTED);
}

static void on_failed(void *ctx, int status, const char *why)
{
    assert_ptr_equal(ctx, &back);
    assert_non_null(why);
    back.status = status;
    tell(FAILED);
}

static void on_data(void *ctx, uint8_t *p, size_t n)
{
    assert_ptr_equal(ctx, &back);
    memset(p - GW_HEADROOM, 0xEE, GW_HEADROOM);
    memcpy(back.text + back.n, p, min_size(n, sizeof back.text - back.n - 1));
    back.n += min_size(n, sizeof back.text - back.n - 1);
    tell(DATA);
}

static void on_drained(void *ctx)
{
    assert_ptr_equal(ctx, &back);
    tell(DRAINED);
}

static void on_ended(void *ctx)
{
    assert_ptr_equal(ctx, &back);
    tell(ENDED);
}

static void on_lost(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &back);
    assert_non_null(why);
    tell(LOST);
}

static const struct gw_conn_events events = {on_connected, on_failed, on_data,
                                             on_drained,   on_ended,  on_lost};

static void dials(struct probe *p)
{
    back.dial.address = back.address;
    back.dial.events = &events;
    back.dial.ctx = &back;
    back.conn = p->host->dial(p->session, &back.dial);
    assert_non_null(back.conn);
    assert_int_equal(back.told[CONNECTED] + back.told[FAILED], 0);
    assert_int_equal(p->host->conn_send(back.conn, (const uint8_t *)"x", 1),
                     GW_GONE); /* not yet */
}

static void accepts_when_connected(enum told t)
{
    if (t == CONNECTED)
        probe.host->accept(probe.session);
    if (t == FAILED)
        probe.host->refuse(probe.session, back.status, "no backend");
}

static void backend_listen(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    memset(&back, 0, sizeof back);
    back.fd = -1;
    back.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    set_buffer(back.listener, SO_RCVBUF, 8 << 10);
    assert_int_equal(bind(back.listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(back.listener, 8), 0);
    assert_int_equal(getsockname(back.listener, (struct sockaddr *)&a, &len),
                     0);
    snprintf(back.address, sizeof back.address, "127.0.0.1:%d",
             ntohs(a.sin_port));
    back.then = accepts_when_connected;
}

static void backend_stop(void)
{
    if (back.fd >= 0)
        close(back.fd);
    if (back.listener >= 0)
        close(back.listener);
    back.fd = back.listener = -1;
}

static bool backend_accepted(void)
{
    if (back.fd < 0)
        back.fd = accept4(back.listener, NULL, NULL, SOCK_NONBLOCK);
    return back.fd >= 0;
}

static void client_ask(struct stage *s)
{
    client_connect(s, 0);
    client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
}

/* A session whose backend is connected. */
static struct stage *connected(void)
{
    backend_listen();
    struct stage *s = stage_new(routes);
    probe.on_open = dials;
    client_ask(s);
    READ_UNTIL(s, backend_accepted() && status_is(s, "101"));
    return s;
}

static void done(struct stage *s)
{
    back.conn = NULL;
    stage_free(s);
    backend_stop();
}

/* ---- backends ------------------------------------------------------------
 */

static void bytes_both_ways_and_both_ends(void **state)
{
    struct stage *s = connected();
    char text[16] = "";
    (void)state;

    assert_int_equal(probe.host->conn_send(back.conn, (const uint8_t *)"up", 2),
                     GW_SENT);
    READ_UNTIL(s, recv(back.fd, text, sizeof text, 0) == 2);
    assert_string_equal(text, "up");
    peer_send(back.fd, "down", 4);
    READ_UNTIL(s, back.n == 4);
    assert_string_equal(back.text, "down");
    probe.host->conn_finish(back.conn);
    READ_UNTIL(s, recv(back.fd, text, sizeof text, 0) == 0);
    peer_send(back.fd, "still", 5); /* its own way is open */
    READ_UNTIL(s, back.n == 9);
    assert_int_equal(shutdown(back.fd, SHUT_WR), 0);
    READ_UNTIL(s, back.told[ENDED] == 1);
    assert_int_equal(counter_get(&s->r.serve.metrics.backend_ok), 1);
    done(s);
}

static void pieces_are_one_message(void **state)
{
    static const struct gw_piece pieces[GW_PIECES_MAX] = {
        {(const uint8_t *)"one ", 4},
        {(const uint8_t *)"two ", 4},
        {NULL, 0},
        {(const uint8_t *)"three", 5},
    };
    struct stage *s = connected();
    char text[16] = "";
    (void)state;

    assert_int_equal(probe.host->conn_sendv(back.conn, pieces, 4), GW_SENT);
    READ_UNTIL(s, recv(back.fd, text, sizeof text, 0) == 13);
    assert_string_equal(text, "one two three");
    assert_int_equal(
        probe.host->sendv(probe.session, GW_TEXT, pieces, 4, false), GW_SENT);
    READ_UNTIL(s, GOT(s, "\x81\x0d"
                         "one two three"));
    assert_int_equal(probe.host->sendv(probe.session, GW_TEXT, pieces, 1, true),
                     GW_SENT);
    assert_int_equal(
        probe.host->sendv(probe.session, GW_TEXT, pieces + 1, 1, false),
        GW_SENT);
    READ_UNTIL(s, GOT(s, "\x81\x0d"
                         "one two three"
                         "\x01\x04one \x80\x04two "));
    done(s);
}

static void paused_and_drained(void **state)
{
    static const uint8_t piece[16384];
    static char sink[65536];
    struct stage *s = connected();
    (void)state;

    probe.host->conn_pause(back.conn);
    peer_send(back.fd, "later", 5);
    turn_for(s, 6);
    assert_int_equal(back.told[DATA], 0);
    probe.host->conn_resume(back.conn);
    READ_UNTIL(s, back.n == 5);
    while (probe.host->conn_send(back.conn, piece, sizeof piece) == GW_SENT)
        ;
    turn_for(s, 6);
    assert_int_equal(back.told[DRAINED], 0);
    READ_UNTIL(s, (recv(back.fd, sink, sizeof sink, 0), back.told[DRAINED]));
    done(s);
}

static void refused_by_the_backend(void **state)
{
    struct stage *s;
    (void)state;

    backend_listen();
    close(back.listener);
    back.listener = -1;
    s = stage_new(routes);
    probe.on_open = dials;
    client_ask(s);
    READ_UNTIL(s, s->end);
    assert_true(status_is(s, "502"));
    assert_int_equal(back.told[FAILED], 1);
    assert_int_equal(counter_get(&s->r.serve.metrics.backend_failed), 1);
    done(s);
}

static void reset_by_the_backend(void **state)
{
    struct stage *s = connected();
    (void)state;

    peer_send(back.fd, "last words", 10);
    turn_for(s, 4);
    peer_reset(back.fd);
    back.fd = -1;
    READ_UNTIL(s, back.told[LOST] == 1);
    assert_string_equal(back.text, "last words");
    assert_int_equal(back.told[ENDED], 0);
    done(s);
}

static void let_go_in(enum told t)
{
    if (t == CONNECTED && (int)t != back.status)
        probe.host->accept(probe.session);
    if ((int)t == back.status) {
        struct gw_conn *c = back.conn;
        back.conn = NULL;
        if (c) {
            probe.host->conn_close(c);
            probe.host->conn_close(c); /* until the end of the turn */
        }
    }
}

/* A bridge may close its connection in whatever it is told. */
static void closed_in_an_event(void **state)
{
    static const uint8_t piece[16384];
    static char sink[65536];
    (void)state;

    for (enum told t = CONNECTED; t <= ENDED; t++) {
        if (t == FAILED)
            continue;
        backend_listen();
        struct stage *s = stage_new(routes);
        probe.on_open = dials;
        back.then = let_go_in;
        back.status = (int)t;
        client_ask(s);
        READ_UNTIL(s, backend_accepted());
        READ_UNTIL(s, back.told[CONNECTED]);
        if (t == DATA || t == ENDED)
            peer_send(back.fd, "x", 1);
        if (t == ENDED)
            assert_int_equal(shutdown(back.fd, SHUT_WR), 0);
        if (t == DRAINED)
            while (probe.host->conn_send(back.conn, piece, sizeof piece) ==
                   GW_SENT)
                ;
        READ_UNTIL(s, (recv(back.fd, sink, sizeof sink, 0), back.told[t] > 0));
        assert_null(back.conn);
        turn_for(s, 4);
        done(s);
    }
}

static void dials_and_lets_go(struct probe *p)
{
    dials(p);
    p->host->conn_close(back.conn);
    back.conn = NULL;
}

static void dials_and_refuses(struct probe *p)
{
    dials(p);
    p->host->refuse(p->session, 503, "changed its mind");
    back.conn = NULL;
}

static void dials_and_fails(struct probe *p)
{
    dials(p);
    back.conn = NULL;
}

static void closed_before_anything_is_told(void **state)
{
    (void)state;

    for (int how = 0; how < 3; how++) {
        backend_listen();
        struct stage *s = stage_new(routes);
        probe.on_open = how == 0   ? dials_and_lets_go
                        : how == 1 ? dials_and_refuses
                                   : dials_and_fails;
        probe.no_state = how == 2;
        client_ask(s);
        turn_for(s, 10);
        client_read(s, SIZE_MAX);
        assert_int_equal(back.told[CONNECTED] + back.told[FAILED], 0);
        assert_true(how == 0 || status_is(s, "503"));
        done(s);
    }
}

/* ---- targets that clients name -------------------------------------------
 */

static const char dynamic[] =
    SETTINGS "allow_targets: ['db.internal:5432', 'unix:/nonexistent/*']\n"
             "routes: [{path: /, target: 'probe://{query.to}'}]\n";

static void dials_what_is_asked_for(struct probe *p)
{
    dials(p);
}

static void targets_outside_the_list(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "other.example"};
    (void)state;

    for (size_t i = 0; i < LEN(hosts); i++)
        for (int let_go = 0; let_go < 2; let_go++) {
            char text[512];
            backend_listen();
            struct stage *s = stage_new(dynamic);
            const char *port = strchr(back.address, ':');
            char address[64];
            snprintf(address, sizeof address, "%s%s", hosts[i], port);
            memcpy(back.address, address, sizeof address);
            snprintf(text, sizeof text,
                     "GET /?to=%s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                     address);
            probe.on_open =
                let_go ? dials_and_lets_go : dials_what_is_asked_for;
            client_connect(s, 0);
            client_send(s, text, strlen(text));
            if (let_go) {
                turn_for(s, 6);
                assert_int_equal(back.told[FAILED], 0);
            } else {
                READ_UNTIL(s, s->end);
                assert_int_equal(back.told[FAILED], 1);
                assert_true(status_is(s, "403"));
            }
            assert_false(backend_accepted());
            done(s);
        }
}

/* ---- a backend that does not read ----------------------------------------
 */

static void fills_the_backend(struct probe *p, const struct gw_data *d)
{
    if (back.conn && p->host->conn_send(back.conn, d->p, d->n) == GW_FULL)
        p->host->pause(p->session);
}

static void a_backend_that_stalls(void **state)
{
    static const char impatient[] =
        "listeners: [{url: 'ws://127.0.0.1:0'}]\n"
        "limits: {queue_high: 8KiB, queue_low: 4KiB, read_buffer: 16KiB}\n"
        "timeouts: {write_stall: 60ms, linger: 50ms, close: 50ms}\n"
        "routes: [{path: /, target: 'probe:'}]\n";
    static uint8_t bytes[32768], out[33000];
    (void)state;

    backend_listen();
    struct stage *s = stage_new(impatient);
    probe.on_open = dials;
    probe.on_data = fills_the_backend;
    client_ask(s);
    READ_UNTIL(s, backend_accepted() && status_is(s, "101"));
    size_t n = frame(out, 0x82, bytes, sizeof bytes), at = 0;
    double until = ev_time() + RIG_PATIENCE_S;
    while (!GOT(s, "\x88") && ev_time() < until) {
        ssize_t k = send(s->fd, out + at, n - at, MSG_NOSIGNAL);
        at = k > 0 ? (at + (size_t)k) % n : at;
        client_read(s, SIZE_MAX);
        turn(s);
    }
    back.conn = NULL; /* it is let go of without a word */
    READ_UNTIL(s, !s->r.serve.sessions);
    assert_int_equal(counter_get(&s->r.serve.metrics.ends[END_BACKEND_STALLED]),
                     1);
    assert_true(GOT(s, "\x03\xf3")); /* 1011 */
    done(s);
}

/* ---- timers, frames, threads ---------------------------------------------
 */

static unsigned fired;

static void fire(void *arg)
{
    assert_ptr_equal(arg, &fired);
    fired++;
}

static void timers(void **state)
{
    struct stage *s = stage_new(routes);
    (void)state;

    opened(s, 0);
    fired = 0;
    assert_non_null(probe.host->timer(probe.session, 5, fire, &fired));
    struct gw_timer *t = probe.host->timer(probe.session, 10, fire, &fired);
    probe.host->timer(probe.session, 60000, fire, &fired); /* goes with it */
    probe.host->timer_cancel(t);
    turn_for(s, 30);
    assert_int_equal(fired, 1);
    stage_free(s);
    assert_int_equal(fired, 1);
}

static void one_frame_for_many(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 300000};
    (void)state;

    for (size_t i = 0; i < LEN(sizes); i++) {
        struct stage *s = stage_new(routes);
        uint8_t *payload;
        opened(s, 0);
        s->n = 0;
        struct gw_frame *f =
            probe.host->frame_new(GW_BINARY, sizes[i], &payload);
        assert_non_null(f);
        stream_fill(payload, sizes[i], 0, 4);
        assert_ptr_equal(probe.host->frame_ref(f), f);
        enum gw_sent sent = probe.host->send_frame(probe.session, f);
        assert_true(sent != GW_GONE);
        probe.host->frame_unref(f);
        probe.host->frame_unref(f); /* the queue may hold it still */
        struct ws_head h;
        size_t want = sizes[i] + (sizes[i] < 126     ? 2
                                  : sizes[i] < 65536 ? 4
                                                     : 10);
        READ_UNTIL(s, s->n == want);
        int k = ws_head_decode(&h, s->in, s->n);
        assert_true(h.fin && h.opcode == WS_BINARY);
        assert_int_equal(h.payload_len, sizes[i]);
        assert_true(stream_is(s->in + k, sizes[i], 0, 4));
        assert_int_equal(counter_get(&s->r.serve.metrics.payload_out),
                         sizes[i]);
        stage_free(s);
    }
}

static void called(void *arg)
{
    ++*(unsigned *)arg;
}

static void *poster(void *arg)
{
    assert_true(probe.host->post(arg, called, &fired));
    return NULL;
}

static void calls_from_another_thread(void **state)
{
    struct stage *s = stage_new(routes);
    pthread_t thread;
    (void)state;

    opened(s, 0);
    fired = 0;
    assert_int_equal(pthread_create(&thread, NULL, poster,
                                    probe.host->worker(probe.session)),
                     0);
    READ_UNTIL(s, fired == 1);
    pthread_join(thread, NULL);
    stage_free(s);
}

struct finding {
    unsigned times;
    size_t n;
    char first[64], why[64];
};

static void found(void *arg, const char *const *addresses, size_t n,
                  const char *why)
{
    struct finding *t = arg;

    t->times++;
    t->n = n;
    snprintf(t->first, sizeof t->first, "%s", n > 0 ? addresses[0] : "");
    snprintf(t->why, sizeof t->why, "%s", why ? why : "");
}

static void *asker(void *arg)
{
    static struct finding t; /* not to be told: the worker goes first */
    assert_true(probe.host->resolve(arg, "127.0.0.1", found, &t));
    return NULL;
}

static void names_looked_up(void **state)
{
    static const struct {
        const char *host, *first, *why;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", ""},
        {"::1", "::1", ""},
        {"localhost", "::1", ""},
        {"not a name", "", "no such host"},
    };
    struct stage *s = stage_new(routes);
    pthread_t thread;
    (void)state;

    opened(s, 0);
    struct gw_worker *w = probe.host->worker(probe.session);
    for (size_t i = 0; i < LEN(cases); i++) {
        struct finding t = {0};
        assert_true(probe.host->resolve(w, cases[i].host, found, &t));
        assert_int_equal(t.times, 0);
        READ_UNTIL(s, t.times == 1);
        assert_string_equal(t.first, cases[i].first);
        assert_string_equal(t.why, cases[i].why);
        assert_int_equal(t.n > 0, cases[i].why[0] == '\0');
    }
    assert_int_equal(pthread_create(&thread, NULL, asker, w), 0);
    pthread_join(thread, NULL);
    stage_free(s); /* it begins, and is forgotten */
}

static void where_text_ends(void **state)
{
    static const struct {
        const char *text;
        size_t good, cut;
    } cases[] = {
        {"", 0, 0},
        {"abc", 3, 0},
        {"a\xC3\xA9", 3, 0},
        {"a\xC3", 1, 1},
        {"\xE2\x82", 0, 2},
        {"\xF0\x9F\x98", 0, 3},
        {"ab\xFF"
         "c",
         2, 0},
        {"\x80", 0, 0},
        {"\xE2\x82"
         "a",
         0, 0},
        {"\xED\xA0", 0, 0}, /* a surrogate: never */
    };
    struct stage *s = stage_new(routes);
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        size_t cut = 99, n = strlen(cases[i].text);
        uint8_t *copy = copy_of(cases[i].text, n);
        assert_int_equal(probe.host->utf8(copy, n, &cut), cases[i].good);
        assert_int_equal(cut, cases[i].cut);
        free(copy);
    }
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_both_ways_and_both_ends),
        cmocka_unit_test(pieces_are_one_message),
        cmocka_unit_test(paused_and_drained),
        cmocka_unit_test(refused_by_the_backend),
        cmocka_unit_test(reset_by_the_backend),
        cmocka_unit_test(closed_in_an_event),
        cmocka_unit_test(closed_before_anything_is_told),
        cmocka_unit_test(targets_outside_the_list),
        cmocka_unit_test(a_backend_that_stalls),
        cmocka_unit_test(timers),
        cmocka_unit_test(one_frame_for_many),
        cmocka_unit_test(calls_from_another_thread),
        cmocka_unit_test(names_looked_up),
        cmocka_unit_test(where_text_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
