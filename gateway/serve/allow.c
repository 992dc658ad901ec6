/* SPDX-License-Identifier: Apache-2.0 */
/* allow.c - patterns are compiled to rules, and judged one after another: the
 * list is short, and read once for each target. */
#include "allow.h"

#include "../base/url.h"
#include "ip_block.h"

#include <fnmatch.h>
#include <stdlib.h>

enum { NAME_MAX_SIZE = 253, LABEL_MAX_SIZE = 63 };

enum rule_kind { RULE_NAME, RULE_SUFFIX, RULE_BLOCK, RULE_UNIX };

struct port_range {
    uint16_t first, last;
};

struct rule {
    enum rule_kind kind;
    char *text; /* name, ".suffix" or pattern of a path */
    struct ip_block block;
    struct port_range *ports;
    size_t n_ports;
};

struct allow_list {
    size_t n;
    struct rule rules[];
};

/* ---- names ------------------------------------------------------------ */

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct slice without_root_dot(struct slice s)
{
    if (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

/* NULL, or what is wrong with a name. */
static const char *name_fault(struct slice s)
{
    size_t label = 0;

    if (s.n == 0 || s.n > NAME_MAX_SIZE)
        return s.n ? "a name of more than 253 characters" : "an empty name";
    for (size_t i = 0; i < s.n; i++) {
        char c = to_lower(s.p[i]);
        if (c == '.' ? label == 0 : label == LABEL_MAX_SIZE)
            return label ? "a label of more than 63 characters"
                         : "an empty label";
        if ((unsigned char)c >= 0x80)
            return "names are written in their ASCII form, xn--...";
        if (c != '.' && !is_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' &&
            c != '_')
            return "only letters, digits, '-', '_' and '.' may stand in a "
                   "name";
        label = c == '.' ? 0 : label + 1;
    }
    return label ? NULL : "an empty label";
}

/* Whether some resolver would take a name for a number, as in 127.1 or
 * 0x7f000001. */
static bool ends_in_number(struct slice s)
{
    size_t i = s.n, n;
    const char *label;

    while (i > 0 && s.p[i - 1] != '.')
        i--;
    label = s.p + i;
    n = s.n - i;
    if (n >= 2 && label[0] == '0' && to_lower(label[1]) == 'x') {
        for (i = 2; i < n; i++) {
            char c = to_lower(label[i]);
            if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
                return false;
        }
        return true;
    }
    for (i = 0; i < n && is_digit(label[i]); i++)
        ;
    return n > 0 && i == n;
}

static bool name_matches(const struct rule *r, struct slice name)
{
    size_t n = strlen(r->text);

    if (r->kind == RULE_SUFFIX) {
        if (name.n <= n)
            return false;
        name.p += name.n - n;
        name.n = n;
    }
    if (name.n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (to_lower(name.p[i]) != r->text[i])
            return false;
    }
    return true;
}

/* ---- loading ---------------------------------------------------------- */

static int ports_add(struct rule *r, struct slice text, struct err *err)
{
    const char *dash = text.n ? memchr(text.p, '-', text.n) : NULL;
    struct slice first = text, last = text;
    int low, high;

    if (dash) {
        first.n = (size_t)(dash - text.p);
        last = (struct slice){dash + 1, text.n - first.n - 1};
    }
    low = port_parse(first, false);
    high = port_parse(last, false);
    if (slice_is(text, "*")) {
        low = 1;
        high = UINT16_MAX;
    }
    if (low < 0 || high < 0)
        return err_set(err, "'" SLICE_FMT "' is no port, 1-65535",
                       SLICE_ARGS(text));
    if (low > high)
        return err_set(err, "the range '" SLICE_FMT "' is empty",
                       SLICE_ARGS(text));

    struct port_range *more =
        realloc(r->ports, (r->n_ports + 1) * sizeof(*more));
    if (!more)
        return err_set(err, "out of memory");
    r->ports = more;
    more[r->n_ports++] = (struct port_range){(uint16_t)low, (uint16_t)high};
    return 0;
}

/* `text` is what follows the host: ":PORTS". */
static int ports_load(struct rule *r, const char *text, struct err *err)
{
    if (*text != ':' || text[1] == '\0')
        return err_set(err, "a port must follow the host; HOST:* is every "
                            "port");
    if (strchr(text + 1, ':'))
        return err_set(err, "an IPv6 address stands in brackets: "
                            "[ADDRESS]:PORT");
    do {
        text++;
        size_t n = strcspn(text, ",");
        if (ports_add(r, (struct slice){text, n}, err))
            return -1;
        text += n;
    } while (*text == ',');
    return 0;
}

/* Take "/BITS" from *text, if it is there; *prefix counts from the start of
 * 16 bytes. */
static int prefix_take(const char **text, unsigned *prefix, unsigned below,
                       struct err *err)
{
    unsigned value = 0, digits = 0;

    *prefix = IP_BITS;
    if (**text != '/')
        return 0;
    for (++*text; is_digit(**text) && digits < 4; ++*text, digits++)
        value = value * 10 + (unsigned)(**text - '0');
    if (digits == 0 || digits > 3 || value > IP_BITS - below)
        return err_set(err, "a prefix length is a number, 0-%u",
                       IP_BITS - below);
    *prefix = below + value;
    return 0;
}

static int block_load(struct rule *r, struct slice host, const char *rest,
                      int family, struct err *err)
{
    r->kind = RULE_BLOCK;
    if (!ip_parse(&r->block.net, host, family))
        return err_set(err, "'" SLICE_FMT "' is no %s address",
                       SLICE_ARGS(host), family == AF_INET ? "IPv4" : "IPv6");
    if (prefix_take(&rest, &r->block.prefix, family == AF_INET ? IP_V4_BITS : 0,
                    err) ||
        ip_block_check(&r->block, err))
        return -1;
    return ports_load(r, rest, err);
}

static int name_load(struct rule *r, struct slice host, const char *rest,
                     struct err *err)
{
    r->kind = RULE_NAME;
    if (slice_is(host, "*"))
        return err_set(err, "'*' alone would allow every name; every address "
                            "is 0.0.0.0/0 and [::]/0");
    if (host.n >= 2 && host.p[0] == '*' && host.p[1] == '.') {
        r->kind = RULE_SUFFIX;
        host = (struct slice){host.p + 1, host.n - 1};
    }
    host = without_root_dot(host);

    bool suffix = r->kind == RULE_SUFFIX && host.n > 0;
    const char *fault =
        name_fault((struct slice){host.p + suffix, host.n - suffix});
    if (memchr(host.p, '*', host.n))
        fault = "'*' may only stand as the whole first label: *.example.com";
    if (fault)
        return err_set(err, "%s", fault);
    r->text = strndup(host.p, host.n);
    if (!r->text)
        return err_set(err, "out of memory");
    for (char *c = r->text; *c; c++)
        *c = to_lower(*c);
    return ports_load(r, rest, err);
}

static int unix_load(struct rule *r, const char *path, struct err *err)
{
    r->kind = RULE_UNIX;
    if (path[0] != '/' && path[0] != '@')
        return err_set(err, "unix: takes an absolute path, or @NAME");
    for (const char *c = path; *c; c++) {
        if (*c == '\\') {
            if (*++c == '\0')
                return err_set(err, "a lone '\\' at the end");
            continue;
        }
        if (*c != '[')
            continue;
        c += 1 + (c[1] == '!' || c[1] == '^');
        c += *c == ']'; /* a first ] stands for itself */
        c += strcspn(c, "]/");
        if (*c != ']')
            return err_set(err, "'[' without a ']'");
    }
    r->text = strdup(path);
    return r->text ? 0 : err_set(err, "out of memory");
}

static int rule_load(struct rule *r, const char *text, struct err *err)
{
    if (strncmp(text, "unix:", 5) == 0)
        return unix_load(r, text + 5, err);
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end)
            return err_set(err, "'[' without a ']'");
        return block_load(r, (struct slice){text + 1, (size_t)(end - text - 1)},
                          end + 1, AF_INET6, err);
    }
    struct slice host = {text, strcspn(text, ":/")};
    const char *rest = text + host.n;
    if (host.n == 0)
        return err_set(err, "an empty name");
    if (*rest == '/' || ends_in_number(without_root_dot(host)))
        return block_load(r, host, rest, AF_INET, err);
    return name_load(r, host, rest, err);
}

