/* SPDX-License-Identifier: Apache-2.0 */
/* test_http_files.c - against a real directory: what is served, what never
 * is, conditions, ranges and compressed forms. */
#include "../../gateway/serve/http_files.h"
#include "../../gateway/serve/mime.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char outer[64]; /* holds root/, and a secret beside it */
static struct files_root *root;

/* ---- the directory ---------------------------------------------------- */

static const char *at(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % LEN(path)];

    snprintf(p, sizeof(path[0]), "%s/%s", outer, name);
    return p;
}

static void put_file(const char *name, const char *text, time_t mtime)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct timespec times[2] = {{mtime, 0}, {mtime, 123456789}};

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void put_link(const char *to, const char *name)
{
    assert_int_equal(symlink(to, at(name)), 0);
}

enum { MTIME = 784111777 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

static int setup(void **state)
{
    struct err err;

    (void)state;
    snprintf(outer, sizeof(outer), "/tmp/gangway-test-files-XXXXXX");
    assert_non_null(mkdtemp(outer));
    assert_int_equal(mkdir(at("root"), 0700), 0);
    assert_int_equal(mkdir(at("root/sub"), 0700), 0);
    assert_int_equal(mkdir(at("root/empty"), 0700), 0);
    assert_int_equal(mkdir(at("root/.git"), 0700), 0);
    assert_int_equal(mkdir(at("root/odd"), 0700), 0);
    assert_int_equal(mkdir(at("root/odd/index.html"), 0700), 0);
    assert_int_equal(mkdir(at("root/evil.example"), 0700), 0);
    assert_int_equal(mkdir(at("root/a b\\c"), 0700), 0);
    assert_int_equal(mkdir(at("rootless"), 0700), 0);
    put_file("secret.txt", "secret", MTIME);
    put_file("rootless/x", "secret", MTIME);
    put_file("root/index.html", "<p>home", MTIME);
    put_file("root/sub/index.html", "<p>sub", MTIME);
    put_file("root/ten.txt", "0123456789", MTIME);
    put_file("root/empty.txt", "", MTIME);
    put_file("root/.hidden", "secret", MTIME);
    put_file("root/.git/config", "secret", MTIME);
    put_file("root/sub/.x", "secret", MTIME);
    put_file("root/a..b", "dots", MTIME);
    put_file("root/app.js", "the script itself", MTIME);
    put_file("root/app.js.br", "br-script", MTIME);
    put_file("root/app.js.gz", "gz-script!", MTIME);
    put_file("root/only.css", "css", MTIME);
    put_file("root/only.css.gz", "gz-css", MTIME);
    put_file("root/dir.css", "css", MTIME);
    assert_int_equal(mkdir(at("root/dir.css.gz"), 0700), 0);
    put_link("ten.txt", "root/in");
    put_link("../ten.txt", "root/sub/up_in");
    put_link("sub", "root/sub_link");
    put_link("../secret.txt", "root/out");
    put_link("/etc/passwd", "root/absolute");
    put_link("..", "root/parent");
    put_link("/proc/self/root/etc/passwd", "root/magic");
    put_link("loop", "root/loop");
    put_link("nowhere", "root/dangling");
    put_link("../secret.txt", "root/ten.txt.gz");
    assert_int_equal(mkfifo(at("root/fifo"), 0600), 0);

    root = files_root_open(at("root"), &err);
    if (!root)
        fail_msg("%s", err.text);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    files_root_close(root);
    files_root_close(NULL);
    return nftw(outer, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- asking ----------------------------------------------------------- */

struct asked {
    struct files_answer a;
    char body[256];
    char value[256]; /* of field() */
};

/* `fields`: further field lines, each with CRLF. `url`, or else `path`, stands
 * in for what the parser read, so that it may hold what that would refuse. */
static struct asked *ask_url(const char *method, const char *url,
                             const char *path, const char *fields)
{
    static struct asked asked;
    static const struct http_limits limits = {65536, 65536, HTTP_FIELDS_MAX};
    static char text[32768];
    struct http_head head;
    size_t scanned = 0;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n",
                     fields);

    assert_in_range(n, 1, sizeof(text) - 1);
    assert_int_equal(http_head_parse(&head, text, (size_t)n, &scanned, &limits),
                     n);
    head.method = slice_of(method);
    head.path = slice_of(url ? url : path);
    size_t path_n = strcspn(head.path.p, "?");
    if (path_n < head.path.n) {
        head.query = slice_of(head.path.p + path_n + 1);
        head.path.n = path_n;
    }

    memset(&asked, 0xa5, sizeof(asked));
    files_lookup(root, path, &head, &asked.a);
    asked.body[0] = '\0';
    if (asked.a.fd >= 0) {
        assert_true(asked.a.length < sizeof(asked.body));
        ssize_t got = read(asked.a.fd, asked.body, (size_t)asked.a.length);
        assert_int_equal(got, asked.a.length);
        asked.body[got] = '\0';
        close(asked.a.fd);
    }
    return &asked;
}

static struct asked *ask(const char *path, const char *fields)
{
    return ask_url("GET", NULL, path, fields);
}

static const char *field(struct asked *asked, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = asked->a.extra; *p;) {
        size_t line = strcspn(p, "\r");
        assert_memory_equal(p + line, "\r\n", 2);
        if (strncmp(p, name, n) == 0 && strncmp(p + n, ": ", 2) == 0) {
            snprintf(asked->value, sizeof(asked->value), "%.*s",
                     (int)(line - n - 2), p + n + 2);
            return asked->value;
        }
        p += line + 2;
    }
    return "";
}

/* What follows `start` in the fields, or NULL. */
static const char *field_start(const struct asked *asked, const char *start)
{
    const char *p = strstr(asked->a.extra, start);

    return p ? p + strlen(start) : NULL;
}

/* ---- paths ------------------------------------------------------------ */

static void test_paths(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *body, *type;
    } cases[] = {
        {"/", 200, "<p>home", "text/html; charset=utf-8"},
        {"/index.html", 200, "<p>home", "text/html; charset=utf-8"},
        {"/sub/", 200, "<p>sub", "text/html; charset=utf-8"},
        {"/sub/index.html", 200, "<p>sub", "text/html; charset=utf-8"},
        {"/sub", 301, "", NULL},
        {"/ten.txt", 200, "0123456789", "text/plain; charset=utf-8"},
        {"/empty.txt", 200, "", "text/plain; charset=utf-8"},
        {"/a..b", 200, "dots", "application/octet-stream"},

        {"/in", 200, "0123456789", "application/octet-stream"},
        {"/sub/up_in", 200, "0123456789", "application/octet-stream"},
        {"/sub_link/", 200, "<p>sub", "text/html; charset=utf-8"},
        {"/sub_link", 301, "", NULL},

        {"/none", 404, "", NULL},
        {"/empty/", 404, "", NULL},
        {"/odd/", 404, "", NULL},
        {"/ten.txt/", 404, "", NULL},
        {"/ten.txt/x", 404, "", NULL},
        {"", 404, "", NULL},
        {"ten.txt", 404, "", NULL},
        {"//", 404, "", NULL},
        {"//ten.txt", 404, "", NULL},
        {"/sub//index.html", 404, "", NULL},

        {"/.hidden", 404, "", NULL},
        {"/.git/config", 404, "", NULL},
        {"/.git/", 404, "", NULL},
        {"/.git", 404, "", NULL},
        {"/sub/.x", 404, "", NULL},
        {"/.", 404, "", NULL},
        {"/./ten.txt", 404, "", NULL},
        {"/..", 404, "", NULL},
        {"/../secret.txt", 404, "", NULL},
        {"/sub/../ten.txt", 404, "", NULL},
        {"/sub/../../secret.txt", 404, "", NULL},
        {"/../rootless/x", 404, "", NULL},
        {"/...", 404, "", NULL},
        {"/..\\secret.txt", 404, "", NULL},

        {"/out", 404, "", NULL},
        {"/absolute", 404, "", NULL},
        {"/parent", 404, "", NULL},
        {"/parent/secret.txt", 404, "", NULL},
        {"/magic", 404, "", NULL},
        {"/loop", 404, "", NULL},
        {"/dangling", 404, "", NULL},
        {"/fifo", 404, "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct asked *got = ask(cases[i].path, "");
        print_message("%s: %d\n", cases[i].path, got->a.status);
        assert_int_equal(got->a.status, cases[i].status);
        assert_string_equal(got->body, cases[i].body);
        assert_int_equal(got->a.length, strlen(cases[i].body));
        assert_string_equal(field(got, "X-Content-Type-Options"), "nosniff");
        if (cases[i].type)
            assert_string_equal(got->a.type, cases[i].type);
        else
            assert_null(got->a.type);
        if (got->a.status == 404)
            assert_int_equal(got->a.fd, -1);
    }
}

static void test_long_names(void **state)
{
    static const size_t sizes[] = {255, 256, 4090, 4095, 4096, 5000, 12000};
    static char path[12001];

    (void)state;
    for (size_t i = 0; i < LEN(sizes); i++) {
        memset(path, 'x', sizes[i]);
        path[0] = '/';
        path[sizes[i]] = '\0';
        assert_int_equal(ask(path, "")->a.status, 404);
        path[sizes[i] - 1] = '/';
        assert_int_equal(ask(path, "")->a.status, 404);
    }
}

static void test_redirects(void **state)
{
    static const struct {
        const char *url, *path, *location;
    } cases[] = {
        {"/sub", "/sub", "/sub/"},
        {"/web/sub", "/sub", "/web/sub/"},
        {"/web/sub?a=b&c=%2f?", "/sub", "/web/sub/?a=b&c=%2f?"},
        {"/s%75b", "/sub", "/s%75b/"},
        {"//evil.example", "/evil.example", "/evil.example/"},
        {"///evil.example", "/evil.example", "/evil.example/"},
        {"//evil.example/..%2fsub", "/sub", "/evil.example/..%2fsub/"},
        {"/\\evil.example", "/sub", "/%5Cevil.example/"},
        {"/x\"<>\\", "/a b\\c", "/x%22%3C%3E%5C/"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct asked *got = ask_url("GET", cases[i].url, cases[i].path, "");
        print_message("%s: %s\n", cases[i].url, field(got, "Location"));
        assert_int_equal(got->a.status, 301);
        assert_string_equal(field(got, "Location"), cases[i].location);
        assert_int_equal(got->a.fd, -1);
        assert_int_equal(got->a.length, 0);
    }

    /* One that does not fit is no half of one. */
    char url[2048];
    memset(url, 'u', sizeof(url));
    url[0] = '/';
    size_t fit = 0, cut = 0;
    for (size_t n = 1400; n < sizeof(url) - 1; n += 7) {
        url[n] = '\0';
        struct asked *got = ask_url("GET", url, "/sub", "");
        if (got->a.status == 301) {
            assert_int_equal(strlen(field_start(got, "Location: ")) - 2, n + 1);
            fit++;
        } else {
            assert_int_equal(got->a.status, 404);
            assert_null(field_start(got, "Location: "));
            cut++;
        }
        field(got, "every line ends");
        url[n] = 'u';
    }
    assert_true(fit > 0 && cut > 0);
}

static void test_methods(void **state)
{
    struct asked *got = ask_url("HEAD", NULL, "/ten.txt", "");

    (void)state;
    assert_int_equal(got->a.status, 200);
    assert_int_equal(got->a.fd, -1);
    assert_int_equal(got->a.length, 10);
    assert_string_equal(got->a.type, "text/plain; charset=utf-8");
    char head[sizeof(got->a.extra)];
    memcpy(head, got->a.extra, sizeof(head));
    assert_string_equal(ask("/ten.txt", "")->a.extra, head);

    /* Ranges are GET's alone. */
    got = ask_url("HEAD", NULL, "/ten.txt", "Range: bytes=2-3\r\n");
    assert_int_equal(got->a.status, 200);
    assert_int_equal(got->a.length, 10);

    got = ask_url("POST", NULL, "/ten.txt", "");
    assert_int_equal(got->a.status, 405);
    assert_string_equal(field(got, "Allow"), "GET, HEAD");
    assert_int_equal(got->a.fd, -1);
    assert_int_equal(ask_url("HEAD", NULL, "/none", "")->a.status, 404);
    assert_int_equal(ask_url("get", NULL, "/ten.txt", "")->a.status, 405);
}

/* ---- ranges ----------------------------------------------------------- */

static void test_ranges(void **state)
{
    static const struct {
        const char *range;
        int status;
        const char *body, *content_range;
    } cases[] = {
        {"bytes=0-0", 206, "0", "bytes 0-0/10"},
        {"bytes=2-4", 206, "234", "bytes 2-4/10"},
        {"bytes=0-9", 206, "0123456789", "bytes 0-9/10"},
        {"bytes=5-", 206, "56789", "bytes 5-9/10"},
        {"bytes=8-10", 206, "89", "bytes 8-9/10"},
        {"bytes=8-100", 206, "89", "bytes 8-9/10"},
        {"bytes=8-99999999999999999999999", 206, "89", "bytes 8-9/10"},
        {"bytes=8-18446744073709551615", 206, "89", "bytes 8-9/10"},
        {"bytes=-3", 206, "789", "bytes 7-9/10"},
        {"bytes=-100", 206, "0123456789", "bytes 0-9/10"},
        {"BYTES=1-1", 206, "1", "bytes 1-1/10"},
        {"bytes= 1-1 ,", 206, "1", "bytes 1-1/10"},

        {"bytes=10-", 416, "", "bytes */10"},
        {"bytes=10-20", 416, "", "bytes */10"},
        {"bytes=99999999999999999999999-", 416, "", "bytes */10"},
        {"bytes=-0", 416, "", "bytes */10"},

        {"bytes=1-2,4-5", 200, "0123456789", ""},
        {"bytes=4-2", 200, "0123456789", ""},
        {"bytes=-", 200, "0123456789", ""},
        {"bytes=", 200, "0123456789", ""},
        {"bytes=x", 200, "0123456789", ""},
        {"bytes=1-x", 200, "0123456789", ""},
        {"bytes=1", 200, "0123456789", ""},
        {"bytes=1--2", 200, "0123456789", ""},
        {"bytes=+1-2", 200, "0123456789", ""},
        {"bytes=1 -2", 200, "0123456789", ""},
        {"bytes 1-2", 200, "0123456789", ""},
        {"lines=1-2", 200, "0123456789", ""},
        {"", 200, "0123456789", ""},
    };
    char fields[128];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        snprintf(fields, sizeof(fields), "Range: %s\r\n", cases[i].range);
        struct asked *got = ask("/ten.txt", fields);
        print_message("%s: %d\n", cases[i].range, got->a.status);
        assert_int_equal(got->a.status, cases[i].status);
        assert_string_equal(got->body, cases[i].body);
        assert_string_equal(field(got, "Content-Range"),
                            cases[i].content_range);
        assert_string_equal(field(got, "Accept-Ranges"),
                            cases[i].status == 416 ? "" : "bytes");
    }
    assert_int_equal(
        ask("/ten.txt", "Range: bytes=1-1\r\nRange: bytes=2-2\r\n")->a.status,
        200);
    assert_int_equal(ask("/empty.txt", "Range: bytes=0-\r\n")->a.status, 416);
    assert_int_equal(ask("/empty.txt", "Range: bytes=-1\r\n")->a.status, 416);
    assert_string_equal(
        field(ask("/empty.txt", "Range: bytes=0-0\r\n"), "Content-Range"),
        "bytes */0");
    assert_int_equal(ask("/none", "Range: bytes=0-0\r\n")->a.status, 404);
}

/* ---- conditions ------------------------------------------------------- */

static void tag_of(const char *path, const char *fields, char out[128])
{
    struct asked *got = ask(path, fields);

    snprintf(out, 128, "%s", field(got, "ETag"));
    assert_true(strlen(out) > 2);
}

static int status_with(const char *path, const char *fmt, const char *value)
{
    char fields[512];

    snprintf(fields, sizeof(fields), fmt, value);
    struct asked *got = ask(path, fields);
    print_message("%s%d\n", fields, got->a.status);
    if (got->a.status == 304) {
        assert_int_equal(got->a.fd, -1);
        assert_int_equal(got->a.length, 0);
        assert_null(got->a.type);
        assert_true(strlen(field(got, "ETag")) > 0);
        assert_string_equal(field(got, "Cache-Control"), "no-cache");
    }
    return got->a.status;
}

static void test_tags(void **state)
{
    static const char path[] = "/ten.txt", date[] = "Sun, 06 Nov 1994 "
                                                    "08:49:37 GMT";
    char tag[128];

    (void)state;
    tag_of(path, "", tag);
    assert_int_equal(tag[0], '"'); /* strong: it changed long ago */
    assert_string_equal(field(ask(path, ""), "Last-Modified"), date);
    assert_string_equal(field(ask(path, ""), "Cache-Control"), "no-cache");

    assert_int_equal(status_with(path, "If-None-Match: %s\r\n", tag), 304);
    assert_int_equal(status_with(path, "If-None-Match: W/%s\r\n", tag), 304);
    assert_int_equal(status_with(path, "If-None-Match: \"x\", %s\r\n", tag),
                     304);
    assert_int_equal(
        status_with(path, "If-None-Match: \"x\"\r\nIf-None-Match: %s\r\n", tag),
        304);
    assert_int_equal(status_with(path, "If-None-Match: *%s\r\n", ""), 304);
    assert_int_equal(status_with(path, "If-None-Match: \"x\"%s\r\n", ""), 200);
    assert_int_equal(status_with(path, "If-None-Match: %s\r\n", tag + 1), 200);
    assert_int_equal(status_with(path, "If-None-Match: w/%s\r\n", tag), 200);
    /* A tag that does not match outweighs a date that does. */
    assert_int_equal(
        status_with(path, "If-None-Match: \"x\"\r\nIf-Modified-Since: %s\r\n",
                    date),
        200);

    assert_int_equal(status_with(path, "If-Match: %s\r\n", tag), 200);
    assert_int_equal(status_with(path, "If-Match: *%s\r\n", ""), 200);
    assert_int_equal(status_with(path, "If-Match: W/%s\r\n", tag), 412);
    assert_int_equal(status_with(path, "If-Match: \"x\"%s\r\n", ""), 412);
    assert_int_equal(
        status_with(path, "If-Match: \"x\"\r\nIf-None-Match: %s\r\n", tag),
        412);
    assert_int_equal(status_with("/none", "If-None-Match: *%s\r\n", ""), 404);
}

static void test_dates(void **state)
{
    static const struct {
        const char *date;
        int modified_since, unmodified_since;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 304, 200},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 304, 200},
        {"Sun Nov  6 08:49:37 1994", 304, 200},
        {"Sun, 06 Nov 1994 08:49:38 GMT", 304, 200},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 304, 200},
        {"Sun, 06 Nov 1994 08:49:36 GMT", 200, 412},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 200, 412},
        {"Sun, 06 Nov 1994 08:49:37", 200, 200},
        {"Sun, 06 Nov 1994 08:49:37 GMT x", 200, 200},
        {"Sun, 99 Nov 1994 08:49:37 GMT", 200, 200},
        {"yesterday", 200, 200},
        {"", 200, 200},
        {"0123456789012345678901234567890123456789012345678901234567890123",
         200, 200},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        assert_int_equal(
            status_with("/ten.txt", "If-Modified-Since: %s\r\n", cases[i].date),
            cases[i].modified_since);
        assert_int_equal(status_with("/ten.txt", "If-Unmodified-Since: %s\r\n",
                                     cases[i].date),
                         cases[i].unmodified_since);
    }
}

