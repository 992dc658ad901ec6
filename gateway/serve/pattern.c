/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - patterns are compiled to segments, paths are walked as they
 * are: a segment is decoded a byte at a time while it is compared, so that no
 * buffer bounds what can be matched. Only what is captured is copied. */
#include "pattern.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum host_kind { HOST_EXACT, HOST_SUFFIX, HOST_ANY }; /* most specific first */

enum segment_kind { /* most specific first */
                    SEGMENT_LITERAL,
                    SEGMENT_ONE,  /* {name} */
                    SEGMENT_REST, /* {name*} */
                    SEGMENT_ALL,  /* ... */
};

struct segment {
    enum segment_kind kind;
    struct slice text; /* decoded literal, or the placeholder's name */
};

struct pattern {
    enum host_kind host_kind;
    struct slice host; /* lower case, no brackets; ".suffix" for *.suffix */
    struct segment *segments;
    size_t n;
    char *host_text; /* what host points into */
    char *text;      /* what segments point into */
};

/* ---- percent-encoding ------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Take the next decoded byte from *s, which is not empty; -1: bad escape. */
static int decode_next(struct slice *s)
{
    int high, low;

    if (*s->p != '%') {
        s->n--;
        return (unsigned char)*s->p++;
    }
    if (s->n < 3 || (high = hex_digit(s->p[1])) < 0 ||
        (low = hex_digit(s->p[2])) < 0)
        return -1;
    s->p += 3;
    s->n -= 3;
    return high * 16 + low;
}

static bool only_dots(size_t dots, size_t others)
{
    return others == 0 && (dots == 1 || dots == 2);
}

/* Whether all escapes are valid, nothing is NUL, and no part between slashes,
 * escaped slashes included, is "." or "..". */
static bool path_sound(struct slice path)
{
    size_t dots = 0, others = 0;

    while (path.n > 0) {
        int c = decode_next(&path);
        if (c <= 0)
            return false;
        if (c == '/') {
            if (only_dots(dots, others))
                return false;
            dots = others = 0;
        } else if (c == '.') {
            dots++;
        } else {
            others++;
        }
    }
    return !only_dots(dots, others);
}

static bool decodes_to(struct slice encoded, struct slice text)
{
    size_t i = 0;

    while (encoded.n > 0) {
        int c = decode_next(&encoded);
        if (i == text.n || c != (unsigned char)text.p[i++])
            return false;
    }
    return i == text.n;
}

/* Take the text up to the next '/' from *rest, which begins after one, and
 * the '/' with it. Returns whether there was one: more segments follow. */
static bool segment_next(struct slice *rest, struct slice *segment)
{
    const char *slash = rest->n ? memchr(rest->p, '/', rest->n) : NULL;

    if (!slash) {
        *segment = *rest;
        *rest = (struct slice){rest->p + rest->n, 0};
        return false;
    }
    *segment = (struct slice){rest->p, (size_t)(slash - rest->p)};
    *rest = (struct slice){slash + 1, rest->n - segment->n - 1};
    return true;
}

/* ---- compiling -------------------------------------------------------- */

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int host_address(struct pattern *p, struct slice inner, struct err *err)
{
    char text[INET6_ADDRSTRLEN] = "";
    struct in6_addr a;

    memcpy(text, inner.p, min_size(inner.n, sizeof(text) - 1));
    if (inner.n >= sizeof(text) || inet_pton(AF_INET6, text, &a) != 1)
        return err_set(err, "no IPv6 address between the brackets");
    p->host_text = malloc(sizeof(text));
    if (!p->host_text)
        return err_set(err, "out of memory");
    if (!inet_ntop(AF_INET6, &a, p->host_text, sizeof(text)))
        return err_set(err, "no IPv6 address between the brackets");
    p->host = slice_of(p->host_text);
    return 0;
}

static int host_name(struct pattern *p, const char *host, struct err *err)
{
    size_t n = strlen(host);

    if (n > 0 && host[n - 1] == '.')
        n--; /* the root's dot */
    if (n == 0)
        return err_set(err, "an empty label");
    p->host_text = calloc(1, n + 1);
    if (!p->host_text)
        return err_set(err, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char c = host[i];
        bool dot_ok = i + 1 < n && host[i + 1] != '.' &&
                      (i > 0 || p->host_kind == HOST_SUFFIX);
        if (c == '*')
            return err_set(err, "'*' may only stand as the whole first "
                                "label: *.example.com");
        if (c == ':')
            return err_set(err, "a host has no port here, and an IPv6 "
                                "address stands in brackets");
        if (c == '.' ? !dot_ok : !is_alnum(c) && c != '-' && c != '_')
            return err_set(err, c == '.' ? "an empty label"
                                         : "only letters, digits, '-', '_' "
                                           "and '.' may stand in a name");
        p->host_text[i] = to_lower(c);
    }
    p->host = (struct slice){p->host_text, n};
    return 0;
}