struct allow_list *allow_list_new(const struct string_list *patterns,
                                  struct err *err)
{
    size_t n = patterns ? patterns->n : 0;
    struct allow_list *a = calloc(1, sizeof(*a) + n * sizeof(a->rules[0]));

    if (!a) {
        err_set(err, "out of memory");
        return NULL;
    }
    while (a->n < n) {
        const char *text = patterns->v[a->n];
        if (rule_load(&a->rules[a->n++], text, err)) {
            err_prepend(err, "'%s'", text);
            allow_list_free(a);
            return NULL;
        }
    }
    return a;
}

void allow_list_free(struct allow_list *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        free(a->rules[i].text);
        free(a->rules[i].ports);
    }
    free(a);
}

bool allow_list_empty(const struct allow_list *a)
{
    return a->n == 0;
}

/* ---- judging ---------------------------------------------------------- */

static bool has_port(const struct rule *r, uint16_t port)
{
    for (size_t i = 0; i < r->n_ports; i++) {
        if (port >= r->ports[i].first && port <= r->ports[i].last)
            return true;
    }
    return false;
}

/* What a client called its target. */
struct asked {
    bool literal; /* then the address, else a sound name */
    struct ip ip;
    struct slice name;
};

static bool asked_parse(struct asked *t, const char *host)
{
    struct slice s = slice_of(host);

    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = (struct slice){s.p + 1, s.n - 2};
    t->name = without_root_dot(s);
    s.n = strcspn(s.p, "%]"); /* no zone */
    t->literal =
        ip_parse(&t->ip, t->name, AF_INET) || ip_parse(&t->ip, s, AF_INET6);
    return t->literal || (!name_fault(t->name) && !ends_in_number(t->name));
}

