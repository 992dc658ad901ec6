/* SPDX-License-Identifier: Apache-2.0 */
/* tls_conn.c - OpenSSL between the loop's buffers: a BIO of our own whose
 * reads take what was fed and whose writes fill the cipher buffer. */
#include "tls_conn.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    RECORD_PLAIN = 16384,  /* RFC 8446 section 5.1 */
    RECORD_EXTRA = 5 + 64, /* header, and more than any cipher adds */
    LATE_BURST = 100,      /* steps of OpenSSL's after the handshake: a few */
    LATE_RATE = 40,        /* for each ticket and key update; and a second */
};

static int feed_read(BIO *b, char *out, size_t n, size_t *got)
{
    struct tls_conn *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (t->flooded)
        return 0;
    if (t->in_len == 0) {
        if (!t->in_eof)
            BIO_set_retry_read(b);
        return 0;
    }
    *got = min_size(n, t->in_len);
    memcpy(out, t->in, *got);
    t->in += *got;
    t->in_len -= *got;
    return 1;
}

static int feed_write(BIO *b, const char *p, size_t n, size_t *put)
{
    struct loop *l = ((struct tls_conn *)BIO_get_data(b))->loop;
    BIO_clear_retry_flags(b);
    *put = min_size(n, LOOP_CIPHER - l->cipher_len);
    if (*put == 0) {
        BIO_set_retry_write(b);
        return 0;
    }
    memcpy(l->cipher_buf + l->cipher_len, p, *put);
    l->cipher_len += *put;
    return 1;
}

static long feed_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    const struct tls_conn *t = BIO_get_data(b);
    (void)num, (void)ptr;
    if (cmd == BIO_CTRL_FLUSH)
        return 1;
    if (cmd == BIO_CTRL_EOF)
        return t->in_eof && t->in_len == 0;
    return 0;
}

static BIO_METHOD *feed_method;

static void feed_method_make(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
                                 "gangway feed");
    if (!m)
        return;
    BIO_meth_set_read_ex(m, feed_read);
    BIO_meth_set_write_ex(m, feed_write);
    BIO_meth_set_ctrl(m, feed_ctrl);
    feed_method = m;
}

/* Handshake messages after the handshake cost us keys, and a peer next to
 * nothing. */
static void late_message_cb(const SSL *ssl, int where, int value)
{
    struct tls_conn *t = BIO_get_data(SSL_get_rbio(ssl));
    double now = loop_now(t->loop);
    (void)value;

    if (!t->ready || !(where & SSL_CB_LOOP))
        return;
    t->late += 1 - (now - t->late_at) * LATE_RATE;
    t->late_at = now;
    if (t->late < 1)
        t->late = 1;
    t->flooded = t->flooded || t->late > LATE_BURST;
}

static BIO *feed_new(struct tls_conn *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, feed_method_make);
    BIO *b = feed_method ? BIO_new(feed_method) : NULL;
    if (b) {
        BIO_set_data(b, t);
        BIO_set_init(b, 1);
    }
    return b;
}

struct tls_conn *tls_conn_new(struct loop *l, SSL *ssl)
{
    struct tls_conn *t = calloc(1, sizeof *t);
    BIO *b = t ? feed_new(t) : NULL;
    if (!b) {
        free(t);
        SSL_free(ssl);
        return NULL;
    }
    t->loop = l;
    t->ssl = ssl;
    SSL_set_bio(ssl, b, b);
    SSL_set_info_callback(ssl, late_message_cb);
    return t;
}

void tls_conn_free(struct tls_conn *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t->held);
    free(t);
}

void tls_conn_feed(struct tls_conn *t, const uint8_t *p, size_t n)
{
    free(t->held);
    t->held = NULL;
    t->in = p;
    t->in_len = n;
    t->in_eof = n == 0;
}

int tls_conn_hold(struct tls_conn *t)
{
    uint8_t *held = NULL;
    if (t->in_len > 0 && t->held)
        return 0; /* the rest of it: nothing is fed before it is taken */
    if (t->in_len > 0) {
        held = malloc(t->in_len);
        if (!held)
            return -1;
        memcpy(held, t->in, t->in_len);
    }
    free(t->held);
    t->held = held;
    t->in = held;
    return 0;
}

bool tls_conn_pending(const struct tls_conn *t)
{
    /* Not SSL_has_pending: it also counts a record that is cut. */
    return t->in_len > 0 || SSL_pending(t->ssl) > 0;
}

static int failure(struct tls_conn *t)
{
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        return TLS_FAILED;
    }
}

int tls_conn_handshake(struct tls_conn *t)
{
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        t->ready = true;
        return 1;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    default:
        return TLS_FAILED;
    }
}

ssize_t tls_conn_read(struct tls_conn *t, uint8_t *out, size_t cap)
{
    size_t n = 0;
    ERR_clear_error();
    if (SSL_read_ex(t->ssl, out, cap, &n) == 1)
        return (ssize_t)n;
    return failure(t);
}

ssize_t tls_conn_write(struct tls_conn *t, const uint8_t *p, size_t n)
{
    struct loop *l = t->loop;
    size_t done = 0;

    while (done < n) {
        size_t piece = min_size(n - done, RECORD_PLAIN), put = 0;
        if (LOOP_CIPHER - l->cipher_len < piece + RECORD_EXTRA)
            break;
        ERR_clear_error();
        if (SSL_write_ex(t->ssl, p + done, piece, &put) != 1)
            return TLS_FAILED;
        done += put;
    }
    return (ssize_t)done;
}

void tls_conn_shutdown(struct tls_conn *t)
{
    /* A second call would read, and fail on data that is still to come. */
    if (!t->ready || SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
}
