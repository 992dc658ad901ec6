/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of client frames: what they mean, wherever reads cut them. */
#include "unit.h"

#include "ws_client.h"

#define KEY "\0\0\0\0" /* so that payloads can be read here */

static const struct {
    const char *name;
    const uint8_t *in;
    size_t n;
    const char *want;
    struct ws_stream_limits limits;
} cases[] = {
    {"nothing", BYTES(""), "", {0}},
    {"text", BYTES("\x81\x85" KEY "Hello"), "text(Hello) ", {0}},
    {"the example of section 5.7",
     BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
     "text(Hello) ",
     {0}},
    {"binary",
     BYTES("\x82\x83" KEY "\0\xff\\"),
     "binary(\\x00\\xff\\x5c) ",
     {0}},
    {"empty text", BYTES("\x81\x80" KEY), "text() ", {0}},
    {"empty binary twice",
     BYTES("\x82\x80" KEY "\x82\x80" KEY),
     "binary() binary() ",
     {0}},
    {"two messages",
     BYTES("\x81\x82" KEY "ab\x82\x81" KEY "c"),
     "text(ab) binary(c) ",
     {0}},
    {"three fragments",
     BYTES("\x01\x82" KEY "ab\x00\x82" KEY "cd\x80\x81" KEY "e"),
     "text(abcde) ",
     {0}},
    {"empty fragments",
     BYTES("\x02\x80" KEY "\x00\x80" KEY "\x00\x81" KEY "a\x00\x80" KEY
           "\x80\x80" KEY),
     "binary(a) ",
     {0}},
    {"a message of empty fragments",
     BYTES("\x02\x80" KEY "\x00\x80" KEY "\x80\x80" KEY),
     "binary() ",
     {0}},
    {"header cut", BYTES("\x81\x85" KEY), "", {0}},
    {"payload cut", BYTES("\x81\x85" KEY "Hel"), "text(Hel... ", {0}},

    {"ping", BYTES("\x89\x82" KEY "hi"), "ping(hi) ", {0}},
    {"empty ping, pong",
     BYTES("\x89\x80" KEY "\x8a\x80" KEY),
     "ping() pong() ",
     {0}},
    {"ping between fragments",
     BYTES("\x01\x83" KEY "abc\x89\x81" KEY "x\x8a\x81" KEY "y\x80\x81" KEY
           "d"),
     "ping(x)@3 pong(y)@3 text(abcd) ",
     {0}},
    {"ping within a character",
     BYTES("\x01\x81" KEY "\xc3\x89\x81" KEY "\xff\x80\x81" KEY "\xa9"),
     "ping(\\xff)@1 text(\\xc3\\xa9) ",
     {0}},
    {"ping cut", BYTES("\x89\x85" KEY "ab"), "", {0}},

    {"close", BYTES("\x88\x80" KEY), "close 1005 () ", {0}},
    {"close with code",
     BYTES("\x88\x82" KEY "\x03\xe8"),
     "close 1000 () ",
     {0}},
    {"close with reason",
     BYTES("\x88\x85" KEY "\x0f\xa0"
           "bye"),
     "close 4000 (bye) ",
     {0}},
    {"close within a message",
     BYTES("\x02\x81" KEY "a\x88\x82" KEY "\x03\xe9"),
     "binary(a... close 1001 () ",
     {0}},
    {"what follows a close",
     BYTES("\x88\x80" KEY "\x81\x81" KEY "a\xff\xff"),
     "close 1005 () ",
     {0}},
    {"close, half a code", BYTES("\x88\x81" KEY "\x03"), "fault 1002 ", {0}},
    {"close 1005", BYTES("\x88\x82" KEY "\x03\xed"), "fault 1002 ", {0}},
    {"close 1006", BYTES("\x88\x82" KEY "\x03\xee"), "fault 1002 ", {0}},
    {"close 1015", BYTES("\x88\x82" KEY "\x03\xf7"), "fault 1002 ", {0}},
    {"close 999", BYTES("\x88\x82" KEY "\x03\xe7"), "fault 1002 ", {0}},
    {"close 5000", BYTES("\x88\x82" KEY "\x13\x88"), "fault 1002 ", {0}},
    {"close, bad reason",
     BYTES("\x88\x83" KEY "\x03\xe8\xff"),
     "fault 1007 ",
     {0}},
    {"close, reason cut",
     BYTES("\x88\x83" KEY "\x03\xe8\xc3"),
     "fault 1007 ",
     {0}},

    {"unmasked", BYTES("\x81\x05Hello"), "fault 1002 ", {0}},
    {"unmasked and empty", BYTES("\x81\x00"), "fault 1002 ", {0}},
    {"unmasked ping", BYTES("\x89\x00"), "fault 1002 ", {0}},
    {"unmasked, 16 bits", BYTES("\x82\x7e\x01\x00"), "fault 1002 ", {0}},
    {"RSV1", BYTES("\xc1\x80" KEY), "fault 1002 ", {0}},
    {"RSV2", BYTES("\xa1\x80" KEY), "fault 1002 ", {0}},
    {"RSV3", BYTES("\x91\x80" KEY), "fault 1002 ", {0}},
    {"RSV1 on a ping", BYTES("\xc9\x80" KEY), "fault 1002 ", {0}},
    {"reserved opcodes", BYTES("\x83"), "fault 1002 ", {0}},
    {"reserved control opcode", BYTES("\x8b"), "fault 1002 ", {0}},
    {"fragmented ping", BYTES("\x09"), "fault 1002 ", {0}},
    {"ping of 126 bytes", BYTES("\x89\xfe"), "fault 1002 ", {0}},
    {"length not minimal", BYTES("\x82\xfe\x00\x05"), "fault 1002 ", {0}},
    {"top bit", BYTES("\x82\xff\x80\0\0\0\0\0\0\0"), "fault 1002 ", {0}},
    {"continuation of nothing", BYTES("\x80\x81" KEY "a"), "fault 1002 ", {0}},
    {"continuation after the end",
     BYTES("\x81\x81" KEY "a\x80\x81" KEY "b"),
     "text(a) fault 1002 ",
     {0}},
    {"message within a message",
     BYTES("\x02\x81" KEY "a\x82\x81" KEY "b"),
     "binary(a... fault 1002 ",
     {0}},
    {"message within an empty message",
     BYTES("\x02\x80" KEY "\x82\x81" KEY),
     "fault 1002 ",
     {0}},
    {"what follows a fault",
     BYTES("\x83\x80" KEY "\x81\x81" KEY "a"),
     "fault 1002 ",
     {0}},

    {"not UTF-8",
     BYTES("\x81\x83" KEY "a\xff"
           "b"),
     "fault 1007 ",
     {0}},
    {"refused before the frame has come",
     BYTES("\x81\xfe\x10\x00" KEY "a\xff"),
     "fault 1007 ",
     {0}},
    {"unfinished character", BYTES("\x81\x82" KEY "a\xc3"), "fault 1007 ", {0}},
    {"unfinished, then an empty end",
     BYTES("\x01\x82" KEY "a\xc3\x80\x80" KEY),
     "fault 1007 ",
     {0}},
    {"character across fragments",
     BYTES("\x01\x81" KEY "\xe2\x00\x81" KEY "\x82\x80\x81" KEY "\xac"),
     "text(\\xe2\\x82\\xac) ",
     {0}},
    {"surrogate across fragments",
     BYTES("\x01\x81" KEY "\xed\x00\x81" KEY "\xa0"),
     "fault 1007 ",
     {0}},
    {"state does not outlive a message",
     BYTES("\x81\x82" KEY "\xc3\xa9\x81\x82" KEY "\xc3\xa9"),
     "text(\\xc3\\xa9) text(\\xc3\\xa9) ",
     {0}},
    {"binary may be anything",
     BYTES("\x82\x81" KEY "\xff"),
     "binary(\\xff) ",
     {0}},

    {"as big as allowed",
     BYTES("\x82\x84" KEY "abcd"),
     "binary(abcd) ",
     {.message_bytes = 4}},
    {"one more", BYTES("\x82\x85" KEY), "fault 1009 ", {.message_bytes = 4}},
    {"one more in a fragment",
     BYTES("\x02\x84" KEY "abcd\x89\x80" KEY "\x80\x81" KEY),
     "ping()@4 binary(abcd... fault 1009 ",
     {.message_bytes = 4}},
    {"an empty end still fits",
     BYTES("\x02\x84" KEY "abcd\x80\x80" KEY "\x82\x81" KEY "e"),
     "binary(abcd) binary(e) ",
     {.message_bytes = 4}},
    {"the largest length",
     BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY),
     "fault 1009 ",
     {.message_bytes = 1 << 20}},
    {"the largest length as a second fragment",
     BYTES("\x02\x81" KEY "a\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY),
     "binary(a... fault 1009 ",
     {.message_bytes = 1 << 20}},
    {"the largest length, any size allowed",
     BYTES("\x02\x81" KEY "a\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY "b"),
     "binary(ab... ",
     {0}},
    {"controls are no part of a message",
     BYTES("\x02\x81" KEY "a\x89\x84" KEY "ping\x80\x81" KEY "b"),
     "ping(ping)@1 binary(ab) ",
     {.message_bytes = 2, .fragments = 2}},
    {"as many fragments as allowed",
     BYTES("\x02\x81" KEY "a\x00\x80" KEY "\x80\x80" KEY "\x82\x80" KEY),
     "binary(a) binary() ",
     {.fragments = 3}},
    {"one fragment more",
     BYTES("\x02\x81" KEY "a\x00\x80" KEY "\x00\x80" KEY "\x80\x80" KEY),
     "binary(a... fault 1008 ",
     {.fragments = 3}},
    {"empty fragments count",
     BYTES("\x02\x80" KEY "\x00\x80" KEY "\x00\x80" KEY),
     "fault 1008 ",
     {.fragments = 2}},
};

/* Feed p[0..n) cut at `cut` and then every `step` bytes. */
static void check_fed(const uint8_t *p, size_t n, size_t cut, size_t step,
                      enum place place, const struct ws_stream_limits *limits,
                      const char *want)
{
    struct feeder f = {.place = place, .limits = *limits};

    feed(&f, p, cut);
    for (size_t at = cut; at < n; at += step)
        feed(&f, p + at, min_size(step, n - at));
    assert_string_equal(trace_line(&f.trace), want);
    feeder_free(&f);
}

static void tells_the_table_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        const size_t n = cases[i].n;
        print_message("%s\n", cases[i].name);
        for (enum place place = 0; place < PLACES; place++) {
            for (size_t cut = 0; cut <= n; cut++)
                check_fed(cases[i].in, n, cut, n + 1, place, &cases[i].limits,
                          cases[i].want);
            for (size_t step = 1; step < 8; step++)
                check_fed(cases[i].in, n, 0, step, place, &cases[i].limits,
                          cases[i].want);
        }
    }
}

