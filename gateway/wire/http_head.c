/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.c - in two steps. Bytes are scanned once as they arrive, for the
 * end of the head and for what may stand nowhere in one; when it is complete,
 * request line and fields are taken apart. */
#include "http_head.h"

enum {
    BAD_REQUEST = -400,
    METHOD_NOT_ALLOWED = -405,
    CONTENT_TOO_LARGE = -413,
    URI_TOO_LONG = -414,
    FIELDS_TOO_LARGE = -431,
    VERSION_NOT_SUPPORTED = -505,
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 9110 section 5.6.2 */
static bool is_tchar(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* What host names are made of: less than RFC 3986 lets a registered name
 * have, more than RFC 1123 does (underscores are in use). */
static bool is_host_char(char c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static bool is_ipv6_char(char c)
{
    return is_hex(c) || c == ':' || c == '.';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

/* Where, from i on, the first character is that `is` does not hold for. */
static size_t span(struct slice s, size_t i, bool (*is)(char))
{
    while (i < s.n && is(s.p[i]))
        i++;
    return i;
}

bool http_is_token(struct slice s)
{
    return s.n > 0 && span(s, 0, is_tchar) == s.n;
}

static struct slice trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Cut what precedes the first `sep` off the front of `rest`, and `sep` with
 * it. Without one, everything. */
static struct slice cut(struct slice *rest, char sep)
{
    const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
    struct slice part = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    size_t used = part.n + (at ? 1 : 0);

    rest->p += used;
    rest->n -= used;
    return part;
}

/* Look at the bytes from *scanned on. Returns the size of the head if it is
 * complete, 0 if not, BAD_REQUEST on a byte that no head may hold: CR and LF
 * only ever as a pair, no other control character but the tab. */
static int scan(const char *p, size_t n, size_t *scanned)
{
    size_t i = *scanned;

    if (i == 0 && n > 0 && !is_tchar(p[0]))
        return BAD_REQUEST; /* not HTTP at all; do not wait for an end */
    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c >= ' ' && c != 0x7f) || c == '\t')
            continue;
        if (c != '\r')
            return BAD_REQUEST;
        if (i + 1 == n)
            break; /* look again when its LF is there */
        if (p[++i] != '\n')
            return BAD_REQUEST;
        if (i >= 3 && p[i - 2] == '\n')
            return (int)(i + 1);
    }
    *scanned = i;
    return 0;
}

/* Which limit an endless head has hit: its target's, or the head's. */
static int too_long(const char *p, size_t n, const struct http_limits *limits)
{
    struct slice rest = {p, n};
    struct slice line = cut(&rest, '\r');

    cut(&line, ' ');
    return cut(&line, ' ').n > limits->uri_bytes ? URI_TOO_LONG
                                                 : FIELDS_TOO_LARGE;
}

/* A path whose escapes are well-formed and hide no NUL. Backslashes are
 * refused, since some readers take them for slashes. */
static bool path_ok(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            return false;
        if (s.p[i] != '%')
            continue;
        if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
            return false;
        if (s.p[i + 1] == '0' && s.p[i + 2] == '0')
            return false;
    }
    return true;
}

/* Take "scheme://authority" off the front of a target in absolute-form. False:
 * the authority is empty. */
static bool cut_authority(struct http_head *h, struct slice *target)
{
    static const char *const schemes[] = {"http://", "https://", "ws://",
                                          "wss://"};

    for (size_t i = 0; i < LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (target->n < n ||
            !slice_ieq((struct slice){target->p, n}, slice_of(schemes[i])))
            continue;
        struct slice rest = {target->p + n, target->n - n};
        size_t end = 0;
        while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
            end++;
        h->authority = (struct slice){rest.p, end};
        *target = (struct slice){rest.p + end, rest.n - end};
        return end > 0;
    }
    return true;
}

/* origin-form, or absolute-form, which a server must take although no client
 * but a proxy's sends it: RFC 9112 section 3.2. */
static int parse_target(struct http_head *h, struct slice target)
{
    for (size_t i = 0; i < target.n; i++)
        if (target.p[i] <= ' ' || target.p[i] > '~' || target.p[i] == '#')
            return BAD_REQUEST;
    if (!cut_authority(h, &target))
        return BAD_REQUEST;
    if (h->authority.n > 0 && (target.n == 0 || target.p[0] == '?')) {
        h->query = target;
        cut(&h->query, '?');
        h->path = slice_of("/");
        return 0;
    }
    if (target.n == 0 || target.p[0] != '/')
        return BAD_REQUEST;
    h->query = target;
    h->path = cut(&h->query, '?');
    return path_ok(h->path) ? 0 : BAD_REQUEST;
}

