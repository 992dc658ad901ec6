/* SPDX-License-Identifier: Apache-2.0 */
/* tls.h - TLS contexts: listeners' with their certificates, backends'. */
#ifndef GW_TLS_H
#define GW_TLS_H

#include "../../conf/settings.h"

#include <openssl/ssl.h>

/* A listener's certificates and rules. Counted: connections under way keep
 * the one they began with. Used by all workers. */
struct tls_server;

/* Load every certificate and key of `t` (pairs are checked against each
 * other), build one SSL_CTX a certificate, chosen by SNI against the names in
 * the certificate (exact, then wildcard; the first if none fits). Session
 * tickets are on unless switched off; a ticket is valid for the certificate
 * (and client authority) it was made under only. NULL with err set. */
struct tls_server *tls_server_new(const struct tls_settings *t,
                                  struct err *err);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t);

/* A fresh object in accept state, or NULL: out of memory. */
SSL *tls_server_ssl(struct tls_server *t);

/* When the certificate that expires first does: seconds since 1970. */
int64_t tls_server_not_after(const struct tls_server *t);

struct tls_client_settings {
    const char *sni;        /* name to ask for and to verify; NULL: the host */
    const char *ca;         /* PEM file; NULL: the system's */
    const char *cert, *key; /* PEM; key NULL: in cert */
    bool insecure;          /* do not verify */
};

/* How to speak TLS to a backend. */
struct tls_client;

struct tls_client *tls_client_new(const struct tls_client_settings *t,
                                  struct err *err);
void tls_client_free(struct tls_client *t);

/* A fresh object in connect state that verifies `host` (a name or a literal
 * address) unless the settings name another. NULL: out of memory. */
SSL *tls_client_ssl(const struct tls_client *t, const char *host);

/* The reason at the bottom of OpenSSL's error queue, in out[0..cap); empties
 * the queue. For a failed verification it is the verification's. */
void tls_error_text(const SSL *ssl, char *out, size_t cap);

#endif
