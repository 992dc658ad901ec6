/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c - one walk down document and table together.
 *
 * The table bounds the depth of the walk, VALUES_MAX its length: aliases can
 * make a small document very long. */
#include "apply.h"

#include "../gateway/base/suggest.h"
#include "expand.h"
#include "file.h"
#include "value.h"

#include <assert.h>

enum {
    KEYS_MAX = 64,         /* of one mapping */
    SECRET_MAX = 64 << 10, /* bytes of a KEY_file */
    OPTION_NAME_MAX = 64,
};

/* One key of a mapping while it is read. */
struct entry {
    const struct setting *setting;
    void *object; /* of the section that has the setting */
    struct ynode node;
    const struct key_path *path;
    bool from_file; /* KEY_file: the value is a file's content */
};

static void entry_complain(struct loader *l, const struct entry *e,
                           const char *what)
{
    complain(l->complaints, ynode_place(e->node), e->path, "%s", what);
}

/* ---- texts ------------------------------------------------------------- */

/* Replace a file's name by its content, without the final newline. */
static int read_secret(struct loader *l, struct slice *text, struct err *err)
{
    char *name = loader_file_name(l, *text);

    if (!name)
        return err_set(err, "out of memory");
    if (!l->files)
        return err_set(err, "files are not read here");
    if (file_read(l->arena, name, SECRET_MAX, text, err))
        return err_prepend(err, "%.256s", name);
    if (text->n > 0 && text->p[text->n - 1] == '\n')
        text->n--;
    if (text->n > 0 && text->p[text->n - 1] == '\r')
        text->n--;
    if (memchr(text->p, '\0', text->n))
        return err_set(err, "%.256s: holds a NUL byte", name);
    return 0;
}

/* The value of a scalar node: expanded, and without NUL bytes. */
static int scalar_text(struct loader *l, struct ynode node, bool from_file,
                       struct slice *text, struct err *err)
{
    *text = ynode_text(node);
    if (expand_variables(l->arena, text, err))
        return -1;
    if (memchr(text->p, '\0', text->n))
        return err_set(err, "holds a NUL byte");
    return from_file ? read_secret(l, text, err) : 0;
}

/* Strip "_file" from a key. */
static bool names_file(struct slice *key)
{
    static const char suffix[] = "_file";
    const size_t n = sizeof(suffix) - 1;

    if (key->n <= n || memcmp(key->p + key->n - n, suffix, n) != 0)
        return false;
    key->n -= n;
    return true;
}

/* ---- one function for each type ---------------------------------------- */

static void read_section(struct loader *l, const struct section *section,
                         void *object, struct ynode map,
                         const struct key_path *path);

static bool count_value(struct loader *l, struct ynode node)
{
    if (++l->values == VALUES_MAX)
        complain(l->complaints, ynode_place(node), NULL,
                 "more than %d values, aliases included", VALUES_MAX);
    return l->values < VALUES_MAX;
}

static bool in_settings(const struct loader *l, const void *object)
{
    const char *p = object, *start = (const char *)l->settings;

    return p >= start && p < start + sizeof(*l->settings);
}

static void read_scalar(struct loader *l, const struct entry *e)
{
    struct slice text;
    struct err err;

    if (ynode_kind(e->node) != YNODE_SCALAR) {
        entry_complain(l, e, "needs one value, not a list or a mapping");
        return;
    }
    if (scalar_text(l, e->node, e->from_file, &text, &err))
        entry_complain(l, e, err.text);
    else if (value_set(l, e->setting, e->object, text, &err))
        /* A secret is not repeated. */
        entry_complain(l, e,
                       e->from_file ? "the content of this file is not valid"
                                    : err.text);
    else if (in_settings(l, e->object))
        loader_given(l, e->setting, ynode_place(e->node));
}

/* The walk of a list: each element gets an entry of its own. */
static void read_elements(struct loader *l, const struct entry *e,
                          void (*read)(struct loader *, const struct entry *))
{
    size_t n = ynode_count(e->node);

    if (ynode_kind(e->node) != YNODE_LIST) {
        entry_complain(l, e, "needs a list");
        return;
    }
    if (n > ITEMS_MAX) {
        entry_complain(l, e, "has too many elements");
        return;
    }
    value_clear(e->setting, e->object);
    for (size_t i = 0; i < n; i++) {
        struct key_path path = {e->path, {NULL, 0}, i};
        struct entry element = *e;

        element.node = ynode_item(e->node, i);
        element.path = &path;
        if (!count_value(l, element.node))
            return;
        read(l, &element);
    }
}

