/* SPDX-License-Identifier: Apache-2.0 */
/* generation.c - settings made ready for use. */
#include "generation.h"

#include <stdlib.h>

/* Every listener's certificates; all that is wrong is told. */
static int generation_tls(struct generation *g, struct err *all)
{
    const struct settings *s = g->settings;
    struct err err;
    int status = 0;

    g->tls = calloc(s->n_listeners + 1, sizeof(struct tls_server *));
    if (!g->tls) {
        err_set(&err, "out of memory");
        return err_also(all, &err);
    }
    for (size_t i = 0; i < s->n_listeners; i++) {
        const struct listener_settings *l = &s->listeners[i];
        if (!l->tls || (g->tls[i] = tls_server_new(&l->tls_settings, &err)))
            continue;
        err_prepend(&err, "%s: listener %s", l->where, l->url);
        status = err_also(all, &err);
    }
    return status;
}

/* All parts are built, for all their errors to come in one run. */
static int generation_build(struct generation *g,
                            const struct registry *bridges, struct err *all)
{
    struct err err;
    int status = 0;

    g->allow = allow_list_new(&g->settings->allow_targets, &err);
    if (!g->allow)
        return err_also(all, &err); /* routes cannot be judged without it */
    status |= generation_tls(g, all);
    if (router_init(&g->router, g->settings, bridges, g->allow, &err) < 0)
        status |= err_also(all, &err);
    return status;
}

struct generation *generation_new(struct settings *s,
                                  const struct registry *bridges,
                                  struct err *err)
{
    struct generation *g = calloc(1, sizeof *g);
    if (!g) {
        settings_free(s);
        err_set(err, "out of memory");
        return NULL;
    }
    atomic_init(&g->refs, 1);
    g->settings = s;
    g->rules = (struct h1_rules){
        .limits = {s->limits.header_bytes, s->limits.uri_bytes,
                   s->limits.header_count},
        .marks = {s->limits.queue_high, s->limits.queue_low},
        .tls_handshake_ms = s->timeouts.tls_handshake,
        .request_ms = s->timeouts.request,
        .keep_alive_ms = s->timeouts.keep_alive,
        .linger_ms = s->timeouts.linger,
        .write_stall_ms = s->timeouts.write_stall,
    };
    err->text[0] = '\0';
    if (generation_build(g, bridges, err) < 0) {
        generation_unref(g);
        return NULL;
    }
    return g;
}

struct generation *generation_ref(struct generation *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    return g;
}

void generation_unref(struct generation *g)
{
    if (atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
        return;
    router_fini(&g->router);
    for (size_t i = 0; g->tls && i < g->settings->n_listeners; i++)
        if (g->tls[i])
            tls_server_unref(g->tls[i]);
    free(g->tls);
    if (g->allow)
        allow_list_free(g->allow);
    settings_free(g->settings);
    free(g);
}
