/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - callers format, a ring carries, one thread writes.
 *
 * A caller builds its line on its own stack and holds the lock only to copy
 * it. The writer writes straight from the ring, outside the lock: the bytes
 * stay taken until the kernel has them. An empty ring starts again at its
 * beginning, so that a quiet gateway touches only the first pages of it. */
#include "log.h"

#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    RING_SIZE = 1 << 20,
    BATCH_SIZE = 32 << 10, /* at most this much in one write */
    LINE_SIZE = 8 << 10,
    LINE_END = 16, /* kept free for `,"cut":true}` and the newline */
    VALUE_SIZE = 1 << 10,
    STOP_MS = 1000,
};

enum state {
    LOG_DIRECT, /* no writer: lines go to stderr at once */
    LOG_RUNNING,
    LOG_STOPPING,
    LOG_STUCK, /* stopped, but the writer hangs in a write */
};

/* The one global mutable thing of the program. */
static struct {
    pthread_mutex_t lock; /* guards everything to the blank line */
    pthread_cond_t filled;
    pthread_cond_t finished;
    pthread_t writer;
    enum state state;
    bool idle;          /* the writer waits for `filled` */
    size_t start, used; /* bytes in the ring */
    bool torn;          /* the last write ended within a line */
    uint64_t untold;    /* dropped lines no line has told of */

    atomic_int level;
    atomic_bool json, journal;
    atomic_uint_fast64_t dropped;
} sink = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .filled = PTHREAD_COND_INITIALIZER,
    .level = LOG_SEV_INFO,
};

static char ring[RING_SIZE]; /* its own, to stay out of the file's .data */

static const struct {
    const char *name;
    char priority; /* of syslog */
} severities[] = {
    [LOG_SEV_ERROR] = {"error", '3'},
    [LOG_SEV_WARN] = {"warn", '4'},
    [LOG_SEV_INFO] = {"info", '6'},
    [LOG_SEV_DEBUG] = {"debug", '7'},
};

/* ---- one line ----------------------------------------------------------- */

struct line {
    bool json, journal;
    bool full; /* something did not fit */
    size_t n;
    char text[LINE_SIZE];
};

static void put(struct line *l, const char *p, size_t n)
{
    if (n > sizeof(l->text) - LINE_END - l->n) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* The character at p[0..n), n > 0. Returns its size and sets *code; a byte
 * that begins no valid character is 1 byte and code -1. */
static size_t decode(const uint8_t *p, size_t n, int32_t *code)
{
    size_t size = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    struct utf8 check = {0};

    *code = -1;
    if (size > n || !utf8_feed(&check, p, size) || !utf8_done(&check))
        return 1;
    *code = size == 1 ? p[0] : p[0] & (0x7f >> size);
    for (size_t i = 1; i < size; i++)
        *code = *code << 6 | (p[i] & 0x3f);
    return size;
}

/* What a terminal or an editor might obey instead of show: C0, DEL and C1
 * controls, line separators, marks and overrides of direction. */
static bool is_unsafe(int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e ||
           c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* One character as it may stand between quotes. Returns its size. */
static size_t escape(char out[8], const uint8_t *p, size_t size, int32_t code,
                     bool json)
{
    if (code == -1)
        return (size_t)snprintf(out, 8, json ? "\\\\x%02x" : "\\x%02x", p[0]);
    if (code == '"' || code == '\\')
        return (size_t)snprintf(out, 8, "\\%c", (char)code);
    if (code == '\n' || code == '\r' || code == '\t')
        return (size_t)snprintf(out, 8, "\\%c",
                                code == '\n'   ? 'n'
                                : code == '\r' ? 'r'
                                               : 't');
    if (is_unsafe(code))
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)code & 0xffff);
    memcpy(out, p, size);
    return size;
}

static void put_quoted(struct line *l, struct slice s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t budget = VALUE_SIZE;

    put(l, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        char shown[8];
        int32_t code;
        size_t size = decode(p + i, s.n - i, &code);
        size_t n = escape(shown, p + i, size, code, l->json);

        if (n > budget) {
            put_str(l, "...");
            break;
        }
        put(l, shown, n);
        budget -= n;
        i += size;
    }
    put(l, "\"", 1);
}

/* Whether a text value reads well without quotes. */
static bool is_plain(struct slice s)
{
    if (s.n == 0 || s.n > VALUE_SIZE)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"\\=", s.p[i]))
            return false;
    return true;
}

static void put_value(struct line *l, struct slice s)
{
    if (!l->json && is_plain(s))
        put(l, s.p, s.n);
    else
        put_quoted(l, s);
}

