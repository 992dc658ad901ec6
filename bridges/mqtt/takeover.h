/* SPDX-License-Identifier: Apache-2.0 */
/* takeover.h - two clients with one client id throw each other out for ever,
 * at the broker's cost: a client id may change hands a few times a minute, no
 * more. One table for the process; any thread. */
#ifndef GW_MQTT_TAKEOVER_H
#define GW_MQTT_TAKEOVER_H

#include "text.h"

enum {
    TAKEOVERS_MAX = 5,
    TAKEOVERS_S = 60,
};

/* A session that has a client id at a broker. */
struct takeover;

enum takeover_result { TAKEOVER_OK, TAKEOVER_TOO_MANY, TAKEOVER_NO_MEMORY };

/* A session with this client id begins at `now_s` (any clock that does not go
 * back). With TAKEOVER_OK *t has to be left when the session is over. */
enum takeover_result takeover_enter(struct takeover **t, const char *broker,
                                    struct text client_id, uint64_t now_s);
void takeover_leave(struct takeover *t); /* NULL: nothing */

#endif
