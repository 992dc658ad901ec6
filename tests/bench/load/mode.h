/* SPDX-License-Identifier: Apache-2.0 */
/* mode.h - what can be measured. Each mode prints its part of the result
 * between window_begin and window_print. */
#ifndef LOAD_MODE_H
#define LOAD_MODE_H

#include <stdbool.h>

struct options;

struct mode {
    const char *name; /* NULL: the table's end */
    const char *help;
    void (*run)(const struct options *o);
    bool needs_backend, may_mqtt, needs_message;
};

extern const struct mode modes[];

void mode_echo(const struct options *o);
void mode_up(const struct options *o);
void mode_down(const struct options *o);
void mode_connect(const struct options *o);
void mode_idle(const struct options *o);
void mode_tail(const struct options *o);
void mode_fanout(const struct options *o);

#endif
