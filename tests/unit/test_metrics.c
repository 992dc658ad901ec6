/* SPDX-License-Identifier: Apache-2.0 */
/* test_metrics.c - sums over workers, and the text that Prometheus reads. */
#include "../../gateway/serve/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const struct gw_counter one_counters[] = {
    {"messages", "Messages that \\ were\nsent.", false},
    {"only_one", "Only in one.", false},
    {"Bad name", "Never written.", false},
    {"messages", "The same again: never written.", false},
    {NULL, NULL, false},
};
static const struct gw_counter two_counters[] = {
    {"other", NULL, false},
    {"messages", "Messages.", false},
    {NULL, NULL, false},
};
static const struct gw_bridge one = {.name = "one", .counters = one_counters};
static const struct gw_bridge none = {.name = "none"};
static const struct gw_bridge two = {.name = "t\"w\\o",
                                     .counters = two_counters};
static const struct gw_bridge *const bridges[] = {&one, &none, &two};

static const struct metrics_extra extra = {
    .start_time = 1700000000.25,
    .last_reload_ok = true,
    .reloads_ok = 3,
    .reloads_failed = 1,
    .log_dropped = 5,
    .cert_not_after = 1800000000,
    .max_connections = 1000,
    .loop_lag_s = 0.0125,
    .bridges = bridges,
    .n_bridges = LEN(bridges),
    .version = "1.2.3",
};

/* Two workers that have counted. The caller frees the text. */
static char *written(const struct metrics_extra *x)
{
    static struct metrics a, b;
    const struct metrics *const v[] = {&a, &b};
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    counter_add(&a.accepted, 10);
    counter_add(&b.accepted, 7);
    counter_add(&b.closed, 4);
    counter_add(&a.sessions_opened, 2);
    counter_add(&a.sessions_closed, 3); /* as a racing reader may see it */
    counter_add(&a.ends[END_IDLE], 1);
    counter_add(&b.ends[END_IDLE], 1);
    counter_add(&a.close_codes[0], 1);
    counter_add(&b.close_codes[15], 6);
    counter_add(&b.close_codes_app, 8);
    counter_add(&a.refused[599 - 400], 9);
    counter_add(&b.refused[0], 2);
    counter_add(&a.http[200 - 100], 1);
    counter_add(&a.frames_in[FRAME_CLOSE], 11);
    counter_add(&b.frames_out[FRAME_TEXT], 12);
    counter_add(&a.payload_in, UINT64_C(1) << 40);
    counter_add(&a.payload_out, 13);
    counter_add(&a.backend_failed, 14);
    counter_add(&b.limit_hits[LIMIT_CONTROL], 15);
    counter_add(&b.tls_failed, 16);
    counter_add(&a.bridge[0][0], 100);
    counter_add(&b.bridge[0][0], 1);
    counter_add(&b.bridge[0][1], 17);
    counter_add(&b.bridge[2][0], 18);
    counter_add(&b.bridge[2][1], 19);
    histogram_add(&a.handshake, 0.0005);
    histogram_add(&b.handshake, 0.0005004); /* rounded to microseconds */
    histogram_add(&b.handshake, 0.000501);
    histogram_add(&a.handshake, 3600);
    histogram_add(&a.handshake, -1);
    metrics_write(f, v, LEN(v), x);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void assert_line(const char *text, const char *line)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no line '%s'", line);
}

static void test_lines(void **state)
{
    static const char *const lines[] = {
        "# TYPE gangway_build_info gauge",
        "gangway_build_info{version=\"1.2.3\"} 1",
        "gangway_start_time_seconds 1700000000.250000",
        "gangway_loop_lag_seconds 0.012500",
        "gangway_config_last_reload_successful 1",
        "gangway_config_reloads_total{result=\"ok\"} 3",
        "gangway_config_reloads_total{result=\"failed\"} 1",
        "gangway_log_dropped_total 5",
        "gangway_connections_active 13",
        "gangway_connections_total 17",
        "gangway_max_connections 1000",
        "gangway_sessions_active 0",
        "gangway_sessions_total 2",
        "gangway_session_ends_total{reason=\"idle\",initiator=\"gateway\"} 2",
        "gangway_session_ends_total{reason=\"backend_done\","
        "initiator=\"backend\"} 0",
        "gangway_ws_closes_total{code=\"1000\"} 1",
        "gangway_ws_closes_total{code=\"1015\"} 6",
        "gangway_ws_closes_total{code=\"3000-4999\"} 8",
        "gangway_handshake_rejects_total{status=\"400\"} 2",
        "gangway_handshake_rejects_total{status=\"599\"} 9",
        "gangway_http_responses_total{status=\"200\"} 1",
        "gangway_ws_frames_total{direction=\"in\",opcode=\"close\"} 11",
        "gangway_ws_frames_total{direction=\"out\",opcode=\"text\"} 12",
        "gangway_ws_frames_total{direction=\"out\",opcode=\"pong\"} 0",
        "gangway_ws_payload_bytes_total{direction=\"in\"} 1099511627776",
        "gangway_ws_payload_bytes_total{direction=\"out\"} 13",
        "gangway_backend_connects_total{result=\"ok\"} 0",
        "gangway_backend_connects_total{result=\"failed\"} 14",
        "gangway_limit_hits_total{limit=\"control\"} 15",
        "gangway_limit_hits_total{limit=\"connections\"} 0",
        "gangway_tls_handshake_failures_total 16",
        "gangway_tls_cert_not_after_timestamp_seconds 1800000000",
        "# TYPE gangway_handshake_duration_seconds histogram",
        "gangway_handshake_duration_seconds_bucket{le=\"0.0005\"} 3",
        "gangway_handshake_duration_seconds_bucket{le=\"0.001\"} 4",
        "gangway_handshake_duration_seconds_bucket{le=\"10\"} 4",
        "gangway_handshake_duration_seconds_bucket{le=\"+Inf\"} 5",
        "gangway_handshake_duration_seconds_sum 3600.001501",
        "gangway_handshake_duration_seconds_count 5",
        "gangway_backend_connect_duration_seconds_count 0",
        "# HELP gangway_bridge_messages_total Messages that \\\\ "
        "were\\nsent.",
        "gangway_bridge_messages_total{bridge=\"one\"} 101",
        "gangway_bridge_messages_total{bridge=\"t\\\"w\\\\o\"} 19",
        "gangway_bridge_only_one_total{bridge=\"one\"} 17",
        "gangway_bridge_other_total{bridge=\"t\\\"w\\\\o\"} 18",
    };
    char *text = written(&extra);

    (void)state;
    for (size_t i = 0; i < LEN(lines); i++)
        assert_line(text, lines[i]);
    assert_null(strstr(text, "status=\"401\""));
    assert_null(strstr(text, "Bad name"));
    free(text);

    struct metrics_extra plain = {.version = "0", .bridges = bridges};
    text = written(&plain);
    assert_null(strstr(text, "not_after"));
    assert_null(strstr(text, "gangway_bridge_"));
    assert_line(text, "gangway_config_last_reload_successful 0");
    free(text);
}

