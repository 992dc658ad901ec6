/* SPDX-License-Identifier: Apache-2.0 */
/* What reaches stderr: the two formats, escapes, bounds; and that a stderr
 * that takes nothing holds nobody up. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../gateway/base/log.h"
#include "../../gateway/base/utf8.h"

/* ---- stderr, redirected
 * ------------------------------------------------------ */

static int saved_stderr = -1;

/* Until restored, stderr is fd. */
static void redirect(int fd)
{
    if (saved_stderr == -1)
        saved_stderr = dup(STDERR_FILENO);
    assert_int_not_equal(dup2(fd, STDERR_FILENO), -1);
}

static int restore(void **state)
{
    (void)state;
    if (saved_stderr == -1)
        return 0;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    saved_stderr = -1;
    return 0;
}

static int capture(void)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC);

    assert_int_not_equal(fd, -1);
    redirect(fd);
    return fd;
}

/* What was written to fd since capture; the caller frees it. */
static char *captured(int fd)
{
    off_t n = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)n + 1);

    restore(NULL);
    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)n, 0), n);
    text[n] = '\0';
    close(fd);
    return text;
}

/* One line as the writer would have written it; the caller frees it. */
static char *line_of(bool json, const struct log_field *fields, size_t n)
{
    int fd = capture();

    log_start(json, LOG_SEV_INFO);
    log_event(LOG_SEV_INFO, "event", fields, n);
    log_stop();
    return captured(fd);
}

/* ---- formats
 * ----------------------------------------------------------------- */

/* 2026-01-31T12:00:00.123Z */
static void assert_time(const char *p)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";

    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == 'd')
            assert_in_range(p[i], '0', '9');
        else
            assert_int_equal(p[i], shape[i]);
}

static const struct {
    struct log_field field;
    const char *text, *json; /* after the event; NULL: nothing */
} values[] = {
    {{"k", LOG_STR, {"plain-1.2:3/x", 13}, 0},
     "k=plain-1.2:3/x",
     "\"k\":\"plain-1.2:3/x\""},
    {{"k", LOG_STR, {"", 0}, 0}, "k=\"\"", "\"k\":\"\""},
    {{"k", LOG_STR, {"a b", 3}, 0}, "k=\"a b\"", "\"k\":\"a b\""},
    {{"k", LOG_STR, {"a=b", 3}, 0}, "k=\"a=b\"", "\"k\":\"a=b\""},
    {{"k", LOG_STR, {"\"\\", 2}, 0}, "k=\"\\\"\\\\\"", "\"k\":\"\\\"\\\\\""},
    {{"k", LOG_STR, {"\n\r\t", 3}, 0},
     "k=\"\\n\\r\\t\"",
     "\"k\":\"\\n\\r\\t\""},
    {{"k", LOG_STR, {"\0\x1b[31m\x7f", 7}, 0},
     "k=\"\\u0000\\u001b[31m\\u007f\"",
     "\"k\":\"\\u0000\\u001b[31m\\u007f\""},
    /* C1: U+0085 */
    {{"k", LOG_STR, {"\xc2\x85", 2}, 0}, "k=\"\\u0085\"", "\"k\":\"\\u0085\""},
    /* U+202E, U+2066, U+2028 */
    {{"k", LOG_STR, {"\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8", 9}, 0},
     "k=\"\\u202e\\u2066\\u2028\"",
     "\"k\":\"\\u202e\\u2066\\u2028\""},
    /* e acute and an emoji stay */
    {{"k", LOG_STR, {"\xc3\xa9\xf0\x9f\x98\x80", 6}, 0},
     "k=\"\xc3\xa9\xf0\x9f\x98\x80\"",
     "\"k\":\"\xc3\xa9\xf0\x9f\x98\x80\""},
    /* not UTF-8: a lone byte, an overlong form, a surrogate, cut short */
    {{"k",
      LOG_STR,
      {"a\xff"
       "b",
       3},
      0},
     "k=\"a\\xffb\"",
     "\"k\":\"a\\\\xffb\""},
    {{"k", LOG_STR, {"\xc0\xaf", 2}, 0},
     "k=\"\\xc0\\xaf\"",
     "\"k\":\"\\\\xc0\\\\xaf\""},
    {{"k", LOG_STR, {"\xed\xa0\x80", 3}, 0},
     "k=\"\\xed\\xa0\\x80\"",
     "\"k\":\"\\\\xed\\\\xa0\\\\x80\""},
    {{"k", LOG_STR, {"\xf0\x9f\x98", 3}, 0},
     "k=\"\\xf0\\x9f\\x98\"",
     "\"k\":\"\\\\xf0\\\\x9f\\\\x98\""},
    {{"k", LOG_U64, {0}, UINT64_MAX},
     "k=18446744073709551615",
     "\"k\":18446744073709551615"},
    {{"k", LOG_I64, {0}, (uint64_t)-5}, "k=-5", "\"k\":-5"},
    {{"k", LOG_MS, {0}, 61005}, "k=61.005", "\"k\":61.005"},
    {{NULL, LOG_U64, {0}, 5}, NULL, NULL},
    {{"k", LOG_STR, {NULL, 0}, 0}, NULL, NULL},
};

