/* SPDX-License-Identifier: Apache-2.0 */
/* complaints.c - one line for each error. */
#include "complaints.h"

#include "settings.h"

#include <stdarg.h>
#include <sysexits.h>

enum { LINE_MAX_BYTES = 1024, PATH_MAX_BYTES = 256 };

/* A bounded text that silently stops when it is full. */
struct line {
    char *p;
    size_t n, cap;
};

static void line_vadd(struct line *l, const char *fmt, va_list args)
{
    int n = vsnprintf(l->p + l->n, l->cap - l->n, fmt, args);

    if (n > 0)
        l->n = min_size(l->n + (size_t)n, l->cap - 1);
}

static void PRINTF_LIKE(2, 3) line_add(struct line *l, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    line_vadd(l, fmt, args);
    va_end(args);
}

static void line_add_path(struct line *l, const struct key_path *path)
{
    if (path->parent)
        line_add_path(l, path->parent);
    if (!path->key.p)
        line_add(l, "[%zu]", path->index);
    else
        line_add(l, "%s" SLICE_FMT, path->parent ? "." : "",
                 (int)min_size(path->key.n, 64), path->key.p);
}

static void line_add_place(struct line *l, struct place at)
{
    if (at.source)
        line_add(l, "%s", at.source);
    if (at.source && at.line > 0)
        line_add(l, ":%zu:%zu", at.line, at.column);
    if (at.source)
        line_add(l, ": ");
}

/* Values are shown in errors: none may drive a terminal. */
static void line_tame(struct line *l)
{
    for (size_t i = 0; i < l->n; i++) {
        unsigned char b = (unsigned char)l->p[i];
        bool c1 = b == 0xc2 && (unsigned char)l->p[i + 1] < 0xa0;

        if (b < 0x20 || b == 0x7f)
            l->p[i] = '?';
        else if (c1 && i + 1 < l->n)
            l->p[i] = l->p[i + 1] = '?';
    }
}

void complain(struct complaints *c, struct place at,
              const struct key_path *path, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES], key[PATH_MAX_BYTES] = "";
    struct line l = {text, 0, sizeof(text)}, k = {key, 0, sizeof(key)};
    va_list args;

    c->n++;
    if (at.usage)
        c->usage++;
    if (c->n > SETTINGS_ERRORS_MAX)
        return;
    line_add_place(&l, at);
    if (path) {
        line_add_path(&k, path);
        line_add(&l, "%s: ", key);
    }
    va_start(args, fmt);
    line_vadd(&l, fmt, args);
    va_end(args);
    line_tame(&l);
    fprintf(c->errors, "%s\n", text);
}

void complaints_end(const struct complaints *c)
{
    if (c->n > SETTINGS_ERRORS_MAX)
        fprintf(c->errors, "%zu more errors are not shown\n",
                c->n - SETTINGS_ERRORS_MAX);
}

int complaints_exit_status(const struct complaints *c)
{
    return c->usage == c->n ? EX_USAGE : EX_CONFIG;
}

char *place_text(struct arena *a, struct place at)
{
    if (!at.source)
        return arena_text(a, slice_of(""));
    if (at.line == 0)
        return arena_text(a, slice_of(at.source));
    return arena_printf(a, "%s:%zu:%zu", at.source, at.line, at.column);
}
