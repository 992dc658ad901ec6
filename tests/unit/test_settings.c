/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files, from text to settings. */
#include "unit.h"

#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#include "../../conf/print.h"
#include "../../conf/settings_source.h"
#include "../../conf/settings_table.h"

/* What loading a text led to. */
struct loaded {
    struct settings *settings;
    char *errors;
    size_t n;
};

static struct loaded load(const char *text)
{
    size_t n = strlen(text);
    char *copy = copy_of(text, n);
    struct loaded l = {0};
    FILE *f = open_memstream(&l.errors, &l.n);

    assert_non_null(f);
    l.settings = settings_from_yaml("f.yaml", (struct slice){copy, n}, true, f);
    free(copy);
    fclose(f);
    assert_int_equal(l.settings == NULL, l.n > 0);
    return l;
}

/* The same for a text that has a listener and a route already. */
static struct loaded load_rest(const char *rest)
{
    char text[2048];

    snprintf(text, sizeof(text),
             "listeners: [\"ws://:1\"]\n"
             "routes: [\"/=echo:\"]\n%s\n",
             rest);
    return load(text);
}

static void end(struct loaded *l)
{
    settings_free(l->settings);
    free(l->errors);
}

static struct settings_source source_of(char **argv)
{
    struct settings_source s = {0, argv};

    while (argv[s.argc])
        s.argc++;
    return s;
}

/* ---- what a file may say ----------------------------------------------- */

static const char everything[] =
    "listeners:\n"
    "  - ws://127.0.0.1:8080\n"
    "  - url: wss://:443\n"
    "    tls:\n"
    "      certificate: a.pem\n"
    "      key: a.key\n"
    "      min_version: 1.3\n"
    "      ciphers: X\n"
    "      ciphersuites: Y\n"
    "      client_ca: /abs/ca.pem\n"
    "      client_certificate: optional\n"
    "      tickets: false\n"
    "  - url: wss://[::1]:444\n"
    "    tls:\n"
    "      certificates:\n"
    "        - {certificate: b.pem}\n"
    "        - {certificate: c.pem, key: c.key}\n"
    "  - {url: \"unix:/run/g.sock\", mode: 0600}\n"
    "  - {url: fd:3, tls: {certificate: d.pem}}\n"
    "routes:\n"
    "  - host: WWW.Example.com\n"
    "    path: /a/{name}\n"
    "    target: tcp://h:1\n"
    "    options: {mode: text, connect_timeout: 2s, half_close: true}\n"
    "    subprotocols: [a, b]\n"
    "    origins: [\"https://a\"]\n"
    "    max_message: 2KiB\n"
    "  - {host: \"*\", path: /b, target: \"unix:${GW_DIR:-/run}/b\"}\n"
    "  - '/c=echo:'\n"
    "allow_targets: [\"*.x:1\"]\n"
    "origins: [\"https://b\", \"null\"]\n"
    "plugins: [p.so]\n"
    "web: www\n"
    "admin: unix:/run/admin\n"
    "workers: 4\n"
    "log: {format: json, level: error}\n"
    "limits: {max_message: 3MiB, header_count: 100}\n"
    "timeouts: {idle: 5m, linger: 0}\n";

static void reads_listeners(void **state)
{
    struct loaded l = load(everything);
    const struct listener_settings *v;
    const struct tls_settings *t;

    (void)state;
    print_message("%s", l.errors);
    assert_non_null(l.settings);
    assert_int_equal(l.settings->n_listeners, 5);
    v = l.settings->listeners;
    assert_string_equal(v[0].url, "ws://127.0.0.1:8080");
    assert_string_equal(v[0].where, "f.yaml:2:5");
    assert_string_equal(v[1].where, "f.yaml:3:5");
    t = &v[1].tls_settings;
    assert_true(v[1].tls);
    assert_int_equal(t->n_certificates, 1);
    assert_string_equal(t->certificates[0].certificate, "a.pem");
    assert_string_equal(t->certificates[0].key, "a.key");
    assert_int_equal(t->min_version, TLS_1_3);
    assert_string_equal(t->ciphers, "X");
    assert_string_equal(t->ciphersuites, "Y");
    assert_string_equal(t->client_ca, "/abs/ca.pem");
    assert_int_equal(t->client_certificate, CLIENT_CERT_OPTIONAL);
    assert_false(t->tickets);
    t = &v[2].tls_settings;
    assert_int_equal(t->n_certificates, 2);
    assert_null(t->certificates[0].key);
    assert_string_equal(t->certificates[1].key, "c.key");
    assert_int_equal(t->min_version, TLS_1_2);
    assert_true(t->tickets);
    assert_int_equal(v[3].mode, 0600);
    assert_int_equal(v[0].mode, 0660);
    assert_true(v[4].tls);
    assert_int_equal(v[4].fd, 3);
    end(&l);
}

