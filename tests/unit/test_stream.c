/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams as messages, in every mode and at every cut. */
#include "fake_host.h"

#include <openssl/evp.h>

#include "../../bridges/stream/stream.h"
#include "utf8_model.h"

extern const struct gw_bridge bridge_stream;

/* ---- a session -----------------------------------------------------------
 */

static void *route, *state;
static enum gw_take take;

static void open_with(const char *options)
{
    static const struct gw_request request = {
        .scheme = "tcp",
        .address = "h:1",
        .subprotocol = "",
        .host = "",
        .path = "/",
        .query = "",
        .client = "::1",
    };
    char err[256];

    fake_begin();
    route = fake_route(&bridge_stream, "tcp", "h:1", options, err, sizeof err);
    if (!route)
        fail_msg("%s", err);
    state = bridge_stream.open(&fake_session, route, &request, &take);
}

static void opened_with(const char *options)
{
    open_with(options);
    assert_non_null(state);
    fake_conn.dial.events->connected(fake_conn.dial.ctx);
    assert_int_equal(fake_session.accepts, 1);
}

static void finish(void)
{
    if (state)
        bridge_stream.close(state);
    bridge_stream.route_close(&fake_host, route);
    state = route = NULL;
    assert_int_equal(fake_tls_live, 0);
}

static void down(const void *p, size_t n)
{
    fake_data(fake_conn.dial.events->data, fake_conn.dial.ctx, p, n);
}

static void ended(void)
{
    fake_conn.dial.events->ended(fake_conn.dial.ctx);
}

/* Payload as it arrives; of a stream without its boundaries. */
static void up(enum gw_type type, const void *p, size_t n, bool first,
               bool last)
{
    uint8_t *copy = copy_of(p, n);
    bool slices = take == GW_SLICES;
    const struct gw_data d = {copy, n, type, slices && first, slices && last};
    bridge_stream.data(state, &d);
    free(copy);
}

static void up_text(const char *text)
{
    up(GW_TEXT, text, strlen(text), true, true);
}

static bool backend_got(const char *text)
{
    return fake_conn.n == strlen(text) &&
           memcmp(fake_conn.bytes, text, fake_conn.n) == 0;
}

/* Every text message is text. */
static void check_texts(void)
{
    size_t left;
    for (size_t i = 0; i < fake_session.n_messages; i++)
        if (fake_session.messages[i].type == GW_TEXT)
            assert_int_equal(
                model_utf8(fake_session.bytes + fake_session.messages[i].at,
                           fake_session.messages[i].n, &left),
                TEXT_WHOLE);
}

/* ---- opening and ending --------------------------------------------------
 */

static void dials_before_it_accepts(void **unused)
{
    (void)unused;

    open_with("connect_timeout=3s&proxy=v2&mode=binary");
    assert_int_equal(fake_conn.dials, 1);
    assert_string_equal(fake_conn.address, "h:1");
    assert_int_equal(fake_conn.dial.connect_timeout_ms, 3000);
    assert_int_equal(fake_conn.dial.proxy, 2);
    assert_false(fake_conn.dial.is_unix);
    assert_null(fake_conn.dial.tls);
    assert_int_equal(fake_session.accepts, 0);
    fake_conn.dial.events->failed(fake_conn.dial.ctx, 504, "too late");
    assert_int_equal(fake_session.refusals, 1);
    assert_int_equal(fake_session.status, 504);
    assert_string_equal(fake_session.why, "too late");
    finish();

    open_with("");
    fake_conn.no_memory = true;
    bridge_stream.close(state);
    state = bridge_stream.open(&fake_session, route,
                               &(struct gw_request){.address = "h:1"}, &take);
    assert_null(state);
    finish();
}

