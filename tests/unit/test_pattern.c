/* SPDX-License-Identifier: Apache-2.0 */
/* test_pattern.c - what routes answer to, what they capture, which is first. */
#include "../../gateway/serve/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct pattern *compile(const char *host, const char *path)
{
    struct err err = {""};
    struct pattern *p = pattern_new(host, path, &err);

    if (!p)
        fail_msg("%s %s: %s", host ? host : "(any)", path, err.text);
    return p;
}

/* "name=value;name=value", or "-" when the path does not match. */
static const char *matched(const char *host_pattern, const char *path_pattern,
                           const char *host, const char *path, char out[4096])
{
    struct captures c;
    struct pattern *p = compile(host_pattern, path_pattern);
    size_t n = 0;

    memset(&c, 0xa5, sizeof(c));
    memcpy(out, "-", 2);
    if (pattern_match(p, slice_of(host), slice_of(path), &c)) {
        out[0] = '\0';
        for (size_t i = 0; i < c.n; i++)
            n += (size_t)snprintf(
                out + n, 4096 - n, "%s" SLICE_FMT "=" SLICE_FMT, n ? ";" : "",
                SLICE_ARGS(c.v[i].name), SLICE_ARGS(c.v[i].value));
    }
    pattern_free(p);
    return out;
}

static void test_paths(void **state)
{
    static const struct {
        const char *pattern, *path, *want;
    } cases[] = {
        {"/", "/", ""},
        {"/", "/x", "-"},
        {"/", "", "-"},
        {"/", "x", "-"},
        {"/", "*", "-"},
        {"/vnc", "/vnc", ""},
        {"/vnc", "/vnc/", "-"},
        {"/vnc", "/vn", "-"},
        {"/vnc", "/vncx", "-"},
        {"/vnc", "/VNC", "-"},
        {"/vnc", "//vnc", "-"},
        {"/vnc", "/%76nc", ""},
        {"/vnc", "/v%6Ec", ""},
        {"/vnc", "/v%6", "-"},
        {"/vnc", "/vnc%", "-"},
        {"/vnc", "/vnc%00", "-"},
        {"/a b", "/a%20b", ""},
        {"/a%20b", "/a%20b", ""},
        {"/a%20b", "/a+b", "-"},
        {"/a%2fb", "/a%2Fb", ""}, /* only the escaped slash is that text */
        {"/a%2fb", "/a/b", "-"},
        {"/a/b", "/a%2fb", "-"},
        {"/%2A", "/*", ""},
        {"/\xc3\xbc", "/%C3%BC", ""},
        {"/a/", "/a/", ""},
        {"/a/", "/a", "-"},
        {"/a//b", "/a//b", ""},
        {"/a//b", "/a/b", "-"},

        {"/db/{name}", "/db/main", "name=main"},
        {"/db/{name}", "/db/a%20b", "name=a b"},
        {"/db/{name}", "/db/a%2520", "name=a%20"}, /* decoded once */
        {"/db/{name}", "/db/", "-"},
        {"/db/{name}", "/db", "-"},
        {"/db/{name}", "/db/a/", "-"},
        {"/db/{name}", "/db/a/b", "-"},
        {"/db/{name}", "/db/a%2fb", "-"},
        {"/db/{name}", "/db/a%00b", "-"},
        {"/db/{name}", "/db/..", "-"},
        {"/db/{name}", "/db/%2e%2E", "-"},
        {"/db/{name}", "/db/...", "name=..."},
        {"/db/{name}", "/db/.x", "name=.x"},
        {"/{a}/x/{b}", "/1/x/2", "a=1;b=2"},
        {"/{a}/x/{b}", "/1/y/2", "-"},
        {"/{a-b_1}", "/{}", "a-b_1={}"},

        {"/files/{rest*}", "/files/a", "rest=a"},
        {"/files/{rest*}", "/files/a/b%20c/", "rest=a/b c/"},
        {"/files/{rest*}", "/files/a/b%2fc", "-"},
        {"/files/{rest*}", "/files/", "-"},
        {"/files/{rest*}", "/files//a", "-"},
        {"/files/{rest*}", "/files", "-"},
        {"/files/{rest*}", "/files/a/../b", "-"},
        {"/{a}/{rest*}", "/x/y/z", "a=x;rest=y/z"},

        {"/...", "/", ""},
        {"/...", "/a", ""},
        {"/...", "//a//", ""},
        {"/...", "/a/%2e", "-"},
        {"/...", "/a/./b", "-"},
        {"/...", "/a%2f..%2fb", "-"}, /* whoever decodes sees ".." */
        {"/...", "/a/%zz", "-"},
        {"/...", "/a/%00", "-"},
        {"/...", "/a%", "-"},
        {"/...", "/a%4", "-"},
        {"/*", "/", ""},
        {"/*", "/a/b", ""},
        {"/app/...", "/app/", ""},
        {"/app/...", "/app/x/y", ""},
        {"/app/...", "/app", "-"},
        {"/app/...", "/apple", "-"},
        {"/app/*", "/app/x/y", ""},
        {"/app/*", "/app", "-"},
        {"/{a}/...", "/x/y", "a=x"},
        {"/{a}/...", "/x", "-"},
    };
    char out[4096];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s on %s\n", cases[i].pattern, cases[i].path);
        assert_string_equal(
            matched(NULL, cases[i].pattern, "any.example", cases[i].path, out),
            cases[i].want);
    }
}

