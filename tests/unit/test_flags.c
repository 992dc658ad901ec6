/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, from argv to settings. */
#include "unit.h"

#include <stdio.h>

#include "../../conf/flags.h"

#define ARGS_MAX 24

/* A command line loaded, and all that was said. */
struct run {
    enum settings_action action;
    int status;
    struct settings *settings;
    char *output, *errors;
};

static struct run run(const char *const *args)
{
    char *argv[ARGS_MAX + 2] = {(char *)(uintptr_t) "gangway"};
    struct settings_source source = {1, argv};
    struct run r = {0};
    size_t n;
    FILE *out = open_memstream(&r.output, &n);
    FILE *err = open_memstream(&r.errors, &n);

    assert_true(out && err);
    for (size_t i = 0; i < ARGS_MAX && args[i]; i++)
        argv[source.argc++] = (char *)(uintptr_t)args[i];
    r.action = settings_load(&source, out, err, &r.settings, &r.status);
    fclose(out);
    fclose(err);
    for (int i = 1; i < source.argc; i++) /* not even their order changes */
        assert_ptr_equal(argv[i], args[i - 1]);
    return r;
}

#define RUN(...) run((const char *const[ARGS_MAX + 1]){__VA_ARGS__})

static void end(struct run *r)
{
    settings_free(r->settings);
    free(r->output);
    free(r->errors);
}

/* ---- [ADDR:]PORT TARGET ------------------------------------------------ */

static const struct {
    const char *port, *target;
    const char *host; /* NULL: every address */
    int number;
    const char *want_target;
} positional[] = {
    {"6080", "localhost:5900", NULL, 6080, "tcp://localhost:5900"},
    {"127.0.0.1:6080", "host:5900", "127.0.0.1", 6080, "tcp://host:5900"},
    {"[::1]:6080", "[::1]:5900", "::1", 6080, "tcp://[::1]:5900"},
    {"localhost:6080", "10.0.0.1:22", "127.0.0.1", 6080, "tcp://10.0.0.1:22"},
    {":6080", "a:1", NULL, 6080, "tcp://a:1"},
    {"*:0", "a:1", NULL, 0, "tcp://a:1"},
    {"6080", "tls://mail:993?sni=x", NULL, 6080, "tls://mail:993?sni=x"},
    {"6080", "unix:/run/a.sock", NULL, 6080, "unix:/run/a.sock"},
    {"6080", "echo:", NULL, 6080, "echo:"},
};

static void takes_port_and_target(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(positional); i++) {
        struct run r = RUN(positional[i].port, positional[i].target);
        const struct settings *s = r.settings;

        print_message("%s %s %s\n", positional[i].port, positional[i].target,
                      r.errors);
        assert_int_equal(r.action, SETTINGS_RUN);
        assert_int_equal(s->n_listeners, 1);
        assert_int_equal(s->listeners[0].kind, LISTEN_TCP);
        assert_false(s->listeners[0].tls);
        assert_int_equal(s->listeners[0].port, positional[i].number);
        if (positional[i].host)
            assert_string_equal(s->listeners[0].host, positional[i].host);
        else
            assert_null(s->listeners[0].host);
        assert_int_equal(s->n_routes, 1);
        assert_string_equal(s->routes[0].path, "/...");
        assert_null(s->routes[0].host);
        assert_string_equal(s->routes[0].target, positional[i].want_target);
        end(&r);
    }
}

static void cert_makes_the_port_wss(void **state)
{
    struct run r = RUN("6080", "a:1", "--cert", "c.pem", "--key", "k.pem",
                       "--ssl-only", "--web", "dir", "--heartbeat", "45");
    const struct listener_settings *li = &r.settings->listeners[0];

    (void)state;
    assert_true(li->tls);
    assert_int_equal(li->tls_settings.n_certificates, 1);
    assert_string_equal(li->tls_settings.certificates[0].certificate, "c.pem");
    assert_string_equal(li->tls_settings.certificates[0].key, "k.pem");
    assert_string_equal(r.settings->web, "dir");
    assert_int_equal(r.settings->timeouts.ping_interval, 45000);
    end(&r);
}

