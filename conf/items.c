/* SPDX-License-Identifier: Apache-2.0 */
/* items.c - what a listener's URL says, and what must go together. */
#include "items.h"

#include "../gateway/base/url.h"
#include "rules.h"
#include "value.h"
#include "yaml_reader.h"

#include <arpa/inet.h>

enum { SHOWN_MAX = 64 };

static const char listener_forms[] =
    "write ws://ADDR:PORT, wss://ADDR:PORT, unix:PATH or fd:N";

/* ---- listeners --------------------------------------------------------- */

int listener_from_text(struct loader *l, void *listener, struct slice url,
                       struct err *err)
{
    struct listener_settings *li = listener;

    li->url = arena_text(l->arena, url);
    return li->url ? 0 : err_set(err, "out of memory");
}

/* An address, NULL for all of them. Names are not looked up. */
static int listen_address(struct loader *l, struct slice host, char **out,
                          struct err *err)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (host.n == 0 || slice_is(host, "*")) {
        *out = NULL;
        return 0;
    }
    if (slice_is(host, "localhost"))
        host = slice_of("127.0.0.1");
    *out = arena_text(l->arena, host);
    if (!*out)
        return err_set(err, "out of memory");
    if (inet_pton(AF_INET, *out, address) != 1 &&
        inet_pton(AF_INET6, *out, address) != 1)
        return err_set(err,
                       "'%.64s' is no numeric address; write an IPv4 address, "
                       "an [IPv6] address, or * for every address",
                       *out);
    return 0;
}

static int listen_tcp(struct loader *l, struct listener_settings *li,
                      const struct url *u, struct err *err)
{
    struct slice list = u->authority;
    struct endpoint e = {0};

    li->kind = LISTEN_TCP;
    li->tls = slice_is(u->scheme, "wss");
    if (u->n_params > 0 || (u->path.n > 0 && !slice_is(u->path, "/")))
        return err_set(err, "a listener has no path; routes have");
    if (list.n > 0 && (list.p[0] == ':' || list.p[0] == '*')) {
        size_t skip = list.p[0] == '*' ? 1 : 0;
        e.port = (struct slice){list.p + skip, list.n - skip};
        if (e.port.n > 0)
            e.port = (struct slice){e.port.p + 1, e.port.n - 1};
    } else if (endpoint_next(&list, &e) != 1 || list.n > 0) {
        return err_set(err, "'%.64s': %s", li->url, listener_forms);
    }
    li->port = port_parse(e.port, true);
    if (li->port < 0)
        return err_set(err, "'%.64s' needs a port from 0 to 65535 (0: any)",
                       li->url);
    return listen_address(l, e.host, &li->host, err);
}

static int listen_unix(struct loader *l, struct listener_settings *li,
                       const struct url *u, struct err *err)
{
    const struct setting *mode = section_find(
        settings_find(slice_of("listeners"))->section, slice_of("mode"));

    li->kind = LISTEN_UNIX;
    if (u->authority.n > 0)
        return err_set(err, "'%.64s': write unix:/PATH, without //", li->url);
    for (size_t i = 0; i < u->n_params; i++) {
        if (!slice_is(u->params[i].name, "mode"))
            return err_set(err,
                           "unix: knows no option '" SLICE_FMT "', only mode",
                           SLICE_ARGS(u->params[i].name));
        if (value_set(l, mode, li, u->params[i].value, err))
            return -1;
    }
    return rule_socket_path(l, u->path, &li->path, err);
}

static int listen_fd(struct loader *l, struct listener_settings *li,
                     const struct url *u, struct err *err)
{
    long fd = 0;

    (void)l;
    li->kind = LISTEN_FD;
    for (size_t i = 0; i < u->path.n && fd <= 65535; i++) {
        if (u->path.p[i] < '0' || u->path.p[i] > '9')
            return err_set(err, "'%.64s': write fd:3", li->url);
        fd = fd * 10 + (u->path.p[i] - '0');
    }
    if (u->n_params > 0 || u->authority.p || fd < 3 || fd > 65535)
        return err_set(err, "'%.64s': write fd:N, with N from 3 to 65535",
                       li->url);
    li->fd = (int)fd;
    return 0;
}

