/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - one function for each type of setting. */
#include "value.h"

#include "../gateway/base/quantity.h"
#include "../gateway/base/suggest.h"

#include <assert.h>
#include <inttypes.h>

enum { SHOWN_MAX = 64 }; /* bytes of a wrong value that an error repeats */

#define SHOWN(text) (int)min_size((text).n, SHOWN_MAX), (text).p

void loader_given(struct loader *l, const struct setting *s, struct place at)
{
    size_t i = 0;

    while (i < l->n_given && l->given[i].setting != s)
        i++;
    if (i == SCALAR_SETTINGS_MAX)
        return;
    if (i == l->n_given)
        l->n_given++;
    l->given[i].setting = s;
    l->given[i].at = at;
}

struct place loader_where(const struct loader *l, const struct setting *s)
{
    for (size_t i = 0; i < l->n_given; i++)
        if (l->given[i].setting == s)
            return l->given[i].at;
    return (struct place){0};
}

char *loader_file_name(struct loader *l, struct slice text)
{
    if (!l->folder || text.n == 0 || text.p[0] == '/')
        return arena_text(l->arena, text);
    return arena_printf(l->arena, "%s/" SLICE_FMT, l->folder, SLICE_ARGS(text));
}

static void *field(const struct setting *s, void *object)
{
    return (char *)object + s->offset;
}

static size_t *field_count(const struct setting *s, void *object)
{
    return (size_t *)(void *)((char *)object + s->count);
}

/* Fields are bool, unsigned, enum, size_t or uint64_t. */
static void store_number(const struct setting *s, void *object, uint64_t n)
{
    if (s->width == sizeof(uint64_t)) {
        memcpy(field(s, object), &n, sizeof(n));
    } else if (s->width == sizeof(uint32_t)) {
        uint32_t narrow = (uint32_t)n;
        memcpy(field(s, object), &narrow, sizeof(narrow));
    } else {
        bool yes = n != 0;
        assert(s->width == sizeof(yes));
        memcpy(field(s, object), &yes, sizeof(yes));
    }
}

static int check_range(const struct setting *s, struct slice text, uint64_t n,
                       struct err *err)
{
    char limit[32];

    if (n == 0 && s->zero)
        return 0;
    if (n < s->min)
        return err_set(err, "'%.*s' is too small; the least is %s%s%s%s",
                       SHOWN(text), value_format(s, s->min, limit, 32),
                       s->zero ? " (or 0: " : "", s->zero ? s->zero : "",
                       s->zero ? ")" : "");
    if (n > s->max)
        return err_set(err, "'%.*s' is too large; the most is %s", SHOWN(text),
                       value_format(s, s->max, limit, 32));
    return 0;
}

static int mode_parse(struct slice text, uint64_t *out, struct err *err)
{
    *out = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '7' || i >= 8)
            return err_set(err, "'%.*s' is no octal number, like 0660",
                           SHOWN(text));
        *out = *out * 8 + (uint64_t)(text.p[i] - '0');
    }
    return text.n > 0 ? 0 : err_set(err, "needs an octal number, like 0660");
}

static int set_number(struct loader *l, const struct setting *s, void *object,
                      struct slice text, struct err *err)
{
    static int (*const parse[SETTING_TYPES])(struct slice, uint64_t *,
                                             struct err *) = {
        [SETTING_COUNT] = count_parse,
        [SETTING_SIZE] = size_parse,
        [SETTING_DURATION] = duration_parse,
        [SETTING_MODE] = mode_parse,
    };
    uint64_t n;

    (void)l;
    if (parse[s->type](text, &n, err) || check_range(s, text, n, err))
        return -1;
    store_number(s, object, n);
    return 0;
}

static int set_bool(struct loader *l, const struct setting *s, void *object,
                    struct slice text, struct err *err)
{
    (void)l;
    if (!slice_is(text, "true") && !slice_is(text, "false"))
        return err_set(err, "'%.*s' is neither true nor false", SHOWN(text));
    store_number(s, object, slice_is(text, "true"));
    return 0;
}

static int set_choice(struct loader *l, const struct setting *s, void *object,
                      struct slice text, struct err *err)
{
    char list[128], hint[96];
    struct suggest near;
    size_t n = 0;