/* Whether `r` allows this address; `special` is the special block that it is
 * in. The name plays no part. */
static bool block_allows(const struct rule *r, const struct ip *a,
                         const struct ip_block *special)
{
    return r->kind == RULE_BLOCK && ip_block_has(&r->block, a) &&
           (!special || r->block.prefix >= special->prefix);
}

bool allow_name(const struct allow_list *a, const char *host, uint16_t port)
{
    struct asked t;

    if (!asked_parse(&t, host))
        return false;
    const struct ip_block *special = t.literal ? ip_special(&t.ip) : NULL;
    for (size_t i = 0; i < a->n; i++) {
        const struct rule *r = &a->rules[i];
        if (r->kind == RULE_UNIX || !has_port(r, port))
            continue;
        if (t.literal ? block_allows(r, &t.ip, special)
                      : r->kind == RULE_BLOCK || name_matches(r, t.name))
            return true;
    }
    return false;
}

static bool name_allows(const struct rule *r, const struct asked *t,
                        const struct ip *to, const struct ip_block *special)
{
    if ((r->kind != RULE_NAME && r->kind != RULE_SUFFIX) || t->literal ||
        !name_matches(r, t->name))
        return false;
    return !special ||
           (ip_is_loopback(to) && strcmp(r->text, "localhost") == 0);
}

bool allow_address(const struct allow_list *a, const char *host, uint16_t port,
                   const struct sockaddr *sa)
{
    struct asked t;
    struct ip to;

    if (!asked_parse(&t, host) || !ip_of(&to, sa))
        return false;
    const struct ip_block *special = ip_special(&to);
    for (size_t i = 0; i < a->n; i++) {
        const struct rule *r = &a->rules[i];
        if (has_port(r, port) &&
            (block_allows(r, &to, special) || name_allows(r, &t, &to, special)))
            return true;
    }
    return false;
}

/* Whether a path leads where it says: no "." or ".." in it. */
static bool path_is_plain(const char *path)
{
    if (path[0] != '/' && path[0] != '@')
        return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t n = strcspn(part, "/");
        if ((n == 1 && part[0] == '.') ||
            (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    return true;
}

bool allow_unix(const struct allow_list *a, const char *path)
{
    if (!path_is_plain(path))
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (a->rules[i].kind == RULE_UNIX &&
            fnmatch(a->rules[i].text, path, FNM_PATHNAME | FNM_PERIOD) == 0)
            return true;
    }
    return false;
}
