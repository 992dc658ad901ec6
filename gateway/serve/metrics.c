/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - the counters of all workers as Prometheus text (exposition
 * format 0.0.4). Series that may be many and mostly zero, such as one for each
 * status, appear once they count. */
#include "metrics.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- ends ------------------------------------------------------------- */

static const struct {
    const char *label, *who, *text;
    uint16_t code;
} ends[END_COUNT] = {
#define END(symbol, label, code, who, text) [symbol] = {label, who, text, code},
#include "ends.def"
#undef END
};

const char *end_label(enum end e)
{
    return ends[e].label;
}

uint16_t end_code(enum end e)
{
    return ends[e].code;
}

const char *end_who(enum end e)
{
    return ends[e].who;
}

const char *end_text(enum end e)
{
    return ends[e].text;
}

/* ---- histograms ------------------------------------------------------- */

/* Upper bounds: as Prometheus is told them, and in microseconds. */
static const struct {
    const char *le;
    uint64_t us;
} buckets[DURATION_BUCKETS] = {
    {"0.0005", 500}, {"0.001", 1000},  {"0.0025", 2500}, {"0.005", 5000},
    {"0.01", 10000}, {"0.025", 25000}, {"0.1", 100000},  {"0.25", 250000},
    {"1", 1000000},  {"2.5", 2500000}, {"10", 10000000}, {"+Inf", UINT64_MAX},
};

void histogram_add(struct histogram *h, double seconds)
{
    /* A clock that was set back, or not a number, counts as no time. */
    double us = seconds > 0 ? seconds * 1e6 : 0;
    uint64_t whole = us < 1e15 ? (uint64_t)(us + 0.5) : (uint64_t)1e15;
    size_t i = 0;

    while (whole > buckets[i].us)
        i++;
    counter_add(&h->bucket[i], 1);
    counter_add(&h->sum_us, whole);
}

/* ---- writing ---------------------------------------------------------- */

struct output {
    FILE *f;
    const struct metrics *const *v;
    size_t n;
};

/* The sum over all workers of the counter at this offset. */
static uint64_t sum(const struct output *o, size_t offset)
{
    uint64_t total = 0;

    for (size_t i = 0; i < o->n; i++) {
        const char *base = (const char *)o->v[i];
        total += counter_get((const counter *)(const void *)(base + offset));
    }
    return total;
}

#define SUM(o, member) sum(o, offsetof(struct metrics, member))
#define SUM_AT(o, member, i)                                                   \
    sum(o, offsetof(struct metrics, member) + (i) * sizeof(counter))

static void escape(FILE *f, const char *s, bool quote)
{
    for (; *s; s++) {
        if (*s == '\n')
            fputs("\\n", f);
        else if (*s == '\\' || (quote && *s == '"'))
            fprintf(f, "\\%c", *s);
        else
            fputc(*s, f);
    }
}

static void family(const struct output *o, const char *name, const char *type,
                   const char *help)
{
    fprintf(o->f, "# HELP %s ", name);
    escape(o->f, help, false);
    fprintf(o->f, "\n# TYPE %s %s\n", name, type);
}

static void simple(const struct output *o, const char *name, const char *type,
                   const char *help, uint64_t value)
{
    family(o, name, type, help);
    fprintf(o->f, "%s %" PRIu64 "\n", name, value);
}

static void gauge_f(const struct output *o, const char *name, const char *help,
                    double value)
{
    family(o, name, "gauge", help);
    fprintf(o->f, "%s %.6f\n", name, value);
}

static void labelled(const struct output *o, const char *name,
                     const char *label, const char *which, uint64_t value)
{
    fprintf(o->f, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, which, value);
}

/* What is open: closed is read first, so that it never seems the greater. */
static void active(const struct output *o, const char *name, const char *help,
                   size_t opened, size_t closed)
{
    uint64_t gone = sum(o, closed), come = sum(o, opened);

    simple(o, name, "gauge", help, come > gone ? come - gone : 0);
}

static void write_connections(const struct output *o,
                              const struct metrics_extra *x)
{
    active(o, "gangway_connections_active", "Client connections open now.",
           offsetof(struct metrics, accepted),
           offsetof(struct metrics, closed));
    simple(o, "gangway_connections_total", "counter",
           "Client connections accepted.", SUM(o, accepted));
    simple(o, "gangway_max_connections", "gauge",
           "Client connections that may be open at once.", x->max_connections);
    active(o, "gangway_sessions_active", "WebSocket sessions open now.",
           offsetof(struct metrics, sessions_opened),
           offsetof(struct metrics, sessions_closed));
    simple(o, "gangway_sessions_total", "counter", "WebSocket sessions opened.",
           SUM(o, sessions_opened));
}

