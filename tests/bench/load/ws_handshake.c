/* SPDX-License-Identifier: Apache-2.0 */
/* ws_handshake.c - the request and what must be true of its answer. */
#include "ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>

enum { KEY_BYTES = 16, KEY_LEN = 24 };

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static void make_accept(const char *key, char accept[WS_ACCEPT_LEN + 1])
{
    char text[KEY_LEN + sizeof GUID];
    uint8_t digest[SHA_DIGEST_LENGTH];

    snprintf(text, sizeof text, "%s" GUID, key);
    SHA1((const uint8_t *)text, strlen(text), digest);
    EVP_EncodeBlock((uint8_t *)accept, digest, sizeof digest);
}

size_t ws_request_write(char *out, const struct ws_request *r,
                        struct ws_random *random,
                        char accept[WS_ACCEPT_LEN + 1])
{
    uint64_t noise[] = {ws_random_next(random), ws_random_next(random)};
    uint8_t bytes[KEY_BYTES], key[KEY_LEN + 1];
    size_t room = WS_REQUEST_MAX, n;

    memcpy(bytes, noise, sizeof bytes);
    EVP_EncodeBlock(key, bytes, sizeof bytes);
    make_accept((const char *)key, accept);
    n = (size_t)snprintf(out, room,
                         "GET %s HTTP/1.1\r\n"
                         "Host: %s\r\n"
                         "Connection: Upgrade\r\n"
                         "Upgrade: websocket\r\n"
                         "Sec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: %s\r\n",
                         r->path, r->host, (const char *)key);
    if (r->subprotocol && n < room)
        n += (size_t)snprintf(out + n, room - n,
                              "Sec-WebSocket-Protocol: %s\r\n", r->subprotocol);
    for (size_t i = 0; i < r->n_headers && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s\r\n", r->headers[i]);
    if (n < room)
        n += (size_t)snprintf(out + n, room - n, "\r\n");
    return n < room ? n : 0;
}

/* The value of a field, without the blanks around it. */
static struct slice field(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *value = line + n + 1;
        value += strspn(value, " \t");
        size_t len = strcspn(value, "\r");
        while (len > 0 && strchr(" \t", value[len - 1]))
            len--;
        return (struct slice){value, len};
    }
    return (struct slice){NULL, 0};
}

static bool field_is(struct slice f, const char *want)
{
    return f.p && f.n == strlen(want) && strncasecmp(f.p, want, f.n) == 0;
}

const char *ws_response_check(const char *head, const char *accept,
                              const char *subprotocol)
{
    struct slice chosen = field(head, "Sec-WebSocket-Protocol");

    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        return "the answer is not 101";
    if (!field_is(field(head, "Upgrade"), "websocket") ||
        !field_is(field(head, "Connection"), "upgrade"))
        return "the answer does not upgrade";
    if (!slice_is(field(head, "Sec-WebSocket-Accept"), accept))
        return "Sec-WebSocket-Accept is wrong";
    if (chosen.p && (!subprotocol || !slice_is(chosen, subprotocol)))
        return "a subprotocol that was not asked for";
    return NULL;
}
