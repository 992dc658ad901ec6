/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - an assertion that no build leaves out, for code that runs in unit
 * tests and fuzzers alike. */
#ifndef GW_CHECK_H
#define GW_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                            \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                           \
        }                                                                      \
    } while (0)

#endif