static void write_ends(const struct output *o)
{
    static const char total[] = "gangway_session_ends_total";

    family(o, total, "counter",
           "Requests for sessions that came to an end, by reason and by who "
           "began it.");
    for (size_t i = 0; i < END_COUNT; i++)
        fprintf(o->f, "%s{reason=\"%s\",initiator=\"%s\"} %" PRIu64 "\n", total,
                ends[i].label, ends[i].who, SUM_AT(o, ends, i));
}

/* One series for each counter of an array that is not zero; the label is the
 * index plus `first`. */
static void nonzero(const struct output *o, const char *name, const char *label,
                    size_t offset, size_t n, unsigned first)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = sum(o, offset + i * sizeof(counter));
        if (value > 0)
            fprintf(o->f, "%s{%s=\"%u\"} %" PRIu64 "\n", name, label,
                    first + (unsigned)i, value);
    }
}

static void write_codes(const struct output *o)
{
    static const char closes[] = "gangway_ws_closes_total";
    static const char rejects[] = "gangway_handshake_rejects_total";
    static const char responses[] = "gangway_http_responses_total";
    const struct metrics *m = NULL;

    family(o, closes, "counter",
           "WebSocket sessions closed, by close code; 1006 is none.");
    nonzero(o, closes, "code", offsetof(struct metrics, close_codes),
            LEN(m->close_codes), 1000);
    if (SUM(o, close_codes_app) > 0)
        labelled(o, closes, "code", "3000-4999", SUM(o, close_codes_app));

    family(o, rejects, "counter",
           "WebSocket requests answered with an HTTP error.");
    nonzero(o, rejects, "status", offsetof(struct metrics, refused),
            LEN(m->refused), 400);

    family(o, responses, "counter", "Answers to plain HTTP requests.");
    nonzero(o, responses, "status", offsetof(struct metrics, http),
            LEN(m->http), 100);
}

static void write_traffic(const struct output *o)
{
    static const char *const opcodes[FRAME_KINDS] = {"text", "binary", "ping",
                                                     "pong", "close"};
    static const char frames[] = "gangway_ws_frames_total";
    static const char bytes[] = "gangway_ws_payload_bytes_total";
    static const char line[] =
        "%s{direction=\"%s\",opcode=\"%s\"} %" PRIu64 "\n";

    family(o, frames, "counter",
           "WebSocket frames; in is from clients. Continuation frames count "
           "as what they continue.");
    for (size_t i = 0; i < FRAME_KINDS; i++) {
        fprintf(o->f, line, frames, "in", opcodes[i], SUM_AT(o, frames_in, i));
        fprintf(o->f, line, frames, "out", opcodes[i],
                SUM_AT(o, frames_out, i));
    }
    family(o, bytes, "counter",
           "Bytes of payload in text and binary frames; in is from clients.");
    labelled(o, bytes, "direction", "in", SUM(o, payload_in));
    labelled(o, bytes, "direction", "out", SUM(o, payload_out));
}

static void write_histogram(const struct output *o, const char *name,
                            const char *help, size_t offset)
{
    uint64_t count = 0;
    uint64_t us = sum(o, offset + offsetof(struct histogram, sum_us));

    family(o, name, "histogram", help);
    for (size_t i = 0; i < DURATION_BUCKETS; i++) {
        count += sum(o, offset + offsetof(struct histogram, bucket) +
                            i * sizeof(counter));
        fprintf(o->f, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, buckets[i].le,
                count);
    }
    fprintf(o->f, "%s_sum %" PRIu64 ".%06" PRIu64 "\n", name, us / 1000000,
            us % 1000000);
    fprintf(o->f, "%s_count %" PRIu64 "\n", name, count);
}

static void write_backends(const struct output *o)
{
    static const char connects[] = "gangway_backend_connects_total";

    family(o, connects, "counter", "Connections to backends tried.");
    labelled(o, connects, "result", "ok", SUM(o, backend_ok));
    labelled(o, connects, "result", "failed", SUM(o, backend_failed));
    write_histogram(o, "gangway_handshake_duration_seconds",
                    "From a client's connection to the answer 101.",
                    offsetof(struct metrics, handshake));
    write_histogram(o, "gangway_backend_connect_duration_seconds",
                    "From the wish for a backend to its connection.",
                    offsetof(struct metrics, backend));
}