/* The model that judges the fuzzer's input must itself be right. */
static void has_a_model_that_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct model m = {
            .p = cases[i].in, .n = cases[i].n, .limits = cases[i].limits};
        print_message("%s\n", cases[i].name);
        model_stream(&m);
        assert_string_equal(trace_line(&m.trace), cases[i].want);
        trace_free(&m.trace);
    }
}

/* ---- random streams ------------------------------------------------------*/

struct source {
    struct rng rng;
    struct bytes wire;  /* what to feed */
    struct trace trace; /* what must be told */
};

static void send_frame(struct source *s, unsigned first, const void *p,
                       size_t n)
{
    uint8_t key[4];

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)rng_next(&s->rng);
    put_frame(&s->wire, first, key, p, n);
}

static void send_control(struct source *s)
{
    uint8_t p[WS_CONTROL_MAX];
    size_t n = rng_below(&s->rng, 3) ? rng_below(&s->rng, 8)
                                     : rng_below(&s->rng, sizeof(p) + 1);
    uint8_t opcode = rng_below(&s->rng, 2) ? WS_PING : WS_PONG;

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rng_next(&s->rng);
    send_frame(s, 0x80U | opcode, p, n);
    trace_control(&s->trace, opcode, p, n);
}

static size_t some_size(struct rng *r)
{
    static const size_t sizes[] = {0,   1,   2,   7,    8,     63,    64,
                                   65,  124, 125, 126,  127,   128,   255,
                                   256, 300, 999, 4096, 65535, 65536, 70000};

    return sizes[rng_below(r, rng_below(r, 20) ? 16 : LEN(sizes))];
}

