/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c - reading, writing at once, queueing the rest, closing in order.
 *
 * What the queue holds and in which order it leaves is outbox.c's. */
#include "conn.h"
#include "tls_conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GATHER_MAX = 4096,      /* smaller pieces of a turn are gathered */
    COPIED_MAX = 256,       /* of a shared buffer */
    FLUSH_TURNS = 4,        /* writes per writable event: fairness */
    SEALED_MAX = 512 << 10, /* of one peer that makes us answer and never
                               reads, as with TLS key updates */
};

/* ---- watching ---------------------------------------------------------- */

static void conn_watch(struct conn *c)
{
    int events = 0;
    if (!c->paused && !c->eof)
        events |= EV_READ;
    if (conn_queued(c) > 0 && !c->broken)
        events |= EV_WRITE;

    int now = ev_is_active(&c->io) ? c->io.events & (EV_READ | EV_WRITE) : 0;
    if (now == events)
        return;
    /* Stopping forgets what is pending. */
    int pending = ev_clear_pending(c->loop->ev, &c->io);
    ev_io_stop(c->loop->ev, &c->io);
    ev_io_modify(&c->io, events);
    if (events)
        ev_io_start(c->loop->ev, &c->io);
    if (pending)
        ev_feed_event(c->loop->ev, &c->io, pending);
}

/* See to it that the owner hears of something in the next turn. */
static void conn_nudge(struct conn *c)
{
    ev_feed_event(c->loop->ev, &c->io, EV_CUSTOM);
}

/* ---- the queue --------------------------------------------------------- */

/* For what waits, or is watched; NULL: out of memory. */
static struct conn_wait *wait_begin(struct conn *c)
{
    if (!c->wait)
        c->wait = calloc(1, sizeof *c->wait);
    return c->wait;
}

/* An idle connection has none. */
static void wait_end(struct conn *c)
{
    if (c->wait && c->wait->box.bytes == 0 && c->wait->checked_at == 0) {
        free(c->wait);
        c->wait = NULL;
    }
}

static void queue_drop(struct conn *c)
{
    if (c->wait)
        outbox_clear(&c->wait->box);
    free(c->wait);
    c->wait = NULL;
}

/* What has been put there is to be sent. */
static void queue_grew(struct conn *c, size_t before)
{
    if (before == 0) {
        c->wait->progress_at = loop_now(c->loop);
        c->wait->checked_at = 0;
    }
    if (conn_queued(c) > c->marks->high)
        c->full = true;
}

/* ---- progress ---------------------------------------------------------- */

static size_t in_kernel(const struct conn *c)
{
    int n = 0;
    if (c->closed || ioctl(c->io.fd, SIOCOUTQ, &n) < 0 || n < 0)
        return 0;
    return (size_t)n;
}

static void stall_watch(struct conn *c, size_t kernel)
{
    c->wait->checked_at = loop_now(c->loop);
    c->wait->in_kernel = kernel;
}

static void stall_forget(struct conn *c)
{
    if (c->wait)
        c->wait->checked_at = 0;
    wait_end(c);
}

/* Paused by an owner that wants no more of it: nothing is left to be read
 * before the error. */
static bool ignored(const struct conn *c)
{
    return c->paused && c->one_way;
}

/* Writing has failed for good. What the peer sent before is still read, so
 * that nothing received is lost; on_error comes when that is done. */
static void conn_break(struct conn *c, int error)
{
    if (c->broken)
        return;
    c->broken = true;
    c->error = error;
    queue_drop(c);
    conn_watch(c);
    if (c->eof || ignored(c) || error == ENOMEM || error == EPROTO) {
        c->eof = true;
        conn_watch(c);
        conn_nudge(c);
    } else if (c->full) {
        conn_nudge(c); /* whoever waits for room must not wait for ever */
    }
}

/* Queue what is left of v[0..n) after `skip` bytes, which the peer has
 * already. */
static int queue_put(struct conn *c, const struct iovec *v, int n, size_t total,
                     size_t skip)
{
    size_t before = conn_queued(c);
    if (!wait_begin(c) || outbox_put(&c->wait->box, v, n, total, skip) < 0)
        return -1;
    queue_grew(c, before);
    return 0;
}

