/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - the shapes of hosts, paths, targets and origins. */
#include "rules.h"

#include "../gateway/base/url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/un.h>

enum { SHOWN_MAX = 64 };

static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static void to_lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* Whether text[0..n) is letters, digits and some of `others` alone. */
static bool made_of(const char *text, size_t n, const char *others)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i] >= 'A' && text[i] <= 'Z' ? 'a' : text[i];
        if (c == '\0' || (!strchr(lower_digits, c) && !strchr(others, c)))
            return false;
    }
    return n > 0;
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

int rule_host(struct loader *l, char **text, struct err *err)
{
    const char *name = *text;

    (void)l;
    if (strcmp(name, "*") == 0) {
        *text = NULL;
        return 0;
    }
    to_lower(*text);
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    size_t n = strlen(name);
    bool literal = n > 2 && name[0] == '[' && name[n - 1] == ']' &&
                   made_of(name + 1, n - 2, ":.");
    if (!literal && !made_of(name, n, ".-_"))
        return err_set(err,
                       "'%.64s' is no host name; write app.example.com or "
                       "*.example.com, without a port",
                       *text);
    return 0;
}

int rule_path(struct loader *l, char **text, struct err *err)
{
    (void)l;
    if ((*text)[0] != '/')
        return err_set(err, "'%.64s' does not begin with '/'", *text);
    return 0;
}

int rule_socket_path(struct loader *l, struct slice path, char **out,
                     struct err *err)
{
    struct sockaddr_un un;

    if (path.n == 0)
        return err_set(err, "needs a path: unix:/run/name.sock");
    *out = loader_file_name(l, path);
    if (!*out)
        return err_set(err, "out of memory");
    if (strlen(*out) >= sizeof(un.sun_path))
        return err_set(err, "the path of a socket has at most %zu bytes",
                       sizeof(un.sun_path) - 1);
    return 0;
}

/* "localhost:5900" is a common slip: it reads as the scheme "localhost". */
static bool is_host_port(struct slice text)
{
    const char *colon = memrchr(text.p, ':', text.n);

    if (!colon)
        return false;
    size_t n = (size_t)(colon - text.p);
    struct slice port = {colon + 1, text.n - n - 1};
    return all_digits(port) && port_parse(port, false) > 0 &&
           made_of(text.p, n, ".-_:[]");
}

int rule_target(struct loader *l, char **text, struct err *err)
{
    struct slice whole = slice_of(*text);
    const char *why;
    struct url u;

    if (is_host_port(whole))
        return err_set(err,
                       "'%.64s' has no scheme; did you mean 'tcp://%.64s'?",
                       *text, *text);
    if (url_parse(&u, whole, &why))
        return err_set(err, "%s", why); /* it may hold a password: not shown */
    if (!slice_is(u.scheme, "unix") || u.authority.p || u.path.n == 0 ||
        strchr("/{@", u.path.p[0]) || !l->folder)
        return 0;
    *text = arena_printf(l->arena, "unix:%s/%s", l->folder, u.path.p);
    return *text ? 0 : err_set(err, "out of memory");
}

int rule_subprotocol(struct loader *l, char **text, struct err *err)
{
    (void)l;
    if (!made_of(*text, strlen(*text), "!#$%&'*+-.^_`|~"))
        return err_set(err,
                       "'%.64s' is not a token of letters, digits and "
                       "punctuation without separators",
                       *text);
    return 0;
}

int rule_origin(struct loader *l, char **text, struct err *err)
{
    const char *host = strstr(*text, "://");

    (void)l;
    if (strcmp(*text, "null") == 0)
        return 0;
    to_lower(*text);
    if (!host || !made_of(*text, (size_t)(host - *text), "+-."))
        return err_set(err,
                       "'%.64s' is no origin; write https://HOST, as browsers "
                       "send it",
                       *text);
    host += 3;
    if (strchr(host, '/'))
        return err_set(err, "'%.64s': an origin ends before its path", *text);
    if (!made_of(host, strlen(host), ".-_:[]*"))
        return err_set(err, "'%.64s': the host is not valid", *text);
    return 0;
}

int rule_allow_target(struct loader *l, char **text, struct err *err)
{
    const char *colon = strrchr(*text, ':');

    (void)l;
    if (strncmp(*text, "unix:", 5) == 0 && (*text)[5] == '/')
        return 0;
    if (!colon || colon == *text || strspn(colon + 1, "0123456789,-*") == 0 ||
        colon[1 + strspn(colon + 1, "0123456789,-*")] != '\0')
        return err_set(err,
                       "'%.64s': write HOST:PORT, *.SUFFIX:PORT, CIDR:PORT "
                       "(* is every port) or unix:/PATTERN",
                       *text);
    return 0;
}

static bool is_loopback(struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;

    if (host.n == 0 || host.n >= sizeof(text))
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int rule_admin(struct loader *l, char **text, struct err *err)
{
    struct endpoint e = {0};
    char *path = NULL;

    if (strncmp(*text, "unix:", 5) == 0) {
        if (rule_socket_path(l, slice_of(*text + 5), &path, err))
            return -1;
        *text = arena_printf(l->arena, "unix:%s", path);
        return *text ? 0 : err_set(err, "out of memory");
    }

    struct slice list = slice_of(*text);
    if (endpoint_next(&list, &e) != 1 || list.n > 0 ||
        port_parse(e.port, true) < 0)
        return err_set(err, "'%.64s': write unix:PATH or 127.0.0.1:PORT",
                       *text);
    if (!is_loopback(e.host))
        return err_set(err,
                       "'%.64s' is not on the loopback; the admin listener "
                       "has no password: write unix:PATH or 127.0.0.1:PORT",
                       *text);
    return 0;
}
