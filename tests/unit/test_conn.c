/* SPDX-License-Identifier: Apache-2.0 */
/* One connection, plain and TLS: what is sent arrives, in order, however slow
 * the other end is; each owner hears what it must and nothing else. */
#include "rig.h"

#include "../../gateway/net/conn.h"
#include "../../gateway/net/tls_conn.h"

enum { READ_CAP = 32 << 10, SMALL_BUFFER = 8 << 10 };

static const struct conn_marks marks = {32 << 10, 8 << 10};

/* ---- an owner ------------------------------------------------------------
 */

enum told { OPEN, DATA, END, DRAINED, FINISHED, ERROR, TOLD };

struct end {
    struct conn *c;
    struct rig *rig;
    unsigned told[TOLD];
    int error;
    bool closed;  /* nothing may be told any more */
    uint64_t got; /* bytes, of a stream_fill stream if salt is not 0 */
    uint8_t salt;
    char text[256]; /* the first of them */
    void (*then)(struct end *e, enum told t);
    uint64_t to_send, sent; /* see pour */
    struct rng rng;
};

static void tell(struct conn *c, enum told t)
{
    struct end *e = c->owner;
    assert_ptr_equal(e->c, c);
    assert_false(e->closed);
    assert_true(t != DATA || !c->paused);
    assert_int_equal(e->told[ERROR], 0); /* the last thing to be told */
    e->told[t]++;
    if (e->then)
        e->then(e, t);
}

static void on_open(struct conn *c)
{
    tell(c, OPEN);
}

static void on_data(struct conn *c, uint8_t *p, size_t n)
{
    struct end *e = c->owner;

    assert_true(n > 0 && n <= READ_CAP);
    assert_int_equal(e->told[END], 0);
    memset(p - LOOP_HEADROOM, 0xAA, LOOP_HEADROOM); /* scratch, ours */
    if (e->salt)
        assert_true(stream_is(p, n, e->got, e->salt));
    if (e->got < sizeof e->text)
        memcpy(e->text + e->got, p, min_size(n, sizeof e->text - e->got));
    e->got += n;
    tell(c, DATA);
}

static void on_eof(struct conn *c)
{
    assert_int_equal(((struct end *)c->owner)->told[END], 0);
    tell(c, END);
}

static void on_drained(struct conn *c)
{
    assert_true(conn_queued(c) <= marks.low);
    tell(c, DRAINED);
}

static void on_finished(struct conn *c)
{
    assert_int_equal(conn_queued(c), 0);
    tell(c, FINISHED);
}

static void on_error(struct conn *c, int error)
{
    struct end *e = c->owner;
    e->error = error;
    tell(c, ERROR);
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drained = on_drained,
    .on_finished = on_finished,
    .on_error = on_error,
};

static void end_close(struct end *e)
{
    e->closed = true;
    conn_close(e->c, false);
}

/* ---- two of them, or one and a bare socket -------------------------------
 */

enum kind { PLAIN, TLS };

static struct tls_server *tls_server;
static struct tls_client *tls_client;

struct pair {
    struct rig rig;
    struct end a, b; /* server, client */
    int fd[2];
};

static enum kind kind_of(void **state)
{
    return *(enum kind *)*state;
}

static void join(struct pair *p, enum kind kind, int bytes)
{
    memset(p, 0, sizeof *p);
    rig_begin(&p->rig, READ_CAP);
    tcp_pair(p->fd, bytes);
    p->a.rig = p->b.rig = &p->rig;
    p->a.c = conn_open(&p->rig.loop, p->fd[0],
                       kind == TLS ? tls_server_ssl(tls_server) : NULL, &ops,
                       &p->a, &marks);
    p->b.c =
        conn_open(&p->rig.loop, p->fd[1],
                  kind == TLS ? tls_client_ssl(tls_client, "localhost") : NULL,
                  &ops, &p->b, &marks);
    assert_true(p->a.c && p->b.c);
    if (kind == TLS)
        UNTIL(&p->rig, p->a.told[OPEN] && p->b.told[OPEN]);
}

static void part(struct pair *p)
{
    if (p->a.c && !p->a.closed)
        end_close(&p->a);
    if (p->b.c && !p->b.closed)
        end_close(&p->b);
    rig_end(&p->rig);
}

/* `a` alone; its peer is p->fd[1]. */
static void half(struct pair *p, int bytes)
{
    memset(p, 0, sizeof *p);
    rig_begin(&p->rig, READ_CAP);
    tcp_pair(p->fd, bytes);
    p->a.rig = &p->rig;
    p->a.c = conn_open(&p->rig.loop, p->fd[0], NULL, &ops, &p->a, &marks);
    assert_non_null(p->a.c);
}

static void halves_part(struct pair *p)
{
    close(p->fd[1]);
    part(p);
}

static void send_text(struct end *e, const char *text)
{
    assert_int_equal(conn_send(e->c, text, strlen(text)), CONN_SENT);
}

/* Send of the stream until the queue is full. */
static void fill(struct end *e, uint8_t salt)
{
    uint8_t piece[4000];
    enum conn_sent sent;
    do {
        stream_fill(piece, sizeof piece, e->sent, salt);
        sent = conn_send(e->c, piece, sizeof piece);
        e->sent += sizeof piece;
    } while (sent == CONN_SENT);
    assert_int_equal(sent, CONN_FULL);
    assert_true(conn_queued(e->c) > marks.high);
}

/* ---- the tests: both kinds -----------------------------------------------
 */