static void reads_routes(void **state)
{
    struct loaded l = load(everything);
    const struct route_settings *r = l.settings->routes;

    (void)state;
    assert_int_equal(l.settings->n_routes, 3);
    assert_string_equal(r[0].host, "www.example.com");
    assert_string_equal(r[0].path, "/a/{name}");
    assert_int_equal(r[0].n_options, 3);
    assert_string_equal(r[0].options[1].name, "connect_timeout");
    assert_string_equal(r[0].options[1].value, "2s");
    assert_string_equal(r[0].options[1].where, "f.yaml:24:44");
    assert_string_equal(r[0].options[2].value, "true");
    assert_int_equal(r[0].subprotocols.n, 2);
    assert_string_equal(r[0].origins.v[0], "https://a");
    assert_int_equal(r[0].max_message, 2048);
    assert_null(r[1].host);
    assert_string_equal(r[1].target, "unix:/run/b");
    assert_int_equal(r[1].max_message, 0);
    assert_string_equal(r[2].path, "/c");
    end(&l);
}

static void reads_the_rest(void **state)
{
    struct loaded l = load(everything);
    const struct settings *s = l.settings;

    (void)state;
    assert_int_equal(s->allow_targets.n, 1);
    assert_string_equal(s->origins.v[1], "null");
    assert_string_equal(s->plugins.v[0], "p.so");
    assert_string_equal(s->web, "www");
    assert_string_equal(s->admin, "unix:/run/admin");
    assert_int_equal(s->workers, 4);
    assert_int_equal(s->log_format, LOG_FORMAT_JSON);
    assert_int_equal(s->log_level, LOG_SEV_ERROR);
    assert_int_equal(s->limits.max_message, 3 << 20);
    assert_int_equal(s->limits.header_count, 100);
    assert_int_equal(s->timeouts.idle, 300000);
    assert_int_equal(s->timeouts.linger, 0);
    end(&l);
}

static void has_the_promised_defaults(void **state)
{
    struct loaded l = load_rest("");
    const struct limit_settings *n = &l.settings->limits;
    const struct timeout_settings *t = &l.settings->timeouts;

    (void)state;
    assert_int_equal(n->connections, 0);
    assert_int_equal(n->header_bytes, 8192);
    assert_int_equal(n->uri_bytes, 4096);
    assert_int_equal(n->header_count, 64);
    assert_int_equal(n->max_message, 1 << 20);
    assert_int_equal(n->fragments, 1024);
    assert_int_equal(n->control_rate, 50);
    assert_int_equal(n->control_burst, 100);
    assert_int_equal(n->queue_high, 65536);
    assert_int_equal(n->queue_low, 32768);
    assert_int_equal(n->read_buffer, 65536);
    assert_int_equal(t->tls_handshake, 5000);
    assert_int_equal(t->request, 10000);
    assert_int_equal(t->connect, 5000);
    assert_int_equal(t->write_stall, 30000);
    assert_int_equal(t->ping_interval, 30000);
    assert_int_equal(t->pong_wait, 10000);
    assert_int_equal(t->close, 5000);
    assert_int_equal(t->linger, 2000);
    assert_int_equal(t->idle, 0);
    assert_int_equal(t->drain, 30000);
    assert_int_equal(t->keep_alive, 10000);
    assert_int_equal(l.settings->log_level, LOG_SEV_INFO);
    end(&l);
}

static void empty_values_leave_the_default(void **state)
{
    struct loaded l =
        load_rest("limits:\ntimeouts: {idle: ~}\nweb: null\nworkers:");

    (void)state;
    print_message("%s", l.errors);
    assert_non_null(l.settings);
    assert_null(l.settings->web);
    assert_int_equal(l.settings->timeouts.idle, 0);
    end(&l);
}

/* ---- files beside the file --------------------------------------------- */

static char folder[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/gangway-settings-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char pattern[128];
    glob_t found;

    (void)state;
    snprintf(pattern, sizeof(pattern), "%s/*", folder);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
        globfree(&found);
    }
    return rmdir(folder);
}

