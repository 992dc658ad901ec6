/* SPDX-License-Identifier: Apache-2.0 */
/* The opening handshake: each point of RFC 6455 section 4.2.1 alone. */
#include "unit.h"

#include "../../gateway/wire/ws_handshake.h"

#define GET      "GET /chat HTTP/1.1\r\n"
#define HOST     "Host: example.com\r\n"
#define UPGRADE  "Upgrade: websocket\r\n"
#define CONN     "Connection: Upgrade\r\n"
#define KEY_TEXT "dGhlIHNhbXBsZSBub25jZQ=="
#define KEY      "Sec-WebSocket-Key: " KEY_TEXT "\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: "
#define SOUND    GET HOST UPGRADE CONN KEY VERSION

static void parse(struct http_head *h, const char *text)
{
    static const struct http_limits limits = {8192, 4096, 64};
    size_t scanned = 0;

    assert_int_equal(http_head_parse(h, text, strlen(text), &scanned, &limits),
                     strlen(text));
}

static const struct {
    const char *name, *text;
    int want;
    const char *tokens; /* if 101: what is offered, each with ';' */
} cases[] = {
    {"sound", SOUND "\r\n", 101, ""},
    {"names and values in another case",
     GET HOST "uPGRADE: WebSocket\r\nconnection: UPGRADE\r\n"
              "sec-websocket-key: " KEY_TEXT "\r\n"
              "SEC-WEBSOCKET-VERSION: 13\r\n\r\n",
     101, ""},
    {"lists",
     GET HOST KEY VERSION "Upgrade: h2c, websocket\r\n"
                          "Connection: keep-alive\r\n"
                          "Connection: x ,Upgrade\r\n\r\n",
     101, ""},
    {"extensions are ignored",
     SOUND "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101, ""},
    {"key of all ones",
     GET HOST UPGRADE CONN VERSION
     "Sec-WebSocket-Key: /////////////////////w==\r\n\r\n",
     101, ""},

    {"HEAD", "HEAD / HTTP/1.1\r\n" HOST UPGRADE CONN KEY VERSION "\r\n", 405,
     NULL},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n" HOST UPGRADE CONN KEY VERSION "\r\n", 400,
     NULL},
    {"no Upgrade", GET HOST CONN KEY VERSION "\r\n", 426, NULL},
    {"Upgrade to another", GET HOST CONN KEY VERSION "Upgrade: h2c\r\n\r\n",
     426, NULL},
    {"Upgrade, almost", GET HOST CONN KEY VERSION "Upgrade: websockets\r\n\r\n",
     426, NULL},
    {"no Connection", GET HOST UPGRADE KEY VERSION "\r\n", 400, NULL},
    {"Connection without it",
     GET HOST UPGRADE KEY VERSION "Connection: keep-alive\r\n\r\n", 400, NULL},
    {"Connection, almost",
     GET HOST UPGRADE KEY VERSION "Connection: not-upgrade\r\n\r\n", 400, NULL},

    {"no version", GET HOST UPGRADE CONN KEY "\r\n", 426, NULL},
    {"version 8", GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 8\r\n\r\n",
     426, NULL},
    {"version 013",
     GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 013\r\n\r\n", 426, NULL},
    {"versions in a list",
     GET HOST UPGRADE CONN KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n", 426,
     NULL},
    {"version twice", SOUND VERSION "\r\n", 400, NULL},

    {"no key", GET HOST UPGRADE CONN VERSION "\r\n", 400, NULL},
    {"key twice", SOUND KEY "\r\n", 400, NULL},
    {"key empty", GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key:\r\n\r\n",
     400, NULL},
    {"key of 15 bytes",
     GET HOST UPGRADE CONN VERSION
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n\r\n",
     400, NULL},
    {"key of 17 bytes",
     GET HOST UPGRADE CONN VERSION
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
     400, NULL},
    {"key one longer",
     GET HOST UPGRADE CONN VERSION "Sec-WebSocket-Key: " KEY_TEXT "=\r\n\r\n",
     400, NULL},
    {"key not canonical",
     GET HOST UPGRADE CONN VERSION
     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n",
     400, NULL},
    {"key in base64url",
     GET HOST UPGRADE CONN VERSION
     "Sec-WebSocket-Key: _GhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
     400, NULL},
    {"key with a blank",
     GET HOST UPGRADE CONN VERSION
     "Sec-WebSocket-Key: dGhl HNhbXBsZSBub25jZQ==\r\n\r\n",
     400, NULL},

    {"subprotocols", SOUND PROTOCOL "mqtt , binary,v1.stomp\r\n\r\n", 101,
     "mqtt;binary;v1.stomp;"},
    {"subprotocols on two lines",
     SOUND PROTOCOL "a\r\n" PROTOCOL "B,,b\r\n\r\n", 101, "a;B;b;"},
    {"subprotocols, none", SOUND PROTOCOL "\r\n\r\n", 101, ""},
    {"subprotocols, most",
     SOUND PROTOCOL "1,2,3,4,5,6,7,8\r\n" PROTOCOL "9,a,b,c,d,e,f,g\r\n\r\n",
     101, "1;2;3;4;5;6;7;8;9;a;b;c;d;e;f;g;"},
    {"subprotocols, too many",
     SOUND PROTOCOL "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h\r\n\r\n", 400, NULL},
    {"subprotocol twice", SOUND PROTOCOL "a, b, a\r\n\r\n", 400, NULL},
    {"subprotocol twice on two lines",
     SOUND PROTOCOL "a\r\n" PROTOCOL "a\r\n\r\n", 400, NULL},
    {"subprotocol first",
     GET PROTOCOL "a\r\n" HOST UPGRADE CONN KEY VERSION "\r\n", 101, "a;"},
    {"subprotocol with a blank", SOUND PROTOCOL "a b\r\n\r\n", 400, NULL},
    {"subprotocol with a slash", SOUND PROTOCOL "a/b\r\n\r\n", 400, NULL},
    {"subprotocol in quotes", SOUND PROTOCOL "\"a\"\r\n\r\n", 400, NULL},
    {"subprotocol not ASCII", SOUND PROTOCOL "\xc3\xa9\r\n\r\n", 400, NULL},
};

static void judges_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct http_head h;
        struct ws_offer offer;
        const char *why;
        char tokens[100] = "";

        print_message("%s\n", cases[i].name);
        parse(&h, cases[i].text);
        assert_int_equal(ws_handshake_check(&h, &offer, &why), cases[i].want);
        assert_int_equal(why == NULL, cases[i].want == 101);
        assert_true(ws_handshake_wanted(&h));
        if (cases[i].want != 101)
            continue;
        assert_int_equal(offer.key.n, 24);
        for (size_t k = 0; k < offer.n_tokens; k++) {
            strncat(tokens, offer.tokens[k].p, offer.tokens[k].n);
            strncat(tokens, ";", 2);
        }
        assert_string_equal(tokens, cases[i].tokens);
    }
}

