/* SPDX-License-Identifier: Apache-2.0 */
/* test_mqtt_envelope.c - requests, from JSON and binary, and what is written
 * to clients. */
#include "mqtt_text.h"
#include "unit.h"

#include "../../bridges/mqtt/base64.h"
#include "../../bridges/mqtt/envelope.h"

#include <stdio.h>

/* One message, in memory of exactly its size. */
struct parsed {
    struct envelope e;
    const char *why;
    int rc;
    char *message, *scratch;
};

static struct parsed parse(struct text t)
{
    struct parsed p = {.message = copy_of(t.p, t.n), .scratch = malloc(t.n)};

    p.rc = envelope_parse(&p.e, p.message, t.n, p.scratch, &p.why);
    return p;
}

static void parsed_free(struct parsed *p)
{
    free(p->message);
    free(p->scratch);
}

static void test_requests(void **state)
{
    static const struct {
        struct text in;
        struct envelope want;
    } cases[] = {
        {TEXT("{\"op\":\"sub\",\"topic\":\"a/+\"}"),
         {.op = OP_SUB, .topic = TEXT("a/+")}},
        {TEXT("{\"op\":\"sub\",\"id\":1,\"topic\":\"a\",\"qos\":1,"
              "\"retain\":\"new\",\"every\":200}"),
         {.op = OP_SUB,
          .has_id = true,
          .id = 1,
          .topic = TEXT("a"),
          .qos = 1,
          .retained = RETAIN_NEW,
          .every_ms = 200}},
        {TEXT("{\"retain\":\"none\",\"every\":3600000,\"topic\":\"a\","
              "\"op\":\"sub\"}"),
         {.op = OP_SUB,
          .topic = TEXT("a"),
          .retained = RETAIN_NONE,
          .every_ms = 3600000}},
        {TEXT("{\"op\":\"sub\",\"topic\":\"a\",\"retain\":\"send\"}"),
         {.op = OP_SUB, .topic = TEXT("a")}},
        {TEXT("{\"op\":\"unsub\",\"id\":2,\"topic\":\"a/+\"}"),
         {.op = OP_UNSUB, .has_id = true, .id = 2, .topic = TEXT("a/+")}},
        {TEXT("{\"op\":\"auth\",\"id\":4,\"token\":\"x.y.z\"}"),
         {.op = OP_AUTH, .has_id = true, .id = 4, .token = TEXT("x.y.z")}},
        {TEXT("{\"op\":\"ping\"}"), {.op = OP_PING}},
        {TEXT("{\"op\":\"ping\",\"id\":0}"), {.op = OP_PING, .has_id = true}},
        {TEXT("{\"op\":\"ping\",\"id\":2147483647}"),
         {.op = OP_PING, .has_id = true, .id = 2147483647}},

        {TEXT("{\"op\":\"pub\",\"id\":3,\"topic\":\"a/b\",\"data\":{\"t\":1},"
              "\"qos\":2,\"retain\":true}"),
         {.op = OP_PUB,
          .has_id = true,
          .id = 3,
          .topic = TEXT("a/b"),
          .payload = TEXT("{\"t\":1}"),
          .qos = 2,
          .retain = true}},
        {TEXT(
             "{\"op\":\"pub\",\"topic\":\"a\",\"retain\":false,\"text\":\"\"}"),
         {.op = OP_PUB, .topic = TEXT("a"), .payload = TEXT("")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"b64\":\"\"}"),
         {.op = OP_PUB, .topic = TEXT("a"), .payload = TEXT("")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"b64\":\"AP8Q\"}"),
         {.op = OP_PUB, .topic = TEXT("a"), .payload = TEXT("\0\xff\x10")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"b64\":\"\\/\\/79AA==\"}"),
         {.op = OP_PUB, .topic = TEXT("a"), .payload = TEXT("\xff\xfe\xfd\0")}},

        /* Payload stands as it was written. */
        {TEXT(" {\t\"op\" : \"pub\" ,\r\n\"topic\" : \"a\" , \"data\" : [ 1 , "
              "2.50e+07 ] } "),
         {.op = OP_PUB,
          .topic = TEXT("a"),
          .payload = TEXT("[ 1 , 2.50e+07 ]")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"data\":"
              "123456789012345678901234567890}"),
         {.op = OP_PUB,
          .topic = TEXT("a"),
          .payload = TEXT("123456789012345678901234567890")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"data\":\"\\ud800\\u0000\"}"),
         {.op = OP_PUB,
          .topic = TEXT("a"),
          .payload = TEXT("\"\\ud800\\u0000\"")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"data\":null}"),
         {.op = OP_PUB, .topic = TEXT("a"), .payload = TEXT("null")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"data\":"
              "[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]}"),
         {.op = OP_PUB,
          .topic = TEXT("a"),
          .payload = TEXT("[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"a\",\"data\":{\"k\":1,\"k\":2}}"),
         {.op = OP_PUB,
          .topic = TEXT("a"),
          .payload = TEXT("{\"k\":1,\"k\":2}")}},

        /* Decoded strings. */
        {TEXT("{\"op\":\"p\\u0075b\",\"topic\":\"gr\\u00FC\\u00dfe\\/\\u20ac\","
              "\"text\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\ud83d\\ude00!\"}"),
         {.op = OP_PUB,
          .topic = TEXT("gr\xc3\xbc\xc3\x9f"
                        "e/\xe2\x82\xac"),
          .payload = TEXT("\"\\\b\f\n\r\t\0\xf0\x9f\x98\x80!")}},
        {TEXT("{\"op\":\"pub\",\"topic\":\"\xc3\xbc\",\"text\":"
              "\"\\ud800\\udc00\\udbff\\udfff\"}"),
         {.op = OP_PUB,
          .topic = TEXT("\xc3\xbc"),
          .payload = TEXT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")}},
        {TEXT("{\"op\":\"sub\",\"topic\":\"a\\u0000b\"}"),
         {.op = OP_SUB, .topic = TEXT("a\0b")}},
        {TEXT("{\"op\":\"sub\",\"topic\":\"\"}"),
         {.op = OP_SUB, .topic = TEXT("")}},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        const struct envelope *want = &cases[i].want;
        struct parsed p = parse(cases[i].in);

        print_message("%s\n", cases[i].in.p);
        if (p.rc != 0)
            fail_msg("%s", p.why);
        assert_null(p.why);
        assert_int_equal(p.e.op, want->op);
        assert_int_equal(p.e.has_id, want->has_id);
        assert_int_equal(p.e.id, want->id);
        assert_true(text_equal(p.e.topic, want->topic));
        assert_true(text_equal(p.e.payload, want->payload));
        assert_true(text_equal(p.e.token, want->token));
        assert_int_equal(p.e.qos, want->qos);
        assert_int_equal(p.e.retain, want->retain);
        assert_int_equal(p.e.retained, want->retained);
        assert_int_equal(p.e.every_ms, want->every_ms);
        parsed_free(&p);

        /* Cut anywhere, it is none: but for the blanks at its end. */
        for (size_t n = 0; n < cases[i].in.n; n++) {
            if (memchr(cases[i].in.p + n, '}', cases[i].in.n - n)) {
                p = parse((struct text){cases[i].in.p, n});
                assert_int_equal(p.rc, -1);
                assert_non_null(p.why);
                parsed_free(&p);
            }
        }
    }
}

#define PUB "{\"id\":7,\"op\":\"pub\",\"topic\":\"a\","
#define SUB "{\"id\":7,\"op\":\"sub\",\"topic\":\"a\","

enum { NO_ID = -1 };

static void test_refused(void **state)
{
    static const struct {
        struct text in;
        int id; /* that the error will name */
        const char *why;
    } cases[] = {
        {TEXT(""), NO_ID, "not a JSON object"},
        {TEXT("  "), NO_ID, "not a JSON object"},
        {TEXT("[]"), NO_ID, "not a JSON object"},
        {TEXT("null"), NO_ID, "not a JSON object"},
        {TEXT("\xef\xbb\xbf{\"op\":\"ping\"}"), NO_ID, "not a JSON object"},
        {TEXT("{\"op\":\"ping\"} x"), NO_ID, "something behind"},
        {TEXT("{\"op\":\"ping\"}{}"), NO_ID, "something behind"},
        {TEXT("{\"op\":\"ping\"}\0"), NO_ID, "something behind"},
        {TEXT("{\"op\":\"ping\",}"), NO_ID, "a string is missing"},
        {TEXT("{,\"op\":\"ping\"}"), NO_ID, "a string is missing"},
        {TEXT("{op:\"ping\"}"), NO_ID, "a string is missing"},
        {TEXT("{'op':\"ping\"}"), NO_ID, "a string is missing"},
        {TEXT("{\"op\" \"ping\"}"), NO_ID, "a key without"},
        {TEXT("{\"op\"}"), NO_ID, "a key without"},
        {TEXT("{\"op\":}"), NO_ID, "a value is missing"},
        {TEXT("{\"op\":ping}"), NO_ID, "a value is missing"},
        {TEXT("{\"op\":\"ping\" \"id\":1}"), NO_ID, "an object has no end"},
        {TEXT("{\"op\":\"pi\tng\"}"), NO_ID, "a control character"},
        {TEXT("{\"op\":\"pi\\ng\""), NO_ID, "an object has no end"},
        {TEXT("{\"op\":\"\\x70ing\"}"), NO_ID, "an unknown escape"},
        {TEXT("{\"op\":\"\\u007\"}"), NO_ID, "an unknown escape"},
        {TEXT("{\"op\":\"\\u00g0\"}"), NO_ID, "an unknown escape"},
        {TEXT("{\"op\":\"\\"), NO_ID, "an unknown escape"},
        {TEXT("{\"op\":\"\\u00"), NO_ID, "an unknown escape"},
        {TEXT("{\"op\":\"\\\0\"}"), NO_ID, "an unknown escape"},
        {TEXT("{\"op\":\"\xff\"}"), NO_ID, "not UTF-8"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"x\xed\xa0\x80\":0}"), NO_ID,
         "not UTF-8"},
        {TEXT("{\"op\":/**/\"ping\"}"), NO_ID, "a value is missing"},

        {TEXT("{}"), NO_ID, "op is missing"},
        {TEXT("{\"id\":7}"), 7, "op is missing"},
        {TEXT("{\"op\":\"publish\",\"id\":7}"), 7, "op is not one of"},
        {TEXT("{\"op\":\"PUB\"}"), NO_ID, "op is not one of"},
        {TEXT("{\"op\":\"\"}"), NO_ID, "op is not one of"},
        {TEXT("{\"op\":1,\"id\":7}"), 7, "op is not a string"},
        {TEXT("{\"op\":[\"sub\"],\"id\":7}"), 7, "op is not a string"},

        {TEXT("{\"op\":\"ping\",\"id\":-1}"), NO_ID, "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":-0}"), NO_ID, "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":1.0}"), NO_ID, "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":1e1}"), NO_ID, "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":\"1\"}"), NO_ID, "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":null}"), NO_ID, "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":2147483648}"), NO_ID,
         "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":4294967296}"), NO_ID,
         "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":18446744073709551616}"), NO_ID,
         "id is not a whole"},
        {TEXT("{\"op\":\"ping\",\"id\":01}"), NO_ID, "begins with 0"},

        {TEXT("{\"op\":\"ping\",\"id\":7,\"op\":\"ping\"}"), 7, "twice"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"id\":8}"), NO_ID, "twice"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"id\":7}"), NO_ID, "twice"},
        {TEXT(PUB "\"text\":\"\",\"text\":\"\"}"), 7, "twice"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"key\":{}}"), 7, "an unknown key"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"\":0}"), 7, "an unknown key"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"\\u006fp\":0}"), 7,
         "an unknown key"},
        {TEXT("{\"op\":\"ping\",\"key\":{},\"id\":7}"), 7, "an unknown key"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"topic\":\"a\"}"), 7,
         "a key that this op"},
        {TEXT("{\"op\":\"unsub\",\"id\":7,\"topic\":\"a\",\"qos\":0}"), 7,
         "a key that this op"},
        {TEXT("{\"op\":\"auth\",\"id\":7,\"token\":\"a\",\"retain\":true}"), 7,
         "a key that this op"},
        {TEXT(PUB "\"text\":\"\",\"every\":1}"), 7, "a key that this op"},
        {TEXT(SUB "\"data\":1}"), 7, "a key that this op"},

        {TEXT("{\"op\":\"sub\",\"id\":7}"), 7, "topic is missing"},
        {TEXT("{\"op\":\"unsub\",\"id\":7}"), 7, "topic is missing"},
        {TEXT("{\"op\":\"pub\",\"id\":7,\"data\":1}"), 7, "topic is missing"},
        {TEXT("{\"op\":\"auth\",\"id\":7}"), 7, "token is missing"},
        {TEXT("{\"op\":\"sub\",\"id\":7,\"topic\":1}"), 7, "topic is not a"},
        {TEXT("{\"op\":\"sub\",\"id\":7,\"topic\":null}"), 7, "topic is not a"},
        {TEXT("{\"op\":\"auth\",\"id\":7,\"token\":{}}"), 7, "token is not a"},
        {TEXT(PUB "\"text\":5}"), 7, "text is not a string"},
        {TEXT(PUB "\"b64\":[]}"), 7, "b64 is not a string"},
        {TEXT("{\"op\":\"sub\",\"id\":7,\"topic\":\"\\ud800\"}"), 7,
         "half of a surrogate"},
        {TEXT("{\"op\":\"sub\",\"id\":7,\"topic\":\"\\udc00\\ud800\"}"), 7,
         "half of a surrogate"},
        {TEXT("{\"op\":\"sub\",\"id\":7,\"topic\":\"\\ud800\\u0041\"}"), 7,
         "half of a surrogate"},
        {TEXT("{\"op\":\"sub\",\"id\":7,\"topic\":\"\\ud800\\n12345\"}"), 7,
         "half of a surrogate"},
        {TEXT(PUB "\"text\":\"\\ud83d\"}"), 7, "half of a surrogate"},

        {TEXT(PUB "\"qos\":0}"), 7, "none of data"},
        {TEXT(PUB "\"data\":1,\"text\":\"\"}"), 7, "more than one"},
        {TEXT(PUB "\"b64\":\"\",\"text\":\"\"}"), 7, "more than one"},
        {TEXT(PUB "\"b64\":\"\",\"text\":\"\",\"data\":1}"), 7,
         "more than one"},
        {TEXT(PUB "\"b64\":\"A\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AAA\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AA-_\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"A===\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AB==\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AAB=\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AA==AAAA\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AA=A\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AAA\\n\"}"), 7, "b64 is not base64"},
        {TEXT(PUB "\"b64\":\"AA A\"}"), 7, "b64 is not base64"},

        {TEXT(PUB "\"text\":\"\",\"qos\":3}"), 7, "qos is not"},
        {TEXT(PUB "\"text\":\"\",\"qos\":\"1\"}"), 7, "qos is not"},
        {TEXT(PUB "\"text\":\"\",\"qos\":true}"), 7, "qos is not"},
        {TEXT(PUB "\"text\":\"\",\"retain\":1}"), 7, "retain is not true"},
        {TEXT(PUB "\"text\":\"\",\"retain\":\"send\"}"), 7,
         "retain is not true"},
        {TEXT(PUB "\"text\":\"\",\"retain\":null}"), 7, "retain is not true"},
        {TEXT(SUB "\"retain\":true}"), 7, "retain is not send"},
        {TEXT(SUB "\"retain\":\"always\"}"), 7, "retain is not send"},
        {TEXT(SUB "\"every\":-1}"), 7, "every is not"},
        {TEXT(SUB "\"every\":0.5}"), 7, "every is not"},
        {TEXT(SUB "\"every\":3600001}"), 7, "every is not"},

        {TEXT(PUB "\"data\":[1,]}"), 7, "a value is missing"},
        {TEXT(PUB "\"data\":[1 2]}"), 7, "an array has no end"},
        {TEXT(PUB "\"data\":{\"a\":1,}}"), 7, "a string is missing"},
        {TEXT(PUB "\"data\":{1:1}}"), 7, "a string is missing"},
        {TEXT(PUB "\"data\":NaN}"), 7, "a value is missing"},
        {TEXT(PUB "\"data\":tru}"), 7, "an unknown word"},
        {TEXT(PUB "\"data\":truee}"), 7, "an object has no end"},
        {TEXT(PUB "\"data\":+1}"), 7, "a value is missing"},
        {TEXT(PUB "\"data\":.5}"), 7, "a value is missing"},
        {TEXT(PUB "\"data\":5.}"), 7, "a digit is missing"},
        {TEXT(PUB "\"data\":-}"), 7, "a digit is missing"},
        {TEXT(PUB "\"data\":1e}"), 7, "a digit is missing"},
        {TEXT(PUB "\"data\":0x1}"), 7, "an object has no end"},
        {TEXT(PUB "\"data\":[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]}"), 7,
         "too deep"},
        {TEXT(PUB "\"data\":[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]}"), 7,
         "too deep"},
        {TEXT("{\"op\":\"ping\",\"id\":7,\"x\":[[[[[[[[[[[[[[[[["), 7,
         "too deep"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct parsed p = parse(cases[i].in);

        print_message("%s\n", cases[i].in.p);
        assert_int_equal(p.rc, -1);
        assert_non_null(p.why);
        if (!strstr(p.why, cases[i].why))
            fail_msg("%s", p.why);
        assert_int_equal(p.e.has_id ? (int)p.e.id : NO_ID, cases[i].id);
        parsed_free(&p);
    }
}