static void put_number(struct line *l, const struct log_field *f)
{
    char digits[32];

    if (f->kind == LOG_I64)
        snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)f->u);
    else if (f->kind == LOG_MS)
        snprintf(digits, sizeof(digits), "%" PRIu64 ".%03u", f->u / 1000,
                 (unsigned)(f->u % 1000));
    else
        snprintf(digits, sizeof(digits), "%" PRIu64, f->u);
    put_str(l, digits);
}

static void put_key(struct line *l, const char *key)
{
    if (l->json)
        put_str(l, l->n == 0 ? "{\"" : ",\"");
    else
        put_str(l, " ");
    put_str(l, key);
    put_str(l, l->json ? "\":" : "=");
}

/* A field that does not fit is left out whole, and the line says so. */
static void put_field(struct line *l, const struct log_field *f)
{
    size_t before = l->n;
    bool was_full = l->full;

    if (!f->key || (f->kind == LOG_STR && !f->s.p))
        return;
    l->full = false;
    put_key(l, f->key);
    if (f->kind == LOG_STR)
        put_value(l, f->s);
    else
        put_number(l, f);
    if (l->full)
        l->n = before;
    l->full |= was_full;
}

/* 2026-01-31T12:00:00.123Z */
static void timestamp(char out[32])
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static void put_intro(struct line *l, enum log_severity level,
                      const char *event)
{
    char when[32];

    timestamp(when);
    if (l->json) {
        put_field(l, &(struct log_field){"time", LOG_STR, slice_of(when), 0});
        put_field(l, &(struct log_field){"level", LOG_STR,
                                         slice_of(severities[level].name), 0});
        put_field(l, &(struct log_field){"event", LOG_STR, slice_of(event), 0});
        return;
    }
    if (l->journal) { /* the journal has its own clock */
        put(l, "<", 1);
        put(l, &severities[level].priority, 1);
        put(l, ">", 1);
    } else {
        put_str(l, when);
        put(l, " ", 1);
    }
    put_str(l, severities[level].name);
    put(l, " ", 1);
    put_value(l, slice_of(event));
}

static void line_make(struct line *l, enum log_severity level,
                      const char *event, const struct log_field *fields,
                      size_t n)
{
    l->json = atomic_load_explicit(&sink.json, memory_order_relaxed);
    l->journal = atomic_load_explicit(&sink.journal, memory_order_relaxed);
    l->full = false;
    l->n = 0;
    put_intro(l, level, event);
    for (size_t i = 0; i < n; i++)
        put_field(l, &fields[i]);

    const char *end = l->json ? "}" : "";
    if (l->full)
        end = l->json ? ",\"cut\":true}" : " cut=true";
    memcpy(l->text + l->n, end, strlen(end)); /* LINE_END was kept */
    l->n += strlen(end);
    l->text[l->n++] = '\n';
}

/* ---- the ring, under the lock ------------------------------------------- */

static bool ring_put(const char *p, size_t n)
{
    if (n > RING_SIZE - sink.used)
        return false;

    size_t at = (sink.start + sink.used) % RING_SIZE;
    size_t first = min_size(n, RING_SIZE - at);
    memcpy(ring + at, p, first);
    memcpy(ring, p + first, n - first);
    sink.used += n;
    return true;
}

/* The oldest lines, as the one or two runs of bytes they lie in. */
static int ring_peek(struct iovec v[2])
{
    size_t n = min_size(sink.used, BATCH_SIZE);
    while (ring[(sink.start + n - 1) % RING_SIZE] != '\n')
        n--; /* ends: no line is as long as a batch */
    size_t first = min_size(n, RING_SIZE - sink.start);

    v[0] = (struct iovec){ring + sink.start, first};
    v[1] = (struct iovec){ring, n - first};
    return n > first ? 2 : 1;
}

static void ring_take(size_t n)
{
    sink.used -= n;
    sink.start = sink.used == 0 ? 0 : (sink.start + n) % RING_SIZE;
}

static void count_dropped(uint64_t lines)
{
    atomic_fetch_add_explicit(&sink.dropped, lines, memory_order_relaxed);
    sink.untold += lines;
}

/* There is room again: say what is missing at the place where it is. */
static void tell_dropped(void)
{
    struct line l;
    const struct log_field count = log_u64("count", sink.untold);

    line_make(&l, LOG_SEV_WARN, "log-dropped", &count, 1);
    if (ring_put(l.text, l.n))
        sink.untold = 0;
}

/* ---- the writer --------------------------------------------------------- */

static size_t count_lines(const struct iovec *v, int n)
{
    size_t lines = 0;

    for (int i = 0; i < n; i++) {
        const char *p = v[i].iov_base;
        for (size_t j = 0; j < v[i].iov_len; j++)
            lines += p[j] == '\n';
    }
    return lines;
}

/* Write some of it. Returns how much, or -1 if stderr takes nothing: a full
 * disk, a pipe nobody reads. Whoever shares stderr with us may have made it
 * non-blocking. */
