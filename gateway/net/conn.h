/* SPDX-License-Identifier: Apache-2.0 */
/* conn.h - one non-blocking stream connection on a loop, plain or TLS.
 *
 * Reading goes through the loop's shared buffer: the owner gets the bytes of
 * one read and must take them all. Writing is tried at once; what the kernel
 * refuses is queued, and the queue is freed when it is empty. An idle
 * connection is this struct and, with TLS, OpenSSL's. */
#ifndef GW_CONN_H
#define GW_CONN_H

#include "loop.h"
#include "outbox.h"

#include <openssl/types.h>

struct conn;

/* Calls to the owner. Each may close the connection; none comes afterwards. */
struct conn_ops {
    /* TLS only: the handshake is done. */
    void (*on_open)(struct conn *c);
    /* p[0..n) has arrived, n > 0; LOOP_HEADROOM scratch bytes precede it. */
    void (*on_data)(struct conn *c, uint8_t *p, size_t n);
    /* The peer sent its last byte. The connection can still be written. */
    void (*on_eof)(struct conn *c);
    /* The queue stood above the high mark and is below the low one now. */
    void (*on_drained)(struct conn *c);
    /* All output is with the kernel, the FIN that conn_finish asked for too;
     * not called if conn_finish itself got that far (see c->finished). May be
     * NULL. */
    void (*on_finished)(struct conn *c);
    /* The connection broke: reset, a write to nobody, a TLS error. `error`
     * is an errno, or EPROTO for TLS. It may come after on_eof. The owner
     * closes it. */
    void (*on_error)(struct conn *c, int error);
};

struct conn_marks {
    size_t high, low; /* bytes */
};

/* Of output that waits, and of the watch over it. */
struct conn_wait {
    struct outbox box;
    double progress_at; /* last time the queue began or shrank; see stalled */
    double checked_at;  /* conn_stalled saw the kernel's part shrink, or began
                           to watch it; 0: nothing is outstanding */
    size_t in_kernel;   /* what it saw */
};

struct tls_conn;

struct conn {
    struct loop *loop;
    const struct conn_ops *ops;
    void *owner;
    ev_io io;
    struct loop_later later; /* frees the struct */

    struct conn_wait *wait;         /* while there is output to wait for */
    const struct conn_marks *marks; /* lives as long as the conn */
    struct tls_conn *tls;           /* or NULL */
    unsigned wrote_in; /* the turn of the last write that was tried at once */
    int error;         /* errno of the failure, told by on_error */

    bool paused;     /* the owner wants no data */
    bool one_way;    /* the owner's: what is unread while it is paused is of no
                        interest, so that on_error need not wait for it */
    bool eof;        /* the peer's FIN was seen */
    bool told_eof;   /* on_eof or on_error was called */
    bool told_error; /* on_error was called */
    bool full;       /* above the high mark, on_drained owed */
    bool gathering;  /* the queue has not been offered to the kernel yet */
    bool finishing;  /* FIN after the queue */
    bool finished;   /* FIN sent */
    bool broken;     /* writing failed: what is there to read still counts */
    bool closed;
};

/* Take over the connected socket fd (closed on failure too). `ssl`, if not
 * NULL, is a fresh object that the conn then owns: as accept or connect state
 * was set, the handshake begins. Reading starts at once.
 * NULL: out of memory. */
struct conn *conn_open(struct loop *l, int fd, SSL *ssl,
                       const struct conn_ops *ops, void *owner,
                       const struct conn_marks *marks);

/* Hand the connection to another owner. one_way goes. */
void conn_adopt(struct conn *c, const struct conn_ops *ops, void *owner);

enum conn_sent { CONN_SENT, CONN_FULL, CONN_GONE };

/* Send p[0..n), or keep what the kernel does not take. Of small pieces the
 * first of a turn leaves at once, the others together. CONN_FULL: taken, but
 * the queue stands above its high mark; on_drained follows. A failing
 * connection gives CONN_GONE, and on_error comes when what there is to read
 * has been read: in the next turn, unless the owner has paused it. */
enum conn_sent conn_send(struct conn *c, const void *p, size_t n);
enum conn_sent conn_sendv(struct conn *c, const struct iovec *v, int n);

/* Send all of b, which many connections may hold: what the kernel does not
 * take is queued as a reference, not as a copy, unless it is small. */
enum conn_sent conn_send_shared(struct conn *c, struct shared *b);

/* More will be sent in this turn of the loop: what is small leaves at the end
 * of the turn, together, from the first on. */
static inline void conn_gather(struct conn *c)
{
    c->wrote_in = c->loop->turn;
}

/* Send a control frame before everything queued, after the frame under way.
 * A newer one replaces one that is still waiting. */
enum conn_sent conn_send_urgent(struct conn *c, const void *p, size_t n);

/* NULL for a plain connection. */
const SSL *conn_ssl(const struct conn *c);

void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Send what is queued, then FIN (TLS: close_notify first). */
void conn_finish(struct conn *c);

/* Drop everything and close. `reset`: send RST. No callback follows; the
 * memory goes at the end of the turn. May be called twice. */
void conn_close(struct conn *c, bool reset);

/* Output that the peer has not got yet: queued here or in the kernel. */
size_t conn_outstanding(const struct conn *c);

/* Whether output has waited `ms` or more without any of it reaching the peer,
 * as seen since the last call. The kernel tells of room for more only when
 * a good part of its buffer is free, so it is asked how much is in there. */
bool conn_stalled(struct conn *c, unsigned ms);

/* When conn_stalled may be true if nothing moves; 0: nothing is queued. */
double conn_stalls_at(const struct conn *c, unsigned ms);

static inline size_t conn_queued(const struct conn *c)
{
    return c->wait ? c->wait->box.bytes : 0;
}

#endif