/* Each key's value is read by its own function. */
static void test_values_missing(void **state)
{
    static const char *const keys[] = {"op",    "id",    "topic", "data",
                                       "text",  "b64",   "qos",   "retain",
                                       "every", "token", "other"};

    (void)state;
    for (size_t i = 0; i < LEN(keys); i++) {
        char message[40];
        int n = snprintf(message, sizeof(message), "{\"%s\":}", keys[i]);
        struct parsed p = parse((struct text){message, (size_t)n});

        assert_int_equal(p.rc, -1);
        assert_string_equal(p.why, "a value is missing");
        assert_false(p.e.has_id);
        parsed_free(&p);
        n = snprintf(message, sizeof(message), "{\"%s\":\"\n\"}", keys[i]);
        p = parse((struct text){message, (size_t)n});
        assert_int_equal(p.rc, -1);
        assert_string_equal(p.why, "a control character in a string");
        parsed_free(&p);
    }
}

/* As deep as a message is long. */
static void test_deep(void **state)
{
    enum { DEEP = 1000000 };
    char *p = malloc(DEEP);

    (void)state;
    memset(p, '[', DEEP);
    assert_false(json_valid(p, DEEP));
    for (size_t i = 0; i + 5 <= DEEP; i += 5)
        memcpy(p + i, "{\"\":[", 5);
    assert_false(json_valid(p, DEEP));
    free(p);
}

