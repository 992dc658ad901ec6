/* SPDX-License-Identifier: Apache-2.0 */
/* tls_relay.c - the floor with TLS in front: what OpenSSL costs a program of
 * one thread that waits for readiness, and nothing around it.
 *
 *     tls_relay LISTEN_PORT BACKEND_PORT CERTIFICATE.pem KEY.pem */
#include "floor.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>

enum {
    READS = 8, /* records opened in a turn, at most */
    AGAIN = -1,
    BROKEN = -2,
};

enum { CLIENT, BACKEND };

enum stage { HANDSHAKE, CONNECTING, OPEN, DEAD };

struct end {
    int fd;
    uint32_t watched;
    uint8_t *held; /* what this end would not take at once, or NULL */
    size_t off, left;
    uint8_t which; /* CLIENT or BACKEND */
    bool ended, shut;
};

struct pair {
    struct end ends[2];
    SSL *ssl;
    enum stage stage;
    struct pair *next_dead;
};

static int epoll;
static struct sockaddr_in backend;
static SSL_CTX *tls;
static uint8_t buffer[FLOOR_BUFFER];
static struct pair *dead;

static struct pair *pair_of(struct end *e)
{
    return (struct pair *)(void *)(e - e->which);
}

static void drop(struct pair *p)
{
    SSL_free(p->ssl);
    for (int i = 0; i < 2; i++) {
        if (p->ends[i].fd >= 0)
            close(p->ends[i].fd);
        free(p->ends[i].held);
    }
    p->stage = DEAD;
    p->next_dead = dead;
    dead = p;
}

static void watch(struct end *e, uint32_t events)
{
    if (events != e->watched)
        floor_watch(epoll, EPOLL_CTL_MOD, e->fd, events, e);
    e->watched = events;
}

/* ---- one read, one write ------------------------------------------------- */

static ssize_t tls_result(SSL *ssl, int rc)
{
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return BROKEN;
    }
}

/* Bytes read; 0 at the end. */
static ssize_t get(struct end *e)
{
    size_t n = 0;

    if (e->which == BACKEND) {
        ssize_t got = recv(e->fd, buffer, sizeof buffer, 0);
        return got >= 0 ? got : errno == EAGAIN ? AGAIN : BROKEN;
    }
    SSL *ssl = pair_of(e)->ssl;
    ERR_clear_error();
    int rc = SSL_read_ex(ssl, buffer, sizeof buffer, &n);
    return rc == 1 ? (ssize_t)n : tls_result(ssl, rc);
}

static ssize_t put(struct end *e, const uint8_t *p, size_t n)
{
    size_t done = 0;

    if (e->which == BACKEND) {
        ssize_t put = send(e->fd, p, n, MSG_NOSIGNAL);
        return put >= 0 ? put : errno == EAGAIN ? AGAIN : BROKEN;
    }
    SSL *ssl = pair_of(e)->ssl;
    ERR_clear_error();
    int rc = SSL_write_ex(ssl, p, n, &done);
    return rc == 1 ? (ssize_t)done : tls_result(ssl, rc);
}

/* Bytes written, which may be fewer than n; -1 if none ever will be. A call
 * of OpenSSL's writes one record. */
static ssize_t put_all(struct end *e, const uint8_t *p, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t more = put(e, p + done, n - done);
        if (more == AGAIN)
            break;
        if (more <= 0)
            return -1;
        done += (size_t)more;
    }
    return (ssize_t)done;
}

/* ---- from one end to the other ------------------------------------------- */

static bool flush(struct end *e)
{
    ssize_t done = put_all(e, e->held + e->off, e->left);

    if (done < 0)
        return false;
    e->off += (size_t)done;
    e->left -= (size_t)done;
    if (e->left == 0) {
        free(e->held);
        e->held = NULL;
    }
    return true;
}

static bool relay(struct end *to, size_t n)
{
    ssize_t done = put_all(to, buffer, n);

    if (done < 0)
        return false;
    if ((size_t)done == n)
        return true;
    to->off = 0;
    to->left = n - (size_t)done;
    to->held = malloc(to->left);
    if (!to->held)
        return false;
    memcpy(to->held, buffer + done, to->left);
    return true;
}

/* Of a client's records until there are no more: what OpenSSL has read ahead
 * makes no event. */
