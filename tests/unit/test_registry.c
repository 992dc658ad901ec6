/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges by scheme, and the options that a route gives one. */
#include "unit.h"

#include <dlfcn.h>

#include "../../gateway/serve/registry.h"

/* ---- bridges -------------------------------------------------------------
 */

static void load(struct registry *r)
{
    struct err err;
    if (registry_load(r, &(struct string_list){0}, &err) < 0)
        fail_msg("%s", err.text);
}

static void built_in_bridges(void **state)
{
    static const char *const schemes[] = {"echo", "tcp", "tls", "unix"};
    static const char *const none[] = {"", "ech", "echoo", "Echo", "http"};
    static struct registry r;
    char text[256];
    (void)state;

    load(&r);
    for (size_t i = 0; i < LEN(schemes); i++) {
        int at = registry_find(&r, slice_of(schemes[i]));
        assert_true(at >= 0);
        assert_int_equal(registry_index(r.bridges[at]), at);
    }
    assert_int_equal(registry_find(&r, slice_of("tcp")),
                     registry_find(&r, slice_of("unix")));
    for (size_t i = 0; i < LEN(none); i++)
        assert_int_equal(registry_find(&r, slice_of(none[i])), -1);
    registry_schemes(&r, text, sizeof text);
    assert_memory_equal(text, "echo:, tcp:, tls:, unix:", 24);
    registry_schemes(&r, text, 10); /* cut, whatever the room */
    assert_int_equal(strlen(text), 9);
    registry_schemes(&r, text, 1);
    assert_string_equal(text, "");
    assert_true(registry_index(&(struct gw_bridge){0}) == SIZE_MAX);
}

static void plugins_that_are_none(void **state)
{
    static struct registry r;
    Dl_info cmocka; /* some library that is no plugin */
    (void)state;

    assert_true(dladdr(dlsym(RTLD_DEFAULT, "_fail"), &cmocka));
    const struct {
        const char *file, *why;
    } cases[] = {
        {"/nonexistent/plugin.so", "No such file"},
        {"/etc/passwd", "invalid ELF header"},
        {cmocka.dli_fname, "exports no gangway_bridge"},
    };
    for (size_t i = 0; i < LEN(cases); i++) {
        char *files[] = {(char *)(uintptr_t)cases[i].file};
        struct err err;
        assert_int_equal(
            registry_load(&r, &(struct string_list){files, 1}, &err), -1);
        assert_memory_equal(err.text, "plugin: ", 8);
        if (!strstr(err.text, cases[i].file) || !strstr(err.text, cases[i].why))
            fail_msg("%s", err.text);
    }
    load(&r); /* no harm done */
}

/* ---- options -------------------------------------------------------------
 */

enum { TEXT, MODE, DEEP, WAIT, ROOM, CERT };

static const struct gw_option options[] = {
    [TEXT] = {"text", GW_OPT_STRING, NULL, NULL, ""},
    [MODE] = {"mode", GW_OPT_ENUM, "auto|binary|text|bin", "text", ""},
    [DEEP] = {"deep", GW_OPT_BOOL, NULL, "false", ""},
    [WAIT] = {"wait", GW_OPT_DURATION, NULL, "5s", ""},
    [ROOM] = {"room", GW_OPT_SIZE, NULL, "64KiB", ""},
    [CERT] = {"cert", GW_OPT_FILE, NULL, NULL, ""},
    {0},
};

static const struct gw_bridge bridge = {.name = "rig", .options = options};

static int parse(const struct option_text *given, size_t n, const char *folder,
                 struct gw_value **v, struct err *err)
{
    *v = NULL;
    return options_parse(&bridge, given, n, folder, v, err);
}

static void nothing_given(void **state)
{
    struct gw_value *v;
    struct err err;
    (void)state;

    assert_int_equal(parse(NULL, 0, NULL, &v, &err), 0);
    assert_null(v[TEXT].text);
    assert_string_equal(v[MODE].text, "text");
    assert_int_equal(v[MODE].number, 2);
    assert_int_equal(v[DEEP].number, 0);
    assert_int_equal(v[WAIT].number, 5000);
    assert_int_equal(v[ROOM].number, 65536);
    assert_null(v[CERT].text);
    options_free(&bridge, v);
    options_free(&bridge, NULL);

    static const struct gw_bridge none = {.name = "none"};
    assert_int_equal(options_parse(&none, NULL, 0, NULL, &v, &err), 0);
    options_free(&none, v);
}

