/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: what is taken, what is refused with which status, and that
 * it does not matter how the bytes arrive. */
#include "unit.h"

#include "../../gateway/wire/http_head.h"

#define HOST "Host: a\r\n"

static const struct http_limits LIMITS = {400, 64, 8};

/* Parse n bytes that arrive in steps; each step in memory of its own size. */
static int parse_in_steps(struct http_head *h, const char *p, size_t n,
                          size_t step)
{
    size_t scanned = 0;
    int got = 0;

    for (size_t have = 0; got == 0 && have < n;) {
        have = min_size(have + step, n);
        char *copy = copy_of(p, have);
        got = http_head_parse(h, copy, have, &scanned, &LIMITS);
        if (got == 0) /* all but a last CR is done with: linear cost */
            assert_true(scanned + 1 >= have && scanned <= have);
        free(copy);
    }
    return got;
}

/* The status of p[0..n), which must not depend on how it arrives. */
static int parse_all_ways(const char *p, size_t n)
{
    struct http_head h;
    int whole = parse_in_steps(&h, p, n, n ? n : 1);

    assert_int_equal(parse_in_steps(&h, p, n, 1), whole);
    assert_int_equal(parse_in_steps(&h, p, n, 7), whole);
    for (size_t cut = 1; cut < n; cut++) {
        size_t scanned = 0;
        int got = http_head_parse(&h, p, cut, &scanned, &LIMITS);
        if (got == 0)
            got = http_head_parse(&h, p, n, &scanned, &LIMITS);
        assert_int_equal(got, whole);
    }
    return whole;
}

