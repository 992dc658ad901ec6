/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - a strict reader: what RFC 8259 does not know is refused. Values
 * within values recurse, JSON_DEPTH_MAX deep. */
#include "json.h"

static bool wrong(struct json *j, const char *why)
{
    j->why = why;
    return false;
}

static void blank(struct json *j)
{
    while (j->p < j->end &&
           (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
}

char json_peek(struct json *j)
{
    blank(j);
    return j->p < j->end ? *j->p : '\0';
}

bool json_take(struct json *j, char c)
{
    blank(j);
    if (j->p == j->end || *j->p != c)
        return false;
    j->p++;
    return true;
}

/* ---- strings ----------------------------------------------------------------
 */

#define EACH(byte) ((byte)*UINT64_C(0x0101010101010101))

/* Not zero if one of the bytes may be zero; exact for the lowest such byte,
 * and that one is enough. */
static uint64_t zeros(uint64_t x)
{
    return (x - EACH(0x01U)) & ~x & EACH(0x80U);
}

/* Whether none of eight bytes ends a run of plain characters: a quote, a
 * backslash, a control character. */
static bool all_plain(const char *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return !(zeros(x ^ EACH(0x22U)) | zeros(x ^ EACH(0x5cU)) |
             ((x - EACH(0x20U)) & ~x & EACH(0x80U)));
}

static bool is_plain(char c)
{
    return c != '"' && c != '\\' && (unsigned char)c >= 0x20;
}

/* 0-15, or -1 */
static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX at p, or -1. */
static int hex4(const char *p)
{
    int v = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex(p[i]);
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* The size of the escape sequence that begins at the backslash p, or 0. */
static size_t escape_size(const char *p, const char *end)
{
    if (end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]))
        return 2;
    return end - p >= 6 && p[1] == 'u' && hex4(p + 2) >= 0 ? 6 : 0;
}

bool json_string(struct json *j, struct text *body, bool *plain)
{
    const char *from;

    if (!json_take(j, '"'))
        return wrong(j, "a string is missing");
    from = j->p;
    *plain = true;
    for (;;) {
        while (j->end - j->p >= 8 && all_plain(j->p))
            j->p += 8;
        while (j->p < j->end && is_plain(*j->p))
            j->p++;
        if (j->p == j->end)
            return wrong(j, "a string has no end");
        if (*j->p == '"')
            break;
        if (*j->p != '\\')
            return wrong(j, "a control character in a string");
        size_t size = escape_size(j->p, j->end);
        if (size == 0)
            return wrong(j, "an unknown escape sequence");
        *plain = false;
        j->p += size;
    }
    *body = (struct text){from, (size_t)(j->p - from)};
    j->p++;
    return true;
}

static size_t utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)(0xf00U >> n | c);
    return n;
}

/* The character of the \u escape at *p, whose form is right; steps behind it,
 * and behind the second one of a pair. -1: half a pair. */
static int64_t unescape_unicode(const char **p, const char *end)
{
    int64_t c = hex4(*p + 2), low;

    *p += 6;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return -1;
    low = hex4(*p + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *p += 6;
    return 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
}

bool json_unescape(struct text body, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *p = body.p, *end = body.p + body.n;
    char *o = out;

    while (p < end) {
        if (*p != '\\') {
            *o++ = *p++;
            continue;
        }
        if (p[1] != 'u') {
            *o++ = to[strchr(from, p[1]) - from];
            p += 2;
            continue;
        }
        int64_t c = unescape_unicode(&p, end);
        if (c < 0)
            return false;
        o += utf8_put(o, (uint32_t)c);
    }
    *n = (size_t)(o - out);
    return true;
}

/* ---- values -----------------------------------------------------------------
 */

static bool skip(struct json *j, int depth);

static bool literal(struct json *j, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
        return wrong(j, "an unknown word");
    j->p += n;
    return true;
}

static bool digits(struct json *j)
{
    const char *from = j->p;

    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > from || wrong(j, "a digit is missing");
}

static bool next_is(const struct json *j, char a, char b)
{
    return j->p < j->end && (*j->p == a || *j->p == b);
}

static bool number(struct json *j)
{
    const char *from;

    if (next_is(j, '-', '-'))
        j->p++;
    from = j->p;
    if (!digits(j))
        return false;
    if (*from == '0' && j->p - from > 1)
        return wrong(j, "a number begins with 0");
    if (next_is(j, '.', '.')) {
        j->p++;
        if (!digits(j))
            return false;
    }
    if (next_is(j, 'e', 'E')) {
        j->p++;
        if (next_is(j, '+', '-'))
            j->p++;
        if (!digits(j))
            return false;
    }
    return true;
}

static bool array(struct json *j, int depth)
{
    j->p++;
    if (json_take(j, ']'))
        return true;
    do {
        if (!skip(j, depth))
            return false;
    } while (json_take(j, ','));
    return json_take(j, ']') || wrong(j, "an array has no end");
}

static bool object(struct json *j, int depth)
{
    struct text key;
    bool plain;

    j->p++;
    if (json_take(j, '}'))
        return true;
    do {
        if (!json_string(j, &key, &plain))
            return false;
        if (!json_take(j, ':'))
            return wrong(j, "a key without ':' and a value");
        if (!skip(j, depth))
            return false;
    } while (json_take(j, ','));
    return json_take(j, '}') || wrong(j, "an object has no end");
}

/* `depth` more arrays and objects may begin. */
static bool skip(struct json *j, int depth)
{
    struct text body;
    bool plain;
    char c = json_peek(j);

    switch (c) {
    case '{':
    case '[':
        if (depth == 0)
            return wrong(j, "arrays and objects are nested too deep");
        return c == '{' ? object(j, depth - 1) : array(j, depth - 1);
    case '"':
        return json_string(j, &body, &plain);
    case 't':
        return literal(j, "true");
    case 'f':
        return literal(j, "false");
    case 'n':
        return literal(j, "null");
    default:
        return (c == '-' || (c >= '0' && c <= '9'))
                   ? number(j)
                   : wrong(j, "a value is missing");
    }
}

bool json_value(struct json *j, struct text *value)
{
    blank(j);
    value->p = j->p;
    if (!skip(j, JSON_DEPTH_MAX))
        return false;
    value->n = (size_t)(j->p - value->p);
    return true;
}

bool json_valid(const char *p, size_t n)
{
    struct json j = json_of((struct text){n > 0 ? p : "", n});
    struct text value;

    if (!json_value(&j, &value))
        return false;
    blank(&j);
    return j.p == j.end && text_is_utf8(value);
}
