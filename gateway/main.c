/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - settings to workers; signals; reload; the way out. */
#include "base/log.h"
#include "notify.h"
#include "ports.h"
#include "serve/admin.h"
#include "wire/ws_handshake.h"
#include "worker.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_BAD_CONFIG = 78, /* EX_CONFIG of sysexits.h */
    FD_RESERVE = 64,      /* logs, listeners, files, refusals */
    FD_PER_WORKER = 16,
    FD_PER_SESSION = 2, /* the client and the backend */
};

struct app {
    struct settings_source source;
    struct registry registry;
    struct generation *generation;
    struct ports ports;
    struct crowd crowd;
    struct loop loop;
    struct mailbox mailbox;
    struct worker *workers[WORKERS_MAX];
    struct mailbox *mailboxes[WORKERS_MAX];
    const struct metrics *metrics[WORKERS_MAX];
    struct worker_home home;
    unsigned n_workers, n_ended;
    unsigned n_reloading; /* workers that have not yet taken a reload up */
    struct admin *admin;
    struct admin_view view;
    ev_signal hup, term, intr;
    double started;
    uint64_t reloads_ok, reloads_failed;
    bool last_reload_ok, draining;
};

/* ---- descriptors and connections --------------------------------------- */

static rlim_t raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 1024;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        getrlimit(RLIMIT_NOFILE, &r);
    return r.rlim_cur;
}

static unsigned worker_count(const struct settings *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = s->workers ? s->workers : cpus > 0 ? (unsigned)cpus : 1;
    return n < WORKERS_MAX ? n : WORKERS_MAX;
}

/* How many clients there may be: what is asked for, if the descriptors reach
 * for it; or what they reach for. */
static int crowd_size(const struct settings *s, unsigned workers, unsigned *max,
                      struct err *err)
{
    rlim_t fds = raise_descriptors();
    rlim_t reserve = FD_RESERVE + (rlim_t)FD_PER_WORKER * workers;
    rlim_t room = fds == RLIM_INFINITY ? 1 << 20
                  : fds > reserve      ? (fds - reserve) / FD_PER_SESSION
                                       : 0;
    if (room == 0)
        return err_set(err, "%llu descriptors (ulimit -n) are too few",
                       (unsigned long long)fds);
    if (s->limits.connections > room)
        return err_set(err,
                       "limits.connections: %u need %llu descriptors, the "
                       "limit (ulimit -Hn) is %llu",
                       s->limits.connections,
                       (unsigned long long)s->limits.connections *
                               FD_PER_SESSION +
                           reserve,
                       (unsigned long long)fds);
    *max = s->limits.connections ? s->limits.connections : (unsigned)room;
    return 0;
}

static void do_trim(void *arg)
{
    (void)arg;
    malloc_trim(0);
}

/* The allocator gives nothing back by itself; on the main thread it holds up
 * nobody. */
static void crowd_thinned(struct crowd *c)
{
    struct app *a = container_of(c, struct app, crowd);
    mailbox_post(&a->mailbox, do_trim, NULL);
}

/* ---- listeners --------------------------------------------------------- */

static size_t worker_ports(const struct ports *ports, unsigned worker,
                           struct worker_port *out)
{
    for (size_t i = 0; i < ports->n; i++) {
        struct port *p = ports->v[i];
        out[i] = (struct worker_port){p->id, -1, i};
        if (p->fresh) {
            out[i].fd = p->fds[worker];
            p->fds[worker] = -1;
        }
    }
    return ports->n;
}

static void tell_listeners(const struct app *a, const struct ports *ports,
                           const struct settings *s)
{
    char url[512];
    for (size_t i = 0; i < ports->n; i++) {
        if (!ports->v[i]->fresh)
            continue;
        ports->v[i]->fresh = false;
        port_url(ports->v[i], &s->listeners[i], url, sizeof url);
        printf("listening on %s\n", url);
        log_info("listening", log_str("url", url),
                 log_u64("workers", a->n_workers));
    }
    fflush(stdout);
}

