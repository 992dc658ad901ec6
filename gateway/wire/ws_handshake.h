/* SPDX-License-Identifier: Apache-2.0 */
/* ws_handshake.h - the opening handshake, server side: RFC 6455 section 4.2. */
#ifndef GW_WS_HANDSHAKE_H
#define GW_WS_HANDSHAKE_H

#include "http_head.h"

enum { WS_ACCEPT_LEN = 28, WS_TOKENS_MAX = 16 };

/* Whether the head asks for anything but a plain resource: it has an Upgrade
 * field, or a Sec-WebSocket-* one. */
bool ws_handshake_wanted(const struct http_head *h);

struct ws_offer {
    struct slice key;                   /* Sec-WebSocket-Key, 24 characters */
    struct slice origin;                /* n == 0 if absent */
    struct slice tokens[WS_TOKENS_MAX]; /* offered subprotocols, in order */
    size_t n_tokens;
};

/* Check every point of section 4.2.1. Returns 101, or the status to refuse
 * with (400, 405, 426) and *why, a static sentence for log and body. */
int ws_handshake_check(const struct http_head *h, struct ws_offer *offer,
                       const char **why);

/* Section 4.2.2, item 5.4: the Sec-WebSocket-Accept value, NUL-terminated; ""
 * when out of memory. */
void ws_accept_key(struct slice key, char out[WS_ACCEPT_LEN + 1]);

/* Whether there is SHA-1, without which no handshake can be answered: an
 * OpenSSL may be configured to provide none. */
bool ws_handshake_possible(void);

/* Choose the subprotocol to answer. `allowed` lists the route's (n == 0: any).
 * Tokens are case-sensitive and tried in the client's order. A token that is
 * a credential ("bearer.", "base64url.bearer." prefixes in any case; see
 * ws_token_is_credential) is never chosen.
 * Returns the index of the offered token, -1 to answer none, or -2 if the
 * route's list has no match: 400. A route with a list accepts a client that
 * offers nothing at all (-1). */
int ws_choose_subprotocol(const struct ws_offer *offer,
                          const char *const *allowed, size_t n);

bool ws_token_is_credential(struct slice token);

/* Write the 101 head to out[0..cap). `subprotocol` may be empty; `extra` is
 * further complete field lines, each with CRLF, or "". Returns its size, or 0
 * if there is no room or no memory. Not NUL-terminated. */
size_t ws_handshake_answer(char *out, size_t cap, struct slice key,
                           struct slice subprotocol, const char *extra);

#endif
