/* SPDX-License-Identifier: Apache-2.0 */
/* http_select.h - what a request asks of a resource: which form of it, only if
 * it changed, which part (RFC 9110 sections 12.5.3, 13 and 14). No I/O. */
#ifndef GW_HTTP_SELECT_H
#define GW_HTTP_SELECT_H

#include "../wire/http_head.h"

#include <time.h>

enum { HTTP_TAG_SIZE = 96, HTTP_Q_MAX = 1000 /* "q=1" */ };

/* One form of a resource. */
struct http_form {
    char tag[HTTP_TAG_SIZE]; /* with its quotes, without W/ */
    bool strong;             /* the same tag means the same bytes */
    time_t modified;
    uint64_t size; /* bytes */
};

/* How a content coding is liked, 0 (not at all) to HTTP_Q_MAX: what
 * Accept-Encoding says of it, or else of "*", or else `unsaid`. A weight that
 * is malformed counts as 0. */
int http_coding_weight(const struct http_head *head, const char *coding,
                       int unsaid);

/* Judge If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in
 * the order of section 13.2.2. Returns 0 to go on, or 304 or 412. */
int http_conditions(const struct http_form *f, const struct http_head *head);

enum http_range {
    HTTP_RANGE_WHOLE,   /* none is asked for, or several, or no valid one, or
                           If-Range names another form */
    HTTP_RANGE_PART,    /* *length > 0 bytes from *first on */
    HTTP_RANGE_OUTSIDE, /* nothing is there: 416 */
};

enum http_range http_range(const struct http_form *f,
                           const struct http_head *head, uint64_t *first,
                           uint64_t *length);

#endif
