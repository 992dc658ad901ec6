/* SPDX-License-Identifier: Apache-2.0 */
/* ws_handshake.c - the server's half of RFC 6455, section 4. */
#include "ws_handshake.h"

#include <openssl/evp.h>

enum { KEY_LEN = 24, SHA1_LEN = 20 }; /* base64 of 16 bytes; a digest */

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static bool begins_with(struct slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.n >= n && slice_ieq((struct slice){s.p, n}, slice_of(prefix));
}

bool ws_handshake_wanted(const struct http_head *h)
{
    for (size_t i = 0; i < h->n_fields; i++)
        if (slice_ieq(h->fields[i].name, slice_of("upgrade")) ||
            begins_with(h->fields[i].name, "sec-websocket-"))
            return true;
    return false;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Base64 of 16 bytes in its one canonical form: 21 characters, one whose four
 * low bits are zero, and the padding. */
static bool key_ok(struct slice key)
{
    if (key.n != KEY_LEN || memcmp(key.p + 22, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < 21; i++)
        if (!is_base64(key.p[i]))
            return false;
    return key.p[21] == 'A' || key.p[21] == 'Q' || key.p[21] == 'g' ||
           key.p[21] == 'w';
}

static bool same(struct slice a, struct slice b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* Section 4.1, item 10: tokens, all of them different. */
static const char *add_token(struct ws_offer *offer, struct slice token)
{
    if (!http_is_token(token))
        return "Sec-WebSocket-Protocol is malformed";
    for (size_t i = 0; i < offer->n_tokens; i++)
        if (same(offer->tokens[i], token))
            return "Sec-WebSocket-Protocol names a subprotocol twice";
    if (offer->n_tokens == WS_TOKENS_MAX)
        return "Sec-WebSocket-Protocol names too many subprotocols";
    offer->tokens[offer->n_tokens++] = token;
    return NULL;
}

static const char *read_tokens(const struct http_head *h,
                               struct ws_offer *offer)
{
    const char *why = NULL;

    for (size_t i = 0; i < h->n_fields; i++) {
        struct slice list = h->fields[i].value, token;
        if (!slice_ieq(h->fields[i].name, slice_of("sec-websocket-protocol")))
            continue;
        while (!why && http_list_next(&list, &token))
            why = add_token(offer, token);
    }
    return why;
}

static int refuse(const char **why, int status, const char *sentence)
{
    *why = sentence;
    return status;
}

int ws_handshake_check(const struct http_head *h, struct ws_offer *offer,
                       const char **why)
{
    *offer = (struct ws_offer){0};
    *why = NULL;
    if (!slice_is(h->method, "GET"))
        return refuse(why, 405, "a WebSocket handshake is a GET request");
    if (h->minor < 1)
        return refuse(why, 400, "a WebSocket handshake is HTTP/1.1");
    if (!http_head_has_token(h, "upgrade", "websocket"))
        return refuse(why, 426, "Upgrade does not name websocket");
    if (!http_head_has_token(h, "connection", "upgrade"))
        return refuse(why, 400, "Connection does not name Upgrade");

    size_t versions = http_head_count(h, "sec-websocket-version");
    if (versions > 1)
        return refuse(why, 400, "Sec-WebSocket-Version appears twice");
    if (versions == 0 ||
        !slice_is(http_head_get(h, "sec-websocket-version"), "13"))
        return refuse(why, 426, "Sec-WebSocket-Version is not 13");

    offer->key = http_head_get(h, "sec-websocket-key");
    if (http_head_count(h, "sec-websocket-key") != 1 || !key_ok(offer->key))
        return refuse(why, 400, "Sec-WebSocket-Key is not 16 bytes in base64");

    offer->origin = http_head_get(h, "origin");
    *why = read_tokens(h, offer);
    return *why ? 400 : 101;
}

void ws_accept_key(struct slice key, char out[WS_ACCEPT_LEN + 1])
{
    unsigned char text[KEY_LEN + sizeof(GUID) - 1];
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t n = min_size(key.n, KEY_LEN);

    memcpy(text, key.p, n);
    memcpy(text + n, GUID, sizeof(GUID) - 1);
    out[0] = '\0';
    if (EVP_Digest(text, n + sizeof(GUID) - 1, digest, NULL, EVP_sha1(), NULL))
        EVP_EncodeBlock((unsigned char *)out, digest, SHA1_LEN);
}

bool ws_handshake_possible(void)
{
    char out[WS_ACCEPT_LEN + 1]; /* of the example in section 1.3 */

    ws_accept_key(slice_of("dGhlIHNhbXBsZSBub25jZQ=="), out);
    return strcmp(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0;
}

bool ws_token_is_credential(struct slice token)
{
    return begins_with(token, "bearer.") ||
           begins_with(token, "base64url.bearer.");
}

static bool is_allowed(struct slice token, const char *const *allowed, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_is(token, allowed[i]))
            return true;
    return n == 0;
}

int ws_choose_subprotocol(const struct ws_offer *offer,
                          const char *const *allowed, size_t n)
{
    for (size_t i = 0; i < offer->n_tokens; i++)
        if (!ws_token_is_credential(offer->tokens[i]) &&
            is_allowed(offer->tokens[i], allowed, n))
            return (int)i;
    return n > 0 && offer->n_tokens > 0 ? -2 : -1;
}

/* What is written so far; once there is no room, nothing more. */
struct writer {
    char *p;
    size_t n, cap;
    bool full;
};

static void put(struct writer *w, struct slice s)
{
    w->full = w->full || s.n > w->cap - w->n;
    if (w->full || s.n == 0)
        return;
    memcpy(w->p + w->n, s.p, s.n);
    w->n += s.n;
}

static void put_field(struct writer *w, const char *name, struct slice value)
{
    put(w, slice_of(name));
    put(w, slice_of(": "));
    put(w, value);
    put(w, slice_of("\r\n"));
}

size_t ws_handshake_answer(char *out, size_t cap, struct slice key,
                           struct slice subprotocol, const char *extra)
{
    struct writer w = {.p = out, .cap = cap};
    char accept[WS_ACCEPT_LEN + 1];

    ws_accept_key(key, accept);
    if (accept[0] == '\0')
        return 0;
    put(&w, slice_of("HTTP/1.1 101 Switching Protocols\r\n"));
    put_field(&w, "Upgrade", slice_of("websocket"));
    put_field(&w, "Connection", slice_of("Upgrade"));
    put_field(&w, "Sec-WebSocket-Accept", slice_of(accept));
    if (subprotocol.n > 0)
        put_field(&w, "Sec-WebSocket-Protocol", subprotocol);
    put(&w, slice_of(extra));
    put(&w, slice_of("\r\n"));
    return w.full ? 0 : w.n;
}
