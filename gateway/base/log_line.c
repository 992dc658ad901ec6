/* SPDX-License-Identifier: Apache-2.0 */
/* log_line.c - whatever bytes a value has, the line is one line of valid UTF-8
 * and shows what it says. */
#include "log_line.h"

#include "utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum {
    LOG_LINE_END = 16, /* kept free for `,"cut":true}` and the newline */
    VALUE_SIZE = 1 << 10,
};

static const struct {
    const char *name;
    char priority; /* of syslog */
} severities[] = {
    [LOG_SEV_ERROR] = {"error", '3'},
    [LOG_SEV_WARN] = {"warn", '4'},
    [LOG_SEV_INFO] = {"info", '6'},
    [LOG_SEV_DEBUG] = {"debug", '7'},
};

static void put(struct log_line *l, const char *p, size_t n)
{
    if (n > sizeof(l->text) - LOG_LINE_END - l->n) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

static void put_str(struct log_line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* The character at p[0..n), n > 0. Returns its size and sets *code; a byte
 * that begins no valid character is 1 byte and code -1. */
static size_t decode(const uint8_t *p, size_t n, int32_t *code)
{
    size_t size = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    struct utf8 check = {0};

    *code = -1;
    if (size > n || !utf8_feed(&check, p, size) || !utf8_done(&check))
        return 1;
    *code = size == 1 ? p[0] : p[0] & (0x7f >> size);
    for (size_t i = 1; i < size; i++)
        *code = *code << 6 | (p[i] & 0x3f);
    return size;
}

/* What a terminal or an editor might obey instead of show: C0, DEL and C1
 * controls, line separators, marks and overrides of direction. */
static bool is_unsafe(int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e ||
           c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* One character as it may stand between quotes. Returns its size. */
static size_t escape(char out[8], const uint8_t *p, size_t size, int32_t code,
                     bool json)
{
    if (code == -1)
        return (size_t)snprintf(out, 8, json ? "\\\\x%02x" : "\\x%02x", p[0]);
    if (code == '"' || code == '\\')
        return (size_t)snprintf(out, 8, "\\%c", (char)code);
    if (code == '\n' || code == '\r' || code == '\t')
        return (size_t)snprintf(out, 8, "\\%c",
                                code == '\n'   ? 'n'
                                : code == '\r' ? 'r'
                                               : 't');
    if (is_unsafe(code))
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)code & 0xffff);
    memcpy(out, p, size);
    return size;
}

static void put_quoted(struct log_line *l, struct slice s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t budget = VALUE_SIZE;

    put(l, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        char shown[8];
        int32_t code;
        size_t size = decode(p + i, s.n - i, &code);
        size_t n = escape(shown, p + i, size, code, l->json);

        if (n > budget) {
            put_str(l, "...");
            break;
        }
        put(l, shown, n);
        budget -= n;
        i += size;
    }
    put(l, "\"", 1);
}

/* Whether a text value reads well without quotes. */
static bool is_plain(struct slice s)
{
    if (s.n == 0 || s.n > VALUE_SIZE)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"\\=", s.p[i]))
            return false;
    return true;
}

static void put_value(struct log_line *l, struct slice s)
{
    if (!l->json && is_plain(s))
        put(l, s.p, s.n);
    else
        put_quoted(l, s);
}

static void put_number(struct log_line *l, const struct log_field *f)
{
    char digits[32];

    if (f->kind == LOG_I64)
        snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)f->u);
    else if (f->kind == LOG_MS)
        snprintf(digits, sizeof(digits), "%" PRIu64 ".%03u", f->u / 1000,
                 (unsigned)(f->u % 1000));
    else
        snprintf(digits, sizeof(digits), "%" PRIu64, f->u);
    put_str(l, digits);
}

static void put_key(struct log_line *l, const char *key)
{
    if (l->json)
        put_str(l, l->n == 0 ? "{\"" : ",\"");
    else
        put_str(l, " ");
    put_str(l, key);
    put_str(l, l->json ? "\":" : "=");
}

/* A field that does not fit is left out whole, and the line says so. */
static void put_field(struct log_line *l, const struct log_field *f)
{
    size_t before = l->n;
    bool was_full = l->full;

    if (!f->key || (f->kind == LOG_STR && !f->s.p))
        return;
    l->full = false;
    put_key(l, f->key);
    if (f->kind == LOG_STR)
        put_value(l, f->s);
    else
        put_number(l, f);
    if (l->full)
        l->n = before;
    l->full |= was_full;
}

/* 2026-01-31T12:00:00.123Z */
static void timestamp(char out[32])
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static void put_intro(struct log_line *l, enum log_severity level,
                      const char *event)
{
    char when[32];

    timestamp(when);
    if (l->json) {
        put_field(l, &(struct log_field){"time", LOG_STR, slice_of(when), 0});
        put_field(l, &(struct log_field){"level", LOG_STR,
                                         slice_of(severities[level].name), 0});
        put_field(l, &(struct log_field){"event", LOG_STR, slice_of(event), 0});
        return;
    }
    if (l->journal) { /* the journal has its own clock */
        put(l, "<", 1);
        put(l, &severities[level].priority, 1);
        put(l, ">", 1);
    } else {
        put_str(l, when);
        put(l, " ", 1);
    }
    put_str(l, severities[level].name);
    put(l, " ", 1);
    put_value(l, slice_of(event));
}

void log_line_make(struct log_line *l, bool json, bool journal,
                   enum log_severity level, const char *event,
                   const struct log_field *fields, size_t n)
{
    l->json = json;
    l->journal = journal;
    l->full = false;
    l->n = 0;
    put_intro(l, level, event);
    for (size_t i = 0; i < n; i++)
        put_field(l, &fields[i]);

    const char *end = l->json ? "}" : "";
    if (l->full)
        end = l->json ? ",\"cut\":true}" : " cut=true";
    memcpy(l->text + l->n, end, strlen(end)); /* LOG_LINE_END was kept */
    l->n += strlen(end);
    l->text[l->n++] = '\n';
}
