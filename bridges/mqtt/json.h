/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON (RFC 8259) read in one pass and never rebuilt: a value is
 * looked at and cut out as it stands. Pure, no allocation.
 *
 * The text is taken for UTF-8; ask text_is_utf8 first. */
#ifndef GW_MQTT_JSON_H
#define GW_MQTT_JSON_H

#include "text.h"

enum { JSON_DEPTH_MAX = 16 }; /* arrays and objects in each other */

struct json {
    const char *p, *end; /* what is left */
    const char *why;     /* a static sentence, once something was wrong */
};

static inline struct json json_of(struct text t)
{
    return (struct json){t.p, t.p + t.n, NULL};
}

/* All of these step over white space before what they look for. */

/* Whether c is next; then it is taken. */
bool json_take(struct json *j, char c);

/* The next character, not taken; '\0': there is none. */
char json_peek(struct json *j);

/* Take a whole value and cut it out. False: why is set. */
bool json_value(struct json *j, struct text *value);

/* Take a string and cut out what is between its quotes, escapes as they are.
 * *plain: there are none. False: why is set. */
bool json_string(struct json *j, struct text *body, bool *plain);

/* Decode the escapes of a string's body to out, which has room for body.n
 * bytes and may be body.p. False: a surrogate without its other half. */
bool json_unescape(struct text body, char *out, size_t *n);

/* Whether p[0..n) is one JSON value in UTF-8, nothing before or behind it but
 * white space. */
bool json_valid(const char *p, size_t n);

#endif