/* Every byte at every place of the key; the 22nd character has two bits. */
static void knows_keys(void **state)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789+/";
    struct http_head h;
    (void)state;

    parse(&h, SOUND "\r\n");
    for (size_t at = 0; at < 24; at++)
        for (int c = 1; c < 256; c++) {
            char key[] = KEY_TEXT;
            struct ws_offer offer;
            const char *why;
            bool good = at < 21    ? strchr(alphabet, c) != NULL
                        : at == 21 ? strchr("AQgw", c) != NULL
                                   : c == '=';
            key[at] = (char)c;
            for (size_t i = 0; i < h.n_fields; i++)
                if (slice_is(h.fields[i].name, "Sec-WebSocket-Key"))
                    h.fields[i].value = slice_of(key);
            assert_int_equal(ws_handshake_check(&h, &offer, &why),
                             good ? 101 : 400);
        }
}

static void remembers_the_origin(void **state)
{
    struct http_head h;
    struct ws_offer offer;
    const char *why;
    (void)state;

    parse(&h, SOUND "\r\n");
    assert_int_equal(ws_handshake_check(&h, &offer, &why), 101);
    assert_int_equal(offer.origin.n, 0);
    parse(&h, SOUND "Origin: https://a.example\r\n\r\n");
    assert_int_equal(ws_handshake_check(&h, &offer, &why), 101);
    assert_slice(offer.origin, "https://a.example");
}

static void knows_a_plain_request(void **state)
{
    struct http_head h;
    (void)state;

    parse(&h, GET HOST "Connection: Upgrade\r\nSec-WebSock: a\r\n\r\n");
    assert_false(ws_handshake_wanted(&h));
    parse(&h, GET HOST "uPGRADE: h2c\r\n\r\n");
    assert_true(ws_handshake_wanted(&h));
    parse(&h, GET "Upgrade: h2c\r\n" HOST "\r\n");
    assert_true(ws_handshake_wanted(&h));
    parse(&h, GET HOST "sec-WebSocket-anything: a\r\n\r\n");
    assert_true(ws_handshake_wanted(&h));
}

