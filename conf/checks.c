/* SPDX-License-Identifier: Apache-2.0 */
/* checks.c - the checks that need the whole configuration. */
#include "checks.h"

#include "../gateway/base/url.h"

#include <stdlib.h>

/* An item's place is kept as text: FILE:LINE:COLUMN, or the flag. */
static struct place item_place(const char *where)
{
    return (struct place){where, 0, 0, where && !strchr(where, ':')};
}

static void check_something_to_do(struct loader *l, struct place whole)
{
    const struct settings *s = l->settings;

    if (s->n_listeners == 0)
        complain(l->complaints, whole, NULL,
                 "no listener: add one to 'listeners', or use --listen");
    if (s->n_routes == 0 && !s->web)
        complain(l->complaints, whole, NULL,
                 "nothing to serve: add to 'routes', use --route, or name a "
                 "'web' folder");
}

/* ---- listeners --------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_listener(const struct listener_settings *a,
                          const struct listener_settings *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == LISTEN_TCP)
        return a->port == b->port && a->port != 0 &&
               same_text(a->host, b->host);
    return a->kind == LISTEN_UNIX ? same_text(a->path, b->path)
                                  : a->fd == b->fd;
}

static void check_listeners(struct loader *l)
{
    const struct listener_settings *v = l->settings->listeners;

    for (size_t i = 0; i < l->settings->n_listeners; i++) {
        struct place at = item_place(v[i].where);
        size_t j = 0;

        if (v[i].tls && v[i].tls_settings.n_certificates == 0)
            complain(l->complaints, at, NULL,
                     "%.128s needs a certificate: give tls.certificate, or "
                     "--cert",
                     v[i].url);
        while (j < i && !same_listener(&v[j], &v[i]))
            j++;
        if (j < i)
            complain(l->complaints, at, NULL,
                     "%.128s is listened on twice, first in %s", v[i].url,
                     v[j].where);
    }
}

/* ---- routes ------------------------------------------------------------ */

/* Files and a bridge may share a path: they answer to different requests. */
static bool is_files(const struct route_settings *r)
{
    return strncmp(r->target, "static:", 7) == 0;
}

static int compare_routes(const void *a, const void *b)
{
    const struct route_settings *x = *(const struct route_settings *const *)a;
    const struct route_settings *y = *(const struct route_settings *const *)b;
    int host = strcmp(x->host ? x->host : "", y->host ? y->host : "");

    if (host != 0)
        return host;
    if (is_files(x) != is_files(y))
        return is_files(x) ? 1 : -1;
    int path = strcmp(x->path, y->path);
    return path != 0 ? path : (x > y) - (x < y);
}

/* Sorted, equal routes are neighbours: there may be thousands. */
static void check_duplicate_routes(struct loader *l)
{
    size_t n = l->settings->n_routes;
    const struct route_settings **v =
        arena_alloc(l->arena, (n + 1) * sizeof(*v));

    if (!v)
        return;
    for (size_t i = 0; i < n; i++)
        v[i] = &l->settings->routes[i];
    qsort(v, n, sizeof(*v), compare_routes);
    for (size_t i = 1; i < n; i++)
        if (same_text(v[i]->host, v[i - 1]->host) &&
            same_text(v[i]->path, v[i - 1]->path) &&
            is_files(v[i]) == is_files(v[i - 1]))
            complain(l->complaints, item_place(v[i]->where), NULL,
                     "%s%.128s has two routes, the other in %s",
                     v[i]->host ? v[i]->host : "", v[i]->path, v[i - 1]->where);
}

/* Whether clients choose the host, port or socket that is dialled. */
static bool target_is_chosen(const char *target)
{
    const char *why;
    struct url u;

    if (url_parse(&u, slice_of(target), &why))
        return false;
    if (u.authority.p)
        return memchr(u.authority.p, '{', u.authority.n) != NULL;
    return slice_is(u.scheme, "unix") && u.path.n > 0 &&
           memchr(u.path.p, '{', u.path.n) != NULL;
}

static void check_routes(struct loader *l)
{
    const struct settings *s = l->settings;

    check_duplicate_routes(l);
    for (size_t i = 0; i < s->n_routes && s->allow_targets.n == 0; i++)
        if (target_is_chosen(s->routes[i].target))
            complain(l->complaints, item_place(s->routes[i].where), NULL,
                     "clients choose where %.128s leads: say in "
                     "'allow_targets' (--allow-target) where it may",
                     s->routes[i].path);
}

/* ---- pairs of numbers -------------------------------------------------- */

/* Complain of the key that was given; of the second if both or none were. */
static void complain_pair(struct loader *l, const char *first,
                          const char *second, struct place whole,
                          const char *what)
{
    const struct setting *a = settings_find(slice_of(first));
    const struct setting *b = settings_find(slice_of(second));
    struct place at = loader_where(l, b);
    struct key_path path = {NULL, slice_of(second), 0};

    if (!at.source) {
        at = loader_where(l, a);
        path.key = slice_of(first);
    }
    complain(l->complaints, at.source ? at : whole, &path, "%s", what);
}

static void check_numbers(struct loader *l, struct place whole)
{
    const struct limit_settings *n = &l->settings->limits;

    if (n->queue_low >= n->queue_high)
        complain_pair(l, "limits.queue_high", "limits.queue_low", whole,
                      "queue_low must be less than queue_high");
    if (n->uri_bytes > n->header_bytes)
        complain_pair(l, "limits.header_bytes", "limits.uri_bytes", whole,
                      "uri_bytes is a part of header_bytes: it cannot be "
                      "more");
}

void checks_run(struct loader *l, struct place whole)
{
    check_something_to_do(l, whole);
    check_listeners(l);
    check_routes(l);
    check_numbers(l, whole);
}
