/* SPDX-License-Identifier: Apache-2.0 */
/* The keyed hash, and that tables use it. */
#include "unit.h"

#include "../../gateway/base/hash.h"

/* Key 00..0f; messages of 0, 1, 2 bytes 00, 01: the vectors that other
 * implementations of SipHash-1-3 test against. */
static void known_values(void **state)
{
    static const uint64_t want[] = {0xabac0158050fc4dc, 0xc9f49bf37d57ca93,
                                    0x82cb9b024dc7d44d};
    uint8_t key[16], message[64];
    (void)state;

    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    for (uint8_t i = 0; i < sizeof(message); i++)
        message[i] = i;
    for (size_t n = 0; n < LEN(want); n++)
        assert_true(siphash13(key, message, n) == want[n]);

    /* Every length has a value of its own. */
    for (size_t n = 0; n < sizeof(message); n++)
        for (size_t m = 0; m < n; m++)
            assert_true(siphash13(key, message, n) !=
                        siphash13(key, message, m));
}

static void key_is_not_zero(void **state)
{
    static const uint8_t zero[16];
    (void)state;

    assert_true(hash_keyed("name", 4) == hash_keyed("name", 4));
    assert_true(hash_keyed("name", 4) != siphash13(zero, "name", 4));
}

struct item {
    UT_hash_handle hh;
    char name[16];
};

static void tables(void **state)
{
    struct item items[100] = {0}, *table = NULL, *found;
    (void)state;

    for (size_t i = 0; i < LEN(items); i++) {
        items[i].name[0] = (char)i;
        HASH_ADD(hh, table, name, sizeof(items[i].name), &items[i]);
        assert_non_null(items[i].hh.tbl);
        assert_int_equal(items[i].hh.hashv,
                         (unsigned)hash_keyed(items[i].name, 16));
    }
    for (size_t i = 0; i < LEN(items); i++) {
        HASH_FIND(hh, table, items[i].name, sizeof(items[i].name), found);
        assert_ptr_equal(found, &items[i]);
    }
    HASH_CLEAR(hh, table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(key_is_not_zero),
        cmocka_unit_test(tables),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
