/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - a small file as one text. */
#ifndef GW_CONF_FILE_H
#define GW_CONF_FILE_H

#include "../gateway/base/err.h"
#include "arena.h"

/* Read at most max bytes of `path` into the arena, NUL-terminated. Pipes are
 * read to their end. 0, or -1 with err set (without the path's name). */
int file_read(struct arena *a, const char *path, size_t max, struct slice *out,
              struct err *err);

#endif