/* `gangway --config folder/name FLAG...` */
static enum settings_action load_file(const char *name, char *flag,
                                      struct loaded *l, int *status)
{
    char path[128],
        *argv[] = {(char[]){"gangway"}, (char[]){"--config"}, path, flag, NULL};
    struct settings_source source = source_of(argv);
    FILE *f = open_memstream(&l->errors, &l->n);
    enum settings_action action;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_non_null(f);
    action = settings_load(&source, f, f, &l->settings, status);
    fclose(f);
    return action;
}

static void paths_start_from_the_files_folder(void **state)
{
    struct loaded l = {0};
    char want[128];
    int status;

    (void)state;
    write_file("secret", "tcp://user@h:1\n");
    write_file("password", "with \nnewline\r\n");
    write_file("g.yaml", "listeners:\n"
                         "  - {url: wss://:1, tls: {certificate: c.pem}}\n"
                         "  - unix:g.sock\n"
                         "routes:\n"
                         "  - {path: /a, target_file: secret,"
                         " options: {password_file: password}}\n"
                         "  - {path: /b, target: \"unix:b.sock?mode=text\"}\n"
                         "web: www\n");
    assert_int_equal(load_file("g.yaml", NULL, &l, &status), SETTINGS_RUN);
    snprintf(want, sizeof(want), "%s/c.pem", folder);
    assert_string_equal(
        l.settings->listeners[0].tls_settings.certificates[0].certificate,
        want);
    snprintf(want, sizeof(want), "%s/g.sock", folder);
    assert_string_equal(l.settings->listeners[1].path, want);
    snprintf(want, sizeof(want), "%s/www", folder);
    assert_string_equal(l.settings->web, want);
    assert_string_equal(l.settings->routes[0].target, "tcp://user@h:1");
    assert_string_equal(l.settings->routes[0].options[0].name, "password");
    assert_string_equal(l.settings->routes[0].options[0].value,
                        "with \nnewline");
    assert_string_equal(l.settings->routes[0].folder, folder);
    snprintf(want, sizeof(want), "unix:%s/b.sock?mode=text", folder);
    assert_string_equal(l.settings->routes[1].target, want);
    end(&l);
}

static void secrets_are_not_repeated(void **state)
{
    struct loaded l = {0};
    int status;

    (void)state;
    write_file("secret", "tcp//user:hunter2@h:1\n");
    write_file("s.yaml", "listeners: [\"ws://:1\"]\n"
                         "routes:\n"
                         "  - {path: /a, target_file: secret}\n"
                         "  - {path: /b, target: \"tcp//u:hunter2@h\"}\n");
    assert_int_equal(load_file("s.yaml", NULL, &l, &status), SETTINGS_BAD);
    assert_non_null(strstr(l.errors, "s.yaml:3:29: routes[0].target_file: "));
    assert_non_null(strstr(l.errors, "s.yaml:4:24: routes[1].target: "));
    assert_null(strstr(l.errors, "hunter2"));
    end(&l);
}

static void flags_prevail_over_the_file(void **state)
{
    struct loaded l = {0};
    int status;

    (void)state;
    write_file("p.yaml", "listeners: [ws://:1, ws://:2]\n"
                         "routes: ['/a=echo:']\nworkers: 2\nweb: x\n");
    assert_int_equal(
        load_file("p.yaml", (char[]){"--listen=ws://:3"}, &l, &status),
        SETTINGS_RUN);
    assert_int_equal(l.settings->n_listeners, 1);
    assert_int_equal(l.settings->listeners[0].port, 3);
    assert_int_equal(l.settings->n_routes, 1);
    assert_int_equal(l.settings->workers, 2);
    end(&l);
    l = (struct loaded){0};
    assert_int_equal(
        load_file("p.yaml", (char[]){"--set=workers=5"}, &l, &status),
        SETTINGS_RUN);
    assert_int_equal(l.settings->workers, 5);
    assert_int_equal(l.settings->n_listeners, 2);
    end(&l);
}

