/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_topic.c - names and filters: which are valid, and what a filter
 * matches, contains and overlaps. The last two are compared with what all
 * names of a small world say. */
#include "mqtt_text.h"
#include "topic_model.h"
#include "unit.h"

#include "../../bridges/mqtt/topic.h"

#include <stdio.h>

#define TEN_LEVELS "/a/a/a/a/a/a/a/a/a/a"

static void test_valid(void **state)
{
    static const struct {
        struct text t;
        bool name, filter;
    } cases[] = {
        {TEXT("a"), true, true},
        {TEXT("a/b/c"), true, true},
        {TEXT("/"), true, true},
        {TEXT("//"), true, true},
        {TEXT("/a"), true, true},
        {TEXT("a/"), true, true},
        {TEXT(" "), true, true},
        {TEXT("a b"), true, true},
        {TEXT("$SYS/x"), true, true},
        {TEXT("$share"), true, true},
        {TEXT("gr\xc3\xbc\xc3\x9f/\xf0\x9f\x98\x80"), true, true},
        {TEXT("\xef\xbb\xbf/x"), true, true}, /* 1.5.4: U+FEFF is a character */

        {TEXT("+"), false, true},
        {TEXT("#"), false, true},
        {TEXT("+/+"), false, true},
        {TEXT("+/#"), false, true},
        {TEXT("/#"), false, true},
        {TEXT("/+"), false, true},
        {TEXT("a/+/b"), false, true},
        {TEXT("a//#"), false, true},

        {TEXT(""), false, false},
        {TEXT("#/a"), false, false},
        {TEXT("a#"), false, false},
        {TEXT("#a"), false, false},
        {TEXT("a/b#"), false, false},
        {TEXT("a/#/b"), false, false},
        {TEXT("#/"), false, false},
        {TEXT("##"), false, false},
        {TEXT("a+"), false, false},
        {TEXT("+a/b"), false, false},
        {TEXT("a/++"), false, false},
        {TEXT("+#"), false, false},

        {TEXT("a\0b"), false, false},
        {TEXT("\0"), false, false},
        {TEXT("a\tb"), false, false},
        {TEXT("a\x1f"), false, false},
        {TEXT("a\x7f"), false, false},
        {TEXT("a\xc2\x80"), false, false},        /* U+0080 */
        {TEXT("a\xc2\x9f"), false, false},        /* U+009F */
        {TEXT("a\xc2\xa0"), true, true},          /* U+00A0 */
        {TEXT("\xef\xbf\xbe"), false, false},     /* U+FFFE */
        {TEXT("\xef\xbf\xbf"), false, false},     /* U+FFFF */
        {TEXT("\xef\xb7\x90"), false, false},     /* U+FDD0 */
        {TEXT("\xef\xb7\xaf"), false, false},     /* U+FDEF */
        {TEXT("\xef\xb7\x8f"), true, true},       /* U+FDCF */
        {TEXT("\xf0\x9f\xbf\xbe"), false, false}, /* U+1FFFE */
        {TEXT("\xf4\x8f\xbf\xbf"), false, false}, /* U+10FFFF */
        {TEXT("\xff"), false, false},
        {TEXT("a\xc3"), false, false},
        {TEXT("\xc0\xaf"), false, false},
        {TEXT("\xed\xa0\x80"), false, false}, /* U+D800 */
        {TEXT("\xf4\x90\x80\x80"), false, false},

        {TEXT("a" TEN_LEVELS TEN_LEVELS TEN_LEVELS "/a"), true, true},
        {TEXT("a" TEN_LEVELS TEN_LEVELS TEN_LEVELS "/#"), false, true},
        {TEXT("a" TEN_LEVELS TEN_LEVELS TEN_LEVELS "/a/a"), false, false},
        {TEXT("a" TEN_LEVELS TEN_LEVELS TEN_LEVELS "/a/#"), false, false},

        {TEXT(TEN_LEVELS TEN_LEVELS TEN_LEVELS "/a"), true, true},
        {TEXT(TEN_LEVELS TEN_LEVELS TEN_LEVELS "/a/a"), false, false},

        {TEXT("$share/g/a"), true, true},
        {TEXT("$share/g/#"), false, true},
        {TEXT("$share/g//"), true, true},
        {TEXT("$share/g/+/b"), false, true},
        {TEXT("$share/g/"), true, false},
        {TEXT("$share/g"), true, false},
        {TEXT("$share//a"), true, false},
        {TEXT("$share/"), true, false},
        {TEXT("$share/+/a"), false, false},
        {TEXT("$share/#"), false, false},
        {TEXT("$share/g/a#"), false, false},
        {TEXT("$sharing/g"), true, true},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        char *p = copy_of(cases[i].t.p, cases[i].t.n);
        struct text t = {p, cases[i].t.n};

        print_message("%zu: %.*s\n", i, (int)t.n, t.p);
        assert_int_equal(topic_name_valid(t), cases[i].name);
        assert_int_equal(topic_filter_valid(t), cases[i].filter);
        free(p);
    }
}

