/* SPDX-License-Identifier: Apache-2.0 */
/* flags.c - the command line, by argp.
 *
 * Most flags are rows of the settings table; those here are the ones that are
 * no setting. argp neither prints nor exits on its own: a reload parses the
 * command line again while the workers run, and every error has to end in
 * the same list. */
#include "flags.h"

#include "../gateway/base/suggest.h"
#include "apply.h"

#include <argp.h>
#include <assert.h>

enum { FLAGS_MAX = 64 };

enum flag_key {
    KEY_CONFIG = 'c',
    KEY_HELP = 'h',
    KEY_VERBOSE = 'v',
    KEY_VERSION = 'V',
    KEY_SET = 256, /* no single letter */
    KEY_CHECK,
    KEY_CERT,
    KEY_KEY,
    KEY_SSL_ONLY,
    KEY_UNIX_TARGET,
    KEY_SCHEMA,
    KEY_REFERENCE,
    KEY_DEFAULT_CONFIG,
    KEY_SETTING, /* + index into parser.settings */
};

static const struct argp_option own_flags[] = {
    {NULL, 0, NULL, 0, "Where clients connect:", GROUP_LISTEN},
    {"cert", KEY_CERT, "FILE", 0,
     "PEM file with the certificate and its chain, for wss:// listeners that "
     "name none, and for PORT; repeat it for further names (SNI)",
     GROUP_LISTEN},
    {"key", KEY_KEY, "FILE", 0,
     "PEM file with the key of the --cert of the same rank", GROUP_LISTEN},
    {"ssl-only", KEY_SSL_ONLY, NULL, 0,
     "Accepted for familiarity: PORT with --cert speaks nothing but wss",
     GROUP_LISTEN},

    {NULL, 0, NULL, 0, "Where they are led:", GROUP_ROUTE},
    {"unix-target", KEY_UNIX_TARGET, "PATH", 0,
     "Lead PORT to a Unix socket, instead of TARGET", GROUP_ROUTE},

    {NULL, 0, NULL, 0, "Operation:", GROUP_OPERATE},
    {"verbose", KEY_VERBOSE, NULL, 0, "Log at level debug", GROUP_OPERATE},

    {NULL, 0, NULL, 0, "Settings:", GROUP_SETTINGS},
    {"config", KEY_CONFIG, "FILE", 0, "Read this YAML file; flags prevail",
     GROUP_SETTINGS},
    {"set", KEY_SET, "KEY=VALUE", 0,
     "Give any setting of the file a value, as in limits.max_message=4MiB; "
     "repeatable",
     GROUP_SETTINGS},
    {"check", KEY_CHECK, NULL, 0, "Check all settings, then exit",
     GROUP_SETTINGS},
    {"schema", KEY_SCHEMA, NULL, 0, "Print the JSON Schema of the file",
     GROUP_SETTINGS},
    {"settings-reference", KEY_REFERENCE, NULL, OPTION_HIDDEN, NULL,
     GROUP_SETTINGS},
    {"default-config", KEY_DEFAULT_CONFIG, NULL, OPTION_HIDDEN, NULL,
     GROUP_SETTINGS},
    {"help", KEY_HELP, NULL, 0, "Print this and exit", -1},
    {"version", KEY_VERSION, NULL, 0, "Print the version and exit", -1},
};

static const char usage_forms[] = "[ADDR:]PORT TARGET\n"
                                  "--listen URL --route [HOST]/PATH=TARGET\n"
                                  "--config FILE";

static const char help_text[] =
    "A WebSocket gateway: browsers in front, TCP services and brokers behind."
    "\v"
    "TARGET is HOST:PORT or a URL: tcp://HOST:PORT, tls://HOST:PORT, "
    "unix:PATH, echo: ... A flag prevails over the file; a flag that makes a "
    "list replaces the file's list.\n\n"
    "Every setting, its default and its range: gangway.yaml(5).";

struct parser {
    struct arena *arena;
    struct complaints *complaints;
    struct flags *flags;
    const struct setting *settings[FLAGS_MAX]; /* those that have a flag */
    size_t n_settings;
    struct argp_option options[FLAGS_MAX];
    size_t n_options;
};

/* ---- the options of argp ----------------------------------------------- */

static bool is_list(const struct setting *s)
{
    return s->type == SETTING_LIST || s->type == SETTING_PATH_LIST ||
           s->type == SETTING_ITEMS;
}

/* "Where clients connect; repeatable", "Pings (default 30s; 0: never)" */
static const char *option_help(struct arena *a, const struct setting *s)
{
    bool shown = s->standard && !is_list(s);
    const char *zero = s->zero && shown ? s->zero : "";
    bool is_zero = shown && strcmp(s->standard, "0") == 0;
    char *text =
        arena_printf(a, "%c%s%s%s%s%s%s%s", s->help[0] - 'a' + 'A', s->help + 1,
                     is_list(s) ? "; repeatable" : "",
                     shown ? " (default " : "", shown ? s->standard : "",
                     zero[0] == '\0' ? ""
                     : is_zero       ? ": "
                                     : "; 0: ",
                     zero, shown ? ")" : "");

    return text ? text : s->help;
}