static void routes_that_are_refused(void **unused)
{
    static const struct {
        const char *scheme, *address, *options, *why;
    } cases[] = {
        {"tcp", "", "", "needs HOST:PORT"},
        {"unix", "", "", "needs a path"},
        {"tcp", "host", "", "no port"},
        {"tcp", "a:1,host", "", "no port"},
        {"tcp", "[::1]", "", "no port"},
        {"tcp", "{path.a}.example", "", "no port"},
        {"tcp", "h:1", "sni=a", "need a tls:// target"},
        {"tcp", "h:1", "insecure=true", "need a tls:// target"},
        {"unix", "/s", "ca=a.pem", "need a tls:// target"},
        {"tls", "h:1", "ca=bad.pem", "bad.pem: no use"},
        {"tcp", "h:1", "max_line=0", "max_line"},
        {"tcp", "h:1", "max_line=15", "max_line"},
        {"tcp", "h:1", "max_line=2GiB", "max_line"},
    };
    (void)unused;

    for (size_t i = 0; i < LEN(cases); i++) {
        char err[256] = "";
        fake_begin();
        print_message("%s:%s?%s\n", cases[i].scheme, cases[i].address,
                      cases[i].options);
        assert_null(fake_route(&bridge_stream, cases[i].scheme,
                               cases[i].address, cases[i].options, err,
                               sizeof err));
        if (!strstr(err, cases[i].why))
            fail_msg("%s", err);
        assert_int_equal(fake_tls_live, 0);
    }
}

static void routes_that_are_taken(void **unused)
{
    static const struct {
        const char *scheme, *address, *options;
    } cases[] = {
        {"tcp", "a:1,[::1]:2", ""},
        {"tcp", "{query.address}", ""},
        {"tcp", "{path.h}:5432", ""},
        {"unix", "/run/s", "mode=line"},
        {"tls", "h:1", "sni=a&ca=c.pem&cert=d.pem&key=e.pem&insecure=yes"},
    };
    char err[256];
    (void)unused;

    for (size_t i = 0; i < LEN(cases); i++) {
        fake_begin();
        route = fake_route(&bridge_stream, cases[i].scheme, cases[i].address,
                           cases[i].options, err, sizeof err);
        if (!route)
            fail_msg("%s", err);
        assert_int_equal(fake_tls_live, strcmp(cases[i].scheme, "tls") == 0);
        finish();
    }
    assert_string_equal(fake_tls, "a c.pem d.pem e.pem 1");
}

static void each_direction_pauses_the_other_source(void **unused)
{
    (void)unused;

    opened_with("mode=binary");
    fake_conn.answer = GW_FULL;
    up(GW_BINARY, "abc", 3, true, true);
    up(GW_BINARY, "def", 3, true, true); /* one read may bring more */
    assert_int_equal(fake_session.pauses, 1);
    assert_true(backend_got("abcdef"));
    fake_conn.dial.events->drained(fake_conn.dial.ctx);
    assert_int_equal(fake_session.resumes, 1);
    up(GW_BINARY, "g", 1, true, true);
    assert_int_equal(fake_session.pauses, 2);

    fake_session.answer = GW_FULL;
    down("xyz", 3);
    assert_int_equal(fake_conn.pauses, 1);
    bridge_stream.drained(state);
    assert_int_equal(fake_conn.resumes, 1);
    finish();
}

static void how_it_ends(void **unused)
{
    (void)unused;

    opened_with("");
    ended();
    assert_int_equal(fake_session.closes, 1);
    assert_int_equal(fake_session.cause, GW_DONE);
    finish();

    opened_with("");
    fake_conn.dial.events->lost(fake_conn.dial.ctx, "reset");
    assert_int_equal(fake_session.cause, GW_BACKEND_LOST);
    assert_string_equal(fake_session.why, "reset");
    up(GW_BINARY, "x", 1, true, true); /* to nobody */
    bridge_stream.drained(state);
    assert_int_equal(fake_conn.n + fake_conn.resumes, 0);
    finish();

    opened_with("");
    bridge_stream.client_ended(state, 1000);
    assert_int_equal(fake_conn.finishes, 1);
    assert_int_equal(fake_conn.resumes, 1);
    assert_int_equal(fake_session.closes, 0);
    down("late", 4);
    ended();
    assert_int_equal(fake_session.closes, 1);
    assert_int_equal(fake_session.cause, GW_DONE);
    finish();

    opened_with("");
    fake_conn.dial.events->lost(fake_conn.dial.ctx, "reset");
    bridge_stream.client_ended(state, 1006);
    assert_int_equal(fake_session.cause, GW_BACKEND_LOST); /* the first */
    finish();
}

