/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_rules.c - what a route's rules allow a session. */
#include "mqtt_text.h"
#include "unit.h"

#include "../../bridges/mqtt/rules.h"

#include <stdio.h>

static char err[200];

/* "{x}" becomes the value; an empty one is missing. */
static int fill(void *ctx, const char *text, char *out, size_t cap)
{
    const char *value = ctx, *brace = strchr(text, '{');
    int n;

    if (!brace)
        n = snprintf(out, cap, "%s", text);
    else if (*value == '\0')
        return -1;
    else
        n = snprintf(out, cap, "%.*s%s%s", (int)(brace - text), text, value,
                     strchr(brace, '}') + 1);
    return n < (int)cap ? n : -1;
}

static struct grants *grants_of(const char *allow, const char *deny,
                                const char *value)
{
    struct rules *r = rules_new(allow, deny, err, sizeof(err));
    char copy[64];
    struct grants *g;

    if (!r)
        fail_msg("%s", err);
    snprintf(copy, sizeof(copy), "%s", value);
    g = rules_fill(r, fill, copy);
    rules_free(r);
    return g;
}

static void test_bad(void **state)
{
    static const struct {
        const char *allow, *deny, *why;
    } cases[] = {
        {"news/#", NULL, "allow: \"news/#\" does not begin with"},
        {"sub", NULL, "allow: \"sub\" does not begin with"},
        {"Sub:a", NULL, "allow: \"Sub:a\" does not begin with"},
        {"sub:", NULL, "allow: \"sub:\" is not a topic filter"},
        {"sub:a#", NULL, "allow: \"sub:a#\" is not a topic filter"},
        {"sub:{x}+", NULL, "allow: \"sub:{x}+\" is not"},
        {"sub:a;pub:#/a", NULL, "allow: \"pub:#/a\" is not"},
        {"sub:a", "sub:a/b#", "deny: \"sub:a/b#\" is not"},
        {"sub:$share/g", NULL, "is not a topic filter"},
        {"sub:$share/#", NULL, "is not a topic filter"},
        {"sub:$share/+/", NULL, "is not a topic filter"},
        {"sub:$share//a", NULL, "is not a topic filter"},
        {"sub:$share/+x/a", NULL, "is not a topic filter"},
        {NULL, "sub:a", "deny without allow"},
        {" ; ", "sub:a", "deny without allow"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        *err = '\0';
        assert_null(rules_new(cases[i].allow, cases[i].deny, err, sizeof(err)));
        print_message("%s\n", err);
        assert_non_null(strstr(err, cases[i].why));
    }
}

static int gather(void *ctx, const char *text)
{
    char *all = ctx;
    size_t n = strlen(all);

    snprintf(all + n, 100 - n, "<%s>", text);
    return strcmp(text, "stop") == 0 ? 7 : 0;
}

static void test_each(void **state)
{
    struct rules *r =
        rules_new(" sub: a/{x} ; pub:b;;all:stop;", "sub:c", err, sizeof(err));
    char all[100] = "";

    (void)state;
    assert_non_null(r);
    assert_true(rules_any(r));
    assert_int_equal(rules_each(r, gather, all), 7);
    assert_string_equal(all, "<a/{x}><b><stop>");
    rules_free(r);
}

static void test_none(void **state)
{
    struct rules *r = rules_new(NULL, NULL, err, sizeof(err));
    char all[100] = "";

    (void)state;
    assert_non_null(r);
    assert_false(rules_any(r));
    assert_false(rules_any(NULL));
    assert_int_equal(rules_each(r, gather, all), 0);
    assert_null(rules_fill(r, fill, ""));
    rules_free(r);
    rules_free(NULL);

    assert_int_equal(grants_publish(NULL, T("a/b")), GRANT_YES);
    assert_int_equal(grants_publish(NULL, T("$SYS/b")), GRANT_NO);
    assert_int_equal(grants_subscribe(NULL, T("#")), GRANT_YES);
    assert_int_equal(grants_subscribe(NULL, T("$SYS/#")), GRANT_NO);
    assert_int_equal(grants_subscribe(NULL, T("$share/g/a")), GRANT_NO);
    assert_true(grants_deliver(NULL, T("a")));
}

static void test_publish(void **state)
{
    struct grants *g = grants_of("pub:chat/{x};pub:up/#;sub:only/sub;all:both",
                                 "pub:up/secret/#;sub:up/heard", "room");
    static const struct {
        struct text name;
        enum grant want;
    } cases[] = {
        {TEXT("chat/room"), GRANT_YES},  {TEXT("chat/other"), GRANT_NO},
        {TEXT("chat"), GRANT_NO},        {TEXT("chat/room/x"), GRANT_NO},
        {TEXT("up"), GRANT_YES},         {TEXT("up/a/b"), GRANT_YES},
        {TEXT("up/secret"), GRANT_NO},   {TEXT("up/secret/a"), GRANT_NO},
        {TEXT("up/secrets"), GRANT_YES}, {TEXT("up/heard"), GRANT_YES},
        {TEXT("only/sub"), GRANT_NO},    {TEXT("both"), GRANT_YES},
        {TEXT("$SYS/a"), GRANT_NO},
    };

    (void)state;
    assert_non_null(g);
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].name.p);
        assert_int_equal(grants_publish(g, cases[i].name), cases[i].want);
    }
    free(g);
}

