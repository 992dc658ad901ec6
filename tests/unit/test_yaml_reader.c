/* SPDX-License-Identifier: Apache-2.0 */
/* Documents whose nodes know their places, and variables in values. */
#include "unit.h"

#include <stdio.h>

#include "../../conf/expand.h"
#include "../../conf/yaml_reader.h"

/* A reader, and what it complained of. */
struct reading {
    struct yaml_reader *reader;
    char *errors;
    size_t n;
};

static struct reading read_text(const char *text, size_t n)
{
    struct reading r = {0};
    FILE *f = open_memstream(&r.errors, &r.n);
    struct complaints c = {.errors = f};
    char *copy = copy_of(text, n);

    assert_non_null(f);
    r.reader = yaml_reader_open("f.yaml", false, (struct slice){copy, n}, &c);
    free(copy);
    fclose(f);
    assert_int_equal(c.n, r.reader ? 0 : 1);
    return r;
}

static void end(struct reading *r)
{
    yaml_reader_close(r->reader);
    free(r->errors);
}

static void nodes_know_their_places(void **state)
{
    static const char text[] = "a: 1\n"
                               "list:\n"
                               "  - x\n"
                               "  - {k: \"\xc3\xa9\", l: [y]}\n";
    struct reading r = read_text(text, sizeof(text) - 1);
    struct ynode root = yaml_reader_root(r.reader), list, item;
    struct place at;

    (void)state;
    assert_int_equal(ynode_kind(root), YNODE_MAP);
    assert_int_equal(ynode_count(root), 2);
    assert_slice(ynode_text(ynode_key(root, 1)), "list");
    list = ynode_item(root, 1);
    assert_int_equal(ynode_kind(list), YNODE_LIST);
    assert_int_equal(ynode_count(list), 2);
    item = ynode_item(list, 1);
    at = ynode_place(item);
    assert_string_equal(at.source, "f.yaml");
    assert_int_equal(at.line, 4);
    assert_int_equal(at.column, 5);
    /* Columns count characters, not bytes. */
    at = ynode_place(ynode_key(item, 1));
    assert_int_equal(at.column, 14);
    assert_true(ynode_has(&item, "k"));
    assert_false(ynode_has(&item, "m"));
    assert_false(ynode_has(NULL, "k"));
    end(&r);
}

static void tells_nulls_from_texts(void **state)
{
    static const struct {
        const char *text;
        enum ynode_kind kind;
    } cases[] = {
        {"", YNODE_NULL},        {"# nothing", YNODE_NULL},
        {"---\n", YNODE_NULL},   {"~", YNODE_NULL},
        {"null", YNODE_NULL},    {"''", YNODE_SCALAR},
        {"\"~\"", YNODE_SCALAR}, {"x", YNODE_SCALAR},
        {"[]", YNODE_LIST},      {"{}", YNODE_MAP},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct reading r = read_text(cases[i].text, strlen(cases[i].text));
        struct ynode root;

        print_message("'%s'\n", cases[i].text);
        assert_non_null(r.reader);
        root = yaml_reader_root(r.reader);
        assert_int_equal(ynode_kind(root), cases[i].kind);
        assert_int_equal(ynode_count(root), 0);
        end(&r);
    }
}

static void aliases_are_the_same_node(void **state)
{
    static const char text[] = "a: &x {k: v}\nb: *x\n";
    struct reading r = read_text(text, sizeof(text) - 1);
    struct ynode root = yaml_reader_root(r.reader);

    (void)state;
    assert_int_equal(ynode_item(root, 0).id, ynode_item(root, 1).id);
    end(&r);
}

static void refuses_bad_documents(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *want;
    } cases[] = {
#define TEXT(literal) literal, sizeof(literal) - 1
        {TEXT("a: [1\n"), "f.yaml:2:1: "},
        {TEXT("a: 'x\n"), "f.yaml:2:1: "},
        {TEXT("a: 1\n\tb: 2\n"), "f.yaml:2:1: "},
        {TEXT("a: *nobody\n"), "f.yaml:1:4: "},
        {TEXT("a: \xff\n"), "f.yaml: byte 3: "},
        {TEXT("a: \x01\n"), "f.yaml: byte 3: "},
        {TEXT("a: 1\n---\nb: 2\n"), "f.yaml:2:1: a second document"},
        {TEXT("%YAML 9.9\n---\na: 1\n"), "f.yaml:1:1: "},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct reading r = read_text(cases[i].text, cases[i].n);

        print_message("%s-> %s", cases[i].text, r.errors);
        assert_null(r.reader);
        assert_memory_equal(r.errors, cases[i].want, strlen(cases[i].want));
        end(&r);
    }
}

