/* SPDX-License-Identifier: Apache-2.0 */
/* settings_table.c - every setting, once.
 *
 * To add one: add the field to settings.h and a row here, then let
 * `gangway --default-config` rewrite conf/gangway.yaml. */
#include "settings_table.h"

#include "items.h"
#include "rules.h"

#define AT(type, field)                                                        \
    .offset = offsetof(struct type, field),                                    \
    .width = sizeof(((struct type *)0)->field)
#define ITEMS_AT(type, field, n_field)                                         \
    AT(type, field), .count = offsetof(struct type, n_field)
#define SECTION(name, type, rows, ...)                                         \
    {                                                                          \
        name, rows, LEN(rows), sizeof(struct type), __VA_ARGS__                \
    }

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

#define MS(n)      UINT64_C(n)
#define SECONDS(n) (1000 * UINT64_C(n))
#define HOURS(n)   (3600 * SECONDS(n))

/* Rows of numbers; what follows the range is further fields. */
#define LIMIT(type_, field, standard_, least, most, ...)                       \
    {                                                                          \
        .key = #field, .type = SETTING_##type_, AT(limit_settings, field),     \
        .standard = standard_, .min = least, .max = most, __VA_ARGS__          \
    }
#define TIMEOUT(field, standard_, least, most, ...)                            \
    {                                                                          \
        .key = #field, .type = SETTING_DURATION, AT(timeout_settings, field),  \
        .standard = standard_, .min = least, .max = most, __VA_ARGS__          \
    }

static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const char *const client_certs[] = {"none", "optional", "required",
                                           NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug",
                                         NULL};

static const struct setting certificate_rows[] = {
    {.key = "certificate",
     .type = SETTING_PATH,
     AT(certificate_settings, certificate),
     .attributes = SETTING_REQUIRED,
     .sample = "/etc/gangway/fullchain.pem",
     .help = "PEM file: the certificate, then the chain to its root"},
    {.key = "key",
     .type = SETTING_PATH,
     AT(certificate_settings, key),
     .sample = "/etc/gangway/privkey.pem",
     .help = "PEM file of the private key",
     .more = "Without it the key is looked for in the certificate's file."},
};

static const struct section certificate_section =
    SECTION("certificate", certificate_settings, certificate_rows,
            .help = "One certificate and its key.");

static const struct setting tls_rows[] = {
    {.key = "certificate",
     .type = SETTING_FIRST,
     ITEMS_AT(tls_settings, certificates, n_certificates),
     .section = &certificate_section,
     .sample = "/etc/gangway/fullchain.pem",
     .help = "PEM file: the certificate, then the chain to its root"},
    {.key = "key",
     .type = SETTING_FIRST,
     ITEMS_AT(tls_settings, certificates, n_certificates),
     .section = &certificate_section,
     .sample = "/etc/gangway/privkey.pem",
     .help = "PEM file of the private key",
     .more = "Without it the key is looked for in the certificate's file."},
    {.key = "certificates",
     .type = SETTING_ITEMS,
     ITEMS_AT(tls_settings, certificates, n_certificates),
     .section = &certificate_section,
     .sample = "[{certificate: a.pem, key: a-key.pem}]",
     .help = "several certificates, instead of 'certificate' and 'key'",
     .more = "The name that the client asks for (SNI) chooses one; the first "
             "serves every other name."},
    {.key = "min_version",
     .type = SETTING_CHOICE,
     AT(tls_settings, min_version),
     .standard = "1.2",
     .words = tls_versions,
     .help = "the oldest version of TLS that is spoken"},
    {.key = "ciphers",
     .type = SETTING_STRING,
     AT(tls_settings, ciphers),
     .sample = "ECDHE+AESGCM:ECDHE+CHACHA20",
     .help = "OpenSSL's cipher list for TLS 1.2; by default only forward "
             "secret AEAD ciphers"},
    {.key = "ciphersuites",
     .type = SETTING_STRING,
     AT(tls_settings, ciphersuites),
     .sample = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
     .help = "OpenSSL's list of cipher suites for TLS 1.3"},
    {.key = "client_ca",
     .type = SETTING_PATH,
     AT(tls_settings, client_ca),
     .sample = "/etc/gangway/clients.pem",
     .help = "PEM file of the authorities that sign client certificates"},
    {.key = "client_certificate",
     .type = SETTING_CHOICE,
     AT(tls_settings, client_certificate),
     .standard = "none",
     .words = client_certs,
     .help = "whether clients show a certificate of 'client_ca'"},
    {.key = "tickets",
     .type = SETTING_BOOL,
     AT(tls_settings, tickets),
     .standard = "true",
     .help = "whether clients may resume with session tickets"},
};

