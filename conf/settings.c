/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - defaults, then the file, then the flags, then the checks. */
#include "settings.h"

#include "apply.h"
#include "checks.h"
#include "file.h"
#include "flags.h"
#include "print.h"
#include "settings_source.h"
#include "value.h"

#include <stdlib.h>
#include <sysexits.h>

/* A settings and the memory of all its strings. */
struct loaded {
    struct settings settings;
    struct arena arena;
};

/* ---- the file ---------------------------------------------------------- */

/* The folder of a file: what its relative paths start from. NULL: the
 * working directory. */
static const char *folder_of(struct loader *l, const char *name)
{
    const char *slash = strrchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0;

    if (!slash)
        return NULL;
    return arena_text(l->arena,
                      n > 0 ? (struct slice){name, n} : slice_of("/"));
}

static void apply_text(struct loader *l, const char *name, struct slice text)
{
    struct yaml_reader *r = yaml_reader_open(name, false, text, l->complaints);

    if (!r)
        return;
    l->folder = folder_of(l, name);
    apply_document(l, yaml_reader_root(r));
    l->folder = NULL;
    yaml_reader_close(r);
}

static void apply_file(struct loader *l, const char *name)
{
    struct place whole = {name, 0, 0, false};
    struct slice text;
    struct err err;

    if (file_read(l->arena, name, YAML_BYTES_MAX, &text, &err))
        complain(l->complaints, whole, NULL, "%s", err.text);
    else
        apply_text(l, name, text);
}

/* ---- loading ----------------------------------------------------------- */

static struct loaded *loaded_new(struct loader *l, struct complaints *c)
{
    struct loaded *loaded = calloc(1, sizeof(*loaded));

    if (!loaded)
        return NULL;
    *l = (struct loader){.settings = &loaded->settings,
                         .arena = &loaded->arena,
                         .complaints = c,
                         .files = true};
    section_defaults(l, &settings_section, l->settings);
    return loaded;
}

/* The checks make sense only of values that are each right. */
static void check_whole(struct loader *l, const char *file)
{
    struct place whole = {file, 0, 0, file == NULL};

    if (l->complaints->n == 0)
        checks_run(l, whole);
    if (l->arena->failed)
        complain(l->complaints, whole, NULL, "out of memory");
}

struct settings *settings_from_yaml(const char *name, struct slice text,
                                    bool files, FILE *errors)
{
    struct complaints c = {.errors = errors};
    struct loader l;
    struct loaded *loaded = loaded_new(&l, &c);

    if (!loaded)
        return NULL;
    l.files = files;
    apply_text(&l, name, text);
    check_whole(&l, name);
    complaints_end(&c);
    if (c.n == 0)
        return &loaded->settings;
    settings_free(&loaded->settings);
    return NULL;
}

static bool print(enum flags_action action, struct arena *arena, FILE *output)
{
    if (action == FLAGS_HELP)
        flags_help(arena, output);
    else if (action == FLAGS_VERSION)
        fprintf(output, "gangway %s\n", GANGWAY_VERSION);
    else if (action == FLAGS_SCHEMA)
        print_schema(output);
    else if (action == FLAGS_REFERENCE)
        print_reference(output);
    else if (action == FLAGS_DEFAULT_CONFIG)
        print_default_config(output);
    else
        return false;
    return true;
}

static void complain_nothing_asked(struct complaints *c)
{
    struct place nowhere = {"gangway", 0, 0, true};

    complain(c, nowhere, NULL,
             "where to listen, and where to lead? For example:");
    fputs("    gangway 6080 localhost:5900\n"
          "    gangway --listen wss://:443 --cert FILE --key FILE "
          "--route /vnc=tcp://localhost:5900\n"
          "    gangway --config gangway.yaml\n"
          "gangway --help tells more.\n",
          c->errors);
}

/* True when *l holds settings that may be used. */
static bool load(struct loader *l, const struct settings_source *source,
                 const struct flags *flags)
{
    if (source->argc < 2) {
        complain_nothing_asked(l->complaints);
        return false;
    }
    if (flags->config)
        apply_file(l, flags->config);
    flags_apply(l, flags);
    check_whole(l, flags->config);
    return l->complaints->n == 0;
}

enum settings_action settings_load(const struct settings_source *source,
                                   FILE *output, FILE *errors,
                                   struct settings **out, int *exit_status)
{
    struct complaints c = {.errors = errors};
    enum settings_action action = SETTINGS_BAD;
    struct loader l;
    struct flags flags;
    struct loaded *loaded = loaded_new(&l, &c);

    *out = NULL;
    *exit_status = EX_OSERR;
    if (!loaded) {
        fprintf(errors, "gangway: out of memory\n");
        return SETTINGS_BAD;
    }
    flags_parse(source->argc, source->argv, l.arena, &c, &flags);
    if (c.n == 0 && print(flags.action, l.arena, output)) {
        action = SETTINGS_PRINTED;
    } else if (c.n == 0 && load(&l, source, &flags)) {
        action = flags.action == FLAGS_CHECK ? SETTINGS_CHECK : SETTINGS_RUN;
        *out = &loaded->settings;
    }
    complaints_end(&c);
    *exit_status = c.n > 0 ? complaints_exit_status(&c) : 0;
    if (!*out)
        settings_free(&loaded->settings);
    return action;
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    struct loaded *loaded = container_of(s, struct loaded, settings);
    arena_free(&loaded->arena);
    free(loaded);
}
