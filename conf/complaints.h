/* SPDX-License-Identifier: Apache-2.0 */
/* complaints.h - the errors of one run, each with its place and key:
 *
 *     gangway.yaml:12:3: limits.max_mesage: unknown setting; did you mean
 *     'max_message'?                                          (on one line)
 *
 * After SETTINGS_ERRORS_MAX lines the rest are only counted. */
#ifndef GW_CONF_COMPLAINTS_H
#define GW_CONF_COMPLAINTS_H

#include "arena.h"

#include <stdio.h>

/* Where a value was written. */
struct place {
    const char *source; /* the file's name, or the flag; NULL: nowhere */
    size_t line;        /* from 1; 0: the source as a whole */
    size_t column;      /* from 1 */
    bool usage;         /* on the command line */
};

/* The way to a key, innermost last: listeners[0].tls.key. Lives on the
 * stacks of those who walk down it. */
struct key_path {
    const struct key_path *parent; /* NULL: a key of the top level */
    struct slice key;              /* key.p is NULL: `index` counts */
    size_t index;
};

struct complaints {
    FILE *errors;
    size_t n;     /* so far, written or not */
    size_t usage; /* how many of them concern the command line */
};

/* Write a line. `path` may be NULL. */
void complain(struct complaints *c, struct place at,
              const struct key_path *path, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Tell how many lines were held back, if any. */
void complaints_end(const struct complaints *c);

/* sysexits.h: EX_USAGE if only the command line is at fault, else
 * EX_CONFIG. */
int complaints_exit_status(const struct complaints *c);

/* "file:line:column", or the source alone. NULL when memory ran out. */
char *place_text(struct arena *a, struct place at);

#endif