static void port_and_target_prevail_too(void **state)
{
    char path[128], *argv[] = {(char[]){"gangway"}, (char[]){"-c"},  path,
                               (char[]){"7"},       (char[]){"a:1"}, NULL};
    struct settings_source source = source_of(argv);
    struct settings *s;
    int status;

    (void)state;
    snprintf(path, sizeof(path), "%s/p.yaml", folder);
    write_file("p.yaml", "listeners: [\"ws://:1\", \"ws://:2\"]\n"
                         "routes: [\"/a=echo:\"]\nworkers: 2\n");
    assert_int_equal(settings_load(&source, stdout, stderr, &s, &status),
                     SETTINGS_RUN);
    assert_int_equal(s->n_listeners, 1);
    assert_int_equal(s->listeners[0].port, 7);
    assert_int_equal(s->n_routes, 1);
    assert_string_equal(s->routes[0].path, "/...");
    assert_int_equal(s->workers, 2);
    settings_free(s);
}

static void exit_status_tells_whose_fault(void **state)
{
    struct loaded l = {0};
    int status;

    (void)state;
    assert_int_equal(load_file("none.yaml", NULL, &l, &status), SETTINGS_BAD);
    assert_int_equal(status, 78);
    assert_non_null(strstr(l.errors, "none.yaml: No such file or directory"));
    end(&l);
    l = (struct loaded){0};
    write_file("ok.yaml", "listeners: [ws://:1]\nroutes: ['/a=echo:']\n");
    assert_int_equal(load_file("ok.yaml", (char[]){"--workers=x"}, &l, &status),
                     SETTINGS_BAD);
    assert_int_equal(status, 64);
    end(&l);
    l = (struct loaded){0};
    write_file("bad.yaml", "listeners: [ws://:1]\n");
    assert_int_equal(load_file("bad.yaml", (char[]){"--check"}, &l, &status),
                     SETTINGS_BAD);
    assert_int_equal(status, 78);
    end(&l);
}

/* ---- errors ------------------------------------------------------------ */

/* Below "listeners" and "routes", which take two lines. */
static const struct {
    const char *text, *want;
} wrong[] = {
    {"limits: {\n  max_mesage: 1}",
     "f.yaml:4:3: limits.max_mesage: unknown setting; did you mean "
     "'max_message'?\n"},
    {"max_message: 1", "did you mean 'limits.max_message'?"},
    {"nonsense: 1", "f.yaml:3:1: nonsense: unknown setting\n"},
    {"limits: {max_message: 1KiB,\n max_message: 2KiB}",
     "f.yaml:4:2: limits.max_message: given twice, first in line 3\n"},
    {"limits: {header_bytes: 1}", "the least is 1KiB"},
    {"limits: {read_buffer: 2MiB}", "the most is 1MiB"},
    {"limits: {header_count: 200}", "the most is 128"},
    {"limits: {fragments: 1KiB}", "'1KiB' is not a whole number"},
    {"limits: {queue_low: 64KiB}",
     "f.yaml:3:21: limits.queue_low: queue_low must be less than"},
    {"limits: {queue_high: 1KiB}",
     "f.yaml:3:22: limits.queue_high: queue_low must be less than"},
    {"limits: {uri_bytes: 9KiB}", "cannot be more"},
    {"limits: 3", "f.yaml:3:9: limits: needs a mapping"},
    {"limits: {max_message: [1]}", "needs one value"},
    {"timeouts: {idle: 30}", "timeouts.idle: '30' needs a unit: write 30s"},
    {"timeouts: {request: 0}", "'0' is too small; the least is 10ms"},
    {"timeouts: {idle: 1ms}", "the least is 10ms (or 0: never)"},
    {"log: {level: trace}", "is not one of error, warn, info, debug"},
    {"workers: -1", "'-1' is not a whole number"},
    {"web: ''", "web: must not be empty"},
    {"web: \"a\\0b\"", "f.yaml:3:6: web: holds a NUL byte"},
    {"web: {a: b}", "needs one value"},
    {"web: ${GW_UNSET}", "the environment has no GW_UNSET"},
    {"admin: 10.0.0.1:80", "is not on the loopback"},
    {"origins: x", "origins: needs a list"},
    {"origins: [\"https://a\", b]", "f.yaml:3:24: origins[1]: 'b' is no"},
    {"origins: [[a]]", "origins[0]: needs one value"},
    {"<<: {web: x}", "<<: unknown setting"},
    {"? [a]\n: 1", "a key must be a word"},
};

