/* SPDX-License-Identifier: Apache-2.0 */
/* tls_ticket.h - the keys of a server's session tickets, RFC 5077 section 4.
 *
 * OpenSSL would keep one key for the life of the process: who gets at it could
 * read every TLS 1.2 session of months. Here a key makes tickets for 12 hours,
 * opens them for 12 more, and is of no
 * use then. Belongs to tls.c. */
#ifndef GW_TLS_TICKET_H
#define GW_TLS_TICKET_H

#include "../base/base.h"

#include <openssl/evp.h>

enum { TICKET_KEY_S = 12 * 60 * 60 };

struct ticket_keys; /* shared by all workers */

/* NULL: out of memory or of randomness. */
struct ticket_keys *ticket_keys_new(void);
void ticket_keys_free(struct ticket_keys *k);

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb asks for: set up `cipher` and
 * `mac` to make a ticket, writing the key's name and an initialisation vector,
 * or to open the one with this name. `now` is in seconds of any clock that
 * never goes back. Returns 1; 2: opened, but make a new one; 0: no such key
 * (any more), which means a full handshake; -1: failed. */
int ticket_keys_use(struct ticket_keys *k, int64_t now, uint8_t name[16],
                    uint8_t iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, bool make);

#endif
