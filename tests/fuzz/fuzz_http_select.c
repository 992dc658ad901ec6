/* SPDX-License-Identifier: Apache-2.0 */
/* What a request asks of a file. The input is the fields of a head; its first
 * byte chooses the file. */
#include "fuzz.h"

#include "../../gateway/serve/http_select.h"

static void check_range(const struct http_form *f, struct http_head *head)
{
    uint64_t first = 0, length = 0;

    switch (http_range(f, head, &first, &length)) {
    case HTTP_RANGE_PART:
        CHECK(length > 0 && length <= f->size && first <= f->size - length);
        break;
    case HTTP_RANGE_OUTSIDE:
    case HTTP_RANGE_WHOLE:
        break;
    }
    head->method = slice_of("HEAD");
    CHECK(http_range(f, head, &first, &length) == HTTP_RANGE_WHOLE);
}

static void check_weights(const struct http_head *head)
{
    static const char *const codings[] = {"br", "gzip", "identity"};

    for (size_t i = 0; i < LEN(codings); i++) {
        int said = http_coding_weight(head, codings[i], -1);
        int other = http_coding_weight(head, codings[i], 500);
        CHECK(said >= -1 && said <= HTTP_Q_MAX);
        CHECK(other == (said == -1 ? 500 : said));
        if (!http_head_count(head, "accept-encoding"))
            CHECK(said == -1);
    }
}

static void check_conditions(const struct http_form *f,
                             const struct http_head *head)
{
    int status = http_conditions(f, head);

    CHECK(status == 0 || status == 304 || status == 412);
    if (status == 412)
        CHECK(http_head_count(head, "if-match") ||
              http_head_count(head, "if-unmodified-since"));
    if (status == 304)
        CHECK(http_head_count(head, "if-none-match") ||
              http_head_count(head, "if-modified-since"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "GET / HTTP/1.1\r\nHost: h\r\n";
    static const uint64_t sizes[] = {0, 1, 10, UINT64_MAX};
    static const struct http_limits limits = {65536, 65536, HTTP_FIELDS_MAX};
    struct http_form f = {.tag = "\"t\"", .modified = 784111777};
    struct http_head head;
    size_t scanned = 0;

    if (size == 0)
        return 0;
    f.size = sizes[data[0] % LEN(sizes)];
    f.strong = data[0] & 4;
    size_t n = sizeof(start) - 1 + size - 1;
    char *text = malloc(n);
    CHECK(text);
    memcpy(text, start, sizeof(start) - 1);
    memcpy(text + sizeof(start) - 1, data + 1, size - 1);
    if (http_head_parse(&head, text, n, &scanned, &limits) > 0) {
        check_weights(&head);
        check_conditions(&f, &head);
        check_range(&f, &head);
    }
    free(text);
    return 0;
}