static void good_values(void **state)
{
    static const struct {
        const char *name, *value;
        size_t index;
        uint64_t number;
    } cases[] = {
        {"text", "", TEXT, 0},        {"text", "any, at all", TEXT, 0},
        {"mode", "auto", MODE, 0},    {"mode", "binary", MODE, 1},
        {"mode", "bin", MODE, 3},     {"deep", "true", DEEP, 1},
        {"deep", "No", DEEP, 0},      {"deep", "1", DEEP, 1},
        {"wait", "250ms", WAIT, 250}, {"wait", "2m", WAIT, 120000},
        {"wait", "0s", WAIT, 0},      {"room", "1MiB", ROOM, 1 << 20},
        {"room", "512", ROOM, 512},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        const struct option_text given = {slice_of(cases[i].name),
                                          slice_of(cases[i].value), false};
        struct gw_value *v;
        struct err err;
        print_message("%s=%s\n", cases[i].name, cases[i].value);
        assert_int_equal(parse(&given, 1, NULL, &v, &err), 0);
        assert_string_equal(v[cases[i].index].text, cases[i].value);
        assert_int_equal(v[cases[i].index].number, cases[i].number);
        options_free(&bridge, v);
    }
}

static void bad_values(void **state)
{
    static const struct {
        const char *name, *value, *why;
    } cases[] = {
        {"txt", "a", "did you mean 'text'?"},
        {"Mode", "auto", "unknown option"},
        {"xyzzy", "a", "rig bridge: unknown option 'xyzzy'"},
        {"", "a", "unknown option ''"},
        {"mode", "aut", "is not auto|binary|text|bin"},
        {"mode", "", "is not"},
        {"mode", "auto|binary", "is not"},
        {"mode", "|", "is not"},
        {"mode", "text|", "is not"},
        {"deep", "maybe", "is not true or false"},
        {"deep", "", "is not true or false"},
        {"wait", "5", "a duration such as"},
        {"wait", "-5s", "a duration such as"},
        {"wait", " 5s", "a duration such as"},
        {"wait", "5 parsecs", "a duration such as"},
        {"wait", "99999999999h", "a duration such as"},
        {"wait", "1200h", "a duration such as"}, /* beyond 32 bits */
        {"room", "lots", "a size such as"},
        {"room", "-1", "a size such as"},
        {"room", "99999999999999999999", "a size such as"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        const struct option_text given = {slice_of(cases[i].name),
                                          slice_of(cases[i].value), false};
        struct gw_value *v;
        struct err err = {""};
        print_message("%s=%s\n", cases[i].name, cases[i].value);
        assert_int_equal(parse(&given, 1, NULL, &v, &err), -1);
        if (!strstr(err.text, cases[i].why))
            fail_msg("%s", err.text);
        assert_null(v);
    }
}

static void bare_is_true_for_bool_only(void **state)
{
    const struct option_text deep = {SLICE("deep"), {0}, true},
                             mode = {SLICE("mode"), {0}, true};
    struct gw_value *v;
    struct err err;
    (void)state;

    assert_int_equal(parse(&deep, 1, NULL, &v, &err), 0);
    assert_int_equal(v[DEEP].number, 1);
    options_free(&bridge, v);
    assert_int_equal(parse(&mode, 1, NULL, &v, &err), -1);
}

static void given_twice(void **state)
{
    const struct option_text twice[] = {{SLICE("wait"), SLICE("1s"), false},
                                        {SLICE("text"), SLICE("a"), false},
                                        {SLICE("wait"), SLICE("1s"), false}};
    struct gw_value *v;
    struct err err;
    (void)state;

    assert_int_equal(parse(twice, 3, NULL, &v, &err), -1);
    assert_string_equal(err.text, "option 'wait' is given twice");
    assert_int_equal(parse(twice, 2, NULL, &v, &err), 0);
    assert_int_equal(v[WAIT].number, 1000);
    assert_string_equal(v[TEXT].text, "a");
    options_free(&bridge, v);
}

static void files_start_from_the_folder(void **state)
{
    static const struct {
        const char *value, *folder, *want;
    } cases[] = {
        {"a.pem", NULL, "a.pem"},
        {"a.pem", "/etc/gw", "/etc/gw/a.pem"},
        {"/a.pem", "/etc/gw", "/a.pem"},
        {"", "/etc/gw", ""},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        const struct option_text given = {SLICE("cert"),
                                          slice_of(cases[i].value), false};
        struct gw_value *v;
        struct err err;
        assert_int_equal(parse(&given, 1, cases[i].folder, &v, &err), 0);
        assert_string_equal(v[CERT].text, cases[i].want);
        options_free(&bridge, v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_bridges),
        cmocka_unit_test(plugins_that_are_none),
        cmocka_unit_test(nothing_given),
        cmocka_unit_test(good_values),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(bare_is_true_for_bool_only),
        cmocka_unit_test(given_twice),
        cmocka_unit_test(files_start_from_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