static void text_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(values); i++) {
        char want[128];
        char *line = line_of(false, &values[i].field, 1);

        snprintf(want, sizeof(want), " info event%s%s\n",
                 values[i].text ? " " : "",
                 values[i].text ? values[i].text : "");
        assert_time(line);
        assert_string_equal(line + 24, want);
        free(line);
    }
}

static void json_values(void **state)
{
    static const char before[] = "{\"time\":\"";
    static const char after[] = "\",\"level\":\"info\",\"event\":\"event\"";
    (void)state;

    for (size_t i = 0; i < LEN(values); i++) {
        char want[128];
        char *line = line_of(true, &values[i].field, 1);

        snprintf(want, sizeof(want), "%s%s%s}\n", after,
                 values[i].json ? "," : "",
                 values[i].json ? values[i].json : "");
        assert_memory_equal(line, before, sizeof(before) - 1);
        assert_time(line + sizeof(before) - 1);
        assert_string_equal(line + sizeof(before) - 1 + 24, want);
        free(line);
    }
}

static void severities(void **state)
{
    int fd = capture();
    (void)state;

    log_start(false, LOG_SEV_WARN);
    log_error("e", log_u64("n", 1));
    log_warn("w", log_u64("n", 2));
    log_info("i", log_u64("n", 3));
    log_set_level(LOG_SEV_DEBUG);
    log_debug("d", log_u64("n", 4));
    log_set_level(LOG_SEV_INFO);
    assert_false(log_enabled(LOG_SEV_DEBUG));
    log_event(LOG_SEV_DEBUG, "d", NULL, 0);
    log_stop();

    char *text = captured(fd);
    assert_non_null(strstr(text, "Z error e n=1\n"));
    assert_non_null(strstr(text, "Z warn w n=2\n"));
    assert_null(strstr(text, "info"));
    assert_non_null(strstr(text, "Z debug d n=4\n"));
    assert_null(strstr(strstr(text, "debug") + 1, "debug"));
    free(text);
}

static void without_a_writer(void **state)
{
    int fd = capture();
    (void)state;

    errno = ENOTTY;
    log_info("before", log_str("a", "b"));
    log_start(false, LOG_SEV_INFO);
    log_info("between", log_str("a", "b"));
    log_stop();
    log_stop();
    log_info("after", log_str("a", "b"));
    assert_int_equal(errno, ENOTTY);

    char *text = captured(fd);
    const char *const order[] = {"info before a=b\n", "info between a=b\n",
                                 "info after a=b\n"};
    const char *p = text;
    for (size_t i = 0; i < LEN(order); i++) {
        p = strstr(p, order[i]);
        assert_non_null(p);
    }
    free(text);
}

