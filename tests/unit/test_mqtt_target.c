/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_target.c - which broker is tried when, and at which address. */
#include "../../bridges/mqtt/paho_target.h"

#include "unit.h"

#include <stdio.h>

static struct targets targets_of(const char *brokers, bool tls)
{
    struct targets t;
    char err[256] = "";

    if (targets_init(&t, brokers, tls, err, sizeof err) < 0)
        fail_msg("%s", err);
    return t;
}

static void uri_is(const struct targets *t, const char *want)
{
    char uri[TARGET_URI_MAX];

    targets_uri(t, uri);
    assert_string_equal(uri, want);
}

static void one_after_the_other(void **state)
{
    static const char *const two[] = {"::1", "127.0.0.1"};
    static const char *const one[] = {"fe80::1%lo"};
    struct targets t = targets_of("a:1,[::2],c", false);
    char name[300];
    (void)state;

    assert_string_equal(targets_unknown(&t), "a");
    targets_found(&t, two, 2);
    assert_null(targets_unknown(&t));
    uri_is(&t, "tcp://[::1]:1");
    assert_false(targets_failed(&t));
    uri_is(&t, "tcp://127.0.0.1:1");
    assert_false(targets_failed(&t));
    assert_string_equal(targets_unknown(&t), "::2");
    targets_name(&t, name, sizeof name);
    assert_string_equal(name, "[::2]:1883");
    targets_found(&t, one, 1);
    uri_is(&t, "tcp://[fe80::1%lo]:1883");
    assert_false(targets_failed(&t));
    assert_string_equal(targets_unknown(&t), "c");
    assert_true(targets_failed(&t)); /* its name is not found */
    assert_string_equal(targets_unknown(&t), "a");
    targets_fini(&t);
}

static void what_worked_is_first(void **state)
{
    static const char *const list[] = {"::1", "::2", "127.0.0.1"};
    struct targets t = targets_of("a:1,b:2", false);
    (void)state;

    targets_found(&t, list, 3);
    targets_failed(&t);
    targets_failed(&t);
    targets_worked(&t);
    assert_string_equal(targets_unknown(&t), "a"); /* it may have moved */
    targets_found(&t, list, 3);
    uri_is(&t, "tcp://127.0.0.1:1");
    assert_false(targets_failed(&t));
    uri_is(&t, "tcp://[::1]:1");
    assert_false(targets_failed(&t));
    uri_is(&t, "tcp://[::2]:1");
    assert_false(targets_failed(&t));
    targets_found(&t, list, 2); /* not there any more */
    uri_is(&t, "tcp://[::1]:2");
    targets_fini(&t);
}

static void more_than_there_is_room_for(void **state)
{
    char texts[TARGET_ADDRESSES + 1][TARGET_ADDRESS_MAX];
    const char *list[TARGET_ADDRESSES + 1];
    struct targets t = targets_of("a:1", false);
    (void)state;

    for (size_t i = 0; i < LEN(list); i++) {
        snprintf(texts[i], sizeof texts[i], "127.0.0.%zu", i);
        list[i] = texts[i];
    }
    targets_found(&t, list, LEN(list));
    for (int i = 1; i < TARGET_ADDRESSES; i++)
        assert_false(targets_failed(&t));
    uri_is(&t, "tcp://127.0.0.15:1");
    targets_worked(&t);
    targets_found(&t, list, LEN(list));
    uri_is(&t, "tcp://127.0.0.15:1");
    targets_fini(&t);
}

/* Paho is given the name, and tries its addresses as it likes. */
static void with_tls(void **state)
{
    static const char *const list[] = {"::1", "127.0.0.1"};
    struct targets t = targets_of("broker.example,[::1]:1", true);
    (void)state;

    targets_found(&t, list, 2);
    uri_is(&t, "ssl://broker.example:8883");
    assert_false(targets_failed(&t));
    assert_string_equal(targets_unknown(&t), "::1");
    targets_found(&t, list, 1);
    uri_is(&t, "ssl://::1:1");
    assert_true(targets_failed(&t));
    targets_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(what_worked_is_first),
        cmocka_unit_test(more_than_there_is_room_for),
        cmocka_unit_test(with_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
