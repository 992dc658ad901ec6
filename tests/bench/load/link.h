/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - a non-blocking connection to the gateway: TCP, or TLS upon it. */
#ifndef LOAD_LINK_H
#define LOAD_LINK_H

#include "target.h"

#include <openssl/ssl.h>
#include <sys/types.h>

enum {
    LINK_AGAIN = -1,
    LINK_BROKEN = -2,
};

struct link {
    int fd; /* -1: closed */
    SSL *ssl;
    bool wants_write; /* TLS does, whatever the caller wants */
};

/* Once, before any link: what clients of TLS share. One cipher suite of TLS
 * 1.3, so that all gateways compared do the same arithmetic. Certificates are
 * not verified: nothing is told that is worth a secret. */
void link_tls_init(bool resume);

/* Begin to connect. LINK_BROKEN: it cannot be. */
int link_open(struct link *l, const struct target *t);

/* After the socket has become ready: 1 when the connection stands, TLS
 * included, LINK_AGAIN, or LINK_BROKEN with *why. */
int link_continue(struct link *l, const struct target *t, const char **why);

/* Bytes moved, 0 at the end (reads), LINK_AGAIN or LINK_BROKEN. */
ssize_t link_read(struct link *l, void *p, size_t n);
ssize_t link_write(struct link *l, const void *p, size_t n);

/* There may be bytes to read that no event will tell of. */
bool link_pending(const struct link *l);

bool link_resumed(const struct link *l);

/* "TLSv1.3 TLS_AES_256_GCM_SHA384", of the last handshake; NULL: there was
 * none. */
const char *link_tls_name(void);

void link_shutdown(struct link *l); /* no more will be written */
void link_close(struct link *l);

#endif
