/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_trie.c - places for filters, and which of them a name finds:
 * examples, then a long random life beside a plain list. */
#include "mqtt_text.h"
#include "unit.h"

#include "../../bridges/mqtt/trie.h"

#include <stdio.h>

/* Values are pointers into this; a match counts there. */
static int hits[64];

static void hit(void *ctx, void *value)
{
    int *total = ctx;

    (*total)++;
    (*(int *)value)++;
}

static int match(const struct trie *t, struct text name)
{
    int total = 0;

    memset(hits, 0, sizeof(hits));
    trie_match(t, name, hit, &total);
    return total;
}

static int each(const struct trie *t)
{
    int total = 0;

    memset(hits, 0, sizeof(hits));
    trie_each(t, hit, &total);
    return total;
}

static void put(struct trie *t, struct text filter, int *value)
{
    void **at = trie_at(t, filter);

    assert_non_null(at);
    *at = value;
    assert_ptr_equal(trie_find(t, filter), at);
    assert_ptr_equal(trie_at(t, filter), at);
}

static void test_places(void **state)
{
    struct trie *t = trie_new();

    (void)state;
    assert_non_null(t);
    assert_int_equal(trie_count(t), 0);
    assert_null(trie_find(t, T("a")));
    assert_null(trie_find(t, T("#")));
    assert_int_equal(match(t, T("a")), 0);

    put(t, T("a/b/c"), &hits[0]);
    assert_int_equal(trie_count(t), 1);
    assert_null(trie_find(t, T("a")));
    assert_null(trie_find(t, T("a/b")));
    assert_null(trie_find(t, T("a/b/c/#")));
    assert_null(trie_find(t, T("a/b/c/d")));
    put(t, T("a/b/c/#"), &hits[1]);
    put(t, T("a/+/c"), &hits[2]);
    put(t, T("#"), &hits[3]);
    put(t, T("a"), &hits[4]);
    assert_int_equal(trie_count(t), 5);
    assert_int_equal(each(t), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hits[i], 1);

    trie_remove(t, T("a/b")); /* never was there */
    assert_int_equal(trie_count(t), 5);
    trie_remove(t, T("a/b/c"));
    assert_null(trie_find(t, T("a/b/c")));
    assert_non_null(trie_find(t, T("a/b/c/#")));
    assert_int_equal(match(t, T("a/b/c")), 3);
    trie_remove(t, T("#"));
    trie_remove(t, T("a"));
    trie_remove(t, T("a/b/c/#"));
    assert_int_equal(trie_count(t), 1);
    assert_int_equal(each(t), 1);
    assert_int_equal(match(t, T("a/x/c")), 1);
    trie_remove(t, T("a/+/c"));
    assert_int_equal(match(t, T("a/x/c")), 0);
    assert_int_equal(trie_count(t), 0);
    trie_free(t);
    trie_free(NULL);
}

static void test_empty_place(void **state)
{
    struct trie *t = trie_new();
    void **at = trie_at(t, T("a/#"));

    (void)state;
    assert_null(*at);
    assert_int_equal(trie_count(t), 1);
    assert_int_equal(match(t, T("a")), 0); /* NULL: nobody there */
    assert_int_equal(each(t), 0);
    *at = &hits[0];
    assert_int_equal(match(t, T("a")), 1);
    trie_remove(t, T("a/#")); /* whatever is in it */
    assert_null(trie_find(t, T("a/#")));
    at = trie_at(t, T("a/#"));
    assert_null(*at);
    trie_free(t);
}

static void test_match(void **state)
{
    static const struct text filters[] = {
        TEXT("a"),     TEXT("a/b"),     TEXT("a/+"), TEXT("a/#"),
        TEXT("+"),     TEXT("+/b"),     TEXT("+/+"), TEXT("#"),
        TEXT("+/#"),   TEXT("/"),       TEXT("a/"),  TEXT("$SYS/#"),
        TEXT("$SYS"),  TEXT("+/x/y/#"), TEXT("/#"),  TEXT("$SYS/+"),
        TEXT("a/b/#"), TEXT("a/+/#"),
    };
    static const struct text names[] = {
        TEXT("a"),       TEXT("a/b"),   TEXT("a/c"),      TEXT("b"),
        TEXT("/"),       TEXT("a/"),    TEXT("$SYS"),     TEXT("$SYS/a"),
        TEXT("x"),       TEXT("a/x/y"), TEXT("/x/y"),     TEXT("a/x/yy"),
        TEXT("a/b/c/d"), TEXT("//"),    TEXT("$SYS/a/b"),
    };
    struct trie *t = trie_new();

    (void)state;
    for (size_t i = 0; i < LEN(filters); i++)
        put(t, filters[i], &hits[i]);
    for (size_t k = 0; k < LEN(names); k++) {
        int total = match(t, names[k]), want = 0;

        for (size_t i = 0; i < LEN(filters); i++) {
            bool matches = topic_matches(filters[i], names[k]);
            print_message("%s %s\n", filters[i].p, names[k].p);
            assert_int_equal(hits[i], matches);
            want += matches;
        }
        assert_int_equal(total, want);
    }
    trie_free(t);
}

