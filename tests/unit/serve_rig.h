/* SPDX-License-Identifier: Apache-2.0 */
/* serve_rig.h - a worker's clients without the worker: a loop, a generation
 * made of a YAML text, connections handed in. For unit tests and fuzzers. */
#ifndef GW_SERVE_RIG_H
#define GW_SERVE_RIG_H

#include "../check.h"

#include "../../conf/settings_source.h"
#include "../../gateway/serve/serve.h"
#include "../../gateway/serve/session.h"

struct serve_rig {
    struct loop loop;
    struct mailbox mailbox;
    struct crowd crowd;
    struct registry registry;
    struct generation *generation;
    struct serve serve;
    unsigned emptied, thinned;
};

static inline void serve_rig_empty(struct serve *s)
{
    container_of(s, struct serve_rig, serve)->emptied++;
}

static inline void serve_rig_thinned(struct crowd *c)
{
    container_of(c, struct serve_rig, crowd)->thinned++;
}

/* `bridge`: one more, of the test; or NULL. */
static inline struct generation *serve_rig_generation(
    struct serve_rig *r, const char *yaml, const struct gw_bridge *bridge)
{
    struct err err;

    log_set_level(LOG_SEV_ERROR);
    CHECK(registry_load(&r->registry, &(struct string_list){0}, &err) == 0);
    if (bridge)
        r->registry.bridges[r->registry.n++] = bridge;
    struct settings *s =
        settings_from_yaml("rig.yaml", slice_of(yaml), false, stderr);
    CHECK(s);
    struct generation *g = generation_new(s, &r->registry, &err);
    if (!g)
        fprintf(stderr, "%s\n", err.text);
    CHECK(g);
    return g;
}

static inline void serve_rig_begin(struct serve_rig *r, const char *yaml,
                                   const struct gw_bridge *bridge)
{
    *r = (struct serve_rig){0};
    r->generation = serve_rig_generation(r, yaml, bridge);
    atomic_init(&r->crowd.max, 1000);
    r->crowd.thinned = serve_rig_thinned;
    CHECK(loop_init(&r->loop, r->generation->settings->limits.read_buffer) ==
          0);
    CHECK(mailbox_init(&r->mailbox, &r->loop) == 0);
    CHECK(serve_init(&r->serve, &r->loop, &r->mailbox, &r->crowd, r->generation,
                     0) == 0);
    r->serve.on_empty = serve_rig_empty;
}

static inline void serve_rig_accept(struct serve_rig *r, int fd)
{
    serve_accept(&r->serve, r->generation, NULL, fd);
}

/* Drop what is left; then nothing may be. */
static inline void serve_rig_end(struct serve_rig *r)
{
    serve_abort(&r->serve);
    loop_settle(&r->loop);
    CHECK(!r->serve.sessions && !r->serve.requests && !r->serve.parting);
    CHECK(atomic_load(&r->crowd.connections) == 0);
    CHECK(atomic_load(&r->crowd.over) == 0);
    CHECK(counter_get(&r->serve.metrics.accepted) ==
          counter_get(&r->serve.metrics.closed));
    mailbox_close(&r->mailbox);
    serve_fini(&r->serve);
    mailbox_fini(&r->mailbox);
    loop_fini(&r->loop);
    CHECK(atomic_load(&r->generation->refs) == 1);
    generation_unref(r->generation);
}

#endif