static void test_if_range(void **state)
{
    static const char path[] = "/ten.txt";
    static const char with[] = "Range: bytes=0-1\r\nIf-Range: %s\r\n";
    static const char weakly[] = "Range: bytes=0-1\r\nIf-Range: W/%s\r\n";
    char tag[128];

    (void)state;
    tag_of(path, "", tag);
    assert_int_equal(status_with(path, with, tag), 206);
    assert_int_equal(status_with(path, weakly, tag), 200);
    assert_int_equal(status_with(path, with, "\"x\""), 200);
    assert_int_equal(status_with(path, with, "W/"), 200);
    assert_int_equal(status_with(path, with, "*"), 200);
    assert_int_equal(status_with(path, with, ""), 200);
    assert_int_equal(status_with(path, with, "Sun, 06 Nov 1994 08:49:37 GMT"),
                     206);
    assert_int_equal(status_with(path, with, "Sun, 06 Nov 1994 08:49:38 GMT"),
                     200);
    assert_int_equal(status_with(path, with, "Wed, 09 Nov 1994 08:49:37 GMT"),
                     200);
    /* What cannot be satisfied is not even looked at. */
    assert_int_equal(
        status_with(path, "Range: bytes=99-\r\nIf-Range: %s\r\n", "\"x\""),
        200);
}

