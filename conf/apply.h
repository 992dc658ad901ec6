/* SPDX-License-Identifier: Apache-2.0 */
/* apply.h - settings from a document, or from the command line. */
#ifndef GW_CONF_APPLY_H
#define GW_CONF_APPLY_H

#include "loader.h"
#include "yaml_reader.h"

/* Every key of the document; whatever is wrong is complained of. */
void apply_document(struct loader *l, struct ynode root);

/* One value of a flag: sets a scalar, or adds to a list. */
void apply_flag(struct loader *l, const struct setting *s, struct place at,
                struct slice text);

/* --set KEY=VALUE. A list or section is written in YAML and replaces what
 * was there. */
void apply_set(struct loader *l, struct place at, struct slice pair);

#endif