static ssize_t write_some(const struct iovec *v, int n)
{
    for (;;) {
        ssize_t done = writev(STDERR_FILENO, v, n);
        if (done > 0)
            return done;
        if (done == -1 && errno == EAGAIN) {
            struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (done == 0 || errno != EINTR) {
            return -1;
        }
    }
}

static void write_batch(void)
{
    struct iovec v[2];
    int n = ring_peek(v);
    size_t all = v[0].iov_len + v[1].iov_len;

    pthread_mutex_unlock(&sink.lock);
    ssize_t done = write_some(v, n);
    pthread_mutex_lock(&sink.lock);

    if (done == -1) {
        count_dropped(count_lines(v, n));
        /* The newline stays to end a torn line. */
        ring_take(sink.torn && all > 1 ? all - 1 : all);
        return;
    }
    sink.torn = ring[(sink.start + (size_t)done - 1) % RING_SIZE] != '\n';
    ring_take((size_t)done);
    if (sink.untold > 0)
        tell_dropped();
}

static void *writer_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&sink.lock);
    for (;;) {
        if (sink.used > 0) {
            write_batch();
        } else if (sink.state == LOG_RUNNING) {
            sink.idle = true;
            pthread_cond_wait(&sink.filled, &sink.lock);
            sink.idle = false;
        } else {
            break;
        }
    }
    if (sink.state == LOG_STOPPING)
        sink.state = LOG_DIRECT;
    pthread_cond_signal(&sink.finished);
    pthread_mutex_unlock(&sink.lock);
    return NULL;
}

/* No signal is ever the writer's to handle; SIGPIPE becomes EPIPE. */
static int writer_start(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&sink.writer, NULL, writer_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* ---- everyone else ------------------------------------------------------ */

/* Whether stderr is the stream that systemd connected to its journal:
 * JOURNAL_STREAM is "device:inode" of it, and is inherited by children whose
 * stderr may have been sent elsewhere. */
static bool stderr_is_journal(void)
{
    const char *told = getenv("JOURNAL_STREAM");
    struct stat st;
    char actual[64];

    if (!told || fstat(STDERR_FILENO, &st) == -1)
        return false;
    snprintf(actual, sizeof(actual), "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)st.st_ino);
    return strcmp(told, actual) == 0;
}

static void finished_init(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&sink.finished, &attr);
    pthread_condattr_destroy(&attr);
}

void log_start(bool json, enum log_severity level)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, finished_init);
    atomic_store(&sink.json, json);
    atomic_store(&sink.journal, stderr_is_journal());
    log_set_level(level);

    pthread_mutex_lock(&sink.lock);
    if (sink.state == LOG_DIRECT) {
        sink.state = LOG_RUNNING;
        if (writer_start() != 0)
            sink.state = LOG_DIRECT; /* no thread to be had: still a log */
    }
    pthread_mutex_unlock(&sink.lock);
}

void log_stop(void)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_MS / 1000;

    pthread_mutex_lock(&sink.lock);
    if (sink.state != LOG_RUNNING) {
        pthread_mutex_unlock(&sink.lock);
        return;
    }
    sink.state = LOG_STOPPING;
    pthread_cond_signal(&sink.filled);
    while (sink.state == LOG_STOPPING)
        if (pthread_cond_timedwait(&sink.finished, &sink.lock, &until) != 0)
            break;
    bool stuck = sink.state == LOG_STOPPING;
    if (stuck)
        sink.state = LOG_STUCK;
    pthread_mutex_unlock(&sink.lock);

    /* A thread inside write(2) cannot be joined; the exit will end it. */
    if (stuck)
        pthread_detach(sink.writer);
    else
        pthread_join(sink.writer, NULL);
}

void log_set_level(enum log_severity level)
{
    atomic_store_explicit(&sink.level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_severity level)
{
    return (int)level <=
           atomic_load_explicit(&sink.level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&sink.dropped, memory_order_relaxed);
}

/* Before the start and after the stop. */
static bool write_directly(const struct line *l)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) &&
           write(STDERR_FILENO, l->text, l->n) == (ssize_t)l->n;
}

void log_event(enum log_severity level, const char *event,
               const struct log_field *fields, size_t n)
{
    int saved = errno;
    struct line l;

    if (!log_enabled(level))
        return;
    line_make(&l, level, event, fields, n);

    pthread_mutex_lock(&sink.lock);
    bool direct = sink.state == LOG_DIRECT;
    if (!direct) {
        if (!ring_put(l.text, l.n))
            count_dropped(1);
        else if (sink.idle)
            pthread_cond_signal(&sink.filled);
    } else if (!write_directly(&l)) {
        count_dropped(1);
    }
    pthread_mutex_unlock(&sink.lock);
    errno = saved;
}
