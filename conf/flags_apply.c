/* SPDX-License-Identifier: Apache-2.0 */
/* flags_apply.c - what the command line says, on top of the file. */
#include "apply.h"
#include "flags.h"
#include "value.h"

#include "../gateway/base/url.h"

static struct place usage_place(const char *source)
{
    return (struct place){source, 0, 0, true};
}

/* Whether a flag before use i already gave this setting. */
static bool given_before(const struct flags *f, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (f->uses[j].setting == f->uses[i].setting)
            return true;
    return false;
}

static bool given(const struct flags *f, const struct setting *s)
{
    for (size_t i = 0; i < f->n_uses; i++)
        if (f->uses[i].setting == s)
            return true;
    return false;
}

static void apply_uses(struct loader *l, const struct flags *f)
{
    for (size_t i = 0; i < f->n_uses; i++) {
        const struct flag_use *use = &f->uses[i];
        struct place at = usage_place(use->name);

        if (!use->setting) {
            apply_set(l, at, slice_of(use->text));
            continue;
        }
        if (!given_before(f, i))
            value_clear(use->setting, l->settings);
        apply_flag(l, use->setting, at, slice_of(use->text));
    }
}

/* Whether `text` is HOST:PORT, not a URL. */
static bool is_host_port(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon && !strstr(text, "://") &&
           port_parse(slice_of(colon + 1), false) > 0;
}

/* PORT or ADDR:PORT, as a listener's URL. */
static char *listener_url(struct loader *l, const struct flags *f)
{
    const char *text = f->positional.v[0];
    const char *scheme = f->certs.n > 0 ? "wss" : "ws";

    return arena_printf(l->arena, "%s://%s%s", scheme,
                        strchr(text, ':') ? "" : ":", text);
}

/* The route that answers to every path. */
static char *route_text(struct loader *l, const struct flags *f)
{
    const char *target = f->unix_target ? f->unix_target : f->positional.v[1];
    const char *scheme = f->unix_target         ? "unix:"
                         : is_host_port(target) ? "tcp://"
                                                : "";

    return arena_printf(l->arena, "/...=%s%s", scheme, target);
}

static void apply_positional(struct loader *l, const struct flags *f)
{
    const struct setting *listeners = settings_find(slice_of("listeners"));
    const struct setting *routes = settings_find(slice_of("routes"));
    char *url, *route;

    if (f->positional.n == 0)
        return;
    url = listener_url(l, f);
    route = route_text(l, f);
    if (!url || !route)
        return;
    if (!given(f, listeners))
        value_clear(listeners, l->settings);
    if (!given(f, routes))
        value_clear(routes, l->settings);
    apply_flag(l, listeners, usage_place("PORT"), slice_of(url));
    apply_flag(l, routes, usage_place("TARGET"), slice_of(route));
}

/* --cert and --key serve every TLS listener that names no certificate. */
static void apply_certificates(struct loader *l, const struct flags *f)
{
    struct settings *s = l->settings;
    struct certificate_settings *v;
    bool used = false;

    if (f->certs.n == 0)
        return;
    v = arena_alloc(l->arena, f->certs.n * sizeof(*v));
    if (!v)
        return;
    for (size_t i = 0; i < f->certs.n; i++)
        v[i] = (struct certificate_settings){
            f->certs.v[i], f->keys.n > 0 ? f->keys.v[i] : NULL};
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct listener_settings *li = &s->listeners[i];

        if (!li->tls || li->tls_settings.n_certificates > 0)
            continue;
        li->tls_settings.certificates = v;
        li->tls_settings.n_certificates = f->certs.n;
        used = true;
    }
    if (!used)
        complain(l->complaints, usage_place("--cert"), NULL,
                 "no listener uses it: --listen wss://ADDR:PORT would");
}

void flags_apply(struct loader *l, const struct flags *flags)
{
    size_t errors = l->complaints->n;

    apply_uses(l, flags);
    apply_positional(l, flags);
    if (l->complaints->n == errors)
        apply_certificates(l, flags);
}
