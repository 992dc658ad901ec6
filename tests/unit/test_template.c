/* SPDX-License-Identifier: Apache-2.0 */
/* test_template.c - placeholders: what is accepted at load time, and what a
 * request may bring into a target. */
#include "../../gateway/serve/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define E TEMPLATE_ENDPOINT
#define P TEMPLATE_PATH

static struct pattern *p;
static struct captures captures;

static int setup(void **state)
{
    struct err err = {""};

    (void)state;
    p = pattern_new(NULL, "/{name}/{rest*}", &err);
    assert_non_null(p);
    assert_true(pattern_match(p, slice_of("h"), slice_of("/db%2d1/.x/y%0Az"),
                              &captures));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pattern_free(p);
    return 0;
}

static void test_check(void **state)
{
    static const struct {
        const char *text;
        int want;
        const char *why;
    } cases[] = {
        {"", 0, NULL},
        {"tcp://127.0.0.1:22", 0, NULL},
        {"tcp://{query.address}", 1, NULL},
        {"tcp://{path.name}.x:{query.port}", 2, NULL},
        {"{path.rest}{host}{client.ip}{host}", 4, NULL},
        {"{{host}}", 0, NULL},
        {"{{{host}}}", 1, NULL},
        {"}}{{", 0, NULL},
        {"{query.a_b-c.d}", 1, NULL},

        {"{", -1, "'{' without"},
        {"a{host", -1, "'{' without"},
        {"{a{host}", -1, "'{' without"},
        {"}", -1, "'}' without"},
        {"host}", -1, "'}' without"},
        {"{host}}", -1, "'}' without"},
        {"{{host}", -1, "'}' without"},
        {"{}", -1, "{}: no such placeholder"},
        {"{Host}", -1, "no such placeholder"},
        {"{host }", -1, "no such placeholder"},
        {"{path}", -1, "no such placeholder"},
        {"{path.}", -1, "has no {}"},
        {"{path.nam}", -1, "{path.nam}: the route's path has no {nam}"},
        {"{query}", -1, "no such placeholder"},
        {"{query.}", -1, "parameter's name"},
        {"{query.a b}", -1, "parameter's name"},
        {"{query.a&b}", -1, "parameter's name"},
        {"{host}{client.port}", -1, "no such placeholder"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct err err = {""};
        int n = template_check(cases[i].text, p, &err);
        print_message("%s: %d %s\n", cases[i].text, n, err.text);
        assert_int_equal(n, cases[i].want);
        if (cases[i].why)
            assert_non_null(strstr(err.text, cases[i].why));
    }

    struct err err = {""};
    assert_int_equal(template_check("{path.name}", NULL, &err), -1);
    assert_int_equal(template_check("{host}", NULL, &err), 1);
}

static void test_fill(void **state)
{
    static const struct {
        enum template_kind kind;
        const char *text, *query, *want; /* "-text": that error */
    } cases[] = {
        {E, "plain", "", "plain"},
        {E, "", "", ""},
        {E, "{{{path.name}}}", "", "{db-1}"},
        {E, "{path.name}.x:{query.p}", "p=22", "db-1.x:22"},
        {E, "{host}", "", "gw.example"},
        {E, "{client.ip}:1", "", "192.0.2.7:1"},

        {E, "{query.a}", "a=h%3a22", "h:22"},
        {E, "{query.a}", "a=[::1]:22", "[::1]:22"},
        {E, "{query.a}", "b=1&a=2&c=3", "2"},
        {E, "{query.a}", "&&a=2&", "2"},
        {E, "{query.a}", "%61=2", "2"},
        {E, "{query.a}{query.a}", "a=2", "22"},
        {E, "{query.a}", "", "-query parameter 'a' is missing"},
        {E, "{query.address}", "a=1&addres=2",
         "-query parameter 'address' is missing"},
        {E, "{query.a}", "A=1", "-query parameter 'a' is missing"},
        {E, "{query.a}", "a=1&a=1", "-query parameter 'a' is given twice"},
        {E, "{query.a}", "a=1&%61=2", "-query parameter 'a' is given twice"},
        {E, "{query.a}", "a&a=1", "-query parameter 'a' is given twice"},
        {E, "{query.a}", "a", "-query parameter 'a' is empty"},
        {E, "{query.a}", "a=", "-query parameter 'a' is empty"},
        {E, "{query.a}", "a&b=1", "-query parameter 'a' is empty"},
        {E, "{query.a}", "a=%",
         "-query parameter 'a' is too long or not rightly encoded"},
        {E, "{query.a}", "a=x%00y",
         "-query parameter 'a' is too long or not rightly encoded"},
        {E, "{query.a}", "a=b=c",
         "-query parameter 'a' holds a character that is not allowed"},

        /* No second endpoint, path, option, user or placeholder. */
        {E, "{query.a}", "a=x,y", "-"},
        {E, "{query.a}", "a=x%2cy", "-"},
        {E, "{query.a}", "a=x%2f", "-"},
        {E, "{query.a}", "a=x?", "-"},
        {E, "{query.a}", "a=x%3fmode", "-"},
        {E, "{query.a}", "a=u@x", "-"},
        {E, "{query.a}", "a=%7Bhost%7D", "-"},
        {E, "{query.a}", "a=x+y", "-"},
        {E, "{query.a}", "a=x%20y", "-"},
        {E, "{query.a}", "a=%c3%bc", "-"},
        {E, "{query.a}", "a=x%0d%0a", "-"},
        {E, "{path.rest}", "",
         "-path segment 'rest' holds a character that "
         "is not allowed"},

        {P, "/run/{query.a}.sock", "a=x%20,y", "/run/x ,y.sock"},
        {P, "/run/{query.a}.sock", "a=%c3%bc", "/run/\xc3\xbc.sock"},
        {P, "/run/{query.a}", "a=x.y", "/run/x.y"},
        {P, "/run/{query.a}", "a=..", "-"},
        {P, "/run/{query.a}", "a=.x", "-"},
        {P, "/run/{query.a}", "a=x%2fy", "-"},
        {P, "/run/{query.a}", "a=/etc", "-"},
        {P, "/run/{query.a}", "a=x%0a", "-"},
        {P, "/run/{query.a}", "a=x%7f", "-"},
        {P, "/run/{path.rest}", "", "-"},

        /* What template_check refuses does no harm later. */
        {E, "{x}", "", "-"},
        {E, "{path.none}", "", "-path segment 'none' is missing"},
        {E, "{", "", "-the target's template is malformed"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct template_values v = {&captures, slice_of(cases[i].query),
                                    slice_of("gw.example"),
                                    slice_of("192.0.2.7")};
        char out[256];
        const char *why = NULL, *want = cases[i].want;
        int n = template_fill(cases[i].text, &v, cases[i].kind, out,
                              sizeof(out), &why);

        print_message("%s, %s: %d %s\n", cases[i].text, cases[i].query, n, out);
        if (want[0] == '-') {
            assert_int_equal(n, -1);
            assert_true(strlen(why) > 0);
            if (want[1])
                assert_string_equal(why, want + 1);
        } else {
            assert_int_equal(n, strlen(want));
            assert_string_equal(out, want);
        }
    }
}

static void test_client_address(void **state)
{
    struct template_values v = {.client_ip = slice_of("fd00::1")};
    char out[64];
    const char *why;

    (void)state;
    assert_int_equal(template_fill("{client.ip}:22", &v, TEMPLATE_ENDPOINT, out,
                                   sizeof(out), &why),
                     12);
    assert_string_equal(out, "[fd00::1]:22");
    assert_int_equal(template_fill("[{client.ip}]:22", &v, TEMPLATE_ENDPOINT,
                                   out, sizeof(out), &why),
                     12);
    assert_string_equal(out, "[fd00::1]:22");
    assert_int_equal(template_fill("/run/{client.ip}", &v, TEMPLATE_PATH, out,
                                   sizeof(out), &why),
                     12);
    assert_string_equal(out, "/run/fd00::1");

    v.client_ip = (struct slice){NULL, 0};
    assert_int_equal(template_fill("{client.ip}", &v, TEMPLATE_ENDPOINT, out,
                                   sizeof(out), &why),
                     -1);
    assert_string_equal(why, "the client's address is empty");
    assert_int_equal(
        template_fill("{host}", &v, TEMPLATE_ENDPOINT, out, sizeof(out), &why),
        -1);
    assert_string_equal(why, "the Host field is empty");
    assert_int_equal(template_fill("{path.x}{query.y}", &v, TEMPLATE_ENDPOINT,
                                   out, sizeof(out), &why),
                     -1);
}

/* At every capacity: the whole text, or an error; never a cut text. */
static void test_room(void **state)
{
    struct template_values v = {&captures, slice_of("a=0123456789"),
                                slice_of("gw.example"), slice_of("fd00::1")};
    static const char text[] = "x{query.a}{{{client.ip}{path.name}";
    static const char want[] = "x0123456789{[fd00::1]db-1";
    const char *why;

    (void)state;
    for (size_t cap = 1; cap < 64; cap++) {
        char *out = malloc(cap); /* so that overruns are seen */
        assert_non_null(out);
        int n = template_fill(text, &v, TEMPLATE_ENDPOINT, out, cap, &why);
        if (cap < sizeof(want)) {
            assert_int_equal(n, -1);
            assert_true(strlen(why) < cap);
        } else {
            assert_int_equal(n, sizeof(want) - 1);
            assert_string_equal(out, want);
        }
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_client_address),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
