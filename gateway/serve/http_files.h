/* SPDX-License-Identifier: Apache-2.0 */
/* http_files.h - static files beneath a directory, enough for a web client.
 *
 * index.html for directories (a redirect adds a missing '/'), types by
 * extension, ETag and If-None-Match, Last-Modified, one byte range, and
 * FILE.br / FILE.gz beside FILE when the client accepts them. Files are
 * opened with openat2 beneath the root: no "..", no symbolic link that leads
 * out, no name that begins with a dot, no device: all 404. */
#ifndef GW_HTTP_FILES_H
#define GW_HTTP_FILES_H

#include "../base/err.h"
#include "../wire/http_head.h"

struct files_root; /* an open directory; thread-safe once open */

struct files_root *files_root_open(const char *dir, struct err *err);
void files_root_close(struct files_root *r);

/* What to answer. */
struct files_answer {
    int status;       /* 200, 206, 301, 304, 404, 405, 412, 416, 503 */
    int fd;           /* the body's file, positioned; -1: none. The caller's
                         to close */
    uint64_t length;  /* of the body; of what GET would have, for HEAD */
    const char *type; /* static; NULL for none */
    char extra[1536]; /* further field lines: ETag, Content-Range ... */
};

/* `path`: the part of the request's path below the route, decoded, beginning
 * with '/'; `head` gives method, conditions and, for the redirect, the path as
 * it was asked for. Never blocks but for the file system. */
void files_lookup(const struct files_root *r, const char *path,
                  const struct http_head *head, struct files_answer *a);

#endif
