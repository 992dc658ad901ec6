/* SPDX-License-Identifier: Apache-2.0 */
/* admin.c - answers that wait for every worker's loop to turn once. */
#include "admin.h"
#include "../base/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

enum { ROUND_MS = 2000, ADMIN_MAX = 32, ADMIN_MARK = 1 << 20 };

struct admin {
    struct loop *loop;
    struct mailbox *mailbox;
    const struct admin_view *view;
    struct listener listener;
    struct h1_rules rules;
    struct metrics metrics; /* of this listener: told to nobody */
    struct h1 *requests;    /* utlist */
    size_t n_requests;
    char *path; /* of a Unix socket, ours to remove; or NULL */
};

/* One question to all workers. Each worker that is stuck holds a reference
 * until it moves again. */
struct round {
    struct admin *admin; /* main thread only */
    struct h1 *h1;       /* NULL: answered, or gone */
    struct mailbox *home;
    ev_timer deadline;
    double asked_at;
    double lag_s;
    size_t left; /* answers to come; main thread only */
    size_t asked;
    bool metrics; /* /metrics, else /healthz */
};

struct question {
    struct round *round;
    double posted_at, lag_s;
};

static double monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- answers ----------------------------------------------------------- */

static void reply_metrics(struct round *r)
{
    struct admin *a = r->admin;
    struct metrics_extra extra = {.loop_lag_s = r->lag_s};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    if (!f) {
        h1_refuse(r->h1, 503, "out of memory");
        return;
    }
    a->view->fill(a->view->ctx, &extra);
    metrics_write(f, a->view->metrics, a->view->n_workers, &extra);
    fclose(f);
    h1_reply(r->h1, 200, "text/plain; version=0.0.4; charset=utf-8", text, n);
    free(text);
}

static void reply_health(struct round *r, bool in_time)
{
    char body[128];

    if (!in_time) {
        snprintf(body, sizeof body, "%zu of %zu loops do not turn", r->left,
                 r->asked);
        h1_refuse(r->h1, 503, body);
        return;
    }
    int n =
        snprintf(body, sizeof body, "ok: %zu loops turn, worst lag %.1f ms\n",
                 r->asked, r->lag_s * 1000);
    h1_reply(r->h1, 200, "text/plain", body, (size_t)n);
}

/* Answer once; the memory goes with the last worker's word. */
static void round_end(struct round *r, bool in_time)
{
    struct h1 *h = r->h1;

    if (h) {
        ev_timer_stop(r->admin->loop->ev, &r->deadline);
        h->context = NULL;
        if (r->metrics) {
            if (!in_time)
                r->lag_s = ROUND_MS / 1000.;
            reply_metrics(r);
        } else {
            reply_health(r, in_time);
        }
        r->h1 = NULL;
    }
    if (r->left == 0)
        free(r);
}

static void round_deadline_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev, (void)revents;
    round_end(container_of(w, struct round, deadline), false);
}

/* Back on the main thread. */
static void answer(void *arg)
{
    struct question *q = arg;
    struct round *r = q->round;

    if (q->lag_s > r->lag_s)
        r->lag_s = q->lag_s;
    r->left--;
    free(q);
    if (r->left == 0)
        round_end(r, true);
}

/* On the worker's thread. */
static void question(void *arg)
{
    struct question *q = arg;
    q->lag_s = monotonic() - q->posted_at;
    mailbox_post(q->round->home, answer, q); /* open until all have stopped */
}

static void round_start(struct admin *a, struct h1 *h, bool metrics)
{
    struct round *r = calloc(1, sizeof *r);
    if (!r) {
        h1_refuse(h, 503, "out of memory");
        return;
    }
    r->admin = a;
    r->h1 = h;
    r->home = a->mailbox;
    r->metrics = metrics;
    h->context = r;
    for (size_t i = 0; i < a->view->n_workers; i++) {
        struct question *q = malloc(sizeof *q);
        if (!q)
            continue;
        *q = (struct question){r, monotonic(), 0};
        r->asked++;
        r->left++;
        if (!mailbox_post(a->view->mailboxes[i], question, q)) {
            r->left--;
            free(q);
        }
    }
    ev_timer_init(&r->deadline, round_deadline_cb, ROUND_MS / 1000., 0.);
    ev_timer_start(a->loop->ev, &r->deadline);
    if (r->left == 0)
        round_end(r, r->asked > 0);
}

/* ---- requests ---------------------------------------------------------- */