static void read_list_element(struct loader *l, const struct entry *e)
{
    struct slice text;
    struct err err;

    if (ynode_kind(e->node) != YNODE_SCALAR)
        entry_complain(l, e, "needs one value, not a list or a mapping");
    else if (scalar_text(l, e->node, false, &text, &err) ||
             value_append(l, e->setting, e->object, text, &err))
        entry_complain(l, e, err.text);
}

static void read_list(struct loader *l, const struct entry *e)
{
    read_elements(l, e, read_list_element);
}

static void read_item(struct loader *l, const struct entry *e)
{
    const struct section *s = e->setting->section;
    bool text_form = s->from_text && ynode_kind(e->node) == YNODE_SCALAR;
    void *item = value_new_item(l, e->setting, e->object);
    struct slice text;
    struct err err;

    if (!item) {
        entry_complain(l, e, "out of memory");
    } else if (!text_form) {
        read_section(l, s, item, e->node, e->path);
    } else if (scalar_text(l, e->node, false, &text, &err) ||
               s->from_text(l, item, text, &err)) {
        entry_complain(l, e, err.text);
    } else if (s->finish) {
        s->finish(l, item, ynode_place(e->node), e->path, NULL);
    }
}

static void read_items(struct loader *l, const struct entry *e)
{
    read_elements(l, e, read_item);
}

static void read_subsection(struct loader *l, const struct entry *e)
{
    read_section(l, e->setting->section, (char *)e->object + e->setting->offset,
                 e->node, e->path);
}

/* tls.certificate stands for tls.certificates[0].certificate. */
static void read_first(struct loader *l, const struct entry *e)
{
    const struct setting *s = e->setting;
    struct entry inner = *e;
    size_t n;

    memcpy(&n, (char *)e->object + s->count, sizeof(n));
    if (n == 0)
        inner.object = value_new_item(l, s, e->object);
    else
        memcpy(&inner.object, (char *)e->object + s->offset,
               sizeof(inner.object));
    if (!inner.object) {
        entry_complain(l, e, "out of memory");
        return;
    }
    inner.setting = section_find(s->section, slice_of(s->key));
    read_scalar(l, &inner);
}

/* ---- options: a mapping with free keys --------------------------------- */

static bool option_known(const struct option_setting *v, size_t n,
                         struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_is(name, v[i].name))
            return true;
    return false;
}

static int read_option(struct loader *l, const struct entry *e,
                       struct slice name, struct option_setting *o,
                       struct err *err)
{
    struct slice text;

    if (ynode_kind(e->node) != YNODE_SCALAR)
        return err_set(err, "needs one value, not a list or a mapping");
    if (scalar_text(l, e->node, e->from_file, &text, err))
        return -1;
    o->name = arena_text(l->arena, name);
    o->value = arena_text(l->arena, text);
    o->where = place_text(l->arena, ynode_place(e->node));
    if (!o->name || !o->value || !o->where)
        return err_set(err, "out of memory");
    return 0;
}

static void read_options(struct loader *l, const struct entry *e)
{
    size_t n = ynode_count(e->node), *used;
    struct option_setting *v;
    struct err err;

    if (ynode_kind(e->node) != YNODE_MAP || n > KEYS_MAX) {
        entry_complain(l, e, "needs a mapping of at most 64 names");
        return;
    }
    v = arena_alloc(l->arena, (n + 1) * sizeof(*v));
    if (!v) {
        entry_complain(l, e, "out of memory");
        return;
    }
    memcpy((char *)e->object + e->setting->offset, &v, sizeof(v));
    used = (size_t *)(void *)((char *)e->object + e->setting->count);
    *used = 0;
    for (size_t i = 0; i < n; i++) {
        struct ynode key = ynode_key(e->node, i);
        struct slice name = ynode_text(key);
        struct key_path path = {e->path, name, 0};
        struct entry option = *e;

        option.node = ynode_item(e->node, i);
        option.path = &path;
        option.from_file = names_file(&name);
        if (!count_value(l, key))
            return;
        if (name.n == 0 || name.n > OPTION_NAME_MAX ||
            memchr(name.p, '\0', name.n))
            complain(l->complaints, ynode_place(key), e->path,
                     "an option's name is 1 to 64 bytes of text");
        else if (option_known(v, *used, name))
            complain(l->complaints, ynode_place(key), &path, "given twice");
        else if (read_option(l, &option, name, &v[*used], &err))
            entry_complain(l, &option, err.text);
        else
            ++*used;
    }
}

/* ---- mappings ---------------------------------------------------------- */