/* Random characters of all lengths, n bytes of them. */
static void fill_text(struct rng *r, uint8_t *p, size_t n)
{
    static const char *const chars[] = {"a",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "\xed\x9f\xbf",
                                        "\xf4\x8f\xbf\xbf"};
    size_t used = 0;

    while (used < n) {
        const char *c = chars[rng_below(r, 4) ? 0 : rng_below(r, LEN(chars))];
        if (strlen(c) > n - used)
            c = "z";
        memcpy(p + used, c, strlen(c));
        used += strlen(c);
    }
}

static void send_message(struct source *s)
{
    static uint8_t p[70000];
    size_t n = some_size(&s->rng), at = 0;
    uint8_t opcode = rng_below(&s->rng, 2) ? WS_TEXT : WS_BINARY;
    unsigned first = opcode;
    size_t fragments = rng_below(&s->rng, 2) ? 1 : 1 + rng_below(&s->rng, 6);

    if (opcode == WS_TEXT)
        fill_text(&s->rng, p, n);
    else
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)rng_next(&s->rng);
    s->trace.opcode = opcode;
    for (; fragments > 1; fragments--) {
        size_t part = rng_below(&s->rng, n - at + 1);
        send_frame(s, first, p + at, part);
        bytes_add(&s->trace.open, p + at, part);
        at += part;
        first = WS_CONTINUATION;
        while (rng_below(&s->rng, 3) == 0)
            send_control(s);
    }
    send_frame(s, 0x80 | first, p + at, n - at);
    bytes_add(&s->trace.open, p + at, n - at);
    trace_message(&s->trace, ") ");
}