/* The deepest names, and one deeper, which is none. */
static void test_depth(void **state)
{
    struct trie *t = trie_new();
    char name[2 * TOPIC_LEVELS_MAX + 2];

    (void)state;
    for (size_t i = 0; i < TOPIC_LEVELS_MAX + 1; i++) {
        name[2 * i] = '+';
        name[2 * i + 1] = '/';
    }
    put(t, (struct text){name, 2 * TOPIC_LEVELS_MAX - 1}, &hits[0]);
    put(t, T("#"), &hits[1]);
    for (size_t i = 0; i < TOPIC_LEVELS_MAX + 1; i++)
        name[2 * i] = 'a';
    assert_int_equal(match(t, (struct text){name, 2 * TOPIC_LEVELS_MAX - 1}),
                     2);
    assert_int_equal(match(t, (struct text){name, 2 * TOPIC_LEVELS_MAX - 3}),
                     1);
    assert_int_equal(match(t, (struct text){name, 2 * TOPIC_LEVELS_MAX + 1}),
                     0);
    trie_free(t);
}

/* ---- a long life
 * ------------------------------------------------------------- */

enum { FILTERS = 3000, TURNS = 60000 };

struct listed {
    char text[24];
    bool there;
    int hits;
};

static struct listed listed[FILTERS];

static void random_topic(struct rng *r, char out[24], bool filter)
{
    size_t levels = 1 + rng_below(r, 4), n = 0;

    for (size_t i = 0; i < levels; i++) {
        size_t what = rng_below(r, 8);

        if (i > 0)
            out[n++] = '/';
        if (filter && what == 0)
            out[n++] = '+';
        else if (filter && what == 1 && i + 1 == levels)
            out[n++] = '#';
        else if (what == 2 && i == 0)
            out[n++] = '$';
        else if (what != 3)
            n += (size_t)snprintf(out + n, 5, "%zx", rng_below(r, 20));
    }
    if (n == 0)
        out[n++] = '/';
    out[n] = '\0';
}

static void count_listed(void *ctx, void *value)
{
    (void)ctx;
    ((struct listed *)value)->hits++;
}

static void check_each(const struct trie *t)
{
    trie_each(t, count_listed, NULL);
    for (size_t i = 0; i < FILTERS; i++) {
        assert_int_equal(listed[i].hits, listed[i].there);
        listed[i].hits = 0;
    }
}

static void check_name(const struct trie *t, const char *name)
{
    trie_match(t, text_of(name), count_listed, NULL);
    for (size_t i = 0; i < FILTERS; i++) {
        int want = listed[i].there &&
                   topic_matches(text_of(listed[i].text), text_of(name));

        if (listed[i].hits != want)
            fail_msg("%s found %s %d times, not %d", name, listed[i].text,
                     listed[i].hits, want);
        listed[i].hits = 0;
    }
}

/* Grows, shrinks to nothing and grows again. */
static void test_life(void **state)
{
    struct rng r = rng_of(3);
    struct trie *t = trie_new();
    size_t n = 0, most = 0;
    char name[24];

    (void)state;
    for (int turn = 0; turn < TURNS; turn++) {
        struct listed *l = &listed[rng_below(&r, FILTERS)];
        bool grow = rng_below(&r, 100) < (turn / (TURNS / 4) % 2 ? 5 : 80);

        if (!l->there && grow) {
            random_topic(&r, l->text, true);
            void **at = trie_at(t, text_of(l->text));
            assert_non_null(at);
            if (*at) /* drawn before */
                continue;
            *at = l;
            l->there = true;
            n++;
        } else if (l->there && !grow) {
            assert_ptr_equal(*trie_find(t, text_of(l->text)), l);
            trie_remove(t, text_of(l->text));
            assert_null(trie_find(t, text_of(l->text)));
            l->there = false;
            n--;
        }
        most = n > most ? n : most;
        assert_int_equal(trie_count(t), n);
        if (turn % 50 == 0) {
            random_topic(&r, name, false);
            check_name(t, name);
            check_each(t);
        }
    }
    assert_true(most > FILTERS / 2);
    for (size_t i = 0; i < FILTERS; i++) {
        if (listed[i].there)
            trie_remove(t, text_of(listed[i].text));
        listed[i].there = false;
    }
    assert_int_equal(trie_count(t), 0);
    check_each(t);
    check_name(t, "0/0");
    trie_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places), cmocka_unit_test(test_empty_place),
        cmocka_unit_test(test_match),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