static int host_compile(struct pattern *p, const char *host, struct err *err)
{
    size_t n = host ? strlen(host) : 0;

    p->host_kind = HOST_ANY;
    if (!host)
        return 0;
    p->host_kind = HOST_EXACT;
    if (n == 0)
        return err_set(err, "empty; leave it out to answer to any host");
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']')
        return host_address(p, (struct slice){host + 1, n - 2}, err);
    if (strcmp(host, "*") == 0)
        return err_set(err, "leave it out to answer to any host");
    if (host[0] == '*' && host[1] == '.') {
        p->host_kind = HOST_SUFFIX;
        host++;
    }
    return host_name(p, host, err);
}

static int placeholder_compile(struct pattern *p, struct slice raw, bool more,
                               struct err *err)
{
    struct segment *s = &p->segments[p->n];
    struct slice name = {raw.p + 1, raw.n - 2};

    s->kind = SEGMENT_ONE;
    if (name.n > 0 && name.p[name.n - 1] == '*') {
        s->kind = SEGMENT_REST;
        name.n--;
        if (more)
            return err_set(err, "{" SLICE_FMT "*} must be the last segment",
                           SLICE_ARGS(name));
    }
    if (name.n == 0)
        return err_set(err, "a placeholder without a name");
    for (size_t i = 0; i < name.n; i++) {
        if (!is_alnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '-')
            return err_set(err, "only letters, digits, '_' and '-' may stand "
                                "in a placeholder's name");
    }
    if (pattern_has(p, name))
        return err_set(err, "{" SLICE_FMT "} stands twice", SLICE_ARGS(name));
    s->text = name;
    return 0;
}

static int literal_check(struct slice raw, struct err *err)
{
    struct slice left = raw;

    while (left.n > 0) {
        if (*left.p == '{' || *left.p == '}')
            return err_set(err, "a placeholder is a whole segment: /{name}/");
        if (strchr("*?#", *left.p))
            return err_set(err,
                           "'%c' has no meaning here; write %%%02X for the "
                           "character itself",
                           *left.p, (unsigned)*left.p);
        int c = decode_next(&left);
        if (c < 0)
            return err_set(err, "'%%' without two hexadecimal digits");
        if (c < 0x20 || c == 0x7f)
            return err_set(err, "a control character");
    }
    if (!path_sound(raw))
        return err_set(err, "no path has '.' or '..' as a segment; "
                            "'/...' is all below a path");
    return 0;
}

/* `copy` is where the decoded text goes: upon `raw` itself, in p->text. */
static int literal_compile(struct pattern *p, struct slice raw, char *copy,
                           struct err *err)
{
    size_t n = 0;

    if (literal_check(raw, err))
        return -1;
    while (raw.n > 0)
        copy[n++] = (char)decode_next(&raw);
    p->segments[p->n].kind = SEGMENT_LITERAL;
    p->segments[p->n].text = (struct slice){copy, n};
    return 0;
}

static int segment_compile(struct pattern *p, struct slice raw, bool more,
                           struct err *err)
{
    if (slice_is(raw, "...") || slice_is(raw, "*")) {
        p->segments[p->n].kind = SEGMENT_ALL;
        if (more)
            return err_set(err,
                           "'" SLICE_FMT "' must be the last segment; one "
                           "segment of any text is {name}",
                           SLICE_ARGS(raw));
        return 0;
    }
    if (raw.n >= 2 && raw.p[0] == '{' && raw.p[raw.n - 1] == '}')
        return placeholder_compile(p, raw, more, err);

    return literal_compile(p, raw, p->text + (raw.p - p->text), err);
}

static int path_compile(struct pattern *p, const char *path, struct err *err)
{
    size_t slashes = 0, captured = 0;
    struct slice rest, raw;
    bool more = true;

    if (path[0] != '/')
        return err_set(err, "a path begins with '/'");
    for (const char *c = path; *c; c++)
        slashes += *c == '/';
    p->text = strdup(path);
    p->segments = calloc(slashes, sizeof(*p->segments));
    if (!p->text || !p->segments)
        return err_set(err, "out of memory");

    for (rest = slice_of(p->text + 1); more; p->n++) {
        more = segment_next(&rest, &raw);
        if (segment_compile(p, raw, more, err))
            return -1;
        captured += p->segments[p->n].kind == SEGMENT_ONE ||
                    p->segments[p->n].kind == SEGMENT_REST;
        if (captured > CAPTURES_MAX)
            return err_set(err, "more than %d placeholders", CAPTURES_MAX);
    }
    return 0;
}

