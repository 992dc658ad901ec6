/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration made ready, counted, and gone with its last user. */
#include "rig.h"

#include <pthread.h>
#include <stdio.h>

#include "../../conf/settings_source.h"
#include "../../gateway/serve/generation.h"

static atomic_int open_routes;

static int count_open(const struct gw_host *host, const struct gw_target *t,
                      void **route, char *err, size_t cap)
{
    (void)host, (void)t, (void)err, (void)cap;
    *route = NULL;
    atomic_fetch_add(&open_routes, 1);
    return 0;
}

static void count_close(const struct gw_host *host, void *route)
{
    (void)host, (void)route;
    atomic_fetch_sub(&open_routes, 1);
}

static const struct gw_bridge count_bridge = {
    .name = "count",
    .schemes = (const char *const[]){"n", NULL},
    .route_open = count_open,
    .route_close = count_close,
};

static const struct registry registry = {{&count_bridge}, 1};

static struct generation *make(const char *yaml, struct err *err)
{
    struct settings *s =
        settings_from_yaml("g.yaml", slice_of(yaml), true, stderr);
    assert_non_null(s);
    return generation_new(s, &registry, err);
}

static const char good[] =
    "listeners: [{url: 'ws://127.0.0.1:0'}]\n"
    "limits: {queue_high: 100KiB, queue_low: 10KiB, header_bytes: 5KiB,"
    " uri_bytes: 3KiB, header_count: 20}\n"
    "timeouts: {tls_handshake: 1s, request: 2s, keep_alive: 3s, linger: 4s,"
    " write_stall: 5s}\n"
    "routes: [{path: /a, target: 'n:'}, {path: /b, target: 'n:'}]\n";

static void rules_come_from_the_settings(void **state)
{
    struct err err;
    (void)state;

    struct generation *g = make(good, &err);
    assert_non_null(g);
    assert_int_equal(g->rules.limits.head_bytes, 5 << 10);
    assert_int_equal(g->rules.limits.uri_bytes, 3 << 10);
    assert_int_equal(g->rules.limits.fields, 20);
    assert_int_equal(g->rules.marks.high, 100 << 10);
    assert_int_equal(g->rules.marks.low, 10 << 10);
    assert_int_equal(g->rules.tls_handshake_ms, 1000);
    assert_int_equal(g->rules.request_ms, 2000);
    assert_int_equal(g->rules.keep_alive_ms, 3000);
    assert_int_equal(g->rules.linger_ms, 4000);
    assert_int_equal(g->rules.write_stall_ms, 5000);
    assert_int_equal(g->router.n, 2);
    assert_null(g->tls[0]);
    assert_int_equal(atomic_load(&open_routes), 2);
    generation_unref(g);
    assert_int_equal(atomic_load(&open_routes), 0);
}

static void *user(void *arg)
{
    struct generation *g = arg;
    for (int i = 0; i < 10000; i++)
        generation_unref(generation_ref(g));
    generation_unref(g);
    return NULL;
}

static void the_last_user_frees_it(void **state)
{
    pthread_t threads[4];
    struct err err;
    (void)state;

    struct generation *g = make(good, &err);
    assert_non_null(g);
    for (size_t i = 0; i < LEN(threads); i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, user, generation_ref(g)), 0);
    assert_true(atomic_load(&open_routes) == 2); /* ours holds it */
    generation_unref(g);
    for (size_t i = 0; i < LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&open_routes), 0);
}

/* Whatever fails, nothing of it stays. */
static void what_cannot_be_made(void **state)
{
    static const struct {
        const char *yaml, *why;
    } cases[] = {
        {"listeners: [{url: 'wss://127.0.0.1:0', tls: {certificate: %s}},"
         " {url: 'wss://127.0.0.1:0', tls: {certificate: /nonexistent.pem}}]\n"
         "routes: [{path: /a, target: 'n:'}]\n",
         "/nonexistent.pem"},
        {"listeners: [{url: 'wss://127.0.0.1:0', tls: {certificate: %s}}]\n"
         "routes: [{path: /a, target: 'n:'}, {path: /b, target: 'm:'}]\n",
         "no bridge for 'm:'"},
        {"listeners: [{url: 'wss://127.0.0.1:0', tls: {certificate: %s}}]\n"
         "allow_targets: ['a:99999']\n"
         "routes: [{path: /a, target: 'n:'}]\n",
         "99999"},
    };
    char yaml[1024];
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct err err = {""};
        const char *p = strstr(cases[i].yaml, "%s");
        snprintf(yaml, sizeof yaml, "%.*s%s%s", (int)(p - cases[i].yaml),
                 cases[i].yaml, rig_certificate(), p + 2);
        FILE *quiet = fopen("/dev/null", "w");
        struct settings *s =
            settings_from_yaml("g.yaml", slice_of(yaml), false, quiet);
        fclose(quiet);
        if (!s) /* noticed even earlier */
            continue;
        assert_null(generation_new(s, &registry, &err));
        if (!strstr(err.text, cases[i].why))
            fail_msg("%s", err.text);
        assert_int_equal(atomic_load(&open_routes), 0);
    }
}

static void each_listener_has_its_certificate(void **state)
{
    char yaml[1024];
    struct err err;
    (void)state;

    snprintf(yaml, sizeof yaml,
             "listeners:\n- {url: 'ws://127.0.0.1:0'}\n"
             "- {url: 'wss://127.0.0.1:0', tls: {certificate: %s}}\n"
             "routes: [{path: /a, target: 'n:'}]\n",
             rig_certificate());
    struct generation *g = make(yaml, &err);
    if (!g)
        fail_msg("%s", err.text);
    assert_null(g->tls[0]);
    assert_non_null(g->tls[1]);
    SSL *ssl = tls_server_ssl(g->tls[1]);
    assert_non_null(ssl);
    generation_unref(g); /* a connection may outlive it */
    SSL_free(ssl);
}

static int clean_up(void **state)
{
    (void)state;
    rig_certificate_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_come_from_the_settings),
        cmocka_unit_test(the_last_user_frees_it),
        cmocka_unit_test(what_cannot_be_made),
        cmocka_unit_test(each_listener_has_its_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
