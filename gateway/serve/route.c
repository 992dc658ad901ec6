/* SPDX-License-Identifier: Apache-2.0 */
/* route.c - routes built from settings, and found again by requests. */
#include "route.h"
#include "../base/url.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- building ---------------------------------------------------------- */

static char *slice_dup(struct slice s)
{
    return strndup(s.p ? s.p : "", s.n);
}

static int route_name(struct route *r, const char *host, const char *path)
{
    char *name = NULL;
    if (asprintf(&name, "%s%s", host ? host : "", path) < 0)
        return -1;
    r->name = name;
    return 0;
}

/* The options of the target's query, then those of the YAML. */
static int route_options(struct route *r, const struct url *u,
                         const struct route_settings *s, struct err *err)
{
    enum { MAX = 96 };
    struct option_text given[MAX];
    char decoded[URL_PARAMS_MAX][512];
    size_t n = 0;

    for (size_t i = 0; i < u->n_params; i++) {
        struct slice value = u->params[i].value;
        int len = url_decode(value, decoded[i], sizeof decoded[i]);
        if (len < 0)
            return err_set(err, "option '" SLICE_FMT "': bad escape",
                           SLICE_ARGS(u->params[i].name));
        given[n++] = (struct option_text){
            u->params[i].name, {decoded[i], (size_t)len}, value.p == NULL};
    }
    for (size_t i = 0; i < s->n_options; i++) {
        if (n == MAX)
            return err_set(err, "too many options");
        given[n++] = (struct option_text){slice_of(s->options[i].name),
                                          slice_of(s->options[i].value), false};
    }
    return options_parse(r->bridge, given, n, s->folder, &r->values, err);
}

/* Where clients lead themselves needs a list of where they may. */
static int route_dynamic(struct route *r, const struct allow_list *allow,
                         struct err *err)
{
    int n = template_check(r->address, r->pattern, err);
    if (n < 0)
        return err_prepend(err, "target");
    r->dynamic = n > 0;
    if (r->dynamic && allow_list_empty(allow))
        return err_set(err,
                       "the target is named by clients ('%s'): allow_targets "
                       "(--allow-target) must say where it may lead",
                       r->address);
    return 0;
}

/* HOST:PORT,HOST:PORT as far as they stand there; a bridge may have a port of
 * its own, and a placeholder may bring one in. */
static int route_endpoints(const struct route *r, struct err *err)
{
    struct slice list = slice_of(r->address);
    struct endpoint e;
    int more;

    while ((more = endpoint_next(&list, &e)) == 1)
        if (e.port.n > 0 && !memchr(e.port.p, '{', e.port.n) &&
            port_parse(e.port, false) < 0)
            return err_set(err, "'" SLICE_FMT "' is no port, 1-65535",
                           SLICE_ARGS(e.port));
    if (more < 0) /* not repeated: there may be a password in it */
        return err_set(err, "the target is not HOST:PORT or a list of them");
    return 0;
}

static int route_bridge(struct route *r, const struct url *u,
                        const struct settings *settings,
                        const struct registry *bridges,
                        const struct allow_list *allow, struct err *err)
{
    char schemes[256], why[256] = "";
    int i = registry_find(bridges, u->scheme);
    if (i < 0)
        return err_set(err, "no bridge for '" SLICE_FMT ":' (there are: %s)",
                       SLICE_ARGS(u->scheme),
                       registry_schemes(bridges, schemes, sizeof schemes));
    r->kind = ROUTE_BRIDGE;
    r->bridge_index = (size_t)i;
    r->bridge = bridges->bridges[i];
    r->is_unix = u->authority.p == NULL;
    r->max_message = r->settings->max_message ? r->settings->max_message
                                              : settings->limits.max_message;
    if (!r->is_unix && u->path.n > 0 && !slice_is(u->path, "/"))
        return err_set(err, "a path ('" SLICE_FMT "') makes no sense in '%s'",
                       SLICE_ARGS(u->path), r->settings->target);
    r->scheme = slice_dup(u->scheme);
    r->address = slice_dup(r->is_unix ? u->path : u->authority);
    if (!r->scheme || !r->address)
        return err_set(err, "out of memory");
    if ((!r->is_unix && route_endpoints(r, err) < 0) ||
        route_dynamic(r, allow, err) < 0 ||
        route_options(r, u, r->settings, err) < 0)
        return -1;
    const struct route_target t = {{r->scheme, r->address, r->values},
                                   r->pattern};
    if (r->bridge->route_open(&bridge_host, &t.target, &r->bridge_route, why,
                              sizeof why) < 0) {
        r->bridge_route = NULL;
        return err_set(err, "%s bridge: %s", r->bridge->name, why);
    }
    r->bridge_open = true;
    return 0;
}

/* A folder's routes: everything below its path, and the path itself. */
static int route_static(struct router *rt, const char *host, const char *path,
                        const char *dir, const struct route_settings *s,
                        struct err *err)
{
    char base[512], below[520], decoded[512];
    size_t n = strlen(path);
    if (n >= 4 && strcmp(path + n - 4, "/...") == 0)
        n -= 4;
    else if (n >= 2 && strcmp(path + n - 2, "/*") == 0)
        n -= 2;
    while (n > 0 && path[n - 1] == '/')
        n--;
    if (n >= sizeof base || memchr(path, '{', n))
        return err_set(err, "the path of static files is plain text");
    snprintf(base, sizeof base, "%.*s", (int)n, path);
    snprintf(below, sizeof below, "%s/...", base);
    int prefix = url_decode((struct slice){base, n}, decoded, sizeof decoded);
    if (prefix < 0)
        return err_set(err, "bad escape in the path '%s'", path);