/* n times `open`, in an allocated text. */
static char *nested(const char *open, size_t n)
{
    size_t size = strlen(open);
    char *text = malloc(n * size + 1);

    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * size, open, size);
    text[n * size] = '\0';
    return text;
}

static void bounds_depth_and_size(void **state)
{
    static const char *const opens[] = {"[", "{a: ", "- ", "? "};
    struct reading r;
    char *text;

    (void)state;
    for (size_t i = 0; i < LEN(opens); i++) {
        size_t n = YAML_BYTES_MAX / strlen(opens[i]);

        text = nested(opens[i], n);
        r = read_text(text, strlen(text));
        assert_null(r.reader);
        assert_non_null(strstr(r.errors, "more than 32 levels deep"));
        end(&r);
        free(text);
    }
    text = nested("#", YAML_BYTES_MAX + 1);
    r = read_text(text, YAML_BYTES_MAX);
    assert_non_null(r.reader);
    end(&r);
    r = read_text(text, YAML_BYTES_MAX + 1);
    assert_null(r.reader);
    assert_string_equal(r.errors, "f.yaml: larger than 1048576 bytes\n");
    end(&r);
    free(text);
}

static void survives_every_cut(void **state)
{
    static const char text[] =
        "listeners: &l\n  - {url: \"ws://:1\", tls: {tickets: no}}\n"
        "routes:\n  - path: '/a'\n    target: >-\n      echo:\n"
        "origins: *l\n? [k]\n: |\n  v\n";

    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        struct reading r = read_text(text, n);
        assert_int_equal(r.reader == NULL, r.n > 0);
        end(&r);
    }
}

static void command_line_texts_have_no_line(void **state)
{
    struct complaints c = {.errors = stderr};
    struct yaml_reader *r =
        yaml_reader_open("--set", true, SLICE("[a, b]"), &c);
    struct place at = ynode_place(ynode_item(yaml_reader_root(r), 1));

    (void)state;
    assert_int_equal(at.line, 0);
    assert_true(at.usage);
    yaml_reader_close(r);
}

static void expands_variables(void **state)
{
    static const struct {
        const char *text, *want; /* NULL: an error */
    } cases[] = {
        {"plain $HOME $$ }{", "plain $HOME $$ }{"},
        {"${GW_A}", "alpha"},
        {"<${GW_A}${GW_A}>", "<alphaalpha>"},
        {"${GW_A:-x}", "alpha"},
        {"${GW_EMPTY}", ""},
        {"${GW_EMPTY:-x}", "x"},
        {"${GW_UNSET:-x:-y}", "x:-y"},
        {"${GW_UNSET:-}", ""},
        {"${GW_UNSET}", NULL},
        {"$${GW_A}", "${GW_A}"},
        {"$$${GW_A}", "$${GW_A}"},
        {"${GW_A", NULL},
        {"${}", NULL},
        {"${1A}", NULL},
        {"${A B}", NULL},
        {"${GW-A}", NULL},
        {"{path.name}", "{path.name}"},
    };

    (void)state;
    setenv("GW_A", "alpha", 1);
    setenv("GW_EMPTY", "", 1);
    unsetenv("GW_UNSET");
    for (size_t i = 0; i < LEN(cases); i++) {
        size_t n = strlen(cases[i].text);
        char *copy = copy_of(cases[i].text, n);
        struct slice text = {copy, n};
        struct arena a = {0};
        struct err err;
        int result = expand_variables(&a, &text, &err);

        print_message("%s\n", cases[i].text);
        assert_int_equal(result, cases[i].want ? 0 : -1);
        if (cases[i].want)
            assert_slice(text, cases[i].want);
        arena_free(&a);
        free(copy);
    }
}

static void bounds_what_is_expanded(void **state)
{
    char *long_text = nested("x", 1000), *refs = nested("${GW_LONG}", 70);
    struct slice text = slice_of(refs);
    struct arena a = {0};
    struct err err;

    (void)state;
    setenv("GW_LONG", long_text, 1);
    assert_int_equal(expand_variables(&a, &text, &err), -1);
    assert_non_null(strstr(err.text, "longer than 65536 bytes"));
    arena_free(&a);
    free(long_text);
    free(refs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_places),
        cmocka_unit_test(tells_nulls_from_texts),
        cmocka_unit_test(aliases_are_the_same_node),
        cmocka_unit_test(refuses_bad_documents),
        cmocka_unit_test(bounds_depth_and_size),
        cmocka_unit_test(survives_every_cut),
        cmocka_unit_test(command_line_texts_have_no_line),
        cmocka_unit_test(expands_variables),
        cmocka_unit_test(bounds_what_is_expanded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
