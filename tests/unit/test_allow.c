/* SPDX-License-Identifier: Apache-2.0 */
/* test_allow.c - what --allow-target lets through, and what it never does. */
#include "../../gateway/serve/allow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A list of one to eight patterns, separated by spaces. */
static struct allow_list *list_of(const char *patterns, struct err *err)
{
    char text[512], *words[8], *state = NULL;
    struct string_list list = {words, 0};

    snprintf(text, sizeof(text), "%s", patterns);
    for (char *w = strtok_r(text, " ", &state); w;
         w = strtok_r(NULL, " ", &state)) {
        assert_true(list.n < LEN(words));
        words[list.n++] = w;
    }
    return allow_list_new(&list, err);
}

static struct allow_list *loaded(const char *patterns)
{
    struct err err = {""};
    struct allow_list *a = list_of(patterns, &err);

    if (!a)
        fail_msg("%s", err.text);
    return a;
}

static void socket_address(struct sockaddr_storage *ss, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memset(ss, 0, sizeof(*ss));
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(ss, &in, sizeof(in));
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    memcpy(ss, &in6, sizeof(in6));
}

static void test_names(void **state)
{
    static const struct {
        const char *patterns, *host;
        uint16_t port;
        bool want;
    } cases[] = {
        {"", "a", 1, false},
        {"db.internal:5432", "db.internal", 5432, true},
        {"db.internal:5432", "DB.Internal.", 5432, true},
        {"DB.Internal.:5432", "db.internal", 5432, true},
        {"db.internal:5432", "db.internal..", 5432, false},
        {"db.internal:5432", "db.internal", 5433, false},
        {"db.internal:5432", "db.interna", 5432, false},
        {"db.internal:5432", "a.db.internal", 5432, false},
        {"db.internal:5432", "", 5432, false},
        {"*.db.internal:1", "a.db.internal", 1, true},
        {"*.db.internal:1", "B.A.DB.internal.", 1, true},
        {"*.db.internal:1", "db.internal", 1, false},
        {"*.db.internal:1", ".db.internal", 1, false},
        {"*.db.internal:1", "a..db.internal", 1, false},
        {"*.db.internal:1", "xdb.internal", 1, false},
        {"*.db.internal:1", "a/b.db.internal", 1, false},
        {"*.db.internal:1", "a b.db.internal", 1, false},
        {"a:1,3-5,9", "a", 1, true},
        {"a:1,3-5,9", "a", 2, false},
        {"a:1,3-5,9", "a", 3, true},
        {"a:1,3-5,9", "a", 5, true},
        {"a:1,3-5,9", "a", 6, false},
        {"a:1,3-5,9", "a", 9, true},
        {"a:*", "a", 1, true},
        {"a:*", "a", 65535, true},
        {"a:*", "a", 0, false},
        {"b:1 a:1", "a", 1, true},

        /* An address pattern may allow what a name leads to. */
        {"10.0.0.0/8:22", "any.example", 22, true},
        {"10.0.0.0/8:22", "any.example", 23, false},
        {"[fd00::]/8:22", "any.example", 22, true},
        {"unix:/run/x", "any.example", 22, false},
        {"10.0.0.0/8:22", "not a name", 22, false},

        /* Literal addresses are judged in full. */
        {"10.0.0.0/8:22", "10.1.2.3", 22, true},
        {"10.0.0.0/8:22", "10.1.2.3.", 22, true},
        {"10.0.0.0/8:22", "11.1.2.3", 22, false},
        {"10.0.0.0/8:22", "10.1.2.3", 23, false},
        {"10.0.0.0/8:22", "::ffff:10.1.2.3", 22, true},
        {"[::ffff:10.0.0.0]/104:22", "10.1.2.3", 22, true},
        {"10.1.2.3:22", "10.1.2.3", 22, true},
        {"10.1.2.3:22", "10.1.2.4", 22, false},
        {"[fd00::]/8:22", "fd12::1", 22, true},
        {"[fd00::]/8:22", "[fd12::1]", 22, true},
        {"[fd00::]/8:22", "fe12::1", 22, false},
        {"[fd00::1]:22", "fd00:0::0:1", 22, true},
        {"0.0.0.0/0:22", "8.8.8.8", 22, true},
        {"0.0.0.0/0:22", "2001:db8::1", 22, false},
        {"[::]/0:22", "2001:db8::1", 22, true},
        {"[::]/0:22", "8.8.8.8", 22, false},
        {"[::]/0:22", "::ffff:8.8.8.8", 22, false},
        {"10.0.0.0/31:1", "10.0.0.1", 1, true},
        {"10.0.0.0/31:1", "10.0.0.2", 1, false},
        {"[fd00::8000:0:0:0]/65:1", "fd00::8000:0:0:1", 1, true},
        {"[fd00::8000:0:0:0]/65:1", "fd00::7000:0:0:1", 1, false},

        /* Special ones need a pattern no wider than their block. */
        {"0.0.0.0/0:22", "127.0.0.1", 22, false},
        {"0.0.0.0/0:22", "169.254.169.254", 22, false},
        {"0.0.0.0/0:22", "0.0.0.0", 22, false},
        {"0.0.0.0/0:22", "0.1.2.3", 22, false},
        {"0.0.0.0/0:22", "224.0.0.1", 22, false},
        {"0.0.0.0/0:22", "239.255.255.255", 22, false},
        {"0.0.0.0/0:22", "255.255.255.255", 22, false},
        {"0.0.0.0/0:22", "100.100.100.200", 22, false},
        {"0.0.0.0/0:22", "::ffff:127.0.0.1", 22, false},
        {"0.0.0.0/0:22 [::]/0:22", "::ffff:169.254.169.254", 22, false},
        {"[::]/0:22", "::1", 22, false},
        {"[::]/0:22", "::", 22, false},
        {"[::]/0:22", "::127.0.0.1", 22, false},
        {"[::]/0:22", "fe80::1", 22, false},
        {"[::]/0:22", "fe80::1%eth0", 22, false},
        {"[::]/0:22", "[fe80::1%25eth0]", 22, false},
        {"[::]/0:22", "ff02::1", 22, false},
        {"[::]/0:22", "64:ff9b::169.254.169.254", 22, false},
        {"[::]/0:22", "64:ff9b::127.0.0.1", 22, false},
        {"[::]/0:22", "64:ff9b::8.8.8.8", 22, true},
        {"[fd00::]/8:22", "fd00:ec2::254", 22, false},
        {"[fd00::]/8:22", "fd20:ce::254", 22, false},
        {"126.0.0.0/7:22", "127.0.0.1", 22, false},
        {"127.0.0.0/8:22", "127.0.0.1", 22, true},
        {"127.0.0.1:22", "127.0.0.1", 22, true},
        {"127.0.0.1:22", "127.0.0.2", 22, false},
        {"127.0.0.1:22", "::ffff:127.0.0.1", 22, true},
        {"127.0.0.1:22", "::1", 22, false},
        {"[::1]:22", "::1", 22, true},
        {"[fe80::]/10:22", "fe80::1", 22, true},
        {"[fe80::]/10:22", "fe80::1%eth0", 22, true},
        {"[ff02::1]:22", "ff02::1", 22, true},
        {"[fd00:ec2::254]:80", "fd00:ec2::254", 80, true},
        {"169.254.169.254:80", "169.254.169.254", 80, true},
        {"0.0.0.0:22", "0.0.0.0", 22, true},
        {"localhost:22", "127.0.0.1", 22, false},
        {"*.example:22", "127.0.0.1", 22, false},

        /* Numbers that some resolvers take for addresses. */
        {"0.0.0.0/0:22", "127.1", 22, false},
        {"0.0.0.0/0:22", "2130706433", 22, false},
        {"0.0.0.0/0:22", "0x7f000001", 22, false},
        {"0.0.0.0/0:22", "0x7F.1", 22, false},
        {"0.0.0.0/0:22", "017700000001", 22, false},
        {"0.0.0.0/0:22", "127.0.0.0x1", 22, false},
        {"0.0.0.0/0:22", "1.2.3.4.5", 22, false},
        {"0.0.0.0/0:22", "256.1.1.1", 22, false},
        {"0.0.0.0/0:22", "127.0.0.1..", 22, false},
        {"0.0.0.0/0:22", "0xg", 22, true}, /* a name like another */
        {"0.0.0.0/0:22", "1.2.3.4.example", 22, true},
        {"0.0.0.0/0:22", "127.0.0.1%lo", 22, false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct allow_list *a = loaded(cases[i].patterns);
        print_message("%s: %s %u\n", cases[i].patterns, cases[i].host,
                      cases[i].port);
        assert_int_equal(allow_name(a, cases[i].host, cases[i].port),
                         cases[i].want);
        assert_int_equal(allow_list_empty(a), cases[i].patterns[0] == '\0');
        allow_list_free(a);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *patterns, *host, *to;
        bool want;
    } cases[] = {
        {"", "a", "10.0.0.1", false},
        {"db.internal:22", "db.internal", "10.0.0.1", true},
        {"db.internal:22", "DB.internal.", "8.8.8.8", true},
        {"db.internal:22", "db.internal", "fd00::1", true},
        {"db.internal:23", "db.internal", "10.0.0.1", false},
        {"db.internal:22", "other", "10.0.0.1", false},
        {"10.0.0.0/8:22", "other", "10.0.0.1", true},
        {"10.0.0.0/8:22", "other", "::ffff:10.0.0.1", true},
        {"10.0.0.0/8:22", "other", "11.0.0.1", false},
        {"[fd00::]/8:22", "other", "fd00::1", true},
        {"[fd00::]/8:22", "other", "10.0.0.1", false},
        {"unix:/run/x", "other", "10.0.0.1", false},

        /* A name that someone points at what is not theirs. */
        {"*.example:22", "x.example", "127.0.0.1", false},
        {"*.example:22", "x.example", "::ffff:127.0.0.1", false},
        {"*.example:22", "x.example", "::1", false},
        {"*.example:22", "x.example", "169.254.169.254", false},
        {"*.example:22", "x.example", "::ffff:169.254.169.254", false},
        {"*.example:22", "x.example", "64:ff9b::a9fe:a9fe", false},
        {"*.example:22", "x.example", "64:ff9b::808:808", true},
        {"*.example:22", "x.example", "fe80::1", false},
        {"*.example:22", "x.example", "fd00:ec2::254", false},
        {"*.example:22", "x.example", "0.0.0.0", false},
        {"*.example:22", "x.example", "::", false},
        {"*.example:22", "x.example", "224.0.0.1", false},
        {"*.example:22", "x.example", "ff02::1", false},
        {"*.example:22 127.0.0.0/8:22", "x.example", "127.0.0.1", true},
        {"*.example:22 127.0.0.0/8:23", "x.example", "127.0.0.1", false},
        {"*.example:22 0.0.0.0/0:22", "x.example", "127.0.0.1", false},
        {"*.example:22 127.0.0.1:22", "x.example", "127.0.0.2", false},

        {"localhost:22", "localhost", "127.0.0.1", true},
        {"localhost:22", "LOCALHOST.", "::1", true},
        {"localhost:22", "localhost", "127.9.9.9", true},
        {"localhost:22", "localhost", "169.254.1.1", false},
        {"localhost:22", "localhost", "::", false},
        {"localhost:22", "other", "127.0.0.1", false},
        {"*.localhost:22", "x.localhost", "127.0.0.1", false},

        /* A literal is never a name. */
        {"localhost:22", "127.0.0.1", "127.0.0.1", false},
        {"10.0.0.1:22", "10.0.0.1", "10.0.0.1", true},
        {"10.0.0.0/8:22", "127.1", "10.0.0.1", false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct allow_list *a = loaded(cases[i].patterns);
        struct sockaddr_storage ss;
        socket_address(&ss, cases[i].to);
        print_message("%s: %s at %s\n", cases[i].patterns, cases[i].host,
                      cases[i].to);
        assert_int_equal(
            allow_address(a, cases[i].host, 22, (const struct sockaddr *)&ss),
            cases[i].want);
        allow_list_free(a);
    }

    struct allow_list *a = loaded("a:* 0.0.0.0/0:* [::]/0:*");
    struct sockaddr_storage ss = {.ss_family = AF_UNIX};
    assert_false(allow_address(a, "a", 1, (const struct sockaddr *)&ss));
    allow_list_free(a);
}

static void test_unix(void **state)
{
    static const struct {
        const char *patterns, *path;
        bool want;
    } cases[] = {
        {"", "/run/x", false},
        {"unix:/run/app.sock", "/run/app.sock", true},
        {"unix:/run/app.sock", "/run/app.sock2", false},
        {"unix:/run/*.sock", "/run/a.sock", true},
        {"unix:/run/*.sock", "/run/.sock", false},
        {"unix:/run/*.sock", "/run/.a.sock", false},
        {"unix:/run/*.sock", "/run/a/b.sock", false},
        {"unix:/run/app/[a-z]*.sock", "/run/app/x1.sock", true},
        {"unix:/run/app/[a-z]*.sock", "/run/app/1x.sock", false},
        {"unix:/run/?", "/run//", false},
        {"unix:/run/*/s", "/run/../s", false},
        {"unix:/run/.*/s", "/run/../s", false},
        {"unix:/run/.*/s", "/run/.x/s", true},
        {"unix:/*", "/..", false},
        {"unix:/*", "/.", false},
        {"unix:/run/*", "/run/a/", false},
        {"unix:/run/x", "run/x", false},
        {"unix:/run/x", "", false},
        {"unix:/run/\\*", "/run/*", true},
        {"unix:/run/\\*", "/run/a", false},
        {"unix:/run/\\\\[a]", "/run/\\a", true},
        {"unix:/run/\\[a", "/run/[a", true},
        {"unix:/run/[]a]", "/run/]", true},
        {"unix:/run/[!a]", "/run/a", false},
        {"unix:/run/[!a]", "/run/b", true},
        {"unix:@app", "@app", true},
        {"unix:@*", "@app", true},
        {"unix:/*", "@app", false},
        {"127.0.0.0/8:*", "/run/x", false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct allow_list *a = loaded(cases[i].patterns);
        print_message("%s: %s\n", cases[i].patterns, cases[i].path);
        assert_int_equal(allow_unix(a, cases[i].path), cases[i].want);
        allow_list_free(a);
    }
}

static void test_errors(void **state)
{
    static const struct {
        const char *pattern, *want;
    } cases[] = {
        {"a", "'a': a port must follow"},
        {"a:", "a port must follow"},
        {"a:0", "'0' is no port"},
        {"a:65536", "'65536' is no port"},
        {"a:x", "'x' is no port"},
        {"a:1,", "'' is no port"},
        {"a:,1", "'' is no port"},
        {"a:1-", "'1-' is no port"},
        {"a:-1", "'-1' is no port"},
        {"a:2-1", "the range '2-1' is empty"},
        {"a:1-2-3", "'1-2-3' is no port"},
        {"a:*1", "'*1' is no port"},
        {":1", "an empty name"},
        {".:1", "an empty name"},
        {"a..b:1", "an empty label"},
        {".a:1", "an empty label"},
        {"*:1", "'*' alone"},
        {"*.:1", "an empty name"},
        {"*a:1", "'*' may only"},
        {"a.*.b:1", "'*' may only"},
        {"*.*.b:1", "'*' may only"},
        {"a_b$:1", "letters, digits"},
        {"\xc3\xbc.example:1", "xn--"},
        {"abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz01:1",
         "more than 63"},
        {"fd00::1:22", "in brackets"},
        {"::1", "an empty name"},
        {"[::1", "'[' without"},
        {"[::1]", "a port must follow"},
        {"[::1]22", "a port must follow"},
        {"[::1]/129:1", "0-128"},
        {"[::1]/:1", "0-128"},
        {"[::1]/1x:1", "bits beyond"},
        {"[fd00::]/8x:1", "a port must follow"},
        {"[10.0.0.1]:1", "'10.0.0.1' is no IPv6"},
        {"[fe80::1%eth0]:1", "no IPv6"},
        {"10.0.0.0/33:1", "0-32"},
        {"10.0.0.0/99999999999:1", "0-32"},
        {"10.0.0.1/8:1", "the block is 10.0.0.0/8"},
        {"[fd00::1]/8:1", "the block is [fd00::]/8"},
        {"[::ffff:10.0.0.1]/104:1", "the block is 10.0.0.0/8"},
        {"10.0.0:1", "'10.0.0' is no IPv4"},
        {"256.0.0.1:1", "no IPv4"},
        {"0x7f.1:1", "no IPv4"},
        {"name/8:1", "'name' is no IPv4"},
        {"unix:", "absolute path"},
        {"unix:run/x", "absolute path"},
        {"unix:/run/[a", "'[' without"},
        {"unix:/run/[a/b]", "'[' without"},
        {"unix:/run/[]", "'[' without"},
        {"unix:/run/a\\", "lone '\\'"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        char patterns[256];
        struct err err = {""};
        snprintf(patterns, sizeof(patterns), "ok:1 %s", cases[i].pattern);
        struct allow_list *a = list_of(patterns, &err);
        print_message("%s\n", err.text);
        assert_null(a);
        assert_int_equal(err.text[0], '\'');
        assert_memory_equal(err.text + 1, cases[i].pattern,
                            strlen(cases[i].pattern));
        assert_non_null(strstr(err.text, cases[i].want));
    }
}

static void test_none(void **state)
{
    struct err err = {""};
    struct allow_list *a = allow_list_new(NULL, &err);

    (void)state;
    assert_non_null(a);
    assert_true(allow_list_empty(a));
    assert_false(allow_unix(a, "/x"));
    allow_list_free(a);
    allow_list_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unix),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