static void carries_both_ways(void **state)
{
    struct pair p;
    join(&p, kind_of(state), 0);
    send_text(&p.a, "to the client");
    send_text(&p.b, "to the server");
    UNTIL(&p.rig, p.a.got >= 13 && p.b.got >= 13);
    assert_string_equal(p.a.text, "to the server");
    assert_string_equal(p.b.text, "to the client");
    assert_int_equal(conn_queued(p.a.c), 0);
    assert_true(rig_restless(&p.rig, 20) <= 2);
    part(&p);
}

static void shared_put(struct end *e, size_t n, uint8_t salt)
{
    struct shared *b = shared_new(n);
    assert_non_null(b);
    stream_fill(b->bytes, n, e->sent, salt);
    conn_send_shared(e->c, b);
    shared_unref(b);
}

/* Send at random sizes, by every function, until the queue is full. */
static void pour(struct end *e, uint8_t salt)
{
    static uint8_t piece[24 << 10];
    while (e->sent < e->to_send && !e->c->full) {
        size_t n =
            1 + rng_below(&e->rng, rng_below(&e->rng, 4) ? sizeof piece : 100);
        n = min_size(n, (size_t)(e->to_send - e->sent));
        stream_fill(piece, n, e->sent, salt);
        size_t cut = rng_below(&e->rng, n + 1);
        switch (rng_below(&e->rng, 3)) {
        case 0:
            conn_send(e->c, piece, n);
            break;
        case 1:
            conn_sendv(e->c,
                       (struct iovec[]){{piece, cut}, {piece + cut, n - cut}},
                       2);
            break;
        default:
            shared_put(e, n, salt);
        }
        e->sent += n;
    }
}

static void pause_now_and_then(struct end *e, enum told t)
{
    if (t == DATA && rng_below(&e->rng, 8) == 0)
        conn_pause(e->c);
}

static void nothing_is_lost_on_slow_ways(void **state)
{
    struct pair p;
    struct rng rng = rng_of(7);

    join(&p, kind_of(state), SMALL_BUFFER);
    p.a.to_send = p.b.to_send = 8 << 20;
    p.a.salt = 1; /* what a gets */
    p.b.salt = 2;
    p.a.rng = rng_of(1);
    p.b.rng = rng_of(2);
    p.a.then = p.b.then = pause_now_and_then;
    while (p.a.got < p.b.to_send || p.b.got < p.a.to_send) {
        pour(&p.a, 2);
        pour(&p.b, 1);
        /* One pause too many reads of the shared buffer apart. */
        if (rng_below(&rng, 2))
            conn_resume(p.a.c);
        if (rng_below(&rng, 2))
            conn_resume(p.b.c);
        rig_turn(&p.rig);
        assert_true(conn_queued(p.a.c) <= marks.high + (40 << 10));
    }
    conn_resume(p.a.c);
    conn_resume(p.b.c);
    p.a.then = p.b.then = NULL;
    conn_finish(p.a.c);
    conn_finish(p.b.c);
    UNTIL(&p.rig, p.a.told[END] && p.b.told[END]);
    assert_int_equal(p.a.got, p.b.to_send);
    assert_int_equal(p.b.got, p.a.to_send);
    assert_true(p.a.told[DRAINED] > 10 && p.b.told[DRAINED] > 10);
    assert_int_equal(p.a.told[ERROR] + p.b.told[ERROR], 0);
    part(&p);
}

static void drained_is_told_once_a_crossing(void **state)
{
    struct pair p;

    join(&p, kind_of(state), SMALL_BUFFER);
    conn_pause(p.b.c);
    for (unsigned i = 1; i <= 3; i++) {
        fill(&p.a, 5);
        rig_turn_for(&p.rig, 6);
        assert_int_equal(p.a.told[DRAINED], i - 1);
        assert_int_equal(conn_send(p.a.c, "x", 1), CONN_FULL);
        p.b.salt = 0;
        conn_resume(p.b.c);
        UNTIL(&p.rig, conn_queued(p.a.c) == 0);
        assert_int_equal(p.a.told[DRAINED], i);
        conn_pause(p.b.c);
    }
    /* Below the high mark there is nothing to tell. */
    assert_int_equal(conn_send(p.a.c, "x", 1), CONN_SENT);
    rig_turn_for(&p.rig, 6);
    assert_int_equal(p.a.told[DRAINED], 3);
    part(&p);
}

static void end_comes_after_the_data(void **state)
{
    struct pair p;

    join(&p, kind_of(state), SMALL_BUFFER);
    p.b.salt = 5;
    conn_pause(p.b.c);
    fill(&p.a, 5);
    conn_finish(p.a.c);
    assert_int_equal(conn_send(p.a.c, "x", 1), CONN_GONE); /* too late */
    rig_turn_for(&p.rig, 6);
    assert_int_equal(p.a.told[FINISHED], 0);
    conn_resume(p.b.c);
    UNTIL(&p.rig, p.b.told[END]);
    assert_int_equal(p.b.got, p.a.sent);
    assert_int_equal(p.a.told[FINISHED], 1);
    assert_true(p.a.c->finished);
    /* The other way still works. */
    send_text(&p.b, "a reply");
    UNTIL(&p.rig, p.a.got == 7);
    conn_finish(p.b.c);
    assert_true(p.b.c->finished);
    UNTIL(&p.rig, p.a.told[END]);
    assert_int_equal(p.b.told[FINISHED], 0); /* conn_finish got that far */
    assert_true(rig_restless(&p.rig, 20) <= 2);
    assert_int_equal(p.a.told[ERROR] + p.b.told[ERROR], 0);
    part(&p);
}

