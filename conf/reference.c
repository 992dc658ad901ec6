/* SPDX-License-Identifier: Apache-2.0 */
/* reference.c - the manual page gangway.yaml(5), in scdoc. */
#include "print.h"

#include "value.h"

static const char page_head[] =
    "gangway.yaml(5)\n"
    "\n"
    "# NAME\n"
    "\n"
    "gangway.yaml - the configuration file of gangway\n"
    "\n"
    "# DESCRIPTION\n"
    "\n"
    "*gangway --config* _FILE_ reads a YAML file. Everything in it is "
    "optional, but\n"
    "for one listener, and one route or a _web_ folder. Every setting can "
    "also be\n"
    "given as *--set* _KEY=VALUE_, which prevails over the file:\n"
    "\n"
    "```\n"
    "gangway --config gangway.yaml --set limits.max_message=4MiB \\\n"
    "    --set 'origins=[\"https://app.example.com\"]'\n"
    "```\n"
    "\n"
    "*gangway --check --config* _FILE_ checks a file and tells every error "
    "with line\n"
    "and column. *gangway --schema* prints a JSON Schema for editors.\n"
    "\n"
    "# VALUES\n"
    "\n"
    "_size_\n"
    "\tBytes, or a number with KiB, MiB or GiB; KB, MB and GB count in "
    "thousands.\n"
    "\n"
    "_duration_\n"
    "\tA number with ms, s, m, h or d. Only 0 needs no unit.\n"
    "\n"
    "_file_\n"
    "\tA path; a relative one starts from the folder of the configuration "
    "file,\n"
    "\tand on the command line from the working directory.\n"
    "\n"
    "_${NAME}_, _${NAME:-default}_\n"
    "\tIn any value: an environment variable. The default counts if it is "
    "unset or\n"
    "\tempty; without one, an unset variable is an error. _$${_ stands for "
    "the two\n"
    "\tcharacters themselves.\n"
    "\n"
    "_KEY\\_file_\n"
    "\tWhere noted, and for every option of a route: the value is the "
    "content of\n"
    "\tthis file, without its final newline. Meant for secrets.\n"
    "\n";

static const char page_tail[] =
    "# EXAMPLE\n"
    "\n"
    "```\n"
    "listeners:\n"
    "  - url: wss://:443\n"
    "    tls: {certificate: fullchain.pem, key: privkey.pem}\n"
    "routes:\n"
    "  - {path: /vnc, target: \"tcp://127.0.0.1:5900\"}\n"
    "  - {path: \"/db/{name}\", target: \"tcp://{path.name}.db.internal:5432\"}"
    "\n"
    "allow_targets: [\"*.db.internal:5432\"]\n"
    "```\n"
    "\n"
    "# SEE ALSO\n"
    "\n"
    "*gangway*(8)\n";

static const char *const type_names[SETTING_TYPES] = {
    [SETTING_BOOL] = "true or false",
    [SETTING_COUNT] = "number",
    [SETTING_SIZE] = "size",
    [SETTING_DURATION] = "duration",
    [SETTING_MODE] = "octal number",
    [SETTING_STRING] = "text",
    [SETTING_PATH] = "file",
    [SETTING_LIST] = "list of texts",
    [SETTING_PATH_LIST] = "list of files",
    [SETTING_SECTION] = "mapping",
    [SETTING_ITEMS] = "list of mappings",
    [SETTING_FIRST] = "file",
    [SETTING_OPTIONS] = "mapping of names to values",
};

/* Text in which no character is markup. */
static void put_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (strchr("_*\\<>#[]|`", *text))
            putc('\\', f);
        putc(*text, f);
    }
}

static void put_sentence(FILE *f, const char *text)
{
    char first[2] = {text[0], '\0'};

    if (first[0] >= 'a' && first[0] <= 'z' && strncmp(text, "ws://", 5) != 0)
        first[0] = (char)(first[0] - 'a' + 'A');
    put_text(f, first);
    put_text(f, text + 1);
    putc('.', f);
}

static void put_type(FILE *f, const struct setting *s)
{
    char least[32], most[32];

    if (s->type == SETTING_CHOICE) {
        for (size_t i = 0; s->words[i]; i++)
            fprintf(f, "%s%s", i > 0 ? "|" : "", s->words[i]);
    } else {
        fputs(type_names[s->type], f);
    }
    if (s->max > 0 && s->type != SETTING_MODE)
        fprintf(f, " from %s to %s", value_format(s, s->min, least, 32),
                value_format(s, s->max, most, 32));
}

static void put_setting(FILE *f, const struct setting *s)
{
    fprintf(f, "*%s*: _", s->key);
    put_type(f, s);
    fputs("_\n\t", f);
    put_sentence(f, s->help);
    if (s->more) {
        putc(' ', f);
        put_text(f, s->more);
    }
    if (s->attributes & SETTING_REQUIRED)
        fputs(" Required.", f);
    if (s->standard) {
        fputs(" Default: ", f);
        put_text(f, s->standard);
        putc('.', f);
    }
    if (s->zero)
        fprintf(f, " 0 means %s.", s->zero);
    if (s->attributes & SETTING_SECRET)
        fprintf(f, " May be given as *%s\\_file*.", s->key);
    if (s->flag)
        fprintf(f, " Flag: *--%s*.", s->flag);
    if (s->attributes & SETTING_RESTART)
        fputs(" A change takes a restart.", f);
    fputs("\n\n", f);
}

/* A section's own settings, then the sections below it. */
static void put_section(FILE *f, const struct section *section,
                        const char *title)
{
    char inner[128];

    fprintf(f, "## %s\n\n", title);
    put_text(f, section->help);
    fputs("\n\n", f);
    for (size_t i = 0; i < section->n; i++)
        put_setting(f, &section->settings[i]);
    for (size_t i = 0; i < section->n; i++) {
        const struct setting *s = &section->settings[i];
        bool top = section == &settings_section;

        if (s->type != SETTING_SECTION && s->type != SETTING_ITEMS)
            continue;
        snprintf(inner, sizeof(inner), "%s%s%s%s", top ? "" : title,
                 top ? "" : ".", s->key, s->type == SETTING_ITEMS ? "[]" : "");
        put_section(f, s->section, inner);
    }
}

void print_reference(FILE *f)
{
    fputs(page_head, f);
    fputs("# SETTINGS\n\n", f);
    put_section(f, &settings_section, "Top level");
    fputs(page_tail, f);
}