/* The example of section 1.3, and one more made by hand with openssl(1). */
static void makes_accept_keys(void **state)
{
    char out[WS_ACCEPT_LEN + 1];
    (void)state;

    assert_true(ws_handshake_possible());
    ws_accept_key(slice_of(KEY_TEXT), out);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ws_accept_key(slice_of("x3JJHMbDL1EzLkh9GBhXDw=="), out);
    assert_string_equal(out, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

static struct ws_offer offer_of(const char *const *tokens, size_t n)
{
    struct ws_offer offer = {.n_tokens = n};

    for (size_t i = 0; i < n; i++)
        offer.tokens[i] = slice_of(tokens[i]);
    return offer;
}

static void chooses_a_subprotocol(void **state)
{
    static const struct {
        const char *name;
        const char *offered[3], *allowed[3];
        int want;
    } choices[] = {
        {"nothing, no list", {0}, {0}, -1},
        {"nothing, list", {0}, {"a"}, -1},
        {"first, no list", {"a", "b"}, {0}, 0},
        {"client's order", {"b", "a"}, {"a", "b"}, 0},
        {"second", {"c", "a"}, {"b", "a"}, 1},
        {"no match", {"c"}, {"a"}, -2},
        {"case matters", {"MQTT"}, {"mqtt"}, -2},
        {"prefix is no match", {"mqtt"}, {"mqttv3.1"}, -2},
        {"longer is no match", {"mqttv3.1"}, {"mqtt"}, -2},
        {"credential first", {"bearer.x", "a"}, {0}, 1},
        {"credential alone", {"bearer.x"}, {0}, -1},
        {"credential alone, list", {"bearer.x"}, {"a"}, -2},
        {"credential that is on the list", {"bearer.x"}, {"bearer.x"}, -2},
        {"credential between", {"c", "base64url.bearer.x", "a"}, {"a"}, 2},
    };
    (void)state;

    for (size_t i = 0; i < LEN(choices); i++) {
        size_t offered = 0, allowed = 0;
        while (offered < 3 && choices[i].offered[offered])
            offered++;
        while (allowed < 3 && choices[i].allowed[allowed])
            allowed++;
        struct ws_offer offer = offer_of(choices[i].offered, offered);
        print_message("%s\n", choices[i].name);
        assert_int_equal(
            ws_choose_subprotocol(&offer, choices[i].allowed, allowed),
            choices[i].want);
    }
}

static void knows_credentials(void **state)
{
    (void)state;
    assert_true(ws_token_is_credential(SLICE("bearer.abc")));
    assert_true(ws_token_is_credential(SLICE("bearer.")));
    assert_true(ws_token_is_credential(SLICE("Bearer.abc")));
    assert_true(ws_token_is_credential(
        SLICE("base64url.bearer.authorization.k8s.io.YWJj")));
    assert_false(ws_token_is_credential(SLICE("bearer")));
    assert_false(ws_token_is_credential(SLICE("bearers.abc")));
    assert_false(ws_token_is_credential(SLICE("x.bearer.abc")));
    assert_false(ws_token_is_credential(SLICE("base64.binary")));
    assert_false(ws_token_is_credential(SLICE("")));
}

static void answers(void **state)
{
    static const char plain[] =
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        "\r\n";
    static const char full[] =
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n"
        "Server: x\r\n"
        "\r\n";
    struct slice key = slice_of(KEY_TEXT);
    char out[400];
    (void)state;

    size_t n =
        ws_handshake_answer(out, sizeof(out), key, (struct slice){0}, "");
    assert_slice(((struct slice){out, n}), plain);
    for (size_t cap = 0; cap < sizeof(full) + 8; cap++) {
        char *exact = copy_of(out, cap);
        n = ws_handshake_answer(exact, cap, key, SLICE("mqtt"),
                                "Server: x\r\n");
        assert_int_equal(n, cap < sizeof(full) - 1 ? 0 : sizeof(full) - 1);
        if (n > 0)
            assert_memory_equal(exact, full, n);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_the_table),
        cmocka_unit_test(knows_keys),
        cmocka_unit_test(remembers_the_origin),
        cmocka_unit_test(knows_a_plain_request),
        cmocka_unit_test(makes_accept_keys),
        cmocka_unit_test(chooses_a_subprotocol),
        cmocka_unit_test(knows_credentials),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
