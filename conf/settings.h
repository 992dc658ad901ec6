/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - one loaded configuration, as plain constant data.
 *
 * settings_table.c names every field once: key, type, unit, range, default,
 * help. Files, flags, --set, --help, the manual page, gangway.yaml and the
 * JSON Schema all follow from that table. Nobody changes a struct settings
 * after settings_load; strings belong to it. Durations are milliseconds in
 * `unsigned`, 0 meaning "never" where the help says so; sizes are bytes. */
#ifndef GW_SETTINGS_H
#define GW_SETTINGS_H

#include "../gateway/base/err.h"
#include "../gateway/base/log.h"

#include <stdio.h>

struct string_list {
    char **v;
    size_t n;
};

/* A certificate chain and its key, for the names in the certificate. */
struct certificate_settings {
    char *certificate; /* PEM file: leaf first, then the chain */
    char *key;         /* PEM file; NULL: in `certificate` */
};

enum tls_version { TLS_1_2, TLS_1_3 };
enum client_cert {
    CLIENT_CERT_NONE,
    CLIENT_CERT_OPTIONAL,
    CLIENT_CERT_REQUIRED
};

struct tls_settings {
    /* The first is the default; others are chosen by SNI. */
    struct certificate_settings *certificates;
    size_t n_certificates;
    enum tls_version min_version;
    char *ciphers;      /* TLS 1.2 list; NULL: our default */
    char *ciphersuites; /* TLS 1.3 list; NULL: OpenSSL's default */
    char *client_ca;    /* PEM file of authorities for client certificates */
    enum client_cert client_certificate;
    bool tickets;
};

enum listen_kind { LISTEN_TCP, LISTEN_UNIX, LISTEN_FD };

struct listener_settings {
    char *url; /* as written: ws://ADDR:PORT, wss://..., unix:PATH, fd:N */
    enum listen_kind kind;
    bool tls;
    char *host;    /* LISTEN_TCP: address, NULL = every address, dual-stack */
    int port;      /* 0: chosen by the kernel */
    char *path;    /* LISTEN_UNIX */
    int fd;        /* LISTEN_FD: inherited, or -1 */
    unsigned mode; /* LISTEN_UNIX: permission bits */
    struct tls_settings tls_settings;
    char *where; /* "file:line:column" or the flag, for errors */
};

struct option_setting {
    char *name, *value;
    char *where;
};

struct route_settings {
    char *host;   /* NULL: any; "name" or "*.suffix", lower case */
    char *path;   /* pattern, see route.h */
    char *target; /* URL, may hold {placeholders} */
    struct option_setting *options; /* bridge options given in YAML */
    size_t n_options;
    struct string_list subprotocols; /* n == 0: any */
    struct string_list origins;      /* n == 0: the global list */
    uint64_t max_message;            /* 0: limits.max_message */
    char *folder; /* that file names in options are relative to; NULL: the
                     working directory */
    char *where;
};

struct limit_settings {
    unsigned connections; /* 0: derived from the descriptor limit */
    size_t header_bytes, uri_bytes, header_count;
    uint64_t max_message; /* whole messages only; streams have no limit */
    unsigned fragments;   /* frames of one message */
    unsigned control_rate, control_burst; /* control frames a second: 1008 */
    size_t queue_high, queue_low;         /* marks of each output queue */
    size_t read_buffer;                   /* bytes of one read, per worker */
};

struct timeout_settings {
    unsigned tls_handshake, request, connect, write_stall;
    unsigned ping_interval, pong_wait, close, linger;
    unsigned idle;       /* no data either way; 0: never */
    unsigned drain;      /* SIGTERM to the end of the last session */
    unsigned keep_alive; /* between two plain HTTP requests */
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct settings {
    struct listener_settings *listeners;
    size_t n_listeners;
    struct route_settings *routes;
    size_t n_routes;
    struct string_list allow_targets; /* HOST:PORT, *.suffix:PORT, CIDR:PORTS,
                                         unix:PATTERN */
    struct string_list origins;       /* n == 0: any origin */
    struct string_list plugins;       /* .so files */
    char *web;                        /* directory served at /, or NULL */
    char *admin;      /* unix:PATH or loopback ADDR:PORT, or NULL */
    unsigned workers; /* 0: one per CPU */
    enum log_format log_format;
    enum log_severity log_level;
    struct limit_settings limits;
    struct timeout_settings timeouts;
};

enum { SETTINGS_ERRORS_MAX = 20 }; /* told in one run */

/* What was asked for: the command line, kept for every reload. */
struct settings_source {
    int argc;
    char **argv; /* the process's own; borrowed for ever */
};

enum settings_action {
    SETTINGS_RUN,
    SETTINGS_CHECK,   /* --check: validate, say so, exit 0 */
    SETTINGS_PRINTED, /* --help, --version, --schema...: done, exit 0 */
    SETTINGS_BAD,     /* errors were written to `errors`, exit 64 or 78 */
};

/* Read the defaults, the configuration file (--config), then the flags, in
 * that order of precedence; check every value. All errors of one run are
 * written to `errors`, a line each ("file:line:col: key: what; did you mean
 * 'x'?"). On SETTINGS_RUN and SETTINGS_CHECK *out is a new settings (one
 * reference). */
enum settings_action settings_load(const struct settings_source *source,
                                   FILE *output, FILE *errors,
                                   struct settings **out, int *exit_status);

void settings_free(struct settings *s);

#endif
