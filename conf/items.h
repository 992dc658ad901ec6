/* SPDX-License-Identifier: Apache-2.0 */
/* items.h - listeners and routes: from one string, and as a whole. */
#ifndef GW_CONF_ITEMS_H
#define GW_CONF_ITEMS_H

#include "loader.h"

/* See struct section for what these do. */
int listener_from_text(struct loader *l, void *listener, struct slice url,
                       struct err *err);
int route_from_text(struct loader *l, void *route, struct slice text,
                    struct err *err);
void tls_finish(struct loader *l, void *tls, struct place at,
                const struct key_path *path, const struct ynode *node);
void listener_finish(struct loader *l, void *listener, struct place at,
                     const struct key_path *path, const struct ynode *node);
void route_finish(struct loader *l, void *route, struct place at,
                  const struct key_path *path, const struct ynode *node);

#endif
