/* SPDX-License-Identifier: Apache-2.0 */
/* The last bytes to a backend whose session has ended: delivered as long as
 * it takes them, and no longer. */
#include "rig.h"
#include "serve_rig.h"

#include "../../gateway/serve/parting.h"

static const char yaml[] = "listeners: [{url: 'ws://127.0.0.1:0'}]\n"
                           "limits: {read_buffer: 16KiB}\n"
                           "timeouts: {linger: 40ms, write_stall: 100ms}\n"
                           "routes: ['/=echo:']\n";

/* ---- a backend's connection that a session leaves ------------------------
 */

static void on_data(struct conn *c, uint8_t *p, size_t n)
{
    (void)c, (void)p, (void)n;
    fail_msg("it has another owner");
}

static void on_event(struct conn *c)
{
    (void)c;
}

static void on_error(struct conn *c, int error)
{
    (void)c, (void)error;
}

static const struct conn_ops ops = {
    .on_data = on_data,
    .on_eof = on_event,
    .on_drained = on_event,
    .on_error = on_error,
};

struct stage {
    struct serve_rig r;
    ev_timer tick;
    struct conn *conn;
    int fd[2]; /* ours, the backend's */
    uint64_t sent, got;
    bool end, reset;
};

static struct stage *stage_new(void)
{
    struct stage *s = calloc(1, sizeof *s);
    uint8_t piece[4000];

    assert_non_null(s);
    serve_rig_begin(&s->r, yaml, NULL);
    ev_timer_init(&s->tick, rig_tick_cb, 0.002, 0.002);
    ev_timer_start(s->r.loop.ev, &s->tick);
    tcp_pair(s->fd, 8 << 10);
    s->conn = conn_open(&s->r.loop, s->fd[0], NULL, &ops, s,
                        &s->r.generation->rules.marks);
    assert_non_null(s->conn);
    conn_pause(s->conn);
    while (!s->conn->full) {
        stream_fill(piece, sizeof piece, s->sent, 3);
        conn_send(s->conn, piece, sizeof piece);
        s->sent += sizeof piece;
    }
    return s;
}

static void start(struct stage *s)
{
    assert_int_equal(atomic_load(&s->r.crowd.connections), 0);
    parting_start(&s->r.serve, s->r.generation, s->conn);
    assert_non_null(s->r.serve.parting);
    assert_int_equal(atomic_load(&s->r.crowd.connections), 1);
}

static void stage_free(struct stage *s)
{
    if (s->fd[1] >= 0)
        close(s->fd[1]);
    ev_timer_stop(s->r.loop.ev, &s->tick);
    serve_rig_end(&s->r); /* counts references, too */
    assert_true(is_closed(s->fd[0]));
    free(s);
}

static void backend_read(struct stage *s, size_t max)
{
    uint8_t buf[65536];
    ssize_t n = recv(s->fd[1], buf, min_size(max, sizeof buf), 0);
    if (n > 0) {
        assert_true(stream_is(buf, (size_t)n, s->got, 3));
        s->got += (uint64_t)n;
    }
    s->end |= n == 0;
    s->reset |= n < 0 && errno == ECONNRESET;
}

static void turn(struct stage *s)
{
    ev_run(s->r.loop.ev, EVRUN_ONCE);
}

#define TURN_UNTIL(s, so)                                                      \
    do {                                                                       \
        double until_p = ev_time() + RIG_PATIENCE_S;                           \
        while (!(so)) {                                                        \
            if (ev_time() > until_p)                                           \
                fail_msg("in vain: %s", #so);                                  \
            turn(s);                                                           \
        }                                                                      \
    } while (0)

/* ---- the tests -----------------------------------------------------------
 */

static void delivers_and_parts(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    start(s);
    TURN_UNTIL(s, (backend_read(s, SIZE_MAX), s->end));
    assert_int_equal(s->got, s->sent);
    assert_non_null(s->r.serve.parting); /* until the backend's own end */
    double began = ev_time();
    assert_int_equal(shutdown(s->fd[1], SHUT_WR), 0);
    TURN_UNTIL(s, !s->r.serve.parting);
    assert_true(ev_time() < began + 0.03);
    stage_free(s);
}

/* It has said all before, and it is still delivered to. */
static void to_one_that_ended_first(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    peer_send(s->fd[1], "answer", 6);
    assert_int_equal(shutdown(s->fd[1], SHUT_WR), 0);
    start(s);
    TURN_UNTIL(s, (backend_read(s, SIZE_MAX), s->end));
    assert_int_equal(s->got, s->sent);
    TURN_UNTIL(s, !s->r.serve.parting);
    stage_free(s);
}

/* One that answers without end does not hold it up. */
static void what_it_says_is_not_heard(void **state)
{
    static const uint8_t noise[20000];
    struct stage *s = stage_new();
    (void)state;

    start(s);
    double until = ev_time() + RIG_PATIENCE_S;
    while (s->r.serve.parting && ev_time() < until) {
        send(s->fd[1], noise, sizeof noise, MSG_NOSIGNAL);
        backend_read(s, SIZE_MAX);
        turn(s);
    }
    assert_null(s->r.serve.parting);
    assert_int_equal(s->got, s->sent);
    stage_free(s);
}

static void one_that_never_ends_is_left(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    start(s);
    TURN_UNTIL(s, (backend_read(s, SIZE_MAX), s->end));
    double began = ev_time();
    TURN_UNTIL(s, !s->r.serve.parting);
    assert_true(ev_time() > began + 0.02);
    stage_free(s);
}

static void a_slow_one_gets_all(void **state)
{
    struct stage *s = stage_new();
    double began = ev_time();
    (void)state;

    start(s);
    while (ev_time() < began + 0.2) { /* longer than linger and stall */
        backend_read(s, 400);
        turn(s);
    }
    assert_non_null(s->r.serve.parting);
    TURN_UNTIL(s, (backend_read(s, SIZE_MAX), s->end));
    assert_int_equal(s->got, s->sent);
    stage_free(s);
}

static void one_that_stalls_is_dropped(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    start(s);
    TURN_UNTIL(s, !s->r.serve.parting);
    stage_free(s);
}

static void one_that_resets(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    start(s);
    turn(s);
    peer_reset(s->fd[1]);
    s->fd[1] = -1;
    double began = ev_time();
    TURN_UNTIL(s, !s->r.serve.parting);
    assert_true(ev_time() < began + 0.03);
    stage_free(s);
}

static void a_drain_waits_for_it(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    start(s);
    serve_drain(&s->r.serve);
    assert_int_equal(s->r.emptied, 0);
    TURN_UNTIL(s, (backend_read(s, SIZE_MAX), s->end));
    assert_int_equal(shutdown(s->fd[1], SHUT_WR), 0);
    TURN_UNTIL(s, s->r.emptied == 1);
    stage_free(s);
}

static void dropped_from_above(void **state)
{
    struct stage *s = stage_new();
    (void)state;

    start(s);
    parting_abort(&s->r.serve);
    parting_abort(&s->r.serve);
    turn(s);
    assert_null(s->r.serve.parting);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers_and_parts),
        cmocka_unit_test(to_one_that_ended_first),
        cmocka_unit_test(what_it_says_is_not_heard),
        cmocka_unit_test(one_that_never_ends_is_left),
        cmocka_unit_test(a_slow_one_gets_all),
        cmocka_unit_test(one_that_stalls_is_dropped),
        cmocka_unit_test(one_that_resets),
        cmocka_unit_test(a_drain_waits_for_it),
        cmocka_unit_test(dropped_from_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