static const struct section tls_section =
    SECTION("tls", tls_settings, tls_rows, .help = "How a listener speaks TLS.",
            .finish = tls_finish);

static const struct setting listener_rows[] = {
    {.key = "url",
     .type = SETTING_STRING,
     AT(listener_settings, url),
     .attributes = SETTING_REQUIRED | SETTING_RESTART,
     .sample = "ws://127.0.0.1:8080",
     .help = "ws://ADDR:PORT, wss://ADDR:PORT, unix:PATH or fd:N",
     .more = "Without ADDR, every address is listened on. Port 0 lets the "
             "system choose one. fd:N is an open listening socket that "
             "gangway inherits, such as fd:3 from systemd."},
    {.key = "mode",
     .type = SETTING_MODE,
     AT(listener_settings, mode),
     .attributes = SETTING_RESTART,
     .standard = "0660",
     .max = 0777,
     .help = "permissions of a unix: socket, in octal"},
    {.key = "tls",
     .type = SETTING_SECTION,
     AT(listener_settings, tls_settings),
     .section = &tls_section,
     .help = "certificates and policy of a wss:// listener",
     .more = "On unix: and fd: listeners this block is what turns TLS on."},
};

static const struct section listener_section =
    SECTION("listener", listener_settings, listener_rows,
            .help = "One place where clients connect. A listener that needs "
                    "no more than a URL may be written as that string.",
            .from_text = listener_from_text, .finish = listener_finish);

static const struct setting route_rows[] = {
    {.key = "host",
     .type = SETTING_STRING,
     AT(route_settings, host),
     .rule = rule_host,
     .sample = "app.example.com",
     .help = "answer only to this host; *.example.com is any name below it"},
    {.key = "path",
     .type = SETTING_STRING,
     AT(route_settings, path),
     .attributes = SETTING_REQUIRED,
     .rule = rule_path,
     .sample = "/echo",
     .help = "the path: exact, with {name} for one segment, {name*} for the "
             "rest, or ending in /... for all below"},
    {.key = "target",
     .type = SETTING_STRING,
     AT(route_settings, target),
     .attributes = SETTING_REQUIRED | SETTING_SECRET,
     .rule = rule_target,
     .sample = "\"echo:\"",
     .help = "the backend's URL; its scheme chooses the bridge",
     .more = "It may hold {placeholders}: {path.NAME}, {query.NAME}, {host}, "
             "{client.ip}. If one stands for a host, a port or a socket's "
             "path, 'allow_targets' must say where it may lead."},
    {.key = "options",
     .type = SETTING_OPTIONS,
     ITEMS_AT(route_settings, options, n_options),
     .sample = "{connect_timeout: 2s}",
     .help = "options of the bridge, as in the URL's query",
     .more = "NAME_file takes a value from a file."},
    {.key = "subprotocols",
     .type = SETTING_LIST,
     AT(route_settings, subprotocols),
     .standard = "[]",
     .rule = rule_subprotocol,
     .sample = "[mqtt]",
     .help = "subprotocols to accept; with none listed, the client's first"},
    {.key = "origins",
     .type = SETTING_LIST,
     AT(route_settings, origins),
     .standard = "[]",
     .rule = rule_origin,
     .sample = "[\"https://app.example.com\"]",
     .help = "origins to accept here, instead of the global list"},
    {.key = "max_message",
     .type = SETTING_SIZE,
     AT(route_settings, max_message),
     .standard = "0",
     .min = 1,
     .max = 1024 * MIB,
     .zero = "limits.max_message",
     .help = "the largest message, for bridges that take whole messages"},
};

static const struct section route_section =
    SECTION("route", route_settings, route_rows,
            .help = "Which requests go to which backend. The most specific "
                    "route wins, whatever the order. A route that needs no "
                    "more may be written as \"[HOST]/PATH=TARGET\".",
            .from_text = route_from_text, .finish = route_finish);