static void tells_where_and_what(void **state)
{
    (void)state;
    unsetenv("GW_UNSET");
    for (size_t i = 0; i < LEN(wrong); i++) {
        struct loaded l = load_rest(wrong[i].text);

        print_message("%s\n-> %s", wrong[i].text, l.errors);
        assert_null(l.settings);
        assert_non_null(strstr(l.errors, wrong[i].want));
        assert_ptr_equal(strchr(l.errors, '\n'), l.errors + l.n - 1);
        end(&l);
    }
}

static const struct {
    const char *text, *want;
} wrong_items[] = {
    {"listeners: [{tls: {}}]", "listeners[0]: 'url' is missing"},
    {"listeners: [{url: }]", "listeners[0].url: needs a value"},
    {"listeners: [3]", "f.yaml:1:13: listeners[0]: '3': write ws://ADDR"},
    {"listeners: [[]]", "listeners[0]: needs a mapping"},
    {"listeners: [{url: \"ws://:1\", tls: {}}]", "ws:// does not speak TLS"},
    {"listeners: [{url: \"ws://:1\", mode: 0600}]", "only unix: has a 'mode'"},
    {"listeners: [{url: \"unix:/a?mode=0600\", mode: 0600}]", "given twice"},
    {"listeners: [{url: \"unix:/a\", mode: 0888}]", "is no octal number"},
    {"listeners: [{url: \"unix:/a\", mode: 1777}]", "the most is 0777"},
    {"listeners: [{url: \"wss://:1\", tls: {key: k}}]", "its 'certificate'"},
    {"listeners: [{url: \"wss://:1\", tls: {certificate: c, "
     "certificates: [{certificate: d}]}}]",
     "listeners[0].tls: give either certificate and key, or certificates"},
    {"listeners: [{url: \"wss://:1\", tls: {certificates: [{key: d}]}}]",
     "listeners[0].tls.certificates[0]: 'certificate' is missing"},
    {"listeners: [{url: \"wss://:1\", tls: {certificate: c, "
     "client_certificate: required}}]",
     "client_certificate needs 'client_ca'"},
    {"listeners: [{url: \"wss://:1\", tls: {certificate: c, client_ca: a}}]",
     "add 'client_certificate: required'"},
    {"listeners: [{url: \"wss://:1\", tls: {min_version: 1.1}}]",
     "is not one of 1.2, 1.3"},
    {"listeners: [\"wss://:1\"]\nroutes: ['/=echo:']",
     "f.yaml:1:13: wss://:1 needs a certificate"},
    {"listeners: [\"ws://:1\", \"ws://*:1\"]\nroutes: ['/=echo:']",
     "f.yaml:1:24: ws://*:1 is listened on twice, first in f.yaml:1:13"},
    {"routes: [{path: /}]", "routes[0]: 'target' is missing"},
    {"routes: [{target: \"echo:\"}]", "routes[0]: 'path' is missing"},
    {"routes: [{path: x, target: \"echo:\"}]", "does not begin with '/'"},
    {"routes: [{path: /, target: \"h:1\"}]", "did you mean 'tcp://h:1'?"},
    {"routes: [{path: /, target: h}]", "routes[0].target: no scheme"},
    {"routes: [{path: /, target: \"a:\", target_file: x}]",
     "routes[0].target_file: given twice"},
    {"routes: [{path: /, target_file: /no/such}]",
     "routes[0].target_file: /no/such: No such file or directory"},
    {"routes: [{path: /, path_file: x, target: \"a:\"}]",
     "routes[0].path_file: unknown setting"},
    {"routes: [{path: /, host: \"a:80\", target: \"a:\"}]", "without a port"},
    {"routes: [{path: /, target: \"a:\", subprotocols: [\"a b\"]}]",
     "subprotocols[0]: 'a b' is not a token"},
    {"routes: [{path: /, target: \"a:\", options: {x: 1, x: 2}}]",
     "f.yaml:1:50: routes[0].options.x: given twice"},
    {"routes: [{path: /, target: \"a:\", options: {x: 1, x_file: y}}]",
     "options.x_file: given twice"},
    {"routes: [{path: /, target: \"a:\", options: {x: [1]}}]",
     "options.x: needs one value"},
    {"routes: [{path: /, target: \"a:\", options: [x]}]",
     "options: needs a mapping"},
    {"listeners: [\"ws://:1\"]\nroutes: ['/a=echo:', '/b=echo:', '/a=x:']",
     "f.yaml:2:34: /a has two routes, the other in f.yaml:2:10"},
    {"listeners: [\"ws://:1\"]\nroutes: [\"/a=unix:/run/{path.x}\"]",
     "clients choose where /a leads"},
    {"listeners: [\"ws://:1\"]", "f.yaml: nothing to serve"},
    {"routes: ['/=echo:']", "f.yaml: no listener"},
    {"[]", "f.yaml:1:1: needs a mapping"},
    {"x", "f.yaml:1:1: needs a mapping"},
};

