/* SPDX-License-Identifier: Apache-2.0 */
/* topic_model.h - what topics may be made of, one character after the other,
 * to compare bridges/mqtt/topic.c with. For unit tests and fuzzing. */
#ifndef GW_TOPIC_MODEL_H
#define GW_TOPIC_MODEL_H

#include "../../bridges/mqtt/topic.h"

static inline bool model_point(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
    bool none = (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xffff) >= 0xfffe;

    return !control && !none;
}

static inline bool model_form(struct text t, bool *wild)
{
    size_t levels = 1, size;

    *wild = false;
    for (size_t i = 0; i < t.n; i += size) {
        uint32_t c;
        size = text_char(t.p + i, t.n - i, &c);
        if (size == 0 || !model_point(c))
            return false;
        levels += c == '/';
        *wild |= c == '+' || c == '#';
    }
    return t.n > 0 && t.n <= TOPIC_MAX && levels <= TOPIC_LEVELS_MAX;
}

static inline bool model_name(struct text t)
{
    bool wild;

    return model_form(t, &wild) && !wild;
}

/* Of a filter that is not shared: a wildcard is a level, "#" the last one. */
static inline bool model_filter(struct text t)
{
    bool wild;

    if (!model_form(t, &wild))
        return false;
    for (size_t i = 0; i < t.n; i++) {
        bool begins = i == 0 || t.p[i - 1] == '/';
        bool ends = i + 1 == t.n || (t.p[i] == '+' && t.p[i + 1] == '/');
        if ((t.p[i] == '+' || t.p[i] == '#') && !(begins && ends))
            return false;
    }
    return true;
}

#endif