static void journal(void **state)
{
    static const struct {
        bool json, is_it; /* JOURNAL_STREAM names our stderr */
        const char *want;
    } cases[] = {
        {false, true, "<4>warn w\n"},
        {false, false, "20"},
        {true, true, "{\"time\":\"20"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        int fd = capture();
        struct stat st;
        char name[64];

        assert_int_equal(fstat(fd, &st), 0);
        snprintf(name, sizeof(name), "%ju:%ju", (uintmax_t)st.st_dev,
                 (uintmax_t)st.st_ino + !cases[i].is_it);
        setenv("JOURNAL_STREAM", name, 1);
        log_start(cases[i].json, LOG_SEV_INFO);
        log_event(LOG_SEV_WARN, "w", NULL, 0);
        log_stop();
        unsetenv("JOURNAL_STREAM");
        char *text = captured(fd);
        assert_memory_equal(text, cases[i].want, strlen(cases[i].want));
        free(text);
    }
}

/* ---- bounds
 * ------------------------------------------------------------------- */

static void long_values(void **state)
{
    static char p[5000];
    const struct {
        char fill;
        bool json;
        size_t want; /* bytes between the quotes */
    } cases[] = {
        {'x', false, 1024 + 3},
        {'x', true, 1024 + 3},
        {1, true, 1024 / 6 * 6 + 3}, /* no escape is cut */
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        memset(p, cases[i].fill, sizeof(p));
        const struct log_field f = log_slice("k", (struct slice){p, sizeof(p)});
        char *line = line_of(cases[i].json, &f, 1);
        const char *start = strstr(line, cases[i].json ? "\"k\":\"" : "k=\"");
        assert_non_null(start);
        start = strchr(strchr(start, cases[i].json ? ':' : '='), '"') + 1;
        const char *end = strchr(start, '"');
        assert_non_null(end);
        assert_int_equal(end - start, cases[i].want);
        assert_memory_equal(end - 3, "...", 3);
        free(line);
    }

    /* Just as long as it may be. */
    const struct log_field f = log_slice("k", (struct slice){p, 1024});
    memset(p, 'x', sizeof(p));
    char *line = line_of(false, &f, 1);
    assert_null(strstr(line, "..."));
    assert_null(strchr(line, '"'));
    free(line);
}

static void long_lines(void **state)
{
    static char p[1024];
    struct log_field fields[12];
    (void)state;

    memset(p, 'x', sizeof(p));
    for (size_t i = 0; i < LEN(fields) - 1; i++)
        fields[i] = log_slice("k", (struct slice){p, sizeof(p)});
    fields[LEN(fields) - 1] = log_u64("small", 1); /* for this there is room */
    for (int json = 0; json < 2; json++) {
        char *line = line_of(json, fields, LEN(fields));
        size_t n = strlen(line);
        const char *end =
            json ? ",\"small\":1,\"cut\":true}\n" : " small=1 cut=true\n";

        assert_in_range(n, 7 << 10, 8 << 10);
        assert_string_equal(line + n - strlen(end), end);
        free(line);
    }
}

/* ---- whatever bytes
 * ------------------------------------------------------------ */

/* The end of the JSON string that begins at p, or NULL. */
static const char *json_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        p++;
        if (*p == 'u') {
            if (strspn(p + 1, "0123456789abcdef") < 4)
                return NULL;
            p += 4;
        } else if (!strchr("\"\\/bfnrt", *p)) {
            return NULL;
        }
    }
    return p + 1;
}

/* Whether line is {"key":"string",...}\n */
static bool is_json_line(const char *line)
{
    const char *p = line;

    if (*p != '{')
        return false;
    do {
        p = json_string(p + 1);
        if (!p || *p != ':' || !(p = json_string(p + 1)))
            return false;
    } while (*p == ',');
    return strcmp(p, "}\n") == 0;
}

