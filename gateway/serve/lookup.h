/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.h - names that bridges ask for, on a worker's resolver. */
#ifndef GW_LOOKUP_H
#define GW_LOOKUP_H

#include "serve.h"

/* As gw_host.resolve. Any thread. */
bool lookup_start(struct serve *s, const char *host, gw_resolved_fn found,
                  void *arg);

/* Forget those under way; before the resolver goes. */
void lookups_forget(struct serve *s);

#endif