static void half_close_goes_on_sending(void **unused)
{
    (void)unused;

    opened_with("half_close=true");
    ended();
    assert_int_equal(fake_session.closes, 0);
    up(GW_BINARY, "more", 4, true, true);
    assert_true(backend_got("more"));
    bridge_stream.client_ended(state, 1000);
    assert_int_equal(fake_session.closes, 1);
    assert_int_equal(fake_session.cause, GW_DONE);
    finish();

    opened_with("half_close=true"); /* or it is lost after its end */
    ended();
    fake_conn.dial.events->lost(fake_conn.dial.ctx, "reset");
    assert_int_equal(fake_session.cause, GW_BACKEND_LOST);
    finish();
}

/* ---- auto and binary -----------------------------------------------------
 */

static void binary_is_binary(void **unused)
{
    (void)unused;

    opened_with("mode=binary");
    up_text("text");
    down("\xC3\xA9", 2);
    assert_int_equal(fake_session.messages[0].type, GW_BINARY);
    assert_string_equal(fake_message(0), "\xC3\xA9");
    assert_true(backend_got("text"));
    finish();
}

static void auto_answers_in_the_type_first_seen(void **unused)
{
    (void)unused;

    opened_with("");
    down("a", 1); /* nobody has spoken */
    assert_int_equal(fake_session.messages[0].type, GW_BINARY);
    up_text("hi");
    up(GW_BINARY, "x", 1, true, true);
    down("b", 1);
    assert_int_equal(fake_session.messages[1].type, GW_TEXT);
    down("\xFF\xFD", 2); /* nothing may be lost */
    assert_int_equal(fake_session.messages[2].type, GW_BINARY);
    down("c", 1);
    assert_int_equal(fake_session.messages[3].type, GW_TEXT);
    assert_true(backend_got("hix"));
    finish();

    opened_with("");
    up(GW_BINARY, "x", 1, true, true);
    up_text("hi");
    down("b", 1);
    assert_int_equal(fake_session.messages[0].type, GW_BINARY);
    finish();
}

/* Characters of all sizes, bad bytes of all sorts, and a cut one at the end. */
static const char mixed[] =
    "a\xC3\xA9"
    "b\xE2\x82\xAC\xF0\x9F\x98\x80 \x80 \xC3( \xED\xA0\x80 \xF0\x9F\x98 "
    "\xC0\xAF \xF4\x90\x80\x80 \xFF end \xE2\x82";

static void auto_loses_no_byte_at_any_cut(void **unused)
{
    const size_t n = sizeof mixed - 1;
    (void)unused;

    for (size_t i = 0; i <= n; i++)
        for (size_t j = i; j <= n; j++) {
            opened_with("");
            up_text("");
            if (i > 0)
                down(mixed, i);
            if (j > i)
                down(mixed + i, j - i);
            if (n > j)
                down(mixed + j, n - j);
            ended();
            assert_int_equal(fake_session.n, n);
            assert_memory_equal(fake_session.bytes, mixed, n);
            check_texts();
            finish();
        }
}

/* ---- text ----------------------------------------------------------------
 */

/* Byte by byte as whole: the same text, and never a message that is none. */
static void text_is_the_same_at_every_cut(void **unused)
{
    const size_t n = sizeof mixed - 1;
    static uint8_t want[1024];
    size_t want_n = 0;
    (void)unused;

    opened_with("mode=text");
    down(mixed, n);
    ended();
    check_texts();
    assert_int_equal(fake_session.n_messages, 2); /* and the cut end */
    memcpy(want, fake_session.bytes, want_n = fake_session.n);
    assert_non_null(memmem(want, want_n, " end \xEF\xBF\xBD", 8));
    finish();

    for (size_t i = 1; i < n; i++)
        for (size_t step = 1; step < n; step += 1 + step / 2) {
            opened_with("mode=text");
            down(mixed, i);
            for (size_t at = i; at < n; at += step)
                down(mixed + at, min_size(step, n - at));
            ended();
            check_texts();
            assert_int_equal(fake_session.n, want_n);
            assert_memory_equal(fake_session.bytes, want, want_n);
            finish();
        }
}

