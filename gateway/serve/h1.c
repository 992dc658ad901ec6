/* SPDX-License-Identifier: Apache-2.0 */
/* h1.c - a request, its answer, and the next one.
 *
 * The head is parsed where it was read if it came whole, as it nearly always
 * does; only the beginning of a cut one is kept. */
#include "h1.h"
#include "../net/tls.h"
#include "http_reply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_PIECE = 64 << 10 };

/* ---- addresses --------------------------------------------------------- */

static struct peer peer_of(int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof ss;
    struct peer p = {.family = AF_UNIX};

    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
        return p;
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&ss;
        p.family = AF_INET;
        p.port = ntohs(a->sin_port);
        memcpy(p.ip, &a->sin_addr, 4);
    } else if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&ss;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&a->sin6_addr);
        p.family = mapped ? AF_INET : AF_INET6;
        p.port = ntohs(a->sin6_port);
        memcpy(p.ip, a->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    }
    return p;
}

void peer_text(const struct peer *p, char out[PEER_TEXT])
{
    if (p->family == AF_UNIX || !inet_ntop(p->family, p->ip, out, PEER_TEXT))
        memcpy(out, "unix", sizeof "unix");
}

/* ---- life -------------------------------------------------------------- */

static void h1_free(struct loop_later *later)
{
    struct h1 *h = container_of(later, struct h1, later);
    free(h->buf);
    free(h);
}

static void h1_forget(struct h1 *h)
{
    deadline_stop(h->loop, &h->deadline);
    if (h->file >= 0)
        close(h->file);
    h->file = -1;
    h->state = H1_CLOSED;
    h->later.fn = h1_free;
    loop_defer(h->loop, &h->later);
}

static void h1_end(struct h1 *h, bool reset)
{
    if (h->state == H1_CLOSED)
        return;
    conn_close(h->conn, reset);
    h1_forget(h);
    h->ops->on_close(h);
}

void h1_close(struct h1 *h)
{
    h1_end(h, false);
}

/* The answer is out: FIN, and read on until the client's, so that no RST
 * overtakes the answer. */
static void h1_linger(struct h1 *h)
{
    h->state = H1_LINGER;
    conn_finish(h->conn);
    conn_resume(h->conn);
    deadline_stop(h->loop, &h->deadline);
    deadline_by(h->loop, &h->deadline,
                deadline_in(h->loop, h->rules->linger_ms));
}

/* ---- answering --------------------------------------------------------- */

static void h1_next(struct h1 *h);

/* Another request is taken up when there is room for its answer. */
static void h1_answered(struct h1 *h)
{
    if (!h->keep_alive) {
        h1_linger(h);
    } else if (h->conn->full) {
        h->state = H1_BODY;
        deadline_by(h->loop, &h->deadline,
                    conn_stalls_at(h->conn, h->rules->write_stall_ms));
    } else {
        h1_next(h);
    }
}

static bool h1_out(struct h1 *h, const void *p, size_t n)
{
    return conn_send(h->conn, p, n) != CONN_GONE;
}

void h1_refuse(struct h1 *h, int status, const char *why)
{
    char out[HTTP_REPLY_MAX];
    size_t n = http_reply_refuse(out, sizeof out, status, why, !h->head_only,
                                 (unsigned)(loop_now(h->loop) * 1000));
    counter_add(&h->metrics->http[status - 100], 1);
    h->keep_alive = false;
    if (n > 0 && h1_out(h, out, n))
        h1_linger(h);
    else
        h1_end(h, false);
}

void h1_reply(struct h1 *h, int status, const char *type, const char *body,
              size_t n)
{
    char out[HTTP_REPLY_MAX];
    struct http_reply r = {.status = status,
                           .content_type = type,
                           .content_length = n,
                           .has_length = true,
                           .keep_alive = h->keep_alive,
                           .extra = "Cache-Control: no-store\r\n"};
    size_t k = http_reply_head(out, sizeof out, &r);
    counter_add(&h->metrics->http[status - 100], 1);
    if (k > 0 && h1_out(h, out, k) && (h->head_only || h1_out(h, body, n)))
        h1_answered(h);
    else
        h1_end(h, false);
}

/* Send the file until the queue is full; on_drained comes back here. */
static void h1_body(struct h1 *h)
{
    uint8_t *p = h->loop->read_buf;
    size_t cap = min_size(h->loop->read_cap, FILE_PIECE);

    while (h->file_left > 0) {
        size_t want = h->file_left < cap ? (size_t)h->file_left : cap;
        ssize_t n = read(h->file, p, want);
        if (n <= 0) { /* shrunk under us: the length is already told */
            h1_end(h, true);
            return;
        }
        h->file_left -= (uint64_t)n;
        enum conn_sent sent = conn_send(h->conn, p, (size_t)n);
        if (sent == CONN_GONE) {
            h1_end(h, false);
            return;
        }
        if (sent == CONN_FULL && h->file_left > 0) {
            deadline_by(h->loop, &h->deadline,
                        conn_stalls_at(h->conn, h->rules->write_stall_ms));
            return;
        }
    }
    if (h->file >= 0)
        close(h->file);
    h->file = -1;
    h1_answered(h);
}