static const struct setting log_rows[] = {
    {.key = "format",
     .type = SETTING_CHOICE,
     AT(settings, log_format),
     .standard = "text",
     .words = log_formats,
     .flag = "log-format",
     .attributes = SETTING_RESTART,
     .arg = "text|json",
     .group = GROUP_OPERATE,
     .help = "how log lines are written"},
    {.key = "level",
     .type = SETTING_CHOICE,
     AT(settings, log_level),
     .standard = "info",
     .words = log_levels,
     .help = "the least important lines that are written"},
};

static const struct section log_section = SECTION(
    "log", settings, log_rows, .help = "Log lines go to standard error.");

static const struct setting limit_rows[] = {
    LIMIT(COUNT, connections, "0", 1, 10000000,
          .zero = "as many as the descriptor limit allows",
          .help = "client connections at one time"),
    LIMIT(SIZE, header_bytes, "8KiB", KIB, 64 * KIB,
          .help = "a request's first line and headers together"),
    LIMIT(SIZE, uri_bytes, "4KiB", 64, 64 * KIB,
          .help = "a request's path and query"),
    LIMIT(COUNT, header_count, "64", 8, 128,
          .help = "header fields of a request"),
    LIMIT(SIZE, max_message, "1MiB", 1, 1024 * MIB,
          .help = "the largest message, for bridges that take whole messages; "
                  "streams have no limit"),
    LIMIT(COUNT, fragments, "1024", 1, 1000000,
          .help = "frames of one message, for bridges that take whole "
                  "messages"),
    LIMIT(COUNT, control_rate, "50", 1, 1000000,
          .help = "pings and pongs that a client may send each second"),
    LIMIT(COUNT, control_burst, "100", 1, 1000000,
          .help = "pings and pongs that may come at once"),
    LIMIT(SIZE, queue_high, "64KiB", KIB, 64 * MIB,
          .help = "bytes waiting for one peer at which the other is paused"),
    LIMIT(SIZE, queue_low, "32KiB", 1, 64 * MIB,
          .help = "bytes waiting at which it goes on; less than queue_high"),
    LIMIT(SIZE, read_buffer, "64KiB", 4 * KIB, MIB,
          .attributes = SETTING_RESTART,
          .help = "the most that one read takes; one buffer per worker"),
};

static const struct section limit_section =
    SECTION("limits", limit_settings, limit_rows,
            .help = "What one client, or all of them, may use.");

static const struct setting timeout_rows[] = {
    TIMEOUT(tls_handshake, "5s", MS(10), HOURS(1),
            .help = "from the connection to the end of the TLS handshake"),
    TIMEOUT(request, "10s", MS(10), HOURS(1),
            .help = "until the request's headers are complete"),
    TIMEOUT(connect, "5s", MS(10), HOURS(1),
            .help = "until the backend is connected"),
    TIMEOUT(write_stall, "30s", MS(10), HOURS(24),
            .help = "that a peer may take no bytes while some wait for it"),
    TIMEOUT(ping_interval, "30s", MS(10), HOURS(24), .zero = "never",
            .flag = "heartbeat", .arg = "SECONDS", .group = GROUP_OPERATE,
            .help = "between two pings to a silent client"),
    TIMEOUT(pong_wait, "10s", MS(10), HOURS(1),
            .help = "from a ping to its pong"),
    TIMEOUT(close, "5s", MS(10), HOURS(1),
            .help = "from our close frame to the client's"),
    TIMEOUT(linger, "2s", MS(10), HOURS(1), .zero = "at once",
            .help = "that a finished connection is given to hang up by "
                    "itself"),
    TIMEOUT(idle, "0", MS(10), HOURS(720), .zero = "never",
            .help = "without data in either direction, until a session is "
                    "ended"),
    TIMEOUT(drain, "30s", MS(10), HOURS(24), .zero = "at once",
            .help = "that sessions may go on after SIGTERM"),
    TIMEOUT(keep_alive, "10s", MS(10), HOURS(1),
            .help = "between two plain HTTP requests"),
};

static const struct section timeout_section =
    SECTION("timeouts", timeout_settings, timeout_rows,
            .help = "How long to wait, and for what.");

