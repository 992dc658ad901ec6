/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - callers format, a ring carries, one thread writes.
 *
 * A caller builds its line on its own stack and holds the lock only to copy
 * it. The writer writes straight from the ring, outside the lock: the bytes
 * stay taken until the kernel has them. An empty ring starts again at its
 * beginning, so that a quiet gateway touches only the first pages of it.
 *
 * A line after a silence is written at once. Those that follow wait a moment
 * for company: a wake-up and a write for each of thousands of lines a second
 * cost more than all else a short session does. */
#include "log.h"
#include "log_line.h"

#include <errno.h>
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
    GATHER_MS = 10,        /* from one write to the next */
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
    size_t wake_at;     /* wake the writer with so many bytes; 0: it works */
    size_t start, used; /* bytes in the ring */
    bool torn;          /* the last write ended within a line */
    uint64_t untold;    /* dropped lines no line has told of */

    atomic_int level;
    atomic_bool json, journal;
    atomic_uint_fast64_t dropped;
} sink = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .level = LOG_SEV_INFO,
};

static char ring[RING_SIZE]; /* its own, to stay out of the file's .data */

static void format(struct log_line *l, enum log_severity level,
                   const char *event, const struct log_field *fields, size_t n)
{
    log_line_make(l, atomic_load_explicit(&sink.json, memory_order_relaxed),
                  atomic_load_explicit(&sink.journal, memory_order_relaxed),
                  level, event, fields, n);
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
    struct log_line l;
    const struct log_field count = log_u64("count", sink.untold);

    format(&l, LOG_SEV_WARN, "log-dropped", &count, 1);
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

static struct timespec in_ms(long ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* Wait until there are `n` bytes to write, or the log stops; of fewer not
 * longer than `until`, if that is not NULL. */
static void wait_for(size_t n, const struct timespec *until)
{
    int error = 0;

    sink.wake_at = n;
    while (sink.used < n && sink.state == LOG_RUNNING && error == 0)
        error = until ? pthread_cond_timedwait(&sink.filled, &sink.lock, until)
                      : pthread_cond_wait(&sink.filled, &sink.lock);
    sink.wake_at = 0;
}

static void *writer_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&sink.lock);
    while (sink.used > 0 || sink.state == LOG_RUNNING) {
        wait_for(1, NULL);
        const struct timespec next = in_ms(GATHER_MS);
        if (sink.used > 0)
            do {
                write_batch();
            } while (sink.used >= BATCH_SIZE);
        wait_for(BATCH_SIZE, &next);
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

static void conds_init(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&sink.filled, &attr);
    pthread_cond_init(&sink.finished, &attr);
    pthread_condattr_destroy(&attr);
}

void log_start(bool json, enum log_severity level)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, conds_init);
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

static void wake_writer(void)
{
    sink.wake_at = 0; /* once is enough */
    pthread_cond_signal(&sink.filled);
}

void log_stop(void)
{
    const struct timespec until = in_ms(STOP_MS);

    pthread_mutex_lock(&sink.lock);
    if (sink.state != LOG_RUNNING) {
        pthread_mutex_unlock(&sink.lock);
        return;
    }
    sink.state = LOG_STOPPING;
    wake_writer();
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
static bool write_directly(const struct log_line *l)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) &&
           write(STDERR_FILENO, l->text, l->n) == (ssize_t)l->n;
}

void log_event(enum log_severity level, const char *event,
               const struct log_field *fields, size_t n)
{
    int saved = errno;
    struct log_line l;

    if (!log_enabled(level))
        return;
    format(&l, level, event, fields, n);

    pthread_mutex_lock(&sink.lock);
    bool direct = sink.state == LOG_DIRECT;
    if (!direct) {
        if (!ring_put(l.text, l.n))
            count_dropped(1);
        else if (sink.wake_at > 0 && sink.used >= sink.wake_at)
            wake_writer();
    } else if (!write_directly(&l)) {
        count_dropped(1);
    }
    pthread_mutex_unlock(&sink.lock);
    errno = saved;
}