static void test_hosts(void **state)
{
    static const struct {
        const char *pattern, *host;
        bool want;
    } cases[] = {
        {NULL, "", true},
        {NULL, "x", true},
        {"example.com", "example.com", true},
        {"example.com", "EXAMPLE.com", true},
        {"EXAMPLE.Com", "example.com", true},
        {"example.com", "example.com.", true},
        {"example.com.", "example.com", true},
        {"example.com", "example.com..", false},
        {"example.com", "a.example.com", false},
        {"example.com", "example.co", false},
        {"example.com", "", false},
        {"example.com", ".", false},
        {"*.example.com", "a.example.com", true},
        {"*.example.com", "b.A.example.com.", true},
        {"*.example.com", "example.com", false},
        {"*.example.com", ".example.com", false},
        {"*.example.com", ".a.example.com", false},
        {"*.example.com", "aexample.com", false},
        {"*.example.com", "a.example.com.evil", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"[::1]", "[::1]", true},
        {"[::1]", "::1", true},
        {"[FD00:0:0::0001]", "[fd00::1]", true},
        {"[::1]", "[::2]", false},
        {"my_host-1", "my_host-1", true},
    };
    char out[4096];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s on %s\n", cases[i].pattern ? cases[i].pattern : "",
                      cases[i].host);
        assert_string_equal(
            matched(cases[i].pattern, "/x", cases[i].host, "/x", out),
            cases[i].want ? "" : "-");
    }
}

static void test_errors(void **state)
{
    static const struct {
        const char *host, *path, *want;
    } cases[] = {
        {NULL, "", "path '': a path begins with '/'"},
        {NULL, "x", "path 'x': a path begins with '/'"},
        {NULL, "/a{b}", "whole segment"},
        {NULL, "/{a}b", "whole segment"},
        {NULL, "/{", "whole segment"},
        {NULL, "/}", "whole segment"},
        {NULL, "/{a", "whole segment"},
        {NULL, "/{}", "without a name"},
        {NULL, "/{*}", "without a name"},
        {NULL, "/{a b}", "letters, digits"},
        {NULL, "/{{a}}", "letters, digits"},
        {NULL, "/{a**}", "letters, digits"},
        {NULL, "/{a}/{a}", "{a} stands twice"},
        {NULL, "/{a}/{a*}", "{a} stands twice"},
        {NULL, "/{a*}/b", "{a*} must be the last segment"},
        {NULL, "/{a*}/", "{a*} must be the last segment"},
        {NULL, "/.../b", "'...' must be the last segment"},
        {NULL, "/*/b", "'*' must be the last segment"},
        {NULL, "/a*", "write %2A for"},
        {NULL, "/a?b=c", "'?' has no meaning here; write %3F"},
        {NULL, "/a#b", "write %23 for"},
        {NULL, "/a%", "two hexadecimal digits"},
        {NULL, "/a%4g", "two hexadecimal digits"},
        {NULL, "/a%00", "control character"},
        {NULL, "/a\n", "control character"},
        {NULL, "/a\x7f", "control character"},
        {NULL, "/a/../b", "'.' or '..'"},
        {NULL, "/./b", "'.' or '..'"},
        {NULL, "/%2e%2e", "'.' or '..'"},
        {NULL, "/a%2f%2e%2e", "'.' or '..'"},
        {NULL, "/{1}/{2}/{3}/{4}/{5}/{6}/{7}/{8}/{9}", "more than 8"},
        {"", "/", "host '': empty"},
        {"*", "/", "host '*': leave it out"},
        {"*.", "/", "empty label"},
        {"**.a", "/", "'*' may only"},
        {"a.*", "/", "'*' may only"},
        {"a..b", "/", "empty label"},
        {".a", "/", "empty label"},
        {".", "/", "host '.': an empty label"},
        {"a:80", "/", "no port here"},
        {"a/b", "/", "letters, digits"},
        {"a b", "/", "letters, digits"},
        {"\xc3\xbc", "/", "letters, digits"},
        {"[::1", "/", "letters, digits"},
        {"[]", "/", "no IPv6 address"},
        {"[127.0.0.1]", "/", "no IPv6 address"},
        {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]", "/",
         "no IPv6 address"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct err err = {""};
        struct pattern *p = pattern_new(cases[i].host, cases[i].path, &err);
        print_message("%s\n", err.text);
        assert_null(p);
        assert_non_null(strstr(err.text, cases[i].want));
    }
}

