/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.h - strict parser of an HTTP/1.1 request head (RFC 9112).
 *
 * Only what a WebSocket gateway needs: GET and HEAD without a body. Whatever
 * two parsers could read in two ways is refused: bare LF, folded lines,
 * white space before a colon, NUL or other control bytes, a body, Host or
 * another singular field twice. No I/O, no allocation, no copy. */
#ifndef GW_HTTP_HEAD_H
#define GW_HTTP_HEAD_H

#include "../base/base.h"

enum { HTTP_FIELDS_MAX = 128 }; /* the hard cap above the setting */

struct http_limits {
    size_t head_bytes; /* request line and fields together: 431 */
    size_t uri_bytes;  /* request target: 414 */
    size_t fields;     /* number of fields, <= HTTP_FIELDS_MAX: 431 */
};

struct http_field {
    struct slice name, value; /* value without surrounding white space */
};

struct http_head {
    struct slice method;
    struct slice path;      /* begins with '/'; still percent-encoded */
    struct slice query;     /* after '?'; n == 0 if absent */
    struct slice host;      /* Host field: uri-host with optional port */
    struct slice authority; /* of a target in absolute-form, which must say the
                               same as Host; n == 0: none */
    unsigned minor;         /* HTTP/1.minor: 0 or 1 */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t n_fields;
};

/* Parse p[0..n), the bytes received so far. `*scanned` is 0 at first and lets
 * repeated calls on a growing buffer cost linear time.
 * Returns the size of the head including its empty line; 0 if more bytes are
 * needed; or a negative HTTP status: -400 malformed, -414, -431 over a limit,
 * -405 not GET or HEAD, -413 a body is announced, -505 not HTTP/1.x.
 * The status does not depend on how the bytes were cut. Slices point into p;
 * after a failure they may be empty. */
int http_head_parse(struct http_head *h, const char *p, size_t n,
                    size_t *scanned, const struct http_limits *limits);

/* The value of the first field `name` (any case), or p == NULL. */
struct slice http_head_get(const struct http_head *h, const char *name);

/* Number of fields called `name` (any case). */
size_t http_head_count(const struct http_head *h, const char *name);

/* Whether a comma-separated list field (all its lines together) has `token`,
 * compared without case (RFC 9110 section 5.6.1). */
bool http_head_has_token(const struct http_head *h, const char *name,
                         const char *token);

/* Take the next non-empty element, trimmed, from a comma-separated list and
 * advance it. False at the end. */
bool http_list_next(struct slice *list, struct slice *element);

/* RFC 9110 section 5.6.2. */
bool http_is_token(struct slice s);

bool slice_ieq(struct slice a, struct slice b); /* ASCII case-insensitive */

#endif