struct pattern *pattern_new(const char *host, const char *path, struct err *err)
{
    struct pattern *p = calloc(1, sizeof(*p));

    if (!p) {
        err_set(err, "out of memory");
        return NULL;
    }
    if (host_compile(p, host, err)) {
        err_prepend(err, "host '%s'", host);
        goto fail;
    }
    if (path_compile(p, path, err)) {
        err_prepend(err, "path '%s'", path);
        goto fail;
    }
    return p;
fail:
    pattern_free(p);
    return NULL;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    free(p->host_text);
    free(p->segments);
    free(p->text);
    free(p);
}

/* ---- matching --------------------------------------------------------- */

static bool host_matches(const struct pattern *p, struct slice host)
{
    if (p->host_kind == HOST_ANY)
        return true;
    if (host.n > 0 && host.p[host.n - 1] == '.')
        host.n--;
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct slice){host.p + 1, host.n - 2};
    if (p->host_kind == HOST_SUFFIX) {
        if (host.n <= p->host.n || host.p[0] == '.')
            return false;
        host.p += host.n - p->host.n;
        host.n = p->host.n;
    }
    if (host.n != p->host.n)
        return false;
    for (size_t i = 0; i < host.n; i++) {
        if (to_lower(host.p[i]) != p->host.p[i])
            return false;
    }
    return true;
}

/* Remember `raw` decoded. A '/' that was escaped is refused: whoever uses the
 * value could not tell it from a separator. */
static bool capture(struct captures *captures, struct slice name,
                    struct slice raw)
{
    struct capture *c = &captures->v[captures->n];
    char *start = captures->text + captures->used;
    size_t room = sizeof(captures->text) - captures->used, n = 0;

    if (raw.n == 0 || raw.p[0] == '/')
        return false;
    while (raw.n > 0) {
        bool separator = *raw.p == '/';
        int byte = decode_next(&raw);
        if (byte <= 0 || (byte == '/' && !separator) || n == room)
            return false;
        start[n++] = (char)byte;
    }
    captures->n++;
    captures->used += n;
    *c = (struct capture){name, {start, n}};
    return true;
}

bool pattern_match(const struct pattern *p, struct slice host,
                   struct slice path, struct captures *captures)
{
    bool more = true;

    captures->n = captures->used = 0;
    if (!host_matches(p, host) || path.n == 0 || path.p[0] != '/' ||
        !path_sound(path))
        return false;

    struct slice rest = {path.p + 1, path.n - 1}, raw;
    for (size_t i = 0; i < p->n; i++) {
        const struct segment *s = &p->segments[i];
        if (!more)
            return false;
        if (s->kind == SEGMENT_ALL)
            return true;
        if (s->kind == SEGMENT_REST)
            return capture(captures, s->text, rest);
        more = segment_next(&rest, &raw);
        if (s->kind == SEGMENT_LITERAL ? !decodes_to(raw, s->text)
                                       : !capture(captures, s->text, raw))
            return false;
    }
    return !more;
}

/* ---- order ------------------------------------------------------------ */

static int slice_compare(struct slice a, struct slice b)
{
    size_t n = min_size(a.n, b.n);
    int d = n ? memcmp(a.p, b.p, n) : 0;

    return d ? d : (a.n > b.n) - (a.n < b.n);
}

static int host_compare(const struct pattern *a, const struct pattern *b)
{
    if (a->host_kind != b->host_kind)
        return a->host_kind < b->host_kind ? -1 : 1;
    if (a->host_kind == HOST_SUFFIX && a->host.n != b->host.n)
        return a->host.n > b->host.n ? -1 : 1; /* *.b.example, *.example */
    return slice_compare(a->host, b->host);
}

int pattern_compare(const struct pattern *a, const struct pattern *b)
{
    int d = host_compare(a, b);

    for (size_t i = 0; d == 0 && i < a->n && i < b->n; i++) {
        const struct segment *s = &a->segments[i], *t = &b->segments[i];
        if (s->kind != t->kind)
            d = s->kind < t->kind ? -1 : 1;
        else if (s->kind == SEGMENT_LITERAL)
            d = slice_compare(s->text, t->text);
    }
    return d ? d : (a->n > b->n) - (a->n < b->n);
}

bool pattern_has(const struct pattern *p, struct slice name)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct segment *s = &p->segments[i];
        if ((s->kind == SEGMENT_ONE || s->kind == SEGMENT_REST) &&
            slice_compare(s->text, name) == 0)
            return true;
    }
    return false;
}