static void text_that_is_valid_is_untouched(void **unused)
{
    static char text[40000];
    size_t n = 0;
    (void)unused;

    while (n + 16 < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, "a\xC3\xA9%zu", n);
    opened_with("mode=text");
    down(text, n);
    assert_int_equal(fake_session.n_messages, 1);
    assert_int_equal(fake_session.n, n);
    finish();

    opened_with("mode=text"); /* with bad bytes: in pieces of whole text */
    text[0] = (char)0xFF;
    text[n - 1] = (char)0xFF;
    down(text, n);
    check_texts();
    assert_int_equal(fake_session.n, n + 4);
    assert_memory_equal(fake_session.bytes + 3, text + 1, n - 2);
    finish();
}

static void text_may_be_strict(void **unused)
{
    (void)unused;

    opened_with("mode=text&invalid=close");
    down("good \xC3", 6);
    down("\xA9", 1);
    assert_int_equal(fake_session.closes, 0);
    down("bad \xFF", 5);
    assert_int_equal(fake_session.closes, 1);
    assert_int_equal(fake_session.cause, GW_BAD_DATA);
    assert_memory_equal(fake_session.bytes, "good \xC3\xA9", 7);
    finish();
}

/* ---- base64 --------------------------------------------------------------
 */

static void base64_goes_down_in_messages_that_decode(void **unused)
{
    static uint8_t bytes[30000], decoded[30000];
    struct rng rng = rng_of(5);
    (void)unused;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rng_next(&rng);
    for (int round = 0; round < 50; round++) {
        size_t n = round < 10 ? (size_t)round + 1
                              : 1 + rng_below(&rng, sizeof bytes),
               at = 0;
        opened_with("mode=base64");
        down(bytes, n);
        for (size_t i = 0; i < fake_session.n_messages; i++) {
            const uint8_t *p = fake_session.bytes + fake_session.messages[i].at;
            size_t k = fake_session.messages[i].n;
            assert_int_equal(fake_session.messages[i].type, GW_TEXT);
            int got = EVP_DecodeBlock(decoded, p, (int)k);
            assert_true(got > 0);
            got -= (p[k - 1] == '=') + (p[k - 2] == '=');
            assert_memory_equal(decoded, bytes + at, (size_t)got);
            at += (size_t)got;
        }
        assert_int_equal(at, n);
        finish();
    }
}

static void base64_comes_up_at_every_cut(void **unused)
{
    static const struct {
        const char *text, *bytes;
    } cases[] = {
        {"", ""},
        {"aGk=", "hi"},
        {"aA==", "h"},
        {"aGV5", "hey"},
        {"aGV5aGV5aGk=", "heyheyhi"},
        {"+/+/", "\xFB\xFF\xBF"},
    };
    (void)unused;

    for (size_t c = 0; c < LEN(cases); c++) {
        size_t n = strlen(cases[c].text);
        for (size_t i = 0; i <= n; i++)
            for (size_t j = i; j <= n; j++) {
                opened_with("mode=base64");
                for (int twice = 0; twice < 2; twice++) {
                    up(GW_TEXT, cases[c].text, i, true, false);
                    up(GW_TEXT, cases[c].text + i, j - i, false, false);
                    up(GW_TEXT, cases[c].text + j, n - j, false, true);
                    assert_true(backend_got(cases[c].bytes));
                    fake_conn.n = 0; /* each message stands by itself */
                }
                assert_int_equal(fake_session.closes, 0);
                finish();
            }
    }
}

