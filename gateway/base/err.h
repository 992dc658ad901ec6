/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - what went wrong at start-up or on a reload, told outside in.
 *
 * The function that fails calls err_set; each caller on the way out may
 * prepend what it was doing, so that an operator reads
 * "gangway.yaml:12:3: tls.certificate: site.pem: No such file or directory". */
#ifndef GW_ERR_H
#define GW_ERR_H

#include "base.h"

struct err {
    char text[4096]; /* NUL-terminated; longer texts are cut */
};

/* Replace the text. Returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put "context: " before the text. Returns -1. */
int err_prepend(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put `one` behind what `all` holds already, on a line of its own: for checks
 * that go on after an error. Returns -1. */
int err_also(struct err *all, const struct err *one);

#endif
