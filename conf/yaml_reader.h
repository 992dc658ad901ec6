/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_reader.h - a YAML document whose every node knows its place.
 *
 * Aliases are references to the same node, never copies, and may form
 * cycles: whoever walks the document bounds the walk. */
#ifndef GW_CONF_YAML_READER_H
#define GW_CONF_YAML_READER_H

#include "complaints.h"

enum {
    YAML_BYTES_MAX = 1 << 20, /* of a file */
    YAML_DEPTH_MAX = 32,      /* collections in collections */
};

enum ynode_kind { YNODE_NULL, YNODE_SCALAR, YNODE_LIST, YNODE_MAP };

struct yaml_reader;

/* A node, passed by value. All zero is no node: its kind is YNODE_NULL. */
struct ynode {
    struct yaml_reader *in;
    int id;
};

/* Read a whole document. `name` is what errors call it (borrowed, and used by
 * places); `at_usage` marks text from the command line, whose places have no
 * line. NULL: the error has been complained of. */
struct yaml_reader *yaml_reader_open(const char *name, bool at_usage,
                                     struct slice text,
                                     struct complaints *complaints);
void yaml_reader_close(struct yaml_reader *r);

/* The root; an empty document has a YNODE_NULL. */
struct ynode yaml_reader_root(struct yaml_reader *r);

/* An empty plain scalar, ~ and null are YNODE_NULL. */
enum ynode_kind ynode_kind(struct ynode n);
struct place ynode_place(struct ynode n);

struct slice ynode_text(struct ynode n); /* YNODE_SCALAR */

/* Elements of a list or pairs of a mapping; 0 for the others. */
size_t ynode_count(struct ynode n);
struct ynode ynode_key(struct ynode map, size_t i);
struct ynode ynode_item(struct ynode n, size_t i); /* element or value */

/* Whether a mapping gives `key` a value. n may be NULL. */
bool ynode_has(const struct ynode *n, const char *key);

#endif