static void base64_that_is_none(void **unused)
{
    static const char *const bad[] = {
        "a",        "aG",    "aGk",  "aGk==", "a===",       "====",
        "aGk=aGk=", "aGk=a", "a Gk", "aGk\n", "aG-_",       "aGl=",
        "aB==",     "=aGk",  "a=Gk", "aG=k",  "\xC3\xA9==",
    };
    (void)unused;

    for (size_t i = 0; i < LEN(bad); i++)
        for (size_t cut = 0; cut <= strlen(bad[i]); cut++) {
            opened_with("mode=base64");
            up(GW_TEXT, bad[i], cut, true, false);
            if (fake_session.closes == 0)
                up(GW_TEXT, bad[i] + cut, strlen(bad[i]) - cut, false, true);
            if (fake_session.closes == 0)
                fail_msg("taken: %s", bad[i]);
            assert_int_equal(fake_session.cause, GW_BAD_DATA);
            finish();
        }
    opened_with("mode=base64");
    up(GW_BINARY, "aGk=", 4, true, true);
    assert_int_equal(fake_session.cause, GW_UNSUPPORTED);
    finish();
}

static void base64_of_any_size(void **unused)
{
    static uint8_t bytes[100000];
    static char coded[140000];
    (void)unused;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    int n = EVP_EncodeBlock((uint8_t *)coded, bytes, sizeof bytes);
    for (size_t cut = 0; cut < 40; cut++) {
        opened_with("mode=base64");
        size_t at = cut * 3001;
        up(GW_TEXT, coded, at, true, false);
        up(GW_TEXT, coded + at, (size_t)n - at, false, true);
        assert_int_equal(fake_conn.n, sizeof bytes);
        assert_memory_equal(fake_conn.bytes, bytes, sizeof bytes);
        finish();
    }
}

/* ---- line ----------------------------------------------------------------
 */

static void lines_go_up_with_their_end(void **unused)
{
    static const char *const cuts[] = {"NICK a", "PING\n", "", "x\r"};
    static const char lf[] = "NICK a\nPING\n\nx\r\n",
                      crlf[] = "NICK a\r\nPING\n\r\nx\r\r\n";
    (void)unused;

    for (int i = 0; i < 2; i++) {
        opened_with(i ? "mode=line&eol=crlf" : "mode=line");
        for (size_t k = 0; k < LEN(cuts); k++)
            up_text(cuts[k]);
        assert_true(backend_got(i ? crlf : lf));
        finish();
    }
}

static void a_line_in_fragments(void **unused)
{
    static const char hello[] = "hello";
    static char big[10000];
    (void)unused;

    for (size_t i = 0; i <= 5; i++)
        for (size_t j = i; j <= 5; j++) {
            opened_with("mode=line");
            up(GW_TEXT, hello, i, true, false);
            up(GW_TEXT, hello + i, j - i, false, false);
            up(GW_TEXT, hello + j, 5 - j, false, true);
            assert_true(backend_got("hello\n"));
            finish();
        }
    opened_with("mode=line"); /* the newline may be a fragment of its own */
    up(GW_TEXT, "hello", 5, true, false);
    up(GW_TEXT, "\n", 1, false, false);
    up(GW_TEXT, "", 0, false, true);
    assert_true(backend_got("hello\n"));
    finish();

    memset(big, 'x', sizeof big - 1);
    opened_with("mode=line");
    up_text(big);
    assert_int_equal(fake_conn.n, sizeof big);
    assert_int_equal(fake_conn.bytes[sizeof big - 1], '\n');
    finish();
}

static void check_lines(const char *const *want, size_t n)
{
    assert_int_equal(fake_session.n_messages, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fake_session.messages[i].type, GW_TEXT);
        assert_string_equal(fake_message(i), want[i]);
    }
}

static void lines_come_down_at_every_cut(void **unused)
{
    static const char text[] = "one\ntwo\r\n\n\r\nth\rree\r\r\n\xC3\xA9\n"
                               "\xE2\x82\nlast";
    static const char *const want[] = {
        "one", "two", "", "", "th\rree\r", "\xC3\xA9", "\xEF\xBF\xBD", "last"};
    const size_t n = sizeof text - 1;
    (void)unused;

    for (size_t i = 0; i <= n; i++)
        for (size_t j = i; j <= n; j++) {
            opened_with("mode=line");
            if (i > 0)
                down(text, i);
            if (j > i)
                down(text + i, j - i);
            if (n > j)
                down(text + j, n - j);
            assert_int_equal(fake_session.n_messages, LEN(want) - 1);
            ended();
            check_lines(want, LEN(want));
            finish();
        }
}

