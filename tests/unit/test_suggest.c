/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest known word. */
#include "unit.h"

#include "../../gateway/base/suggest.h"

static const char *const known[] = {"max_message", "queue_low", "queue_high",
                                    "idle",        "log",       "allow-target"};

static const struct {
    const char *word, *want;
} cases[] = {
    {"max_mesage", "max_message"},   /* one letter left out */
    {"max_messsage", "max_message"}, /* one too many */
    {"max_nessage", "max_message"},  /* another one */
    {"max_messgae", "max_message"},  /* two swapped */
    {"queue_hihg", "queue_high"},
    {"queue-low", "queue_low"},
    {"allow_target", "allow-target"},
    {"idl", "idle"},
    {"idle", "idle"},
    {"lgo", "log"},
    {"id", NULL}, /* too short to guess */
    {"", NULL},
    {"timeout", NULL}, /* far from all */
    {"a_word_that_is_much_longer_than_any_that_anybody_knows", NULL},
};

static void finds_the_nearest(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct suggest s;
        char buf[64];

        print_message("%s\n", cases[i].word);
        suggest_init(&s, slice_of(cases[i].word));
        for (size_t k = 0; k < LEN(known); k++)
            suggest_offer(&s, known[k]);
        if (cases[i].want)
            assert_string_equal(s.best, cases[i].want);
        else
            assert_null(s.best);
        suggest_text(&s, buf, sizeof(buf));
        assert_int_equal(strlen(buf) > 0, cases[i].want != NULL);
    }
}

static void does_not_read_past_the_word(void **state)
{
    char *word = copy_of("idlex", 4);
    struct suggest s;

    (void)state;
    suggest_init(&s, (struct slice){word, 4});
    suggest_offer(&s, "idle");
    assert_int_equal(s.distance, 0);
    free(word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_nearest),
        cmocka_unit_test(does_not_read_past_the_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
