/* SPDX-License-Identifier: Apache-2.0 */
/* Which route answers, and which configurations are refused. */
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#include "../../conf/settings_source.h"
#include "../../gateway/serve/route.h"

/* ---- a bridge that counts ------------------------------------------------
 */

static int open_routes, bad_address;

static int count_open(const struct gw_host *host, const struct gw_target *t,
                      void **route, char *err, size_t cap)
{
    assert_ptr_equal(host, &bridge_host);
    if (strcmp(t->address, "bad") == 0 || strcmp(t->address, "bad:1") == 0) {
        snprintf(err, cap, "it does not like it");
        return -1;
    }
    *route = &bad_address;
    open_routes++;
    return 0;
}

static void count_close(const struct gw_host *host, void *route)
{
    (void)host;
    assert_ptr_equal(route, &bad_address);
    open_routes--;
}

static const struct gw_option count_options[] = {
    {"mode", GW_OPT_ENUM, "a|b", "a", ""}, {0}};

static const struct gw_bridge count_bridge = {
    .name = "count",
    .schemes = (const char *const[]){"n", "path", NULL},
    .options = count_options,
    .route_open = count_open,
    .route_close = count_close,
};

static const struct registry registry = {{&count_bridge}, 1};

/* ---- a router of a YAML text ---------------------------------------------
 */

struct site {
    struct settings *settings;
    struct allow_list *allow;
    struct router router;
    struct err err;
};

#define HEAD "listeners: [{url: 'ws://127.0.0.1:0'}]\n"

static bool site_open(struct site *s, const char *yaml)
{
    char text[4096];
    snprintf(text, sizeof text, HEAD "%s", yaml);
    s->settings = settings_from_yaml("site.yaml", slice_of(text), true, stderr);
    assert_non_null(s->settings);
    s->allow = allow_list_new(&s->settings->allow_targets, &s->err);
    assert_non_null(s->allow);
    if (router_init(&s->router, s->settings, &registry, s->allow, &s->err) == 0)
        return true;
    assert_int_equal(open_routes, 0);
    allow_list_free(s->allow);
    settings_free(s->settings);
    return false;
}

static void site_close(struct site *s)
{
    router_fini(&s->router);
    router_fini(&s->router); /* once more does no harm */
    assert_int_equal(open_routes, 0);
    allow_list_free(s->allow);
    settings_free(s->settings);
}

static const char *found(const struct site *s, enum route_kind kind,
                         const char *host, const char *path, bool *other)
{
    struct captures c;
    const struct route *r = router_find(&s->router, kind, slice_of(host),
                                        slice_of(path), &c, other);
    return r ? r->name : "none";
}

/* ---- finding -------------------------------------------------------------
 */

static void the_most_specific_answers(void **state)
{
    static const char yaml[] =
        "routes:\n"
        "- {path: /..., target: 'n:everything'}\n"
        "- {path: '/db/{name}', target: 'n:one'}\n"
        "- {path: /db/main, target: 'n:main'}\n"
        "- {path: '/db/{rest*}', target: 'n:rest'}\n"
        "- {host: a.example, path: /..., target: 'n:a'}\n"
        "- {host: '*.example', path: /db/main,"
        " target: 'n:sub'}\n";
    static const struct {
        const char *host, *path, *name;
    } cases[] = {
        {"b", "/", "/..."},
        {"b", "/db", "/..."},
        {"b", "/db/main", "/db/main"},
        {"b", "/db/%6dain", "/db/main"},
        {"b", "/db/other", "/db/{name}"},
        {"b", "/db/a/b", "/db/{rest*}"},
        {"", "/db/main", "/db/main"},
        {"a.example", "/db/main", "a.example/..."},
        {"A.EXAMPLE:8080", "/db/main", "a.example/..."},
        {"c.example:1", "/db/main", "*.example/db/main"},
        {"c.example", "/db/x", "/db/{name}"},
        {"[::1]:80", "/db/main", "/db/main"},
        {"b", "/../etc", "none"},
        {"b", "/%zz", "none"},
    };
    struct site s;
    bool other;
    (void)state;

    assert_true(site_open(&s, yaml));
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s%s\n", cases[i].host, cases[i].path);
        assert_string_equal(
            found(&s, ROUTE_BRIDGE, cases[i].host, cases[i].path, &other),
            cases[i].name);
        assert_false(other);
    }
    site_close(&s);
}