/* A reference takes more than a copy of something small. */
static int queue_put_shared(struct conn *c, struct shared *b, size_t skip)
{
    if (b->n <= COPIED_MAX)
        return queue_put(c, &(struct iovec){b->bytes, b->n}, 1, b->n, skip);
    size_t before = conn_queued(c);
    if (!wait_begin(c) || outbox_put_shared(&c->wait->box, b, skip) < 0)
        return -1;
    queue_grew(c, before);
    return 0;
}

/* ---- writing, plain ---------------------------------------------------- */

/* Returns bytes taken, 0 when it would block, -1 with errno. */
static ssize_t socket_write(struct conn *c, const struct iovec *v, int n)
{
    ssize_t w;
    do {
        if (n == 1) {
            w = send(c->io.fd, v->iov_base, v->iov_len, MSG_NOSIGNAL);
        } else {
            struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v,
                               .msg_iovlen = (size_t)n};
            w = sendmsg(c->io.fd, &m, MSG_NOSIGNAL);
        }
    } while (w < 0 && errno == EINTR);
    if (w < 0)
        return errno == EAGAIN ? 0 : -1;
    return w;
}

/* 1: the queue is empty, 0: the kernel is full, -1: broken. */
static int flush_plain(struct conn *c)
{
    for (int turn = 0; turn < FLUSH_TURNS && conn_queued(c) > 0; turn++) {
        struct iovec v[OUTBOX_IOV];
        int n = outbox_peek(&c->wait->box, v);
        ssize_t w = socket_write(c, v, n);
        if (w < 0)
            return -1;
        if (w == 0)
            return 0;
        outbox_take(&c->wait->box, (size_t)w);
        c->wait->progress_at = loop_now(c->loop);
    }
    return conn_queued(c) == 0;
}

/* ---- writing, TLS ------------------------------------------------------ */

/* Records that the kernel does not take. */
static int sealed_put(struct conn *c, const uint8_t *p, size_t n)
{
    size_t before = conn_queued(c);
    if (!wait_begin(c) ||
        outbox_peek_sealed(&c->wait->box).iov_len + n > SEALED_MAX ||
        outbox_put_sealed(&c->wait->box, p, n) < 0)
        return -1;
    queue_grew(c, before);
    return 0;
}

/* Write what the cipher buffer holds: 1 all of it is with the kernel, 0 some
 * is queued, -1 broken. */