    for (int i = n > 0 ? 0 : 1; i < 2; i++) {
        struct route *r = &rt->routes[rt->n++];
        r->settings = s;
        r->kind = ROUTE_STATIC;
        r->redirect = i == 0;
        r->prefix = (size_t)prefix;
        r->pattern = pattern_new(host, i == 0 ? base : below, err);
        if (!r->pattern)
            return -1;
        if (route_name(r, host, i == 0 ? base : below) < 0)
            return err_set(err, "out of memory");
        if (!r->redirect && !(r->files = files_root_open(dir, err)))
            return -1;
    }
    return 0;
}

static int route_add(struct router *rt, const struct route_settings *s,
                     const struct settings *settings,
                     const struct registry *bridges,
                     const struct allow_list *allow, struct err *err)
{
    struct url u;
    const char *why;

    if (url_parse(&u, slice_of(s->target), &why) < 0)
        return err_set(err, "target '%s': %s", s->target, why);
    if (slice_is(u.scheme, "static")) {
        char *dir = NULL;
        if (u.path.n == 0)
            return err_set(err, "'static:' needs a folder");
        bool relative = s->folder && u.path.p[0] != '/';
        if (asprintf(&dir, "%s%s" SLICE_FMT, relative ? s->folder : "",
                     relative ? "/" : "", SLICE_ARGS(u.path)) < 0)
            dir = NULL;
        int status = dir ? route_static(rt, s->host, s->path, dir, s, err)
                         : err_set(err, "out of memory");
        free(dir);
        return status;
    }
    struct route *r = &rt->routes[rt->n++];
    r->settings = s;
    r->pattern = pattern_new(s->host, s->path, err);
    if (!r->pattern)
        return -1;
    if (route_name(r, s->host, s->path) < 0)
        return err_set(err, "out of memory");
    return route_bridge(r, &u, settings, bridges, allow, err);
}

static int by_pattern(const void *a, const void *b)
{
    const struct route *x = a, *y = b;
    return pattern_compare(x->pattern, y->pattern);
}

static int router_sort(struct router *rt, struct err *err)
{
    qsort(rt->routes, rt->n, sizeof *rt->routes, by_pattern);
    for (size_t i = 1; i < rt->n; i++)
        for (size_t j = i; j-- > 0;) {
            const struct route *a = &rt->routes[j], *b = &rt->routes[i];
            if (pattern_compare(a->pattern, b->pattern) != 0)
                break;
            if (a->kind == b->kind)
                return err_set(err,
                               "two routes answer to the same requests: "
                               "%s and %s",
                               a->name, b->name);
        }
    return 0;
}

/* Every route; all that is wrong is told. */
static int router_fill(struct router *rt, const struct settings *s,
                       const struct registry *bridges,
                       const struct allow_list *allow, struct err *all)
{
    struct err err;
    int status = 0;

    for (size_t i = 0; i < s->n_routes; i++) {
        const struct route_settings *r = &s->routes[i];
        if (route_add(rt, r, s, bridges, allow, &err) == 0)
            continue;
        err_prepend(&err, "%s: route %s%s", r->where, r->host ? r->host : "",
                    r->path);
        status = err_also(all, &err);
    }
    if (s->web && route_static(rt, NULL, "/", s->web, NULL, &err) < 0) {
        err_prepend(&err, "web");
        status = err_also(all, &err);
    }
    return status;
}

int router_init(struct router *rt, const struct settings *s,
                const struct registry *bridges, const struct allow_list *allow,
                struct err *err)
{
    *rt = (struct router){0};
    rt->routes = calloc(2 * s->n_routes + 2, sizeof *rt->routes);
    if (!rt->routes)
        return err_set(err, "out of memory");
    err->text[0] = '\0';
    if (router_fill(rt, s, bridges, allow, err) < 0 ||
        router_sort(rt, err) < 0) {
        router_fini(rt);
        return -1;
    }
    return 0;
}

void router_fini(struct router *rt)
{
    for (size_t i = 0; i < rt->n; i++) {
        struct route *r = &rt->routes[i];
        if (r->bridge_open)
            r->bridge->route_close(&bridge_host, r->bridge_route);
        if (r->bridge)
            options_free(r->bridge, r->values);
        if (r->files)
            files_root_close(r->files);
        if (r->pattern)
            pattern_free(r->pattern);
        free((char *)(uintptr_t)r->name);
        free(r->scheme);
        free(r->address);
    }
    free(rt->routes);
    *rt = (struct router){0};
}

/* ---- finding ----------------------------------------------------------- */

struct slice host_name(struct slice host)
{
    const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
    const char *bracket = host.n ? memrchr(host.p, ']', host.n) : NULL;
    if (colon && (!bracket || bracket < colon))
        host.n = (size_t)(colon - host.p);
    return host;
}

const struct route *router_find(const struct router *rt, enum route_kind kind,
                                struct slice host, struct slice path,
                                struct captures *c, bool *other)
{
    struct captures unused;
    const struct route *o = NULL;

    *other = false;
    for (size_t i = 0; i < rt->n; i++) {
        const struct route *r = &rt->routes[i];
        bool wanted = r->kind == kind;
        if (!pattern_match(r->pattern, host_name(host), path,
                           wanted ? c : &unused))
            continue;
        if (wanted) {
            *other = o && pattern_compare(o->pattern, r->pattern) < 0;
            return r;
        }
        if (!o)
            o = r;
    }
    *other = o != NULL;
    return NULL;
}
