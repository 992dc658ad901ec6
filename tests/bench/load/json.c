/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - printed as it comes. */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static bool first;

void json_begin(void)
{
    putchar('{');
    first = true;
}

static void print_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_key(const char *key)
{
    if (!first)
        fputs(", ", stdout);
    first = false;
    print_string(key);
    fputs(": ", stdout);
}

void json_text(const char *key, const char *value)
{
    if (!value)
        return;
    print_key(key);
    print_string(value);
}

void json_bool(const char *key, bool value)
{
    print_key(key);
    fputs(value ? "true" : "false", stdout);
}

void json_int(const char *key, uint64_t value)
{
    print_key(key);
    printf("%" PRIu64, value);
}

void json_number(const char *key, double value, int decimals)
{
    if (!isfinite(value))
        return;
    print_key(key);
    printf("%.*f", decimals, value);
}

void json_end(void)
{
    puts("}");
}