static void write_limits(const struct output *o)
{
    static const char hits[] = "gangway_limit_hits_total";
    static const char *const limits[LIMIT_KINDS] = {
        [LIMIT_CONNECTIONS] = "connections",   [LIMIT_HEADER] = "header",
        [LIMIT_REQUEST_TIME] = "request_time", [LIMIT_MESSAGE] = "message",
        [LIMIT_FRAGMENTS] = "fragments",       [LIMIT_CONTROL] = "control",
    };

    family(o, hits, "counter", "Times that a limit turned a client away.");
    for (size_t i = 0; i < LIMIT_KINDS; i++)
        labelled(o, hits, "limit", limits[i], SUM_AT(o, limit_hits, i));
}

static void write_state(const struct output *o, const struct metrics_extra *x)
{
    static const char reloads[] = "gangway_config_reloads_total";
    static const char info[] = "gangway_build_info";

    family(o, info, "gauge", "The version that runs.");
    fprintf(o->f, "%s{version=\"", info);
    escape(o->f, x->version, true);
    fputs("\"} 1\n", o->f);
    gauge_f(o, "gangway_start_time_seconds",
            "When gangway started, in seconds since 1970.", x->start_time);
    gauge_f(o, "gangway_loop_lag_seconds",
            "How late the slowest event loop was in the last health check.",
            x->loop_lag_s);
    simple(o, "gangway_config_last_reload_successful", "gauge",
           "Whether the last reload of the configuration was taken.",
           x->last_reload_ok);
    family(o, reloads, "counter", "Reloads of the configuration.");
    labelled(o, reloads, "result", "ok", x->reloads_ok);
    labelled(o, reloads, "result", "failed", x->reloads_failed);
    simple(o, "gangway_log_dropped_total", "counter",
           "Log lines that found no room.", x->log_dropped);
}

static void write_tls(const struct output *o, const struct metrics_extra *x)
{
    static const char name[] = "gangway_tls_cert_not_after_timestamp_seconds";

    simple(o, "gangway_tls_handshake_failures_total", "counter",
           "TLS handshakes with clients that failed.", SUM(o, tls_failed));
    if (x->cert_not_after == 0)
        return;
    family(o, name, "gauge",
           "When the first certificate expires, in seconds since 1970.");
    fprintf(o->f, "%s %" PRId64 "\n", name, x->cert_not_after);
}

/* ---- bridges ---------------------------------------------------------- */

/* A bridge's own threads have no worker to count on, and the contract no
 * other place: one per process, as the log is. */
_Atomic int64_t metrics_shared[BRIDGES_MAX][BRIDGE_COUNTERS_MAX];

/* The index of a counter called `name`, or -1. */
static int bridge_counter(const struct gw_bridge *b, const char *name)
{
    for (int i = 0; b->counters && i < BRIDGE_COUNTERS_MAX; i++) {
        if (!b->counters[i].name)
            break;
        if (strcmp(b->counters[i].name, name) == 0)
            return i;
    }
    return -1;
}

static bool counter_name_ok(const char *name)
{
    return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
}

/* A family holds all bridges that have a counter of this name, and is written
 * with the first of them. */
static void write_bridge_family(const struct output *o,
                                const struct metrics_extra *x, size_t first,
                                const struct gw_counter *c)
{
    char name[128];
    size_t n = min_size(x->n_bridges, BRIDGES_MAX);

    for (size_t i = 0; i < first; i++) {
        if (bridge_counter(x->bridges[i], c->name) >= 0)
            return;
    }
    if (snprintf(name, sizeof(name), "gangway_bridge_%s%s", c->name,
                 c->gauge ? "" : "_total") >= (int)sizeof(name))
        return;
    family(o, name, c->gauge ? "gauge" : "counter",
           c->help ? c->help : "A counter of its own.");
    for (size_t i = first; i < n; i++) {
        int index = bridge_counter(x->bridges[i], c->name);
        if (index < 0)
            continue;
        fprintf(o->f, "%s{bridge=\"", name);
        escape(o->f, x->bridges[i]->name, true);
        int64_t total =
            (int64_t)SUM_AT(o, bridge, i * BRIDGE_COUNTERS_MAX + (size_t)index);
        total += atomic_load_explicit(&metrics_shared[i][index],
                                      memory_order_relaxed);
        fprintf(o->f, "\"} %" PRId64 "\n", total);
    }
}

