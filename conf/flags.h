/* SPDX-License-Identifier: Apache-2.0 */
/* flags.h - the command line. */
#ifndef GW_CONF_FLAGS_H
#define GW_CONF_FLAGS_H

#include "loader.h"

enum flags_action {
    FLAGS_RUN,
    FLAGS_CHECK,
    FLAGS_HELP,
    FLAGS_VERSION,
    FLAGS_SCHEMA,
    FLAGS_REFERENCE,
    FLAGS_DEFAULT_CONFIG,
};

/* One flag that gives a setting a value. */
struct flag_use {
    const struct setting *setting; /* NULL: --set */
    const char *name;              /* with its dashes */
    const char *text;
};

/* A command line, taken apart. Texts belong to argv or to the arena. */
struct flags {
    enum flags_action action;
    const char *config; /* --config, or NULL */
    struct flag_use *uses;
    size_t n_uses;
    struct string_list positional;  /* [ADDR:]PORT TARGET */
    const char *unix_target;        /* --unix-target */
    struct string_list certs, keys; /* --cert, --key: pairs */
};

/* Take argv apart. Errors are complained of; argv is not changed. */
void flags_parse(int argc, char **argv, struct arena *arena,
                 struct complaints *complaints, struct flags *flags);

/* Apply what was given on top of the file's settings. A flag that makes a
 * list replaces the file's list. */
void flags_apply(struct loader *l, const struct flags *flags);

/* --help */
void flags_help(struct arena *arena, FILE *output);

#endif