/* Reads of any size; small ones often. */
static void feed_at_random(struct feeder *f, struct rng *r,
                           const struct bytes *wire)
{
    static const size_t most[] = {1, 3, 16, 130, 2000, 65536};
    size_t top = most[rng_below(r, LEN(most))];

    for (size_t at = 0, n; at < wire->n; at += n) {
        n = min_size(1 + rng_below(r, top), wire->n - at);
        feed(f, wire->p + at, n);
    }
}

static void carries_random_streams(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 600; seed++) {
        struct source s = {.rng = rng_of(seed)};
        for (size_t i = rng_below(&s.rng, 12); i > 0; i--) {
            send_message(&s);
            while (rng_below(&s.rng, 3) == 0)
                send_control(&s);
        }
        const char *want = trace_line(&s.trace);
        for (enum place place = 0; place < PLACES; place++) {
            struct feeder f = {.place = place};
            feed_at_random(&f, &s.rng, &s.wire);
            assert_string_equal(trace_line(&f.trace), want);
            feeder_free(&f);
        }
        struct model m = {.p = s.wire.p, .n = s.wire.n};
        model_stream(&m);
        assert_string_equal(trace_line(&m.trace), want);
        trace_free(&m.trace);
        bytes_free(&s.wire);
        trace_free(&s.trace);
    }
}