/* Each is more specific than all below it. */
static void test_order(void **state)
{
    static const struct {
        const char *host, *path;
    } order[] = {
        {"a.example", "/..."}, {"b.example", "/a"}, {"*.b.example", "/..."},
        {"*.example", "/..."}, {NULL, "/a"},        {NULL, "/a/"},
        {NULL, "/a/b"},        {NULL, "/a/{x}"},    {NULL, "/a/{x}/c"},
        {NULL, "/a/{x}/{y*}"}, {NULL, "/a/{x*}"},   {NULL, "/a/..."},
        {NULL, "/b/c"},        {NULL, "/{x}"},      {NULL, "/{x}/a"},
        {NULL, "/{x*}"},       {NULL, "/..."},
    };

    (void)state;
    for (size_t i = 0; i < LEN(order); i++) {
        for (size_t j = 0; j < LEN(order); j++) {
            struct pattern *a = compile(order[i].host, order[i].path);
            struct pattern *b = compile(order[j].host, order[j].path);
            int d = pattern_compare(a, b);
            print_message("%s and %s\n", order[i].path, order[j].path);
            assert_int_equal((d > 0) - (d < 0), (i > j) - (i < j));
            pattern_free(a);
            pattern_free(b);
        }
    }
}

static void test_same(void **state)
{
    static const struct {
        const char *a_host, *a_path, *b_host, *b_path;
    } cases[] = {
        {NULL, "/{a}/{b*}", NULL, "/{b}/{a*}"},
        {NULL, "/...", NULL, "/*"},
        {NULL, "/a b", NULL, "/%61%20b"},
        {"Example.com", "/", "example.com.", "/"},
        {"[::1]", "/", "[0:0::0:1]", "/"},
        {"*.example.com", "/", "*.EXAMPLE.com", "/"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct pattern *a = compile(cases[i].a_host, cases[i].a_path);
        struct pattern *b = compile(cases[i].b_host, cases[i].b_path);
        assert_int_equal(pattern_compare(a, b), 0);
        assert_int_equal(pattern_compare(b, a), 0);
        pattern_free(a);
        pattern_free(b);
    }
}

static void test_has(void **state)
{
    struct pattern *p = compile(NULL, "/lit/{one}/{rest*}");

    (void)state;
    assert_true(pattern_has(p, slice_of("one")));
    assert_true(pattern_has(p, slice_of("rest")));
    assert_false(pattern_has(p, slice_of("lit")));
    assert_false(pattern_has(p, slice_of("on")));
    assert_false(pattern_has(p, slice_of("")));
    pattern_free(p);
    pattern_free(NULL);
}

/* A value may fill captures.text to the last byte, and no further. */
static void test_capture_room(void **state)
{
    struct pattern *p = compile(NULL, "/{a}/{b}");
    char path[CAPTURE_TEXT_MAX + 8];
    struct captures c;

    (void)state;
    for (size_t a = 1; a < 4; a++) {
        for (size_t over = 0; over < 2; over++) {
            size_t b = CAPTURE_TEXT_MAX - a + over;
            int n = snprintf(path, sizeof(path), "/%.*s/", (int)a, "xxx");
            memset(path + n, 'y', b);
            bool got = pattern_match(p, slice_of(""),
                                     (struct slice){path, (size_t)n + b}, &c);
            assert_int_equal(got, over == 0);
            if (got) {
                assert_int_equal(c.v[0].value.n, a);
                assert_int_equal(c.v[1].value.n, b);
            }
        }
    }
    /* What is not captured may be of any size. */
    struct pattern *all = compile(NULL, "/...");
    memset(path, 'z', sizeof(path));
    path[0] = '/';
    assert_true(pattern_match(all, slice_of(""),
                              (struct slice){path, sizeof(path)}, &c));
    pattern_free(all);
    pattern_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_order),
        cmocka_unit_test(test_same),         cmocka_unit_test(test_has),
        cmocka_unit_test(test_capture_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