static bool pump(struct end *from, struct end *to)
{
    int reads = from->which == CLIENT ? READS : 1;

    for (int i = 0; i < reads && to->left == 0 && !from->ended; i++) {
        ssize_t n = get(from);
        if (n == AGAIN)
            break;
        if (n == BROKEN)
            return false;
        if (n == 0)
            from->ended = true;
        else if (!relay(to, (size_t)n))
            return false;
    }
    return true;
}

static void pass_end(struct end *from, struct end *to)
{
    if (!from->ended || to->left > 0 || to->shut)
        return;
    if (to->which == CLIENT)
        SSL_shutdown(pair_of(to)->ssl);
    shutdown(to->fd, SHUT_WR);
    to->shut = true;
}

static void watch_both(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        struct end *e = &p->ends[i], *to = &p->ends[!i];
        watch(e, (e->left > 0 ? EPOLLOUT : 0) |
                     (e->ended || to->left > 0 ? 0 : EPOLLIN));
    }
}

static bool flow(struct end *e, uint32_t events)
{
    struct end *to = &pair_of(e)->ends[!e->which];

    if (e->left > 0 && events & EPOLLOUT && !flush(e))
        return false;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !pump(e, to))
        return false;
    pass_end(e, to);
    pass_end(to, e);
    if (e->shut && to->shut)
        return false;
    watch_both(pair_of(e));
    return true;
}

/* ---- a session's beginning ------------------------------------------------
 */

static bool handshake(struct pair *p)
{
    struct end *c = &p->ends[CLIENT], *b = &p->ends[BACKEND];

    ERR_clear_error();
    int rc = SSL_accept(p->ssl);
    if (rc != 1) {
        watch(c, SSL_want_write(p->ssl) ? EPOLLOUT : EPOLLIN);
        return tls_result(p->ssl, rc) == AGAIN;
    }
    b->fd = floor_dial(&backend);
    if (b->fd < 0)
        return false;
    p->stage = CONNECTING;
    watch(c, 0);
    floor_watch(epoll, EPOLL_CTL_ADD, b->fd, b->watched = EPOLLOUT, b);
    return true;
}

static bool handle(struct pair *p, struct end *e, uint32_t events)
{
    switch (p->stage) {
    case HANDSHAKE:
        return handshake(p);
    case CONNECTING:
        if (e->which == CLIENT) /* it went away */
            return false;
        if (!floor_connected(e->fd))
            return false;
        p->stage = OPEN;
        /* The client's first words may have come with its handshake. */
        return flow(&p->ends[CLIENT], EPOLLIN);
    default:
        return flow(e, events);
    }
}

static bool pair_new(int fd)
{
    struct pair *p = calloc(1, sizeof *p);

    if (!p)
        return false;
    p->ssl = SSL_new(tls);
    if (!p->ssl || SSL_set_fd(p->ssl, fd) != 1) {
        SSL_free(p->ssl);
        free(p);
        return false;
    }
    floor_nodelay(fd);
    p->ends[CLIENT] = (struct end){.fd = fd, .watched = EPOLLIN};
    p->ends[BACKEND] = (struct end){.fd = -1, .which = BACKEND};
    floor_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, &p->ends[CLIENT]);
    return true;
}

static void turn(int listener)
{
    struct epoll_event events[FLOOR_EVENTS];
    int n = epoll_wait(epoll, events, FLOOR_EVENTS, -1);

    for (int i = 0; i < n; i++) {
        struct end *e = events[i].data.ptr;
        if (e) {
            struct pair *p = pair_of(e);
            if (p->stage != DEAD && !handle(p, e, events[i].events))
                drop(p);
            continue;
        }
        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
            if (!pair_new(fd))
                close(fd);
    }
    while (dead) {
        struct pair *p = dead;
        dead = p->next_dead;
        free(p);
    }
}

static void tls_begin(const char *certificate, const char *key)
{
    tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(EXIT_FAILURE);
    }
    /* Idle connections keep no buffers; a session is resumed by its ticket. */
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: tls_relay LISTEN_PORT BACKEND_PORT CERT KEY\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    tls_begin(argv[3], argv[4]);
    backend = floor_address(argv[2]);
    int listener = floor_listen(argv[1]);
    epoll = epoll_create1(0);
    floor_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;)
        turn(listener);
}