static void write_bridges(const struct output *o, const struct metrics_extra *x)
{
    for (size_t i = 0; i < x->n_bridges && i < BRIDGES_MAX; i++) {
        const struct gw_counter *c = x->bridges[i]->counters;
        for (int j = 0; c && j < BRIDGE_COUNTERS_MAX && c[j].name; j++) {
            if (counter_name_ok(c[j].name) &&
                bridge_counter(x->bridges[i], c[j].name) == j)
                write_bridge_family(o, x, i, &c[j]);
        }
    }
}

/* ---- the process ------------------------------------------------------ */

/* What /proc/self/stat tells in its fields 22 to 24 (proc(5)). */
enum { STAT_START = 22 };

struct process {
    uint64_t start_ticks, virtual_bytes, resident_pages;
};

static bool process_read(struct process *p)
{
    FILE *f = fopen("/proc/self/stat", "re");
    char line[1024];
    size_t n = f ? fread(line, 1, sizeof(line) - 1, f) : 0;

    if (f)
        fclose(f);
    line[n] = '\0';
    /* The name, in parentheses, may hold anything: start behind it. */
    char *rest = strrchr(line, ')');
    if (!rest)
        return false;
    for (int i = 2; i < STAT_START && rest; i++)
        rest = strchr(rest + 1, ' ');
    if (!rest)
        return false;
    p->start_ticks = strtoull(rest, &rest, 10);
    p->virtual_bytes = strtoull(rest, &rest, 10);
    p->resident_pages = strtoull(rest, &rest, 10);
    return p->start_ticks > 0 && p->resident_pages > 0;
}

/* Seconds since 1970 at which the machine started; 0: not known. */
static uint64_t boot_time(void)
{
    FILE *f = fopen("/proc/stat", "re");
    char line[256];
    uint64_t seconds = 0;

    while (f && seconds == 0 && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "btime ", 6) == 0)
            seconds = strtoull(line + 6, NULL, 10);
    }
    if (f)
        fclose(f);
    return seconds;
}

static int open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = -1; /* the directory's own */

    if (!d)
        return -1;
    for (const struct dirent *e; (e = readdir(d));)
        n += isdigit((unsigned char)e->d_name[0]) != 0;
    closedir(d);
    return n;
}

static void write_descriptors(const struct output *o)
{
    struct rlimit limit;
    int open_now = open_descriptors();

    if (open_now >= 0)
        simple(o, "process_open_fds", "gauge", "Open file descriptors.",
               (uint64_t)open_now);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        simple(o, "process_max_fds", "gauge",
               "Greatest number of open file descriptors.",
               (uint64_t)limit.rlim_cur);
}

/* As other exporters call them. What cannot be read is left out. */
static void write_process(const struct output *o)
{
    static const char cpu[] = "process_cpu_seconds_total";
    struct process p;
    struct timespec t;
    uint64_t boot = boot_time();
    long page = sysconf(_SC_PAGESIZE), ticks = sysconf(_SC_CLK_TCK);

    write_descriptors(o);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0) {
        family(o, cpu, "counter",
               "Seconds of processor time, user and system.");
        fprintf(o->f, "%s %jd.%06ld\n", cpu, (intmax_t)t.tv_sec,
                t.tv_nsec / 1000);
    }
    if (!process_read(&p) || page <= 0 || ticks <= 0)
        return;
    simple(o, "process_resident_memory_bytes", "gauge",
           "Resident memory in bytes.", p.resident_pages * (uint64_t)page);
    simple(o, "process_virtual_memory_bytes", "gauge",
           "Virtual memory in bytes.", p.virtual_bytes);
    if (boot > 0)
        gauge_f(o, "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
                (double)boot + (double)p.start_ticks / (double)ticks);
}

void metrics_write(FILE *f, const struct metrics *const *v, size_t n,
                   const struct metrics_extra *extra)
{
    const struct output o = {f, v, n};

    write_state(&o, extra);
    write_connections(&o, extra);
    write_ends(&o);
    write_codes(&o);
    write_traffic(&o);
    write_backends(&o);
    write_limits(&o);
    write_tls(&o, extra);
    write_bridges(&o, extra);
    write_process(&o);
}