static void files_and_bridges_side_by_side(void **state)
{
    static const char yaml[] = "routes:\n"
                               "- {path: /app/..., target: 'static:/tmp'}\n"
                               "- {path: /app/ws, target: 'n:to1'}\n"
                               "- {path: /only, target: 'n:to2'}\n"
                               "- {path: /both, target: 'n:to3'}\n"
                               "- {path: /both, target: 'static:/tmp'}\n";
    static const struct {
        enum route_kind kind;
        const char *path, *name;
        bool other;
    } cases[] = {
        {ROUTE_BRIDGE, "/app/ws", "/app/ws", false},
        {ROUTE_STATIC, "/app/ws", "/app/...", true},
        {ROUTE_STATIC, "/app/x", "/app/...", false},
        {ROUTE_BRIDGE, "/app/x", "none", true},
        {ROUTE_STATIC, "/app", "/app", false},
        {ROUTE_STATIC, "/app/", "/app/...", false},
        {ROUTE_STATIC, "/only", "none", true},
        {ROUTE_BRIDGE, "/only", "/only", false},
        {ROUTE_BRIDGE, "/both", "/both", false},
        {ROUTE_STATIC, "/both", "/both", false},
        {ROUTE_STATIC, "/both/x", "/both/...", false},
        {ROUTE_STATIC, "/", "none", false},
    };
    struct site s;
    (void)state;

    assert_true(site_open(&s, yaml));
    for (size_t i = 0; i < LEN(cases); i++) {
        bool other;
        print_message("%d %s\n", (int)cases[i].kind, cases[i].path);
        assert_string_equal(
            found(&s, cases[i].kind, "h", cases[i].path, &other),
            cases[i].name);
        assert_int_equal(other, cases[i].other);
    }
    site_close(&s);
}

static void captures_of_the_route_that_answers(void **state)
{
    static const char yaml[] = "routes:\n"
                               "- {path: '/x/{a}/{b}/end', target: 'n:to1'}\n"
                               "- {path: '/x/{c}/{d*}', target: 'n:to2'}\n";
    struct captures c;
    struct site s;
    bool other;
    (void)state;

    assert_true(site_open(&s, yaml));
    const struct route *r =
        router_find(&s.router, ROUTE_BRIDGE, slice_of("h"),
                    slice_of("/x/1/2%2d/other"), &c, &other);
    assert_non_null(r);
    assert_int_equal(c.n, 2);
    assert_slice(c.v[0].name, "c");
    assert_slice(c.v[0].value, "1");
    assert_slice(c.v[1].value, "2-/other");
    site_close(&s);
}

static void the_host_without_its_port(void **state)
{
    static const struct {
        const char *host, *want;
    } cases[] = {
        {"", ""},
        {"a", "a"},
        {"a:1", "a"},
        {"[::1]", "[::1]"},
        {"[::1]:80", "[::1]"},
        {":80", ""},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++)
        assert_slice(host_name(slice_of(cases[i].host)), cases[i].want);
    assert_int_equal(host_name((struct slice){0}).n, 0);
}

/* ---- building ------------------------------------------------------------
 */

static void what_a_route_knows(void **state)
{
    static const char yaml[] =
        "limits: {max_message: 1MiB}\n"
        "allow_targets: ['10.0.0.0/8:*']\n"
        "routes:\n"
        "- {path: '/a/{p}', target: 'n://h:{path.p}?mode=b'}\n"
        "- {path: /b, target: 'path:/run/x', options: {mode: b},"
        " max_message: 5KiB}\n";
    struct captures c;
    struct site s;
    bool other;
    (void)state;

    if (!site_open(&s, yaml))
        fail_msg("%s", s.err.text);
    const struct route *r = router_find(&s.router, ROUTE_BRIDGE, slice_of("h"),
                                        slice_of("/a/1"), &c, &other);
    assert_non_null(r);
    assert_ptr_equal(r->bridge, &count_bridge);
    assert_string_equal(r->scheme, "n");
    assert_string_equal(r->address, "h:{path.p}");
    assert_true(r->dynamic && !r->is_unix);
    assert_int_equal(r->values[0].number, 1);
    assert_int_equal(r->max_message, 1 << 20);
    r = router_find(&s.router, ROUTE_BRIDGE, slice_of("h"), slice_of("/b"), &c,
                    &other);
    assert_non_null(r);
    assert_string_equal(r->address, "/run/x");
    assert_true(!r->dynamic && r->is_unix);
    assert_int_equal(r->values[0].number, 1);
    assert_int_equal(r->max_message, 5 << 10);
    site_close(&s);
}

