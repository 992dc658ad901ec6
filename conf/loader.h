/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - what is known while one configuration is being loaded. */
#ifndef GW_CONF_LOADER_H
#define GW_CONF_LOADER_H

#include "arena.h"
#include "complaints.h"
#include "settings_table.h"

enum {
    ITEMS_MAX = 10000,        /* elements of one list */
    VALUES_MAX = 200000,      /* of one file, each alias counted again */
    SCALAR_SETTINGS_MAX = 64, /* that have one place: not in ITEMS */
};

struct loader {
    struct settings *settings;
    struct arena *arena;
    struct complaints *complaints;
    const char *folder; /* that relative paths start from; NULL: as they are */
    bool files;         /* KEY_file may be read */
    size_t values;      /* read so far */

    /* Where the settings outside of lists were given. */
    struct {
        const struct setting *setting;
        struct place at;
    } given[SCALAR_SETTINGS_MAX];
    size_t n_given;
};

/* Remember where, for checks that compare settings. */
void loader_given(struct loader *l, const struct setting *s, struct place at);

/* Where it was given last; all zero if nowhere. */
struct place loader_where(const struct loader *l, const struct setting *s);

/* `text` below l->folder if it is a relative file name. NULL: no memory. */
char *loader_file_name(struct loader *l, struct slice text);

#endif