static void add_option(struct parser *p, struct argp_option o)
{
    assert(p->n_options + 1 < FLAGS_MAX);
    p->options[p->n_options++] = o;
}

static void add_section_flags(struct parser *p, const struct section *section)
{
    for (size_t i = 0; i < section->n; i++) {
        const struct setting *s = &section->settings[i];

        if (s->type == SETTING_SECTION)
            add_section_flags(p, s->section);
        if (!s->flag)
            continue;
        add_option(p, (struct argp_option){
                          s->flag, KEY_SETTING + (int)p->n_settings, s->arg, 0,
                          option_help(p->arena, s), (int)s->group});
        p->settings[p->n_settings++] = s;
    }
}

/* The last option stays all zero: the end. */
static void make_options(struct parser *p)
{
    for (size_t i = 0; i < LEN(own_flags); i++)
        add_option(p, own_flags[i]);
    add_section_flags(p, &settings_section);
}

/* ---- what a wrong word was meant to be --------------------------------- */

static struct place usage_place(const char *source)
{
    return (struct place){source, 0, 0, true};
}

/* The only flag that name begins, or its name in full; *n counts them. */
static const struct argp_option *find_long(const struct parser *p,
                                           struct slice name, size_t *n)
{
    const struct argp_option *found = NULL;

    *n = 0;
    for (size_t i = 0; i < p->n_options; i++) {
        const struct argp_option *o = &p->options[i];
        if (!o->name || strncmp(o->name, name.p, name.n) != 0)
            continue;
        found = o;
        if (strlen(o->name) == name.n) {
            *n = 1;
            return o;
        }
        ++*n;
    }
    return found;
}

static bool describe_long(struct parser *p, const char *word)
{
    struct slice name = {word + 2, strcspn(word + 2, "=")};
    bool value = name.p[name.n] == '=';
    const struct argp_option *o;
    struct suggest near;
    char hint[96] = "";
    size_t n;

    o = find_long(p, name, &n);
    if (n == 1 && (o->arg != NULL) == value)
        return false;
    if (n == 1) {
        complain(p->complaints, usage_place(word), NULL, "%s",
                 value ? "takes no value" : "needs a value");
        return true;
    }
    suggest_init(&near, name);
    for (size_t i = 0; i < p->n_options && n == 0; i++)
        if (p->options[i].name)
            suggest_offer(&near, p->options[i].name);
    if (near.best)
        snprintf(hint, sizeof(hint), "; did you mean '--%s'?", near.best);
    complain(p->complaints, usage_place(word), NULL, "%s%s",
             n > 1 ? "could be several flags" : "unknown flag", hint);
    return true;
}

static bool describe_short(struct parser *p, const char *word)
{
    for (const char *c = word + 1; *c; c++) {
        const struct argp_option *o = NULL;

        for (size_t i = 0; i < p->n_options && !o; i++)
            if (p->options[i].key == *c)
                o = &p->options[i];
        if (o && !o->arg)
            continue;
        if (o && c[1] != '\0')
            return false;
        complain(p->complaints, usage_place(word), NULL, "%s",
                 o ? "needs a value" : "unknown flag; see --help");
        return true;
    }
    return false;
}

static bool describe(struct parser *p, const char *word)
{
    if (word[0] != '-' || word[1] == '\0')
        return false;
    return word[1] == '-' ? describe_long(p, word) : describe_short(p, word);
}

/* argp has stopped. The word that it did not like is the one just before, or
 * one of several letters that it is still in. */
static void describe_error(struct parser *p, const struct argp_state *state)
{
    if (state->next > 1 && describe(p, state->argv[state->next - 1]))
        return;
    if (state->next < state->argc && describe(p, state->argv[state->next]))
        return;
    complain(p->complaints, usage_place(NULL), NULL,
             "the command line cannot be read; see --help");
}

/* ---- parsing ----------------------------------------------------------- */

static void out_of_memory(struct parser *p)
{
    complain(p->complaints, usage_place(NULL), NULL, "out of memory");
}

static void add_use(struct parser *p, const struct setting *s, const char *name,
                    const char *text)
{
    void *uses = p->flags->uses;
    struct flag_use *use =
        arena_append(p->arena, &uses, &p->flags->n_uses, sizeof(*use));

    if (!use) {
        out_of_memory(p);
        return;
    }
    p->flags->uses = uses;
    *use = (struct flag_use){s, name, text};
}

static void add_text(struct parser *p, struct string_list *list, char *text)
{
    void *v = list->v;
    char **room = arena_append(p->arena, &v, &list->n, sizeof(*room));

    if (!room) {
        out_of_memory(p);
        return;
    }
    list->v = v;
    *room = text;
}

