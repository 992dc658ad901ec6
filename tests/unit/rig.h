/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - a loop, joined sockets and a certificate, for tests of what does
 * I/O. The loop is turned by the test: it waits for something to be so, never
 * for a time. */
#ifndef GW_RIG_H
#define GW_RIG_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../gateway/net/loop.h"
#include "../../gateway/net/tls.h"

enum { RIG_TICK_MS = 2, RIG_PATIENCE_S = 10 };

/* ---- the loop ------------------------------------------------------------
 */

struct rig {
    struct loop loop;
    ev_timer tick; /* lets a turn end though nothing happens */
};

static inline void rig_tick_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev, (void)w, (void)revents;
}

static inline void rig_begin(struct rig *r, size_t read_cap)
{
    assert_int_equal(loop_init(&r->loop, read_cap), 0);
    ev_timer_init(&r->tick, rig_tick_cb, RIG_TICK_MS / 1000.,
                  RIG_TICK_MS / 1000.);
    ev_timer_start(r->loop.ev, &r->tick);
}

static inline void rig_end(struct rig *r)
{
    ev_timer_stop(r->loop.ev, &r->tick);
    loop_fini(&r->loop);
}

static inline void rig_turn(struct rig *r)
{
    ev_run(r->loop.ev, EVRUN_ONCE);
}

/* Turn for `ms`: for what must not happen. */
static inline void rig_turn_for(struct rig *r, unsigned ms)
{
    double until = ev_time() + ms / 1000.;
    while (ev_time() < until)
        rig_turn(r);
}

/* Turn until it is so. */
#define UNTIL(rig, so)                                                         \
    do {                                                                       \
        double until_ = ev_time() + RIG_PATIENCE_S;                            \
        while (!(so)) {                                                        \
            if (ev_time() > until_)                                            \
                fail_msg("in vain: %s", #so);                                  \
            rig_turn(rig);                                                     \
        }                                                                      \
    } while (0)

/* How many turns a loop makes in `ms` of its own accord. */
static inline unsigned rig_restless(struct rig *r, unsigned ms)
{
    ev_timer_stop(r->loop.ev, &r->tick);
    unsigned before = ev_iteration(r->loop.ev);
    ev_timer once;
    ev_timer_init(&once, rig_tick_cb, ms / 1000., 0.);
    ev_now_update(r->loop.ev);
    ev_timer_start(r->loop.ev, &once);
    while (ev_is_active(&once))
        ev_run(r->loop.ev, EVRUN_ONCE);
    ev_timer_start(r->loop.ev, &r->tick);
    return ev_iteration(r->loop.ev) - before;
}

/* ---- sockets -------------------------------------------------------------
 */

static inline void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static inline void set_buffer(int fd, int name, int bytes)
{
    if (bytes > 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, name, &bytes, sizeof bytes),
                         0);
}

/* A connection over loopback, both ends non-blocking. Buffers of `bytes`, or
 * the system's for 0. */
static inline void tcp_pair(int fd[2], int bytes)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_not_equal(l, -1);
    set_buffer(l, SO_RCVBUF, bytes);
    set_buffer(l, SO_SNDBUF, bytes);
    assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
    fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_not_equal(fd[1], -1);
    set_buffer(fd[1], SO_RCVBUF, bytes);
    set_buffer(fd[1], SO_SNDBUF, bytes);
    assert_int_equal(connect(fd[1], (struct sockaddr *)&a, sizeof a), 0);
    fd[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    assert_int_not_equal(fd[0], -1);
    close(l);
    set_nonblocking(fd[0]);
    set_nonblocking(fd[1]);
}

/* Bytes that have arrived at fd and were not read. */
static inline size_t unread(int fd)
{
    int n = 0;
    assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
    return (size_t)n;
}

/* Whether the descriptor number is free: what had it was closed. */
static inline bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) == -1 && errno == EBADF;
}

/* Send all of it from a peer that has room. */
static inline void peer_send(int fd, const void *p, size_t n)
{
    assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
}

static inline void peer_reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now),
                     0);
    close(fd);
}

/* ---- bytes that tell where they belong -----------------------------------
 */

/* The byte at this place of a stream. */
static inline uint8_t stream_byte(uint64_t at, uint8_t salt)
{
    uint64_t x = (at / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15) + salt;
    x ^= x >> 29;
    return (uint8_t)(x >> (at % 8 * 8));
}

static inline void stream_fill(uint8_t *p, size_t n, uint64_t at, uint8_t salt)
{
    for (size_t i = 0; i < n; i++)
        p[i] = stream_byte(at + i, salt);
}

static inline bool stream_is(const uint8_t *p, size_t n, uint64_t at,
                             uint8_t salt)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != stream_byte(at + i, salt))
            return false;
    return true;
}

/* ---- TLS -----------------------------------------------------------------
 */

/* A certificate for "localhost" and its key, in one file, made at run time. */
static inline const char *rig_certificate(void)
{
    static char path[] = "/tmp/gangway-rig-XXXXXX";
    static bool made;
    if (made)
        return path;

    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int fd = mkstemp(path);
    assert_true(key && cert && fd >= 0);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName,
                               MBSTRING_UTF8, (const unsigned char *)"rig", -1,
                               -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                            "DNS:localhost,IP:127.0.0.1");
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *f = fdopen(fd, "w");
    assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL),
                     1);
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
    made = true;
    return path;
}

static inline void rig_certificate_remove(void)
{
    unlink(rig_certificate());
}

static inline struct tls_server *rig_tls_server(void)
{
    struct certificate_settings c = {.certificate =
                                         (char *)(uintptr_t)rig_certificate()};
    struct tls_settings t = {
        .certificates = &c, .n_certificates = 1, .tickets = true};
    struct err err;
    struct tls_server *s = tls_server_new(&t, &err);
    if (!s)
        fail_msg("%s", err.text);
    return s;
}

static inline struct tls_client *rig_tls_client(void)
{
    struct tls_client_settings t = {.ca = rig_certificate()};
    struct err err;
    struct tls_client *c = tls_client_new(&t, &err);
    if (!c)
        fail_msg("%s", err.text);
    return c;
}

#endif
