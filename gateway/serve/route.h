/* SPDX-License-Identifier: Apache-2.0 */
/* route.h - from a request's host and path to what serves it. */
#ifndef GW_ROUTE_H
#define GW_ROUTE_H

#include "allow.h"
#include "http_files.h"
#include "pattern.h"
#include "registry.h"
#include "template.h"

enum route_kind { ROUTE_BRIDGE, ROUTE_STATIC };

struct route {
    const struct route_settings *settings; /* NULL for --web */
    const char *name;                      /* for logs: [host]/path */
    struct pattern *pattern;
    enum route_kind kind;

    /* ROUTE_BRIDGE */
    const struct gw_bridge *bridge;
    size_t bridge_index; /* in the registry, and in metrics.bridge */
    void *bridge_route;  /* the bridge's own */
    bool bridge_open;    /* route_open has succeeded */
    struct gw_value *values;
    char *scheme;
    char *address; /* template */
    bool is_unix;  /* the address is a path */
    bool dynamic;  /* it has placeholders: the allow-list applies */
    uint64_t max_message;

    /* ROUTE_STATIC */
    struct files_root *files;
    size_t prefix; /* bytes of the decoded path before the file's own */
    bool redirect; /* the folder's own path, without its '/' */
};

struct router {
    struct route *routes; /* the most specific first */
    size_t n;
};

/* What route_open's gw_target is a part of: enough to check templates. */
struct route_target {
    struct gw_target target;
    const struct pattern *pattern;
};

extern const struct gw_host bridge_host; /* bridge_host.c */

/* Build all routes of `s`. Does no network I/O. 0, or -1 with err: a line for
 * each route that is wrong. */
int router_init(struct router *r, const struct settings *s,
                const struct registry *bridges, const struct allow_list *allow,
                struct err *err);
void router_fini(struct router *r);

/* The first route that answers to the request, or NULL. A WebSocket request
 * is served by bridges, a plain one by files. *other says that there is one
 * of the other kind, and that it is more specific. */
const struct route *router_find(const struct router *r, enum route_kind kind,
                                struct slice host, struct slice path,
                                struct captures *c, bool *other);

/* The Host field without its port. */
struct slice host_name(struct slice host);

#endif