static int cipher_flush(struct conn *c)
{
    struct loop *l = c->loop;
    size_t n = l->cipher_len;
    ssize_t w = 0;

    l->cipher_len = 0;
    if (n == 0 || c->broken)
        return 1;
    if (!c->wait || !c->wait->box.sealed) {
        w = socket_write(c, &(struct iovec){l->cipher_buf, n}, 1);
        if (w < 0)
            return -1;
    }
    if ((size_t)w == n)
        return 1;
    if (sealed_put(c, l->cipher_buf + w, n - (size_t)w) < 0) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

/* Seal v[0..n) and write it: bytes sealed (the rest waits for room), or -1
 * with errno. */
static ssize_t sealed_write(struct conn *c, const struct iovec *v, int n)
{
    size_t done = 0;
    int room = 1;
    for (int i = 0; i < n && room == 1; i++) {
        size_t off = 0;
        while (off < v[i].iov_len && room == 1) {
            ssize_t s =
                tls_conn_write(c->tls, (const uint8_t *)v[i].iov_base + off,
                               v[i].iov_len - off);
            if (s == TLS_FAILED) {
                c->loop->cipher_len = 0; /* it is everybody's */
                errno = EPROTO;
                return -1;
            }
            off += (size_t)s;
            if (off < v[i].iov_len)
                room = cipher_flush(c);
        }
        done += off;
    }
    if (room >= 0)
        room = cipher_flush(c);
    return room < 0 ? -1 : (ssize_t)done;
}

/* Write the records that wait. As flush_plain. */
static int flush_sealed(struct conn *c)
{
    const struct iovec v = outbox_peek_sealed(&c->wait->box);
    ssize_t w = socket_write(c, &v, 1);
    if (w < 0)
        return -1;
    if (w > 0) {
        outbox_take_sealed(&c->wait->box, (size_t)w);
        c->wait->progress_at = loop_now(c->loop);
    }
    return (size_t)w == v.iov_len;
}

/* As flush_plain. */
static int flush_tls(struct conn *c)
{
    for (int turn = 0; turn < FLUSH_TURNS && conn_queued(c) > 0; turn++) {
        struct outbox *b = &c->wait->box;
        if (b->sealed) {
            int r = flush_sealed(c);
            if (r <= 0)
                return r;
            continue;
        }
        struct iovec v[OUTBOX_IOV];
        ssize_t w = sealed_write(c, v, outbox_peek(b, v));
        if (w < 0)
            return -1;
        outbox_take(b, (size_t)w);
        c->wait->progress_at = loop_now(c->loop);
        if (b->sealed)
            return 0; /* the kernel is full */
    }
    return conn_queued(c) == 0;
}

/* ---- sending ----------------------------------------------------------- */

static void finish_now(struct conn *c)
{
    if (c->tls) {
        tls_conn_shutdown(c->tls);
        if (cipher_flush(c) < 0) {
            conn_break(c, errno);
            return;
        }
        if (conn_queued(c) > 0)
            return; /* again when the close_notify has left */
    }
    c->finished = true;
    shutdown(c->io.fd, SHUT_WR);
}

static void tell_drained(struct conn *c)
{
    if (!c->full || conn_queued(c) > c->marks->low)
        return;
    c->full = false;
    c->ops->on_drained(c);
}

static void conn_flush(struct conn *c)
{
    int r = c->tls ? flush_tls(c) : flush_plain(c);
    if (r < 0) {
        conn_break(c, errno);
        return;
    }
    c->gathering = false;
    if (r == 1)
        stall_forget(c); /* whoever waits for the kernel begins anew */
    else if (c->wait->checked_at == 0)
        stall_watch(c, in_kernel(c));
    bool was_finished = c->finished;
    if (conn_queued(c) == 0 && c->finishing && !c->finished)
        finish_now(c);
    bool finished = c->finished && !was_finished;
    conn_watch(c);
    tell_drained(c);
    if (finished && !c->closed && c->ops->on_finished)
        c->ops->on_finished(c);
}

/* Try to write v[0..n), `total` bytes, now: bytes taken, or -1 and the
 * connection is done for. Nothing is taken while earlier output waits; nor, of
 * small pieces, more than the first of a turn, so that what one read has
 * become leaves as one write: conn_io_cb comes to it later in the turn. */
static ssize_t send_now(struct conn *c, const struct iovec *v, int n,
                        size_t total)
{
    if (c->closed || c->broken || c->finishing)
        return -1;
    if (conn_queued(c) > 0)
        return 0;
    if (c->wrote_in == c->loop->turn && total < GATHER_MAX) {
        c->gathering = true;
        /* No more than a write: to read now, and answer, and read, would go on
         * as long as the peer does, and nobody else would have a turn. */
        ev_feed_event(c->loop->ev, &c->io, EV_WRITE);
        return 0;
    }
    c->wrote_in = c->loop->turn;
    ssize_t w = c->tls ? sealed_write(c, v, n) : socket_write(c, v, n);
    if (w < 0)
        conn_break(c, errno);
    return w;
}

/* The rest is queued, or could not be. */
static enum conn_sent sent(struct conn *c, int queued)
{
    if (queued < 0) {
        conn_break(c, ENOMEM);
        return CONN_GONE;
    }
    if (conn_queued(c) > 0) {
        conn_watch(c);
        if (c->wait->checked_at == 0 && !c->gathering)
            stall_watch(c, in_kernel(c));
    }
    return c->full ? CONN_FULL : CONN_SENT;
}

enum conn_sent conn_sendv(struct conn *c, const struct iovec *v, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += v[i].iov_len;
    ssize_t w = send_now(c, v, n, total);
    if (w < 0)
        return CONN_GONE;
    return sent(c,
                (size_t)w < total ? queue_put(c, v, n, total, (size_t)w) : 0);
}

enum conn_sent conn_send_shared(struct conn *c, struct shared *b)
{
    ssize_t w = send_now(c, &(struct iovec){b->bytes, b->n}, 1, b->n);

    if (w < 0)
        return CONN_GONE;
    return sent(c, (size_t)w < b->n ? queue_put_shared(c, b, (size_t)w) : 0);
}

enum conn_sent conn_send(struct conn *c, const void *p, size_t n)
{
    return conn_sendv(c, &(struct iovec){(void *)(uintptr_t)p, n}, 1);
}

enum conn_sent conn_send_urgent(struct conn *c, const void *p, size_t n)
{
    if (conn_queued(c) == 0 || c->closed || c->broken || c->finishing)
        return conn_send(c, p, n);

    size_t before = conn_queued(c);
    if (outbox_put_urgent(&c->wait->box, p, n) < 0) {
        conn_break(c, ENOMEM);
        return CONN_GONE;
    }
    queue_grew(c, before);
    return c->full ? CONN_FULL : CONN_SENT;
}

/* ---- reading ----------------------------------------------------------- */

/* An error may follow the end of the peer's stream: writing fails later. */
static void tell_eof(struct conn *c)
{
    if (c->closed || (c->paused && !(c->broken && c->one_way)))
        return;
    if (c->broken && !c->told_error) {
        c->told_eof = c->told_error = true;
        c->ops->on_error(c, c->error);
    } else if (!c->told_eof) {
        c->told_eof = true;
        c->ops->on_eof(c);
    }
}

static void saw_eof(struct conn *c)
{
    c->eof = true;
    conn_watch(c);
}

/* The connection can be neither read nor written any more. */
static void saw_error(struct conn *c, int error)
{
    if (!c->broken) {
        c->broken = true;
        c->error = error;
        queue_drop(c);
    }
    saw_eof(c);
    tell_eof(c);
}

/* One read's bytes into buf. Returns them, 0 when there is nothing to go on
 * with (errors are told). At the end of the stream c->eof is set. */
static size_t socket_read(struct conn *c, uint8_t *buf)
{
    ssize_t n = recv(c->io.fd, buf, c->loop->read_cap, 0);
    if (n > 0)
        return (size_t)n;
    if (n == 0)
        saw_eof(c);
    else if (errno != EAGAIN && errno != EINTR)
        saw_error(c, errno);
    return 0;
}

static void read_plain(struct conn *c)
{
    uint8_t *p = c->loop->read_buf + LOOP_HEADROOM;
    size_t n = socket_read(c, p);
    if (n > 0)
        c->ops->on_data(c, p, n);
    else if (c->eof)
        tell_eof(c);
}

/* All that can be decrypted of one read, told as one piece. False when there
 * is no more. */
static bool pump_tls(struct conn *c)
{
    uint8_t *p = c->loop->read_buf + LOOP_HEADROOM;
    size_t n = 0;
    ssize_t r = 1;

    while (n < c->loop->read_cap && r > 0) {
        r = tls_conn_read(c->tls, p + n, c->loop->read_cap - n);
        if (r > 0)
            n += (size_t)r;
    }
    if (cipher_flush(c) < 0)
        conn_break(c, errno);
    else if (conn_queued(c) > 0)
        conn_watch(c);
    if (n > 0)
        c->ops->on_data(c, p, n);
    if (c->closed)
        return false;
    if (r == TLS_FAILED) {
        saw_error(c, EPROTO);
    } else if (r == TLS_CLOSED) {
        tls_conn_feed(c->tls, NULL, 0); /* nothing behind it counts */
        saw_eof(c);
    }
    return r > 0 && !c->closed;
}

static bool tls_begin(struct conn *c)
{
    int r = tls_conn_handshake(c->tls);
    if (cipher_flush(c) < 0 || r == TLS_FAILED) {
        saw_error(c, c->eof ? ECONNRESET : EPROTO);
        return false;
    }
    if (conn_queued(c) > 0)
        conn_watch(c);
    if (r == TLS_MORE) {
        if (c->eof)
            saw_error(c, ECONNRESET);
        return false;
    }
    c->ops->on_open(c);
    return !c->closed;
}

static void read_tls(struct conn *c)
{
    if (!tls_conn_pending(c->tls) && !c->eof) {
        size_t n = socket_read(c, c->loop->raw_buf);
        if (c->closed || c->told_eof)
            return;
        if (n > 0 || c->eof)
            tls_conn_feed(c->tls, c->loop->raw_buf, n);
        else if (c->tls->ready)
            return; /* else: a client's first word */
    }
    if (c->tls->ready || tls_begin(c))
        while (!c->paused && pump_tls(c))
            ;
    if (c->closed)
        return;
    if (tls_conn_hold(c->tls) < 0) {
        saw_error(c, ENOMEM);
        return;
    }
    if (c->eof && (c->broken || !tls_conn_pending(c->tls)))
        tell_eof(c);
    else if (!c->paused && tls_conn_pending(c->tls))
        conn_nudge(c); /* the answers filled the cipher buffer */
}

static void conn_io_cb(struct ev_loop *ev, ev_io *w, int revents)
{
    struct conn *c = container_of(w, struct conn, io);
    (void)ev;

    if (revents & (EV_WRITE | EV_CUSTOM) && conn_queued(c) > 0 && !c->broken) {
        conn_flush(c);
        if (c->closed)
            return;
    }
    if (c->broken && !c->told_error) {
        tell_drained(c);
        if (c->closed)
            return;
    }
    if (c->paused && !(c->broken && c->one_way))
        return;
    if (c->eof && !(c->tls && tls_conn_pending(c->tls)))
        tell_eof(c);
    else if (revents & (EV_READ | EV_CUSTOM))
        c->tls ? read_tls(c) : read_plain(c);
}

void conn_pause(struct conn *c)
{
    if (c->paused || c->closed)
        return;
    c->paused = true;
    conn_watch(c);
}

void conn_resume(struct conn *c)
{
    if (!c->paused || c->closed)
        return;
    c->paused = false;
    conn_watch(c);
    bool untold = c->eof && !(c->broken ? c->told_error : c->told_eof);
    if (untold || (c->tls && tls_conn_pending(c->tls)))
        conn_nudge(c);
}

/* ---- life -------------------------------------------------------------- */

const SSL *conn_ssl(const struct conn *c)
{
    return c->tls ? c->tls->ssl : NULL;
}

struct conn *conn_open(struct loop *l, int fd, SSL *ssl,
                       const struct conn_ops *ops, void *owner,
                       const struct conn_marks *marks)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        SSL_free(ssl);
        return NULL;
    }
    c->loop = l;
    c->ops = ops;
    c->owner = owner;
    c->marks = marks;
    ev_io_init(&c->io, conn_io_cb, fd, EV_READ);
    if (ssl && !(c->tls = tls_conn_new(l, ssl))) {
        close(fd);
        free(c);
        return NULL;
    }
    ev_io_start(l->ev, &c->io);
    if (ssl && !SSL_is_server(ssl))
        conn_nudge(c); /* a client speaks first */
    return c;
}

