/* SPDX-License-Identifier: Apache-2.0 */
/* base.h - the few words every module uses. */
#ifndef GW_BASE_H
#define GW_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Bytes that belong to somebody else: borrowed, not NUL-terminated. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE_FMT     "%.*s"
#define SLICE_ARGS(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *cstr)
{
    return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool slice_is(struct slice s, const char *cstr)
{
    return s.n == strlen(cstr) && memcmp(s.p, cstr, s.n) == 0;
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