static const struct {
    const char *name;
    const char *text;
    size_t n;
    int want; /* a status, 0, or WHOLE */
} cases[] = {
#define WHOLE   1
#define TEXT(s) s, sizeof(s) - 1
    {"nothing", TEXT(""), 0},
    {"plain", TEXT("GET / HTTP/1.1\r\n" HOST "\r\n"), WHOLE},
    {"HEAD", TEXT("HEAD / HTTP/1.1\r\n" HOST "\r\n"), WHOLE},
    {"1.0 without Host", TEXT("GET / HTTP/1.0\r\n\r\n"), WHOLE},
    {"1.2 reads as 1.1", TEXT("GET / HTTP/1.2\r\n" HOST "\r\n"), WHOLE},
    {"cut", TEXT("GET / HTTP/1.1\r\n" HOST "\r"), 0},

    {"bare LF", TEXT("GET / HTTP/1.1\n" HOST "\n"), -400},
    {"bare LF in a field", TEXT("GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n"),
     -400},
    {"bare LF at the end", TEXT("GET / HTTP/1.1\r\n" HOST "\n"), -400},
    {"bare CR", TEXT("GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n"), -400},
    {"CR CR LF", TEXT("GET / HTTP/1.1\r\r\n" HOST "\r\n"), -400},
    {"empty line first", TEXT("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"TLS on the plain port", TEXT("\x16\x03\x01"), -400},
    {"blank first", TEXT(" "), -400},
    {"NUL", TEXT("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"), -400},
    {"NUL is refused at once", TEXT("GET /\0"), -400},
    {"escape", TEXT("GET / HTTP/1.1\r\nX: \x1b[m\r\n"), -400},
    {"DEL", TEXT("GET / HTTP/1.1\r\nX: \x7f\r\n"), -400},
    {"vertical tab", TEXT("GET / HTTP/1.1\r\nX: \v\r\n"), -400},
    {"obs-text in a value", TEXT("GET / HTTP/1.1\r\n" HOST "X: \xe9\r\n\r\n"),
     WHOLE},
    {"obs-text in a name", TEXT("GET / HTTP/1.1\r\n" HOST "X\xe9: y\r\n\r\n"),
     -400},
    {"obs-text in the target", TEXT("GET /\xe9 HTTP/1.1\r\n" HOST "\r\n"),
     -400},
    {"obs-text in the method", TEXT("G\xc9T / HTTP/1.1\r\n" HOST "\r\n"), -400},

    {"folded", TEXT("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), -400},
    {"folded by a tab", TEXT("GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n"),
     -400},
    {"folded first", TEXT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), -400},
    {"blank before colon", TEXT("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), -400},
    {"no colon", TEXT("GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"), -400},
    {"no name", TEXT("GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n"), -400},
    {"name in quotes", TEXT("GET / HTTP/1.1\r\n" HOST "\"X\": x\r\n\r\n"),
     -400},
    {"empty value", TEXT("GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n"), WHOLE},
    {"blank value", TEXT("GET / HTTP/1.1\r\n" HOST "X: \t \r\n\r\n"), WHOLE},

    {"no version", TEXT("GET /\r\n" HOST "\r\n"), -400},
    {"0.9", TEXT("GET /\r\n\r\n"), -400},
    {"two blanks", TEXT("GET  / HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"two blanks after", TEXT("GET /  HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"tab", TEXT("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"blank at the end", TEXT("GET / HTTP/1.1 \r\n" HOST "\r\n"), -400},
    {"lower case version", TEXT("GET / http/1.1\r\n" HOST "\r\n"), -400},
    {"short version", TEXT("GET / HTTP/1\r\n" HOST "\r\n"), -400},
    {"long version", TEXT("GET / HTTP/1.10\r\n" HOST "\r\n"), -400},
    {"version of letters", TEXT("GET / HTTP/x.y\r\n" HOST "\r\n"), -400},
    {"version without a dot", TEXT("GET / HTTP/1x1\r\n" HOST "\r\n"), -400},
    {"minor version of letters", TEXT("GET / HTTP/1.x\r\n" HOST "\r\n"), -400},
    {"2.0", TEXT("GET / HTTP/2.0\r\n" HOST "\r\n"), -505},
    {"HTTP/2 preface", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), -505},
    {"0.9 in words", TEXT("GET / HTTP/0.9\r\n" HOST "\r\n"), -505},

    {"POST", TEXT("POST / HTTP/1.1\r\n" HOST "\r\n"), -405},
    {"CONNECT", TEXT("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), -405},
    {"OPTIONS *", TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), -405},
    {"lower case get", TEXT("get / HTTP/1.1\r\n" HOST "\r\n"), -405},
    {"method in parentheses", TEXT("G(T / HTTP/1.1\r\n" HOST "\r\n"), -400},

    {"asterisk-form", TEXT("GET * HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"absolute-form", TEXT("GET http://a/ HTTP/1.1\r\n" HOST "\r\n"), WHOLE},
    {"absolute-form, no path", TEXT("GET ws://A?b HTTP/1.1\r\n" HOST "\r\n"),
     WHOLE},
    {"absolute-form, another host",
     TEXT("GET http://b/ HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"absolute-form, no host", TEXT("GET http:/// HTTP/1.1\r\n" HOST "\r\n"),
     -400},
    {"absolute-form, another scheme",
     TEXT("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"absolute-form, user", TEXT("GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n"),
     -400},
    {"authority-form", TEXT("GET a:1 HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"relative", TEXT("GET a HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"query alone", TEXT("GET ?a HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"fragment", TEXT("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"backslash", TEXT("GET /a\\b HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"escaped", TEXT("GET /a%2Fb%ff HTTP/1.1\r\n" HOST "\r\n"), WHOLE},
    {"escaped NUL", TEXT("GET /a%00 HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"escape cut", TEXT("GET /a%4 HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"escape cut by the query", TEXT("GET /%4?1 HTTP/1.1\r\n" HOST "\r\n"),
     -400},
    {"escape of one digit", TEXT("GET /a%g0 HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"tilde", TEXT("GET /~a~ HTTP/1.1\r\n" HOST "\r\n"), WHOLE},
    {"escape of no digits", TEXT("GET /%u0 HTTP/1.1\r\n" HOST "\r\n"), -400},
    {"any query", TEXT("GET /?a=b:1/?%&|{} HTTP/1.1\r\n" HOST "\r\n"), WHOLE},
    {"two slashes", TEXT("GET //a/ HTTP/1.1\r\n" HOST "\r\n"), WHOLE},

    {"no Host", TEXT("GET / HTTP/1.1\r\n\r\n"), -400},
    {"Host twice", TEXT("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), -400},
    {"Host twice in 1.0", TEXT("GET / HTTP/1.0\r\n" HOST "hOST: b\r\n\r\n"),
     -400},
    {"Host empty", TEXT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), -400},
    {"Host list", TEXT("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), -400},
    {"Host with blank", TEXT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), -400},
    {"Host with user", TEXT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), -400},
    {"Host with path", TEXT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), -400},
    {"Host with bar", TEXT("GET / HTTP/1.1\r\nHost: a|b\r\n\r\n"), -400},
    {"Host with port", TEXT("GET / HTTP/1.1\r\nHost: a_b-C.9:80\r\n\r\n"),
     WHOLE},
    {"Host, empty port", TEXT("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), WHOLE},
    {"Host, port alone", TEXT("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), -400},
    {"Host, bad port", TEXT("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"), -400},
    {"Host, two ports", TEXT("GET / HTTP/1.1\r\nHost: a:8:9\r\n\r\n"), -400},
    {"Host IPv6", TEXT("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"), WHOLE},
    {"Host IPv6 port", TEXT("GET / HTTP/1.1\r\nHost: [aF::0.9]:8\r\n\r\n"),
     WHOLE},
    {"Host IPv6 open", TEXT("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), -400},
    {"Host IPv6 empty", TEXT("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), -400},
    {"Host IPv6, more", TEXT("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"), -400},
    {"Host IPv6 bare", TEXT("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), -400},

    {"no length", TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"),
     WHOLE},
    {"a body", TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
     -413},
    {"zeros", TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length: 00\r\n\r\n"),
     -413},
    {"length twice",
     TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n"
          "Content-Length: 0\r\n\r\n"),
     -400},
    {"length list",
     TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length: 0, 0\r\n\r\n"), -400},
    {"length signed",
     TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length: +0\r\n\r\n"), -400},
    {"length empty", TEXT("GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"),
     -400},
    {"chunked",
     TEXT("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
     -400},
    {"identity",
     TEXT("GET / HTTP/1.1\r\n" HOST "transfer-encoding: identity\r\n\r\n"),
     -400},
    {"Origin twice",
     TEXT("GET / HTTP/1.1\r\n" HOST "Origin: a\r\nOrigin: b\r\n\r\n"), -400},
    {"Authorization twice",
     TEXT("GET / HTTP/1.1\r\n" HOST "Authorization: a\r\n"
          "Authorization: a\r\n\r\n"),
     -400},
    {"other fields may come twice",
     TEXT("GET / HTTP/1.1\r\n" HOST "Via: a\r\nVia: b\r\n\r\n"), WHOLE},
};

static void judges_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        int want = cases[i].want == WHOLE ? (int)cases[i].n : cases[i].want;
        print_message("%s\n", cases[i].name);
        assert_int_equal(parse_all_ways(cases[i].text, cases[i].n), want);
    }
}

static void takes_a_request_apart(void **state)
{
    static const char text[] = "GET /a%20b/c?x=1&y HTTP/1.1\r\n"
                               "HOST: [::1]:80\r\n"
                               "Connection:keep-alive , Upgrade\r\n"
                               "X:  a b \t c\t\r\n"
                               "Connection: ,,close,\r\n"
                               "Y:\r\n"
                               "\r\n";
    const size_t n = sizeof(text) - 1;
    char early[sizeof(text) + 3];
    (void)state;

    memcpy(early, text, n);
    memcpy(early + n, "\x81\x80\r\n", 4); /* frames that come with the head */
    for (size_t step = 1; step <= n + 4; step++) {
        struct http_head h;
        size_t scanned = 0;
        int got = 0;
        for (size_t have = step; got == 0; have += step)
            got = http_head_parse(&h, early, min_size(have, n + 4), &scanned,
                                  &LIMITS);
        assert_int_equal(got, n);
        assert_slice(h.method, "GET");
        assert_slice(h.path, "/a%20b/c");
        assert_slice(h.query, "x=1&y");
        assert_slice(h.host, "[::1]:80");
        assert_int_equal(h.minor, 1);
        assert_int_equal(h.n_fields, 5);
        assert_slice(h.fields[2].name, "X");
        assert_slice(h.fields[2].value, "a b \t c");
        assert_slice(http_head_get(&h, "x"), "a b \t c");
        assert_slice(http_head_get(&h, "CONNECTION"), "keep-alive , Upgrade");
        assert_non_null(http_head_get(&h, "y").p);
        assert_int_equal(http_head_get(&h, "y").n, 0);
        assert_null(http_head_get(&h, "z").p);
        assert_int_equal(http_head_count(&h, "connection"), 2);
        assert_int_equal(http_head_count(&h, "connectio"), 0);
        assert_true(http_head_has_token(&h, "connection", "upgrade"));
        assert_true(http_head_has_token(&h, "Connection", "keep-Alive"));
        assert_true(http_head_has_token(&h, "Connection", "close"));
        assert_false(http_head_has_token(&h, "Connection", "grade"));
        assert_false(http_head_has_token(&h, "Connection", ""));
    }
}

/* Every pair of characters after a '%'. */
static void knows_escapes(void **state)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    char text[] = "GET /%.. HTTP/1.1\r\n" HOST "\r\n";
    const size_t n = sizeof(text) - 1;
    (void)state;

    for (int high = '!'; high <= '~'; high++)
        for (int low = '!'; low <= '~'; low++) {
            struct http_head h;
            bool good = strchr(digits, high) && strchr(digits, low) &&
                        (high != '0' || low != '0');
            text[6] = (char)high;
            text[7] = (char)low;
            if (high == '?' || low == '?')
                good = false;
            assert_int_equal(parse_in_steps(&h, text, n, n),
                             good ? (int)n : -400);
        }
}

/* A field is found wherever it stands. */
static void finds_the_first_and_the_last_field(void **state)
{
    static const char text[] =
        "GET / HTTP/1.1\r\nA: x, y\r\n" HOST "B: z\r\n\r\n";
    struct http_head h;
    size_t scanned = 0;
    (void)state;

    assert_int_equal(
        http_head_parse(&h, text, sizeof(text) - 1, &scanned, &LIMITS),
        sizeof(text) - 1);
    assert_true(http_head_has_token(&h, "a", "Y"));
    assert_true(http_head_has_token(&h, "b", "z"));
    assert_int_equal(http_head_count(&h, "a"), 1);
    assert_int_equal(http_head_count(&h, "b"), 1);
}

static void tells_versions_apart(void **state)
{
    struct http_head h;
    size_t scanned = 0;
    (void)state;

    static const char one_zero[] = "GET / HTTP/1.0\r\n\r\n";
    assert_true(http_head_parse(&h, one_zero, sizeof(one_zero) - 1, &scanned,
                                &LIMITS) > 0);
    assert_int_equal(h.minor, 0);
    assert_int_equal(h.query.n, 0);
    assert_int_equal(h.host.n, 0);

    scanned = 0;
    static const char one_two[] = "GET /? HTTP/1.2\r\n" HOST "\r\n";
    assert_true(http_head_parse(&h, one_two, sizeof(one_two) - 1, &scanned,
                                &LIMITS) > 0);
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.query.n, 0);
}

static void leaves_nothing_after_a_failure(void **state)
{
    struct http_head h;
    size_t scanned = 0;
    (void)state;

    memset(&h, 0xff, sizeof(h));
    assert_int_equal(http_head_parse(&h, "\1", 1, &scanned, &LIMITS), -400);
    assert_int_equal(h.method.n + h.path.n + h.query.n + h.host.n, 0);
    assert_int_equal(h.n_fields, 0);
    assert_null(http_head_get(&h, "host").p);
}

/* A head of n bytes in all, by one long field value. */
static size_t head_of(char *out, size_t n)
{
    static const char front[] = "GET / HTTP/1.1\r\n" HOST "X: ";

    memset(out, 'x', n);
    memcpy(out, front, sizeof(front) - 1);
    memcpy(out + n - 4, "\r\n\r\n", 4);
    return n;
}

static void keeps_the_limit_of_the_head(void **state)
{
    char text[1000];
    (void)state;

    for (size_t n = LIMITS.head_bytes - 8; n < LIMITS.head_bytes + 8; n++) {
        head_of(text, n);
        assert_int_equal(parse_all_ways(text, n),
                         n <= LIMITS.head_bytes ? (int)n : -431);
    }
    /* What lies behind the limit is not looked at. */
    head_of(text, sizeof(text));
    memset(text + LIMITS.head_bytes, 0, sizeof(text) - LIMITS.head_bytes);
    assert_int_equal(parse_all_ways(text, sizeof(text)), -431);
}

static void keeps_the_limit_of_the_target(void **state)
{
    char text[1000];
    (void)state;

    for (size_t n = 1; n <= LIMITS.uri_bytes + 8; n++) {
        static const char rest[] = " HTTP/1.1\r\n" HOST "\r\n";
        memcpy(text, "GET /", 5);
        memset(text + 5, 'x', n - 1);
        memcpy(text + 4 + n, rest, sizeof(rest) - 1);
        size_t size = 4 + n + sizeof(rest) - 1;
        assert_int_equal(parse_all_ways(text, size),
                         n <= LIMITS.uri_bytes ? (int)size : -414);
    }
    /* Of a head that is too long, the target is to blame only if it is. */
    for (size_t n = LIMITS.uri_bytes - 1; n <= LIMITS.uri_bytes + 1; n++) {
        static const char rest[] = " HTTP/1.1\r\n" HOST "X: ";
        memset(text, 'y', sizeof(text));
        memcpy(text, "GET /", 5);
        memset(text + 5, 'x', n - 1);
        memcpy(text + 4 + n, rest, sizeof(rest) - 1);
        assert_int_equal(parse_all_ways(text, sizeof(text)),
                         n <= LIMITS.uri_bytes ? -431 : -414);
    }
    memset(text + 5, 'x', sizeof(text) - 5); /* without an end */
    assert_int_equal(parse_all_ways(text, sizeof(text)), -414);
    memset(text, 'x', 5); /* and a method without one */
    assert_int_equal(parse_all_ways(text, sizeof(text)), -431);
}

static void keeps_the_limit_of_the_fields(void **state)
{
    (void)state;
    for (size_t n = 1; n <= LIMITS.fields + 2; n++) {
        char text[400] = "GET / HTTP/1.1\r\n" HOST;
        for (size_t i = 1; i < n; i++)
            strncat(text, "a:\r\n", 5);
        strncat(text, "\r\n", 3);
        int size = (int)strlen(text);
        assert_int_equal(parse_all_ways(text, strlen(text)),
                         n <= LIMITS.fields ? size : -431);
    }

    /* The setting cannot lift the hard cap. */
    const struct http_limits none = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
    char text[40 + 4 * (HTTP_FIELDS_MAX + 2)] = "GET / HTTP/1.1\r\n" HOST;
    struct http_head h;
    size_t n = strlen(text), scanned = 0;
    for (size_t i = 1; i < HTTP_FIELDS_MAX; i++, n += 4)
        memcpy(text + n, "a:\r\n", 4);
    memcpy(text + n, "\r\na", 3);
    assert_int_equal(http_head_parse(&h, text, n + 2, &scanned, &none), n + 2);
    assert_int_equal(h.n_fields, HTTP_FIELDS_MAX);
    memcpy(text + n, "a:\r\n\r\n", 6);
    scanned = 0;
    assert_int_equal(http_head_parse(&h, text, n + 6, &scanned, &none), -431);
}

/* Any one byte changed, left out or put in: the same answer however the head
 * arrives, and never a control character in what is accepted. */
static void survives_every_single_byte(void **state)
{
    static const char base[] = "GET /a?b HTTP/1.1\r\n" HOST "X: y\r\n\r\n";
    enum { N = sizeof(base) - 1 };
    (void)state;

    for (size_t at = 0; at < N; at++)
        for (unsigned v = 0; v < 512; v++) {
            bool insert = v >= 256;
            size_t n = N + (insert ? 1 : 0);
            char text[N + 1];
            struct http_head h;

            memcpy(text, base, at);
            text[at] = (char)v;
            memcpy(text + at + 1, base + at + (insert ? 0 : 1),
                   N - at - (insert ? 0 : 1));
            int whole = parse_in_steps(&h, text, n, n);
            assert_int_equal(parse_in_steps(&h, text, n, 1), whole);
            if (whole <= 0)
                continue;
            for (size_t i = 0; i < (size_t)whole; i++) {
                unsigned char c = (unsigned char)text[i];
                assert_true(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
                assert_int_not_equal(c, 0x7f);
            }
        }
    for (size_t at = 0; at < N; at++) {
        char text[N - 1];
        memcpy(text, base, at);
        memcpy(text + at, base + at + 1, N - at - 1);
        parse_all_ways(text, sizeof(text));
    }
}

static void walks_lists(void **state)
{
    struct slice list = SLICE(" ,a, b c\t,,\td , "), element;
    (void)state;

    assert_true(http_list_next(&list, &element));
    assert_slice(element, "a");
    assert_true(http_list_next(&list, &element));
    assert_slice(element, "b c");
    assert_true(http_list_next(&list, &element));
    assert_slice(element, "d");
    assert_false(http_list_next(&list, &element));
    assert_false(http_list_next(&list, &element));

    list = (struct slice){0};
    assert_false(http_list_next(&list, &element));
}

static void knows_tokens(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char text[2] = {'a', (char)c};
        bool want =
            c > ' ' && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", (int)c);
        assert_int_equal(http_is_token((struct slice){text, 2}), want);
    }
    assert_false(http_is_token((struct slice){0}));
}

static void compares_without_case(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            char x = (char)a, y = (char)b;
            bool letters = a - 'A' < 26 || a - 'a' < 26;
            bool want = a == b || (letters && (a ^ b) == 0x20);
            assert_int_equal(
                slice_ieq((struct slice){&x, 1}, (struct slice){&y, 1}), want);
        }
    assert_false(slice_ieq(SLICE("ab"), SLICE("a")));
    assert_true(slice_ieq(SLICE(""), (struct slice){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_the_table),
        cmocka_unit_test(takes_a_request_apart),
        cmocka_unit_test(knows_escapes),
        cmocka_unit_test(finds_the_first_and_the_last_field),
        cmocka_unit_test(tells_versions_apart),
        cmocka_unit_test(leaves_nothing_after_a_failure),
        cmocka_unit_test(keeps_the_limit_of_the_head),
        cmocka_unit_test(keeps_the_limit_of_the_target),
        cmocka_unit_test(keeps_the_limit_of_the_fields),
        cmocka_unit_test(survives_every_single_byte),
        cmocka_unit_test(walks_lists),
        cmocka_unit_test(knows_tokens),
        cmocka_unit_test(compares_without_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
