/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - a template is read the same way when it is checked and when it
 * is filled in: as pieces, each a run of text, a brace or a placeholder. */
#include "template.h"

#include "../base/url.h"

#include <stdio.h>

enum piece_kind { PIECE_END, PIECE_TEXT, PIECE_NAME, PIECE_BAD };

struct piece {
    enum piece_kind kind;
    struct slice text; /* without braces */
    const char *why;   /* PIECE_BAD */
};

static struct piece bad_piece(const char *why)
{
    return (struct piece){PIECE_BAD, {NULL, 0}, why};
}

/* Take the next piece from *text. */
static struct piece piece_next(const char **text)
{
    const char *p = *text;
    size_t n = strcspn(p, "{}");

    if (n > 0) {
        *text = p + n;
        return (struct piece){PIECE_TEXT, {p, n}, NULL};
    }
    if (*p == '\0')
        return (struct piece){PIECE_END, {p, 0}, NULL};
    if (p[0] == p[1]) {
        *text = p + 2;
        return (struct piece){PIECE_TEXT, {p, 1}, NULL};
    }
    if (*p == '}')
        return bad_piece("'}' without a '{' before it; write }} for the "
                         "character itself");
    n = strcspn(p + 1, "{}");
    if (p[1 + n] != '}')
        return bad_piece("'{' without a '}' behind it; write {{ for the "
                         "character itself");
    *text = p + 1 + n + 1;
    return (struct piece){PIECE_NAME, {p + 1, n}, NULL};
}

/* "path.name" begins with "path.": what follows goes to *rest. */
static bool begins(struct slice name, const char *prefix, struct slice *rest)
{
    size_t n = strlen(prefix);

    if (name.n < n || memcmp(name.p, prefix, n) != 0)
        return false;
    *rest = (struct slice){name.p + n, name.n - n};
    return true;
}

static bool parameter_name_ok(struct slice name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    for (size_t i = 0; i < name.n; i++) {
        if (!memchr(allowed, name.p[i], sizeof(allowed) - 1))
            return false;
    }
    return name.n > 0;
}

static int name_check(struct slice name, const struct pattern *p,
                      struct err *err)
{
    struct slice rest;

    if (slice_is(name, "host") || slice_is(name, "client.ip"))
        return 0;
    if (begins(name, "path.", &rest)) {
        if (p && pattern_has(p, rest))
            return 0;
        return err_set(
            err, "{" SLICE_FMT "}: the route's path has no {" SLICE_FMT "}",
            SLICE_ARGS(name), SLICE_ARGS(rest));
    }
    if (begins(name, "query.", &rest)) {
        if (parameter_name_ok(rest))
            return 0;
        return err_set(err,
                       "{" SLICE_FMT "}: a query parameter's name is made of "
                       "letters, digits, '_', '-' and '.'",
                       SLICE_ARGS(name));
    }
    return err_set(err,
                   "{" SLICE_FMT "}: no such placeholder; there are "
                   "path.NAME, query.NAME, host and client.ip",
                   SLICE_ARGS(name));
}

int template_check(const char *text, const struct pattern *p, struct err *err)
{
    int names = 0;

    for (;;) {
        struct piece piece = piece_next(&text);
        switch (piece.kind) {
        case PIECE_END:
            return names;
        case PIECE_BAD:
            return err_set(err, "%s", piece.why);
        case PIECE_TEXT:
            break;
        case PIECE_NAME:
            if (name_check(piece.text, p, err))
                return -1;
            names++;
        }
    }
}

/* ---- filling in ------------------------------------------------------- */

struct filling {
    const struct template_values *values;
    enum template_kind kind;
    char *out;
    size_t cap, used;
};

/* Say why in f->out, which holds nothing of worth any more. */
static int fail(struct filling *f, const char *what, struct slice name,
                const char *why)
{
    snprintf(f->out, f->cap, "%s%s" SLICE_FMT "%s %s", what, name.n ? " '" : "",
             SLICE_ARGS(name), name.n ? "'" : "", why);
    return -1;
}

static int put(struct filling *f, struct slice s)
{
    if (s.n >= f->cap - f->used)
        return fail(f, "the target", (struct slice){"", 0}, "is too long");
    if (s.n > 0)
        memcpy(f->out + f->used, s.p, s.n);
    f->used += s.n;
    f->out[f->used] = '\0';
    return 0;
}

static bool endpoint_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z') || (c != '\0' && strchr("-._:[]%", c));
}