static void any_bytes(void **state)
{
    struct rng rng = {0x9e3779b97f4a7c15};
    (void)state;

    for (int turn = 0; turn < 400; turn++) {
        char p[64];
        size_t n = rng_below(&rng, sizeof(p));
        for (size_t i = 0; i < n; i++)
            p[i] = turn % 2
                       ? (char)rng_next(&rng)
                       : "\xc2\x80\xe2\xae\xa6\"\\a\n\xff"[rng_below(&rng, 10)];
        char *value = copy_of(p, n);
        const struct log_field f = log_slice("k", (struct slice){value, n});

        for (int json = 0; json < 2; json++) {
            char *line = line_of(json, &f, 1);
            size_t size = strlen(line);
            struct utf8 u = {0};

            assert_true(utf8_feed(&u, (uint8_t *)line, size) && utf8_done(&u));
            for (size_t i = 0; i + 1 < size; i++) {
                assert_true((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
                assert_false(line[i] == '\xc2' &&
                             (unsigned char)line[i + 1] < 0xa0);
            }
            assert_int_equal(line[size - 1], '\n');
            if (json)
                assert_true(is_json_line(line));
            free(line);
        }
        free(value);
    }
}

/* ---- many threads
 * ---------------------------------------------------------------- */

enum { THREADS = 4, LINES = 8000 }; /* more than ring and pipe hold */

static void *talk(void *arg)
{
    for (unsigned i = 0; i < LINES; i++)
        log_info("talk", log_u64("thread", (uintptr_t)arg), log_u64("i", i));
    return NULL;
}

static uint64_t told_dropped(const char *line)
{
    const char *p = strstr(line, "log-dropped count=");

    return p ? strtoull(p + strlen("log-dropped count="), NULL, 10) : 0;
}

/* Every line is whole, a thread's are in order, and what is missing is told. */
static void assert_talk(char *text, uint64_t lost)
{
    unsigned long next[THREADS] = {0}, seen = 0;
    uint64_t told = 0;

    for (char *line = text, *end; *line; line = end + 1) {
        unsigned long thread, i;
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_time(line);
        if (told_dropped(line)) {
            told += told_dropped(line);
            continue;
        }
        assert_int_equal(
            sscanf(line + 24, " info talk thread=%lu i=%lu", &thread, &i), 2);
        assert_true(thread < THREADS && i >= next[thread]);
        next[thread] = i + 1;
        seen++;
    }
    assert_int_equal(told, lost);
    assert_int_equal(seen + lost, THREADS * LINES);
}

static void many_threads(void **state)
{
    int fd = capture();
    uint64_t before = log_dropped();
    pthread_t threads[THREADS];
    (void)state;

    log_start(false, LOG_SEV_INFO);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_stop();

    char *text = captured(fd);
    assert_talk(text, log_dropped() - before);
    free(text);
}

/* ---- a stderr that takes nothing
 * --------------------------------------------------- */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct reader {
    int fd;
    char *text;
    size_t n, cap;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    ssize_t n;

    while ((n = read(r->fd, r->text + r->n, r->cap - 1 - r->n)) > 0)
        r->n += (size_t)n;
    r->text[r->n] = '\0';
    return NULL;
}

/* More than the pipe and the ring hold is logged while nobody reads; then
 * somebody does. */
static void full_pipe(void **state)
{
    static const int flags[] = {0, O_NONBLOCK};
    (void)state;

    for (size_t i = 0; i < LEN(flags); i++) {
        int pipes[2];
        pthread_t thread;
        uint64_t before = log_dropped();
        struct reader r = {.cap = 4 << 20, .text = malloc(4 << 20)};

        assert_non_null(r.text);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(fcntl(pipes[1], F_SETFL, flags[i]), 0);
        redirect(pipes[1]);
        close(pipes[1]);
        log_start(false, LOG_SEV_INFO);
        for (uintptr_t t = 0; t < THREADS; t++)
            talk((void *)t); /* would hang here */
        uint64_t lost = log_dropped() - before;

        r.fd = pipes[0];
        assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
        log_stop();
        restore(NULL); /* the last writer's end: the reader sees the end */
        pthread_join(thread, NULL);
        assert_int_not_equal(lost, 0);
        assert_talk(r.text, lost);
        close(pipes[0]);
        free(r.text);
    }
}

static void full_disk(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    uint64_t before = log_dropped();
    double deadline = now() + 10;
    (void)state;

    assert_int_not_equal(full, -1);
    redirect(full);
    close(full);
    log_start(false, LOG_SEV_INFO);
    for (unsigned i = 0; i < 100; i++)
        log_info("lost", log_u64("i", i));
    while (log_dropped() - before < 100 && now() < deadline)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    int fd = capture();
    log_info("back", log_u64("i", 1));
    log_stop();

    char *text = captured(fd);
    assert_int_equal(log_dropped() - before, 100);
    assert_non_null(strstr(text, "info back i=1\n"));
    assert_non_null(strstr(text, "warn log-dropped count=100\n"));
    assert_null(strstr(text, "lost"));
    free(text);
}

/* In a process of its own: afterwards there is no log any more. */
static void stuck_at_stop(void **state)
{
    int pipes[2], status;
    (void)state;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        alarm(20);
        dup2(pipes[1], STDERR_FILENO);
        log_start(false, LOG_SEV_INFO);
        for (uintptr_t t = 0; t < THREADS; t++)
            talk((void *)t);
        double before = now();
        log_stop();
        double took = now() - before;
        log_info("after", log_u64("i", 1)); /* would hang here */
        _exit(took > 0.9 && took < 5 ? 42 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    close(pipes[0]);
    close(pipes[1]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

/* ---- company
 * ----------------------------------------------------------------- */

/* One write's bytes: a pipe made with O_DIRECT keeps writes apart. */
static ssize_t one_write(int fd)
{
    static char text[PIPE_BUF];
    return read(fd, text, sizeof(text));
}

/* A line after a silence is there at once; those of a burst share writes. */
static void writes_gather(void **state)
{
    enum { BURST = 200 };
    size_t writes = 0;
    int ends[2];
    (void)state;

    assert_int_equal(pipe2(ends, O_DIRECT), 0);
    redirect(ends[1]);
    log_start(false, LOG_SEV_INFO);
    log_info("first", log_u64("n", 0));
    assert_true(one_write(ends[0]) > 0); /* no second line needs to come */
    for (uint64_t i = 0; i < BURST; i++)
        log_info("burst", log_u64("n", i));
    log_stop();
    restore(NULL);
    close(ends[1]);
    while (one_write(ends[0]) > 0)
        writes++;
    close(ends[0]);
    assert_in_range(writes, 1, BURST / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(text_values, restore),
        cmocka_unit_test_teardown(json_values, restore),
        cmocka_unit_test_teardown(severities, restore),
        cmocka_unit_test_teardown(without_a_writer, restore),
        cmocka_unit_test_teardown(journal, restore),
        cmocka_unit_test_teardown(long_values, restore),
        cmocka_unit_test_teardown(long_lines, restore),
        cmocka_unit_test_teardown(any_bytes, restore),
        cmocka_unit_test_teardown(many_threads, restore),
        cmocka_unit_test_teardown(writes_gather, restore),
        cmocka_unit_test_teardown(full_pipe, restore),
        cmocka_unit_test_teardown(full_disk, restore),
        cmocka_unit_test_teardown(stuck_at_stop, restore),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