static int parse_request_line(struct http_head *h, struct slice line,
                              const struct http_limits *limits)
{
    h->method = cut(&line, ' ');
    struct slice target = cut(&line, ' ');
    struct slice version = line;

    if (!http_is_token(h->method) || version.n != strlen("HTTP/1.1") ||
        memcmp(version.p, "HTTP/", 5) != 0 || !is_digit(version.p[5]) ||
        version.p[6] != '.' || !is_digit(version.p[7]))
        return BAD_REQUEST;
    if (version.p[5] != '1')
        return VERSION_NOT_SUPPORTED;
    h->minor = version.p[7] == '0' ? 0 : 1; /* RFC 9110 section 2.5 */
    if (target.n > limits->uri_bytes)
        return URI_TOO_LONG;
    if (!slice_is(h->method, "GET") && !slice_is(h->method, "HEAD"))
        return METHOD_NOT_ALLOWED;
    return parse_target(h, target);
}

/* uri-host [":" port] */
static bool host_ok(struct slice s)
{
    bool bracket = s.n > 0 && s.p[0] == '[';
    size_t i = bracket ? span(s, 1, is_ipv6_char) : span(s, 0, is_host_char);

    if (bracket && (i == 1 || i == s.n || s.p[i++] != ']'))
        return false;
    if (i > 0 && i < s.n && s.p[i] == ':')
        i = span(s, i + 1, is_digit);
    return i > 0 && i == s.n;
}

static int parse_field(struct http_head *h, struct slice line)
{
    struct http_field *f = &h->fields[h->n_fields];

    f->name = cut(&line, ':');
    /* No colon: the cut has taken all. A folded line begins with a blank,
     * which is no token either. */
    if (f->name.p + f->name.n == line.p || !http_is_token(f->name))
        return BAD_REQUEST;
    f->value = trim(line);
    h->n_fields++;
    return 0;
}

static int parse_fields(struct http_head *h, struct slice rest,
                        const struct http_limits *limits)
{
    size_t most = min_size(limits->fields, HTTP_FIELDS_MAX);

    while (rest.n > 0) {
        struct slice line = cut(&rest, '\n');
        line.n--; /* its CR */
        if (h->n_fields == most)
            return FIELDS_TOO_LARGE;
        if (parse_field(h, line) < 0)
            return BAD_REQUEST;
    }
    return 0;
}

/* What the fields say about the framing of the request, and whom it is for. */
static int judge_fields(struct http_head *h)
{
    static const char *const singular[] = {"host", "content-length", "origin",
                                           "authorization"};

    for (size_t i = 0; i < LEN(singular); i++)
        if (http_head_count(h, singular[i]) > 1)
            return BAD_REQUEST;
    if (http_head_count(h, "transfer-encoding") > 0)
        return BAD_REQUEST;

    h->host = http_head_get(h, "host");
    if (h->host.p ? !host_ok(h->host) : h->minor > 0)
        return BAD_REQUEST;
    /* Two answers to "which host" are none: section 3.2.2 wants them alike. */
    if (h->authority.n > 0 && !slice_ieq(h->authority, h->host))
        return BAD_REQUEST;

    struct slice length = http_head_get(h, "content-length");
    if (!length.p)
        return 0;
    if (length.n == 0 || span(length, 0, is_digit) < length.n)
        return BAD_REQUEST;
    return slice_is(length, "0") ? 0 : CONTENT_TOO_LARGE;
}

int http_head_parse(struct http_head *h, const char *p, size_t n,
                    size_t *scanned, const struct http_limits *limits)
{
    size_t window = min_size(n, limits->head_bytes);
    int size = scan(p, window, scanned);

    /* Nothing of a head that fails is to be taken for something. */
    h->method = h->path = h->query = h->host = h->authority = (struct slice){0};
    h->n_fields = 0;
    if (size == 0 && window == limits->head_bytes)
        return too_long(p, window, limits);
    if (size <= 0)
        return size;

    struct slice rest = {p, (size_t)size - 2};
    struct slice line = cut(&rest, '\n');
    line.n--;
    int status = parse_request_line(h, line, limits);
    if (status == 0)
        status = parse_fields(h, rest, limits);
    if (status == 0)
        status = judge_fields(h);
    return status == 0 ? size : status;
}

/* The first field called `name` from `*at` on; *at is left on it. */
static bool find(const struct http_head *h, const char *name, size_t *at)
{
    for (; *at < h->n_fields; ++*at)
        if (slice_ieq(h->fields[*at].name, slice_of(name)))
            return true;
    return false;
}

struct slice http_head_get(const struct http_head *h, const char *name)
{
    size_t at = 0;

    return find(h, name, &at) ? h->fields[at].value : (struct slice){0};
}

size_t http_head_count(const struct http_head *h, const char *name)
{
    size_t count = 0;

    for (size_t at = 0; find(h, name, &at); at++)
        count++;
    return count;
}

bool http_head_has_token(const struct http_head *h, const char *name,
                         const char *token)
{
    for (size_t at = 0; find(h, name, &at); at++) {
        struct slice list = h->fields[at].value, element;
        while (http_list_next(&list, &element))
            if (slice_ieq(element, slice_of(token)))
                return true;
    }
    return false;
}

bool http_list_next(struct slice *list, struct slice *element)
{
    while (list->n > 0) {
        *element = trim(cut(list, ','));
        if (element->n > 0)
            return true;
    }
    return false;
}