static bool char_ok(enum template_kind kind, char c, bool first)
{
    if ((unsigned char)c < 0x20 || c == 0x7f)
        return false;
    switch (kind) {
    case TEMPLATE_ENDPOINT:
        return endpoint_char(c);
    case TEMPLATE_PATH:
        return c != '/' && !(first && c == '.');
    case TEMPLATE_TOPIC:
        return c != '/' && c != '+' && c != '#';
    case TEMPLATE_TEXT:
        break;
    }
    return true;
}

static bool value_ok(enum template_kind kind, struct slice value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (!char_ok(kind, value.p[i], i == 0))
            return false;
    }
    return true;
}

static int put_value(struct filling *f, const char *what, struct slice name,
                     struct slice value)
{
    if (value.n == 0)
        return fail(f, what, name, "is empty");
    if (!value_ok(f->kind, value))
        return fail(f, what, name, "holds a character that is not allowed");
    return put(f, value);
}

/* Whether a parameter's percent-encoded name says `name`. */
static bool parameter_is(struct slice encoded, struct slice name)
{
    char text[128];
    int n = url_decode(encoded, text, sizeof(text));

    return n >= 0 && (size_t)n == name.n && memcmp(text, name.p, name.n) == 0;
}

/* The number of parameters called `name`; *value is the last one's. */
static size_t query_find(struct slice query, struct slice name,
                         struct slice *value)
{
    size_t found = 0;

    while (query.n > 0) {
        const char *amp = memchr(query.p, '&', query.n);
        size_t n = amp ? (size_t)(amp - query.p) : query.n;
        const char *eq = n ? memchr(query.p, '=', n) : NULL;
        size_t name_n = eq ? (size_t)(eq - query.p) : n;

        if (parameter_is((struct slice){query.p, name_n}, name)) {
            size_t skip = eq ? name_n + 1 : n;
            *value = (struct slice){query.p + skip, n - skip};
            found++;
        }
        n += amp != NULL;
        query.p += n;
        query.n -= n;
    }
    return found;
}

static int put_query(struct filling *f, struct slice name)
{
    static const char what[] = "query parameter";
    struct slice encoded;
    char text[CAPTURE_TEXT_MAX];
    size_t found = query_find(f->values->query, name, &encoded);

    if (found == 0)
        return fail(f, what, name, "is missing");
    if (found > 1)
        return fail(f, what, name, "is given twice");
    int n = url_decode(encoded, text, sizeof(text));
    if (n < 0)
        return fail(f, what, name, "is too long or not rightly encoded");
    return put_value(f, what, name, (struct slice){text, (size_t)n});
}

static int put_path(struct filling *f, struct slice name)
{
    const struct captures *captures = f->values->path;

    for (size_t i = 0; captures && i < captures->n; i++) {
        const struct capture *c = &captures->v[i];
        if (c->name.n == name.n && memcmp(c->name.p, name.p, name.n) == 0)
            return put_value(f, "path segment", name, c->value);
    }
    return fail(f, "path segment", name, "is missing");
}

/* An IPv6 address gets its brackets in an endpoint, unless the template has
 * them already: a port may follow. */
static int put_client_ip(struct filling *f)
{
    static const struct slice open = {"[", 1}, close = {"]", 1};
    struct slice ip = f->values->client_ip, none = {"", 0};
    bool brackets = f->kind == TEMPLATE_ENDPOINT && ip.n > 0 &&
                    memchr(ip.p, ':', ip.n) &&
                    !(f->used > 0 && f->out[f->used - 1] == '[');

    if (brackets && put(f, open))
        return -1;
    if (put_value(f, "the client's address", none, ip))
        return -1;
    return brackets ? put(f, close) : 0;
}

static int put_name(struct filling *f, struct slice name)
{
    struct slice rest, none = {"", 0};

    if (begins(name, "path.", &rest))
        return put_path(f, rest);
    if (begins(name, "query.", &rest))
        return put_query(f, rest);
    if (slice_is(name, "client.ip"))
        return put_client_ip(f);
    if (slice_is(name, "host"))
        return put_value(f, "the Host field", none, f->values->host);
    return fail(f, "placeholder", name, "is not known");
}

int template_fill(const char *text, const struct template_values *v,
                  enum template_kind kind, char *out, size_t cap,
                  const char **why)
{
    struct filling f = {v, kind, out, cap, 0};
    int rc = 0;

    *why = out;
    out[0] = '\0';
    while (rc == 0) {
        struct piece piece = piece_next(&text);
        if (piece.kind == PIECE_END)
            return (int)f.used;
        else if (piece.kind == PIECE_TEXT)
            rc = put(&f, piece.text);
        else if (piece.kind == PIECE_NAME)
            rc = put_name(&f, piece.text);
        else
            rc = fail(&f, "the target's template", (struct slice){"", 0},
                      "is malformed");
    }
    return -1;
}