static void on_request(struct h1 *h, const struct http_head *head)
{
    struct admin *a = h->owner;

    if (slice_is(head->path, "/metrics")) {
        round_start(a, h, true);
    } else if (slice_is(head->path, "/healthz")) {
        round_start(a, h, false);
    } else if (slice_is(head->path, "/readyz")) {
        if (a->view->ready(a->view->ctx))
            h1_reply(h, 200, "text/plain", "ready\n", 6);
        else
            h1_refuse(h, 503, "stopping");
    } else {
        h1_refuse(h, 404, "there are /healthz, /readyz and /metrics");
    }
}

static void on_bad(struct h1 *h, int status, const char *why)
{
    (void)h, (void)status, (void)why;
}

static void on_close(struct h1 *h)
{
    struct admin *a = h->owner;
    struct round *r = h->context;

    DL_DELETE(a->requests, h);
    a->n_requests--;
    if (r) {
        ev_timer_stop(a->loop->ev, &r->deadline);
        r->h1 = NULL;
    }
}

static const struct h1_ops admin_h1_ops = {
    .on_request = on_request,
    .on_bad = on_bad,
    .on_close = on_close,
};

static void on_accept(struct listener *l, int fd)
{
    struct admin *a = l->owner;
    if (a->n_requests >= ADMIN_MAX) {
        close(fd);
        return;
    }
    struct h1 *h = h1_open(a->loop, fd, NULL, &a->rules, &admin_h1_ops, a, NULL,
                           &a->metrics);
    if (!h)
        return;
    a->n_requests++;
    DL_APPEND(a->requests, h);
}

/* ---- life -------------------------------------------------------------- */

static int admin_listener(const char *address, struct listener_settings *s,
                          struct err *err)
{
    *s = (struct listener_settings){.kind = LISTEN_TCP, .fd = -1};
    if (strncmp(address, "unix:", 5) == 0) {
        s->kind = LISTEN_UNIX;
        s->mode = 0600;
        s->path = strdup(address + 5);
        return s->path ? 0 : err_set(err, "out of memory");
    }
    struct slice list = slice_of(address);
    struct endpoint e;
    if (endpoint_next(&list, &e) != 1 ||
        (s->port = port_parse(e.port, true)) < 0)
        return err_set(err, "'%s' is neither unix:PATH nor ADDR:PORT", address);
    s->host = strndup(e.host.p, e.host.n);
    return s->host ? 0 : err_set(err, "out of memory");
}

static void admin_url(const struct listener_settings *s, int port, char *url,
                      size_t cap)
{
    bool v6 = s->host && strchr(s->host, ':');
    if (s->kind == LISTEN_UNIX)
        snprintf(url, cap, "unix:%s", s->path);
    else
        snprintf(url, cap, "http://%s%s%s:%d", v6 ? "[" : "", s->host,
                 v6 ? "]" : "", port);
}

struct admin *admin_open(struct loop *l, struct mailbox *mailbox,
                         const char *address, const struct admin_view *view,
                         char *url, size_t cap, struct err *err)
{
    struct listener_settings s;
    struct admin *a = NULL;
    int fd = -1, port = 0;

    if (admin_listener(address, &s, err) == 0) {
        fd = listener_socket(&s, &port, err);
    }
    if (fd >= 0) {
        admin_url(&s, port, url, cap);
        a = calloc(1, sizeof *a);
        if (!a) {
            close(fd);
            err_set(err, "out of memory");
        }
    }
    free(s.host);
    if (a && s.kind == LISTEN_UNIX && s.path[0] != '@')
        a->path = s.path;
    else
        free(s.path);
    if (!a) {
        err_prepend(err, "admin");
        return NULL;
    }
    a->loop = l;
    a->mailbox = mailbox;
    a->view = view;
    a->rules = (struct h1_rules){
        .limits = {4096, 1024, 32},
        .marks = {ADMIN_MARK, ADMIN_MARK / 2},
        .tls_handshake_ms = 5000,
        .request_ms = 5000,
        .keep_alive_ms = 60000,
        .linger_ms = 1000,
        .write_stall_ms = 5000,
    };
    listener_start(&a->listener, l, fd, on_accept, a);
    return a;
}

void admin_close(struct admin *a)
{
    struct h1 *h, *next;
    if (!a)
        return;
    listener_stop(&a->listener);
    DL_FOREACH_SAFE(a->requests, h, next)
    h1_close(h);
    if (a->path)
        unlink(a->path);
    free(a->path);
    free(a);
}
