/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, endpoints, ports and escapes. */
#include "unit.h"

#include <stdio.h>

#include "../../gateway/base/url.h"

static const struct {
    const char *text, *scheme, *authority, *path; /* authority may be NULL */
    const char *params; /* name=value; or name; each */
} good[] = {
    {"tcp://a.example:22,[::1]:22?mode=text", "tcp", "a.example:22,[::1]:22",
     "", "mode=text;"},
    {"echo:", "echo", NULL, "", ""},
    {"unix:/run/app.sock?mode=line", "unix", NULL, "/run/app.sock",
     "mode=line;"},
    {"fd:3", "fd", NULL, "3", ""},
    {"ws://*:80/", "ws", "*:80", "/", ""},
    {"mqtt+x-1.0://h", "mqtt+x-1.0", "h", "", ""},
    {"az09:", "az09", NULL, "", ""},
    {"za:", "za", NULL, "", ""},
    {"x:///", "x", "", "/", ""},
    {"x://", "x", "", "", ""},
    {"x:/", "x", NULL, "/", ""},
    {"x:a/b?", "x", NULL, "a/b", ""},
    {"x:a//b", "x", NULL, "a//b", ""},
    {"tcp://h/p?a=1&b=&c&&d=x=y?z/", "tcp", "h", "/p", "a=1;b=;c;d=x=y?z/;"},
    {"tcp://?from=address", "tcp", "", "", "from=address;"},
    {"tcp://{query.address}", "tcp", "{query.address}", "", ""},
    {"tcp://{a?b/c}:1/{d?}/e?f={g&h=i}&j=1", "tcp", "{a?b/c}:1", "/{d?}/e",
     "f={g&h=i};j=1;"},
    {"mqtt://h/a/{{b}}/{c}}}", "mqtt", "h", "/a/{{b}}/{c}}}", ""},
    {"x:\xc3\xa9%20%zz", "x", NULL, "\xc3\xa9%20%zz", ""},
};

static void takes_urls_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(good); i++) {
        size_t n = strlen(good[i].text), used = 0;
        char *text = copy_of(good[i].text, n), params[200];
        const char *why;
        struct url u;

        print_message("%s\n", good[i].text);
        assert_int_equal(url_parse(&u, (struct slice){text, n}, &why), 0);
        assert_null(why);
        assert_slice(u.scheme, good[i].scheme);
        if (good[i].authority)
            assert_slice(u.authority, good[i].authority);
        else
            assert_null(u.authority.p);
        assert_slice(u.path, good[i].path);
        params[0] = '\0';
        for (size_t k = 0; k < u.n_params; k++)
            used += (size_t)snprintf(
                params + used, sizeof(params) - used,
                SLICE_FMT "%s" SLICE_FMT ";", SLICE_ARGS(u.params[k].name),
                u.params[k].value.p ? "=" : "", SLICE_ARGS(u.params[k].value));
        assert_string_equal(params, good[i].params);
        free(text);
    }
}

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "no scheme"},
    {"host", "no scheme"},
    {"host/path:x", "no scheme"},
    {"//host", "no scheme"},
    {":80", "no scheme"},
    {"1x:", "no scheme"},
    {"+x:", "no scheme"},
    {"TCP://h", "no scheme"},
    {"tC:", "no scheme"},
    {"x_y:", "no scheme"},
    {"127.0.0.1:80", "no scheme"},
    {"x:a b", "space"},
    {"x:\t", "space"},
    {"x:a\x7f", "control"},
    {"x:a\n", "control"},
    {"x:a?subscribe=b/#", "'#' has no meaning here; write %23"},
    {"x:{a#b}", "#"},
    {"x:{", "braces"},
    {"x:}", "braces"},
    {"x:{}", "braces"},
    {"x:{a", "braces"},
    {"x:{a{b}}", "braces"},
    {"x:a}b", "braces"},
    {"x:{{{a}}", "braces"},
    {"x://{a/b?c", "braces"},
    {"x:?=1", "without a name"},
    {"x:?a=1&=", "without a name"},
};

static void refuses_bad_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(bad); i++) {
        size_t n = strlen(bad[i].text);
        char *text = copy_of(bad[i].text, n);
        const char *why = NULL;
        struct url u;

        print_message("%s\n", bad[i].text);
        assert_int_equal(url_parse(&u, (struct slice){text, n}, &why), -1);
        assert_non_null(strstr(why, bad[i].why));
        free(text);
    }

    const char *why;
    struct url u;
    assert_int_equal(url_parse(&u, SLICE("x:a\0b"), &why), -1);
}

static void bounds_the_parameters(void **state)
{
    char text[8 + 2 * (URL_PARAMS_MAX + 1)] = "x:?";
    const char *why;
    struct url u;
    (void)state;

    for (int i = 0; i < URL_PARAMS_MAX; i++)
        strncat(text, "a&", 3);
    assert_int_equal(url_parse(&u, slice_of(text), &why), 0);
    assert_int_equal(u.n_params, URL_PARAMS_MAX);
    strncat(text, "b", 2);
    assert_int_equal(url_parse(&u, slice_of(text), &why), -1);
    assert_non_null(strstr(why, "too many"));
}