void h1_reply_file(struct h1 *h, struct files_answer *a)
{
    char out[HTTP_REPLY_MAX];
    struct http_reply r = {.status = a->status,
                           .content_type = a->type,
                           .content_length = a->length,
                           .has_length = a->status != 304,
                           .keep_alive = h->keep_alive,
                           .extra = a->extra};
    size_t k = http_reply_head(out, sizeof out, &r);

    counter_add(&h->metrics->http[a->status - 100], 1);
    h->file = a->fd;
    h->file_left = a->fd >= 0 && !h->head_only ? a->length : 0;
    h->state = H1_BODY;
    if (k > 0 && h1_out(h, out, k))
        h1_body(h);
    else
        h1_end(h, false);
}

struct conn *h1_upgrade(struct h1 *h, const char *answer, size_t n,
                        uint8_t **early, size_t *early_n)
{
    struct conn *c = h->conn;

    if (!h1_out(h, answer, n)) {
        conn_close(c, false);
        h1_forget(h);
        return NULL;
    }
    *early = h->buf;
    *early_n = h->len;
    h->buf = NULL;
    h1_forget(h);
    return c;
}

/* ---- requests ---------------------------------------------------------- */

static const char *bad_why(int status)
{
    switch (status) {
    case 405:
        return "only GET is served here";
    case 413:
        return "a body is not taken here";
    case 414:
        return "the request target is too long";
    case 431:
        return "the request's fields are too large";
    case 505:
        return "HTTP/1.1 is spoken here";
    default:
        return "malformed request";
    }
}

static void h1_bad(struct h1 *h, int status)
{
    if (status == 414 || status == 431)
        counter_add(&h->metrics->limit_hits[LIMIT_HEADER], 1);
    h->head_only = false;
    h->ops->on_bad(h, status, bad_why(status));
    h1_refuse(h, status, bad_why(status));
}

/* Keep p[0..n) behind what is kept already. */
static bool h1_keep(struct h1 *h, const uint8_t *p, size_t n)
{
    uint8_t *grown = realloc(h->buf, h->len + n);
    if (!grown) {
        h1_end(h, false);
        return false;
    }
    memcpy(grown + h->len, p, n);
    h->buf = grown;
    h->len += n;
    return true;
}

/* Look for a request in p[0..n), which is h->buf or the read buffer. What
 * follows it is kept in h->buf. False: it is not whole yet. */
static bool h1_parse(struct h1 *h, const uint8_t *p, size_t n)
{
    struct http_head head;
    int used = http_head_parse(&head, (const char *)p, n, &h->scanned,
                               &h->rules->limits);
    if (used == 0)
        return false;
    h->state = H1_HANDLING;
    h->scanned = 0;
    deadline_stop(h->loop, &h->deadline);
    conn_pause(h->conn);
    if (used < 0) {
        h1_bad(h, -used);
        return true;
    }
    uint8_t *whole = h->buf; /* the head's slices may point into it */
    h->buf = NULL;
    h->len = 0;
    if ((size_t)used == n || h1_keep(h, p + used, n - (size_t)used)) {
        h->head_only = slice_is(head.method, "HEAD");
        h->keep_alive = head.minor == 1 &&
                        !http_head_has_token(&head, "Connection", "close");
        h->ops->on_request(h, &head);
    }
    free(whole);
    return true;
}

static void h1_on_data(struct conn *c, uint8_t *p, size_t n)
{
    struct h1 *h = c->owner;

    if (h->state != H1_HEAD)
        return; /* lingering: what comes now is of no interest */
    if (h->buf) {
        if (h1_keep(h, p, n))
            h1_parse(h, h->buf, h->len);
    } else if (!h1_parse(h, p, n)) {
        h1_keep(h, p, n);
    }
}

/* Ready for another request. One that is here already is taken up from the
 * loop, not from within the answer to the one before: no recursion, and
 * other sockets get their turn. */
static void h1_next(struct h1 *h)
{
    h->state = H1_HEAD;
    h->first = false;
    h->again = h->len > 0;
    h->request_by = deadline_in(h->loop, h->rules->keep_alive_ms);
    deadline_stop(h->loop, &h->deadline);
    deadline_by(h->loop, &h->deadline,
                h->again ? loop_now(h->loop) : h->request_by);
    if (!h->again)
        conn_resume(h->conn);
}

/* Whether the last answer is still on its way to a client that takes it. */
static bool h1_takes(struct h1 *h)
{
    return !h->first && h->len == 0 && conn_outstanding(h->conn) > 0 &&
           !conn_stalled(h->conn, h->rules->write_stall_ms);
}