static void end_waits_for_a_paused_owner(void **state)
{
    struct pair p;

    join(&p, kind_of(state), 0);
    conn_pause(p.a.c);
    send_text(&p.b, "last words");
    conn_finish(p.b.c);
    rig_turn_for(&p.rig, 6);
    assert_true(rig_restless(&p.rig, 20) <= 3);
    assert_int_equal(p.a.got, 0);
    assert_int_equal(p.a.told[END], 0);
    conn_resume(p.a.c);
    UNTIL(&p.rig, p.a.told[END]);
    assert_string_equal(p.a.text, "last words");
    part(&p);
}

static void pause_in_data(struct end *e, enum told t)
{
    if (t == DATA)
        conn_pause(e->c);
}

/* What is decrypted, or read and not decrypted, waits like the rest. */
static void pause_holds_at_once(void **state)
{
    struct pair p;
    static uint8_t all[100 << 10];

    join(&p, kind_of(state), 0);
    stream_fill(all, sizeof all, 0, 3);
    p.a.salt = 3;
    p.a.then = pause_in_data;
    for (size_t i = 0; i < sizeof all; i += 1000)
        conn_send(p.b.c, all + i, min_size(1000, sizeof all - i));
    conn_finish(p.b.c);
    while (!p.a.told[END]) {
        uint64_t before = p.a.got;
        unsigned data = p.a.told[DATA];
        conn_resume(p.a.c);
        UNTIL(&p.rig, p.a.told[DATA] > data || p.a.told[END]);
        assert_true(p.a.told[DATA] <= data + 1);
        assert_true(p.a.got - before <= READ_CAP);
        if (data % 4 == 1)
            assert_true(rig_restless(&p.rig, 10) <= 3);
    }
    assert_int_equal(p.a.got, sizeof all);
    part(&p);
}

static void closes_in(struct end *e, enum told t)
{
    if (t == (enum told)e->to_send)
        end_close(e);
}

/* Whatever is told: closing there is the end of it. */
static void closing_in_a_callback(void **state)
{
    for (enum told t = OPEN; t < TOLD; t++) {
        struct pair p;

        if (t == OPEN && kind_of(state) == PLAIN)
            continue;
        join(&p, t == OPEN ? PLAIN : kind_of(state), SMALL_BUFFER);
        if (t == OPEN) { /* once more, with an eye on the handshake */
            part(&p);
            memset(&p, 0, sizeof p);
            rig_begin(&p.rig, READ_CAP);
            tcp_pair(p.fd, 0);
            p.a.c = conn_open(&p.rig.loop, p.fd[0], tls_server_ssl(tls_server),
                              &ops, &p.a, &marks);
            p.b.c = conn_open(&p.rig.loop, p.fd[1],
                              tls_client_ssl(tls_client, "localhost"), &ops,
                              &p.b, &marks);
        }
        p.a.to_send = t;
        p.a.then = closes_in;
        if (t == DATA || t == END)
            fill(&p.b, 0);
        if (t == END)
            conn_finish(p.b.c);
        if (t == DRAINED || t == FINISHED)
            fill(&p.a, 0);
        if (t == FINISHED)
            conn_finish(p.a.c);
        if (t == ERROR) {
            p.b.closed = true;
            conn_close(p.b.c, true);
        }
        UNTIL(&p.rig, p.a.closed);
        assert_int_equal(p.a.told[t], 1);
        assert_true(is_closed(p.fd[0]));
        rig_turn_for(&p.rig, 4);
        part(&p);
    }
}

static void close_twice_and_use_after(void **state)
{
    struct pair p;

    join(&p, kind_of(state), 0);
    end_close(&p.a);
    conn_close(p.a.c, true);
    assert_int_equal(conn_send(p.a.c, "x", 1), CONN_GONE);
    assert_int_equal(conn_send_urgent(p.a.c, "x", 1), CONN_GONE);
    conn_pause(p.a.c);
    conn_resume(p.a.c);
    conn_finish(p.a.c);
    UNTIL(&p.rig, p.b.told[END] + p.b.told[ERROR]);
    part(&p);
}

static void shared_bytes_are_freed(void **state)
{
    struct pair p;
    struct shared *b = shared_new(50000);
    unsigned n = 0;

    assert_non_null(b);
    stream_fill(b->bytes, b->n, 0, 4);
    join(&p, kind_of(state), SMALL_BUFFER);
    conn_pause(p.b.c);
    while (conn_send_shared(p.a.c, b) != CONN_GONE && n++ < 20)
        ;
    assert_true(atomic_load(&b->refs) > 10);
    conn_resume(p.b.c);
    UNTIL(&p.rig, conn_queued(p.a.c) == 0);
    assert_int_equal(atomic_load(&b->refs), 1);
    conn_pause(p.b.c);
    for (n = 0; n < 20; n++)
        conn_send_shared(p.a.c, b);
    assert_true(atomic_load(&b->refs) > 10);
    end_close(&p.a);
    assert_int_equal(atomic_load(&b->refs), 1);
    part(&p);
    shared_unref(b);
}

