/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - a run of bytes that is somebody else's, and whether it is UTF-8
 * (RFC 3629). Pure. */
#ifndef GW_MQTT_TEXT_H
#define GW_MQTT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    const char *p; /* no NUL behind it */
    size_t n;
};

static inline struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

static inline bool text_equal(struct text a, struct text b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* The size of the character at p[0..n), 1-4, and its code point; 0: none. */
size_t text_char(const char *p, size_t n, uint32_t *point);

/* How many bytes at p[0..n) are ASCII before the first that is not. */
size_t text_ascii(const char *p, size_t n);

bool text_is_utf8(struct text t);

#endif
