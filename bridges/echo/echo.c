/* SPDX-License-Identifier: Apache-2.0 */
/* echo.c - the smallest bridge: every message comes back as it is. */
#include "../bridge.h"

#include <stdio.h>
#include <stdlib.h>

struct echo {
    const struct gw_host *host;
    struct gw_session *session;
};

/* A route has nothing to remember but the host. */
static int echo_route_open(const struct gw_host *host,
                           const struct gw_target *t, void **route, char *err,
                           size_t cap)
{
    if (t->address[0] != '\0') {
        snprintf(err, cap, "'echo:' takes no address");
        return -1;
    }
    *route = (void *)(uintptr_t)host;
    return 0;
}

static void echo_route_close(const struct gw_host *host, void *route)
{
    (void)host, (void)route;
}

static void *echo_open(struct gw_session *s, void *route,
                       const struct gw_request *r, enum gw_take *take)
{
    struct echo *e = malloc(sizeof *e);
    (void)r;
    if (!e)
        return NULL;
    *e = (struct echo){route, s};
    *take = GW_SLICES; /* a message of any size, piece by piece */
    e->host->accept(s);
    return e;
}

static void echo_data(void *state, const struct gw_data *d)
{
    struct echo *e = state;
    if (e->host->send(e->session, d->type, d->p, d->n, !d->last) == GW_FULL)
        e->host->pause(e->session);
}

static void echo_drained(void *state)
{
    struct echo *e = state;
    e->host->resume(e->session);
}

static const char *const echo_schemes[] = {"echo", NULL};

const struct gw_bridge bridge_echo = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "echo",
    .help = "sends every message back, type and boundaries kept",
    .schemes = echo_schemes,
    .route_open = echo_route_open,
    .route_close = echo_route_close,
    .open = echo_open,
    .data = echo_data,
    .drained = echo_drained,
    .close = free,
};