static void same_as_model(const char *p, size_t n)
{
    struct text t = {p, n};

    if (topic_name_valid(t) != model_name(t) ||
        topic_filter_valid(t) != model_filter(t))
        fail_msg("not as the model: %zu bytes, \"%.*s\"", n, (int)n, p);
}

/* Each byte at each place of texts of every length and at every alignment,
 * alone and beside others that matter. */
static void test_every_byte_at_every_place(void **state)
{
    static const char others[] = "a/+#\x7f\x1f\xc3\xbf";
    enum { LONGEST_TEXT = 27 };

    (void)state;
    for (size_t n = 1; n <= LONGEST_TEXT; n++) {
        for (size_t at = 0; at < n; at++) {
            for (int c = 0; c < 256; c++) {
                char *p = malloc(n);
                assert_non_null(p);
                memset(p, 'x', n);
                p[at] = (char)c;
                same_as_model(p, n);
                for (size_t k = 0; k + 1 < sizeof others; k++) {
                    p[(at + 1) % n] = others[k];
                    same_as_model(p, n);
                }
                free(p);
            }
        }
    }
}

static void test_random_topics(void **state)
{
    static const char *const parts[] = {"/",
                                        "//",
                                        "a",
                                        "room",
                                        "+",
                                        "#",
                                        "/+/",
                                        "/#",
                                        "\xc3\xbc",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "\xef\xbf\xbe",
                                        "\xc2\x80",
                                        "temperature",
                                        "\x7f",
                                        "\xc3",
                                        "\x80",
                                        "~",
                                        " ",
                                        "sensors/"};
    struct rng rng = rng_of(1);
    size_t valid = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[128];
        size_t n = 0, most = 1 + rng_below(&rng, 100);
        size_t kinds = rng_below(&rng, 2) ? LEN(parts) : 4;

        while (n < most) {
            const char *part = parts[rng_below(&rng, kinds)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        size_t from = rng_below(&rng, 8) % n;
        same_as_model(text + from, n - from);
        valid += topic_name_valid((struct text){text + from, n - from});
    }
    assert_true(valid > 1000 && valid < 190000);
}

static void test_longest(void **state)
{
    char *p = malloc(TOPIC_MAX + 1);

    (void)state;
    assert_non_null(p);
    memset(p, 'a', TOPIC_MAX + 1);
    assert_true(topic_name_valid((struct text){p, TOPIC_MAX}));
    assert_true(topic_filter_valid((struct text){p, TOPIC_MAX}));
    assert_false(topic_name_valid((struct text){p, TOPIC_MAX + 1}));
    assert_false(topic_filter_valid((struct text){p, TOPIC_MAX + 1}));
    free(p);
}

static void test_levels(void **state)
{
    static const struct {
        struct text t;
        const char *levels[4];
    } cases[] = {
        {TEXT("a"), {"a"}},
        {TEXT("a/b"), {"a", "b"}},
        {TEXT("/"), {"", ""}},
        {TEXT("a/"), {"a", ""}},
        {TEXT("/a"), {"", "a"}},
        {TEXT(""), {""}},
        {TEXT("a//b"), {"a", "", "b"}},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct text rest = cases[i].t, level;

        for (size_t k = 0; cases[i].levels[k]; k++) {
            assert_true(topic_level(&rest, &level));
            assert_slice(level, cases[i].levels[k]);
        }
        assert_null(rest.p);
        assert_false(topic_level(&rest, &level));
    }
}

static void test_kinds(void **state)
{
    struct text inner;

    (void)state;
    assert_true(topic_has_wildcard(T("a/+")));
    assert_true(topic_has_wildcard(T("#")));
    assert_false(topic_has_wildcard(T("a/b")));
    assert_false(topic_has_wildcard(T("")));
    assert_true(topic_is_system(T("$SYS/a")));
    assert_false(topic_is_system(T("a/$SYS")));
    assert_false(topic_is_system(T("")));
    assert_true(topic_is_shared(T("$share/g/a/#"), &inner));
    assert_slice(inner, "a/#");
    assert_true(topic_is_shared(T("$share/g//"), &inner));
    assert_slice(inner, "/");
    assert_false(topic_is_shared(T("$share/g"), &inner));
    assert_false(topic_is_shared(T("$share/g/"), &inner));
    assert_false(topic_is_shared(T("a/g/b"), &inner));
}

/* Examples of MQTT 5.0 section 4.7 among them. */
static void test_matches(void **state)
{
    static const struct {
        struct text filter, name;
        bool want;
    } cases[] = {
        {TEXT("a"), TEXT("a"), true},
        {TEXT("a"), TEXT("A"), false},
        {TEXT("a"), TEXT("ab"), false},
        {TEXT("ab"), TEXT("a"), false},
        {TEXT("a"), TEXT("/a"), false},
        {TEXT("a"), TEXT("a/"), false},
        {TEXT("a/b"), TEXT("a/b"), true},
        {TEXT("a/b"), TEXT("a"), false},
        {TEXT("sport/tennis/player1/#"), TEXT("sport/tennis/player1"), true},
        {TEXT("sport/tennis/player1/#"), TEXT("sport/tennis/player1/ranking"),
         true},
        {TEXT("sport/tennis/player1/#"), TEXT("sport/tennis/player1/score/w"),
         true},
        {TEXT("sport/tennis/player1/#"), TEXT("sport/tennis/player10"), false},
        {TEXT("sport/#"), TEXT("sport"), true},
        {TEXT("sport/#"), TEXT("sports"), false},
        {TEXT("#"), TEXT("a/b"), true},
        {TEXT("#"), TEXT("/"), true},
        {TEXT("sport/tennis/+"), TEXT("sport/tennis/player1"), true},
        {TEXT("sport/tennis/+"), TEXT("sport/tennis/player1/ranking"), false},
        {TEXT("sport/+"), TEXT("sport"), false},
        {TEXT("sport/+"), TEXT("sport/"), true},
        {TEXT("+/+"), TEXT("/finance"), true},
        {TEXT("/+"), TEXT("/finance"), true},
        {TEXT("+"), TEXT("/finance"), false},
        {TEXT("+/#"), TEXT("a"), true},
        {TEXT("+/#"), TEXT("/"), true},
        {TEXT("a/+/#"), TEXT("a"), false},
        {TEXT("a/+/#"), TEXT("a/b"), true},
        {TEXT("+/b/+"), TEXT("a/b/c"), true},
        {TEXT("+/b/+"), TEXT("a/c/c"), false},
        {TEXT("#"), TEXT("$SYS/x"), false},
        {TEXT("+/x"), TEXT("$SYS/x"), false},
        {TEXT("+"), TEXT("$"), false},
        {TEXT("$SYS/#"), TEXT("$SYS/x"), true},
        {TEXT("$SYS/+"), TEXT("$SYS/x"), true},
        {TEXT("a/+"), TEXT("a/$b"), true},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s %s\n", cases[i].filter.p, cases[i].name.p);
        assert_int_equal(topic_matches(cases[i].filter, cases[i].name),
                         cases[i].want);
    }
}

/* ---- a small world
 * ----------------------------------------------------------- */

enum { WORLD = 4096, LONGEST = 16 };

struct world {
    size_t n;
    char text[WORLD][LONGEST];
};

static struct text nth(const struct world *w, size_t i)
{
    return text_of(w->text[i]);
}

/* All topics of up to `depth` levels out of `levels`, that `valid` takes. */
static void world_fill(struct world *w, const char *const *levels, size_t n,
                       size_t depth, bool (*valid)(struct text t))
{
    size_t from = 0, to;

    w->n = 0;
    for (size_t i = 0; i < n; i++)
        snprintf(w->text[w->n++], LONGEST, "%s", levels[i]);
    to = w->n;
    while (--depth > 0) {
        for (size_t k = from; k < to; k++) {
            for (size_t i = 0; i < n; i++) {
                assert_true(w->n < WORLD);
                snprintf(w->text[w->n++], LONGEST, "%.8s/%.3s", w->text[k],
                         levels[i]);
            }
        }
        from = to;
        to = w->n;
    }
    to = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (valid(nth(w, i)))
            memmove(w->text[to++], w->text[i], LONGEST);
    }
    w->n = to;
}

