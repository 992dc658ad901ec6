/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which queued output leaves: whatever was
 * put, however it is taken. */
#include "unit.h"

#include <stdlib.h>

#include "../../gateway/net/outbox.h"

/* ---- helpers ------------------------------------------------------------ */

static struct iovec text(const char *s)
{
    return (struct iovec){(void *)(uintptr_t)s, strlen(s)};
}

static void put(struct outbox *b, const char *s, size_t skip)
{
    const struct iovec v = text(s);
    assert_int_equal(outbox_put(b, &v, 1, v.iov_len, skip), 0);
}

static void put_shared(struct outbox *b, const char *s, size_t skip)
{
    struct shared *sh = shared_new(strlen(s));
    assert_non_null(sh);
    memcpy(sh->bytes, s, sh->n);
    assert_int_equal(outbox_put_shared(b, sh, skip), 0);
    shared_unref(sh);
}

static void put_urgent(struct outbox *b, const char *s)
{
    assert_int_equal(outbox_put_urgent(b, s, strlen(s)), 0);
}

/* The next n bytes leave, as the kernel would take them, to out. */
static void leave(struct outbox *b, size_t n, char *out)
{
    struct iovec v[OUTBOX_IOV];
    size_t left = n;
    int pieces = outbox_peek(b, v);

    for (int i = 0; i < pieces && left > 0; i++) {
        size_t cut = v[i].iov_len < left ? v[i].iov_len : left;
        memcpy(out, v[i].iov_base, cut);
        out += cut;
        left -= cut;
    }
    *out = '\0';
    assert_int_equal(left, 0);
    outbox_take(b, n);
}

/* Take everything, `at_once` bytes at a time. */
static void drain(struct outbox *b, size_t at_once, const char *expected)
{
    char got[4096], *at = got;

    got[0] = '\0';
    while (b->bytes > 0) {
        size_t n = b->bytes < at_once ? b->bytes : at_once;
        leave(b, n, at);
        at += n;
    }
    assert_string_equal(got, expected);
    assert_null(b->first);
    assert_null(b->last);
    assert_null(b->urgent);
}

/* ---- tests -------------------------------------------------------------- */

static void in_order(void **state)
{
    (void)state;
    for (size_t at_once = 1; at_once < 12; at_once++) {
        struct outbox b = {0};
        put(&b, "one", 0);
        put_shared(&b, "two", 0);
        put(&b, "three", 0);
        put(&b, "four", 0);
        assert_int_equal(b.bytes, 15);
        drain(&b, at_once, "onetwothreefour");
    }
}

static void what_has_left_is_not_kept(void **state)
{
    struct outbox b = {0};
    const struct iovec v[] = {text("ab"), text("cd"), text("ef")};
    (void)state;

    for (size_t skip = 0; skip < 6; skip++) {
        assert_int_equal(outbox_put(&b, v, 3, 6, skip), 0);
        assert_int_equal(b.bytes, 6 - skip);
        drain(&b, 2, &"abcdef"[skip]);
        put_shared(&b, "abcdef", skip);
        drain(&b, 4, &"abcdef"[skip]);
    }
}

static void small_pieces_share_a_chunk(void **state)
{
    struct outbox b = {0};
    struct iovec v[OUTBOX_IOV];
    (void)state;

    for (int i = 0; i < 100; i++)
        put(&b, "0123456789", 0);
    assert_int_equal(outbox_peek(&b, v), 1);
    assert_int_equal(v[0].iov_len, 1000);
    outbox_clear(&b);
    assert_int_equal(b.bytes, 0);
}

static void more_pieces_than_one_write_takes(void **state)
{
    struct outbox b = {0};
    struct iovec v[OUTBOX_IOV];
    (void)state;

    for (int i = 0; i < 2 * OUTBOX_IOV; i++)
        put_shared(&b, "x", 0);
    assert_int_equal(outbox_peek(&b, v), OUTBOX_IOV);
    drain(&b, OUTBOX_IOV, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static void urgent_waits_for_what_has_begun(void **state)
{
    char got[16];
    (void)state;

    struct outbox b = {0};
    put_shared(&b, "data", 0);
    put_shared(&b, "more", 0);
    put_urgent(&b, "!!");
    drain(&b, 3, "!!datamore"); /* nothing had */

    put_shared(&b, "data", 1); /* begun when it was put */
    put_shared(&b, "more", 0);
    put_urgent(&b, "!!");
    drain(&b, 3, "ata!!more");

    put_shared(&b, "data", 0);
    put_shared(&b, "more", 0);
    leave(&b, 2, got);
    put_urgent(&b, "!!");
    drain(&b, 3, "ta!!more");

    put_urgent(&b, "!!");
    drain(&b, 1, "!!");
}

static void the_newest_urgent_stays(void **state)
{
    struct outbox b = {0};
    char got[16];
    (void)state;

    put(&b, "data", 0);
    put_urgent(&b, "<1>");
    put_urgent(&b, "<2>");
    assert_int_equal(b.bytes, 7);
    leave(&b, 1, got);     /* "<2>" is on its way: */
    put_urgent(&b, "<3>"); /* it can only be followed, */
    put_urgent(&b, "<4>"); /* by one */
    assert_int_equal(b.bytes, 9);
    drain(&b, 2, "2><4>data");

    put(&b, "data", 0);
    put_urgent(&b, "<5>");
    leave(&b, 1, got);
    put_urgent(&b, "<6>");
    outbox_clear(&b);
    assert_int_equal(b.bytes, 0);
}

static void records_are_apart(void **state)
{
    struct outbox b = {0};
    (void)state;

    assert_int_equal(outbox_peek_sealed(&b).iov_len, 0);
    put(&b, "plain", 0);
    assert_int_equal(outbox_put_sealed(&b, "abc", 3), 0);
    outbox_take_sealed(&b, 2);
    assert_int_equal(outbox_put_sealed(&b, "def", 3), 0);
    assert_int_equal(b.bytes, 9);
    struct iovec v = outbox_peek_sealed(&b);
    assert_int_equal(v.iov_len, 4);
    assert_memory_equal(v.iov_base, "cdef", 4);
    outbox_take_sealed(&b, 4);
    assert_null(b.sealed);
    drain(&b, 5, "plain");
    assert_int_equal(outbox_put_sealed(&b, "abc", 3), 0);
    outbox_clear(&b);
    assert_null(b.sealed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(what_has_left_is_not_kept),
        cmocka_unit_test(small_pieces_share_a_chunk),
        cmocka_unit_test(more_pieces_than_one_write_takes),
        cmocka_unit_test(urgent_waits_for_what_has_begun),
        cmocka_unit_test(the_newest_urgent_stays),
        cmocka_unit_test(records_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