/* A client that does not mind may still use it; the others are for the
 * operator to explain. */
static void tell_expired(const struct generation *g)
{
    int64_t now = (int64_t)time(NULL);
    for (size_t i = 0; i < g->settings->n_listeners; i++)
        if (g->tls[i] && tls_server_not_after(g->tls[i]) < now)
            log_warn("certificate-expired",
                     log_str("url", g->settings->listeners[i].url));
}

/* ---- reload ------------------------------------------------------------ */

/* Read the configuration again. NULL: it is no use, and why was written. */
static struct generation *load(struct app *a, FILE *errors)
{
    struct settings *s = NULL;
    struct err err;
    int status;

    enum settings_action action =
        settings_load(&a->source, errors, errors, &s, &status);
    if (action != SETTINGS_RUN && action != SETTINGS_CHECK)
        return NULL;
    struct generation *g = generation_new(s, &a->registry, &err);
    if (!g)
        fprintf(errors, "%s\n", err.text);
    return g;
}

static bool differs(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

/* What only a restart can change. */
static void tell_fixed(const struct settings *old, const struct settings *s)
{
    bool plugins = old->plugins.n != s->plugins.n;
    for (size_t i = 0; !plugins && i < s->plugins.n; i++)
        plugins = differs(old->plugins.v[i], s->plugins.v[i]);
    const struct {
        const char *key;
        bool changed;
    } fixed[] = {
        {"workers", old->workers != s->workers},
        {"plugins", plugins},
        {"admin", differs(old->admin, s->admin)},
        {"log.format", old->log_format != s->log_format},
        {"limits.read_buffer",
         old->limits.read_buffer != s->limits.read_buffer},
    };
    for (size_t i = 0; i < LEN(fixed); i++)
        if (fixed[i].changed)
            log_warn("reload-needs-restart", log_str("key", fixed[i].key));
}

static int reload(struct app *a, FILE *errors)
{
    struct generation *g = load(a, errors);
    struct ports next;
    struct worker_port ports[256];
    struct err err;
    unsigned max;

    if (!g)
        return -1;
    const struct settings *s = g->settings;
    if (s->n_listeners > LEN(ports)) {
        err_set(&err, "too many listeners");
        goto fail;
    }
    if (crowd_size(s, a->n_workers, &max, &err) < 0 ||
        ports_plan(&next, &a->ports, s, a->n_workers, &err) < 0)
        goto fail;

    for (unsigned i = 0; i < a->n_workers; i++) {
        size_t n = worker_ports(&next, i, ports);
        if (worker_reload(a->workers[i], g, ports, n))
            a->n_reloading++;
        else
            log_error("reload-incomplete", log_u64("worker", i),
                      log_str("why", "out of memory"));
    }
    tell_fixed(a->generation->settings, s);
    log_set_level(s->log_level);
    atomic_store(&a->crowd.max, max);
    ports_commit(&a->ports, &next);
    tell_listeners(a, &a->ports, s);
    tell_expired(g);
    generation_unref(a->generation);
    a->generation = g;
    return 0;
fail:
    fprintf(errors, "%s\n", err.text);
    generation_unref(g);
    return -1;
}

/* Now every newcomer meets the new configuration. */
static void worker_reloaded(void *arg)
{
    struct app *a = arg;
    if (--a->n_reloading == 0)
        log_info("reloaded", log_u64("listeners", a->ports.n),
                 log_u64("routes", a->generation->router.n));
}

static void hup_cb(struct ev_loop *ev, ev_signal *w, int revents)
{
    struct app *a = container_of(w, struct app, hup);
    char *text = NULL, *save = NULL;
    size_t n = 0;
    (void)ev, (void)revents;

    if (a->draining)
        return;
    FILE *errors = open_memstream(&text, &n);
    if (!errors)
        return;
    notify_reloading();
    a->last_reload_ok = reload(a, errors) == 0;
    notify("READY=1");
    fclose(errors);
    if (a->last_reload_ok) {
        a->reloads_ok++;
    } else {
        a->reloads_failed++;
        for (char *line = strtok_r(text, "\n", &save); line;
             line = strtok_r(NULL, "\n", &save))
            log_error("reload-failed", log_str("why", line));
    }
    free(text);
}

/* ---- the way out ------------------------------------------------------- */

static void worker_done(void *arg)
{
    struct app *a = arg;
    if (++a->n_ended == a->n_workers)
        ev_break(a->loop.ev, EVBREAK_ALL);
}

static void stop_cb(struct ev_loop *ev, ev_signal *w, int revents)
{
    struct app *a = w->data;
    (void)ev, (void)revents;

    if (a->draining) {
        log_warn("stopping-now", log_str("why", "a second signal"));
        log_stop();
        _exit(EXIT_FAILURE);
    }
    a->draining = true;
    notify("STOPPING=1");
    log_info("draining",
             log_u64("ms", a->generation->settings->timeouts.drain));
    for (unsigned i = 0; i < a->n_workers; i++)
        worker_drain(a->workers[i], a->generation->settings->timeouts.drain);
}

static void signals_start(struct app *a)
{
    ev_signal_init(&a->hup, hup_cb, SIGHUP);
    ev_signal_init(&a->term, stop_cb, SIGTERM);
    ev_signal_init(&a->intr, stop_cb, SIGINT);
    a->term.data = a->intr.data = a;
    ev_signal_start(a->loop.ev, &a->hup);
    ev_signal_start(a->loop.ev, &a->term);
    ev_signal_start(a->loop.ev, &a->intr);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- the operator's view ----------------------------------------------- */

static bool view_ready(void *ctx)
{
    const struct app *a = ctx;
    return !a->draining;
}

static void view_fill(void *ctx, struct metrics_extra *extra)
{
    const struct app *a = ctx;
    const struct generation *g = a->generation;

    extra->start_time = a->started;
    extra->last_reload_ok = a->last_reload_ok;
    extra->reloads_ok = a->reloads_ok;
    extra->reloads_failed = a->reloads_failed;
    extra->log_dropped = log_dropped();
    extra->max_connections = atomic_load(&a->crowd.max);
    extra->bridges = a->registry.bridges;
    extra->n_bridges = a->registry.n;
    extra->version = GANGWAY_VERSION;
    for (size_t i = 0; i < g->settings->n_listeners; i++) {
        int64_t at = g->tls[i] ? tls_server_not_after(g->tls[i]) : 0;
        if (at && (!extra->cert_not_after || at < extra->cert_not_after))
            extra->cert_not_after = at;
    }
}

static int admin_start(struct app *a, struct err *err)
{
    const char *address = a->generation->settings->admin;
    char url[256];

    if (!address)
        return 0;
    a->view = (struct admin_view){
        .n_workers = a->n_workers,
        .mailboxes = a->mailboxes,
        .metrics = a->metrics,
        .ready = view_ready,
        .fill = view_fill,
        .ctx = a,
    };
    a->admin = admin_open(&a->loop, &a->mailbox, address, &a->view, url,
                          sizeof url, err);
    if (!a->admin)
        return -1;
    printf("admin on %s\n", url);
    log_info("admin", log_str("url", url));
    return 0;
}

/* ---- start ------------------------------------------------------------- */

static int workers_start(struct app *a, unsigned n, struct err *err)
{
    struct worker_port ports[256];

    if (a->generation->settings->n_listeners > LEN(ports))
        return err_set(err, "too many listeners");
    a->home =
        (struct worker_home){&a->mailbox, worker_reloaded, worker_done, a};
    for (unsigned i = 0; i < n; i++) {
        size_t n_ports = worker_ports(&a->ports, i, ports);
        a->workers[i] = worker_start(i, &a->crowd, &a->home, a->generation,
                                     ports, n_ports, err);
        if (!a->workers[i])
            return -1;
        a->mailboxes[i] = worker_mailbox(a->workers[i]);
        a->metrics[i] = worker_metrics(a->workers[i]);
        a->n_workers = i + 1;
    }
    return 0;
}

static int app_start(struct app *a, struct err *err)
{
    const struct settings *s = a->generation->settings;
    unsigned n = worker_count(s), max;

    if (!ws_handshake_possible())
        return err_set(err, "OpenSSL provides no SHA-1, which every WebSocket "
                            "handshake needs: see its configuration");
    if (crowd_size(s, n, &max, err) < 0)
        return -1;
    atomic_init(&a->crowd.max, max);
    a->crowd.thinned = crowd_thinned;
    if (ports_plan(&a->ports, &(struct ports){0}, s, n, err) < 0)
        return -1;
    if (loop_init(&a->loop, s->limits.read_buffer) < 0 ||
        mailbox_init(&a->mailbox, &a->loop) < 0)
        return err_set(err, "out of memory or descriptors");
    if (workers_start(a, n, err) < 0 || admin_start(a, err) < 0)
        return -1;
    tell_listeners(a, &a->ports, s);
    tell_expired(a->generation);
    signals_start(a);
    printf("ready\n");
    fflush(stdout);
    notify("READY=1");
    return 0;
}

static void app_fini(struct app *a)
{
    for (unsigned i = 0; i < a->n_workers; i++)
        worker_join(a->workers[i]);
    if (a->mailbox.loop)
        mailbox_close(&a->mailbox);
    admin_close(a->admin);
    ports_fini(&a->ports);
    generation_unref(a->generation);
    if (a->mailbox.loop)
        mailbox_fini(&a->mailbox);
    if (a->loop.ev)
        loop_fini(&a->loop);
    /* The workers stay until the process ends: bridges' threads, which end in
     * their own time, may still post to them, and are refused. */
}

static int app_run(struct app *a)
{
    const struct settings *s = a->generation->settings;
    struct err err;

    log_start(s->log_format == LOG_FORMAT_JSON, s->log_level);
    if (app_start(a, &err) < 0) {
        log_error("cannot-start", log_str("why", err.text));
        for (unsigned i = 0; i < a->n_workers; i++)
            worker_drain(a->workers[i], 0);
        app_fini(a);
        log_stop();
        return EXIT_FAILURE;
    }
    ev_run(a->loop.ev, 0);
    log_info("stopped", log_u64("workers", a->n_workers));
    app_fini(a);
    log_stop();
    return EXIT_SUCCESS;
}

/* Were one of 0, 1 and 2 closed, a socket would get its number, and with it
 * what is meant for the log. */
static void fill_standard(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static struct app a;
    struct settings *s = NULL;
    struct err err;
    struct timespec now;
    int status = 0;

    fill_standard();
    clock_gettime(CLOCK_REALTIME, &now);
    a.started = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    a.last_reload_ok = true;
    a.source = (struct settings_source){argc, argv};
    enum settings_action action =
        settings_load(&a.source, stdout, stderr, &s, &status);
    if (action == SETTINGS_BAD || action == SETTINGS_PRINTED)
        return status;

    signal(SIGPIPE, SIG_IGN);
    if (registry_load(&a.registry, &s->plugins, &err) < 0) {
        settings_free(s);
    } else {
        a.generation = generation_new(s, &a.registry, &err);
    }
    if (!a.generation) {
        fprintf(stderr, "%s\n", err.text); /* a line for each error */
        return EXIT_BAD_CONFIG;
    }
    if (action == SETTINGS_CHECK) {
        size_t listeners = a.generation->settings->n_listeners;
        size_t routes = a.generation->router.n;
        printf("the configuration is good: %zu listener%s, %zu route%s\n",
               listeners, listeners == 1 ? "" : "s", routes,
               routes == 1 ? "" : "s");
        generation_unref(a.generation);
        return EXIT_SUCCESS;
    }
    return app_run(&a);
}