static void stalls_without_progress(void **state)
{
    struct pair p;

    join(&p, kind_of(state), SMALL_BUFFER);
    assert_true(conn_stalls_at(p.a.c, 10) == 0);
    assert_false(conn_stalled(p.a.c, 10));
    conn_pause(p.b.c);
    fill(&p.a, 0);
    rig_turn_for(&p.rig, 10); /* what the kernel takes, it takes now */
    double at = conn_stalls_at(p.a.c, 30);
    assert_true(at != 0 && conn_stalls_at(p.a.c, 0) == 0);
    assert_false(conn_stalled(p.a.c, 10000));
    UNTIL(&p.rig, conn_stalled(p.a.c, 30));
    assert_true(loop_now(&p.rig.loop) >= at);
    conn_send(p.a.c, "x", 1); /* more in the queue is no progress */
    assert_true(conn_stalled(p.a.c, 30));
    conn_resume(p.b.c);
    UNTIL(&p.rig, !conn_stalled(p.a.c, 30));
    UNTIL(&p.rig, conn_queued(p.a.c) == 0);
    assert_true(conn_stalls_at(p.a.c, 30) == 0);
    part(&p);
}

static void adopted_by_another_owner(void **state)
{
    struct pair p;
    struct end other = {0};

    join(&p, kind_of(state), 0);
    other.c = p.a.c;
    other.rig = &p.rig;
    p.a.closed = true;
    conn_adopt(p.a.c, &ops, &other);
    send_text(&p.b, "for whom");
    UNTIL(&p.rig, other.got == 8);
    end_close(&other);
    part(&p);
}

/* A reset after data: the data first. */
static void reset_comes_after_the_data(void **state)
{
    struct pair p;
    static uint8_t all[20000];

    join(&p, kind_of(state), 0);
    conn_pause(p.a.c);
    p.a.salt = 6;
    stream_fill(all, sizeof all, 0, 6);
    assert_int_equal(conn_send(p.b.c, all, sizeof all), CONN_SENT);
    assert_int_equal(conn_queued(p.b.c), 0);
    p.b.closed = true;
    conn_close(p.b.c, true);
    rig_turn_for(&p.rig, 4);
    assert_true(rig_restless(&p.rig, 10) <= 3);
    conn_resume(p.a.c);
    UNTIL(&p.rig, p.a.told[ERROR]);
    assert_int_equal(p.a.told[END], 0);
    assert_int_equal(p.a.got, sizeof all);
    part(&p);
}

/* Writing fails while data of the peer is still to be read. */
static void failed_write_loses_no_input(void **state)
{
    struct pair p;

    join(&p, kind_of(state), 0);
    conn_pause(p.a.c);
    send_text(&p.b, "the reason why I leave");
    p.b.closed = true;
    conn_close(p.b.c, true);
    enum conn_sent sent = CONN_SENT;
    for (int i = 0; i < 100 && sent != CONN_GONE; i++)
        sent = conn_send(p.a.c, "anybody?", 8);
    assert_int_equal(sent, CONN_GONE);
    rig_turn_for(&p.rig, 4);
    assert_int_equal(p.a.told[ERROR] + p.a.told[DATA], 0); /* paused */
    assert_true(rig_restless(&p.rig, 10) <= 3);
    conn_resume(p.a.c);
    UNTIL(&p.rig, p.a.told[ERROR]);
    assert_string_equal(p.a.text, "the reason why I leave");
    assert_int_equal(p.a.told[END], 0);
    assert_true(p.a.error == ECONNRESET || p.a.error == EPIPE);
    part(&p);
}

/* The peer half-closed, then went away: who goes on sending must hear it. */
static void failure_after_the_end_is_told(void **state)
{
    struct pair p;

    join(&p, kind_of(state), SMALL_BUFFER);
    conn_finish(p.b.c);
    UNTIL(&p.rig, p.a.told[END]);
    fill(&p.a, 0);
    p.b.closed = true;
    conn_close(p.b.c, true);
    UNTIL(&p.rig, p.a.told[ERROR]);
    assert_int_equal(conn_send(p.a.c, "x", 1), CONN_GONE);
    assert_true(rig_restless(&p.rig, 10) <= 3);
    part(&p);
}

/* Who waits for room must not wait for ever. */
static void a_full_queue_that_breaks_is_drained(void **state)
{
    struct pair p;

    join(&p, kind_of(state), SMALL_BUFFER);
    conn_pause(p.a.c);
    fill(&p.a, 0);
    p.b.closed = true;
    conn_close(p.b.c, true);
    UNTIL(&p.rig, p.a.told[DRAINED]);
    assert_int_equal(conn_send(p.a.c, "x", 1), CONN_GONE);
    rig_turn_for(&p.rig, 4);
    assert_int_equal(p.a.told[DRAINED], 1);
    conn_resume(p.a.c);
    UNTIL(&p.rig, p.a.told[ERROR]);
    part(&p);
}

/* ---- the tests: control frames -------------------------------------------
 */

/* Frames of a kind of our own: 'D' or 'U', two bytes of length, payload. */
struct reader {
    uint8_t bytes[1 << 20];
    size_t n;
};

static size_t frame_put(uint8_t *out, char type, uint16_t n, uint32_t number)
{
    out[0] = (uint8_t)type;
    out[1] = (uint8_t)(n >> 8);
    out[2] = (uint8_t)n;
    memset(out + 3, type, n);
    memcpy(out + 3, &number, sizeof number);
    return 3 + (size_t)n;
}

static struct reader reader;

static void read_frames(struct end *e, enum told t)
{
    (void)e, (void)t;
}

