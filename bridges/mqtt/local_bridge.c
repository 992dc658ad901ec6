/* SPDX-License-Identifier: Apache-2.0 */
/* local_bridge.c - local:NAME, topics within this process: no broker. */
#include "topics_route.h"

#include <stdio.h>
#include <stdlib.h>

static const struct gw_option options[] = {
    {"allow", GW_OPT_STRING, NULL, NULL,
     "what may be published and subscribed: pub:FILTER;sub:FILTER;all:FILTER"},
    {"deny", GW_OPT_STRING, NULL, NULL, "what may not; wins over allow"},
    TOPICS_OPTIONS,
    {"retained_max", GW_OPT_SIZE, NULL, "10000", "retained messages kept"},
    {"retained_bytes", GW_OPT_SIZE, NULL, "16MiB", "and their bytes"},
    {0},
};

static const struct gw_counter counters[] = {TOPICS_COUNTERS, {0}};

static int local_route_open(const struct gw_host *host,
                            const struct gw_target *t, void **route, char *err,
                            size_t cap)
{
    const struct pool_settings pool = {
        .ops = &upstream_local,
        .bridge = &bridge_local,
        .host = host,
        .brokers = t->address,
        .retained_max = mqtt_option(options, t->values, "retained_max")->number,
        .retained_bytes =
            mqtt_option(options, t->values, "retained_bytes")->number,
    };
    struct topics_route *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(err, cap, "out of memory");
        return -1;
    }
    if (topics_route_open(r, host, options, t, &pool, err, cap) < 0) {
        topics_route_close(r);
        free(r);
        return -1;
    }
    *route = r;
    return 0;
}

static void local_route_close(const struct gw_host *host, void *route)
{
    (void)host;
    topics_route_close(route);
    free(route);
}

static void *local_open(struct gw_session *s, void *route,
                        const struct gw_request *r, enum gw_take *take)
{
    return topics_open(s, route, r, take);
}

static const char *const schemes[] = {"local", NULL};
static const char *const subprotocols[] = {"gangway.v1.json", "gangway.v1",
                                           NULL};

const struct gw_bridge bridge_local = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "local",
    .help = "topics within this process: local: or local:NAME",
    .schemes = schemes,
    .subprotocols = subprotocols,
    .options = options,
    .counters = counters,
    .route_open = local_route_open,
    .route_close = local_route_close,
    .open = local_open,
    .data = topics_data,
    .drained = topics_drained,
    .client_ended = topics_client_ended,
    .close = topics_close,
};
