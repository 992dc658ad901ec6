/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts: what is in front, what is cut. */
#include "unit.h"

#include "../../gateway/base/err.h"

static void sets_and_prepends(void **state)
{
    struct err e;
    (void)state;

    assert_int_equal(err_set(&e, "%s: %d", "line", 12), -1);
    assert_string_equal(e.text, "line: 12");
    assert_int_equal(err_prepend(&e, "%s", "tls.certificate"), -1);
    assert_string_equal(e.text, "tls.certificate: line: 12");
    err_set(&e, "afresh");
    assert_string_equal(e.text, "afresh");
}

static void may_quote_itself(void **state)
{
    struct err e;
    (void)state;

    err_set(&e, "inner");
    err_set(&e, "<%s>", e.text);
    assert_string_equal(e.text, "<inner>");
    err_prepend(&e, "%s again", e.text);
    assert_string_equal(e.text, "<inner> again: <inner>");
}

static void cuts_what_is_too_long(void **state)
{
    char big[6000];
    struct err e;
    (void)state;

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';

    err_set(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);

    err_prepend(&e, "why");
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    assert_memory_equal(e.text, "why: xxx", 8);

    err_set(&e, "inner");
    err_prepend(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    assert_int_equal(e.text[sizeof(e.text) - 2], 'x');

    /* Every way the seam can lie to the end. */
    for (size_t n = sizeof(e.text) - 12; n < sizeof(e.text) + 2; n++) {
        char want[6100];
        err_set(&e, "inner");
        err_prepend(&e, "%.*s", (int)n, big);
        memset(want, 'x', n);
        memcpy(want + n, ": inner", 8);
        want[sizeof(e.text) - 1] = '\0';
        assert_string_equal(e.text, want);
    }
}

static void gathers_lines(void **state)
{
    struct err all = {.text = ""}, one;
    (void)state;

    err_set(&one, "first");
    assert_int_equal(err_also(&all, &one), -1);
    err_set(&one, "second");
    err_also(&all, &one);
    assert_string_equal(all.text, "first\nsecond");

    /* What has no room is left out whole; a line is never cut. */
    for (int i = 0; i < 2000; i++)
        err_also(&all, &one);
    size_t n = strlen(all.text);
    assert_true(n < sizeof(all.text) && n > sizeof(all.text) - 8);
    assert_string_equal(all.text + n - 7, "\nsecond");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_lines),
        cmocka_unit_test(sets_and_prepends),
        cmocka_unit_test(may_quote_itself),
        cmocka_unit_test(cuts_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