static const struct {
    const char *list, *want; /* host|port of each; "!" for malformed */
} lists[] = {
    {"", ""},
    {"a", "a| "},
    {"a:1", "a|1 "},
    {"a,b", "a| b| "},
    {"a.example:22,[::1]:22,10.0.0.1", "a.example|22 ::1|22 10.0.0.1| "},
    {"[::1]", "::1| "},
    {"[fe80::1%25eth0]:8", "fe80::1%25eth0|8 "},
    {"[::ffff:1.2.3.4]:8", "::ffff:1.2.3.4|8 "},
    {"*:80", "*|80 "},
    {"abyzABYZ0189", "abyzABYZ0189| "},
    {"my_host-1:65535", "my_host-1|65535 "},
    {"{query.address}", "{query.address}| "},
    {"{query.host}:{query.port}", "{query.host}|{query.port} "},
    {"{path.db}.internal:5432", "{path.db}.internal|5432 "},
    {"[{client.ip}]:1", "{client.ip}|1 "},
    {"{a,b}:1,c", "{a,b}|1 c| "},
    {"{a:b}:1", "{a:b}|1 "},
    {",", "!"},
    {"a,", "!"},
    {",a", "!"},
    {"a,,b", "a| !"},
    {":80", "!"},
    {"a:", "!"},
    {"a:x", "!"},
    {"a:1x", "!"},
    {"a:-1", "!"},
    {"a:{p}1", "!"},
    {"a:{{p}}", "!"},
    {"a:{{", "!"},
    {"::1", "!"},
    {"a:1:2", "!"},
    {"[]:1", "!"},
    {"[::1", "!"},
    {"[::1]x", "!"},
    {"[::1]]", "!"},
    {"[[::1]]", "!"},
    {"[::1]:", "!"},
    {"[a/b]", "!"},
    {"user@host:1", "!"},
    {"a b", "!"},
    {"a/b", "!"},
    {"{{a}}", "!"},
    {"{a", "!"},
    {"a}", "!"},
    {"h\xc3\xa9", "!"},
};

static void walks_lists_of_endpoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(lists); i++) {
        size_t n = strlen(lists[i].list), used = 0;
        char *text = copy_of(lists[i].list, n), got[200] = "";
        struct slice list = {text, n};
        struct endpoint e;
        int more;

        print_message("%s\n", lists[i].list);
        while ((more = endpoint_next(&list, &e)) == 1)
            used += (size_t)snprintf(got + used, sizeof(got) - used,
                                     SLICE_FMT "|" SLICE_FMT " ",
                                     SLICE_ARGS(e.host), SLICE_ARGS(e.port));
        if (more < 0)
            strncat(got, "!", 2);
        assert_string_equal(got, lists[i].want);
        free(text);
    }

    struct slice list = SLICE("a\0b");
    struct endpoint e;
    assert_int_equal(endpoint_next(&list, &e), -1);
}

static void reads_every_port(void **state)
{
    char text[12];
    (void)state;

    for (int port = 1; port <= 99999; port++) {
        snprintf(text, sizeof(text), "%d", port);
        assert_int_equal(port_parse(slice_of(text), port % 2),
                         port <= 65535 ? port : -1);
    }
    assert_int_equal(port_parse(SLICE("0"), true), 0);
    assert_int_equal(port_parse(SLICE("0"), false), -1);

    static const char *const wrong[] = {
        "",     "+1",  "-1",   "1 ", " 1",    "00",     "080",
        "0x10", "1.0", "http", "1a", "65536", "100000", "4294967297"};
    for (size_t i = 0; i < LEN(wrong); i++)
        assert_int_equal(port_parse(slice_of(wrong[i]), true), -1);
    assert_int_equal(port_parse(SLICE("1\0"), true), -1);
}

static void decodes_escapes(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: malformed */
    } texts[] = {
        {"", ""},
        {"abc", "abc"},
        {"a+b", "a+b"},
        {"%41%6a%4A", "AjJ"},
        {"%25%2f%2F", "%//"},
        {"%ff\xff", "\xff\xff"},
        {"%00", NULL},
        {"a%0", NULL},
        {"a%", NULL},
        {"%g0", NULL},
        {"%0g", NULL},
        {"%%41", NULL},
        {"% 1", NULL},
        {"%+1", NULL},
    };
    (void)state;

    for (size_t i = 0; i < LEN(texts); i++) {
        size_t n = strlen(texts[i].in);
        char *in = copy_of(texts[i].in, n), room[8];
        int got = url_decode((struct slice){in, n}, room, sizeof(room));

        print_message("%s\n", texts[i].in);
        assert_int_equal(got, texts[i].out ? (int)strlen(texts[i].out) : -1);
        if (texts[i].out)
            assert_string_equal(room, texts[i].out);
        free(in);
    }
    for (unsigned c = 1; c < 256; c++) {
        char in[4], out[2];
        snprintf(in, sizeof(in), "%%%02x", c);
        assert_int_equal(url_decode(slice_of(in), out, sizeof(out)), 1);
        assert_int_equal((unsigned char)out[0], c);
    }
    char room[4];
    assert_int_equal(url_decode(SLICE("a\0b"), room, sizeof(room)), -1);
}

static void decodes_into_what_room_there_is(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 6; cap++) {
        char *out = copy_of("......", cap);
        assert_int_equal(url_decode(SLICE("a%62c"), out, cap),
                         cap > 3 ? 3 : -1);
        free(out);
    }
    char one[1];
    assert_int_equal(url_decode(SLICE(""), one, 1), 0);
    assert_int_equal(url_decode(SLICE(""), one, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_urls_apart),
        cmocka_unit_test(refuses_bad_urls),
        cmocka_unit_test(bounds_the_parameters),
        cmocka_unit_test(walks_lists_of_endpoints),
        cmocka_unit_test(reads_every_port),
        cmocka_unit_test(decodes_escapes),
        cmocka_unit_test(decodes_into_what_room_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