static void test_json_valid(void **state)
{
    static const struct {
        struct text in;
        bool want;
    } cases[] = {
        {TEXT("0"), true},
        {TEXT("true"), true},
        {TEXT("false"), true},
        {TEXT("null"), true},
        {TEXT("-0"), true},
        {TEXT("-1.5E-3"), true},
        {TEXT("10"), true},
        {TEXT(" [ ] "), true},
        {TEXT("{}"), true},
        {TEXT("{ \"a\" : [ true , false , null ] }"), true},
        {TEXT("\"\""), true},
        {TEXT("\"\\u12aF\\\"\""), true},
        {TEXT("\"12345678\\n12345678\x7f\xc3\xbc\""), true},
        {TEXT("\"\xe2\x80\xa8\""), true}, /* U+2028 */
        {TEXT("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"), true},

        {TEXT(""), false},
        {TEXT(" "), false},
        {TEXT("00"), false},
        {TEXT("-"), false},
        {TEXT("- 1"), false},
        {TEXT("1 2"), false},
        {TEXT("1,"), false},
        {TEXT("1."), false},
        {TEXT("1.e1"), false},
        {TEXT("1e+"), false},
        {TEXT("Infinity"), false},
        {TEXT("nul"), false},
        {TEXT("\""), false},
        {TEXT("\"\\\""), false},
        {TEXT("\"1234567\n\""), false},
        {TEXT("\"12345678\0\""), false},
        {TEXT("\"\xff\""), false},
        {TEXT("\"1234567\xc3\""), false},
        {TEXT("\v1"), false},
        {TEXT("\xc2\xa0"
              "1"),
         false},
        {TEXT("[1"), false},
        {TEXT("[1}"), false},
        {TEXT("{\"a\"}"), false},
        {TEXT("{\"a\":1]"), false},
        {TEXT("{\"a\":}"), false},
        {TEXT("[,1]"), false},
        {TEXT("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"), false},
        {TEXT("1\0"), false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        char *p = copy_of(cases[i].in.p, cases[i].in.n);

        print_message("%s\n", cases[i].in.p);
        assert_int_equal(json_valid(p, cases[i].in.n), cases[i].want);
        free(p);
    }
    assert_false(json_valid(NULL, 0));
}

/* ---- binary
 * ------------------------------------------------------------------ */

static void test_binary(void **state)
{
    static const struct {
        struct text in;
        struct envelope want;
    } cases[] = {
        {TEXT("\x02\x00\x00\x03\0\0\0\0a/bpayload"),
         {.op = OP_PUB, .topic = TEXT("a/b"), .payload = TEXT("payload")}},
        {TEXT("\x02\x0e\x00\x01\x7f\xff\xff\xff"
              "a"),
         {.op = OP_PUB,
          .has_id = true,
          .id = 2147483647,
          .topic = TEXT("a"),
          .qos = 2,
          .retain = true}},
        {TEXT("\x03\x19\x00\x01\0\0\0\x05"
              "#"),
         {.op = OP_SUB,
          .has_id = true,
          .id = 5,
          .topic = TEXT("#"),
          .qos = 1,
          .retained = RETAIN_NEW}},
        {TEXT("\x03\x20\x00\x01\0\0\0\0#\0\0\x01\x00"),
         {.op = OP_SUB,
          .topic = TEXT("#"),
          .retained = RETAIN_NONE,
          .every_ms = 256}},
        {TEXT("\x04\x08\x00\x01\0\0\0\0#"),
         {.op = OP_UNSUB, .has_id = true, .topic = TEXT("#")}},
        {TEXT("\x05\x00\x00\x00\0\0\0\0"), {.op = OP_PING}},
        {TEXT("\x05\x08\x00\x00\0\0\0\x09"),
         {.op = OP_PING, .has_id = true, .id = 9}},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        const struct envelope *want = &cases[i].want;
        uint8_t *message = copy_of(cases[i].in.p, cases[i].in.n);
        const char *why = "";
        struct envelope e;

        print_message("%zu\n", i);
        assert_int_equal(
            envelope_parse_binary(&e, message, cases[i].in.n, &why), 0);
        assert_null(why);
        assert_int_equal(e.op, want->op);
        assert_int_equal(e.has_id, want->has_id);
        assert_int_equal(e.id, want->id);
        assert_true(text_equal(e.topic, want->topic));
        assert_true(text_equal(e.payload, want->payload));
        assert_int_equal(e.qos, want->qos);
        assert_int_equal(e.retain, want->retain);
        assert_int_equal(e.retained, want->retained);
        assert_int_equal(e.every_ms, want->every_ms);
        free(message);
    }
}

static void test_binary_refused(void **state)
{
    static const struct {
        struct text in;
        int id;
        const char *why;
    } cases[] = {
        {TEXT(""), NO_ID, "shorter than its header"},
        {TEXT("\x02\x08\x00\x00\0\0\0"), NO_ID, "shorter than its header"},
        {TEXT("\x00\x08\x00\x01\0\0\0\x07"
              "a"),
         7, "an unknown type"},
        {TEXT("\x01\x08\x00\x01\0\0\0\x07"
              "a"),
         7, "an unknown type"},
        {TEXT("\x06\x08\x00\x00\0\0\0\x07"), 7, "an unknown type"},
        {TEXT("\xff\x08\x00\x00\0\0\0\x07"), 7, "an unknown type"},
        {TEXT("\x05\x08\x00\x00\x80\0\0\0"), NO_ID, "id is more"},
        {TEXT("\x05\x00\x00\x00\0\0\0\x07"), NO_ID, "an id without"},
        {TEXT("\x02\x0b\x00\x01\0\0\0\x07"
              "a"),
         7, "qos is not"},
        {TEXT("\x03\x38\x00\x01\0\0\0\x07"
              "a"),
         7, "retained handling is not"},
        {TEXT("\x02\x48\x00\x01\0\0\0\x07"
              "a"),
         7, "a flag that"},
        {TEXT("\x02\x18\x00\x01\0\0\0\x07"
              "a"),
         7, "a flag that"},
        {TEXT("\x03\x0c\x00\x01\0\0\0\x07"
              "a"),
         7, "a flag that"},
        {TEXT("\x04\x09\x00\x01\0\0\0\x07"
              "a"),
         7, "a flag that"},
        {TEXT("\x05\x88\x00\x00\0\0\0\x07"), 7, "a flag that"},
        {TEXT("\x02\x08\x00\x02\0\0\0\x07"
              "a"),
         7, "shorter than its topic"},
        {TEXT("\x02\x08\xff\xff\0\0\0\x07"
              "a"),
         7, "shorter than its topic"},
        {TEXT("\x02\x08\x00\x00\0\0\0\x07"
              "a"),
         7, "topic is missing"},
        {TEXT("\x05\x08\x00\x01\0\0\0\x07"
              "a"),
         7, "a topic too many"},
        {TEXT("\x02\x08\x00\x01\0\0\0\x07\xff"), 7, "the topic is not UTF-8"},
        {TEXT("\x03\x08\x00\x01\0\0\0\x07"
              "a\0\0\0"),
         7, "every is not four"},
        {TEXT("\x03\x08\x00\x01\0\0\0\x07"
              "a\0\x36\xee\x81"),
         7, "every is more"},
        {TEXT("\x04\x08\x00\x01\0\0\0\x07"
              "ab"),
         7, "bytes behind"},
        {TEXT("\x05\x08\x00\x00\0\0\0\x07"
              "a"),
         7, "bytes behind"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        uint8_t *message = copy_of(cases[i].in.p, cases[i].in.n);
        const char *why = NULL;
        struct envelope e;

        print_message("%zu: %s\n", i, cases[i].why);
        assert_int_equal(
            envelope_parse_binary(&e, message, cases[i].in.n, &why), -1);
        assert_non_null(why);
        assert_non_null(strstr(why, cases[i].why));
        assert_int_equal(e.has_id ? (int)e.id : NO_ID, cases[i].id);
        free(message);
    }
}

/* ---- to the client
 * ------------------------------------------------------------- */

/* The message of an envelope_msg, in memory of exactly its size. */
static char *msg(struct envelope_msg *m, size_t *n)
{
    char *out;

    *n = envelope_msg(m, NULL);
    out = malloc(*n);
    assert_int_equal(envelope_msg(m, out), *n);
    return out;
}

static void test_msg(void **state)
{
    static const struct {
        struct text topic, payload;
        enum envelope_form form;
        const char *want;
    } cases[] = {
        {TEXT("a/b"), TEXT("{\"t\": 1}"), FORM_AUTO, "\"data\":{\"t\": 1}}"},
        {TEXT("a"), TEXT(" 21.5\n"), FORM_AUTO, "\"data\": 21.5\n}"},
        {TEXT("a"), TEXT("21.5 C"), FORM_AUTO, "\"text\":\"21.5 C\"}"},
        {TEXT("a"), TEXT(""), FORM_AUTO, "\"text\":\"\"}"},
        {TEXT("a"), TEXT("\xff"), FORM_AUTO, "\"b64\":\"/w==\"}"},
        {TEXT("a"), TEXT("\"\xff\""), FORM_AUTO, "\"b64\":\"Iv8i\"}"},
        {TEXT("a"), TEXT("1"), FORM_JSON, "\"data\":1}"},
        {TEXT("a"), TEXT("x"), FORM_JSON, "\"b64\":\"eA==\"}"},
        {TEXT("a"), TEXT(""), FORM_JSON, "\"b64\":\"\"}"},
        {TEXT("a"), TEXT("1"), FORM_TEXT, "\"text\":\"1\"}"},
        {TEXT("a"), TEXT("\x80"), FORM_TEXT, "\"b64\":\"gA==\"}"},
        {TEXT("a"), TEXT("1"), FORM_B64, "\"b64\":\"MQ==\"}"},
        {TEXT("a"), TEXT("12"), FORM_B64, "\"b64\":\"MTI=\"}"},
        {TEXT("a"), TEXT("123"), FORM_B64, "\"b64\":\"MTIz\"}"},
        {TEXT("a"), TEXT("\xfb\xff\xbf>>>"), FORM_B64, "\"b64\":\"+/+/Pj4+\"}"},
        {TEXT("a"), TEXT("\"\\/\b\f\n\r\t\0\x1f\x7f\xc3\xbc"), FORM_TEXT,
         "\"text\":\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0000\\u001f\x7f\xc3\xbc"
         "\"}"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct envelope_msg m = {.topic = cases[i].topic,
                                 .payload = cases[i].payload,
                                 .form = cases[i].form};
        char want[200];
        size_t n;
        char *got = msg(&m, &n);

        print_message("%.*s\n", (int)n, got);
        snprintf(want, sizeof(want),
                 "{\"op\":\"msg\",\"topic\":\"%s\","
                 "\"qos\":0,%s",
                 cases[i].topic.p, cases[i].want);
        assert_slice(((struct text){got, n}), want);
        assert_true(json_valid(got, n));
        free(got);
    }
}

static void test_msg_parts(void **state)
{
    struct envelope_msg m = {
        .topic = T("a\"b\\"), .payload = T("x"), .qos = 2, .retained = true};
    size_t n;
    char *got = msg(&m, &n);

    (void)state;
    assert_slice(((struct text){got, n}),
                 "{\"op\":\"msg\",\"topic\":\"a\\\"b\\\\\",\"qos\":2,"
                 "\"retained\":true,\"text\":\"x\"}");
    assert_int_equal(m.key, 't');
    free(got);

    uint8_t bin[12];
    m.topic = T("a/b");
    assert_int_equal(envelope_msg_binary(&m, NULL), sizeof(bin));
    assert_int_equal(envelope_msg_binary(&m, bin), sizeof(bin));
    assert_memory_equal(bin, "\x01\x06\0\x03\0\0\0\0a/bx", sizeof(bin));
    m = (struct envelope_msg){.topic = T("a")};
    assert_int_equal(envelope_msg_binary(&m, bin), 9);
    assert_memory_equal(bin, "\x01\0\0\x01\0\0\0\0a", 9);
}

/* What went in as data, text or b64 comes out of a msg's payload again. */
static void test_round_trip(void **state)
{
    struct rng r = rng_of(5);

    (void)state;
    for (int turn = 0; turn < 20000; turn++) {
        uint8_t payload[48];
        struct text in = {(char *)payload, rng_below(&r, sizeof(payload) + 1)};
        struct envelope_msg m = {.topic = T("a/b"),
                                 .payload = in,
                                 .form = (enum envelope_form)(turn % 4)};
        size_t mask = turn % 3 ? 0x7f : 0xff, n;

        for (size_t i = 0; i < in.n; i++)
            payload[i] = (uint8_t)(rng_next(&r) & mask);
        char *got = msg(&m, &n);
        assert_true(json_valid(got, n));

        /* {"op":"msg","topic":"a/b","qos":0,...  is nearly a pub. */
        memcpy(got + 7, "pub", 3);
        struct parsed p = parse((struct text){got, n});
        if (p.rc != 0)
            fail_msg("%s: %.*s", p.why, (int)n, got);
        if (m.key != 'd')
            assert_true(text_equal(p.e.payload, in));
        parsed_free(&p);
        free(got);
    }
}

static void test_base64(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 100; n++) {
        uint8_t in[100];
        char *coded = malloc(base64_size(n) + 1);
        size_t back;

        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)(251 * (i + n));
        base64_encode(coded, in, n);
        assert_int_equal(base64_size(n), (n + 2) / 3 * 4);
        assert_true(base64_decode(coded, base64_size(n), coded, &back));
        assert_int_equal(back, n);
        assert_memory_equal(coded, in, n);
        free(coded);
    }
}

/* An answer in a buffer of exactly its size, or one too small. */
#define assert_answer(call, want)                                              \
    do {                                                                       \
        size_t cap = sizeof(want) - 1;                                         \
        char *out = malloc(cap);                                               \
        assert_int_equal(call, cap);                                           \
        assert_memory_equal(out, want, cap);                                   \
        free(out);                                                             \
        cap--;                                                                 \
        out = malloc(cap);                                                     \
        assert_int_equal(call, cap + 1);                                       \
        free(out);                                                             \
    } while (0)

static void test_answers(void **state)
{
    (void)state;
    assert_answer(envelope_hello(out, cap, "s\"1", 65536),
                  "{\"op\":\"hello\",\"session\":\"s\\\"1\",\"max\":65536}");
    assert_answer(envelope_ack(out, cap, 0, -1), "{\"op\":\"ack\",\"id\":0}");
    assert_answer(envelope_ack(out, cap, 1, 0),
                  "{\"op\":\"ack\",\"id\":1,\"qos\":0}");
    assert_answer(envelope_ack(out, cap, 2147483647, 2),
                  "{\"op\":\"ack\",\"id\":2147483647,\"qos\":2}");
    assert_answer(envelope_pong(out, cap, false, 5), "{\"op\":\"pong\"}");
    assert_answer(envelope_pong(out, cap, true, 5),
                  "{\"op\":\"pong\",\"id\":5}");
    assert_answer(envelope_err(out, cap, true, 3, ERR_FORBIDDEN, "no\n"),
                  "{\"op\":\"err\",\"id\":3,\"code\":\"forbidden\","
                  "\"msg\":\"no\\n\"}");
    assert_answer(envelope_err(out, cap, false, 3, ERR_RATE, NULL),
                  "{\"op\":\"err\",\"code\":\"rate\"}");
    assert_answer(envelope_lost(out, cap, T("a/+"), UINT64_MAX),
                  "{\"op\":\"lost\",\"topic\":\"a/+\","
                  "\"dropped\":18446744073709551615}");
    assert_answer(envelope_state(out, cap, true),
                  "{\"op\":\"state\",\"up\":true}");
    assert_answer(envelope_state(out, cap, false),
                  "{\"op\":\"state\",\"up\":false}");
}

static void test_error_names(void **state)
{
    static const char *const names[] = {
        "bad_request", "forbidden",   "bad_topic", "too_large",
        "rate",        "unavailable", "internal"};

    (void)state;
    assert_int_equal(LEN(names), ERR_COUNT);
    for (int i = 0; i < ERR_COUNT; i++)
        assert_string_equal(envelope_error_name((enum envelope_error)i),
                            names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_values_missing),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_json_valid),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_binary_refused),
        cmocka_unit_test(test_msg),
        cmocka_unit_test(test_msg_parts),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_error_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