    (void)l;
    list[0] = '\0';
    suggest_init(&near, text);
    for (size_t i = 0; s->words[i]; i++) {
        if (slice_is(text, s->words[i])) {
            store_number(s, object, i);
            return 0;
        }
        suggest_offer(&near, s->words[i]);
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s",
                              i > 0 ? ", " : "", s->words[i]);
        assert(n < sizeof(list));
    }
    return err_set(err, "'%.*s' is not one of %s%s", SHOWN(text), list,
                   suggest_text(&near, hint, sizeof(hint)));
}

/* A checked copy of one string; *out may become NULL: nothing special. */
static int make_string(struct loader *l, const struct setting *s,
                       struct slice text, char **out, struct err *err)
{
    bool path = s->type == SETTING_PATH || s->type == SETTING_PATH_LIST;

    if (text.n == 0)
        return err_set(err, "must not be empty");
    *out = path ? loader_file_name(l, text) : arena_text(l->arena, text);
    if (!*out)
        return err_set(err, "out of memory");
    return s->rule ? s->rule(l, out, err) : 0;
}

static int set_string(struct loader *l, const struct setting *s, void *object,
                      struct slice text, struct err *err)
{
    char *copy = NULL;

    if (make_string(l, s, text, &copy, err))
        return -1;
    memcpy(field(s, object), &copy, sizeof(copy));
    return 0;
}

static int (*const setters[SETTING_TYPES])(struct loader *,
                                           const struct setting *, void *,
                                           struct slice, struct err *) = {
    [SETTING_BOOL] = set_bool,     [SETTING_COUNT] = set_number,
    [SETTING_SIZE] = set_number,   [SETTING_DURATION] = set_number,
    [SETTING_MODE] = set_number,   [SETTING_CHOICE] = set_choice,
    [SETTING_STRING] = set_string, [SETTING_PATH] = set_string,
};

bool value_is_scalar(const struct setting *s)
{
    return setters[s->type] != NULL;
}

int value_set(struct loader *l, const struct setting *s, void *object,
              struct slice text, struct err *err)
{
    return setters[s->type](l, s, object, text, err);
}

int value_append(struct loader *l, const struct setting *s, void *object,
                 struct slice text, struct err *err)
{
    struct string_list *list = field(s, object);
    void *array = list->v;
    char *copy = NULL, **room;

    if (list->n >= ITEMS_MAX)
        return err_set(err, "more than %d elements", ITEMS_MAX);
    if (make_string(l, s, text, &copy, err))
        return -1;
    room = arena_append(l->arena, &array, &list->n, sizeof(char *));
    if (!room)
        return err_set(err, "out of memory");
    list->v = array;
    *room = copy;
    return 0;
}

void *value_new_item(struct loader *l, const struct setting *s, void *object)
{
    size_t *n = field_count(s, object);
    void *array = NULL, *item;

    if (*n >= ITEMS_MAX)
        return NULL;
    memcpy(&array, field(s, object), sizeof(array));
    item = arena_append(l->arena, &array, n, s->section->size);
    if (!item)
        return NULL;
    memcpy(field(s, object), &array, sizeof(array));
    section_defaults(l, s->section, item);
    return item;
}

void value_clear(const struct setting *s, void *object)
{
    if (s->type == SETTING_LIST || s->type == SETTING_PATH_LIST)
        *(struct string_list *)field(s, object) = (struct string_list){0};
    else if (s->type == SETTING_ITEMS)
        *field_count(s, object) = 0;
}

const char *value_format(const struct setting *s, uint64_t number, char *buf,
                         size_t cap)
{
    if (s->type == SETTING_SIZE)
        return size_format(number, buf, cap);
    if (s->type == SETTING_DURATION)
        return duration_format(number, buf, cap);
    if (s->type == SETTING_MODE)
        snprintf(buf, cap, "%04" PRIo64, number);
    else
        snprintf(buf, cap, "%" PRIu64, number);
    return buf;
}

void section_defaults(struct loader *l, const struct section *section,
                      void *object)
{
    for (size_t i = 0; i < section->n; i++) {
        const struct setting *s = &section->settings[i];
        struct err err;

        if (s->type == SETTING_SECTION)
            section_defaults(l, s->section, field(s, object));
        else if (s->standard && value_is_scalar(s) &&
                 value_set(l, s, object, slice_of(s->standard), &err))
            assert(l->arena->failed && "a default is not valid");
    }
}
