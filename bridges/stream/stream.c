/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - a session is a connection: dial, carry both ways, end both ways.
 *
 * The connection is dialled before the client is answered, so that a failure
 * is an HTTP status. Each direction pauses the other's source when its queue
 * is full; neither knows of the other otherwise. */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- both directions --------------------------------------------------- */

void stream_up(struct stream *s, const uint8_t *p, size_t n)
{
    const struct gw_host *host = s->route->host;

    if (!s->conn || n == 0)
        return;
    if (host->conn_send(s->conn, p, n) == GW_FULL && !s->up_full) {
        s->up_full = true;
        host->pause(s->session);
    }
}

void stream_down(struct stream *s, enum gw_type type, uint8_t *p, size_t n,
                 bool headroom)
{
    const struct gw_host *host = s->route->host;
    enum gw_sent sent = headroom
                            ? host->send_inplace(s->session, type, p, n, false)
                            : host->send(s->session, type, p, n, false);
    if (sent == GW_FULL && s->conn)
        host->conn_pause(s->conn);
}

void stream_down_part(struct stream *s, const uint8_t *p, size_t n, bool more)
{
    const struct gw_host *host = s->route->host;
    if (host->send(s->session, GW_TEXT, p, n, more) == GW_FULL && s->conn)
        host->conn_pause(s->conn);
}

void stream_end(struct stream *s, enum gw_cause cause, const char *why)
{
    s->route->host->close(s->session, cause, 0, why);
}

/* ---- the backend's events ---------------------------------------------- */

static void on_connected(void *ctx)
{
    struct stream *s = ctx;
    s->route->host->accept(s->session);
}

static void on_failed(void *ctx, int status, const char *why)
{
    struct stream *s = ctx;
    s->conn = NULL;
    s->route->host->refuse(s->session, status, why);
}

static void on_data(void *ctx, uint8_t *p, size_t n)
{
    struct stream *s = ctx;
    s->route->mode->down(s, p, n);
}

static void on_drained(void *ctx)
{
    struct stream *s = ctx;
    s->up_full = false;
    s->route->host->resume(s->session);
}

static void on_ended(void *ctx)
{
    struct stream *s = ctx;

    s->backend_over = true;
    if (s->route->mode->down_end)
        s->route->mode->down_end(s);
    if (!s->route->half_close || s->client_over)
        stream_end(s, GW_DONE, NULL);
}

static void on_lost(void *ctx, const char *why)
{
    struct stream *s = ctx;

    s->conn = NULL;
    if (s->route->mode->down_end)
        s->route->mode->down_end(s);
    stream_end(s, GW_BACKEND_LOST, why);
}

static const struct gw_conn_events conn_events = {
    .connected = on_connected,
    .failed = on_failed,
    .data = on_data,
    .drained = on_drained,
    .ended = on_ended,
    .lost = on_lost,
};

/* ---- the session's events ---------------------------------------------- */

static void *stream_open(struct gw_session *session, void *route,
                         const struct gw_request *r, enum gw_take *take)
{
    const struct stream_route *sr = route;
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->route = sr;
    s->session = session;
    s->type = GW_BINARY;
    *take = sr->mode->take;
    const struct gw_dial dial = {
        .address = r->address,
        .is_unix = sr->is_unix,
        .connect_timeout_ms = sr->connect_timeout_ms,
        .tls = sr->tls,
        .proxy = sr->proxy,
        .events = &conn_events,
        .ctx = s,
    };
    s->conn = sr->host->dial(session, &dial);
    if (!s->conn) {
        free(s);
        return NULL;
    }
    return s;
}

static void stream_data(void *state, const struct gw_data *d)
{
    struct stream *s = state;

    if (!s->type_known) {
        s->type_known = true;
        s->type = d->type;
    }
    s->route->mode->up(s, d);
}

static void stream_drained(void *state)
{
    struct stream *s = state;
    if (s->conn)
        s->route->host->conn_resume(s->conn);
}

/* What the client sent is delivered, then FIN. After a Close frame nothing
 * from the backend can reach the client; without one a pending reply still
 * can, until the backend's own FIN. */
static void stream_client_ended(void *state, uint16_t code)
{
    struct stream *s = state;
    (void)code;

    s->client_over = true;
    if (!s->conn || s->backend_over) {
        stream_end(s, GW_DONE, NULL);
        return;
    }
    s->route->host->conn_finish(s->conn);
    s->route->host->conn_resume(s->conn); /* its FIN is to be read */
}

static void stream_close(void *state)
{
    struct stream *s = state;
    free(s->line);
    free(s);
}

/* ---- routes ------------------------------------------------------------ */

enum { LINE_MIN = 16, LINE_MAX = 1 << 30 };

enum {
    OPT_MODE,
    OPT_CONNECT_TIMEOUT,
    OPT_PROXY,
    OPT_HALF_CLOSE,
    OPT_EOL,
    OPT_MAX_LINE,
    OPT_INVALID,
    OPT_SNI,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_INSECURE,
};

