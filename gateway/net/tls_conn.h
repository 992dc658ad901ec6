/* SPDX-License-Identifier: Apache-2.0 */
/* tls_conn.h - the TLS of one connection, as a filter between two buffers.
 *
 * OpenSSL never touches the socket: it reads records from the bytes it is
 * fed and writes records to the loop's cipher buffer, from where one write
 * takes them. So a readable event costs one read however many records came,
 * and many records leave as one write. Belongs to conn.c. */
#ifndef GW_TLS_CONN_H
#define GW_TLS_CONN_H

#include "loop.h"

#include <openssl/types.h>
#include <sys/types.h>

struct tls_conn {
    struct loop *loop;
    SSL *ssl;
    const uint8_t *in; /* records not yet taken: raw_buf or held */
    size_t in_len;
    uint8_t *held; /* a copy of them while the owner is paused, or NULL */
    bool in_eof;   /* after them, the peer sends no more */
    bool ready;    /* the handshake is done */
    bool flooded;  /* by handshake messages after it: no more is read */
    double late, late_at; /* how many, less those that time has allowed for */
};

enum { TLS_MORE = 0, TLS_CLOSED = -1, TLS_FAILED = -2 };

/* Owns ssl, also on failure. NULL: out of memory. */
struct tls_conn *tls_conn_new(struct loop *l, SSL *ssl);
void tls_conn_free(struct tls_conn *t);

/* The next records, in the loop's raw buffer; before the return of the
 * loop's callback they must be consumed, or kept with tls_conn_hold.
 * n == 0: the peer has ended its stream. */
void tls_conn_feed(struct tls_conn *t, const uint8_t *p, size_t n);

/* Keep what was fed and not consumed. 0, or -1: out of memory. */
int tls_conn_hold(struct tls_conn *t);

/* Whether there is something to read without feeding. */
bool tls_conn_pending(const struct tls_conn *t);

/* 1: done; or TLS_MORE, TLS_FAILED. Records to send may appear. */
int tls_conn_handshake(struct tls_conn *t);

/* Plaintext to out[0..cap): bytes, TLS_MORE, TLS_CLOSED or TLS_FAILED.
 * Records to send may appear. */
ssize_t tls_conn_read(struct tls_conn *t, uint8_t *out, size_t cap);

/* Seal p[0..n) into the cipher buffer, as much as there is room for: bytes
 * sealed, or TLS_FAILED. */
ssize_t tls_conn_write(struct tls_conn *t, const uint8_t *p, size_t n);

/* Put a close_notify into the cipher buffer. */
void tls_conn_shutdown(struct tls_conn *t);

#endif
