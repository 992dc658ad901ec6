/* SPDX-License-Identifier: Apache-2.0 */
/* http_reply.c - heads are written into the caller's buffer, whole or not at
 * all. */
#include "http_reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { WHY_MAX = 512 };

struct writer {
    char *out;
    size_t cap, used;
    bool full;
};

static void put(struct writer *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct writer *w, const char *fmt, ...)
{
    va_list args;

    if (w->full)
        return;
    va_start(args, fmt);
    int n = vsnprintf(w->out + w->used, w->cap - w->used, fmt, args);
    va_end(args);
    w->full = n < 0 || (size_t)n >= w->cap - w->used;
    if (!w->full)
        w->used += (size_t)n;
}

/* RFC 9110, section 15. */
static const struct {
    int status;
    const char *text;
} texts[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {511, "Network Authentication Required"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < LEN(texts); i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "Unknown";
}

void http_date(char out[HTTP_DATE_SIZE], time_t t)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed",
                                   "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;

    /* Four digits are all that the format has for a year. */
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099) {
        t = 0;
        gmtime_r(&t, &tm);
    }
    snprintf(out, HTTP_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
             days[tm.tm_wday], (unsigned)tm.tm_mday % 100, months[tm.tm_mon],
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* Status line and fields, without the empty line. */
static void put_fields(struct writer *w, const struct http_reply *r,
                       const char *connection)
{
    char date[HTTP_DATE_SIZE];

    http_date(date, time(NULL));
    put(w, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: gangway\r\n", r->status,
        http_status_text(r->status), date);
    if (r->content_type)
        put(w, "Content-Type: %s\r\n", r->content_type);
    if (r->has_length)
        put(w, "Content-Length: %" PRIu64 "\r\n", r->content_length);
    put(w, "Connection: %s\r\n", connection);
    if (r->extra)
        put(w, "%s", r->extra);
}

size_t http_reply_head(char *out, size_t cap, const struct http_reply *r)
{
    struct writer w = {out, cap, 0, cap == 0};

    put_fields(&w, r, r->keep_alive ? "keep-alive" : "close");
    put(&w, "\r\n");
    return w.full ? 0 : w.used;
}

/* The body: what a terminal may show, whatever `why` holds. */
static size_t refusal_text(char *out, size_t cap, int status, const char *why)
{
    struct writer w = {out, cap, 0, false};

    put(&w, "%d %s", status, http_status_text(status));
    if (why && *why)
        put(&w, ": %.*s", WHY_MAX, why);
    for (size_t i = 0; i < w.used; i++) {
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = '?';
    }
    put(&w, "\n");
    return w.used;
}

size_t http_reply_refuse(char *out, size_t cap, int status, const char *why,
                         bool body, unsigned seed)
{
    struct writer w = {out, cap, 0, cap == 0};
    char text[WHY_MAX + 64];
    struct http_reply r = {
        .status = status,
        .content_type = "text/plain; charset=utf-8",
        .content_length = refusal_text(text, sizeof(text), status, why),
        .has_length = true,
    };

    put_fields(&w, &r, status == 426 ? "upgrade, close" : "close");
    put(&w, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    if (status == 405)
        put(&w, "Allow: GET, HEAD\r\n");
    if (status == 426)
        put(&w, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (status == 503)
        put(&w, "Retry-After: %u\r\n", 1 + seed % 5);
    put(&w, "\r\n%s", body ? text : "");
    return w.full ? 0 : w.used;
}
