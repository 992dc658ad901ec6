/* SPDX-License-Identifier: Apache-2.0 */
/* settings_source.h - settings from memory: for tests and the fuzzer. */
#ifndef GW_CONF_SETTINGS_SOURCE_H
#define GW_CONF_SETTINGS_SOURCE_H

#include "settings.h"

/* Load the text of one YAML file, called `name` in errors; no flags. With
 * `files` false no other file is read. The new settings, or NULL after errors
 * were written. */
struct settings *settings_from_yaml(const char *name, struct slice text,
                                    bool files, FILE *errors);

#endif