/* The number on the line that begins with `name` and a space. */
static double value_of(const char *text, const char *name)
{
    char start[128];
    snprintf(start, sizeof(start), "\n%s ", name);
    const char *p = strstr(text, start);

    if (!p)
        fail_msg("no %s", name);
    return p ? strtod(p + strlen(start), NULL) : NAN;
}

static void test_process(void **state)
{
    double now = (double)time(NULL);
    char *text = written(&extra);

    (void)state;
    assert_true(value_of(text, "process_resident_memory_bytes") > 65536);
    assert_true(value_of(text, "process_virtual_memory_bytes") >=
                value_of(text, "process_resident_memory_bytes"));
    assert_true(value_of(text, "process_max_fds") >= 3);
    assert_true(value_of(text, "process_cpu_seconds_total") > 0);
    assert_true(value_of(text, "process_cpu_seconds_total") < 600);
    assert_true(fabs(value_of(text, "process_start_time_seconds") - now) < 600);

    double before = value_of(text, "process_open_fds");
    int fd = dup(STDERR_FILENO);
    char *more = written(&extra);
    assert_true(fd >= 0);
    assert_true(value_of(more, "process_open_fds") == before + 1);
    close(fd);
    free(more);
    free(text);
}

/* Each family is introduced once, and every sample belongs to the family
 * above it. */
static void test_families(void **state)
{
    char *text = written(&extra), *rest = NULL, family[128] = "";

    (void)state;
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            snprintf(family, sizeof(family), "%.*s",
                     (int)strcspn(line + 7, " "), line + 7);
            char again[160];
            snprintf(again, sizeof(again), "\n# HELP %s ", family);
            assert_null(rest && *rest ? strstr(rest, again) : NULL);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_memory_equal(line + 7, family, strlen(family));
        } else {
            assert_memory_equal(line, family, strlen(family));
        }
    }
    free(text);
}

/* The tool that ships with Prometheus has the last word, where it is there. */
static void test_promtool(void **state)
{
    char *text = written(&extra);
    FILE *f;

    (void)state;
    if (access("/usr/bin/promtool", X_OK) != 0) {
        free(text);
        skip();
    }
    f = popen("/usr/bin/promtool check metrics 2>&1", "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    int status = pclose(f);
    free(text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_ends(void **state)
{
    (void)state;
    for (int i = 0; i < END_COUNT; i++) {
        enum end e = (enum end)i;
        uint16_t code = end_code(e);
        assert_true(
            end_label(e)[strspn(end_label(e), "abcdefghijklmnopqrstuvwxyz_")] ==
            '\0');
        assert_true(strlen(end_text(e)) > 0);
        assert_true(strcmp(end_who(e), "client") == 0 ||
                    strcmp(end_who(e), "gateway") == 0 ||
                    strcmp(end_who(e), "backend") == 0);
        assert_true(code == 0 || (code >= 1000 && code <= 1015));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(end_label(e), end_label((enum end)j));
    }
    assert_string_equal(end_label(END_TOO_BIG), "too_big");
    assert_int_equal(end_code(END_TOO_BIG), 1009);
    assert_string_equal(end_who(END_CLIENT_GONE), "client");
}

static void test_histogram(void **state)
{
    static const struct {
        double seconds;
        size_t bucket;
        uint64_t us;
    } cases[] = {
        {0, 0, 0},
        {0.0000004, 0, 0},
        {0.0005, 0, 500},
        {0.0006, 1, 600},
        {0.001, 1, 1000},
        {10, 10, 10000000},
        {10.1, 11, 10100000},
        {-5, 0, 0},
        {NAN, 0, 0},
        {INFINITY, 11, 1000000000000000},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct histogram h;
        memset(&h, 0, sizeof(h));
        histogram_add(&h, cases[i].seconds);
        for (size_t b = 0; b < DURATION_BUCKETS; b++)
            assert_int_equal(counter_get(&h.bucket[b]), b == cases[i].bucket);
        assert_int_equal(counter_get(&h.sum_us), cases[i].us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_process),
        cmocka_unit_test(test_families), cmocka_unit_test(test_promtool),
        cmocka_unit_test(test_ends),     cmocka_unit_test(test_histogram),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
