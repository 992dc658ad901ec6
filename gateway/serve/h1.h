/* SPDX-License-Identifier: Apache-2.0 */
/* h1.h - one client connection while it speaks HTTP/1.1: reads a request,
 * lets its handler answer it or turn it into a WebSocket session. */
#ifndef GW_H1_H
#define GW_H1_H

#include "../net/conn.h"
#include "../net/deadline.h"
#include "../wire/http_head.h"
#include "http_files.h"
#include "metrics.h"

/* Limits and waits, from the settings; outlives the connection. */
struct h1_rules {
    struct http_limits limits;
    struct conn_marks marks;
    unsigned tls_handshake_ms, request_ms, keep_alive_ms, linger_ms,
        write_stall_ms;
};

/* A client's address, small enough to keep in every session. */
struct peer {
    uint8_t ip[16]; /* IPv4 in the first four */
    uint16_t port;
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
};

enum { PEER_TEXT = 48 };
void peer_text(const struct peer *p, char out[PEER_TEXT]);

struct h1;

struct h1_ops {
    /* A request has come. `head` lives for the call only. Answer it, now or
     * later, with one of the functions below; until then nothing is read. */
    void (*on_request)(struct h1 *h, const struct http_head *head);
    /* The client is about to be refused for what it sent (or, with status 0,
     * for its TLS): a chance to log it. */
    void (*on_bad)(struct h1 *h, int status, const char *why);
    /* The connection is gone. Not called after h1_upgrade. */
    void (*on_close)(struct h1 *h);
};

enum h1_state { H1_TLS, H1_HEAD, H1_HANDLING, H1_BODY, H1_LINGER, H1_CLOSED };

struct h1 {
    struct loop *loop;
    struct conn *conn;
    const struct h1_ops *ops;
    void *owner;   /* the handler's */
    void *context; /* the handler's, for this connection */
    const struct h1_rules *rules;
    struct metrics *metrics;
    struct deadline deadline;
    struct loop_later later;
    struct h1 *prev, *next; /* the handler's list */
    struct peer peer;
    double accepted_at, request_by;
    uint8_t *buf; /* the beginning of a head, or what followed one */
    size_t len, scanned;
    uint64_t file_left;
    int file; /* body under way, or -1 */
    enum h1_state state;
    bool head_only, keep_alive;
    bool over;  /* the handler's: above the limit of connections */
    bool first; /* no request has come yet */
    bool again; /* buf holds what came behind the last request */
};

/* Take over a connected socket. NULL: out of memory (the socket is closed). */
struct h1 *h1_open(struct loop *l, int fd, SSL *ssl,
                   const struct h1_rules *rules, const struct h1_ops *ops,
                   void *owner, void *context, struct metrics *metrics);

/* Refuse the request and close: 4xx or 5xx. */
void h1_refuse(struct h1 *h, int status, const char *why);

/* Answer with a short body. */
void h1_reply(struct h1 *h, int status, const char *type, const char *body,
              size_t n);

/* Answer as files_lookup says; the file is this connection's from now on. */
void h1_reply_file(struct h1 *h, struct files_answer *a);

/* Answer 101 with a complete head and give the connection away. *early is
 * what the client sent after its request (malloc, the caller's; NULL: none).
 * The conn is paused. The h1 is freed, on_close is not called. NULL: the
 * client is gone, and so is the h1. */
struct conn *h1_upgrade(struct h1 *h, const char *answer, size_t n,
                        uint8_t **early, size_t *early_n);

/* Close at once. on_close follows. */
void h1_close(struct h1 *h);

/* Close when the answer under way is out; now if nothing is asked. A request
 * that has begun, or a connection that is new, gets linger_ms more. */
void h1_drain(struct h1 *h);

#endif