/* --heartbeat 30 counts seconds, for those who know it from elsewhere. */
static const char *with_unit(struct parser *p, const struct setting *s,
                             const char *text)
{
    const char *longer = NULL;

    if (s->type == SETTING_DURATION && text[0] != '\0' &&
        text[strspn(text, "0123456789")] == '\0')
        longer = arena_printf(p->arena, "%ss", text);
    return longer ? longer : text;
}

static void parse_setting(struct parser *p, size_t i, const char *arg)
{
    const struct setting *s = p->settings[i];
    const char *name = arena_printf(p->arena, "--%s", s->flag);

    add_use(p, s, name ? name : s->flag, with_unit(p, s, arg));
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    static const enum flags_action actions[] = {
        [KEY_CHECK] = FLAGS_CHECK,
        [KEY_HELP] = FLAGS_HELP,
        [KEY_VERSION] = FLAGS_VERSION,
        [KEY_SCHEMA] = FLAGS_SCHEMA,
        [KEY_REFERENCE] = FLAGS_REFERENCE,
        [KEY_DEFAULT_CONFIG] = FLAGS_DEFAULT_CONFIG,
    };
    struct parser *p = state->input;
    struct flags *f = p->flags;

    if (key >= KEY_SETTING && key < KEY_SETTING + (int)p->n_settings) {
        parse_setting(p, (size_t)(key - KEY_SETTING), arg);
        return 0;
    }
    switch (key) {
    case KEY_CONFIG:
        f->config = arg;
        return 0;
    case KEY_SET:
        add_use(p, NULL, "--set", arg);
        return 0;
    case KEY_VERBOSE:
        add_use(p, settings_find(slice_of("log.level")), "--verbose", "debug");
        return 0;
    case KEY_CERT:
        add_text(p, &f->certs, arg);
        return 0;
    case KEY_KEY:
        add_text(p, &f->keys, arg);
        return 0;
    case KEY_UNIX_TARGET:
        f->unix_target = arg;
        return 0;
    case KEY_SSL_ONLY:
        return 0;
    case KEY_CHECK:
    case KEY_HELP:
    case KEY_VERSION:
    case KEY_SCHEMA:
    case KEY_REFERENCE:
    case KEY_DEFAULT_CONFIG:
        if (f->action == FLAGS_RUN || f->action == FLAGS_CHECK)
            f->action = actions[key];
        return 0;
    case ARGP_KEY_ARG:
        add_text(p, &f->positional, arg);
        return 0;
    case ARGP_KEY_ERROR:
        describe_error(p, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* [ADDR:]PORT TARGET, or [ADDR:]PORT and --unix-target. */
static void check_positional(struct parser *p)
{
    const struct flags *f = p->flags;
    size_t n = f->positional.n, want = f->unix_target ? 1 : 2;

    if (f->unix_target && n == 0)
        complain(p->complaints, usage_place("--unix-target"), NULL,
                 "needs a PORT: gangway [ADDR:]PORT --unix-target PATH");
    else if (n > 0 && n < want)
        complain(p->complaints, usage_place(f->positional.v[0]), NULL,
                 "where to? Write gangway [ADDR:]PORT TARGET");
    else if (n > want)
        complain(p->complaints, usage_place(f->positional.v[want]), NULL,
                 "one argument too many");
    if (f->keys.n > 0 && f->keys.n != f->certs.n)
        complain(p->complaints, usage_place("--key"), NULL,
                 "every --cert needs its --key, in the same order; or no "
                 "--key, if each file holds both");
}

void flags_parse(int argc, char **argv, struct arena *arena,
                 struct complaints *complaints, struct flags *flags)
{
    struct parser p = {
        .arena = arena, .complaints = complaints, .flags = flags};
    struct argp argp = {.options = p.options, .parser = parse_option};
    size_t errors = complaints->n;

    *flags = (struct flags){0};
    make_options(&p);

    /* getopt moves the arguments about: those of a copy. */
    char **copy = arena_alloc(arena, ((size_t)argc + 1) * sizeof(*copy));
    if (!copy) {
        out_of_memory(&p);
        return;
    }
    for (int i = 0; i < argc; i++)
        copy[i] = argv[i];
    if (argp_parse(&argp, argc, copy,
                   ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &p) &&
        complaints->n == errors)
        out_of_memory(&p);
    if (complaints->n == errors)
        check_positional(&p);
}

void flags_help(struct arena *arena, FILE *output)
{
    struct parser p = {.arena = arena};
    struct argp argp = {.options = p.options,
                        .parser = parse_option,
                        .args_doc = usage_forms,
                        .doc = help_text};
    char name[] = "gangway";

    make_options(&p);
    argp_help(&argp, output,
              ARGP_HELP_SHORT_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG |
                  ARGP_HELP_POST_DOC,
              name);
    fputc('\n', output);
}
