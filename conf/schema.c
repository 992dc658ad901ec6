/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - the JSON Schema of the YAML file, for editors and for checks
 * before a file is deployed.
 *
 * Each key lists the forms its value may take, since one may be written in
 * several: 4096, "4KiB" or "${LIMIT}". It accepts what the reader accepts,
 * but for what only the reader can judge: ranges of numbers with units, names
 * and URLs, and how settings go together. */
#include "print.h"

#include "loader.h"

#include <inttypes.h>

/* Output with the nesting it has reached. */
struct json {
    FILE *f;
    unsigned depth;
    bool fresh; /* nothing stands yet in this object or list */
};

static void json_indent(struct json *j)
{
    fprintf(j->f, "%s\n%*s", j->fresh ? "" : ",", (int)(2 * j->depth), "");
    j->fresh = false;
}

static void json_string(struct json *j, const char *text)
{
    putc('"', j->f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', j->f);
        putc(*text, j->f);
    }
    putc('"', j->f);
}

/* Begin a member of an object; with NULL, an element of a list. */
static void json_key(struct json *j, const char *key)
{
    json_indent(j);
    if (!key)
        return;
    json_string(j, key);
    fputs(": ", j->f);
}

static void json_open(struct json *j, const char *key, char bracket)
{
    json_key(j, key);
    putc(bracket, j->f);
    j->depth++;
    j->fresh = true;
}

static void json_close(struct json *j, char bracket)
{
    j->depth--;
    j->fresh = true; /* no comma before the bracket */
    json_indent(j);
    putc(bracket, j->f);
}

static void json_text(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    json_string(j, text);
}

/* A member whose value is JSON already. */
static void json_raw(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    fputs(value, j->f);
}

static void json_range(struct json *j, uint64_t min, uint64_t max)
{
    json_key(j, NULL);
    fprintf(j->f,
            "{\"type\": \"integer\", \"minimum\": %" PRIu64
            ", \"maximum\": %" PRIu64 "}",
            min, max);
}

/* ---- the forms of each type -------------------------------------------- */

static void forms_number(struct json *j, const struct setting *s)
{
    if (s->zero && s->min > 0)
        json_raw(j, NULL, "{\"const\": 0}");
    json_range(j, s->min, s->max);
    json_raw(j, NULL,
             s->type == SETTING_SIZE
                 ? "{\"$ref\": \"#/$defs/size\"}"
                 : "{\"type\": \"string\", \"pattern\": \"^[0-9]+$\"}");
}

static void forms_duration(struct json *j, const struct setting *s)
{
    if (s->zero)
        json_raw(j, NULL, "{\"enum\": [0, \"0\"]}");
    json_raw(j, NULL, "{\"$ref\": \"#/$defs/duration\"}");
}

/* YAML 1.1 reads 0660 as a number in octal, 1.2 in decimal. */
static void forms_mode(struct json *j, const struct setting *s)
{
    (void)s;
    json_range(j, 0, 777);
    json_raw(j, NULL,
             "{\"type\": \"string\", \"pattern\": \"^0*[0-7]{1,3}$\"}");
}

