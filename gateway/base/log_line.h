/* SPDX-License-Identifier: Apache-2.0 */
/* log_line.h - one line of the log, formatted. Belongs to log.c. */
#ifndef GW_LOG_LINE_H
#define GW_LOG_LINE_H

#include "log.h"

enum { LOG_LINE_SIZE = 8 << 10 };

struct log_line {
    bool json, journal;
    bool full; /* something did not fit */
    size_t n;  /* bytes, with the newline that is only at the end */
    char text[LOG_LINE_SIZE];
};

/* journal: for text, <N> instead of the time. */
void log_line_make(struct log_line *l, bool json, bool journal,
                   enum log_severity level, const char *event,
                   const struct log_field *fields, size_t n);

#endif
