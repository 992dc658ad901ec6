/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - built-in bridges, plugins, and a bridge's options. */
#include "registry.h"
#include "../base/quantity.h"
#include "../base/suggest.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

extern const struct gw_bridge bridge_echo, bridge_stream, bridge_local,
    bridge_mqtt;

static const struct gw_bridge *const built_in[] = {
    &bridge_echo,
    &bridge_stream,
    &bridge_local,
    &bridge_mqtt,
};

/* Set once, before any thread: the calls of bridges' own threads carry no
 * pointer that would lead here. */
static const struct registry *loaded;

size_t registry_index(const struct gw_bridge *b)
{
    for (size_t i = 0; loaded && i < loaded->n; i++)
        if (loaded->bridges[i] == b)
            return i;
    return SIZE_MAX;
}

/* ---- bridges ----------------------------------------------------------- */

int registry_find(const struct registry *r, struct slice scheme)
{
    for (size_t i = 0; i < r->n; i++)
        for (const char *const *s = r->bridges[i]->schemes; *s; s++)
            if (slice_is(scheme, *s))
                return (int)i;
    return -1;
}

const char *registry_schemes(const struct registry *r, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < r->n; i++)
        for (const char *const *s = r->bridges[i]->schemes; *s && n < cap; s++)
            n += (size_t)snprintf(out + n, cap - n, "%s%s:", n ? ", " : "", *s);
    return out;
}

static int bridge_check(const struct registry *r, const struct gw_bridge *b,
                        struct err *err)
{
    if (b->abi != GW_ABI)
        return err_set(err, "made for version %u of bridge.h, this is %u",
                       (unsigned)b->abi, GW_ABI);
    if (b->size < sizeof *b)
        return err_set(err, "its table of functions is too short");
    if (!b->name || !b->schemes || !b->schemes[0] || !b->route_open ||
        !b->route_close || !b->open || !b->data || !b->close)
        return err_set(err, "its table of functions is incomplete");
    for (const char *const *s = b->schemes; *s; s++)
        if (registry_find(r, slice_of(*s)) >= 0)
            return err_set(err, "another bridge serves %s: already", *s);
    for (size_t i = 0; i < r->n; i++) /* it labels the counters */
        if (strcmp(r->bridges[i]->name, b->name) == 0)
            return err_set(err, "another bridge is called '%s'", b->name);
    if (r->n == REGISTRY_MAX)
        return err_set(err, "too many bridges");
    return 0;
}

/* A name without '/' would be looked for among the system's libraries: it
 * means a file here, as every other file name does. */
static void *plugin_open(const char *file)
{
    char here[PATH_MAX];
    bool bare = !strchr(file, '/');

    if (bare)
        snprintf(here, sizeof here, "./%s", file);
    return dlopen(bare ? here : file, RTLD_NOW | RTLD_LOCAL);
}

static int plugin_load(struct registry *r, const char *file, struct err *err)
{
    void *so = plugin_open(file);
    if (!so)
        return err_set(err, "%s", dlerror());
    const struct gw_bridge *b = dlsym(so, "gangway_bridge");
    if (!b) {
        err_set(err, "%s: exports no gangway_bridge", file);
    } else if (bridge_check(r, b, err) < 0) {
        err_prepend(err, "%s", file);
    } else {
        r->bridges[r->n++] = b;
        return 0;
    }
    dlclose(so);
    return -1;
}

int registry_load(struct registry *r, const struct string_list *plugins,
                  struct err *err)
{
    *r = (struct registry){0};
    for (size_t i = 0; i < LEN(built_in); i++) {
        if (bridge_check(r, built_in[i], err) < 0)
            return -1;
        r->bridges[r->n++] = built_in[i];
    }
    for (size_t i = 0; i < plugins->n; i++)
        if (plugin_load(r, plugins->v[i], err) < 0)
            return err_prepend(err, "plugin");
    loaded = r;
    return 0;
}

/* ---- options ----------------------------------------------------------- */

static bool parse_bool(const char *text, uint64_t *number)
{
    static const char *const words[] = {"false", "true", "no", "yes",
                                        "off",   "on",   "0",  "1"};
    for (size_t i = 0; i < LEN(words); i++)
        if (strcasecmp(text, words[i]) == 0) {
            *number = i & 1;
            return true;
        }
    return false;
}

