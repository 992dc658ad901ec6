/* SPDX-License-Identifier: Apache-2.0 */
/* bridge_host.h - the table that bridges call: sessions, backends, timers. */
#ifndef GW_BRIDGE_HOST_H
#define GW_BRIDGE_HOST_H

#include "session.h"

/* When the next of the session's backends would be found stalled; 0: never.
 * *stalled: one is already. *queued: bytes on their way to backends. */
double backends_stall_at(const struct gw_session *s, bool *stalled,
                         size_t *queued);

/* Drop all backends and timers; no event follows. */
void backends_close(struct gw_session *s);

#endif
