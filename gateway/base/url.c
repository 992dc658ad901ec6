/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - text is read in units: a character, a whole {placeholder}, or a
 * doubled brace. A delimiter inside a placeholder thus delimits nothing. */
#include "url.h"

static struct slice part(struct slice s, size_t from, size_t to)
{
    return (struct slice){s.p + from, to - from};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether c is one of `set`; strchr alone would find a NUL in any. */
static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* The size of the unit at s.p[i], or 0 if its braces are unbalanced. */
static size_t unit(struct slice s, size_t i)
{
    char c = s.p[i];

    if (c != '{' && c != '}')
        return 1;
    if (i + 1 < s.n && s.p[i + 1] == c)
        return 2; /* stands for one brace */
    if (c == '}')
        return 0;
    for (size_t at = i + 1; at < s.n && s.p[at] != '{'; at++)
        if (s.p[at] == '}')
            return at == i + 1 ? 0 : at + 1 - i;
    return 0;
}

/* Where, from i on, the first of the characters `any` stands; or the end.
 * Braces are known to be balanced. */
static size_t find(struct slice s, size_t i, const char *any)
{
    while (i < s.n && !is_one_of(s.p[i], any))
        i += unit(s, i);
    return i;
}

static const char *check_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == 0x7f)
            return "a space or control character";
        if (c == '#')
            return "'#' has no meaning here; write %23 for the character";
    }
    for (size_t i = 0, n; i < s.n; i += n) {
        n = unit(s, i);
        if (n == 0)
            return "unbalanced or empty braces";
    }
    return NULL;
}

/* RFC 3986 section 3.1, in lower case. Returns the size without the colon, or
 * 0 if there is none. */
static size_t scheme_size(struct slice s)
{
    size_t i = 0;

    while (i < s.n && ((s.p[i] >= 'a' && s.p[i] <= 'z') ||
                       (i > 0 && (is_digit(s.p[i]) || s.p[i] == '+' ||
                                  s.p[i] == '-' || s.p[i] == '.'))))
        i++;
    return i < s.n && s.p[i] == ':' ? i : 0;
}

static const char *parse_params(struct url *u, struct slice query)
{
    for (size_t at = 0; at < query.n;) {
        size_t end = find(query, at, "&");
        struct slice pair = part(query, at, end);

        at = end + 1;
        if (pair.n == 0)
            continue;
        if (u->n_params == URL_PARAMS_MAX)
            return "too many parameters";
        size_t eq = find(pair, 0, "=");
        if (eq == 0)
            return "a parameter without a name";
        u->params[u->n_params++] = (struct url_param){
            part(pair, 0, eq),
            eq < pair.n ? part(pair, eq + 1, pair.n) : (struct slice){0}};
    }
    return NULL;
}

int url_parse(struct url *u, struct slice text, const char **why)
{
    size_t i = scheme_size(text);

    *u = (struct url){0};
    *why = i == 0 ? "no scheme" : check_text(text);
    if (*why)
        return -1;

    u->scheme = part(text, 0, i++);
    if (text.n - i >= 2 && text.p[i] == '/' && text.p[i + 1] == '/') {
        size_t end = find(text, i + 2, "/?");
        u->authority = part(text, i + 2, end);
        i = end;
    }
    size_t query = find(text, i, "?");
    u->path = part(text, i, query);
    *why = parse_params(u, part(text, min_size(query + 1, text.n), text.n));
    return *why ? -1 : 0;
}

/* Skip, from i on, what a host may be made of. */
static size_t skip_host(struct slice s, size_t i, const char *more)
{
    for (size_t n; i < s.n; i += n) {
        n = unit(s, i);
        bool placeholder = n > 2;
        if (!placeholder && !is_alnum(s.p[i]) && !is_one_of(s.p[i], more))
            break;
    }
    return i;
}

static bool port_ok(struct slice s)
{
    if (s.n > 2 && s.p[0] == '{')
        return unit(s, 0) == s.n;
    for (size_t i = 0; i < s.n; i++)
        if (!is_digit(s.p[i]))
            return false;
    return s.n > 0;
}

/* One element of the list: host or [host], then a colon and a port, or not. */
static bool parse_endpoint(struct slice s, struct endpoint *e)
{
    size_t i;

    if (s.n > 0 && s.p[0] == '[') {
        i = skip_host(s, 1, ":.%-_");
        e->host = part(s, 1, i);
        if (i == s.n || s.p[i++] != ']')
            return false;
    } else {
        i = skip_host(s, 0, ".-_*");
        e->host = part(s, 0, i);
    }
    if (e->host.n == 0)
        return false;
    e->port = part(s, i, i);
    if (i == s.n)
        return true;
    e->port = part(s, i + 1, s.n);
    return s.p[i] == ':' && port_ok(e->port);
}

int endpoint_next(struct slice *list, struct endpoint *e)
{
    size_t end = 0;

    if (list->n == 0)
        return 0;
    for (size_t n; end < list->n && list->p[end] != ','; end += n) {
        n = unit(*list, end);
        if (n == 0)
            return -1;
    }
    if (end + 1 == list->n) /* a comma, and nothing after it */
        return -1;
    if (!parse_endpoint(part(*list, 0, end), e))
        return -1;
    *list = part(*list, min_size(end + 1, list->n), list->n);
    return 1;
}

int port_parse(struct slice s, bool allow_zero)
{
    int port = 0;

    if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0'))
        return -1; /* nor does "080" leave open in which base it is */
    for (size_t i = 0; i < s.n; i++) {
        if (!is_digit(s.p[i]))
            return -1;
        port = port * 10 + (s.p[i] - '0');
    }
    return port > 65535 || (port == 0 && !allow_zero) ? -1 : port;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int url_decode(struct slice s, char *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int c = (unsigned char)s.p[i];
        if (c == '%') {
            int high = i + 1 < s.n ? hex_value(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = high * 16 + low;
            i += 2;
        }
        if (c == '\0' || n + 1 >= cap)
            return -1;
        out[n++] = (char)c;
    }
    if (n >= cap)
        return -1;
    out[n] = '\0';
    return (int)n;
}
