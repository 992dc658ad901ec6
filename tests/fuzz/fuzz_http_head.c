/* SPDX-License-Identifier: Apache-2.0 */
/* A request head, whole, byte by byte, and in two pieces: the first byte says
 * where the cut is. Small limits, so that they are reached. */
#include "fuzz.h"

#include "../../gateway/wire/http_head.h"

static const struct http_limits LIMITS = {1024, 200, 12};

/* Each step in memory of its own size; slices are into `p`. */
static int parse(struct http_head *h, const char *p, size_t n, size_t first,
                 size_t step)
{
    size_t scanned = 0, have = first;
    int got = 0;

    for (; got == 0; have = min_size(have + step, n)) {
        char *copy = copy_of(p, have);
        got = http_head_parse(h, copy, have, &scanned, &LIMITS);
        CHECK(scanned <= have);
        free(copy);
        if (have == n)
            break;
    }
    if (got > 0) {
        scanned = 0;
        CHECK(http_head_parse(h, p, n, &scanned, &LIMITS) == got);
    }
    return got;
}

static bool is_status(int got)
{
    static const int statuses[] = {0, -400, -405, -413, -414, -431, -505};

    for (size_t i = 0; i < LEN(statuses); i++)
        if (got == statuses[i])
            return true;
    return false;
}

static void check_head(const struct http_head *h, const char *p, size_t n)
{
    CHECK(n <= LIMITS.head_bytes && memcmp(p + n - 4, "\r\n\r\n", 4) == 0);
    CHECK(slice_is(h->method, "GET") || slice_is(h->method, "HEAD"));
    CHECK(h->path.n > 0 && h->path.p[0] == '/' && h->minor <= 1);
    CHECK(h->path.n + h->query.n <= LIMITS.uri_bytes);
    CHECK(lies_in(h->path, p, n) && lies_in(h->query, p, n));
    CHECK(lies_in(h->host, p, n));
    CHECK(h->host.n > 0 || h->minor == 0);
    CHECK(http_head_count(h, "Host") <= 1);
    CHECK(http_head_count(h, "Transfer-Encoding") == 0);
    CHECK(h->n_fields <= LIMITS.fields);
    for (size_t i = 0; i < h->n_fields; i++) {
        struct slice name = h->fields[i].name, value = h->fields[i].value;
        CHECK(http_is_token(name) && lies_in(name, p, n));
        CHECK(lies_in(value, p, n));
        for (size_t k = 0; k < value.n; k++)
            CHECK((unsigned char)value.p[k] >= ' ' || value.p[k] == '\t');
        struct slice element;
        while (http_list_next(&value, &element))
            CHECK(element.n > 0 && lies_in(element, p, n));
    }
    http_head_has_token(h, "Connection", "Upgrade");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head h;

    if (size == 0)
        return 0;
    size_t n = size - 1;
    char *p = copy_of(data + 1, n);
    int whole = parse(&h, p, n, n, 1);

    CHECK(whole > 0 ? (size_t)whole <= n : is_status(whole));
    if (whole > 0)
        check_head(&h, p, (size_t)whole);
    CHECK(parse(&h, p, n, 0, 1) == whole);
    CHECK(parse(&h, p, n, min_size(data[0] * 4U, n), n) == whole);
    free(p);
    return 0;
}