static void (*const readers[SETTING_TYPES])(struct loader *,
                                            const struct entry *) = {
    [SETTING_BOOL] = read_scalar,        [SETTING_COUNT] = read_scalar,
    [SETTING_SIZE] = read_scalar,        [SETTING_DURATION] = read_scalar,
    [SETTING_MODE] = read_scalar,        [SETTING_CHOICE] = read_scalar,
    [SETTING_STRING] = read_scalar,      [SETTING_PATH] = read_scalar,
    [SETTING_LIST] = read_list,          [SETTING_PATH_LIST] = read_list,
    [SETTING_SECTION] = read_subsection, [SETTING_ITEMS] = read_items,
    [SETTING_FIRST] = read_first,        [SETTING_OPTIONS] = read_options,
};

const char *apply_suggest(const struct loader *l, const struct section *section,
                          struct slice key, char *buf, size_t cap)
{
    struct suggest near;

    buf[0] = '\0';
    if (l->complaints->n >= SETTINGS_ERRORS_MAX)
        return buf;
    suggest_init(&near, key);
    for (size_t i = 0; i < section->n; i++)
        suggest_offer(&near, section->settings[i].key);
    suggest_text(&near, buf, cap);
    for (size_t i = 0; !near.best && i < settings_section.n; i++) {
        const struct setting *s = &settings_section.settings[i];
        if (s->type == SETTING_SECTION && section_find(s->section, key))
            snprintf(buf, cap, "; did you mean '%s." SLICE_FMT "'?", s->key,
                     SLICE_ARGS(key));
    }
    return buf;
}

/* The setting that a key names, as KEY or KEY_file. */
static const struct setting *key_setting(const struct section *section,
                                         struct slice key, bool *from_file)
{
    const struct setting *s = section_find(section, key);

    *from_file = false;
    if (s || !names_file(&key))
        return s;
    *from_file = true;
    s = section_find(section, key);
    return s && (s->attributes & SETTING_SECRET) ? s : NULL;
}

/* One pair. `line_of` holds where each setting of the section was given. */
static void read_pair(struct loader *l, const struct section *section,
                      void *object, struct ynode map, size_t i,
                      const struct key_path *parent, size_t *line_of)
{
    struct ynode key = ynode_key(map, i);
    struct key_path path = {parent, ynode_text(key), 0};
    struct entry e = {NULL, object, ynode_item(map, i), &path, false};
    struct place at = ynode_place(key);
    char hint[160];

    if (!count_value(l, key))
        return;
    if (ynode_kind(key) != YNODE_SCALAR) {
        complain(l->complaints, at, parent, "a key must be a word");
        return;
    }
    e.setting = key_setting(section, path.key, &e.from_file);
    if (!e.setting) {
        complain(l->complaints, at, &path, "unknown setting%s",
                 apply_suggest(l, section, path.key, hint, sizeof(hint)));
        return;
    }
    size_t *line = &line_of[e.setting - section->settings];
    if (*line > 0) {
        complain(l->complaints, at, &path, "given twice, first in line %zu",
                 *line);
        return;
    }
    *line = max_size(at.line, 1);
    if (ynode_kind(e.node) != YNODE_NULL)
        readers[e.setting->type](l, &e);
    else if (e.setting->attributes & SETTING_REQUIRED)
        complain(l->complaints, at, &path, "needs a value");
}

static void read_section(struct loader *l, const struct section *section,
                         void *object, struct ynode map,
                         const struct key_path *path)
{
    size_t line_of[KEYS_MAX] = {0}, errors = l->complaints->n;
    struct place at = ynode_place(map);

    assert(section->n <= KEYS_MAX);
    if (ynode_kind(map) != YNODE_MAP) {
        complain(l->complaints, at, path, "needs a mapping: KEY: VALUE");
        return;
    }
    for (size_t i = 0; i < ynode_count(map) && l->values < VALUES_MAX; i++)
        read_pair(l, section, object, map, i, path, line_of);
    if (l->complaints->n != errors)
        return;
    for (size_t i = 0; i < section->n; i++)
        if ((section->settings[i].attributes & SETTING_REQUIRED) &&
            line_of[i] == 0)
            complain(l->complaints, at, path, "'%s' is missing",
                     section->settings[i].key);
    if (l->complaints->n == errors && section->finish)
        section->finish(l, object, at, path, &map);
}

/* ---- the ways in ------------------------------------------------------- */

void apply_document(struct loader *l, struct ynode root)
{
    if (ynode_kind(root) != YNODE_NULL)
        read_section(l, &settings_section, l->settings, root, NULL);
}

void apply_node(struct loader *l, const struct setting *s, void *object,
                const struct key_path *path, struct ynode node)
{
    struct entry e = {s, object, node, path, false};

    if (ynode_kind(node) == YNODE_NULL)
        entry_complain(l, &e, "needs a value");
    else
        readers[s->type](l, &e);
}
