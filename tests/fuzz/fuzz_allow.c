/* SPDX-License-Identifier: Apache-2.0 */
/* An allow-list and a target. Lines of the input: host, path, address, then
 * patterns. */
#include "fuzz.h"

#include "../../gateway/serve/allow.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { LINES = 8, FIRST_PATTERN = 3 };

static bool address_of(struct sockaddr_storage *ss, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memset(ss, 0, sizeof(*ss));
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        memcpy(ss, &in, sizeof(in));
    else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        memcpy(ss, &in6, sizeof(in6));
    return ss->ss_family != 0;
}

static bool allows(const struct allow_list *a, const char *host, uint16_t port,
                   const char *address)
{
    struct sockaddr_storage ss;

    return address_of(&ss, address) &&
           allow_address(a, host, port, (const struct sockaddr *)&ss);
}

static bool any_has(const struct string_list *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->n; i++) {
        if (strcasestr(patterns->v[i], text))
            return true;
    }
    return false;
}

/* Nothing but a pattern that spells them leads to these. */
static void check_special(const struct allow_list *a,
                          const struct string_list *patterns, const char *host,
                          uint16_t port)
{
    static const char *const v6[] = {
        "::1", "::", "fe80::1", "ff02::1", "fd00:ec2::254", "64:ff9b::7f00:1"};

    if (any_has(patterns, "["))
        return;
    for (size_t i = 0; i < LEN(v6); i++)
        CHECK(!allows(a, host, port, v6[i]) || any_has(patterns, "localhost"));
    if (!any_has(patterns, "127") && !any_has(patterns, "localhost")) {
        CHECK(!allows(a, host, port, "127.0.0.1"));
        CHECK(!allows(a, host, port, "::ffff:127.0.0.1"));
        CHECK(!allow_name(a, "127.0.0.1", port));
    }
    if (!any_has(patterns, "169")) {
        CHECK(!allows(a, host, port, "169.254.169.254"));
        CHECK(!allow_name(a, "169.254.169.254", port));
    }
}

static void check_list(const struct allow_list *a,
                       const struct string_list *patterns, char *const *line)
{
    static const uint16_t ports[] = {1, 22, 5432, 65535};
    const char *host = line[0], *path = line[1], *address = line[2];
    struct sockaddr_storage ss;

    CHECK(allow_list_empty(a) == (patterns->n == 0));
    for (size_t i = 0; i < LEN(ports); i++) {
        /* A name that may lead there may be asked for; a literal address
         * (all digits, or with a colon) stands for itself alone. */
        size_t n = strcspn(host, ":[");
        bool name = host[n] == '\0' && n > 0 && strspn(host, "0123456789.") < n;
        if (name && allows(a, host, ports[i], address))
            CHECK(allow_name(a, host, ports[i]));
        if (address_of(&ss, address)) /* and then both agree */
            CHECK(allow_name(a, address, ports[i]) ==
                  allows(a, address, ports[i], address));
        check_special(a, patterns, host, ports[i]);
    }
    CHECK(!allow_name(a, host, 0));
    if (allow_unix(a, path)) {
        CHECK(path[0] == '/' || path[0] == '@');
        CHECK(!strstr(path, "/../") && !strstr(path, "/./"));
        CHECK(any_has(patterns, "unix:"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line[LINES];
    struct slice rest = {(const char *)data, size};
    struct err err = {""};
    size_t n_lines = 0;

    while (n_lines < FIRST_PATTERN || (n_lines < LINES && rest.n > 0)) {
        const char *end = rest.n ? memchr(rest.p, '\n', rest.n) : NULL;
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        char *text = malloc(n + 1);
        CHECK(text);
        if (n > 0)
            memcpy(text, rest.p, n);
        text[n] = '\0';
        line[n_lines++] = text;
        n = min_size(n + 1, rest.n);
        rest = (struct slice){rest.p + n, rest.n - n};
    }
    struct string_list patterns = {line + FIRST_PATTERN,
                                   n_lines - FIRST_PATTERN};
    struct allow_list *a = allow_list_new(&patterns, &err);
    CHECK(a ? err.text[0] == '\0' : err.text[0] == '\'');
    if (a)
        check_list(a, &patterns, line);
    allow_list_free(a);
    for (size_t i = 0; i < n_lines; i++)
        free(line[i]);
    return 0;
}
