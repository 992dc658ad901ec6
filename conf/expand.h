/* SPDX-License-Identifier: Apache-2.0 */
/* expand.h - ${VAR} in the values of the configuration file.
 *
 *     ${VAR}           the variable; an error if it is not set
 *     ${VAR:-default}  the default if it is not set, or empty
 *     $${              the two characters ${
 */
#ifndef GW_CONF_EXPAND_H
#define GW_CONF_EXPAND_H

#include "../gateway/base/err.h"
#include "arena.h"

enum { EXPANDED_MAX = 64 << 10 }; /* bytes of one value */

/* Expand *text; it points into the arena if anything changed. 0, or -1 with
 * err set. */
int expand_variables(struct arena *a, struct slice *text, struct err *err);

#endif
