/* SPDX-License-Identifier: Apache-2.0 */
/* TLS between buffers: two ends, no socket, every way to cut what passes. */
#include "rig.h"

#include "../../gateway/net/tls_conn.h"

static struct tls_server *server;
static struct tls_client *client;
static struct loop loop;

struct wire {
    uint8_t p[512 << 10];
    size_t n;
};

/* What an end has put into the cipher buffer goes to the wire. */
static size_t drain(struct wire *w)
{
    size_t n = loop.cipher_len;
    assert_true(w->n + n <= sizeof w->p);
    memcpy(w->p + w->n, loop.cipher_buf, n);
    w->n += n;
    loop.cipher_len = 0;
    return n;
}

struct two {
    struct tls_conn *a, *b; /* server, client */
    struct wire up, down;   /* to the server, to the client */
};

static struct two *two_new(int version)
{
    struct two *t = calloc(1, sizeof *t);
    SSL *a = tls_server_ssl(server), *b = tls_client_ssl(client, "localhost");
    assert_true(t && a && b);
    SSL_set_max_proto_version(b, version);
    t->a = tls_conn_new(&loop, a);
    t->b = tls_conn_new(&loop, b);
    assert_true(t->a && t->b);
    return t;
}

static void two_free(struct two *t)
{
    tls_conn_free(t->a);
    tls_conn_free(t->b);
    tls_conn_free(NULL);
    free(t);
}

/* Feed the first n bytes of the wire, as one read; they are gone then. */
static void feed(struct tls_conn *t, struct wire *w, size_t n,
                 int (*then)(struct tls_conn *t))
{
    uint8_t *read = copy_of(w->p, n);
    tls_conn_feed(t, read, n);
    if (then)
        then(t);
    assert_int_equal(tls_conn_hold(t), 0);
    free(read); /* nothing may point there any more */
    memmove(w->p, w->p + n, w->n - n);
    w->n -= n;
}

static int shake(struct tls_conn *t)
{
    int r = t->ready ? 1 : tls_conn_handshake(t);
    assert_true(r == 1 || r == TLS_MORE);
    return r;
}

/* Shake hands, the bytes passing `step` at a time. */
static void handshake(struct two *t, size_t step)
{
    assert_int_equal(tls_conn_handshake(t->b), TLS_MORE);
    drain(&t->up);
    for (int i = 0; !(t->a->ready && t->b->ready); i++) {
        assert_true(i < 100000);
        while (t->up.n > 0 && !t->a->ready) {
            feed(t->a, &t->up, min_size(step, t->up.n), shake);
            drain(&t->down);
        }
        while (t->down.n > 0 && !t->b->ready) {
            feed(t->b, &t->down, min_size(step, t->down.n), shake);
            drain(&t->up);
        }
    }
}