static void h1_look_head(struct h1 *h)
{
    if (h->again) {
        h->again = false;
        if (h1_parse(h, h->buf, h->len))
            return;
        conn_resume(h->conn);
    }
    if (loop_now(h->loop) >= h->request_by && h1_takes(h))
        h->request_by = deadline_in(h->loop, h->rules->keep_alive_ms);
    if (loop_now(h->loop) < h->request_by) {
        deadline_by(h->loop, &h->deadline, h->request_by);
    } else if (h->first || h->len > 0) {
        counter_add(&h->metrics->limit_hits[LIMIT_REQUEST_TIME], 1);
        h->state = H1_HANDLING;
        conn_pause(h->conn);
        h->ops->on_bad(h, 408, "the request took too long");
        h1_refuse(h, 408, "the request took too long");
    } else {
        h1_end(h, false);
    }
}

static void h1_look(struct deadline *d)
{
    struct h1 *h = container_of(d, struct h1, deadline);
    double stalls = conn_stalls_at(h->conn, h->rules->write_stall_ms);

    switch (h->state) {
    case H1_TLS:
        counter_add(&h->metrics->tls_failed, 1);
        h->ops->on_bad(h, 0, "the handshake took too long");
        h1_end(h, true);
        break;
    case H1_HEAD:
        h1_look_head(h);
        break;
    case H1_BODY:
        if (conn_stalled(h->conn, h->rules->write_stall_ms))
            h1_end(h, true);
        else
            deadline_by(h->loop, d, stalls);
        break;
    case H1_LINGER:
        if (conn_outstanding(h->conn) > 0 &&
            !conn_stalled(h->conn, h->rules->write_stall_ms))
            deadline_by(h->loop, d, deadline_in(h->loop, h->rules->linger_ms));
        else
            h1_end(h, true);
        break;
    case H1_HANDLING:
    case H1_CLOSED:
        break;
    }
}

/* ---- the connection's events ------------------------------------------- */

static void h1_on_open(struct conn *c)
{
    struct h1 *h = c->owner;
    h->state = H1_HEAD;
    deadline_by(h->loop, &h->deadline, h->request_by);
}

/* Both ends are told, or there is nothing to answer. */
static void h1_on_end(struct conn *c)
{
    struct h1 *h = c->owner;
    if (c->told_eof &&
        (h->state == H1_HEAD || (h->state == H1_LINGER && c->finished)))
        h1_end(h, false);
}

static void h1_on_drained(struct conn *c)
{
    struct h1 *h = c->owner;
    if (h->state == H1_BODY)
        h1_body(h);
}

static void h1_on_error(struct conn *c, int error)
{
    struct h1 *h = c->owner;
    if (h->state == H1_TLS) {
        char why[160] = "the client hung up";
        if (error == EPROTO)
            tls_error_text(conn_ssl(c), why, sizeof why);
        counter_add(&h->metrics->tls_failed, 1);
        h->ops->on_bad(h, 0, why);
    }
    h1_end(h, false);
}

static const struct conn_ops h1_conn_ops = {
    .on_open = h1_on_open,
    .on_data = h1_on_data,
    .on_eof = h1_on_end,
    .on_drained = h1_on_drained,
    .on_finished = h1_on_end,
    .on_error = h1_on_error,
};

struct h1 *h1_open(struct loop *l, int fd, SSL *ssl,
                   const struct h1_rules *rules, const struct h1_ops *ops,
                   void *owner, void *context, struct metrics *metrics)
{
    struct h1 *h = calloc(1, sizeof *h);
    if (!h) {
        close(fd);
        SSL_free(ssl);
        return NULL;
    }
    h->loop = l;
    h->ops = ops;
    h->owner = owner;
    h->context = context;
    h->rules = rules;
    h->metrics = metrics;
    h->file = -1;
    h->first = true;
    h->peer = peer_of(fd);
    h->accepted_at = loop_now(l);
    h->request_by = deadline_in(l, rules->request_ms);
    h->state = ssl ? H1_TLS : H1_HEAD;
    deadline_init(&h->deadline, h1_look);
    h->conn = conn_open(l, fd, ssl, &h1_conn_ops, h, &rules->marks);
    if (!h->conn) {
        free(h);
        return NULL;
    }
    h->conn->one_way = true;
    deadline_by(l, &h->deadline,
                ssl ? deadline_in(l, rules->tls_handshake_ms) : h->request_by);
    return h;
}

/* Who has just come, or has begun to ask, is answered if it is quick. */
void h1_drain(struct h1 *h)
{
    h->keep_alive = false;
    if (h->state != H1_TLS && h->state != H1_HEAD)
        return;
    if (!h->first && h->len == 0) {
        h1_end(h, false);
        return;
    }
    double by = deadline_in(h->loop, h->rules->linger_ms);
    if (by < h->request_by)
        h->request_by = by;
    h->first = false;
    deadline_by(h->loop, &h->deadline, h->request_by);
}
