/* SPDX-License-Identifier: Apache-2.0 */
/* settings_table.h - how the one table of settings is laid out.
 *
 * A section describes one mapping of the YAML file: its keys, and where each
 * goes in a struct of settings.h. Reading, defaults, flags, --set, --help,
 * the JSON Schema, the manual and gangway.yaml all walk these tables. */
#ifndef GW_CONF_SETTINGS_TABLE_H
#define GW_CONF_SETTINGS_TABLE_H

#include "settings.h"

enum setting_type {
    SETTING_BOOL,
    SETTING_COUNT,    /* unsigned */
    SETTING_SIZE,     /* bytes: size_t or uint64_t */
    SETTING_DURATION, /* unsigned milliseconds */
    SETTING_MODE,     /* unsigned: permission bits, written in octal */
    SETTING_CHOICE,   /* an enum: index into `words` */
    SETTING_STRING,
    SETTING_PATH,      /* a string; relative to the file that names it */
    SETTING_LIST,      /* of strings: struct string_list */
    SETTING_PATH_LIST, /* of paths */
    SETTING_SECTION,   /* a mapping: a struct within the struct */
    SETTING_ITEMS,     /* a list of mappings: pointer and count */
    SETTING_FIRST,     /* shorthand: this key of the first of those items */
    SETTING_OPTIONS,   /* a free mapping: struct option_setting * and count */
    SETTING_TYPES
};

enum setting_attributes {
    SETTING_REQUIRED = 1, /* the mapping makes no sense without it */
    SETTING_SECRET = 2,   /* may come from a file: KEY_file */
    SETTING_RESTART = 4,  /* a reload does not change it */
};

enum flag_group {
    GROUP_NONE,
    GROUP_LISTEN,
    GROUP_ROUTE,
    GROUP_OPERATE,
    GROUP_SETTINGS,
};

struct loader;
struct section;

struct setting {
    const char *key;
    enum setting_type type;
    unsigned attributes;
    size_t offset, width; /* of the field in the section's struct */
    size_t count;         /* offset of the number of ITEMS, FIRST, OPTIONS */
    const char *standard; /* the default as YAML has it; NULL: not set */
    uint64_t min, max;    /* of numbers; a zero below min has a meaning: */
    const char *zero;     /* what 0 says; NULL: it is not allowed */
    const char *const *words;      /* CHOICE: ends with NULL */
    const struct section *section; /* SECTION, ITEMS, FIRST */

    /* Check a string, and bring it to its normal form. */
    int (*rule)(struct loader *l, char **text, struct err *err);

    const char *sample; /* shown where there is no default */
    const char *flag;   /* its flag, without "--"; NULL: --set alone */
    const char *arg;    /* what the flag's value is called */
    enum flag_group group;
    const char *help; /* one sentence, lower case, no full stop */
    const char *more; /* further sentences for the manual, or NULL */
};

struct key_path;
struct place;
struct ynode;

struct section {
    const char *name;
    const struct setting *settings;
    size_t n;
    size_t size; /* of the struct that ITEMS are made of */
    const char *help;

    /* ITEMS may be written as one string: fill in a new item. */
    int (*from_text)(struct loader *l, void *item, struct slice text,
                     struct err *err);
    /* All keys have been read without an error: check them together, derive
     * the fields that have no key. `node` may be empty (a flag). */
    void (*finish)(struct loader *l, void *item, struct place at,
                   const struct key_path *path, const struct ynode *node);
};

extern const struct section settings_section; /* the top level */

/* The setting called key, or NULL. */
const struct setting *section_find(const struct section *s, struct slice key);

/* Follow a dotted key from the top level; NULL if there is none. */
const struct setting *settings_find(struct slice key);

#endif