/* A file that may still change has a weak tag, and is never cut for one who
 * has a part of it already. */
static void test_fresh_file(void **state)
{
    static const char with[] = "Range: bytes=0-1\r\nIf-Range: %s\r\n";
    char tag[128], again[128];
    struct asked *got;

    (void)state;
    put_file("root/fresh.txt", "fresh", time(NULL));
    tag_of("/fresh.txt", "", tag);
    assert_memory_equal(tag, "W/\"", 3);
    assert_int_equal(status_with("/fresh.txt", with, tag), 200);
    assert_int_equal(status_with("/fresh.txt", with, tag + 2), 200);
    char date[256];
    snprintf(date, sizeof(date), "%s",
             field(ask("/fresh.txt", ""), "Last-Modified"));
    assert_int_equal(strlen(date), 29);
    assert_int_equal(status_with("/fresh.txt", with, date), 200);
    assert_int_equal(
        status_with("/fresh.txt", "If-Modified-Since: %s\r\n", date), 304);
    assert_int_equal(status_with("/fresh.txt", "If-None-Match: %s\r\n", tag),
                     304);
    assert_int_equal(status_with("/fresh.txt", "If-Match: %s\r\n", tag), 412);
    assert_int_equal(ask("/fresh.txt", "Range: bytes=0-1\r\n")->a.status, 206);

    /* The same size and another time: another tag. */
    put_file("root/fresh.txt", "FRESH", time(NULL) + 3600);
    tag_of("/fresh.txt", "", again);
    assert_memory_equal(again, "W/\"", 3);
    assert_string_not_equal(tag, again);
    got = ask("/fresh.txt", "");
    assert_string_equal(field(got, "Last-Modified"), "");
    assert_int_equal(status_with("/fresh.txt", "If-None-Match: %s\r\n", tag),
                     200);

    put_file("root/fresh.txt", "FRESH", MTIME);
    tag_of("/fresh.txt", "", tag);
    put_file("root/fresh.txt", "FRESH!", MTIME);
    tag_of("/fresh.txt", "", again);
    assert_string_not_equal(tag, again);
    assert_int_equal(unlink(at("root/fresh.txt")), 0);
}