static void configurations_that_are_refused(void **state)
{
    static const struct {
        const char *routes, *why;
    } cases[] = {
        {"- {path: /a, target: 'm:to1'}", "no bridge for 'm:' (there are: n:, "
                                          "path:)"},
        {"- {path: /a, target: 'n:bad'}", "count bridge: it does not like it"},
        {"- {path: /a, target: 'n:to1'}\n- {path: /%61, target: 'n:to2'}",
         "two routes answer to the same requests: /a and /%61"},
        {"- {path: '/{a}', target: 'n:to1'}\n- {path: '/{b}', target: 'n:to2'}",
         "two routes answer"},
        {"- {path: /a, target: 'static:/tmp'}\n"
         "- {path: /a/..., target: 'static:/tmp'}",
         "two routes answer"},
        {"- {path: '/{a}', target: 'n://{path.b}:1'}", "path.b"},
        {"- {path: /a, target: 'n://h:1/x'}", "makes no sense"},
        {"- {path: /a, target: 'n://h:99999'}", "is no port"},
        {"- {path: /a, target: 'n:to1?mod=a'}", "did you mean 'mode'?"},
        {"- {path: /a, target: 'n:to1?mode=c'}", "is not a|b"},
        {"- {path: /a, target: 'n:to1?mode=%zz'}", "bad escape"},
        {"- {path: /a, target: 'n:to1?mode=a', options: {mode: b}}",
         "is given twice"},
        {"- {path: /a, target: 'static:/nonexistent/x'}", "/nonexistent/x"},
        {"- {path: '/{a}/x', target: 'static:/tmp'}", "plain text"},
    };
    char yaml[1024];
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct site s;
        print_message("%s\n", cases[i].routes);
        snprintf(yaml, sizeof yaml,
                 "allow_targets: ['10.0.0.0/8:*']\n"
                 "routes:\n- {path: /first, target: 'n:to1'}\n%s\n",
                 cases[i].routes);
        assert_false(site_open(&s, yaml));
        if (!strstr(s.err.text, cases[i].why))
            fail_msg("%s", s.err.text);
    }
}

/* The settings are checked for it, too; a router does not rely on that. */
static void a_target_of_clients_needs_a_list(void **state)
{
    struct allow_list *empty = allow_list_new(NULL, NULL);
    struct router r;
    struct site s;
    (void)state;

    assert_true(
        site_open(&s, "allow_targets: ['10.0.0.0/8:*']\n"
                      "routes: [{path: '/{a}', target: 'n://{path.a}:1'}]\n"));
    assert_int_equal(router_init(&r, s.settings, &registry, empty, &s.err), -1);
    assert_non_null(strstr(s.err.text, "allow_targets"));
    allow_list_free(empty);
    site_close(&s);
}

/* Errors name the place in the file. */
static void errors_say_where(void **state)
{
    struct site s;
    (void)state;

    assert_false(site_open(&s, "routes:\n"
                               "- {path: /a, target: 'n:to1'}\n"
                               "- {path: /b, target: 'm:to1'}\n"));
    assert_memory_equal(s.err.text, "site.yaml:4:", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_answers),
        cmocka_unit_test(files_and_bridges_side_by_side),
        cmocka_unit_test(captures_of_the_route_that_answers),
        cmocka_unit_test(the_host_without_its_port),
        cmocka_unit_test(what_a_route_knows),
        cmocka_unit_test(configurations_that_are_refused),
        cmocka_unit_test(a_target_of_clients_needs_a_list),
        cmocka_unit_test(errors_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
