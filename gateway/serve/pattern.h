/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.h - what hosts and paths a route answers to.
 *
 *     /vnc            exactly this path
 *     /db/{name}      one segment of any text, remembered as {path.name}
 *     /files/{rest*}  this segment and all that follow, as {path.rest}
 *     /app/...        the path /app/ and all below it; "/..." is every path;
 *                     a last segment of "*" says the same
 *
 *     example.com     this host; *.example.com any name below it; none: any
 *
 * Paths are compared after percent-decoding, a segment at a time. A
 * placeholder never matches an empty segment, a decoded '/' or NUL, or a text
 * that finds no room in struct captures. A path with "." or ".." segments, or
 * with an invalid escape, matches nothing. */
#ifndef GW_PATTERN_H
#define GW_PATTERN_H

#include "../base/err.h"

enum { CAPTURES_MAX = 8, CAPTURE_TEXT_MAX = 2048 };

struct capture {
    struct slice name;
    struct slice value; /* decoded; in captures.text */
};

struct captures {
    struct capture v[CAPTURES_MAX];
    size_t n;
    char text[CAPTURE_TEXT_MAX];
    size_t used;
};

struct pattern;

/* Compile. host may be NULL (any). NULL with err set. */
struct pattern *pattern_new(const char *host, const char *path,
                            struct err *err);
void pattern_free(struct pattern *p);

/* `host` is the Host field without port, any case; `path` percent-encoded. */
bool pattern_match(const struct pattern *p, struct slice host,
                   struct slice path, struct captures *captures);

/* Below 0 if a is the more specific: an exact host before a *.suffix before
 * any; then, segment by segment, literal before placeholder before rest.
 * 0: they answer to exactly the same requests. */
int pattern_compare(const struct pattern *a, const struct pattern *b);

/* Whether the pattern has a placeholder of this name. */
bool pattern_has(const struct pattern *p, struct slice name);

#endif