/* ---- compressed forms ------------------------------------------------- */

static void test_encodings(void **state)
{
    static const char plain[] = "the script itself";
    static const char br[] = "br-script", gz[] = "gz-script!";
    static const struct {
        const char *accept, *body;
    } cases[] = {
        {NULL, plain},
        {"", plain},
        {"gzip, deflate, br, zstd", br},
        {"gzip", gz},
        {"br", br},
        {"GZip", gz},
        {"gzip;q=1.0, br;q=0.5", gz},
        {"gzip;q=0.5, br;q=0.5", br},
        {"gzip; q=0.001", gz},
        {"gzip ; Q=0.001", gz},
        {"br;q=0, gzip", gz},
        {"br;q=0.0, gzip;q=0", plain},
        {"br;q=0.000,gzip;q=0.000", plain},
        {"*", br},
        {"*;q=0", plain},
        {"*;q=0, gzip", gz},
        {"br;q=0, *", gz},
        {"identity", plain},
        {"identity, br", br}, /* liked as well, and shorter */
        {"identity, br;q=0.9, gzip;q=0.8", plain},
        {"identity;q=0.5, br;q=0.9", br},
        {"identity;q=0", plain},
        {"identity;q=0, gzip", gz},
        {"br;q=2, gzip", gz},
        {"br;q=1.001, gzip", gz},
        {"br;q=x, gzip", gz},
        {"br;q=, gzip", gz},
        {"br;q, gzip", gz},
        {"br;, gzip", gz},
        {"br;q=0.1234, gzip", gz},
        {"br;q=1x, gzip", gz},
        {"deflate", plain},
        {"brx, xgzip", plain},
    };
    char fields[128];

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        fields[0] = '\0';
        if (cases[i].accept)
            snprintf(fields, sizeof(fields), "Accept-Encoding: %s\r\n",
                     cases[i].accept);
        struct asked *got = ask("/app.js", fields);
        print_message("%s: %s\n", fields, got->body);
        assert_int_equal(got->a.status, 200);
        assert_string_equal(got->body, cases[i].body);
        assert_string_equal(got->a.type, "text/javascript; charset=utf-8");
        assert_string_equal(field(got, "Vary"), "Accept-Encoding");
        assert_string_equal(field(got, "Content-Encoding"),
                            cases[i].body == br   ? "br"
                            : cases[i].body == gz ? "gzip"
                                                  : "");
    }
    struct asked *got =
        ask("/app.js", "Accept-Encoding: br;q=0\r\nAccept-Encoding: gzip\r\n");
    assert_string_equal(got->body, gz);
}

