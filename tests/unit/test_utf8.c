/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8: against a model, with every cut, and where the fast path ends. */
#include "unit.h"

#include "../../gateway/base/utf8.h"
#include "utf8_model.h"

/* Feed p[0..n) in two pieces; compare with what the model says of it all. */
static void check_cut(const uint8_t *p, size_t n, size_t cut)
{
    struct utf8 u = {0};
    size_t left;
    enum model_text want = model_utf8(p, n, &left);
    bool ok = utf8_feed(&u, p, cut) && utf8_feed(&u, p + cut, n - cut);

    assert_int_equal(ok, want != TEXT_BAD);
    if (ok) {
        assert_int_equal(utf8_done(&u), want == TEXT_WHOLE);
        assert_int_equal(u.have, left);
    }
}

static void check_all_cuts(const uint8_t *p, size_t n)
{
    size_t left;
    bool bad = model_utf8(p, n, &left) == TEXT_BAD;

    for (size_t cut = 0; cut <= n; cut++)
        check_cut(p, n, cut);
    assert_int_equal(utf8_whole(p, n), bad ? SIZE_MAX : n - left);
}

static void agrees_on_all_of_one_and_two_bytes(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 0x10000; v++) {
        uint8_t p[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        check_all_cuts(p, 1);
        check_all_cuts(p, 2);
    }
}

/* cmocka's checks cost too much to be made 16 million times. */
static bool three_agree(const uint8_t p[3])
{
    size_t left;
    enum model_text want = model_utf8(p, 3, &left);

    for (size_t cut = 0; cut < 3; cut++) {
        struct utf8 u = {0};
        bool ok = utf8_feed(&u, p, cut) && utf8_feed(&u, p + cut, 3 - cut);
        if (ok != (want != TEXT_BAD) ||
            (ok && (u.have != left || utf8_done(&u) != (left == 0))))
            return false;
    }
    return true;
}

static void agrees_on_all_of_three_bytes(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 0x1000000; v++) {
        const uint8_t p[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8),
                              (uint8_t)v};
        if (!three_agree(p))
            fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
    }
}

/* Bytes that decide something come often; all others now and then. */
static uint8_t telling_byte(struct rng *r)
{
    static const uint8_t bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                    0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
                                    0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1,
                                    0xf3, 0xf4, 0xf5, 0xf8, 0xff};

    return rng_below(r, 4) ? bytes[rng_below(r, LEN(bytes))]
                           : (uint8_t)rng_next(r);
}

static void agrees_on_samples_of_four_and_more(void **state)
{
    struct rng r = rng_of(20);
    uint8_t p[12];
    (void)state;

    for (int i = 0; i < 200000; i++) {
        size_t n = 4 + rng_below(&r, sizeof(p) - 3);
        for (size_t k = 0; k < n; k++)
            p[k] = telling_byte(&r);
        if (i % 2)
            p[0] = (uint8_t)(0xf0 + rng_below(&r, 6));
        check_all_cuts(p, n);
    }
}

static size_t encode(uint32_t c, uint8_t *p)
{
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1; c >>= 6)
        p[i] = (uint8_t)(0x80 | (c & 0x3f));
    p[0] = (uint8_t)(len == 1 ? c : (0xf00U >> len & 0xff) | c);
    return len;
}

static void accepts_every_character(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint8_t p[4];
        size_t n = encode(c, p);
        struct utf8 u = {0};
        bool want = c < 0xd800 || c > 0xdfff;
        if ((utf8_feed(&u, p, n) && utf8_done(&u)) != want)
            fail_msg("U+%04X", (unsigned)c);
    }
}

static void finds_faults_behind_ascii(void **state)
{
    static const char *const tails[] = {"\xff", "\xc3\xa9", "\xc3", "\xed\xa0",
                                        "\xf0\x9f\x98\x80"};
    uint8_t p[64];
    (void)state;

    for (size_t before = 0; before < 40; before++)
        for (size_t t = 0; t < LEN(tails); t++)
            for (size_t after = 0; after < 20; after++) {
                size_t n = strlen(tails[t]);
                memset(p, 'a', sizeof(p));
                memcpy(p + before, tails[t], n);
                uint8_t *text = copy_of(p, before + n + after);
                check_all_cuts(text, before + n + after);
                free(text);
            }
}

static void leaves_at_most_a_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_whole(BYTES("")), 0);
    assert_int_equal(utf8_whole(BYTES("abc")), 3);
    assert_int_equal(utf8_whole(BYTES("ab\xf0\x9f\x98")), 2);
    assert_int_equal(utf8_whole(BYTES("ab\xf0\x9f\x98\x80")), 6);
    assert_int_equal(utf8_whole(BYTES("ab\x80")), SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_on_all_of_one_and_two_bytes),
        cmocka_unit_test(agrees_on_all_of_three_bytes),
        cmocka_unit_test(agrees_on_samples_of_four_and_more),
        cmocka_unit_test(accepts_every_character),
        cmocka_unit_test(finds_faults_behind_ascii),
        cmocka_unit_test(leaves_at_most_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
