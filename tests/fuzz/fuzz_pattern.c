/* SPDX-License-Identifier: Apache-2.0 */
/* Two patterns and a request. Lines of the input: host pattern or nothing,
 * path pattern, another path pattern, host, path. */
#include "fuzz.h"

#include "../../gateway/base/url.h"
#include "../../gateway/serve/pattern.h"

enum { LINES = 5 };

static struct pattern *compile(const char *host, const char *path)
{
    struct err err = {""};
    struct pattern *p = pattern_new(*host ? host : NULL, path, &err);

    CHECK(p ? err.text[0] == '\0' : err.text[0] != '\0');
    return p;
}

/* No part of the path, however it is decoded, leads upward. */
static void check_sound(struct slice path)
{
    char *text = malloc(path.n + 2);
    CHECK(text);
    int n = url_decode(path, text, path.n + 1);

    CHECK(n > 0 && text[0] == '/');
    text[n] = '/';
    text[n + 1] = '\0';
    CHECK(!strstr(text, "/../") && !strstr(text, "/./"));
    free(text);
}

static void check_captures(const struct pattern *p, const struct captures *c)
{
    CHECK(c->n <= CAPTURES_MAX && c->used <= sizeof(c->text));
    for (size_t i = 0; i < c->n; i++) {
        struct slice value = c->v[i].value;
        CHECK(pattern_has(p, c->v[i].name));
        CHECK(lies_in(value, c->text, c->used));
        CHECK(value.n > 0 && value.p[0] != '/' && !memchr(value.p, 0, value.n));
        if (i + 1 < c->n) /* only the last may be a rest */
            CHECK(!memchr(value.p, '/', value.n));
    }
}

static bool matches(const struct pattern *p, struct slice host,
                    struct slice path)
{
    struct captures c;
    bool yes = pattern_match(p, host, path, &c);

    if (yes) {
        check_sound(path);
        check_captures(p, &c);
    }
    return yes;
}

static void check_order(const struct pattern *a, const struct pattern *b,
                        struct slice host, struct slice path)
{
    int d = pattern_compare(a, b), e = pattern_compare(b, a);

    CHECK((d > 0) == (e < 0) && (d < 0) == (e > 0));
    CHECK(pattern_compare(a, a) == 0);
    if (d == 0)
        CHECK(matches(a, host, path) == matches(b, host, path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line[LINES];
    struct slice rest = {(const char *)data, size};

    for (int i = 0; i < LINES; i++) {
        const char *end = rest.n ? memchr(rest.p, '\n', rest.n) : NULL;
        size_t n = end && i + 1 < LINES ? (size_t)(end - rest.p) : rest.n;
        line[i] = malloc(n + 1);
        CHECK(line[i]);
        if (n > 0)
            memcpy(line[i], rest.p, n);
        line[i][n] = '\0';
        n = min_size(n + 1, rest.n);
        rest = (struct slice){rest.p + n, rest.n - n};
    }

    /* Without their NUL, so that a byte too far is seen. */
    size_t host_n = strlen(line[3]), path_n = strlen(line[4]);
    struct slice host = {copy_of(line[3], host_n), host_n};
    struct slice path = {copy_of(line[4], path_n), path_n};
    struct pattern *a = compile(line[0], line[1]);
    struct pattern *b = compile(line[0], line[2]);
    if (a)
        matches(a, host, path);
    if (a && b)
        check_order(a, b, host, path);
    pattern_free(a);
    pattern_free(b);
    free((void *)(uintptr_t)host.p);
    free((void *)(uintptr_t)path.p);
    for (int i = 0; i < LINES; i++)
        free(line[i]);
    return 0;
}
