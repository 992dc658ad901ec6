/* SPDX-License-Identifier: Apache-2.0 */
/* A request head through all of the handshake, to its answer. */
#include "fuzz.h"

#include "../../gateway/wire/ws_handshake.h"

static void check_offer(const struct ws_offer *offer)
{
    CHECK(offer->key.n == 24 && offer->n_tokens <= WS_TOKENS_MAX);
    for (size_t i = 0; i < offer->n_tokens; i++) {
        struct slice a = offer->tokens[i];
        CHECK(http_is_token(a));
        for (size_t k = 0; k < i; k++) {
            struct slice b = offer->tokens[k];
            CHECK(a.n != b.n || memcmp(a.p, b.p, a.n) != 0);
        }
    }
}

/* Returns what is answered. */
static struct slice check_choice(const struct ws_offer *offer)
{
    static const char *const allowed[] = {"mqtt", "binary", "bearer.x"};
    int any = ws_choose_subprotocol(offer, NULL, 0);
    int some = ws_choose_subprotocol(offer, allowed, LEN(allowed));

    CHECK(any >= -1 && any < (int)offer->n_tokens);
    CHECK(some >= -2 && some < (int)offer->n_tokens);
    CHECK(some < 0 || (any >= 0 && any <= some));
    CHECK((some == -1) == (offer->n_tokens == 0));
    if (some >= 0)
        CHECK(slice_is(offer->tokens[some], allowed[0]) ||
              slice_is(offer->tokens[some], allowed[1]));
    if (any < 0)
        return (struct slice){0};
    CHECK(!ws_token_is_credential(offer->tokens[any]));
    return offer->tokens[any];
}

static void check_answer(struct slice key, struct slice token)
{
    static char out[4096];
    size_t n = ws_handshake_answer(out, sizeof(out), key, token, "A: b\r\n");

    CHECK(n > 0 && memcmp(out + n - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0, lines = 0; i < n; i++) {
        lines += out[i] == '\n';
        CHECK(out[i] != '\n' || out[i - 1] == '\r');
        CHECK((unsigned char)out[i] < 0x7f && out[i] != '\0');
        CHECK(i + 1 < n || lines == (token.n ? 7 : 6));
    }
    char *exact = malloc(n);
    CHECK(exact);
    CHECK(ws_handshake_answer(exact, n, key, token, "A: b\r\n") == n);
    CHECK(memcmp(exact, out, n) == 0);
    CHECK(ws_handshake_answer(exact, n - 1, key, token, "A: b\r\n") == 0);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_limits limits = {3072, 1024, 32};
    static struct http_head h;
    char *p = copy_of(data, size);
    size_t scanned = 0;

    if (http_head_parse(&h, p, size, &scanned, &limits) > 0) {
        struct ws_offer offer;
        const char *why;
        int status = ws_handshake_check(&h, &offer, &why);
        CHECK(status == 101 || status == 400 || status == 405 || status == 426);
        CHECK((status == 101) == (why == NULL));
        if (status == 101) {
            CHECK(ws_handshake_wanted(&h));
            check_offer(&offer);
            check_answer(offer.key, check_choice(&offer));
        }
    }
    free(p);
    return 0;
}