static void test_encoded_forms(void **state)
{
    char plain[128], br[128], gz[128];
    struct asked *got;

    (void)state;
    got = ask("/only.css", "Accept-Encoding: br, gzip\r\n");
    assert_string_equal(got->body, "gz-css");
    /* A compressed form that leads out, or is a directory, is none. */
    got = ask("/ten.txt", "Accept-Encoding: gzip\r\n");
    assert_string_equal(got->body, "0123456789");
    assert_string_equal(field(got, "Vary"), "");
    got = ask("/dir.css", "Accept-Encoding: gzip\r\n");
    assert_string_equal(got->body, "css");
    assert_string_equal(field(got, "Vary"), "");

    /* Each form has its own tag, and ranges are of that form's bytes. */
    tag_of("/app.js", "", plain);
    tag_of("/app.js", "Accept-Encoding: br\r\n", br);
    tag_of("/app.js", "Accept-Encoding: gzip\r\n", gz);
    assert_string_not_equal(plain, br);
    assert_string_not_equal(br, gz);
    got = ask("/app.js", "Accept-Encoding: br\r\nRange: bytes=3-\r\n");
    assert_int_equal(got->a.status, 206);
    assert_string_equal(got->body, "script");
    assert_string_equal(field(got, "Content-Range"), "bytes 3-8/9");
    assert_string_equal(field(got, "Content-Encoding"), "br");
    assert_int_equal(status_with("/app.js",
                                 "Accept-Encoding: br\r\nRange: bytes=0-1\r\n"
                                 "If-Range: %s\r\n",
                                 plain),
                     200);
    assert_int_equal(status_with("/app.js",
                                 "Accept-Encoding: br\r\nRange: bytes=0-1\r\n"
                                 "If-Range: %s\r\n",
                                 br),
                     206);
    assert_int_equal(status_with("/app.js",
                                 "Accept-Encoding: br\r\nIf-None-Match: %s\r\n",
                                 br),
                     304);
    got = ask("/app.js", "If-None-Match: *\r\n");
    assert_int_equal(got->a.status, 304);
    assert_string_equal(field(got, "Vary"), "Accept-Encoding");

    /* Asked for by its own name it is a file like another. */
    got = ask("/app.js.br", "");
    assert_string_equal(got->body, "br-script");
    assert_string_equal(got->a.type, "application/octet-stream");
    assert_string_equal(field(got, "Content-Encoding"), "");
}