static void tells_what_items_lack(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(wrong_items); i++) {
        struct loaded l = load(wrong_items[i].text);

        print_message("%s\n-> %s", wrong_items[i].text, l.errors);
        assert_null(l.settings);
        assert_non_null(strstr(l.errors, wrong_items[i].want));
        end(&l);
    }
}

static size_t lines_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void tells_twenty_errors_at_once(void **state)
{
    char text[1024] = "";
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 30; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "unknown_%d: 1\n", i);
    struct loaded l = load(text);
    assert_int_equal(lines_of(l.errors), SETTINGS_ERRORS_MAX + 1);
    assert_non_null(strstr(l.errors, "10 more errors are not shown\n"));
    end(&l);
}

static void errors_drive_no_terminal(void **state)
{
    struct loaded l = load("{web: [], \"a\\e[31m\\u0085\": 1}");

    (void)state;
    print_message("%s", l.errors);
    assert_null(strchr(l.errors, '\033'));
    assert_null(strstr(l.errors, "\xc2\x85"));
    assert_non_null(strstr(l.errors, "a?[31m??: unknown setting"));
    end(&l);
}

/* Each level has the one below ten thousand times, and itself: the walk is
 * bounded all the same. */
static void aliases_cannot_make_a_bomb(void **state)
{
    size_t cap = 900000, n = 0;
    char *text = malloc(cap);
    struct loaded l;

    (void)state;
    assert_non_null(text);
    n += (size_t)snprintf(text, cap, "origins: &o [\"https://a\"");
    for (int i = 0; i < 9000; i++)
        n += (size_t)snprintf(text + n, cap - n, ", \"https://a\"");
    n += (size_t)snprintf(text + n, cap - n,
                          "]\nlisteners: [ws://:1]\nroutes:\n"
                          "- &r {path: /, target: \"a:\", origins: *o}\n");
    for (int i = 0; i < 9000; i++)
        n += (size_t)snprintf(text + n, cap - n, "- *r\n");
    l = load(text);
    assert_null(l.settings);
    assert_non_null(strstr(l.errors, "more than 200000 values"));
    end(&l);
    l = load("routes: &r [*r]\nlisteners: &l {tls: *l}\n");
    assert_null(l.settings);
    end(&l);
    free(text);
}

/* Values that grow when they are read, each time they are. */
static void variables_cannot_make_one_either(void **state)
{
    char value[1001], text[1 << 16];
    size_t n = 0;

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    setenv("GW_LONG", value, 1);
    n += (size_t)snprintf(text, sizeof(text), "plugins: [&x \"");
    for (int i = 0; i < 60; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "${GW_LONG}");
    n += (size_t)snprintf(text + n, sizeof(text) - n, "\"");
    for (int i = 0; i < 2000; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, ", *x");
    snprintf(text + n, sizeof(text) - n, "]\n");
    struct loaded l = load(text);
    assert_null(l.settings);
    assert_non_null(strstr(l.errors, "out of memory"));
    end(&l);
}

/* ---- what is shipped --------------------------------------------------- */

static char *content_of(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 16);

    if (!f)
        fail_msg("%s: run this from the top folder", path);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static char *printed_by(void (*print)(FILE *))
{
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    assert_non_null(f);
    print(f);
    fclose(f);
    return text;
}

static void committed_files_are_what_is_printed(void **state)
{
    char *config = content_of("conf/gangway.yaml");
    char *page = content_of("conf/gangway.yaml.5.scd");
    char *want_config = printed_by(print_default_config);
    char *want_page = printed_by(print_reference);

    (void)state;
    assert_string_equal(config, want_config);
    assert_string_equal(page, want_page);
    free(config);
    free(page);
    free(want_config);
    free(want_page);
}

static void assert_same_lists(const struct string_list *a,
                              const struct string_list *b)
{
    assert_int_equal(a->n, 0);
    assert_int_equal(b->n, 0);
}

