/* SPDX-License-Identifier: Apache-2.0 */
/* paho_handle.h - what Paho's callbacks carry instead of pointers.
 *
 * A callback may come late: for a publish given up long ago, for an upstream
 * closed meanwhile. It carries a number, of a place in a table and of that
 * place's generation, and finds nothing if the generation has passed. While a
 * callback is inside, its owner waits before it goes. Any thread. */
#ifndef GW_MQTT_PAHO_HANDLE_H
#define GW_MQTT_PAHO_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

struct handle_owner {
    unsigned inside; /* callbacks that run; the table's */
};

/* NULL: out of memory. */
void *handle_new(struct handle_owner *o, uint32_t value);

/* The owner, which stays until handle_leave, and the value; NULL: the handle
 * has ended. `last`: it ends with this call. */
struct handle_owner *handle_enter(void *handle, uint32_t *value, bool last);
void handle_leave(struct handle_owner *o);

/* False: it had ended already, or it was NULL. */
bool handle_end(void *handle);

/* End all that are left, and wait until no callback is inside. */
void handle_end_all(struct handle_owner *o);

#endif
