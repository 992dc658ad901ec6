/* SPDX-License-Identifier: Apache-2.0 */
/* echo.h - sessions whose messages come back. */
#ifndef LOAD_ECHO_H
#define LOAD_ECHO_H

#include "client.h"

/* For ever: the options' window of messages in flight, a latency noted for
 * each. */
extern const struct role role_echo;

/* One message, then nothing. */
extern const struct role role_touch;

/* One message, then the session closes; the latency is that of it all. */
extern const struct role role_visit;

#endif
