/* SPDX-License-Identifier: Apache-2.0 */
/* Frame headers and masking, RFC 6455 sections 5.2 and 5.3. */
#include "unit.h"

#include "../../gateway/wire/ws_frame.h"

static const struct {
    const char *name;
    const uint8_t *in;
    size_t n;
    int want;
    uint64_t len;
} cases[] = {
    {"nothing", BYTES(""), 0, 0},
    {"7-bit length", BYTES("\x81\x05"), 2, 5},
    {"empty", BYTES("\x82\x00"), 2, 0},
    {"largest 7-bit length", BYTES("\x82\x7d"), 2, 125},
    {"masked", BYTES("\x81\x85\1\2\3\4"), 6, 5},
    {"masked, key cut", BYTES("\x81\x85\1\2\3"), 0, 0},
    {"smallest 16-bit length", BYTES("\x82\x7e\x00\x7e"), 4, 126},
    {"largest 16-bit length", BYTES("\x82\xfe\xff\xff\1\2\3\4"), 8, 65535},
    {"16-bit length not minimal", BYTES("\x82\x7e\x00\x7d"), -1, 0},
    {"16-bit length zero", BYTES("\x82\x7e\x00\x00"), -1, 0},
    {"smallest 64-bit length", BYTES("\x82\x7f\0\0\0\0\0\1\0\0"), 10, 65536},
    {"64-bit length not minimal", BYTES("\x82\x7f\0\0\0\0\0\0\xff\xff"), -1, 0},
    {"largest length", BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 10,
     INT64_MAX},
    {"top bit set", BYTES("\x82\x7f\x80\0\0\0\0\0\0\0"), -1, 0},
    {"all bits set", BYTES("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), -1, 0},
    {"bad length refused before its key comes",
     BYTES("\x82\xff\x80\0\0\0\0\0\0\0"), -1, 0},
    {"continuation", BYTES("\x00\x01"), 2, 1},
    {"ping, full", BYTES("\x89\x7d"), 2, 125},
    {"ping, too big", BYTES("\x89\x7e"), -1, 0},
    {"close, 64-bit length", BYTES("\x88\xff"), -1, 0},
    {"fragmented ping", BYTES("\x09"), -1, 0},
    {"fragmented close", BYTES("\x08"), -1, 0},
    {"RSV is the caller's to judge", BYTES("\xf1\x00"), 2, 0},
};

static void decodes_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct ws_head h = {0};
        uint8_t *in = copy_of(cases[i].in, cases[i].n);
        print_message("%s\n", cases[i].name);
        assert_int_equal(ws_head_decode(&h, in, cases[i].n), cases[i].want);
        if (cases[i].want > 0)
            assert_int_equal(h.payload_len, cases[i].len);
        free(in);
    }
}

/* Whatever is cut is "more", or refused already; never something else. */
static void asks_for_more_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++)
        for (size_t n = 0; n < cases[i].n; n++) {
            struct ws_head h;
            uint8_t *in = copy_of(cases[i].in, n);
            int got = ws_head_decode(&h, in, n);
            assert_true(got == 0 || (got == -1 && cases[i].want == -1));
            free(in);
        }
}

static void reads_every_pair_of_bytes(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 0x10000; v++) {
        uint8_t in[WS_HEAD_MAX] = {
            (uint8_t)(v >> 8), (uint8_t)v, 1, 0, 0, 0, 0, 0, 0, 0};
        unsigned opcode = in[0] & 0xf, len = in[1] & 0x7f;
        bool fin = in[0] >> 7, masked = in[1] >> 7;
        bool bad = (opcode > 2 && opcode < 8) || opcode > 10 ||
                   (opcode >= 8 && (!fin || len > 125));
        int size = 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (masked ? 4 : 0);
        struct ws_head h;

        assert_int_equal(ws_head_decode(&h, in, sizeof(in)), bad ? -1 : size);
        if (bad)
            continue;
        assert_int_equal(h.fin, fin);
        assert_int_equal(h.masked, masked);
        assert_int_equal(h.rsv, in[0] >> 4 & 7);
        assert_int_equal(h.opcode, opcode);
    }
}

