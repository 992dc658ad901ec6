/* SPDX-License-Identifier: Apache-2.0 */
/* paho_library.h - Paho as a whole: set up once, never torn down, and woken.
 *
 * Paho's two threads wait for a second at a time, and then do not always look:
 * the receiver polls the sockets that it knew when it began, sleeps for 100 ms
 * whenever that second brings nothing, and does not see a socket become
 * writable; the sender may miss its signal. So one client is connected to this
 * process itself, over loopback. Two bytes to it wake the one thread, a
 * message from it the other, and no broker hears of it. */
#ifndef GW_MQTT_PAHO_LIBRARY_H
#define GW_MQTT_PAHO_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>

/* Paho frees the commands of a client that is destroyed out of a list that
 * other calls append to under another lock. So these exclude each other. No
 * callback takes this lock. */
extern pthread_rwlock_t paho_calls;

/* Set it up if need be; no I/O. Any thread. False: out of memory. */
bool paho_library_ready(void);

/* The rest is for hubs' threads, and may take a moment when called first. If
 * there is no loopback, nothing happens, and things take their second. */

/* The receiver looks at its sockets: what becomes of one that is new, or of
 * one that could not be written to, takes two calls, some time apart. */
void paho_wake_receiver(void);
/* The sender looks at its list. */
void paho_wake_sender(void);
/* Wake the receiver if nobody has for so long that it may be about to sleep.
 * Returns the milliseconds until this must be called again. */
unsigned paho_keep_awake(void);

#endif