/* Read all there is, `cap` at a time. Returns the last result. */
static ssize_t read_all(struct tls_conn *t, uint8_t *out, size_t *n, size_t cap)
{
    ssize_t r;
    while ((r = tls_conn_read(t, out + *n, cap)) > 0)
        *n += (size_t)r;
    return r;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- the tests -----------------------------------------------------------
 */

static void handshake_at_every_cut(void **state)
{
    static const size_t steps[] = {1, 2, 5, 7, 100, 1000, SIZE_MAX};
    (void)state;

    for (size_t v = 0; v < LEN(versions); v++)
        for (size_t i = 0; i < LEN(steps); i++) {
            struct two *t = two_new(versions[v]);
            uint8_t got[64];
            size_t n = 0;
            handshake(t, steps[i]);
            assert_int_equal(SSL_version(t->a->ssl), versions[v]);
            assert_int_equal(tls_conn_write(t->a, (const uint8_t *)"hello", 5),
                             5);
            drain(&t->down);
            while (t->down.n > 0) { /* tickets too */
                feed(t->b, &t->down, min_size(steps[i], t->down.n), NULL);
                assert_int_equal(read_all(t->b, got, &n, sizeof got), TLS_MORE);
                assert_int_equal(tls_conn_hold(t->b), 0);
                assert_false(tls_conn_pending(t->b));
            }
            assert_int_equal(n, 5);
            assert_memory_equal(got, "hello", 5);
            two_free(t);
        }
}

/* One read may bring the end of the handshake and what follows it. */
static void data_behind_the_handshake(void **state)
{
    (void)state;

    for (size_t v = 0; v < LEN(versions); v++) {
        struct two *t = two_new(versions[v]);
        uint8_t got[64];
        size_t n = 0;
        assert_int_equal(tls_conn_handshake(t->b), TLS_MORE);
        for (int i = 0; !t->b->ready; i++) {
            assert_true(i < 10);
            drain(&t->up);
            feed(t->a, &t->up, t->up.n, shake);
            drain(&t->down);
            feed(t->b, &t->down, t->down.n, shake);
        }
        assert_int_equal(tls_conn_write(t->b, (const uint8_t *)"early", 5), 5);
        drain(&t->up);
        uint8_t *read = copy_of(t->up.p, t->up.n);
        tls_conn_feed(t->a, read, t->up.n);
        shake(t->a);
        assert_true(t->a->ready);
        assert_true(tls_conn_pending(t->a));
        assert_int_equal(read_all(t->a, got, &n, sizeof got), TLS_MORE);
        assert_int_equal(n, 5);
        free(read);
        loop.cipher_len = 0;
        two_free(t);
    }
}

/* Whatever the sizes of writes, reads and cuts: the same bytes, and what is
 * held is a copy. */
static void all_that_is_sealed_is_opened(void **state)
{
    static uint8_t sent[200 << 10], got[200 << 10];
    struct rng rng = rng_of(11);
    (void)state;

    stream_fill(sent, sizeof sent, 0, 1);
    for (size_t v = 0; v < LEN(versions); v++)
        for (int round = 0; round < 4; round++) {
            struct two *t = two_new(versions[v]);
            size_t at = 0, n = 0;
            handshake(t, SIZE_MAX);
            t->up.n = 0;
            while (n < sizeof sent) {
                if (at < sizeof sent && t->up.n < LOOP_CIPHER) {
                    size_t want =
                        min_size(1 + rng_below(&rng, 40000), sizeof sent - at);
                    ssize_t w = tls_conn_write(t->b, sent + at, want);
                    assert_true(w >= 0 && (size_t)w <= want);
                    at += (size_t)w;
                    drain(&t->up);
                }
                if (t->up.n > 0)
                    feed(t->a, &t->up, 1 + rng_below(&rng, t->up.n), NULL);
                size_t cap = 1 + rng_below(&rng, 20000);
                for (int i = 0; i < 4; i++) { /* and then a pause */
                    size_t room = min_size(cap, sizeof got - n);
                    ssize_t r =
                        room ? tls_conn_read(t->a, got + n, room) : TLS_MORE;
                    assert_true(r >= TLS_MORE);
                    n += (size_t)r;
                    if (r == TLS_MORE)
                        break;
                }
                assert_int_equal(tls_conn_hold(t->a), 0);
                while (n < sizeof got && tls_conn_pending(t->a)) {
                    ssize_t r = tls_conn_read(t->a, got + n, sizeof got - n);
                    assert_true(r >= TLS_MORE);
                    n += (size_t)r;
                    if (r == TLS_MORE)
                        break;
                }
                assert_int_equal(tls_conn_hold(t->a), 0);
            }
            assert_memory_equal(sent, got, sizeof sent);
            assert_false(tls_conn_pending(t->a));
            two_free(t);
        }
}

/* As much as there is room for, in whole records; then as much again. */
static void a_write_fills_the_buffer(void **state)
{
    static uint8_t bytes[300 << 10];
    (void)state;

    for (size_t v = 0; v < LEN(versions); v++) {
        struct two *t = two_new(versions[v]);
        handshake(t, SIZE_MAX);
        ssize_t w = tls_conn_write(t->b, bytes, sizeof bytes);
        assert_true(w >= LOOP_CIPHER - (20 << 10) && w < LOOP_CIPHER);
        assert_true(loop.cipher_len > (size_t)w);
        assert_int_equal(tls_conn_write(t->b, bytes, sizeof bytes), 0);
        assert_int_equal(tls_conn_write(t->b, bytes, 0), 0);
        drain(&t->up);
        assert_int_equal(tls_conn_write(t->b, bytes, sizeof bytes), w);
        loop.cipher_len = 0;
        two_free(t);
    }
}

static void how_a_stream_ends(void **state)
{
    (void)state;

    for (size_t v = 0; v < LEN(versions); v++)
        for (int how = 0; how < 3; how++) {
            struct two *t = two_new(versions[v]);
            uint8_t got[64];
            size_t n = 0;
            handshake(t, SIZE_MAX);
            t->up.n = 0;
            assert_int_equal(tls_conn_write(t->b, (const uint8_t *)"last", 4),
                             4);
            if (how == 0) {
                tls_conn_shutdown(t->b);
                size_t once = loop.cipher_len;
                tls_conn_shutdown(t->b); /* says it once */
                assert_int_equal(loop.cipher_len, once);
            }
            drain(&t->up);
            if (how == 2)
                t->up.n -= 3; /* cut within the record */
            feed(t->a, &t->up, t->up.n, NULL);
            assert_int_equal(read_all(t->a, got, &n, sizeof got),
                             how == 0 ? TLS_CLOSED : TLS_MORE);
            assert_int_equal(n, how == 2 ? 0 : 4);
            if (how != 0) {
                assert_false(tls_conn_pending(t->a));
                tls_conn_feed(t->a, NULL, 0);
                assert_int_equal(tls_conn_read(t->a, got, sizeof got),
                                 TLS_CLOSED);
            }
            /* The other way it goes on. */
            assert_int_equal(tls_conn_write(t->a, (const uint8_t *)"yes", 3),
                             3);
            loop.cipher_len = 0;
            two_free(t);
        }
}

/* After our close_notify what the peer still sends is read. */
static void reading_after_shutdown(void **state)
{
    (void)state;

    for (size_t v = 0; v < LEN(versions); v++) {
        struct two *t = two_new(versions[v]);
        uint8_t got[64];
        size_t n = 0;
        handshake(t, SIZE_MAX);
        t->up.n = 0;
        assert_int_equal(tls_conn_write(t->b, (const uint8_t *)"reply", 5), 5);
        drain(&t->up);
        feed(t->a, &t->up, t->up.n, NULL); /* held: not yet read */
        tls_conn_shutdown(t->a);
        tls_conn_shutdown(t->a);
        loop.cipher_len = 0;
        assert_int_equal(read_all(t->a, got, &n, sizeof got), TLS_MORE);
        assert_int_equal(n, 5);
        two_free(t);
    }
}

static void bad_records(void **state)
{
    (void)state;

    for (size_t v = 0; v < LEN(versions); v++) {
        struct two *t = two_new(versions[v]);
        uint8_t got[64];
        handshake(t, SIZE_MAX);
        t->up.n = 0;
        assert_int_equal(tls_conn_write(t->b, (const uint8_t *)"x", 1), 1);
        drain(&t->up);
        t->up.p[t->up.n - 1] ^= 1;
        feed(t->a, &t->up, t->up.n, NULL);
        assert_int_equal(tls_conn_read(t->a, got, sizeof got), TLS_FAILED);
        assert_true(loop.cipher_len > 0); /* an alert */
        loop.cipher_len = 0;
        assert_int_equal(tls_conn_read(t->a, got, sizeof got), TLS_FAILED);
        assert_int_equal(tls_conn_write(t->a, (const uint8_t *)"x", 1),
                         TLS_FAILED);
        loop.cipher_len = 0;
        two_free(t);
    }
}

/* No handshake: nothing to shut down, nothing sent. */
static void shutdown_before_the_handshake(void **state)
{
    struct two *t = two_new(TLS1_3_VERSION);
    (void)state;

    tls_conn_shutdown(t->a);
    assert_int_equal(loop.cipher_len, 0);
    two_free(t);
}

static int begin(void **state)
{
    (void)state;
    server = rig_tls_server();
    client = rig_tls_client();
    return loop_init(&loop, 4096);
}

static int end(void **state)
{
    (void)state;
    tls_server_unref(server);
    tls_client_free(client);
    loop_fini(&loop);
    rig_certificate_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_at_every_cut),
        cmocka_unit_test(data_behind_the_handshake),
        cmocka_unit_test(all_that_is_sealed_is_opened),
        cmocka_unit_test(a_write_fills_the_buffer),
        cmocka_unit_test(how_a_stream_ends),
        cmocka_unit_test(reading_after_shutdown),
        cmocka_unit_test(bad_records),
        cmocka_unit_test(shutdown_before_the_handshake),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