/* ---- the rest --------------------------------------------------------- */

static void test_sockets(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_true(fd >= 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", at("root/sock"));
    assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(ask("/sock", "")->a.status, 404);
    close(fd);
}

static void test_no_descriptors(void **state)
{
    struct rlimit old, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int there = ask("/ten.txt", "")->a.status;
    int hidden = ask("/.hidden", "")->a.status;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(there, 503);
    assert_int_equal(hidden, 404);
    assert_int_equal(ask("/ten.txt", "")->a.status, 200);
}

/* Every descriptor that was opened is closed, whatever the answer. */
static void test_no_leak(void **state)
{
    int before = dup(STDERR_FILENO);

    (void)state;
    close(before);
    for (int i = 0; i < 20; i++) {
        ask("/app.js", "Accept-Encoding: br, gzip\r\n");
        ask("/app.js", "Range: bytes=99-\r\n");
        ask("/app.js", "If-None-Match: *\r\n");
        ask("/app.js", "If-Match: \"x\"\r\n");
        ask_url("HEAD", NULL, "/app.js", "Accept-Encoding: gzip\r\n");
        ask("/dir.css", "");
        ask("/sub", "");
        ask("/odd/", "");
        ask("/fifo", "");
    }
    int after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(before, after);
}

static void test_open_errors(void **state)
{
    struct err err;

    (void)state;
    assert_null(files_root_open(at("nowhere"), &err));
    assert_non_null(strstr(err.text, "nowhere: No such file"));
    assert_null(files_root_open(at("secret.txt"), &err));
    assert_non_null(strstr(err.text, "secret.txt: Not a directory"));
}

/* As on a kernel before 5.6, or within a filter that does not know openat2. */
static void forbid_openat2(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {LEN(code), code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(77);
}

static void test_no_openat2(void **state)
{
    static const struct {
        int error;
        const char *want;
    } cases[] = {
        {ENOSYS, "root: files need openat2 (Linux 5.6 or later): "},
        {EPERM, "root: Operation not permitted"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct err err = {""};
            forbid_openat2(cases[i].error);
            bool none = !files_root_open(at("root"), &err);
            _exit(none && strstr(err.text, cases[i].want) ? 0 : 1);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
            skip();
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void test_types(void **state)
{
    static const struct {
        const char *name, *type;
    } cases[] = {
        {"x.html", "text/html; charset=utf-8"},
        {"X.HTML", "text/html; charset=utf-8"},
        {"a/b.min.css", "text/css; charset=utf-8"},
        {"m.mjs", "text/javascript; charset=utf-8"},
        {"m.js.map", "application/json"},
        {"a.wasm", "application/wasm"},
        {"a.woff2", "font/woff2"},
        {"a.ico", "image/x-icon"},
        {"a.svg", "image/svg+xml"},
        {"html", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"", "application/octet-stream"},
        {"dir.html/file", "application/octet-stream"},
        {"a.htmlx", "application/octet-stream"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++)
        assert_string_equal(mime_type(cases[i].name), cases[i].type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_if_range),
        cmocka_unit_test(test_fresh_file),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_encoded_forms),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_no_leak),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_no_openat2),
        cmocka_unit_test(test_types),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
