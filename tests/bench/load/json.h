/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - the result: one object on one line of standard output. */
#ifndef LOAD_JSON_H
#define LOAD_JSON_H

#include <stdbool.h>
#include <stdint.h>

void json_begin(void);
void json_text(const char *key, const char *value); /* NULL: left out */
void json_bool(const char *key, bool value);
void json_int(const char *key, uint64_t value);
/* Rounded to so many decimals. What is no number (0/0) is left out. */
void json_number(const char *key, double value, int decimals);
void json_end(void);

#endif