/* The empty name is none, but to treat it as one keeps the walks simple: "+"
 * and "/#" overlap there. */
static bool name_or_empty(struct text t)
{
    return t.n == 0 || topic_name_valid(t);
}

/* The names have one level more than the filters, and one level of their own
 * that no filter spells: all that a longer or other name could tell. */
static void test_relations(void **state)
{
    static const char *const of_filters[] = {"a", "", "+", "#", "$x"};
    static const char *const of_names[] = {"a", "", "z", "$x"};
    static struct world filters, names;
    static bool matches[WORLD][WORLD / 8];
    size_t contained = 0, overlapped = 0;

    (void)state;
    world_fill(&filters, of_filters, LEN(of_filters), 3, topic_filter_valid);
    world_fill(&names, of_names, LEN(of_names), 4, name_or_empty);
    assert_true(names.n <= WORLD / 8);
    for (size_t i = 0; i < filters.n; i++) {
        for (size_t k = 0; k < names.n; k++)
            matches[i][k] = topic_matches(nth(&filters, i), nth(&names, k));
    }
    for (size_t a = 0; a < filters.n; a++) {
        for (size_t b = 0; b < filters.n; b++) {
            bool contains = true, overlaps = false;

            for (size_t k = 0; k < names.n; k++) {
                contains &= matches[a][k] || !matches[b][k];
                overlaps |= matches[a][k] && matches[b][k];
            }
            if (topic_contains(nth(&filters, a), nth(&filters, b)) != contains)
                fail_msg("%s contains %s: %d", filters.text[a], filters.text[b],
                         contains);
            if (topic_overlaps(nth(&filters, a), nth(&filters, b)) != overlaps)
                fail_msg("%s overlaps %s: %d", filters.text[a], filters.text[b],
                         overlaps);
            contained += contains;
            overlapped += overlaps;
        }
    }
    assert_true(filters.n > 50 && names.n > 300);
    assert_true(contained > filters.n && overlapped > contained);
}