static void forms_choice(struct json *j, const struct setting *s)
{
    json_open(j, NULL, '{');
    json_open(j, "enum", '[');
    for (size_t i = 0; s->words[i]; i++) {
        json_text(j, NULL, s->words[i]);
        if (s->words[i][strspn(s->words[i], "0123456789.")] == '\0')
            json_raw(j, NULL, s->words[i]); /* 1.2 without quotes */
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void forms_bool(struct json *j, const struct setting *s)
{
    (void)s;
    json_raw(j, NULL, "{\"enum\": [true, false, \"true\", \"false\"]}");
}

static void forms_string(struct json *j, const struct setting *s)
{
    (void)s;
    json_raw(j, NULL, "{\"type\": \"string\", \"minLength\": 1}");
}

static void (*const forms[SETTING_TYPES])(struct json *,
                                          const struct setting *) = {
    [SETTING_BOOL] = forms_bool,     [SETTING_COUNT] = forms_number,
    [SETTING_SIZE] = forms_number,   [SETTING_DURATION] = forms_duration,
    [SETTING_MODE] = forms_mode,     [SETTING_CHOICE] = forms_choice,
    [SETTING_STRING] = forms_string, [SETTING_PATH] = forms_string,
    [SETTING_FIRST] = forms_string,
};

/* ---- objects ----------------------------------------------------------- */

static bool takes_variable(const struct setting *s)
{
    return s->type == SETTING_BOOL || s->type == SETTING_COUNT ||
           s->type == SETTING_SIZE || s->type == SETTING_DURATION ||
           s->type == SETTING_MODE || s->type == SETTING_CHOICE;
}

static void schema_default(struct json *j, const struct setting *s)
{
    const char *text = s->standard;

    if (!text)
        return;
    if (s->type == SETTING_BOOL || s->type == SETTING_LIST ||
        s->type == SETTING_PATH_LIST ||
        (s->type != SETTING_MODE && s->type != SETTING_CHOICE &&
         text[strspn(text, "0123456789")] == '\0'))
        json_raw(j, "default", text);
    else
        json_text(j, "default", text);
}

static void schema_object(struct json *j, const struct section *section,
                          const char *type);

/* One value, in any of its forms. */
static void schema_scalar(struct json *j, const struct setting *s)
{
    json_open(j, "anyOf", '[');
    forms[s->type](j, s);
    if (takes_variable(s))
        json_raw(j, NULL, "{\"$ref\": \"#/$defs/variable\"}");
    if (!(s->attributes & SETTING_REQUIRED))
        json_raw(j, NULL, "{\"type\": \"null\"}");
    json_close(j, ']');
}

static void schema_items(struct json *j, const struct setting *s)
{
    json_raw(j, "type", "[\"array\", \"null\"]");
    json_open(j, "items", '{');
    json_text(j, "description", s->section->help);
    schema_object(j, s->section,
                  s->section->from_text ? "[\"object\", \"string\"]"
                                        : "\"object\"");
    json_close(j, '}');
}

static void schema_setting(struct json *j, const struct setting *s)
{
    json_open(j, s->key, '{');
    json_text(j, "description", s->help);
    schema_default(j, s);
    switch (s->type) {
    case SETTING_SECTION:
        schema_object(j, s->section, "[\"object\", \"null\"]");
        break;
    case SETTING_ITEMS:
        schema_items(j, s);
        break;
    case SETTING_LIST:
    case SETTING_PATH_LIST:
        json_raw(j, "type", "[\"array\", \"null\"]");
        json_raw(j, "items", "{\"type\": \"string\", \"minLength\": 1}");
        break;
    case SETTING_OPTIONS:
        json_raw(j, "type", "[\"object\", \"null\"]");
        json_raw(j, "additionalProperties",
                 "{\"type\": [\"string\", \"number\", \"boolean\"]}");
        break;
    default:
        schema_scalar(j, s);
        break;
    }
    json_close(j, '}');
}

static void schema_secret(struct json *j, const struct setting *s)
{
    char key[64], help[96];

    snprintf(key, sizeof(key), "%s_file", s->key);
    snprintf(help, sizeof(help), "a file that holds the %s", s->key);
    json_open(j, key, '{');
    json_text(j, "description", help);
    json_raw(j, "type", "[\"string\", \"null\"]");
    json_close(j, '}');
}

static void schema_required(struct json *j, const struct section *section)
{
    json_open(j, "allOf", '[');
    for (size_t i = 0; i < section->n; i++) {
        const struct setting *s = &section->settings[i];

        if (!(s->attributes & SETTING_REQUIRED))
            continue;
        json_key(j, NULL);
        if (s->attributes & SETTING_SECRET)
            fprintf(j->f,
                    "{\"if\": {\"type\": \"object\"}, \"then\": "
                    "{\"oneOf\": [{\"required\": [\"%s\"]}, "
                    "{\"required\": [\"%s_file\"]}]}}",
                    s->key, s->key);
        else
            fprintf(j->f, "{\"required\": [\"%s\"]}", s->key);
    }
    json_close(j, ']');
}

static bool has_required(const struct section *section)
{
    for (size_t i = 0; i < section->n; i++)
        if (section->settings[i].attributes & SETTING_REQUIRED)
            return true;
    return false;
}

static void schema_object(struct json *j, const struct section *section,
                          const char *type)
{
    json_raw(j, "type", type);
    json_raw(j, "additionalProperties", "false");
    if (has_required(section))
        schema_required(j, section);
    json_open(j, "properties", '{');
    for (size_t i = 0; i < section->n; i++) {
        schema_setting(j, &section->settings[i]);
        if (section->settings[i].attributes & SETTING_SECRET)
            schema_secret(j, &section->settings[i]);
    }
    json_close(j, '}');
}

static void schema_definition(struct json *j, const char *name,
                              const char *help, const char *pattern)
{
    json_open(j, name, '{');
    json_text(j, "description", help);
    json_text(j, "type", "string");
    json_text(j, "pattern", pattern);
    json_close(j, '}');
}

void print_schema(FILE *f)
{
    struct json j = {f, 1, true};

    putc('{', f);
    json_text(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_text(&j, "title", "gangway.yaml");
    schema_object(&j, &settings_section, "\"object\"");
    json_open(&j, "$defs", '{');
    schema_definition(&j, "size", "bytes: 4096, 64KiB, 1MiB, 2GiB",
                      "^[0-9]+(GiB|MiB|KiB|GB|MB|KB|kB|B)?$");
    schema_definition(&j, "duration", "500ms, 30s, 5m, 1h, 2d",
                      "^[0-9]+(ms|s|m|h|d)$");
    schema_definition(&j, "variable", "taken from the environment",
                      "\\$\\{[A-Za-z_]");
    json_close(&j, '}');
    json_close(&j, '}');
    putc('\n', f);
}
