/* SPDX-License-Identifier: Apache-2.0 */
/* tls_ctx.h - what servers and clients do alike. Belongs to tls.c and
 * tls_server.c. */
#ifndef GW_TLS_CTX_H
#define GW_TLS_CTX_H

#include "tls.h"

enum { TLS_NAME_MAX_LEN = 255 }; /* of a host, with room for odd ones */

/* A context with our rules for either side, or NULL with err set. min_version
 * is OpenSSL's number. */
SSL_CTX *tls_ctx_new(const SSL_METHOD *method, int min_version,
                     struct err *err);

/* Load a certificate chain and its key, which must belong to each other. key
 * NULL: in `certificate`. Returns 0, or -1 with err set. */
int tls_pair_load(SSL_CTX *ctx, const char *certificate, const char *key,
                  struct err *err);

/* Set err to "what: OpenSSL's reason". Returns -1. */
int tls_fail(struct err *err, const char *what);

#endif