/* Lines up to max_line are whole; longer ones come in parts of that size, and
 * no part ends within a character. */
static void long_lines(void **unused)
{
    static const struct {
        const char *text;
        const char *want[5];
    } cases[] = {
        {"0123456789abcdef\n", {"0123456789abcdef"}},
        {"0123456789abcdef\r\n", {"0123456789abcdef"}},
        {"0123456789abcdef", {"0123456789abcdef"}},
        {"0123456789abcdefg\n", {"0123456789abcdef", "g"}},
        {"0123456789abcdefg\r\n", {"0123456789abcdef", "g"}},
        {"0123456789abcdef0123456789abcdef\nx\n",
         {"0123456789abcdef", "0123456789abcdef", "x"}},
        {"0123456789abcd\xE2\x82\xAC\xE2\x82\xAC\n",
         {"0123456789abcd", "\xE2\x82\xAC\xE2\x82\xAC"}},
        {"0123456789abc\xF0\x9F\x98\x80!\n",
         {"0123456789abc", "\xF0\x9F\x98\x80!"}},
        {"0123456789abcde\xFFx\n", {"0123456789abcde\xEF\xBF\xBD", "x"}},
    };
    (void)unused;

    for (size_t c = 0; c < LEN(cases); c++) {
        size_t n = strlen(cases[c].text), lines = 0;
        while (lines < LEN(cases[c].want) && cases[c].want[lines])
            lines++;
        for (size_t i = 0; i <= n; i++)
            for (size_t j = i; j <= n; j++) {
                opened_with("mode=line&max_line=16");
                if (i > 0)
                    down(cases[c].text, i);
                if (j > i)
                    down(cases[c].text + i, j - i);
                if (n > j)
                    down(cases[c].text + j, n - j);
                ended();
                check_lines(cases[c].want, lines);
                finish();
            }
    }
}

/* No newline, ever: memory stays at max_line. */
static void a_line_without_end(void **unused)
{
    static char bytes[100000];
    (void)unused;

    memset(bytes, 0xFF, sizeof bytes);
    opened_with("mode=line&max_line=1000");
    down(bytes, sizeof bytes);
    assert_true(((struct stream *)state)->line_cap <= 1001);
    assert_int_equal(fake_session.n / 3 + ((struct stream *)state)->line_n,
                     sizeof bytes);
    check_texts();
    finish();

    opened_with("mode=line&max_line=1000&invalid=close");
    down(bytes, sizeof bytes);
    assert_int_equal(fake_session.cause, GW_BAD_DATA);
    assert_int_equal(fake_session.n, 0);
    finish();
}

static void the_last_line_of_one_who_is_lost(void **unused)
{
    (void)unused;

    opened_with("mode=line");
    down("half a li", 9);
    fake_conn.dial.events->lost(fake_conn.dial.ctx, "reset");
    assert_int_equal(fake_session.n_messages, 1);
    assert_string_equal(fake_message(0), "half a li");
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dials_before_it_accepts),
        cmocka_unit_test(routes_that_are_refused),
        cmocka_unit_test(routes_that_are_taken),
        cmocka_unit_test(each_direction_pauses_the_other_source),
        cmocka_unit_test(how_it_ends),
        cmocka_unit_test(half_close_goes_on_sending),
        cmocka_unit_test(binary_is_binary),
        cmocka_unit_test(auto_answers_in_the_type_first_seen),
        cmocka_unit_test(auto_loses_no_byte_at_any_cut),
        cmocka_unit_test(text_is_the_same_at_every_cut),
        cmocka_unit_test(text_that_is_valid_is_untouched),
        cmocka_unit_test(text_may_be_strict),
        cmocka_unit_test(base64_goes_down_in_messages_that_decode),
        cmocka_unit_test(base64_comes_up_at_every_cut),
        cmocka_unit_test(base64_that_is_none),
        cmocka_unit_test(base64_of_any_size),
        cmocka_unit_test(lines_go_up_with_their_end),
        cmocka_unit_test(a_line_in_fragments),
        cmocka_unit_test(lines_come_down_at_every_cut),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(a_line_without_end),
        cmocka_unit_test(the_last_line_of_one_who_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