static void unix_target_replaces_target(void **state)
{
    struct run r = RUN("--unix-target", "/run/x.sock", "6080");

    (void)state;
    assert_string_equal(r.settings->routes[0].target, "unix:/run/x.sock");
    end(&r);
}

/* ---- the long form ----------------------------------------------------- */

static void takes_listeners_and_routes(void **state)
{
    struct run r = RUN("--listen=ws://*:8080", "--listen", "wss://[::]:443",
                       "--listen", "unix:/s?mode=0600", "--listen", "fd:3",
                       "--cert", "a", "--cert", "b", "--route",
                       "Example.com/v=tcp://h:1?x=y", "--route", "/p=echo:");
    const struct settings *s = r.settings;

    (void)state;
    print_message("%s", r.errors);
    assert_int_equal(r.action, SETTINGS_RUN);
    assert_int_equal(s->n_listeners, 4);
    assert_null(s->listeners[0].host);
    assert_string_equal(s->listeners[1].host, "::");
    assert_int_equal(s->listeners[1].tls_settings.n_certificates, 2);
    assert_int_equal(s->listeners[0].tls_settings.n_certificates, 0);
    assert_null(s->listeners[1].tls_settings.certificates[1].key);
    assert_int_equal(s->listeners[2].kind, LISTEN_UNIX);
    assert_string_equal(s->listeners[2].path, "/s");
    assert_int_equal(s->listeners[2].mode, 0600);
    assert_int_equal(s->listeners[3].fd, 3);
    assert_string_equal(s->listeners[3].where, "--listen");
    assert_int_equal(s->n_routes, 2);
    assert_string_equal(s->routes[0].host, "example.com");
    assert_string_equal(s->routes[0].path, "/v");
    assert_string_equal(s->routes[0].target, "tcp://h:1?x=y");
    assert_null(s->routes[1].host);
    end(&r);
}

static void sets_any_setting(void **state)
{
    struct run r = RUN(
        "1", "a:1", "--set", "limits.max_message=4MiB",
        "--set=timeouts.idle=1h", "--set", "origins=[https://A, 'null']",
        "--set", "log={format: json, level: warn}", "--workers", "3", "--set",
        "limits.queue_high=1MiB", "--plugin", "x.so", "--admin", "127.0.0.1:0");
    const struct settings *s = r.settings;

    (void)state;
    print_message("%s", r.errors);
    assert_int_equal(r.action, SETTINGS_RUN);
    assert_int_equal(s->limits.max_message, 4 << 20);
    assert_int_equal(s->limits.queue_high, 1 << 20);
    assert_int_equal(s->timeouts.idle, 3600000);
    assert_int_equal(s->log_format, LOG_FORMAT_JSON);
    assert_int_equal(s->log_level, LOG_SEV_WARN);
    assert_int_equal(s->workers, 3);
    assert_int_equal(s->plugins.n, 1);
    assert_string_equal(s->admin, "127.0.0.1:0");
    end(&r);
}

static void lists_grow_with_each_flag(void **state)
{
    struct run r = RUN("1", "a:1", "--origin", "https://a", "--origin",
                       "HTTPS://B:8443", "--allow-target", "*.x:1",
                       "--allow-target", "10.0.0.0/8:1-3,5", "-v");
    const struct settings *s = r.settings;

    (void)state;
    assert_int_equal(s->origins.n, 2);
    assert_string_equal(s->origins.v[1], "https://b:8443");
    assert_int_equal(s->allow_targets.n, 2);
    assert_int_equal(s->log_level, LOG_SEV_DEBUG);
    end(&r);
}

static void port_and_target_join_other_flags(void **state)
{
    struct run r = RUN("--listen", "ws://:1", "2", "a:1", "--route", "/b=x:");

    (void)state;
    assert_int_equal(r.settings->n_listeners, 2);
    assert_int_equal(r.settings->n_routes, 2);
    end(&r);
}

