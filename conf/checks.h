/* SPDX-License-Identifier: Apache-2.0 */
/* checks.h - what settings must be in relation to each other. */
#ifndef GW_CONF_CHECKS_H
#define GW_CONF_CHECKS_H

#include "loader.h"

/* Complain of whatever does not go together. `whole` is the place of errors
 * that concern no single line. */
void checks_run(struct loader *l, struct place whole);

#endif