static void take_frames(struct conn *c, uint8_t *p, size_t n)
{
    (void)c;
    assert_true(reader.n + n <= sizeof reader.bytes);
    memcpy(reader.bytes + reader.n, p, n);
    reader.n += n;
}

static const struct conn_ops frame_ops = {
    .on_open = on_open,
    .on_data = take_frames,
    .on_eof = on_eof,
    .on_drained = on_drained,
    .on_error = on_error,
};

/* Whole frames, numbers in order; *last is the last 'U'. Returns how many 'U'
 * there were. */
static unsigned check_frames(uint32_t data, uint32_t *last)
{
    uint32_t next = 0, number;
    unsigned urgent = 0;

    *last = 0;
    for (size_t at = 0; at < reader.n;) {
        uint8_t *f = reader.bytes + at;
        size_t n = (size_t)f[1] << 8 | f[2];
        assert_true(at + 3 + n <= reader.n);
        memcpy(&number, f + 3, sizeof number);
        for (size_t i = 3 + sizeof number; i < 3 + n; i++)
            assert_int_equal(f[i], f[0]);
        if (f[0] == 'D') {
            assert_int_equal(number, next++);
        } else {
            assert_int_equal(f[0], 'U');
            assert_true(number > *last);
            *last = number;
            urgent++;
        }
        at += 3 + n;
    }
    assert_int_equal(next, data);
    return urgent;
}

static void urgent_goes_between_frames(void **state)
{
    struct rng rng = rng_of(3);
    uint8_t frame[8192];
    uint32_t data = 0, urgent = 0, last;
    struct pair p;

    reader.n = 0;
    join(&p, kind_of(state), SMALL_BUFFER);
    conn_adopt(p.b.c, &frame_ops, &p.b);
    p.b.then = read_frames;
    conn_pause(p.b.c);
    for (int round = 0; round < 40; round++) {
        while (!p.a.c->full && reader.n < sizeof reader.bytes / 2) {
            size_t n = frame_put(frame, 'D',
                                 (uint16_t)(4 + rng_below(&rng, 8000)), data++);
            conn_send(p.a.c, frame, n);
        }
        for (size_t i = rng_below(&rng, 4); i > 0; i--) {
            size_t n = frame_put(
                frame, 'U', (uint16_t)(4 + rng_below(&rng, 120)), ++urgent);
            conn_send_urgent(p.a.c, frame, n);
            rig_turn(&p.rig);
        }
        if (rng_below(&rng, 2))
            conn_resume(p.b.c);
        rig_turn(&p.rig);
        conn_pause(p.b.c);
    }
    conn_resume(p.b.c);
    UNTIL(&p.rig, conn_queued(p.a.c) == 0);
    conn_finish(p.a.c);
    UNTIL(&p.rig, p.b.told[END]);
    assert_true(check_frames(data, &last) > 1);
    assert_int_equal(last, urgent); /* the newest is never lost */
    part(&p);
}

static void urgent_overtakes_the_queue(void **state)
{
    struct pair p;
    uint8_t frame[4096], buf[65536];
    uint32_t data = 0, last;
    (void)state;

    reader.n = 0;
    half(&p, SMALL_BUFFER);
    while (!p.a.c->full)
        conn_send(p.a.c, frame, frame_put(frame, 'D', 4000, data++));
    rig_turn_for(&p.rig, 6);
    const size_t waiting = conn_queued(p.a.c), gone = data * 4003 - waiting;
    for (uint32_t i = 1; i <= 5; i++)
        conn_send_urgent(p.a.c, frame, frame_put(frame, 'U', 100, i));
    assert_int_equal(conn_queued(p.a.c), waiting + 103); /* and not gone */
    while (reader.n < gone + waiting + 103) {
        ssize_t n = recv(p.fd[1], buf, 1000, 0);
        if (n > 0)
            take_frames(NULL, buf, (size_t)n);
        rig_turn(&p.rig);
    }
    assert_int_equal(check_frames(data, &last), 1);
    assert_int_equal(last, 5);
    uint8_t *u = memchr(reader.bytes, 'U', reader.n);
    assert_non_null(u);
    assert_true((size_t)(u - reader.bytes) <= gone + 4003);
    halves_part(&p);
}

/* One that has begun to leave cannot be replaced; of those behind it only the
 * newest stays, however many come. */
static void urgent_never_piles_up(void **state)
{
    struct pair p;
    uint8_t frame[60000], buf[65536];
    uint32_t last;
    (void)state;

    reader.n = 0;
    half(&p, SMALL_BUFFER);
    uint32_t data = 0;
    while (!p.a.c->full)
        conn_send(p.a.c, frame, frame_put(frame, 'D', 4000, data++));
    conn_send_urgent(p.a.c, frame, frame_put(frame, 'U', 50000, 1));
    while (!p.a.c->wait->box.urgent->begun) {
        ssize_t n = recv(p.fd[1], buf, 500, 0);
        if (n > 0)
            take_frames(NULL, buf, (size_t)n);
        rig_turn(&p.rig);
    }
    size_t before = conn_queued(p.a.c);
    for (uint32_t i = 2; i <= 1000; i++)
        conn_send_urgent(p.a.c, frame, frame_put(frame, 'U', 120, i));
    assert_true(conn_queued(p.a.c) <= before + 123);
    while (reader.n < data * 4003 + 50003 + 123) {
        ssize_t n = recv(p.fd[1], buf, sizeof buf, 0);
        if (n > 0)
            take_frames(NULL, buf, (size_t)n);
        rig_turn(&p.rig);
    }
    assert_int_equal(check_frames(data, &last), 2);
    assert_int_equal(last, 1000);
    halves_part(&p);
}