/* Any one byte of a sound stream changed: no cut makes a difference. */
static void judges_damage_the_same_at_every_cut(void **state)
{
    static const uint8_t sound[] = "\x01\x83" KEY "\xe2\x82\xac"
                                   "\x89\x81" KEY "p"
                                   "\x80\x81" KEY "a"
                                   "\x82\xfe\x00\x7e" KEY;
    const size_t n = sizeof(sound) - 1;
    const struct ws_stream_limits limits = {.message_bytes = 200};
    (void)state;

    for (size_t at = 0; at < n; at++)
        for (unsigned v = 0; v < 256; v++) {
            uint8_t p[sizeof(sound)];
            memcpy(p, sound, sizeof(sound));
            p[at] = (uint8_t)v;
            struct model m = {.p = p, .n = n, .limits = limits};
            model_stream(&m);
            const char *want = trace_line(&m.trace);
            check_fed(p, n, 0, n, v % PLACES, &limits, want);
            check_fed(p, n, 0, 1, v % PLACES, &limits, want);
            check_fed(p, n, v % n, n, v % PLACES, &limits, want);
            trace_free(&m.trace);
        }
}

/* Runs of short messages among all else, wherever reads cut them. */
static void gathers_what_it_may(void **state)
{
    static const size_t steps[] = {1, 5, 64, 200, 1 << 20};
    (void)state;

    for (unsigned seed = 1; seed <= 200; seed++) {
        struct source s = {.rng = rng_of(seed)};
        for (size_t i = 0; i < 60; i++) {
            uint8_t p[130] = {(uint8_t)i};
            if (rng_below(&s.rng, 12) == 0)
                send_message(&s);
            else if (rng_below(&s.rng, 12) == 0)
                send_control(&s);
            else
                send_frame(&s, 0x82, p, rng_below(&s.rng, sizeof(p)));
        }
        for (size_t i = 0; i < LEN(steps); i++)
            check_gathers(s.wire.p, s.wire.n, steps[i]);
        bytes_free(&s.wire);
        trace_free(&s.trace);
    }
}

static void gathers_into_one_event(void **state)
{
    struct bytes wire = {0};
    struct ws_stream s = {0};
    struct ws_event e;
    (void)state;

    size_t n = 0;
    for (unsigned i = 0; i < 50; n += i % 11, i++)
        put_frame(&wire, 0x82, (const uint8_t[]){1, 2, 3, (uint8_t)i},
                  "0123456789", i % 11);
    put_frame(&wire, 0x02, (const uint8_t[4]){0}, "part", 4);
    struct ws_input input = {wire.p, wire.p + wire.n, NULL, true};
    const struct ws_stream_limits any = {0};
    assert_int_equal(ws_stream_next(&s, &input, &any, &e), WS_GOT_DATA);
    assert_int_equal(e.messages, 50);
    assert_int_equal(e.n, n);
    assert_true(e.first && e.last);
    assert_int_equal(ws_stream_next(&s, &input, &any, &e), WS_GOT_DATA);
    assert_int_equal(e.messages, 1);
    assert_memory_equal(e.p, "part", 4);
    assert_false(e.last);
    bytes_free(&wire);
}

/* ---- single promises -----------------------------------------------------*/

/* In front of a payload that lies where it came, the header of the same frame
 * from a server has room. */