static const struct setting settings_rows[] = {
    {.key = "listeners",
     .type = SETTING_ITEMS,
     ITEMS_AT(settings, listeners, n_listeners),
     .section = &listener_section,
     .flag = "listen",
     .arg = "URL",
     .group = GROUP_LISTEN,
     .help = "where clients connect: ws://ADDR:PORT, wss://ADDR:PORT, "
             "unix:PATH or fd:N"},
    {.key = "routes",
     .type = SETTING_ITEMS,
     ITEMS_AT(settings, routes, n_routes),
     .section = &route_section,
     .flag = "route",
     .arg = "[HOST]/PATH=TARGET",
     .group = GROUP_ROUTE,
     .help = "which requests go to which backend"},
    {.key = "allow_targets",
     .type = SETTING_LIST,
     AT(settings, allow_targets),
     .standard = "[]",
     .rule = rule_allow_target,
     .sample = "[\"*.db.internal:5432\", \"10.0.0.0/8:5432\"]",
     .flag = "allow-target",
     .arg = "PATTERN",
     .group = GROUP_ROUTE,
     .help = "where targets that clients choose may lead",
     .more = "HOST:PORTS, *.SUFFIX:PORTS, CIDR:PORTS or unix:PATTERN; PORTS "
             "are numbers, ranges and lists of them, or *."},
    {.key = "origins",
     .type = SETTING_LIST,
     AT(settings, origins),
     .standard = "[]",
     .rule = rule_origin,
     .sample = "[\"https://app.example.com\"]",
     .flag = "origin",
     .arg = "ORIGIN",
     .group = GROUP_ROUTE,
     .help = "origins of web pages to accept; with none listed, any"},
    {.key = "plugins",
     .type = SETTING_PATH_LIST,
     AT(settings, plugins),
     .attributes = SETTING_RESTART,
     .standard = "[]",
     .sample = "[/usr/lib/gangway/my_bridge.so]",
     .flag = "plugin",
     .arg = "FILE.so",
     .group = GROUP_ROUTE,
     .help = "shared objects with further bridges"},
    {.key = "web",
     .type = SETTING_PATH,
     AT(settings, web),
     .sample = "/usr/share/novnc",
     .flag = "web",
     .arg = "DIR",
     .group = GROUP_LISTEN,
     .help = "a folder of files to serve to plain HTTP requests"},
    {.key = "admin",
     .type = SETTING_STRING,
     AT(settings, admin),
     .attributes = SETTING_RESTART,
     .rule = rule_admin,
     .sample = "127.0.0.1:9090",
     .flag = "admin",
     .arg = "ADDR",
     .group = GROUP_OPERATE,
     .help = "health and metrics on unix:PATH or a loopback ADDR:PORT"},
    {.key = "workers",
     .type = SETTING_COUNT,
     AT(settings, workers),
     .attributes = SETTING_RESTART,
     .standard = "0",
     .min = 1,
     .max = 256,
     .zero = "one for each CPU",
     .flag = "workers",
     .arg = "N",
     .group = GROUP_OPERATE,
     .help = "threads that serve clients"},
    {.key = "log",
     .type = SETTING_SECTION,
     .section = &log_section,
     .help = "what is written to standard error"},
    {.key = "limits",
     .type = SETTING_SECTION,
     AT(settings, limits),
     .section = &limit_section,
     .help = "what clients may use"},
    {.key = "timeouts",
     .type = SETTING_SECTION,
     AT(settings, timeouts),
     .section = &timeout_section,
     .help = "how long to wait"},
};

const struct section settings_section = SECTION(
    "settings", settings, settings_rows, .help = "The top level of the file.");

const struct setting *section_find(const struct section *s, struct slice key)
{
    for (size_t i = 0; i < s->n; i++)
        if (slice_is(key, s->settings[i].key))
            return &s->settings[i];
    return NULL;
}

const struct setting *settings_find(struct slice key)
{
    const struct section *section = &settings_section;
    const struct setting *found = NULL;

    while (section && key.n > 0) {
        const char *dot = memchr(key.p, '.', key.n);
        size_t n = dot ? (size_t)(dot - key.p) : key.n;

        found = section_find(section, (struct slice){key.p, n});
        if (!found)
            return NULL;
        if (!dot)
            return found;
        section = found->type == SETTING_SECTION ? found->section : NULL;
        key = (struct slice){key.p + n + 1, key.n - n - 1};
    }
    return NULL;
}
