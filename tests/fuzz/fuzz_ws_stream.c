/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a client, against the model. Three bytes come before them: where
 * payload is to go, how reads are cut, and which limits hold. */
#include "../unit/ws_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fed(const uint8_t *p, size_t n, size_t cut, size_t step,
                      enum place place, const struct ws_stream_limits *limits,
                      const char *want)
{
    struct feeder f = {.place = place, .limits = *limits};

    feed(&f, p, cut);
    for (size_t at = cut; at < n; at += step)
        feed(&f, p + at, min_size(step, n - at));
    CHECK(strcmp(trace_line(&f.trace), want) == 0);
    feeder_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;

    const struct ws_stream_limits limits = {
        .message_bytes = data[2] % 16 ? data[2] % 16 * 20U : 0,
        .fragments = data[2] / 16,
    };
    const uint8_t *p = data + 3;
    size_t n = size - 3, step = 1 + data[1] % 16;
    struct model m = {.p = p, .n = n, .limits = limits};

    model_stream(&m);
    const char *want = trace_line(&m.trace);
    check_fed(p, n, n, 1, data[0] % PLACES, &limits, want);
    check_fed(p, n, 0, step, data[0] % PLACES, &limits, want);
    check_fed(p, n, n * data[1] / 255, n + 1, data[0] / PLACES % PLACES,
              &limits, want);
    trace_free(&m.trace);
    check_gathers(p, n, 1 + data[1]);
    return 0;
}