/* gangway.yaml, and a gateway to echo: with no file at all. */
static void default_file_is_the_default(void **state)
{
    char *text = content_of("conf/gangway.yaml");
    struct loaded l = load(text);
    char *argv[] = {(char[]){"gangway"}, (char[]){"127.0.0.1:8080"},
                    (char[]){"echo:"}, NULL};
    struct settings_source source = source_of(argv);
    struct settings *s;
    int status;

    (void)state;
    print_message("%s", l.errors);
    assert_non_null(l.settings);
    assert_int_equal(settings_load(&source, stdout, stderr, &s, &status),
                     SETTINGS_RUN);
    assert_memory_equal(&l.settings->limits, &s->limits, sizeof(s->limits));
    assert_memory_equal(&l.settings->timeouts, &s->timeouts,
                        sizeof(s->timeouts));
    assert_same_lists(&l.settings->allow_targets, &s->allow_targets);
    assert_same_lists(&l.settings->origins, &s->origins);
    assert_same_lists(&l.settings->plugins, &s->plugins);
    assert_int_equal(l.settings->workers, s->workers);
    assert_int_equal(l.settings->log_level, s->log_level);
    assert_int_equal(l.settings->log_format, s->log_format);
    assert_null(l.settings->web);
    assert_null(l.settings->admin);
    assert_int_equal(l.settings->n_listeners, 1);
    assert_int_equal(l.settings->listeners[0].port, 8080);
    assert_string_equal(l.settings->routes[0].target, "echo:");
    settings_free(s);
    end(&l);
    free(text);
}

static void examples_are_valid(void **state)
{
    glob_t found;

    (void)state;
    assert_int_equal(glob("conf/examples/*.yaml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 5);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *argv[] = {(char[]){"gangway"}, (char[]){"--check"},
                        (char[]){"--config"}, found.gl_pathv[i], NULL};
        struct settings_source source = source_of(argv);
        struct settings *s;
        int status;

        print_message("%s\n", found.gl_pathv[i]);
        assert_int_equal(settings_load(&source, stdout, stderr, &s, &status),
                         SETTINGS_CHECK);
        assert_int_equal(status, 0);
        settings_free(s);
    }
    globfree(&found);
}

/* Every row of the table has what its printers rely on. */
static void check_rows(const struct section *section)
{
    for (size_t i = 0; i < section->n; i++) {
        const struct setting *s = &section->settings[i];

        print_message("%s.%s\n", section->name, s->key);
        assert_non_null(s->help);
        assert_true(strlen(s->help) > 0);
        assert_int_not_equal(s->help[strlen(s->help) - 1], '.');
        assert_true(s->standard || s->sample || s->section);
        assert_true(s->type != SETTING_CHOICE || (s->words && s->standard));
        assert_true(!s->flag || (s->arg && s->group != GROUP_NONE));
        assert_ptr_equal(section_find(section, slice_of(s->key)), s);
        assert_true(s->min <= s->max);
        if (s->type == SETTING_SECTION || s->type == SETTING_ITEMS)
            check_rows(s->section);
    }
}

static void table_is_complete(void **state)
{
    (void)state;
    check_rows(&settings_section);
    assert_null(settings_find(slice_of("")));
    assert_null(settings_find(slice_of(".")));
    assert_null(settings_find(slice_of("limits.")));
    assert_null(settings_find(slice_of("web.x")));
    assert_string_equal(settings_find(slice_of("timeouts.idle"))->key, "idle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_listeners),
        cmocka_unit_test(reads_routes),
        cmocka_unit_test(reads_the_rest),
        cmocka_unit_test(has_the_promised_defaults),
        cmocka_unit_test(empty_values_leave_the_default),
        cmocka_unit_test(paths_start_from_the_files_folder),
        cmocka_unit_test(secrets_are_not_repeated),
        cmocka_unit_test(flags_prevail_over_the_file),
        cmocka_unit_test(port_and_target_prevail_too),
        cmocka_unit_test(exit_status_tells_whose_fault),
        cmocka_unit_test(tells_where_and_what),
        cmocka_unit_test(tells_what_items_lack),
        cmocka_unit_test(tells_twenty_errors_at_once),
        cmocka_unit_test(errors_drive_no_terminal),
        cmocka_unit_test(aliases_cannot_make_a_bomb),
        cmocka_unit_test(variables_cannot_make_one_either),
        cmocka_unit_test(committed_files_are_what_is_printed),
        cmocka_unit_test(default_file_is_the_default),
        cmocka_unit_test(examples_are_valid),
        cmocka_unit_test(table_is_complete),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
