/* SPDX-License-Identifier: Apache-2.0 */
/* A template filled in from a request. The input's first byte chooses the
 * kind; its lines are template, query, host, client's address, path. */
#include "fuzz.h"

#include "../../gateway/serve/template.h"

enum { LINES = 5, CAP = 4096 };

static size_t count(const char *s, char c)
{
    size_t n = 0;

    for (; *s; s++)
        n += *s == c;
    return n;
}

/* What separates the parts of a target is the template's own. */
static void check_separators(const char *text, const char *out,
                             enum template_kind kind)
{
    static const char endpoint[] = ",/?@#& \n\"'\\", path[] = "/\n\r\x7f";
    const char *all = kind == TEMPLATE_ENDPOINT ? endpoint : path;

    for (size_t i = 0; all[i]; i++)
        CHECK(count(text, all[i]) == count(out, all[i]));
    if (kind == TEMPLATE_PATH && !strstr(text, ".."))
        CHECK(!strstr(out, "/../"));
}

static void check_fill(const char *text, const struct template_values *v,
                       enum template_kind kind, bool checked)
{
    static char out[CAP];
    const char *why = NULL;
    int n = template_fill(text, v, kind, out, sizeof(out), &why);

    if (n < 0) {
        CHECK(n == -1 && why && *why);
        return;
    }
    CHECK(strlen(out) == (size_t)n);
    if (checked)
        check_separators(text, out, kind);

    char *exact = malloc((size_t)n + 1);
    CHECK(exact);
    CHECK(template_fill(text, v, kind, exact, (size_t)n + 1, &why) == n);
    CHECK(memcmp(exact, out, (size_t)n + 1) == 0);
    if (n > 0)
        CHECK(template_fill(text, v, kind, exact, (size_t)n, &why) == -1);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size}, line[LINES];
    struct captures captures;
    struct err err = {""};

    if (size == 0)
        return 0;
    enum template_kind kind = data[0] & 1 ? TEMPLATE_PATH : TEMPLATE_ENDPOINT;
    rest = (struct slice){rest.p + 1, rest.n - 1};
    for (int i = 0; i < LINES; i++) {
        const char *end = rest.n ? memchr(rest.p, '\n', rest.n) : NULL;
        size_t n = end && i + 1 < LINES ? (size_t)(end - rest.p) : rest.n;
        line[i] = (struct slice){copy_of(rest.p, n), n};
        n = min_size(n + 1, rest.n);
        rest = (struct slice){rest.p + n, rest.n - n};
    }
    struct pattern *p = pattern_new(NULL, "/{a}/{rest*}", &err);
    CHECK(p);
    bool matched = pattern_match(p, line[2], line[4], &captures);
    const struct template_values v = {matched ? &captures : NULL, line[1],
                                      line[2], line[3]};
    char *text = calloc(line[0].n + 1, 1);
    CHECK(text);
    memcpy(text, line[0].p, line[0].n);

    int names = template_check(text, p, &err);
    CHECK(names >= 0 ? (size_t)names <= line[0].n / 6 : names == -1);
    CHECK((names < 0) == (err.text[0] != '\0'));
    check_fill(text, &v, kind, names >= 0);

    free(text);
    pattern_free(p);
    for (int i = 0; i < LINES; i++)
        free((void *)(uintptr_t)line[i].p);
    return 0;
}