void conn_adopt(struct conn *c, const struct conn_ops *ops, void *owner)
{
    c->ops = ops;
    c->owner = owner;
    c->one_way = false;
}

void conn_finish(struct conn *c)
{
    if (c->finishing || c->closed)
        return;
    c->finishing = true;
    if (!c->broken && conn_queued(c) == 0) {
        finish_now(c);
        conn_watch(c);
    }
}

static void conn_free(struct loop_later *later)
{
    struct conn *c = container_of(later, struct conn, later);
    tls_conn_free(c->tls);
    free(c);
}

void conn_close(struct conn *c, bool reset)
{
    if (c->closed)
        return;
    c->closed = true;
    ev_io_stop(c->loop->ev, &c->io);
    queue_drop(c);
    if (reset)
        setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER,
                   &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(c->io.fd);
    c->later.fn = conn_free;
    loop_defer(c->loop, &c->later);
}

size_t conn_outstanding(const struct conn *c)
{
    return conn_queued(c) + in_kernel(c);
}

static double last_progress(const struct conn *c)
{
    const struct conn_wait *w = c->wait;
    if (!w)
        return 0;
    return w->progress_at > w->checked_at ? w->progress_at : w->checked_at;
}

bool conn_stalled(struct conn *c, unsigned ms)
{
    /* Nothing has left before this turn: the kernel need not be asked. */
    if (!c->wait && (c->wrote_in == 0 || c->wrote_in == c->loop->turn))
        return false;
    size_t kernel = in_kernel(c);
    if (conn_queued(c) + kernel == 0) {
        stall_forget(c);
        return false;
    }
    if (!wait_begin(c))
        return false; /* it cannot be told yet */
    if (c->wait->checked_at == 0 || kernel < c->wait->in_kernel)
        stall_watch(c, kernel);
    c->wait->in_kernel = kernel;
    return ms > 0 && last_progress(c) + ms / 1000. <= loop_now(c->loop);
}

double conn_stalls_at(const struct conn *c, unsigned ms)
{
    return conn_queued(c) > 0 && ms > 0 ? last_progress(c) + ms / 1000. : 0;
}
