/* SPDX-License-Identifier: Apache-2.0 */
/* apply.h - settings from a document. */
#ifndef GW_CONF_APPLY_H
#define GW_CONF_APPLY_H

#include "loader.h"
#include "yaml_reader.h"

/* Every key of the document; whatever is wrong is complained of. */
void apply_document(struct loader *l, struct ynode root);

/* The value of one setting, given in YAML. `object` is the struct of its
 * section. */
void apply_node(struct loader *l, const struct setting *s, void *object,
                const struct key_path *path, struct ynode node);

/* "; did you mean 'x'?" in buf: a near key of this section, or the same key
 * of another one. "" if there is none, or once errors are not shown. */
const char *apply_suggest(const struct loader *l, const struct section *section,
                          struct slice key, char *buf, size_t cap);

#endif