/* ---- errors ------------------------------------------------------------ */

static const struct {
    const char *args[6];
    const char *want;
} wrong[] = {
    {{NULL}, "gangway 6080 localhost:5900"},
    {{"--listn", "x"}, "--listn: unknown flag; did you mean '--listen'?"},
    {{"--nonsense"}, "--nonsense: unknown flag\n"},
    {{"--listen"}, "--listen: needs a value"},
    {{"--check=1"}, "--check=1: takes no value"},
    {{"--c"}, "--c: could be several flags"},
    {{"-x"}, "-x: unknown flag"},
    {{"-vx", "6080", "a:1"}, "-vx: unknown flag"},
    {{"-c"}, "-c: needs a value"},
    {{"6080"}, "6080: where to?"},
    {{"6080", "a:1", "b"}, "b: one argument too many"},
    {{"6080", "a:1", "--unix-target", "x"}, "a:1: one argument too many"},
    {{"--unix-target", "x"}, "--unix-target: needs a PORT"},
    {{"99999", "a:1"}, "needs a port from 0 to 65535"},
    {{"x", "a:1"}, "needs a port from 0 to 65535"},
    {{"example.com:80", "a:1"}, "is no numeric address"},
    {{"6080", "a"}, "TARGET: target: no scheme"},
    {{"6080", "a:1", "--cert", "x"}, ""}, /* fine: no error at all */
    {{"6080", "a:1", "--key", "x"}, "--key: every --cert needs its --key"},
    {{"--listen", "ws://:1", "--route", "/=echo:", "--cert", "x"},
     "--cert: no listener uses it"},
    {{"--listen", "wss://:1", "--route", "/=echo:"}, "needs a certificate"},
    {{"--listen", "http://:1"}, "--listen: 'http://:1': write ws://ADDR"},
    {{"--listen", "127.0.0.1:1"}, "--listen: '127.0.0.1:1': write ws://ADDR"},
    {{"--listen", "ws://:1/path"}, "a listener has no path"},
    {{"--listen", "fd:2"}, "with N from 3"},
    {{"--listen", "unix:"}, "needs a path"},
    {{"--listen", "unix://run/x"}, "without //"},
    {{"--listen", "unix:/x?mod=1"}, "only mode"},
    {{"--listen", "unix:/x?mode=9"}, "'9' is no octal number"},
    {{"--listen", "ws://:1"}, "nothing to serve"},
    {{"--route", "/=echo:"}, "no listener"},
    {{"--route", "/x"}, "write [HOST]/PATH=TARGET"},
    {{"--route", "x=echo:"}, "write [HOST]/PATH=TARGET"},
    {{"--route", "/x=localhost:22"}, "did you mean 'tcp://localhost:22'?"},
    {{"--route", "a b/x=echo:"}, "is no host name"},
    {{"1", "a:1", "--admin", "0.0.0.0:80"}, "is not on the loopback"},
    {{"1", "a:1", "--admin", "x"}, "write unix:PATH or 127.0.0.1:PORT"},
    {{"1", "a:1", "--workers", "300"}, "the most is 256"},
    {{"1", "a:1", "--heartbeat", "x"}, "--heartbeat: 'x' is not a duration"},
    {{"1", "a:1", "--log-format", "jsn"}, "did you mean 'json'?"},
    {{"1", "a:1", "--origin", "a.com"}, "write https://HOST"},
    {{"1", "a:1", "--origin", "https://a.com/"}, "ends before its path"},
    {{"1", "a:1", "--allow-target", "x"}, "write HOST:PORT"},
    {{"1", "a:1", "--set", "x"}, "--set: 'x': write KEY=VALUE"},
    {{"1", "a:1", "--set", "limits.max_mesage=1"},
     "--set: limits.max_mesage: unknown setting; did you mean 'max_message'?"},
    {{"1", "a:1", "--set", "max_message=1"}, "'limits.max_message'?"},
    {{"1", "a:1", "--set", "no.such=1"}, "--set: no.such: unknown setting\n"},
    {{"1", "a:1", "--set", "listeners.url=1"}, "--set 'listeners=...'"},
    {{"1", "a:1", "--set", "limits=1"}, "--set: limits: needs a mapping"},
    {{"1", "a:1", "--set", "limits={a: 1}"}, "--set: limits.a: unknown"},
    {{"1", "a:1", "--set", "origins=["}, "--set: "},
    {{"1", "a:1", "--set", "web="}, "--set: web: must not be empty"},
    {{"1", "tcp://{query.to}"}, "clients choose where"},
};

