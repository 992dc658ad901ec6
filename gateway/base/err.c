/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - texts are formatted aside first, so that an argument may well be
 * the text that is being replaced. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>

static void format(struct err *e, const char *fmt, va_list args)
{
    if (vsnprintf(e->text, sizeof(e->text), fmt, args) < 0)
        e->text[0] = '\0'; /* no memory, or an impossible wide character */
}

int err_set(struct err *e, const char *fmt, ...)
{
    struct err fresh = {.text = ""};
    va_list args;

    va_start(args, fmt);
    format(&fresh, fmt, args);
    va_end(args);
    memcpy(e->text, fresh.text, strlen(fresh.text) + 1);
    return -1;
}

int err_prepend(struct err *e, const char *fmt, ...)
{
    struct err fresh = {.text = ""};
    va_list args;

    va_start(args, fmt);
    format(&fresh, fmt, args);
    va_end(args);

    size_t used = strlen(fresh.text);
    const char *const parts[] = {": ", e->text};
    for (size_t i = 0; i < LEN(parts); i++) {
        size_t n = min_size(strlen(parts[i]), sizeof(fresh.text) - 1 - used);
        memcpy(fresh.text + used, parts[i], n);
        used += n;
    }
    fresh.text[used] = '\0';
    memcpy(e->text, fresh.text, used + 1);
    return -1;
}

int err_also(struct err *all, const struct err *one)
{
    size_t used = strlen(all->text);
    size_t n = strlen(one->text);

    if (used + 1 + n >= sizeof all->text)
        return -1; /* there is enough to mend already */
    if (used > 0)
        all->text[used++] = '\n';
    memcpy(all->text + used, one->text, n + 1);
    return -1;
}
