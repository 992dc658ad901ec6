/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - opening, keeping and handing over listening sockets. */
#include "ports.h"
#include "net/listener.h"

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
    free(p->url);
    free(p);
}

static struct port *ports_find(const struct ports *p, const char *url)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i]->url, url) == 0)
            return p->v[i];
    return NULL;
}

/* A Unix socket or an inherited one cannot be opened again for each worker:
 * they share it. */
static int port_fds(struct port *p, const struct listener_settings *s,
                    unsigned workers, struct err *err)
{
    for (unsigned i = 0; i < workers; i++) {
        if (i > 0 && s->kind != LISTEN_TCP) {
            p->fds[i] = dup(p->fds[0]);
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

static struct port *port_open(const struct listener_settings *s,
                              unsigned workers, unsigned id, struct err *err)
{
    struct port *p = calloc(1, sizeof *p + workers * sizeof p->fds[0]);
    if (!p) {
        err_set(err, "out of memory");
        return NULL;
    }
    for (unsigned i = 0; i < workers; i++)
        p->fds[i] = -1;
    p->id = id;
    p->fresh = true;
    p->number = s->port;
    p->url = strdup(s->url);
    if (!p->url)
        err_set(err, "out of memory");
    if (!p->url || port_fds(p, s, workers, err) < 0) {
        err_prepend(err, "%s: listener %s", s->where, s->url);
        port_free(p, workers);
        return NULL;
    }
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
        struct port *p = ports_find(now, s->listeners[i].url);
        if (!p)
            p = port_open(&s->listeners[i], workers, ++next->last_id, err);
        if (!p) {
            ports_abandon(next, now);
            return -1;
        }
        next->v[next->n++] = p;
    }
    return 0;
}

static bool ports_has(const struct ports *p, const struct port *port)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i] == port)
            return true;
    return false;
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