static int listener_parse(struct loader *l, struct listener_settings *li,
                          struct err *err)
{
    static const struct {
        const char *scheme;
        int (*parse)(struct loader *, struct listener_settings *,
                     const struct url *, struct err *);
    } forms[] = {
        {"ws", listen_tcp},
        {"wss", listen_tcp},
        {"unix", listen_unix},
        {"fd", listen_fd},
    };
    const char *why;
    struct url u;

    li->fd = -1;
    if (url_parse(&u, slice_of(li->url), &why) == 0)
        for (size_t i = 0; i < LEN(forms); i++)
            if (slice_is(u.scheme, forms[i].scheme))
                return forms[i].parse(l, li, &u, err);
    return err_set(err, "'%.64s': %s", li->url, listener_forms);
}

void tls_finish(struct loader *l, void *tls, struct place at,
                const struct key_path *path, const struct ynode *node)
{
    struct tls_settings *t = tls;
    bool shorthand = ynode_has(node, "certificate") || ynode_has(node, "key");

    if (shorthand && ynode_has(node, "certificates"))
        complain(l->complaints, at, path,
                 "give either certificate and key, or certificates");
    else if (shorthand && !ynode_has(node, "certificate"))
        complain(l->complaints, at, path, "a key needs its 'certificate'");
    if (t->client_certificate != CLIENT_CERT_NONE && !t->client_ca)
        complain(l->complaints, at, path,
                 "client_certificate needs 'client_ca': who signs them?");
    if (t->client_certificate == CLIENT_CERT_NONE && t->client_ca)
        complain(l->complaints, at, path,
                 "client_ca asks for no certificate; add "
                 "'client_certificate: required' (or optional)");
}

void listener_finish(struct loader *l, void *listener, struct place at,
                     const struct key_path *path, const struct ynode *node)
{
    struct listener_settings *li = listener;
    bool tls = ynode_has(node, "tls"), mode = ynode_has(node, "mode");
    struct err err;

    li->where = place_text(l->arena, at);
    if (listener_parse(l, li, &err)) {
        complain(l->complaints, at, path, "%s", err.text);
        return;
    }
    if (li->kind == LISTEN_TCP && tls && !li->tls)
        complain(l->complaints, at, path,
                 "ws:// does not speak TLS: write wss://, or remove 'tls'");
    if (li->kind != LISTEN_TCP)
        li->tls = tls;
    if (mode && (li->kind != LISTEN_UNIX || strchr(li->url, '?')))
        complain(l->complaints, at, path, "%s",
                 li->kind == LISTEN_UNIX ? "the mode is given twice"
                                         : "only unix: has a 'mode'");
}

/* ---- routes ------------------------------------------------------------ */

int route_from_text(struct loader *l, void *route, struct slice text,
                    struct err *err)
{
    const struct section *s = settings_find(slice_of("routes"))->section;
    const char *equals = memchr(text.p, '=', text.n);
    const char *slash =
        equals ? memchr(text.p, '/', (size_t)(equals - text.p)) : NULL;

    if (!slash)
        return err_set(err,
                       "'%.*s': write [HOST]/PATH=TARGET, like "
                       "/vnc=tcp://127.0.0.1:5900",
                       (int)min_size(text.n, SHOWN_MAX), text.p);

    struct slice host = {text.p, (size_t)(slash - text.p)};
    struct slice path = {slash, (size_t)(equals - slash)};
    struct slice target = {equals + 1, text.n - host.n - path.n - 1};

    if (host.n > 0 &&
        value_set(l, section_find(s, slice_of("host")), route, host, err))
        return -1;
    if (value_set(l, section_find(s, slice_of("path")), route, path, err))
        return -1;
    if (value_set(l, section_find(s, slice_of("target")), route, target, err))
        return err_prepend(err, "target");
    return 0;
}

void route_finish(struct loader *l, void *route, struct place at,
                  const struct key_path *path, const struct ynode *node)
{
    struct route_settings *r = route;

    (void)path;
    (void)node;
    r->where = place_text(l->arena, at);
    r->folder = l->folder ? arena_text(l->arena, slice_of(l->folder)) : NULL;
}
