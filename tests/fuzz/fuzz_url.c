/* SPDX-License-Identifier: Apache-2.0 */
/* A URL, its endpoints, ports and escapes; the input is the text. */
#include "fuzz.h"

#include "../../gateway/base/url.h"

static void check_decode(struct slice s)
{
    char *room = malloc(s.n + 1);
    CHECK(room);
    int n = url_decode(s, room, s.n + 1);

    if (n >= 0) {
        CHECK((size_t)n <= s.n && strlen(room) == (size_t)n);
        char *exact = malloc((size_t)n + 1);
        CHECK(exact);
        CHECK(url_decode(s, exact, (size_t)n + 1) == n);
        CHECK(memcmp(exact, room, (size_t)n + 1) == 0);
        CHECK(url_decode(s, exact, (size_t)n) == -1);
        free(exact);
    }
    free(room);
}

static void check_port(struct slice s)
{
    char text[8] = "";
    int port = port_parse(s, true);

    CHECK(port_parse(s, false) == (port == 0 ? -1 : port));
    if (port >= 0) {
        snprintf(text, sizeof(text), "%d", port);
        CHECK(slice_is(s, text)); /* one way only to write each */
    }
}

static void check_endpoints(struct slice list)
{
    struct endpoint e;
    size_t n = list.n;

    for (struct slice before = list; endpoint_next(&list, &e) == 1;
         before = list) {
        CHECK(list.n < before.n && list.p + list.n == before.p + before.n);
        CHECK(e.host.n > 0 && lies_in(e.host, before.p, before.n));
        CHECK(lies_in(e.port, before.p, before.n));
        check_port(e.port);
        CHECK(n-- > 0);
    }
}

/* The parts and what separates them make up the text again. */
static void check_parts(const struct url *u, struct slice text)
{
    size_t at = u->scheme.n + 1;

    CHECK(u->scheme.p == text.p && text.p[u->scheme.n] == ':');
    if (u->authority.p) {
        CHECK(memcmp(text.p + at, "//", 2) == 0);
        CHECK(u->authority.p == text.p + at + 2);
        at += 2 + u->authority.n;
    }
    CHECK(u->path.p == text.p + at);
    at += u->path.n;
    CHECK(at == text.n || text.p[at] == '?');
    CHECK(u->n_params <= URL_PARAMS_MAX);
    for (size_t i = 0; i < u->n_params; i++) {
        CHECK(u->params[i].name.n > 0 && u->params[i].name.p > text.p + at);
        CHECK(lies_in(u->params[i].name, text.p, text.n));
        CHECK(!u->params[i].value.p ||
              lies_in(u->params[i].value, text.p, text.n));
        check_decode(u->params[i].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(data, size);
    struct slice text = {copy, size};
    const char *why;
    struct url u;

    int got = url_parse(&u, text, &why);
    CHECK(got == 0 ? !why : got == -1 && why);
    if (got == 0) {
        check_parts(&u, text);
        check_endpoints(u.authority);
    }
    check_endpoints(text);
    check_port(text);
    check_decode(text);
    free(copy);
    return 0;
}
