/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - the bridges there are, found by the scheme of a target. */
#ifndef GW_REGISTRY_H
#define GW_REGISTRY_H

#include "../../bridges/bridge.h"
#include "../../conf/settings.h"

enum { REGISTRY_MAX = 32 };

struct registry {
    const struct gw_bridge *bridges[REGISTRY_MAX];
    size_t n;
};

/* The built-in bridges, then the shared objects of `plugins`, in order. A
 * plugin stays loaded for the process's life. 0, or -1 with err. */
int registry_load(struct registry *r, const struct string_list *plugins,
                  struct err *err);

/* The index of the bridge for a scheme, or -1. */
int registry_find(const struct registry *r, struct slice scheme);

/* The index of a registered bridge in whichever registry loaded it last, or
 * SIZE_MAX. Any thread. */
size_t registry_index(const struct gw_bridge *b);

/* All schemes, comma-separated, for an error's hint. Returns out. */
const char *registry_schemes(const struct registry *r, char *out, size_t cap);

/* A bridge's option values as a route gives them. *out has one value an
 * option (free with options_free). Relative paths are taken from `folder`, if
 * not NULL. 0, or -1 with err: an unknown option (with a suggestion), a bad
 * value, one given twice. */
struct option_text {
    struct slice name, value;
    bool bare; /* no '=' in the URL */
};

int options_parse(const struct gw_bridge *b, const struct option_text *given,
                  size_t n, const char *folder, struct gw_value **out,
                  struct err *err);
void options_free(const struct gw_bridge *b, struct gw_value *v);

#endif
