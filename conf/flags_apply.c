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

/* ---- one flag ---------------------------------------------------------- */

static void *object_of(struct loader *l, const struct setting *s)
{
    for (size_t i = 0; i < settings_section.n; i++) {
        const struct setting *top = &settings_section.settings[i];
        const struct section *in = top->section;

        if (top->type == SETTING_SECTION && s >= in->settings &&
            s < in->settings + in->n)
            return (char *)l->settings + top->offset;
    }
    return l->settings;
}

static int apply_item(struct loader *l, const struct setting *s,
                      struct place at, struct slice text, struct err *err)
{
    void *item = value_new_item(l, s, l->settings);

    if (!item)
        return err_set(err, "too many of them");
    if (s->section->from_text(l, item, text, err))
        return -1;
    s->section->finish(l, item, at, NULL, NULL);
    return 0;
}

/* One value of a flag: sets a scalar, or adds to a list. */
static void apply_flag(struct loader *l, const struct setting *s,
                       struct place at, struct slice text)
{
    void *object = object_of(l, s);
    struct err err;
    int failed;

    if (value_is_scalar(s))
        failed = value_set(l, s, object, text, &err);
    else if (s->type == SETTING_ITEMS)
        failed = apply_item(l, s, at, text, &err);
    else
        failed = value_append(l, s, object, text, &err);
    if (failed)
        complain(l->complaints, at, NULL, "%s", err.text);
    else
        loader_given(l, s, at);
}

/* Sections and lists of --set: YAML, read like the same part of a file. */
static void apply_yaml(struct loader *l, const struct setting *s,
                       struct place at, const struct key_path *path,
                       struct slice text)
{
    struct yaml_reader *r =
        yaml_reader_open(at.source, true, text, l->complaints);

    if (!r)
        return;
    apply_node(l, s, object_of(l, s), path, yaml_reader_root(r));
    yaml_reader_close(r);
}

/* --set with a key that the table does not have. */
static void complain_unknown(struct loader *l, struct place at,
                             const struct key_path *path)
{
    const struct section *section = &settings_section;
    const struct setting *parent = NULL;
    struct slice key = path->key, before;
    const char *dot = memrchr(key.p, '.', key.n);
    char hint[160];

    if (dot) {
        before = (struct slice){key.p, (size_t)(dot - key.p)};
        parent = settings_find(before);
        key = (struct slice){dot + 1, key.n - before.n - 1};
    }
    if (dot && !parent) {
        complain(l->complaints, at, path, "unknown setting");
    } else if (parent && parent->type != SETTING_SECTION) {
        complain(l->complaints, at, path,
                 "'%s' is set as a whole, in YAML: --set '%s=...'", parent->key,
                 parent->key);
    } else {
        section = parent ? parent->section : section;
        complain(l->complaints, at, path, "unknown setting%s",
                 apply_suggest(l, section, key, hint, sizeof(hint)));
    }
}

/* --set KEY=VALUE. A list or section is written in YAML and replaces what
 * was there. */
static void apply_set(struct loader *l, struct place at, struct slice pair)
{
    const char *equals = memchr(pair.p, '=', pair.n);
    size_t n = equals ? (size_t)(equals - pair.p) : pair.n;
    struct key_path path = {NULL, {pair.p, n}, 0};
    const struct setting *s = settings_find(path.key);
    struct err err;

    if (!equals) {
        complain(l->complaints, at, NULL,
                 "'%.*s': write KEY=VALUE, like limits.max_message=4MiB",
                 (int)min_size(pair.n, 64), pair.p);
        return;
    }
    struct slice text = {equals + 1, pair.n - n - 1};
    if (!s)
        complain_unknown(l, at, &path);
    else if (!value_is_scalar(s))
        apply_yaml(l, s, at, &path, text);
    else if (value_set(l, s, object_of(l, s), text, &err))
        complain(l->complaints, at, &path, "%s", err.text);
    else
        loader_given(l, s, at);
}

/* ---- all of them ------------------------------------------------------- */

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
