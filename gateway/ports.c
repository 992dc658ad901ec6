/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - opening, keeping and handing over listening sockets. */
#include "ports.h"
#include "net/listener.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void port_free(struct port *p, unsigned workers)
{
    if (!p)
        return;
    for (unsigned i = 0; i < workers; i++)
        if (p->fds[i] >= 0)
            close(p->fds[i]);
    if (p->path)
        unlink(p->path); /* nobody answers there any more */
    free(p->path);
    free(p->place);
    free(p);
}

/* Where a listener is, however it speaks there: ws:// and wss:// on one port
 * are one socket. NULL: out of memory. */
static char *place_of(const struct listener_settings *s)
{
    char *place = NULL;
    int n = -1;

    if (s->kind == LISTEN_TCP)
        n = asprintf(&place, "tcp:%s:%d", s->host ? s->host : "", s->port);
    else if (s->kind == LISTEN_UNIX)
        n = asprintf(&place, "unix:%s", s->path);
    else
        n = asprintf(&place, "fd:%d", s->fd);
    return n < 0 ? NULL : place;
}

static bool ports_has(const struct ports *p, const struct port *port)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i] == port)
            return true;
    return false;
}

/* A port of `now` at this place, of which `next` has not yet made use: several
 * listeners may have the system choose their port. */
static struct port *ports_find(const struct ports *now,
                               const struct ports *next, const char *place)
{
    for (size_t i = 0; i < now->n; i++)
        if (strcmp(now->v[i]->place, place) == 0 && !ports_has(next, now->v[i]))
            return now->v[i];
    return NULL;
}

/* Whether this port's number is ours already, on another address: then it may
 * be shared, as when ws://127.0.0.1:80 becomes ws://:80. */
static bool ports_own(const struct ports *now, int number)
{
    for (size_t i = 0; i < now->n; i++)
        if (now->v[i]->number == number)
            return true;
    return false;
}

/* A Unix socket or an inherited one cannot be opened again for each worker:
 * they share it. */
static int port_fds(struct port *p, const struct listener_settings *s,
                    unsigned workers, struct err *err)
{
    for (unsigned i = 0; i < workers; i++) {
        if (i > 0 && s->kind != LISTEN_TCP) {
            p->fds[i] = fcntl(p->fds[0], F_DUPFD_CLOEXEC, 3);
            if (p->fds[i] < 0)
                return err_set(err, "no descriptor for another worker");
        } else {
            p->fds[i] = listener_socket(s, &p->number, err);
            if (p->fds[i] < 0)
                return -1;
        }
    }
    return 0;
}

/* Takes over `place`, also on failure. `shared`: see ports_own. */
static struct port *port_open(const struct listener_settings *s, char *place,
                              bool shared, unsigned workers, unsigned id,
                              struct err *err)
{
    struct port *p = calloc(1, sizeof *p + workers * sizeof p->fds[0]);
    if (!p) {
        free(place);
        err_set(err, "out of memory");
        return NULL;
    }
    for (unsigned i = 0; i < workers; i++)
        p->fds[i] = -1;
    p->id = id;
    p->fresh = true;
    p->number = shared ? s->port : 0;
    p->place = place;
    if (port_fds(p, s, workers, err) < 0) {
        err_prepend(err, "%s: listener %s", s->where, s->url);
        port_free(p, workers);
        return NULL;
    }
    if (s->kind == LISTEN_UNIX && s->path[0] != '@')
        p->path = strdup(s->path);
    return p;
}

int ports_plan(struct ports *next, const struct ports *now,
               const struct settings *s, unsigned workers, struct err *err)
{
    *next = (struct ports){.workers = workers, .last_id = now->last_id};
    next->v = calloc(s->n_listeners + 1, sizeof(struct port *));
    if (!next->v)
        return err_set(err, "out of memory");
    for (size_t i = 0; i < s->n_listeners; i++) {
        const struct listener_settings *l = &s->listeners[i];
        char *place = place_of(l);
        struct port *p = place ? ports_find(now, next, place) : NULL;
        if (p)
            free(place);
        else if (place)
            p = port_open(l, place, l->port != 0 && ports_own(now, l->port),
                          workers, ++next->last_id, err);
        else
            err_set(err, "out of memory");
        if (!p) {
            ports_abandon(next, now);
            return -1;
        }
        next->v[next->n++] = p;
    }
    return 0;
}

void ports_abandon(struct ports *next, const struct ports *now)
{
    for (size_t i = 0; i < next->n; i++)
        if (!ports_has(now, next->v[i]))
            port_free(next->v[i], next->workers);
    free(next->v);
    *next = (struct ports){0};
}

void ports_commit(struct ports *now, struct ports *next)
{
    for (size_t i = 0; i < now->n; i++)
        if (!ports_has(next, now->v[i]))
            port_free(now->v[i], now->workers);
    free(now->v);
    *now = *next;
    *next = (struct ports){0};
}

void ports_fini(struct ports *p)
{
    ports_commit(p, &(struct ports){0});
}

const char *port_url(const struct port *p, const struct listener_settings *s,
                     char *out, size_t cap)
{
    const char *host = s->host ? s->host : "0.0.0.0";
    bool v6 = strchr(host, ':') != NULL;

    if (s->kind == LISTEN_TCP)
        snprintf(out, cap, "%s://%s%s%s:%d/", s->tls ? "wss" : "ws",
                 v6 ? "[" : "", host, v6 ? "]" : "", p->number);
    else
        snprintf(out, cap, "%s", s->url);
    return out;
}
