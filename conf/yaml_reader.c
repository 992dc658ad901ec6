/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_reader.c - libyaml's document API behind a few accessors. */
#include "yaml_reader.h"

#include <stdlib.h>
#include <yaml.h>

struct yaml_reader {
    const char *name;
    bool usage;
    yaml_document_t document;
};

/* ---- nodes ------------------------------------------------------------- */

static yaml_node_t *node_of(struct ynode n)
{
    return n.in ? yaml_document_get_node(&n.in->document, n.id) : NULL;
}

static struct slice scalar_of(const yaml_node_t *y)
{
    return (struct slice){(const char *)y->data.scalar.value,
                          y->data.scalar.length};
}

enum ynode_kind ynode_kind(struct ynode n)
{
    const yaml_node_t *y = node_of(n);

    if (!y)
        return YNODE_NULL;
    if (y->type == YAML_SEQUENCE_NODE)
        return YNODE_LIST;
    if (y->type == YAML_MAPPING_NODE)
        return YNODE_MAP;
    if (y->type != YAML_SCALAR_NODE)
        return YNODE_NULL;

    struct slice s = scalar_of(y);
    bool plain = y->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (s.n == 0 || slice_is(s, "~") || slice_is(s, "null")))
        return YNODE_NULL;
    return YNODE_SCALAR;
}

struct place ynode_place(struct ynode n)
{
    const yaml_node_t *y = node_of(n);

    if (!n.in)
        return (struct place){0};
    if (n.in->usage || !y)
        return (struct place){n.in->name, 0, 0, n.in->usage};
    return (struct place){n.in->name, y->start_mark.line + 1,
                          y->start_mark.column + 1, false};
}

struct slice ynode_text(struct ynode n)
{
    const yaml_node_t *y = node_of(n);

    return y && y->type == YAML_SCALAR_NODE ? scalar_of(y)
                                            : (struct slice){"", 0};
}

size_t ynode_count(struct ynode n)
{
    const yaml_node_t *y = node_of(n);

    if (y && y->type == YAML_SEQUENCE_NODE)
        return (size_t)(y->data.sequence.items.top -
                        y->data.sequence.items.start);
    if (y && y->type == YAML_MAPPING_NODE)
        return (size_t)(y->data.mapping.pairs.top -
                        y->data.mapping.pairs.start);
    return 0;
}

struct ynode ynode_key(struct ynode map, size_t i)
{
    return (struct ynode){map.in,
                          node_of(map)->data.mapping.pairs.start[i].key};
}

struct ynode ynode_item(struct ynode n, size_t i)
{
    const yaml_node_t *y = node_of(n);

    if (y->type == YAML_MAPPING_NODE)
        return (struct ynode){n.in, y->data.mapping.pairs.start[i].value};
    return (struct ynode){n.in, y->data.sequence.items.start[i]};
}

bool ynode_has(const struct ynode *n, const char *key)
{
    for (size_t i = 0; n && i < ynode_count(*n); i++)
        if (ynode_kind(*n) == YNODE_MAP &&
            slice_is(ynode_text(ynode_key(*n, i)), key))
            return ynode_kind(ynode_item(*n, i)) != YNODE_NULL;
    return false;
}

/* ---- documents --------------------------------------------------------- */

struct ynode yaml_reader_root(struct yaml_reader *r)
{
    return (struct ynode){r, 1};
}

static struct place place_of(const struct yaml_reader *r, yaml_mark_t mark)
{
    return (struct place){r->name, r->usage ? 0 : mark.line + 1,
                          mark.column + 1, r->usage};
}

static void complain_of(struct yaml_reader *r, const yaml_parser_t *p,
                        struct complaints *c)
{
    struct place at = place_of(r, p->problem_mark);
    bool context = p->context && p->error != YAML_READER_ERROR;

    if (p->error == YAML_READER_ERROR || p->error == YAML_MEMORY_ERROR)
        at.line = 0;
    if (p->error == YAML_READER_ERROR)
        complain(c, at, NULL, "byte %zu: %s", p->problem_offset,
                 p->problem ? p->problem : "not valid UTF-8");
    else
        complain(c, at, NULL, "%s%s%s", context ? p->context : "",
                 context ? ": " : "",
                 p->problem ? p->problem : "out of memory");
}

/* The events of one pass: depth is bounded before a document is built. */
static bool depth_ok(struct yaml_reader *r, struct slice text,
                     struct complaints *c)
{
    yaml_parser_t p;
    yaml_event_t e;
    size_t depth = 0;
    bool more = true, ok = true;

    if (!yaml_parser_initialize(&p))
        return true; /* the second pass will say so */
    yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
    while (more && ok && yaml_parser_parse(&p, &e)) {
        yaml_event_type_t type = e.type;

        if (type == YAML_SEQUENCE_START_EVENT ||
            type == YAML_MAPPING_START_EVENT)
            ok = ++depth <= YAML_DEPTH_MAX;
        else if (type == YAML_SEQUENCE_END_EVENT ||
                 type == YAML_MAPPING_END_EVENT)
            depth--;
        if (!ok)
            complain(c, place_of(r, e.start_mark), NULL,
                     "more than %d levels deep", YAML_DEPTH_MAX);
        more = type != YAML_STREAM_END_EVENT && type != YAML_NO_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&p);
    return ok;
}

/* The only document of the stream. */
static bool load_document(struct yaml_reader *r, yaml_parser_t *p,
                          struct complaints *c)
{
    yaml_document_t second;

    if (!yaml_parser_load(p, &r->document)) {
        complain_of(r, p, c);
        return false;
    }
    if (!yaml_document_get_root_node(&r->document))
        return true; /* empty, and the end of the stream */
    if (!yaml_parser_load(p, &second)) {
        complain_of(r, p, c);
    } else if (!yaml_document_get_root_node(&second)) {
        yaml_document_delete(&second);
        return true;
    } else {
        complain(c, place_of(r, second.start_mark), NULL,
                 "a second document begins; there must be only one");
        yaml_document_delete(&second);
    }
    yaml_document_delete(&r->document);
    return false;
}

struct yaml_reader *yaml_reader_open(const char *name, bool at_usage,
                                     struct slice text,
                                     struct complaints *complaints)
{
    struct place whole = {name, 0, 0, at_usage};
    struct yaml_reader *r = NULL;
    yaml_parser_t parser;
    bool ok;

    if (text.n > YAML_BYTES_MAX) {
        complain(complaints, whole, NULL, "larger than %d bytes",
                 YAML_BYTES_MAX);
        return NULL;
    }
    r = calloc(1, sizeof(*r));
    if (!r || !yaml_parser_initialize(&parser)) {
        complain(complaints, whole, NULL, "out of memory");
        free(r);
        return NULL;
    }
    r->name = name;
    r->usage = at_usage;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p,
                                 text.n);
    ok = depth_ok(r, text, complaints) && load_document(r, &parser, complaints);
    yaml_parser_delete(&parser);
    if (ok)
        return r;
    free(r);
    return NULL;
}

void yaml_reader_close(struct yaml_reader *r)
{
    if (!r)
        return;
    yaml_document_delete(&r->document);
    free(r);
}
