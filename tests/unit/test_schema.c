/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema: that it is JSON, and that it leaves out no setting. What it
 * accepts is tried in tests/e2e/test_settings.py. */
#include "unit.h"

#include <stdio.h>

#include "../../conf/print.h"
#include "../../conf/settings_table.h"

/* ---- a small JSON reader: true if p begins with a value; p moves past it ---
 */

static bool json_value(const char **p);

static void skip_space(const char **p)
{
    *p += strspn(*p, " \n");
}

static bool take(const char **p, char c)
{
    skip_space(p);
    if (**p != c)
        return false;
    ++*p;
    return true;
}

static bool json_text(const char **p)
{
    if (!take(p, '"'))
        return false;
    for (; **p != '"'; ++*p) {
        if ((unsigned char)**p < 0x20)
            return false;
        if (**p == '\\' && !strchr("\"\\/bfnrt", *++*p))
            return false;
    }
    ++*p;
    return true;
}

static bool json_members(const char **p, bool object)
{
    char end = object ? '}' : ']';

    if (take(p, end))
        return true;
    do {
        if (object && (!json_text(p) || !take(p, ':')))
            return false;
        if (!json_value(p))
            return false;
    } while (take(p, ','));
    return take(p, end);
}

static bool json_word(const char **p)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < LEN(words); i++)
        if (strncmp(*p, words[i], strlen(words[i])) == 0) {
            *p += strlen(words[i]);
            return true;
        }
    size_t n = strspn(*p, "0123456789.");
    *p += n;
    return n > 0;
}

static bool json_value(const char **p)
{
    skip_space(p);
    if (**p == '"')
        return json_text(p);
    if (take(p, '{'))
        return json_members(p, true);
    if (take(p, '['))
        return json_members(p, false);
    return json_word(p);
}

static char *schema(void)
{
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    assert_non_null(f);
    print_schema(f);
    fclose(f);
    return text;
}

static void is_json(void **state)
{
    char *text = schema();
    const char *p = text;

    (void)state;
    assert_true(json_value(&p));
    assert_string_equal(p, "\n");
    free(text);
}

/* Keys stand in the order of the table: each is looked for after the last. */
static const char *find_rows(const struct section *section, const char *p)
{
    for (size_t i = 0; i < section->n; i++) {
        const struct setting *s = &section->settings[i];
        char key[64];

        snprintf(key, sizeof(key), "\"%s\": {", s->key);
        print_message("%s.%s\n", section->name, s->key);
        p = strstr(p, key);
        assert_non_null(p);
        p += strlen(key);
        if (s->type == SETTING_SECTION || s->type == SETTING_ITEMS)
            p = find_rows(s->section, p);
    }
    return p;
}

static void has_every_setting(void **state)
{
    char *text = schema();

    (void)state;
    find_rows(&settings_section, text);
    assert_non_null(strstr(text, "\"target_file\": {"));
    free(text);
}

static void the_reader_of_json_can_fail(void **state)
{
    static const char *const bad[] = {"{\"a\":}", "[1,]",      "{,}",
                                      "\"a\nb\"", "{\"a\" 1}", "[\"\\x\"]",
                                      "",         "tru"};

    (void)state;
    for (size_t i = 0; i < LEN(bad); i++) {
        const char *p = bad[i];
        print_message("%s\n", bad[i]);
        assert_false(json_value(&p) && *p == '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_of_json_can_fail),
        cmocka_unit_test(is_json),
        cmocka_unit_test(has_every_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
