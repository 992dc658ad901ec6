/* SPDX-License-Identifier: Apache-2.0 */
/* test_http_reply.c - heads and refusals, at every size of buffer. */
#include "../../gateway/serve/http_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The value of a field, or NULL; the head must be well-formed up to there. */
static const char *field(const char *head, const char *name, char out[256])
{
    char line[128];
    int n = snprintf(line, sizeof(line), "\r\n%s: ", name);
    const char *p = strstr(head, line);

    if (!p)
        return NULL;
    p += n;
    snprintf(out, 256, "%.*s", (int)strcspn(p, "\r"), p);
    return out;
}

static void test_status_text(void **state)
{
    (void)state;
    assert_string_equal(http_status_text(200), "OK");
    assert_string_equal(http_status_text(502), "Bad Gateway");
    assert_string_equal(http_status_text(431),
                        "Request Header Fields Too Large");
    for (int i = -1; i < 1000; i++)
        assert_true(strlen(http_status_text(i)) > 0);
}

static void test_date(void **state)
{
    static const struct {
        time_t t;
        const char *want;
    } cases[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {253402300800, "Thu, 01 Jan 1970 00:00:00 GMT"}, /* no room: epoch */
        {INT64_MAX, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {INT64_MIN, "Thu, 01 Jan 1970 00:00:00 GMT"},
    };
    char out[HTTP_DATE_SIZE];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        http_date(out, cases[i].t);
        assert_string_equal(out, cases[i].want);
    }
}

static void test_head(void **state)
{
    struct http_reply r = {
        .status = 206,
        .content_type = "text/html",
        .content_length = UINT64_MAX,
        .has_length = true,
        .keep_alive = true,
        .extra = "ETag: \"x\"\r\nVary: Accept-Encoding\r\n",
    };
    char out[HTTP_REPLY_MAX], value[256];
    size_t n = http_reply_head(out, sizeof(out), &r);

    (void)state;
    assert_int_equal(n, strlen(out));
    assert_memory_equal(out, "HTTP/1.1 206 Partial Content\r\n", 30);
    assert_string_equal(out + n - 4, "\r\n\r\n");
    assert_string_equal(field(out, "Content-Type", value), "text/html");
    assert_string_equal(field(out, "Content-Length", value),
                        "18446744073709551615");
    assert_string_equal(field(out, "Connection", value), "keep-alive");
    assert_string_equal(field(out, "ETag", value), "\"x\"");
    assert_string_equal(field(out, "Vary", value), "Accept-Encoding");
    assert_string_equal(field(out, "Server", value), "gangway");
    assert_int_equal(strlen(field(out, "Date", value)), HTTP_DATE_SIZE - 1);

    r = (struct http_reply){.status = 304};
    n = http_reply_head(out, sizeof(out), &r);
    assert_int_equal(n, strlen(out));
    assert_null(field(out, "Content-Length", value));
    assert_null(field(out, "Content-Type", value));
    assert_string_equal(field(out, "Connection", value), "close");
}

static void test_head_room(void **state)
{
    struct http_reply r = {.status = 200, .extra = "X: y\r\n"};
    char whole[HTTP_REPLY_MAX];
    size_t size = http_reply_head(whole, sizeof(whole), &r);

    (void)state;
    assert_true(size > 0);
    for (size_t cap = 0; cap < size + 8; cap++) {
        char *out = malloc(cap + !cap);
        assert_non_null(out);
        size_t n = http_reply_head(out, cap, &r);
        assert_int_equal(n, cap > size ? size : 0);
        free(out);
    }
}

static void test_refuse(void **state)
{
    static const struct {
        int status;
        const char *why, *body;
    } cases[] = {
        {404, NULL, "404 Not Found\n"},
        {404, "", "404 Not Found\n"},
        {502, "connection refused", "502 Bad Gateway: connection refused\n"},
        {400, "a\r\nSet-Cookie: b\x7f", "400 Bad Request: a??Set-Cookie: b?\n"},
        {405, NULL, "405 Method Not Allowed\n"},
        {426, "WebSocket only", "426 Upgrade Required: WebSocket only\n"},
        {503, "full", "503 Service Unavailable: full\n"},
        {599, NULL, "599 Unknown\n"},
    };
    char out[HTTP_REPLY_MAX], value[256];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        int status = cases[i].status;
        for (int body = 0; body < 2; body++) {
            size_t n = http_reply_refuse(out, sizeof(out), status, cases[i].why,
                                         body, 3);
            print_message("%s\n", out);
            assert_int_equal(n, strlen(out));
            const char *end = strstr(out, "\r\n\r\n");
            assert_non_null(end);
            assert_string_equal(end + 4, body ? cases[i].body : "");
            assert_int_equal(
                strtol(field(out, "Content-Length", value), NULL, 10),
                strlen(cases[i].body));
            assert_string_equal(field(out, "Cache-Control", value), "no-store");
            assert_non_null(strstr(field(out, "Connection", value), "close"));
            assert_null(field(out, "Set-Cookie", value));
            assert_int_equal(field(out, "Allow", value) != NULL, status == 405);
            assert_int_equal(field(out, "Upgrade", value) != NULL,
                             status == 426);
            assert_int_equal(field(out, "Sec-WebSocket-Version", value) != NULL,
                             status == 426);
            assert_int_equal(field(out, "Retry-After", value) != NULL,
                             status == 503);
        }
    }
    http_reply_refuse(out, sizeof(out), 426, NULL, true, 0);
    assert_string_equal(field(out, "Connection", value), "upgrade, close");
}

static void test_refuse_seed(void **state)
{
    char out[HTTP_REPLY_MAX], value[256];
    bool seen[6] = {false};

    (void)state;
    for (unsigned seed = 0; seed < 100; seed++) {
        http_reply_refuse(out, sizeof(out), 503, NULL, true, seed * 77);
        long s = strtol(field(out, "Retry-After", value), NULL, 10);
        assert_in_range(s, 1, 5);
        seen[s] = true;
    }
    for (size_t i = 1; i < LEN(seen); i++)
        assert_true(seen[i]);
}

/* A long reason is cut, and the whole still fits what it promises to fit. */
static void test_refuse_room(void **state)
{
    char why[8192], out[HTTP_REPLY_MAX];

    (void)state;
    memset(why, 'w', sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    size_t size = http_reply_refuse(out, sizeof(out), 431, why, true, 0);
    assert_true(size > 0);
    assert_int_equal(out[size - 1], '\n');
    for (size_t cap = 0; cap < size + 2; cap++) {
        char *small = malloc(cap + !cap);
        assert_non_null(small);
        size_t n = http_reply_refuse(small, cap, 431, why, true, 0);
        assert_int_equal(n, cap > size ? size : 0);
        free(small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_text), cmocka_unit_test(test_date),
        cmocka_unit_test(test_head),        cmocka_unit_test(test_head_room),
        cmocka_unit_test(test_refuse),      cmocka_unit_test(test_refuse_seed),
        cmocka_unit_test(test_refuse_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