/* What is sent within one turn leaves as two writes, however many pieces it
 * has: the first at once, the others together. */
static void pieces_of_a_turn_leave_together(void **state)
{
    struct pair p;
    static char text[8192], got[8192];
    ssize_t n;
    (void)state;

    half(&p, 0);
    rig_turn(&p.rig);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(conn_send(p.a.c, text + i, 1), CONN_SENT);
    assert_int_equal(recv(p.fd[1], got, sizeof got, 0), 1);
    assert_int_equal(conn_queued(p.a.c), 999);
    ev_run(p.rig.loop.ev, EVRUN_NOWAIT); /* in the same turn, in fact */
    assert_int_equal(conn_queued(p.a.c), 0);
    for (size_t all = 1; all < 1000; all += (size_t)n) {
        n = recv(p.fd[1], got, sizeof got, 0);
        assert_true(n > 0);
    }
    /* A large piece is not copied for it. */
    assert_int_equal(conn_send(p.a.c, text, 1), CONN_SENT);
    assert_int_equal(conn_send(p.a.c, text, sizeof text), CONN_SENT);
    assert_int_equal(conn_queued(p.a.c), 0);
    halves_part(&p);
}

/* Or as one, if more was said to come. */
static void gathered_from_the_first_on(void **state)
{
    struct pair p;
    struct shared *small = shared_new(100), *large = shared_new(1000);
    static char got[8192];
    (void)state;

    half(&p, 0);
    rig_turn(&p.rig);
    memset(small->bytes, 's', small->n);
    memset(large->bytes, 'l', large->n);
    conn_gather(p.a.c);
    assert_int_equal(conn_send_shared(p.a.c, small), CONN_SENT);
    assert_int_equal(conn_send_shared(p.a.c, large), CONN_SENT);
    assert_int_equal(conn_send_shared(p.a.c, small), CONN_SENT);
    assert_int_equal(conn_queued(p.a.c), 1200);
    assert_int_equal(atomic_load(&small->refs), 1); /* a copy takes less */
    assert_int_equal(atomic_load(&large->refs), 2);
    assert_int_equal(recv(p.fd[1], got, sizeof got, MSG_DONTWAIT), -1);
    ev_run(p.rig.loop.ev, EVRUN_NOWAIT); /* in the same turn, in fact */
    assert_int_equal(conn_queued(p.a.c), 0);
    assert_int_equal(recv(p.fd[1], got, sizeof got, 0), 1200);
    assert_true(got[99] == 's' && got[100] == 'l' && got[1100] == 's');
    assert_int_equal(atomic_load(&large->refs), 1);
    shared_unref(small);
    shared_unref(large);
    halves_part(&p);
}

static void answer(struct end *e, enum told t)
{
    if (t == DATA)
        for (int i = 0; i < 10; i++)
            conn_send(e->c, "answer", 6);
}

/* A peer that says more while it is answered does not hold up the loop. */
static void one_read_a_turn(void **state)
{
    struct pair p;
    static char text[3 * READ_CAP];
    size_t sent = 0;
    ssize_t n;
    (void)state;

    half(&p, 0);
    p.a.then = answer;
    while (sent < sizeof text &&
           (n = send(p.fd[1], text, sizeof text - sent, MSG_DONTWAIT)) > 0)
        sent += (size_t)n;
    assert_true(sent > 2 * READ_CAP);
    for (uint64_t got = 0; got < sent; got = p.a.got) {
        ev_run(p.rig.loop.ev, EVRUN_ONCE);
        assert_true(p.a.got - got <= READ_CAP);
    }
    halves_part(&p);
}

/* ---- the tests: TLS alone ------------------------------------------------
 */

/* What follows a close_notify counts for nothing, but the end is told. */
static void bytes_behind_close_notify(void **state)
{
    struct pair p;
    struct loop *l = &p.rig.loop;
    (void)state;

    join(&p, TLS, 0);
    send_text(&p.b, "goodbye");
    tls_conn_shutdown(p.b.c->tls);
    memcpy(l->cipher_buf + l->cipher_len, "\x17\x03\x03\x00\x40junk", 9);
    peer_send(p.fd[1], l->cipher_buf, l->cipher_len + 9);
    l->cipher_len = 0;
    UNTIL(&p.rig, p.a.told[END]);
    assert_string_equal(p.a.text, "goodbye");
    assert_int_equal(p.a.told[ERROR], 0);
    assert_true(rig_restless(&p.rig, 10) <= 3);
    part(&p);
}

