/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - a thread's loop and the messages that reach it. */
#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

struct worker_listener {
    struct listener listener;
    struct worker *worker;
    struct worker_listener *prev, *next;
    unsigned id;
    size_t index; /* among the generation's listeners */
};

struct worker {
    pthread_t thread;
    struct loop loop;
    struct mailbox mailbox;
    struct serve serve;
    struct worker_listener *listeners; /* utlist */
    ev_timer deadline;                 /* of the drain */
    const struct worker_home *home;
    bool draining;
};

/* ---- listeners --------------------------------------------------------- */

static void on_accept(struct listener *l, int fd)
{
    struct worker_listener *wl =
        container_of(l, struct worker_listener, listener);
    struct serve *s = &wl->worker->serve;
    serve_accept(s, s->generation, s->generation->tls[wl->index], fd);
}

static int listener_add(struct worker *w, const struct worker_port *p)
{
    struct worker_listener *wl = calloc(1, sizeof *wl);
    if (!wl) {
        close(p->fd);
        return -1;
    }
    wl->worker = w;
    wl->id = p->id;
    wl->index = p->index;
    listener_start(&wl->listener, &w->loop, p->fd, on_accept, wl);
    DL_APPEND(w->listeners, wl);
    return 0;
}

static void listener_remove(struct worker *w, struct worker_listener *wl)
{
    listener_drain(&wl->listener);
    DL_DELETE(w->listeners, wl);
    free(wl);
}

static const struct worker_port *port_find(const struct worker_port *ports,
                                           size_t n, unsigned id)
{
    for (size_t i = 0; i < n; i++)
        if (ports[i].id == id)
            return &ports[i];
    return NULL;
}

/* ---- messages ---------------------------------------------------------- */

struct reload {
    struct worker *worker;
    struct generation *generation;
    size_t n;
    struct worker_port ports[];
};

static void do_reload(void *arg)
{
    struct reload *r = arg;
    struct worker *w = r->worker;
    struct worker_listener *wl, *next;

    /* What waits on a listener that goes belongs to the generation it
     * listened for. */
    DL_FOREACH_SAFE(w->listeners, wl, next)
    if (!port_find(r->ports, r->n, wl->id))
        listener_remove(w, wl);
    serve_generation(&w->serve, r->generation);
    DL_FOREACH(w->listeners, wl)
    wl->index = port_find(r->ports, r->n, wl->id)->index;
    for (size_t i = 0; i < r->n; i++)
        if (r->ports[i].fd >= 0 && listener_add(w, &r->ports[i]) < 0)
            log_error("listener-failed", log_str("why", "out of memory"));
    generation_unref(r->generation);
    free(r);
    mailbox_post(w->home->mailbox, w->home->reloaded, w->home->arg);
}

bool worker_reload(struct worker *w, struct generation *g,
                   const struct worker_port *ports, size_t n)
{
    struct reload *r = malloc(sizeof *r + n * sizeof *ports);
    if (!r)
        return false;
    r->worker = w;
    r->generation = generation_ref(g);
    r->n = n;
    memcpy(r->ports, ports, n * sizeof *ports);
    if (mailbox_post(&w->mailbox, do_reload, r))
        return true;
    generation_unref(g);
    free(r);
    return false;
}

struct drain {
    struct worker *worker;
    unsigned ms;
};

static void stop(struct worker *w)
{
    ev_timer_stop(w->loop.ev, &w->deadline);
    ev_break(w->loop.ev, EVBREAK_ALL);
}

static void on_empty(struct serve *s)
{
    stop(container_of(s, struct worker, serve));
}

static void drain_deadline_cb(struct ev_loop *ev, ev_timer *t, int revents)
{
    struct worker *w = container_of(t, struct worker, deadline);
    (void)ev, (void)revents;
    serve_abort(&w->serve);
    stop(w); /* all is closed; what was deferred goes with the loop */
}

static void do_drain(void *arg)
{
    struct drain *d = arg;
    struct worker *w = d->worker;

    if (!w->draining) {
        w->draining = true;
        while (w->listeners)
            listener_remove(w, w->listeners);
        ev_timer_init(&w->deadline, drain_deadline_cb, d->ms / 1000., 0.);
        ev_timer_start(w->loop.ev, &w->deadline);
        w->serve.on_empty = on_empty;
        serve_drain(&w->serve);
    }
    free(d);
}

void worker_drain(struct worker *w, unsigned ms)
{
    struct drain *d = malloc(sizeof *d);
    if (!d)
        return;
    *d = (struct drain){w, ms};
    if (!mailbox_post(&w->mailbox, do_drain, d))
        free(d);
}

/* ---- the thread -------------------------------------------------------- */

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    ev_run(w->loop.ev, 0);
    serve_abort(&w->serve);
    mailbox_close(&w->mailbox);
    loop_settle(&w->loop); /* bridges are called on this thread to the end */
    mailbox_post(w->home->mailbox, w->home->done, w->home->arg);
    return NULL;
}

static void worker_fini(struct worker *w)
{
    while (w->listeners) {
        struct worker_listener *wl = w->listeners;
        listener_stop(&wl->listener);
        DL_DELETE(w->listeners, wl);
        free(wl);
    }
    serve_fini(&w->serve);
    loop_fini(&w->loop);
}

/* Signals are the main thread's. */
static int thread_start(struct worker *w)
{
    sigset_t all, before;
    char name[16];

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0) {
        snprintf(name, sizeof name, "worker %u", w->serve.worker);
        pthread_setname_np(w->thread, name);
    }
    return status;
}

static void close_ports(const struct worker_port *ports, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ports[i].fd >= 0)
            close(ports[i].fd);
}

struct worker *worker_start(unsigned number, struct crowd *crowd,
                            const struct worker_home *home,
                            struct generation *g,
                            const struct worker_port *ports, size_t n,
                            struct err *err)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w || loop_init(&w->loop, g->settings->limits.read_buffer) < 0) {
        free(w);
        close_ports(ports, n);
        err_set(err, "worker %u: out of memory or descriptors", number);
        return NULL;
    }
    w->home = home;
    if (mailbox_init(&w->mailbox, &w->loop) < 0 ||
        serve_init(&w->serve, &w->loop, &w->mailbox, crowd, g, number) < 0) {
        close_ports(ports, n);
        err_set(err, "worker %u: cannot start its resolver", number);
        goto fail;
    }
    for (size_t i = 0; i < n; i++)
        if (listener_add(w, &ports[i]) < 0) {
            close_ports(ports + i + 1, n - i - 1);
            err_set(err, "worker %u: out of memory", number);
            goto fail;
        }
    if (thread_start(w) == 0)
        return w;
    err_set(err, "worker %u: cannot start a thread", number);
fail:
    worker_fini(w);
    mailbox_fini(&w->mailbox);
    free(w);
    return NULL;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    worker_fini(w);
}

const struct metrics *worker_metrics(const struct worker *w)
{
    return &w->serve.metrics;
}

struct mailbox *worker_mailbox(struct worker *w)
{
    return &w->mailbox;
}