static void test_text(void **state)
{
    static const struct {
        struct text t;
        uint32_t point; /* of the first character */
        size_t size;
    } cases[] = {
        {TEXT("a"), 'a', 1},
        {TEXT("\0"), 0, 1},
        {TEXT("\x7f"), 0x7f, 1},
        {TEXT("\xc2\x80"), 0x80, 2},
        {TEXT("\xdf\xbf"), 0x7ff, 2},
        {TEXT("\xe0\xa0\x80"), 0x800, 3},
        {TEXT("\xed\x9f\xbf"), 0xd7ff, 3},
        {TEXT("\xee\x80\x80"), 0xe000, 3},
        {TEXT("\xef\xbf\xbf"), 0xffff, 3},
        {TEXT("\xf0\x90\x80\x80"), 0x10000, 4},
        {TEXT("\xf4\x8f\xbf\xbf"), 0x10ffff, 4},
        {TEXT(""), 0, 0},
        {TEXT("\x80"), 0, 0},
        {TEXT("\xc1\xbf"), 0, 0},
        {TEXT("\xc2"), 0, 0},
        {TEXT("\xc2\xc0"), 0, 0},
        {TEXT("\xe0\x9f\xbf"), 0, 0},
        {TEXT("\xe1\x80"), 0, 0},
        {TEXT("\xe1\x80\xc0"), 0, 0},
        {TEXT("\xed\xa0\x80"), 0, 0},
        {TEXT("\xf0\x8f\xbf\xbf"), 0, 0},
        {TEXT("\xf0\x90\x80\x7f"), 0, 0},
        {TEXT("\xf4\x90\x80\x80"), 0, 0},
        {TEXT("\xf5\x80\x80\x80"), 0, 0},
    };
    char text[40];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        uint32_t point = 0;

        assert_int_equal(text_char(cases[i].t.p, cases[i].t.n, &point),
                         cases[i].size);
        if (cases[i].size > 0)
            assert_int_equal(point, cases[i].point);
        /* At every place of a longer text. */
        for (size_t at = 0; at < 20 && cases[i].t.n > 0; at++) {
            memset(text, 'x', sizeof(text));
            memcpy(text + at, cases[i].t.p, cases[i].t.n);
            assert_int_equal(text_is_utf8((struct text){text, sizeof(text)}),
                             cases[i].size > 0);
        }
    }
    assert_true(text_is_utf8((struct text){NULL, 0}));
    assert_true(text_equal((struct text){NULL, 0}, T("")));
    assert_false(text_equal(T("a"), T("b")));
    assert_false(text_equal(T("a"), T("aa")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_random_topics),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
