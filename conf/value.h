/* SPDX-License-Identifier: Apache-2.0 */
/* value.h - the values of single settings: from text to field and back. */
#ifndef GW_CONF_VALUE_H
#define GW_CONF_VALUE_H

#include "loader.h"

/* Whether s holds one value, so that a text can be its value. */
bool value_is_scalar(const struct setting *s);

/* Read text as the value of s and store it in the section's struct `object`.
 * Returns 0, or -1 with err set; the field is then unchanged. */
int value_set(struct loader *l, const struct setting *s, void *object,
              struct slice text, struct err *err);

/* Add text to the list s of `object`. */
int value_append(struct loader *l, const struct setting *s, void *object,
                 struct slice text, struct err *err);

/* A new item of s at the end, with its defaults. NULL: no memory, or too
 * many items. */
void *value_new_item(struct loader *l, const struct setting *s, void *object);

/* Empty the list or items of s. */
void value_clear(const struct setting *s, void *object);

/* The least or greatest value, as it would be written. */
const char *value_format(const struct setting *s, uint64_t number, char *buf,
                         size_t cap);

/* Give every field of the section in `object` its default. */
void section_defaults(struct loader *l, const struct section *section,
                      void *object);

#endif