static const struct gw_option options[] = {
    [OPT_MODE] = {"mode", GW_OPT_ENUM, "auto|binary|text|base64|line", "auto",
                  "how messages and bytes become each other"},
    [OPT_CONNECT_TIMEOUT] = {"connect_timeout", GW_OPT_DURATION, NULL, NULL,
                             "for all attempts together; timeouts.connect"},
    [OPT_PROXY] = {"proxy", GW_OPT_ENUM, "off|v1|v2", "off",
                   "PROXY protocol header that tells the client's address"},
    [OPT_HALF_CLOSE] = {"half_close", GW_OPT_BOOL, NULL, "false",
                        "after the backend's end go on sending to it"},
    [OPT_EOL] = {"eol", GW_OPT_ENUM, "lf|crlf", "lf",
                 "mode=line: what ends a line to the backend"},
    [OPT_MAX_LINE] = {"max_line", GW_OPT_SIZE, NULL, "64KiB",
                      "mode=line: longer lines of the backend come in parts"},
    [OPT_INVALID] = {"invalid", GW_OPT_ENUM, "replace|close", "replace",
                     "modes text and line: bytes that are not UTF-8 become "
                     "U+FFFD, or end the session"},
    [OPT_SNI] = {"sni", GW_OPT_STRING, NULL, NULL,
                 "tls: name to ask for and to verify"},
    [OPT_CA] = {"ca", GW_OPT_FILE, NULL, NULL,
                "tls: authorities (PEM) instead of the system's"},
    [OPT_CERT] = {"cert", GW_OPT_FILE, NULL, NULL,
                  "tls: client certificate (PEM)"},
    [OPT_KEY] = {"key", GW_OPT_FILE, NULL, NULL, "tls: its key (PEM)"},
    [OPT_INSECURE] = {"insecure", GW_OPT_BOOL, NULL, "false",
                      "tls: do not verify the backend"},
    {0},
};

static int route_tls(struct stream_route *r, const struct gw_target *t,
                     char *err, size_t cap)
{
    const struct gw_value *v = t->values;
    bool secure = strcmp(t->scheme, "tls") == 0;
    const struct gw_tls_options o = {
        .sni = v[OPT_SNI].text,
        .ca = v[OPT_CA].text,
        .cert = v[OPT_CERT].text,
        .key = v[OPT_KEY].text,
        .insecure = v[OPT_INSECURE].number,
    };
    if (!secure && (o.sni || o.ca || o.cert || o.key || o.insecure)) {
        snprintf(err, cap, "TLS options need a tls:// target");
        return -1;
    }
    if (secure && !(r->tls = r->host->tls_new(&o, err, cap)))
        return -1;
    return 0;
}

/* Whether each HOST:PORT of a list has its port; a placeholder alone brings
 * it along. */
static bool ports_given(const char *list)
{
    for (const char *p = list; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        const char *bracket = memchr(p, ']', n);
        const char *host_end = bracket ? bracket : p;
        bool lone = p[0] == '{' && n > 0 && memchr(p, '}', n) == p + n - 1;
        if (!lone && !memchr(host_end, ':', (size_t)(p + n - host_end)))
            return false;
        p += n;
    }
    return true;
}

static int stream_route_open(const struct gw_host *host,
                             const struct gw_target *t, void **route, char *err,
                             size_t cap)
{
    const struct gw_value *v = t->values;
    bool is_unix = strcmp(t->scheme, "unix") == 0;

    if (v[OPT_MAX_LINE].number < LINE_MIN ||
        v[OPT_MAX_LINE].number > LINE_MAX) {
        snprintf(err, cap, "max_line is from %d to 1GiB", LINE_MIN);
        return -1;
    }
    if (t->address[0] == '\0') {
        snprintf(err, cap, "'%s:' needs %s", t->scheme,
                 is_unix ? "a path" : "HOST:PORT");
        return -1;
    }
    if (!is_unix && !ports_given(t->address)) {
        snprintf(err, cap, "'%s' has no port", t->address);
        return -1;
    }
    struct stream_route *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(err, cap, "out of memory");
        return -1;
    }
    *r = (struct stream_route){
        .host = host,
        .mode = stream_modes[v[OPT_MODE].number],
        .connect_timeout_ms = (uint32_t)v[OPT_CONNECT_TIMEOUT].number,
        .proxy = (int)v[OPT_PROXY].number,
        .is_unix = is_unix,
        .replace = v[OPT_INVALID].number == 0,
        .half_close = v[OPT_HALF_CLOSE].number,
        .eol = v[OPT_EOL].number ? "\r\n" : "\n",
        .max_line = v[OPT_MAX_LINE].number,
    };
    if (route_tls(r, t, err, cap) < 0) {
        free(r);
        return -1;
    }
    *route = r;
    return 0;
}

static void stream_route_close(const struct gw_host *host, void *route)
{
    struct stream_route *r = route;
    if (r->tls)
        host->tls_free(r->tls);
    free(r);
}

static const char *const schemes[] = {"tcp", "tls", "unix", NULL};

const struct gw_bridge bridge_stream = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "stream",
    .help = "carries a byte stream: tcp://HOST:PORT, tls://HOST:PORT, "
            "unix:PATH; several HOST:PORT, comma-separated, are tried in order",
    .schemes = schemes,
    .options = options,
    .route_open = stream_route_open,
    .route_close = stream_route_close,
    .open = stream_open,
    .data = stream_data,
    .drained = stream_drained,
    .client_ended = stream_client_ended,
    .close = stream_close,
};