/* A client's request may come in one segment with its last flight. */
static void data_behind_the_handshake(void **state)
{
    struct pair p;
    uint8_t flight[4096];
    (void)state;

    memset(&p, 0, sizeof p);
    rig_begin(&p.rig, READ_CAP);
    int between[2];
    tcp_pair(p.fd, 0);
    tcp_pair(between, 0);
    p.a.c = conn_open(&p.rig.loop, p.fd[0], tls_server_ssl(tls_server), &ops,
                      &p.a, &marks);
    p.b.c =
        conn_open(&p.rig.loop, between[0],
                  tls_client_ssl(tls_client, "localhost"), &ops, &p.b, &marks);
    bool sent = false;
    double until = ev_time() + RIG_PATIENCE_S;
    while (p.a.got < 5 && ev_time() < until) {
        rig_turn(&p.rig);
        ssize_t n = recv(p.fd[1], flight, sizeof flight, 0);
        if (n > 0)
            peer_send(between[1], flight, (size_t)n);
        if (p.b.told[OPEN] && !sent) {
            send_text(&p.b, "early");
            sent = true;
        }
        if (p.b.told[OPEN] || !p.a.told[OPEN]) {
            /* the client's flight and its data together */
            n = sent || !p.b.told[OPEN]
                    ? recv(between[1], flight, sizeof flight, 0)
                    : 0;
            if (n > 0)
                peer_send(p.fd[1], flight, (size_t)n);
        }
    }
    assert_memory_equal(p.a.text, "early", 5);
    close(p.fd[1]);
    close(between[1]);
    part(&p);
}

/* A record that is cut: nothing to do until the rest is there. */
static void cut_records(void **state)
{
    struct pair p;
    struct loop *l = &p.rig.loop;
    (void)state;

    join(&p, TLS, 0);
    rig_turn_for(&p.rig, 4); /* the ticket has arrived */
    assert_int_equal(
        tls_conn_write(p.b.c->tls, (const uint8_t *)"in pieces", 9), 9);
    size_t n = l->cipher_len;
    uint8_t record[256];
    memcpy(record, l->cipher_buf, n);
    l->cipher_len = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(p.a.got, 0);
        peer_send(p.fd[1], record + i, 1);
        rig_turn(&p.rig);
        rig_turn(&p.rig);
        if (i % 8 == 3)
            assert_true(rig_restless(&p.rig, 6) <= 3);
    }
    UNTIL(&p.rig, p.a.got == 9);
    assert_string_equal(p.a.text, "in pieces");
    part(&p);
}

static void not_tls(void **state)
{
    static const char *const words[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        "\x15\x03\x03\x00\x02\x02\x28",
    };
    (void)state;

    for (size_t i = 0; i < LEN(words); i++) {
        struct pair p;
        memset(&p, 0, sizeof p);
        rig_begin(&p.rig, READ_CAP);
        tcp_pair(p.fd, 0);
        p.a.c = conn_open(&p.rig.loop, p.fd[0], tls_server_ssl(tls_server),
                          &ops, &p.a, &marks);
        peer_send(p.fd[1], words[i],
                  i == 0 ? strlen(words[i]) : 7 + 3 * (i == 1));
        UNTIL(&p.rig, p.a.told[ERROR]);
        assert_int_equal(p.a.error, EPROTO);
        assert_int_equal(p.a.told[OPEN], 0);
        assert_int_equal(p.rig.loop.cipher_len, 0);
        close(p.fd[1]);
        part(&p);
    }
}

/* The peer goes before its handshake is done. */
static void gone_within_the_handshake(void **state)
{
    struct pair p;
    (void)state;

    memset(&p, 0, sizeof p);
    rig_begin(&p.rig, READ_CAP);
    tcp_pair(p.fd, 0);
    p.a.c = conn_open(&p.rig.loop, p.fd[0], tls_server_ssl(tls_server), &ops,
                      &p.a, &marks);
    peer_send(p.fd[1], "\x16\x03\x01", 3);
    rig_turn(&p.rig);
    assert_true(rig_restless(&p.rig, 10) <= 3);
    close(p.fd[1]);
    UNTIL(&p.rig, p.a.told[ERROR]);
    assert_int_equal(p.a.told[OPEN], 0);
    part(&p);
}