static bool parse_enum(const char *values, const char *text, uint64_t *number)
{
    size_t n = strlen(text);
    *number = 0;
    if (n == 0 || strchr(text, '|'))
        return false;
    for (const char *v = values; v; v = strchr(v, '|')) {
        v += *v == '|';
        if (strncmp(v, text, n) == 0 && (v[n] == '|' || v[n] == '\0'))
            return true;
        ++*number;
    }
    return false;
}

static bool parse_value(const struct gw_option *o, const char *text,
                        uint64_t *number)
{
    struct err unused;
    struct slice s = slice_of(text);

    switch (o->kind) {
    case GW_OPT_BOOL:
        return parse_bool(text, number);
    case GW_OPT_ENUM:
        return parse_enum(o->values, text, number);
    case GW_OPT_DURATION:
        return duration_parse(s, number, &unused) == 0 && *number <= UINT32_MAX;
    case GW_OPT_SIZE:
        return size_parse(s, number, &unused) == 0;
    case GW_OPT_STRING:
    case GW_OPT_FILE:
        break;
    }
    return true;
}

static const char *kind_text(const struct gw_option *o)
{
    switch (o->kind) {
    case GW_OPT_BOOL:
        return "true or false";
    case GW_OPT_ENUM:
        return o->values;
    case GW_OPT_DURATION:
        return "a duration such as 500ms or 5s";
    case GW_OPT_SIZE:
        return "a size such as 64KiB";
    default:
        return "a text";
    }
}

static size_t options_count(const struct gw_bridge *b)
{
    size_t n = 0;
    while (b->options && b->options[n].name)
        n++;
    return n;
}

static int option_unknown(const struct gw_bridge *b, struct slice name,
                          struct err *err)
{
    struct suggest near;
    char hint[128];

    suggest_init(&near, name);
    for (size_t i = 0; i < options_count(b); i++)
        suggest_offer(&near, b->options[i].name);
    return err_set(err, "%s bridge: unknown option '" SLICE_FMT "'%s", b->name,
                   SLICE_ARGS(name), suggest_text(&near, hint, sizeof hint));
}

/* The text of a value; malloc. */
static char *option_text(const struct gw_option *o, const struct option_text *t,
                         const char *folder)
{
    char *text = NULL;

    if (t->bare && o->kind == GW_OPT_BOOL)
        return strdup("true");
    if (o->kind == GW_OPT_FILE && folder && t->value.n > 0 &&
        t->value.p[0] != '/')
        return asprintf(&text, "%s/" SLICE_FMT, folder, SLICE_ARGS(t->value)) <
                       0
                   ? NULL
                   : text;
    return strndup(t->value.p ? t->value.p : "", t->value.n);
}

static int option_set(const struct gw_bridge *b, const struct option_text *t,
                      const char *folder, struct gw_value *values,
                      struct err *err)
{
    size_t i = 0, n = options_count(b);
    while (i < n && !slice_is(t->name, b->options[i].name))
        i++;
    if (i == n)
        return option_unknown(b, t->name, err);
    if (values[i].text)
        return err_set(err, "option '%s' is given twice", b->options[i].name);
    char *text = option_text(&b->options[i], t, folder);
    if (!text)
        return err_set(err, "out of memory");
    values[i].text = text;
    if (!parse_value(&b->options[i], text, &values[i].number))
        return err_set(err, "option '%s': '%s' is not %s", b->options[i].name,
                       text, kind_text(&b->options[i]));
    return 0;
}

int options_parse(const struct gw_bridge *b, const struct option_text *given,
                  size_t n, const char *folder, struct gw_value **out,
                  struct err *err)
{
    size_t count = options_count(b);
    struct gw_value *v = calloc(count + 1, sizeof *v);
    if (!v)
        return err_set(err, "out of memory");
    for (size_t i = 0; i < n; i++)
        if (option_set(b, &given[i], folder, v, err) < 0) {
            options_free(b, v);
            return -1;
        }
    for (size_t i = 0; i < count; i++) {
        const struct gw_option *o = &b->options[i];
        if (v[i].text || !o->standard)
            continue;
        v[i].text = strdup(o->standard);
        if (!v[i].text || !parse_value(o, o->standard, &v[i].number)) {
            options_free(b, v);
            return err_set(err, "%s bridge: the default of '%s' is no use",
                           b->name, o->name);
        }
    }
    *out = v;
    return 0;
}

void options_free(const struct gw_bridge *b, struct gw_value *v)
{
    for (size_t i = 0; v && i < options_count(b); i++)
        free((char *)(uintptr_t)v[i].text);
    free(v);
}
