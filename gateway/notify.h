/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - tells the service manager how gangway is: sd_notify(3)'s
 * protocol, one datagram to $NOTIFY_SOCKET. */
#ifndef GW_NOTIFY_H
#define GW_NOTIFY_H

/* "READY=1", "STOPPING=1", ... Several lines are separated by '\n'. Does
 * nothing where nobody listens. */
void notify(const char *state);

/* RELOADING=1 with the time that systemd wants beside it. */
void notify_reloading(void);

#endif
