/* SPDX-License-Identifier: Apache-2.0 */
/* http_select.c - lists are read over all lines of a field; what is malformed
 * is read as if it were absent, unless that would give more than was asked. */
#include "http_select.h"

/* ---- Accept-Encoding, section 12.5.3 ----------------------------------- */

/* "; q=0.5" in thousandths; nothing: HTTP_Q_MAX; malformed: 0. */
static int weight_parse(struct slice s)
{
    int q = 0, unit = HTTP_Q_MAX;

    if (s.n == 0)
        return HTTP_Q_MAX;
    do {
        s.p++;
        s.n--;
    } while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'));
    if (s.n < 3 || (s.p[0] | 0x20) != 'q' || s.p[1] != '=' ||
        (s.n > 3 && s.p[3] != '.') || s.n > 7)
        return 0;
    for (size_t i = 2; i < s.n; i++) {
        if (i == 3)
            continue; /* the point */
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        q += (s.p[i] - '0') * unit;
        unit /= 10;
    }
    return q <= HTTP_Q_MAX ? q : 0;
}

/* Split "gzip ; q=0.5" into the coding and its weight. */
static struct slice coding_split(struct slice element, int *weight)
{
    struct slice coding = {element.p, 0};

    while (coding.n < element.n && !strchr("; \t", element.p[coding.n]))
        coding.n++;
    element = (struct slice){element.p + coding.n, element.n - coding.n};
    while (element.n > 0 && *element.p != ';')
        element = (struct slice){element.p + 1, element.n - 1};
    *weight = weight_parse(element);
    return coding;
}

int http_coding_weight(const struct http_head *head, const char *coding,
                       int unsaid)
{
    int said = -1, star = -1, weight;
    struct slice list, element;

    for (size_t i = 0; i < head->n_fields; i++) {
        if (!slice_ieq(head->fields[i].name, slice_of("accept-encoding")))
            continue;
        list = head->fields[i].value;
        while (http_list_next(&list, &element)) {
            struct slice name = coding_split(element, &weight);
            if (slice_ieq(name, slice_of(coding)))
                said = weight;
            else if (slice_is(name, "*"))
                star = weight;
        }
    }
    return said >= 0 ? said : star >= 0 ? star : unsaid;
}

/* ---- conditions, section 13 -------------------------------------------- */

/* Whether one tag of a request means this form. Strongly: both are strong. */
static bool tag_is(const struct http_form *f, struct slice tag, bool strongly)
{
    bool weak = tag.n >= 2 && tag.p[0] == 'W' && tag.p[1] == '/';

    if (weak)
        tag = (struct slice){tag.p + 2, tag.n - 2};
    return slice_is(tag, f->tag) && (!strongly || (f->strong && !weak));
}

/* Whether a list of tags, all lines of the field together, has this form. */
static bool tag_listed(const struct http_form *f, const struct http_head *head,
                       const char *field, bool strongly)
{
    struct slice list, element;

    for (size_t i = 0; i < head->n_fields; i++) {
        if (!slice_ieq(head->fields[i].name, slice_of(field)))
            continue;
        list = head->fields[i].value;
        while (http_list_next(&list, &element)) {
            if (slice_is(element, "*") || tag_is(f, element, strongly))
                return true;
        }
    }
    return false;
}

/* A date in any of the three forms that RFC 9110 section 5.6.7 demands. */
static bool date_parse(struct slice s, time_t *t)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT",
                                        "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
    char text[64];

    if (s.n == 0 || s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    for (size_t i = 0; i < LEN(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end && *end == '\0') {
            *t = timegm(&tm);
            return true;
        }
    }
    return false;
}

/* The date of a field; false if it is absent or is no date. */
static bool date_get(const struct http_head *head, const char *field, time_t *t)
{
    return date_parse(http_head_get(head, field), t);
}

int http_conditions(const struct http_form *f, const struct http_head *head)
{
    time_t modified = f->modified, t;

    if (http_head_count(head, "if-match")) {
        if (!tag_listed(f, head, "if-match", true))
            return 412;
    } else if (date_get(head, "if-unmodified-since", &t) && modified > t) {
        return 412;
    }
    if (http_head_count(head, "if-none-match"))
        return tag_listed(f, head, "if-none-match", false) ? 304 : 0;
    if (date_get(head, "if-modified-since", &t) && modified <= t)
        return 304;
    return 0;
}

/* Whether a range may be cut: If-Range is absent, or names this very form. */
static bool if_range(const struct http_form *f, const struct http_head *head)
{
    struct slice value = http_head_get(head, "if-range");
    time_t t;

    if (!value.p)
        return true;
    if (value.n > 0 && (value.p[0] == '"' || value.p[0] == 'W') &&
        memchr(value.p, '"', value.n))
        return tag_is(f, value, true);
    return date_parse(value, &t) && f->strong && t == f->modified;
}

/* ---- ranges, section 14 ------------------------------------------------ */

/* Take digits from *s; false if there are none. Too great is UINT64_MAX. */
static bool number_take(struct slice *s, uint64_t *value)
{
    const char *start = s->p;

    for (*value = 0; s->n > 0 && *s->p >= '0' && *s->p <= '9'; s->p++, s->n--) {
        uint64_t digit = (uint64_t)(*s->p - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX
                                                    : *value * 10 + digit;
    }
    return s->p > start;
}

/* What part of `size` bytes is asked for. Several parts, or what is no range
 * of bytes, is the whole. */
static enum http_range range_parse(struct slice s, uint64_t size,
                                   uint64_t *first, uint64_t *length)
{
    uint64_t last = UINT64_MAX;
    struct slice range, another;

    if (s.n < 6 || !slice_ieq((struct slice){s.p, 6}, slice_of("bytes=")))
        return HTTP_RANGE_WHOLE;
    s = (struct slice){s.p + 6, s.n - 6};
    if (!http_list_next(&s, &range) || http_list_next(&s, &another))
        return HTTP_RANGE_WHOLE;

    bool has_first = number_take(&range, first);
    if (range.n == 0 || *range.p != '-')
        return HTTP_RANGE_WHOLE;
    range = (struct slice){range.p + 1, range.n - 1};
    bool has_last = number_take(&range, &last);
    if (range.n > 0 || (!has_first && !has_last))
        return HTTP_RANGE_WHOLE;
    if (!has_last)
        last = UINT64_MAX;

    if (!has_first) { /* "-N": the last N bytes */
        *length = last < size ? last : size;
        *first = size - *length;
        return *length > 0 ? HTTP_RANGE_PART : HTTP_RANGE_OUTSIDE;
    }
    if (last < *first)
        return HTTP_RANGE_WHOLE;
    if (*first >= size)
        return HTTP_RANGE_OUTSIDE;
    *length = (last < size ? last + 1 : size) - *first;
    return HTTP_RANGE_PART;
}

enum http_range http_range(const struct http_form *f,
                           const struct http_head *head, uint64_t *first,
                           uint64_t *length)
{
    if (!slice_is(head->method, "GET") || http_head_count(head, "range") != 1 ||
        !if_range(f, head))
        return HTTP_RANGE_WHOLE;
    return range_parse(http_head_get(head, "range"), f->size, first, length);
}
