/* SPDX-License-Identifier: Apache-2.0 */
/* quantity.c - numbers with units, by two tables. */
#include "quantity.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t factor;
    bool printed; /* used for output; the largest comes first */
};

static const struct unit size_units[] = {
    {"GiB", UINT64_C(1) << 30, true},
    {"MiB", UINT64_C(1) << 20, true},
    {"KiB", UINT64_C(1) << 10, true},
    {"GB", 1000000000, false},
    {"MB", 1000000, false},
    {"KB", 1000, false},
    {"kB", 1000, false},
    {"B", 1, false},
    {"", 1, true},
};

static const struct unit duration_units[] = {
    {"d", 86400000, false}, {"h", 3600000, true}, {"m", 60000, true},
    {"s", 1000, true},      {"ms", 1, true},
};

enum { SHOWN_MAX = 48 }; /* bytes of a wrong value that an error repeats */

#define SHOWN(text) (int)min_size((text).n, SHOWN_MAX), (text).p

/* The digits at the start of text. False: none, or over 64 bits. */
static bool take_digits(struct slice *text, uint64_t *out)
{
    size_t i = 0;

    *out = 0;
    for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++)
        if (__builtin_mul_overflow(*out, 10U, out) ||
            __builtin_add_overflow(*out, (uint64_t)(text->p[i] - '0'), out))
            return false;
    text->p += i;
    text->n -= i;
    return i > 0;
}

static const struct unit *unit_named(const struct unit *units, size_t n,
                                     struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_is(name, units[i].name))
            return &units[i];
    return NULL;
}

int count_parse(struct slice text, uint64_t *out, struct err *err)
{
    struct slice rest = text;

    if (!take_digits(&rest, out) || rest.n > 0)
        return err_set(err, "'%.*s' is not a whole number", SHOWN(text));
    return 0;
}

int size_parse(struct slice text, uint64_t *bytes, struct err *err)
{
    struct slice rest = text;
    bool number = take_digits(&rest, bytes);
    const struct unit *u = unit_named(size_units, LEN(size_units), rest);

    if (!number || !u)
        return err_set(err,
                       "'%.*s' is not a size; write bytes, or a number and "
                       "KiB, MiB or GiB (KB, MB and GB count in thousands)",
                       SHOWN(text));
    if (__builtin_mul_overflow(*bytes, u->factor, bytes))
        return err_set(err, "'%.*s' is too large", SHOWN(text));
    return 0;
}

int duration_parse(struct slice text, uint64_t *ms, struct err *err)
{
    struct slice rest = text;
    bool number = take_digits(&rest, ms);
    const struct unit *u =
        unit_named(duration_units, LEN(duration_units), rest);

    if (number && rest.n == 0 && *ms == 0)
        return 0;
    if (number && rest.n == 0)
        return err_set(err,
                       "'%.*s' needs a unit: write %.*ss for seconds "
                       "(or ms, m, h, d)",
                       SHOWN(text), SHOWN(text));
    if (!number || !u)
        return err_set(err,
                       "'%.*s' is not a duration; write a number and ms, s, "
                       "m, h or d, like 30s",
                       SHOWN(text));
    if (__builtin_mul_overflow(*ms, u->factor, ms))
        return err_set(err, "'%.*s' is too long", SHOWN(text));
    return 0;
}

static const char *format(const struct unit *units, size_t n, uint64_t value,
                          char *buf, size_t cap)
{
    for (size_t i = 0; i < n && value > 0; i++) {
        if (!units[i].printed || value % units[i].factor != 0)
            continue;
        snprintf(buf, cap, "%" PRIu64 "%s", value / units[i].factor,
                 units[i].name);
        return buf;
    }
    snprintf(buf, cap, "%" PRIu64, value);
    return buf;
}

const char *size_format(uint64_t bytes, char *buf, size_t cap)
{
    return format(size_units, LEN(size_units), bytes, buf, cap);
}

const char *duration_format(uint64_t ms, char *buf, size_t cap)
{
    return format(duration_units, LEN(duration_units), ms, buf, cap);
}
