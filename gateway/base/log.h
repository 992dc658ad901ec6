/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line per event to stderr, by a thread of its own.
 *
 * A line goes into a bounded ring; a writer thread empties it, so that a
 * stuck stderr never blocks a loop. What finds no room is dropped and
 * counted, and the count is told once there is room again. Lines are either
 *     2026-01-31T12:00:00.123Z info session-end sid=... key=value ...
 * or one JSON object with the same keys. Values are escaped: control
 * characters (C0, C1), quotes, invalid UTF-8 and bidirectional overrides never
 * reach a terminal as they are; a value is cut at 1 KiB, and a field for which
 * a line of 8 KiB has no room is left out with cut=true. */
#ifndef GW_LOG_H
#define GW_LOG_H

#include "base.h"

enum log_severity { LOG_SEV_ERROR, LOG_SEV_WARN, LOG_SEV_INFO, LOG_SEV_DEBUG };

/* One field of a line. Made by the functions below, valid within the call. */
struct log_field {
    const char *key;
    enum { LOG_STR, LOG_U64, LOG_I64, LOG_MS } kind;
    struct slice s; /* LOG_STR */
    uint64_t u;     /* LOG_U64; LOG_I64 as two's complement; LOG_MS */
};

static inline struct log_field log_str(const char *key, const char *value)
{
    return (struct log_field){key, LOG_STR, slice_of(value), 0};
}
static inline struct log_field log_slice(const char *key, struct slice value)
{
    return (struct log_field){key, LOG_STR, value, 0};
}
static inline struct log_field log_u64(const char *key, uint64_t value)
{
    return (struct log_field){key, LOG_U64, {0}, value};
}
static inline struct log_field log_i64(const char *key, int64_t value)
{
    return (struct log_field){key, LOG_I64, {0}, (uint64_t)value};
}
/* Written as seconds: 1.234 */
static inline struct log_field log_ms(const char *key, uint64_t ms)
{
    return (struct log_field){key, LOG_MS, {0}, ms};
}

/* Start the writer. json: JSON lines, else text. When stderr is the stream
 * that JOURNAL_STREAM names, text lines begin with <N>, the syslog priority,
 * and carry no time. Without a writer, before the start and after the stop,
 * lines are written directly, or dropped where that would block. */
void log_start(bool json, enum log_severity level);

/* Write what is in the ring (waiting at most 1 s) and stop the writer. */
void log_stop(void);

void log_set_level(enum log_severity level);
bool log_enabled(enum log_severity level);

/* One line. A field with a NULL key or, for strings, a NULL value is left
 * out. Thread-safe, never blocks on I/O, keeps errno. */
void log_event(enum log_severity level, const char *event,
               const struct log_field *fields, size_t n);

#define log_error(event, ...) log_fields(LOG_SEV_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_fields(LOG_SEV_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_fields(LOG_SEV_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_fields(LOG_SEV_DEBUG, event, __VA_ARGS__)
#define log_fields(level, event, ...)                                          \
    do {                                                                       \
        if (log_enabled(level)) {                                              \
            const struct log_field log_f_[] = {__VA_ARGS__};                   \
            log_event(level, event, log_f_, LEN(log_f_));                      \
        }                                                                      \
    } while (0)

uint64_t log_dropped(void); /* lines that found no room, since the start */

#endif