static void test_subscribe(void **state)
{
    struct grants *g =
        grants_of("sub:news/#;sub:a/+/c;pub:only/pub;all:both;sub:{x}/own/#",
                  "sub:news/secret/#;pub:news/heard;sub:news/+/draft", "me");
    static const struct {
        struct text filter;
        enum grant want;
    } cases[] = {
        {TEXT("news/today"), GRANT_YES},
        {TEXT("news/#"), GRANT_CHECKED},
        {TEXT("news/+"), GRANT_CHECKED}, /* news/secret */
        {TEXT("news"), GRANT_YES},
        {TEXT("news/secret"), GRANT_NO},
        {TEXT("news/secret/#"), GRANT_NO},
        {TEXT("news/secret/+"), GRANT_NO},
        {TEXT("news/heard"), GRANT_YES},
        {TEXT("news/x/draft"), GRANT_NO},
        {TEXT("news/x/+"), GRANT_CHECKED},
        {TEXT("news/x/y"), GRANT_YES},
        {TEXT("#"), GRANT_NO},
        {TEXT("+"), GRANT_NO},
        {TEXT("+/today"), GRANT_NO},
        {TEXT("a/b/c"), GRANT_YES},
        {TEXT("a/+/c"), GRANT_YES},
        {TEXT("a/#"), GRANT_NO},
        {TEXT("a/+/+"), GRANT_NO},
        {TEXT("only/pub"), GRANT_NO},
        {TEXT("both"), GRANT_YES},
        {TEXT("me/own/#"), GRANT_YES},
        {TEXT("you/own/#"), GRANT_NO},
        {TEXT("+/own/#"), GRANT_NO},
        {TEXT("$SYS/#"), GRANT_NO},
        {TEXT("$share/g/news/today"), GRANT_NO},
    };

    (void)state;
    assert_non_null(g);
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].filter.p);
        assert_int_equal(grants_subscribe(g, cases[i].filter), cases[i].want);
    }
    assert_true(grants_deliver(g, T("news/today")));
    assert_true(grants_deliver(g, T("news/heard")));
    assert_false(grants_deliver(g, T("news/secret")));
    assert_false(grants_deliver(g, T("news/secret/a")));
    assert_false(grants_deliver(g, T("news/b/draft")));
    free(g);
}

