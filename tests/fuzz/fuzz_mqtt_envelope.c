/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says how the rest is taken: j, a text message; b, a binary
 * one; else a payload that goes out in each form. */
#include "fuzz.h"

#include "../../bridges/mqtt/base64.h"
#include "../../bridges/mqtt/envelope.h"

struct block {
    const char *p;
    size_t n;
};

static bool in_block(struct text t, struct block b)
{
    return lies_in((struct slice){t.p, t.n}, b.p, b.n);
}

static void check_fields(const struct envelope *e)
{
    CHECK(e->op < OP_COUNT);
    CHECK(!e->has_id || e->id <= ENVELOPE_ID_MAX);
    CHECK(e->qos >= 0 && e->qos <= 2);
    CHECK(e->every_ms <= ENVELOPE_EVERY_MAX);
    CHECK(e->retained <= RETAIN_NONE);
    CHECK(text_is_utf8(e->topic));
    CHECK(text_is_utf8(e->token));
    CHECK(e->op == OP_PUB || (!e->retain && e->payload.n == 0));
    CHECK(e->op == OP_SUB || (e->every_ms == 0 && e->retained == 0));
    CHECK(e->op == OP_SUB || e->op == OP_PUB || e->qos == 0);
}

/* What the client would get for this payload: JSON that, taken as a request,
 * brings the payload back. */
static void check_msg(struct text topic, struct text payload,
                      enum envelope_form form, bool retained)
{
    struct envelope_msg m = {.topic = topic,
                             .payload = payload,
                             .qos = 1,
                             .retained = retained,
                             .form = form};
    size_t n = envelope_msg(&m, NULL);
    char *out = malloc(n), *scratch = malloc(n);
    const char *why;
    struct envelope e;

    CHECK(out && scratch);
    CHECK(envelope_msg(&m, out) == n);
    CHECK(m.key == 'd' || json_valid(out, n)); /* data is one level deeper */
    if (!retained) {
        memcpy(out + strlen("{\"op\":\""), "pub", 3);
        CHECK(envelope_parse(&e, out, n, scratch, &why) == 0);
        CHECK(text_equal(e.topic, topic));
        CHECK(m.key == 'd' || text_equal(e.payload, payload));
        CHECK(e.qos == 1);
    }
    free(out);
    free(scratch);
}

static void check_refusal(const struct envelope *e, const char *why)
{
    char out[ENVELOPE_ANSWER_MAX];
    size_t n =
        envelope_err(out, sizeof(out), e->has_id, e->id, ERR_BAD_REQUEST, why);

    CHECK(n <= sizeof(out));
    CHECK(json_valid(out, n));
}

static void take_json(const char *message, size_t n)
{
    char *scratch = malloc(n ? n : 1);
    struct block from = {message, n}, to = {scratch, n};
    const char *why;
    struct envelope e;

    CHECK(scratch);
    if (envelope_parse(&e, message, n, scratch, &why)) {
        CHECK(why);
        check_refusal(&e, why);
    } else {
        CHECK(!why);
        CHECK(e.op == OP_PUB || json_valid(message, n));
        check_fields(&e);
        CHECK(in_block(e.topic, from) || in_block(e.topic, to));
        CHECK(in_block(e.payload, from) || in_block(e.payload, to));
        CHECK(in_block(e.token, from) || in_block(e.token, to));
        if (e.op == OP_PUB)
            check_msg(e.topic, e.payload, FORM_AUTO, e.retain);
    }
    free(scratch);
}

static void take_binary(const uint8_t *message, size_t n)
{
    struct block from = {(const char *)message, n};
    const char *why;
    struct envelope e;

    if (envelope_parse_binary(&e, message, n, &why)) {
        CHECK(why);
        check_refusal(&e, why);
        return;
    }
    CHECK(!why);
    check_fields(&e);
    CHECK(in_block(e.topic, from));
    CHECK(in_block(e.payload, from));
    if (e.op == OP_PUB) {
        struct envelope_msg m = {
            .topic = e.topic, .payload = e.payload, .qos = e.qos};
        uint8_t *out = malloc(n);

        CHECK(envelope_msg_binary(&m, NULL) == n);
        CHECK(envelope_msg_binary(&m, out) == n);
        CHECK(n == 8 || memcmp(out + 8, message + 8, n - 8) == 0);
        free(out);
    }
}

static void take_payload(const char *p, size_t n)
{
    struct text payload = {p, n}, topic = {"a/\"\\", 4};
    char *bytes = malloc(n ? n : 1);
    size_t got;

    for (int form = FORM_AUTO; form <= FORM_B64; form++)
        check_msg(topic, payload, (enum envelope_form)form, form == FORM_TEXT);
    if (base64_decode(p, n, bytes, &got)) {
        char *again = malloc(n ? n : 1);

        CHECK(base64_size(got) == n);
        base64_encode(again, bytes, got);
        CHECK(memcmp(again, p, n) == 0);
        free(again);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *rest;

    if (size == 0)
        return 0;
    rest = copy_of(data + 1, size - 1);
    switch (data[0]) {
    case 'j':
        take_json((char *)rest, size - 1);
        break;
    case 'b':
        take_binary(rest, size - 1);
        break;
    default:
        take_payload((char *)rest, size - 1);
    }
    free(rest);
    return 0;
}