static void leaves_room_for_a_header(void **state)
{
    static const size_t sizes[] = {0, 125, 126, 65535, 65536};
    static const uint8_t key[4] = {1, 2, 3, 4};
    static uint8_t payload[65536];
    (void)state;

    for (size_t i = 0; i < LEN(sizes); i++) {
        struct bytes wire = {0};
        struct ws_stream s = {0};
        struct ws_event e;
        uint8_t head[WS_SERVER_HEAD_MAX];

        put_frame(&wire, 0x82, key, payload, sizes[i]);
        struct ws_input input = {wire.p, wire.p + wire.n, NULL, false};
        assert_int_equal(
            ws_stream_next(&s, &input, &(struct ws_stream_limits){0}, &e),
            WS_GOT_DATA);
        size_t size =
            ws_head_encode_before(head + sizeof(head), true, WS_BINARY, e.n);
        assert_int_equal(e.p - wire.p, size + 4);
        assert_true(e.first && e.last);
        ws_stream_free(&s);
        bytes_free(&wire);
    }
}

static void holds_to_limits_that_shrink(void **state)
{
    struct feeder f = {.limits = {.message_bytes = 100}};
    (void)state;

    feed(&f, BYTES("\x02\x85" KEY "Hello"));
    f.limits.message_bytes = 3;
    feed(&f, BYTES("\x80\x80" KEY));
    assert_string_equal(trace_line(&f.trace), "binary(Hello... fault 1009 ");
    feeder_free(&f);
}

/* A frame of 2^62 bytes is passed on like any other, nothing kept. */
static void streams_frames_of_any_size(void **state)
{
    struct ws_stream s = {0};
    uint8_t p[1000] = "\x82\xff\x40\0\0\0\0\0\0\0" KEY;
    struct ws_event e;
    struct ws_input input = {p, p + 14, NULL, false};
    const struct ws_stream_limits any = {0};
    (void)state;

    assert_int_equal(ws_stream_next(&s, &input, &any, &e), WS_GOT_MORE);
    for (int i = 0; i < 100; i++) {
        input = (struct ws_input){p, p + sizeof(p), NULL, false};
        assert_int_equal(ws_stream_next(&s, &input, &any, &e), WS_GOT_DATA);
        assert_int_equal(e.n, sizeof(p));
        assert_int_equal(e.first, i == 0);
        assert_false(e.last);
        assert_int_equal(ws_stream_next(&s, &input, &any, &e), WS_GOT_MORE);
    }
    assert_int_equal(s.frame_left, (UINT64_C(1) << 62) - 100 * sizeof(p));
}

static void writes_close_payloads(void **state)
{
    uint8_t out[WS_CONTROL_MAX];
    char reason[300];
    (void)state;

    assert_int_equal(ws_close_payload(out, WS_CODE_NONE, "ignored"), 0);
    assert_int_equal(ws_close_payload(out, 1000, NULL), 2);
    assert_memory_equal(out, "\x03\xe8", 2);
    assert_int_equal(ws_close_payload(out, 4999, "bye"), 5);
    assert_memory_equal(out,
                        "\x13\x87"
                        "bye",
                        5);
    assert_int_equal(ws_close_payload(out, 1001, ""), 2);

    for (size_t n = 0; n < 140; n++) { /* before, at and over the end */
        memset(reason, 'x', n);
        memcpy(reason + n, "\xe2\x82\xac\xe2\x82\xac", 7);
        size_t cut = n > 123 ? 123 : n > 120 ? n : n > 117 ? n + 3 : n + 6;
        assert_int_equal(ws_close_payload(out, 1000, reason), 2 + cut);
        assert_memory_equal(out + 2, reason, cut);
    }
    assert_int_equal(ws_close_payload(out, 1000, "a\xff"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_table_at_every_cut),
        cmocka_unit_test(has_a_model_that_agrees),
        cmocka_unit_test(gathers_what_it_may),
        cmocka_unit_test(gathers_into_one_event),
        cmocka_unit_test(carries_random_streams),
        cmocka_unit_test(judges_damage_the_same_at_every_cut),
        cmocka_unit_test(leaves_room_for_a_header),
        cmocka_unit_test(holds_to_limits_that_shrink),
        cmocka_unit_test(streams_frames_of_any_size),
        cmocka_unit_test(writes_close_payloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
