/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - connect, TLS, read, write. */
#include "link.h"
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { READ_AHEAD = 65536, TICKETS = 256 };

#define SUITE "TLS_AES_256_GCM_SHA384"

static struct {
    SSL_CTX *context;
    pthread_mutex_t lock; /* of what is below */
    SSL_SESSION *tickets[TICKETS];
    size_t n_tickets;
    char name[64];
} tls = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Tickets are used once, as RFC 8446 C.4 wants it and browsers do. Returns
 * whether we keep it. */
static int on_ticket(SSL *ssl, SSL_SESSION *ticket)
{
    (void)ssl;
    pthread_mutex_lock(&tls.lock);
    int room = tls.n_tickets < TICKETS;
    if (room)
        tls.tickets[tls.n_tickets++] = ticket;
    pthread_mutex_unlock(&tls.lock);
    return room;
}

static SSL_SESSION *take_ticket(void)
{
    pthread_mutex_lock(&tls.lock);
    SSL_SESSION *t = tls.n_tickets > 0 ? tls.tickets[--tls.n_tickets] : NULL;
    pthread_mutex_unlock(&tls.lock);
    return t;
}

void link_tls_init(bool resume)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());

    if (!c || SSL_CTX_set_ciphersuites(c, SUITE) != 1)
        give_up("OpenSSL does not know " SUITE);
    SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_read_ahead(c, 1); /* many records in one read */
    SSL_CTX_set_default_read_buffer_len(c, READ_AHEAD);
    if (resume) {
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT |
                                              SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c, on_ticket);
    }
    tls.context = c;
}

int link_open(struct link *l, const struct target *t)
{
    int yes = 1;

    *l = (struct link){
        .fd = socket(t->address.ss_family,
                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    if (l->fd < 0)
        return LINK_BROKEN;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(l->fd, (const struct sockaddr *)&t->address, t->address_len) ==
            0 ||
        errno == EINPROGRESS)
        return 0;
    return LINK_BROKEN;
}

/* ---- TLS ------------------------------------------------------------------*/

static bool tls_begin(struct link *l)
{
    l->ssl = SSL_new(tls.context);
    if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1 ||
        SSL_set_tlsext_host_name(l->ssl, "localhost") != 1)
        return false;
    SSL_set_connect_state(l->ssl);
    SSL_SESSION *ticket = take_ticket();
    if (ticket)
        SSL_set_session(l->ssl, ticket);
    SSL_SESSION_free(ticket);
    return true;
}

static void tls_note(const struct link *l)
{
    pthread_mutex_lock(&tls.lock);
    snprintf(tls.name, sizeof tls.name, "%s %s", SSL_get_version(l->ssl),
             SSL_get_cipher_name(l->ssl));
    pthread_mutex_unlock(&tls.lock);
}

/* What the last call of OpenSSL's that did not succeed means. */
static int tls_result(struct link *l, int rc)
{
    switch (SSL_get_error(l->ssl, rc)) {
    case SSL_ERROR_WANT_WRITE:
        l->wants_write = true;
        return LINK_AGAIN;
    case SSL_ERROR_WANT_READ:
        l->wants_write = false;
        return LINK_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return LINK_BROKEN;
    }
}

static int tls_continue(struct link *l, const char **why)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(l->ssl);
    if (rc != 1) {
        int result = tls_result(l, rc);
        *why = ERR_reason_error_string(ERR_peek_error());
        if (!*why)
            *why = "TLS handshake: the connection was closed";
        return result == LINK_AGAIN ? LINK_AGAIN : LINK_BROKEN;
    }
    l->wants_write = false;
    tls_note(l);
    return 1;
}

int link_continue(struct link *l, const struct target *t, const char **why)
{
    int error = 0;
    socklen_t n = sizeof error;

    if (l->ssl)
        return tls_continue(l, why);
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error != 0) {
        *why = strerror(error);
        return LINK_BROKEN;
    }
    if (!t->tls)
        return 1;
    if (!tls_begin(l)) {
        *why = "OpenSSL cannot begin";
        return LINK_BROKEN;
    }
    return tls_continue(l, why);
}

/* ---- bytes ----------------------------------------------------------------*/

static ssize_t plain_result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? LINK_AGAIN : LINK_BROKEN;
}

ssize_t link_read(struct link *l, void *p, size_t n)
{
    size_t got;

    if (!l->ssl)
        return plain_result(recv(l->fd, p, n, 0));
    ERR_clear_error();
    int rc = SSL_read_ex(l->ssl, p, n, &got);
    return rc == 1 ? (ssize_t)got : tls_result(l, rc);
}

ssize_t link_write(struct link *l, const void *p, size_t n)
{
    size_t put;

    if (!l->ssl)
        return plain_result(send(l->fd, p, n, MSG_NOSIGNAL));
    ERR_clear_error();
    int rc = SSL_write_ex(l->ssl, p, n, &put);
    if (rc == 1) {
        l->wants_write = false;
        return (ssize_t)put;
    }
    int result = tls_result(l, rc);
    return result == LINK_AGAIN ? LINK_AGAIN : LINK_BROKEN;
}

bool link_pending(const struct link *l)
{
    return l->ssl && SSL_has_pending(l->ssl);
}

bool link_resumed(const struct link *l)
{
    return l->ssl && SSL_session_reused(l->ssl);
}

const char *link_tls_name(void)
{
    return tls.name[0] ? tls.name : NULL;
}

void link_shutdown(struct link *l)
{
    if (l->ssl)
        SSL_shutdown(l->ssl);
    shutdown(l->fd, SHUT_WR);
}

void link_close(struct link *l)
{
    /* Else OpenSSL takes the ticket for that of a session that failed. */
    if (l->ssl)
        SSL_set_shutdown(l->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(l->ssl);
    if (l->fd >= 0)
        close(l->fd);
    *l = (struct link){.fd = -1};
}