static void encodes_what_it_decodes(void **state)
{
    static const struct {
        uint64_t len;
        size_t size;
    } lens[] = {
        {0, 2},         {1, 2},   {125, 2},   {126, 4},    {127, 4},
        {255, 4},       {256, 4}, {65535, 4}, {65536, 10}, {0x100000000, 10},
        {INT64_MAX, 10}};
    static const uint8_t opcodes[] = {WS_CONTINUATION, WS_TEXT, WS_BINARY,
                                      WS_CLOSE,        WS_PING, WS_PONG};
    (void)state;

    for (size_t i = 0; i < LEN(lens); i++)
        for (size_t o = 0; o < LEN(opcodes); o++)
            for (int fin = 0; fin < 2; fin++) {
                uint8_t room[WS_SERVER_HEAD_MAX + 2];
                uint8_t *end = room + sizeof(room) - 1;
                struct ws_head h;

                if (opcodes[o] >= WS_CLOSE && (!fin || lens[i].len > 125))
                    continue;
                memset(room, 0xaa, sizeof(room));
                size_t n =
                    ws_head_encode_before(end, fin, opcodes[o], lens[i].len);
                assert_int_equal(n, lens[i].size);
                assert_int_equal(end[0], 0xaa);
                assert_int_equal(end[-1 - (ptrdiff_t)n], 0xaa);
                assert_int_equal(ws_head_decode(&h, end - n, n), (int)n);
                assert_int_equal(h.payload_len, lens[i].len);
                assert_int_equal(h.opcode, opcodes[o]);
                assert_int_equal(h.fin, fin);
                assert_false(h.masked);
                assert_int_equal(h.rsv, 0);
            }
}

enum { MOST = 300, FARTHEST = 40, ALIGN = 16, MARGIN = 16 };
enum { ARENA = MARGIN + ALIGN + FARTHEST + MOST + MARGIN };

/* One case against the byte-wise definition; what lies around is unharmed. */
static void check_unmask(const uint8_t *fill, size_t at, size_t distance,
                         size_t n, unsigned phase)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t got[ARENA], want[ARENA];
    uint8_t *dst = got + MARGIN + at;

    memcpy(got, fill, ARENA);
    memcpy(want, fill, ARENA);
    for (size_t i = 0; i < n; i++)
        want[MARGIN + at + i] =
            (uint8_t)(fill[MARGIN + at + distance + i] ^ key[(phase + i) % 4]);
    ws_unmask(dst, dst + distance, n, key, phase);
    if (memcmp(got, want, ARENA) != 0)
        fail_msg("at %zu, distance %zu, n %zu, phase %u", at, distance, n,
                 phase);
}

static void unmasks_as_defined(void **state)
{
    struct rng r = rng_of(7);
    uint8_t fill[ARENA];
    (void)state;

    for (size_t i = 0; i < ARENA; i++)
        fill[i] = (uint8_t)rng_next(&r);
    for (size_t at = 0; at < ALIGN; at++)
        for (size_t distance = 0; distance <= FARTHEST; distance++)
            for (size_t n = 0; n <= MOST; n++)
                for (unsigned phase = 0; phase < 4; phase++)
                    check_unmask(fill, at, distance, n, phase);
}

static void unmasks_exactly_its_bytes(void **state)
{
    static const uint8_t key[4] = {1, 2, 3, 4};
    (void)state;

    for (size_t n = 0; n <= MOST; n++) {
        uint8_t zeros[MOST] = {0};
        uint8_t *src = copy_of(zeros, n), *dst = copy_of(zeros, n);
        ws_unmask(dst, src, n, key, 0); /* apart, and at their very ends */
        for (size_t i = 0; i < n; i++)
            assert_int_equal(dst[i], key[i % 4]);
        free(src);
        free(dst);
    }
}

/* The example of RFC 6455 section 5.7. */
static void unmasks_hello(void **state)
{
    uint8_t p[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                   0x7f, 0x9f, 0x4d, 0x51, 0x58};
    struct ws_head h;
    (void)state;

    assert_int_equal(ws_head_decode(&h, p, sizeof(p)), 6);
    ws_unmask(p, p + 6, 2, h.key, 0);
    ws_unmask(p + 2, p + 8, 3, h.key, 2);
    assert_memory_equal(p, "Hello", 5);
}

static void knows_the_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= 0xffff; code++) {
        bool want = false;
        switch (code) {
        case 1000:
        case 1001:
        case 1002:
        case 1003:
        case 1007:
        case 1008:
        case 1009:
        case 1010:
        case 1011:
        case 1012:
        case 1013:
        case 1014:
            want = true;
            break;
        default:
            want = code / 1000 == 3 || code / 1000 == 4;
        }
        assert_int_equal(ws_code_valid(code), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_the_table),
        cmocka_unit_test(asks_for_more_at_every_cut),
        cmocka_unit_test(reads_every_pair_of_bytes),
        cmocka_unit_test(encodes_what_it_decodes),
        cmocka_unit_test(unmasks_as_defined),
        cmocka_unit_test(unmasks_exactly_its_bytes),
        cmocka_unit_test(unmasks_hello),
        cmocka_unit_test(knows_the_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
