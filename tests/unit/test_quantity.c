/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units, there and back. */
#include "unit.h"

#include "../../gateway/base/quantity.h"

typedef int parse_fn(struct slice, uint64_t *, struct err *);

static const struct {
    parse_fn *parse;
    const char *text;
    uint64_t want;
} good[] = {
    {count_parse, "0", 0},
    {count_parse, "007", 7},
    {count_parse, "18446744073709551615", UINT64_MAX},
    {size_parse, "0", 0},
    {size_parse, "4096", 4096},
    {size_parse, "17B", 17},
    {size_parse, "64KiB", 65536},
    {size_parse, "1MiB", 1 << 20},
    {size_parse, "2GiB", UINT64_C(2) << 30},
    {size_parse, "3kB", 3000},
    {size_parse, "3KB", 3000},
    {size_parse, "5MB", 5000000},
    {size_parse, "1GB", 1000000000},
    {size_parse, "17179869183GiB", UINT64_C(17179869183) << 30},
    {duration_parse, "0", 0},
    {duration_parse, "00", 0},
    {duration_parse, "0s", 0},
    {duration_parse, "500ms", 500},
    {duration_parse, "30s", 30000},
    {duration_parse, "5m", 300000},
    {duration_parse, "1h", 3600000},
    {duration_parse, "2d", 172800000},
};

static const struct {
    parse_fn *parse;
    const char *text, *why;
} bad[] = {
    {count_parse, "", "is not a whole number"},
    {count_parse, "-1", "is not a whole number"},
    {count_parse, "+1", "is not a whole number"},
    {count_parse, "1.5", "is not a whole number"},
    {count_parse, "1 ", "is not a whole number"},
    {count_parse, "18446744073709551616", "is not a whole number"},
    {size_parse, "", "is not a size"},
    {size_parse, "KiB", "is not a size"},
    {size_parse, "1k", "is not a size"},
    {size_parse, "1 KiB", "is not a size"},
    {size_parse, "1kib", "is not a size"},
    {size_parse, "17179869184GiB", "is too large"},
    {duration_parse, "30", "write 30s"},
    {duration_parse, "5min", "is not a duration"},
    {duration_parse, "1m30s", "is not a duration"},
    {duration_parse, "ms", "is not a duration"},
    {duration_parse, "18446744073709551615s", "is too long"},
};

static void reads_numbers_with_units(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(good); i++) {
        size_t n = strlen(good[i].text);
        char *text = copy_of(good[i].text, n);
        struct err err;
        uint64_t value;

        print_message("%s\n", good[i].text);
        assert_int_equal(good[i].parse((struct slice){text, n}, &value, &err),
                         0);
        assert_int_equal(value, good[i].want);
        free(text);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(bad); i++) {
        size_t n = strlen(bad[i].text);
        char *text = copy_of(bad[i].text, n);
        struct err err;
        uint64_t value;

        print_message("%s\n", bad[i].text);
        assert_int_equal(bad[i].parse((struct slice){text, n}, &value, &err),
                         -1);
        assert_non_null(strstr(err.text, bad[i].why));
        free(text);
    }
}

static void writes_the_largest_whole_unit(void **state)
{
    char buf[32];

    (void)state;
    assert_string_equal(size_format(0, buf, sizeof(buf)), "0");
    assert_string_equal(size_format(1000, buf, sizeof(buf)), "1000");
    assert_string_equal(size_format(65536, buf, sizeof(buf)), "64KiB");
    assert_string_equal(size_format(3 << 20, buf, sizeof(buf)), "3MiB");
    assert_string_equal(duration_format(0, buf, sizeof(buf)), "0");
    assert_string_equal(duration_format(1500, buf, sizeof(buf)), "1500ms");
    assert_string_equal(duration_format(90000, buf, sizeof(buf)), "90s");
    assert_string_equal(duration_format(7200000, buf, sizeof(buf)), "2h");
}

static void reads_what_it_writes(void **state)
{
    struct rng rng = {42};

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t value = rng_next(&rng) >> rng_below(&rng, 32), got;
        char buf[32];
        struct err err;

        value <<= rng_below(&rng, 20);
        size_format(value, buf, sizeof(buf));
        assert_int_equal(size_parse(slice_of(buf), &got, &err), 0);
        assert_int_equal(got, value);
        duration_format(value, buf, sizeof(buf));
        assert_int_equal(duration_parse(slice_of(buf), &got, &err), 0);
        assert_int_equal(got, value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_with_units),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(writes_the_largest_whole_unit),
        cmocka_unit_test(reads_what_it_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