static void send_key_updates(struct pair *p, int n)
{
    struct loop *l = &p->rig.loop;
    SSL *ssl = (SSL *)(uintptr_t)conn_ssl(p->b.c);

    for (int i = 0; i < n; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
    peer_send(p->fd[1], l->cipher_buf, l->cipher_len);
    l->cipher_len = 0;
}

/* Each costs two keys: some are a peer's right, many are not. */
static void key_updates_without_end(void **state)
{
    struct pair p;
    (void)state;

    join(&p, TLS, 0);
    for (unsigned i = 1; i <= 3; i++) {
        send_key_updates(&p, 3);
        send_text(&p.b, "data");
        UNTIL(&p.rig, p.a.got == 4 * i);
        send_text(&p.a, "data");
        UNTIL(&p.rig, p.b.got == 4 * i);
    }
    assert_int_equal(p.a.told[ERROR] + p.b.told[ERROR], 0);
    conn_pause(p.b.c);
    send_key_updates(&p, 3000);
    UNTIL(&p.rig, p.a.told[ERROR]);
    assert_int_equal(p.a.error, EPROTO);
    assert_true(unread(p.fd[1]) < 10000); /* not each had its answer */
    part(&p);
}

/* Two connections, one loop: what fails in the one leaves no byte in the
 * buffer that the other sends next. */
static void a_failed_write_leaves_the_buffer_empty(void **state)
{
    struct pair p;
    (void)state;

    join(&p, TLS, 0);
    peer_send(p.fd[1], "\x17\x03\x03\x00\x20 no record of this connection...",
              37);
    UNTIL(&p.rig, p.a.told[ERROR]);
    assert_int_equal(conn_send(p.a.c, "x", 1), CONN_GONE);
    assert_int_equal(p.rig.loop.cipher_len, 0);
    part(&p);
}

/* FIN without close_notify: what many peers do. */
static void end_without_close_notify(void **state)
{
    struct pair p;
    (void)state;

    join(&p, TLS, 0);
    rig_turn_for(&p.rig, 4); /* what is unread makes it a reset */
    send_text(&p.b, "bye");
    end_close(&p.b);
    UNTIL(&p.rig, p.a.told[END] + p.a.told[ERROR]);
    assert_int_equal(p.a.told[END], 1);
    assert_string_equal(p.a.text, "bye");
    part(&p);
}

/* The close_notify waits in the queue; what is read meanwhile counts. */
static void finish_while_the_kernel_is_full(void **state)
{
    struct pair p;
    (void)state;

    join(&p, TLS, SMALL_BUFFER);
    conn_pause(p.a.c);
    p.a.salt = 8;
    for (unsigned i = 0; i < 3; i++)
        fill(&p.b, 8); /* waits to be read by a */
    conn_pause(p.b.c);
    /* Stop where the kernel is full to the byte. */
    while (conn_queued(p.a.c) == 0)
        conn_send(p.a.c, "0123456789", 10);
    conn_finish(p.a.c);
    conn_resume(p.a.c);
    conn_resume(p.b.c);
    UNTIL(&p.rig, p.a.got == p.b.sent && p.b.told[END]);
    conn_finish(p.b.c);
    UNTIL(&p.rig, p.a.told[END]);
    assert_int_equal(p.a.told[ERROR] + p.b.told[ERROR], 0);
    part(&p);
}

/* ---- the tests: the kernel's ways ----------------------------------------
 */

/* Whatever the peer does to one that is not listening, nothing spins. */
static void paused_and_quiet(void **state)
{
    struct pair p;
    (void)state;

    for (int i = 0; i < 4; i++) {
        half(&p, SMALL_BUFFER);
        conn_pause(p.a.c);
        if (i & 1)
            fill(&p.a, 0);
        peer_send(p.fd[1], "data", 4);
        if (i & 2)
            peer_reset(p.fd[1]);
        else
            assert_int_equal(shutdown(p.fd[1], SHUT_WR), 0);
        rig_turn_for(&p.rig, 4);
        assert_true(rig_restless(&p.rig, 10) <= 3);
        assert_int_equal(p.a.told[DATA], 0);
        conn_resume(p.a.c);
        UNTIL(&p.rig, p.a.told[END] + p.a.told[ERROR]);
        assert_string_equal(p.a.text, "data");
        assert_true(rig_restless(&p.rig, 10) <= 3);
        if (i & 2)
            part(&p);
        else
            halves_part(&p);
    }
}

static void reset_reaches_the_peer(void **state)
{
    struct pair p;
    char c;
    (void)state;

    half(&p, 0);
    p.a.closed = true;
    conn_close(p.a.c, true);
    assert_int_equal(recv(p.fd[1], &c, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    halves_part(&p);
}

/* Deferred frees run when the loop is taken down, too. */
static void closed_before_the_loop_ends(void **state)
{
    struct pair p;

    join(&p, kind_of(state), 0);
    conn_pause(p.b.c);
    fill(&p.a, 0);
    end_close(&p.a);
    end_close(&p.b);
    rig_end(&p.rig);
}

/* ---- main ----------------------------------------------------------------
 */

static int make_tls(void **state)
{
    (void)state;
    tls_server = rig_tls_server();
    tls_client = rig_tls_client();
    return 0;
}

static int free_tls(void **state)
{
    (void)state;
    tls_server_unref(tls_server);
    tls_client_free(tls_client);
    rig_certificate_remove();
    return 0;
}

static enum kind plain = PLAIN, tls = TLS;

#define BOTH(test)                                                             \
    {#test " (plain)", test, NULL, NULL, &plain},                              \
    {                                                                          \
#test " (tls)", test, NULL, NULL, &tls                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(carries_both_ways),
        BOTH(nothing_is_lost_on_slow_ways),
        BOTH(drained_is_told_once_a_crossing),
        BOTH(end_comes_after_the_data),
        BOTH(end_waits_for_a_paused_owner),
        BOTH(pause_holds_at_once),
        BOTH(closing_in_a_callback),
        BOTH(close_twice_and_use_after),
        BOTH(shared_bytes_are_freed),
        BOTH(stalls_without_progress),
        BOTH(adopted_by_another_owner),
        BOTH(reset_comes_after_the_data),
        BOTH(failed_write_loses_no_input),
        BOTH(failure_after_the_end_is_told),
        BOTH(a_full_queue_that_breaks_is_drained),
        BOTH(urgent_goes_between_frames),
        BOTH(closed_before_the_loop_ends),
        cmocka_unit_test(pieces_of_a_turn_leave_together),
        cmocka_unit_test(gathered_from_the_first_on),
        cmocka_unit_test(one_read_a_turn),
        cmocka_unit_test(urgent_overtakes_the_queue),
        cmocka_unit_test(urgent_never_piles_up),
        cmocka_unit_test(bytes_behind_close_notify),
        cmocka_unit_test(data_behind_the_handshake),
        cmocka_unit_test(cut_records),
        cmocka_unit_test(not_tls),
        cmocka_unit_test(gone_within_the_handshake),
        cmocka_unit_test(key_updates_without_end),
        cmocka_unit_test(a_failed_write_leaves_the_buffer_empty),
        cmocka_unit_test(end_without_close_notify),
        cmocka_unit_test(finish_while_the_kernel_is_full),
        cmocka_unit_test(paused_and_quiet),
        cmocka_unit_test(reset_reaches_the_peer),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