static void tells_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(wrong); i++) {
        bool bad = !wrong[i].want || wrong[i].want[0] != '\0';
        const char *args[ARGS_MAX + 1] = {NULL};

        for (size_t k = 0; k < LEN(wrong[i].args); k++)
            args[k] = wrong[i].args[k];
        struct run r = run(args);
        print_message("%s %s", args[0] ? args[0] : "", r.errors);
        assert_int_equal(r.action, bad ? SETTINGS_BAD : SETTINGS_RUN);
        assert_int_equal(r.status, bad ? 64 : 0);
        assert_int_equal(r.settings == NULL, bad);
        assert_non_null(strstr(r.errors, wrong[i].want));
        assert_string_equal(r.output, "");
        end(&r);
    }
}

/* ---- what prints ------------------------------------------------------- */

static void help_lists_every_flag(void **state)
{
    static const char *const flags[] = {
        "--listen",   "--route",        "--config",      "--set",
        "--check",    "--cert",         "--key",         "--web",
        "--workers",  "--plugin",       "--admin",       "--allow-target",
        "--origin",   "--log-format",   "-v, --verbose", "--schema",
        "--help",     "--version",      "--heartbeat",   "--unix-target",
        "--ssl-only", "gangway.yaml(5)"};
    struct run r = RUN("--help");

    (void)state;
    assert_int_equal(r.action, SETTINGS_PRINTED);
    assert_int_equal(r.status, 0);
    for (size_t i = 0; i < LEN(flags); i++) {
        print_message("%s\n", flags[i]);
        assert_non_null(strstr(r.output, flags[i]));
    }
    assert_null(strstr(r.output, "settings-reference"));
    assert_string_equal(r.errors, "");
    end(&r);
}

static void prints_on_request(void **state)
{
    static const struct {
        const char *flag, *begins;
    } cases[] = {
        {"--version", "gangway "},
        {"-V", "gangway "},
        {"-h", "Usage: gangway "},
        {"--schema", "{\n"},
        {"--settings-reference", "gangway.yaml(5)\n"},
        {"--default-config", "# gangway.yaml"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct run r = RUN("--check", cases[i].flag);

        assert_int_equal(r.action, SETTINGS_PRINTED);
        assert_null(r.settings);
        assert_memory_equal(r.output, cases[i].begins, strlen(cases[i].begins));
        end(&r);
    }
}

static void check_is_an_action(void **state)
{
    struct run r = RUN("--check", "1", "a:1");

    (void)state;
    assert_int_equal(r.action, SETTINGS_CHECK);
    assert_non_null(r.settings);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_port_and_target),
        cmocka_unit_test(cert_makes_the_port_wss),
        cmocka_unit_test(unix_target_replaces_target),
        cmocka_unit_test(takes_listeners_and_routes),
        cmocka_unit_test(sets_any_setting),
        cmocka_unit_test(lists_grow_with_each_flag),
        cmocka_unit_test(port_and_target_join_other_flags),
        cmocka_unit_test(tells_what_is_wrong),
        cmocka_unit_test(help_lists_every_flag),
        cmocka_unit_test(prints_on_request),
        cmocka_unit_test(check_is_an_action),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
