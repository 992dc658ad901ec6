/* SPDX-License-Identifier: Apache-2.0 */
/* http_reply.h - the heads and short bodies of plain HTTP answers. */
#ifndef GW_HTTP_REPLY_H
#define GW_HTTP_REPLY_H

#include "../base/base.h"

#include <time.h>

enum { HTTP_REPLY_MAX = 2048, HTTP_DATE_SIZE = 30 };

/* "Bad Gateway" for 502 ...; never NULL. */
const char *http_status_text(int status);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), with its NUL. */
void http_date(char out[HTTP_DATE_SIZE], time_t t);

struct http_reply {
    int status;
    const char *content_type; /* NULL: none */
    uint64_t content_length;
    bool has_length;   /* false for 304 */
    bool keep_alive;   /* else "Connection: close" */
    const char *extra; /* further field lines with CRLF, or NULL */
};

/* Write a head (Date and Server included) to out[0..cap). Returns its size,
 * or 0 if there is no room. */
size_t http_reply_head(char *out, size_t cap, const struct http_reply *r);

/* A complete refusal: head, Connection: close, and a one-line text body
 * "STATUS TEXT: why". 405 gets Allow, 426 Upgrade and Sec-WebSocket-Version,
 * 503 a Retry-After of 1-5 s (jittered by `seed`), all get
 * Cache-Control: no-store. `body` false (HEAD): the head alone. */
size_t http_reply_refuse(char *out, size_t cap, int status, const char *why,
                         bool body, unsigned seed);

#endif
