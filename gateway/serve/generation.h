/* SPDX-License-Identifier: Apache-2.0 */
/* generation.h - one loaded configuration and all that was built from it.
 *
 * Constant once built, and counted: every connection and session holds the
 * one it began with, so that a reload changes nothing for those under way.
 * The last reference frees it, on whichever thread that is. */
#ifndef GW_GENERATION_H
#define GW_GENERATION_H

#include "../net/tls.h"
#include "h1.h"
#include "route.h"

#include <stdatomic.h>

struct generation {
    atomic_uint refs;
    struct settings *settings; /* owned */
    struct router router;
    struct allow_list *allow;
    struct tls_server **tls; /* one a listener of settings; NULL: plain */
    struct h1_rules rules;
};

/* Takes s over, also on failure. One reference. NULL with err set, a line for
 * each thing that is wrong. */
struct generation *generation_new(struct settings *s,
                                  const struct registry *bridges,
                                  struct err *err);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g);

#endif
