/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says where to cut the rest. */
#include "fuzz.h"

#include "../../gateway/base/utf8.h"
#include "../unit/utf8_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;

    size_t n = size - 1, cut = data[0] % (n + 1), left;
    uint8_t *a = copy_of(data + 1, cut);
    uint8_t *b = copy_of(data + 1 + cut, n - cut);
    uint8_t *whole = copy_of(data + 1, n);
    enum model_text want = model_utf8(whole, n, &left);

    struct utf8 once = {0}, twice = {0};
    bool ok = utf8_feed(&once, whole, n);
    CHECK(ok == (want != TEXT_BAD));
    CHECK(ok == (utf8_feed(&twice, a, cut) && utf8_feed(&twice, b, n - cut)));
    CHECK(utf8_whole(whole, n) == (ok ? n - left : SIZE_MAX));
    if (ok) {
        CHECK(memcmp(&once, &twice, sizeof(once)) == 0);
        CHECK(utf8_done(&once) == (want == TEXT_WHOLE));
        CHECK(utf8_whole(whole, n - left) == n - left);
    }
    free(a);
    free(b);
    free(whole);
    return 0;
}
