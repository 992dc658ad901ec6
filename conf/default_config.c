/* SPDX-License-Identifier: Apache-2.0 */
/* default_config.c - gangway.yaml: every setting with its default.
 *
 * Defaults stand as they are; what has none, and what belongs to a listener
 * or a route, is commented out and shows an example. As it stands the file
 * is a gateway that echoes on the loopback. */
#include "print.h"

#include "value.h"

enum { WIDTH = 78 };

static const char file_head[] =
    "# gangway.yaml: every setting and its default. What is commented out\n"
    "# has no default, or belongs to one listener or route: it is an example.\n"
    "#\n"
    "# Check a file:      gangway --check --config FILE\n"
    "# Override a value:  gangway --config FILE --set limits.max_message=4MiB\n"
    "# All about it:      man gangway.yaml\n";

/* Where lines go. */
struct page {
    FILE *f;
    unsigned indent; /* of the block; what follows it is commented out */
    bool commented;
    unsigned inner; /* further indent, after the comment sign */
    bool dash;      /* the next key begins an item */
};

static void begin_line(struct page *p)
{
    fprintf(p->f, "%*s%s%*s", (int)p->indent, "", p->commented ? "# " : "",
            (int)p->inner, "");
}

/* Prose, in lines of a comment. */
static void put_comment(struct page *p, const char *text)
{
    size_t room = WIDTH - p->indent - p->inner - 4;

    while (*text) {
        size_t n = strlen(text);

        if (n > room)
            for (n = room; n > 1 && text[n] != ' '; n--)
                ;
        begin_line(p);
        /* A comment is not commented out twice. */
        fprintf(p->f, "%s%.*s\n", p->commented && !p->inner ? "" : "# ", (int)n,
                text);
        text += n;
        text += strspn(text, " ");
    }
}

static void put_help(struct page *p, const struct setting *s)
{
    char text[512], least[32], most[32];
    bool range = s->max > 0 && s->type != SETTING_MODE;
    int n = snprintf(text, sizeof(text), "%s", s->help);

    if (n > 0 && (size_t)n < sizeof(text) && range)
        snprintf(text + n, sizeof(text) - (size_t)n, "; %s to %s%s%s",
                 value_format(s, s->min, least, sizeof(least)),
                 value_format(s, s->max, most, sizeof(most)),
                 s->zero ? ", or 0: " : "", s->zero ? s->zero : "");
    put_comment(p, text);
}

/* A default or sample, quoted where YAML would read something else. */
static void put_value(struct page *p, const struct setting *s)
{
    const char *text = s->sample ? s->sample : s->standard;
    bool quoted = s->type == SETTING_MODE || (s->type == SETTING_CHOICE &&
                                              text[0] >= '0' && text[0] <= '9');

    if (s->standard && !p->commented)
        text = s->standard;
    fprintf(p->f, quoted ? " \"%s\"\n" : " %s\n", text);
}

static void put_section(struct page *p, const struct section *section,
                        bool items);

static void put_nested(struct page *p, const struct setting *s)
{
    struct page inner = *p;
    bool items = s->type == SETTING_ITEMS;

    begin_line(p);
    fprintf(p->f, "%s:\n", s->key);
    if (p->commented)
        inner.inner += 2;
    else
        inner.indent += 2;
    put_section(&inner, s->section, items);
}

/* One key. In an item, all but what it needs is commented out. */
static void put_setting(struct page *p, const struct setting *s, bool in_item)
{
    struct page line = *p;
    bool required = s->attributes & SETTING_REQUIRED;

    line.commented = p->commented || (in_item && !required) ||
                     (!s->standard && !s->section && !required);
    if (in_item && required) {
        fprintf(line.f, "%*s%s%s:", (int)(line.indent - 2), "",
                p->dash ? "- " : "  ", s->key);
        p->dash = false;
        put_value(&line, s);
        return;
    }
    put_help(&line, s);
    if (s->section && !s->sample) {
        put_nested(&line, s);
        return;
    }
    begin_line(&line);
    fprintf(line.f, "%s:", s->key);
    put_value(&line, s);
}

static void put_section(struct page *p, const struct section *section,
                        bool items)
{
    if (items) {
        p->indent += 2;
        p->dash = true;
        for (size_t i = 0; i < section->n; i++)
            if (section->settings[i].attributes & SETTING_REQUIRED)
                put_setting(p, &section->settings[i], true);
    }
    for (size_t i = 0; i < section->n; i++)
        if (!items || !(section->settings[i].attributes & SETTING_REQUIRED))
            put_setting(p, &section->settings[i], items);
}

void print_default_config(FILE *f)
{
    fputs(file_head, f);
    for (size_t i = 0; i < settings_section.n; i++) {
        struct page p = {.f = f};

        putc('\n', f);
        put_setting(&p, &settings_section.settings[i], false);
    }
}