static void test_system(void **state)
{
    struct grants *g = grants_of("all:#;sub:$SYS/load/+", NULL, "");

    (void)state;
    assert_int_equal(grants_publish(g, T("a")), GRANT_YES);
    assert_int_equal(grants_publish(g, T("$SYS/load/1")), GRANT_NO);
    assert_int_equal(grants_subscribe(g, T("#")), GRANT_YES);
    assert_int_equal(grants_subscribe(g, T("$SYS/load/1")), GRANT_YES);
    assert_int_equal(grants_subscribe(g, T("$SYS/load/+")), GRANT_YES);
    assert_int_equal(grants_subscribe(g, T("$SYS/#")), GRANT_NO);
    assert_int_equal(grants_subscribe(g, T("$share/g/#")), GRANT_NO);
    free(g);
}

static void test_shared(void **state)
{
    struct grants *g =
        grants_of("sub:jobs/#;sub:$share/{x}/jobs/#;sub:$share/+/open/#",
                  "sub:jobs/secret;sub:$share/+/jobs/own", "mine");
    static const struct {
        struct text filter;
        enum grant want;
    } cases[] = {
        {TEXT("$share/mine/jobs/a"), GRANT_YES},
        {TEXT("$share/mine/jobs/#"), GRANT_CHECKED},
        {TEXT("$share/mine/jobs/secret"), GRANT_NO},
        {TEXT("$share/mine/jobs/own"), GRANT_NO},
        {TEXT("jobs/own"), GRANT_YES},
        {TEXT("$share/other/jobs/a"), GRANT_NO},
        {TEXT("$share/other/open/a"), GRANT_YES},
        {TEXT("$share/other/$SYS/a"), GRANT_NO},
        {TEXT("open/a"), GRANT_NO}, /* shared, or not at all */
        {TEXT("jobs/a"), GRANT_YES},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].filter.p);
        assert_int_equal(grants_subscribe(g, cases[i].filter), cases[i].want);
    }
    assert_false(grants_deliver(g, T("jobs/secret")));
    assert_true(grants_deliver(g, T("jobs/own")));
    free(g);
    g = grants_of("sub:$share/+/#", NULL, "");
    assert_int_equal(grants_subscribe(g, T("$share/g/a")), GRANT_YES);
    assert_int_equal(grants_subscribe(g, T("$share/g/$SYS/a")), GRANT_NO);
    free(g);
}

/* What a placeholder may not bring, even past the host's own check. */
static void test_injection(void **state)
{
    static const struct {
        const char *allow, *value;
    } cases[] = {
        {"sub:a/{x}/b", ""},   {"sub:{x}/#", "$SYS"}, {"sub:{x}", "$share/g/a"},
        {"sub:a/{x}", "b+"},   {"sub:a/{x}/b", "#"},  {"sub:a/{x}", "\x01"},
        {"sub:a/{x}", "\xff"},
    };
    char longest[RULE_FILTER_MAX + 10];
    struct grants *g;

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].value);
        assert_null(grants_of(cases[i].allow, NULL, cases[i].value));
    }
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "sub:", 4);
    longest[4 + RULE_FILTER_MAX + 1] = '\0';
    assert_null(grants_of(longest, NULL, ""));
    longest[4 + RULE_FILTER_MAX] = '\0';
    g = grants_of(longest, NULL, "");
    assert_non_null(g);
    assert_int_equal(grants_subscribe(g, text_of(longest + 4)), GRANT_YES);
    assert_int_equal(grants_subscribe(g, text_of(longest + 5)), GRANT_NO);
    free(g);
    g = grants_of("pub:$SYS/{x}", NULL, "a");
    assert_int_equal(grants_publish(g, T("$SYS/a")), GRANT_YES);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),       cmocka_unit_test(test_each),
        cmocka_unit_test(test_none),      cmocka_unit_test(test_publish),
        cmocka_unit_test(test_subscribe), cmocka_unit_test(test_system),
        cmocka_unit_test(test_shared),    cmocka_unit_test(test_injection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
