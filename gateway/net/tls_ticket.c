/* SPDX-License-Identifier: Apache-2.0 */
/* tls_ticket.c - two keys, the one in use and the one before. They change when
 * somebody comes who needs one: an idle gateway needs none. */
#include "tls_ticket.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

/* RFC 5077 section 4, with the longer AES key. */
struct ticket_key {
    uint8_t name[16];
    uint8_t aes[32];
    uint8_t hmac[32];
    int64_t since; /* makes tickets; INT64_MIN: never did */
};

struct ticket_keys {
    pthread_mutex_t lock;
    struct ticket_key current, before;
};

static bool key_draw(struct ticket_key *k, int64_t now)
{
    k->since = now;
    return RAND_bytes(k->name, sizeof(k->name)) == 1 &&
           RAND_priv_bytes(k->aes, sizeof(k->aes)) == 1 &&
           RAND_priv_bytes(k->hmac, sizeof(k->hmac)) == 1;
}

struct ticket_keys *ticket_keys_new(void)
{
    struct ticket_keys *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->current.since = k->before.since = INT64_MIN;
    if (pthread_mutex_init(&k->lock, NULL) == 0)
        return k;
    free(k);
    return NULL;
}

void ticket_keys_free(struct ticket_keys *k)
{
    if (!k)
        return;
    pthread_mutex_destroy(&k->lock);
    OPENSSL_cleanse(k, sizeof(*k));
    free(k);
}

/* Whether the key may make tickets, or if `opens`, open them. */
static bool key_serves(const struct ticket_key *k, int64_t now, bool opens)
{
    return k->since != INT64_MIN &&
           now < k->since + (opens ? 2 : 1) * (int64_t)TICKET_KEY_S;
}

/* Under the lock. */
static bool keys_renew(struct ticket_keys *k, int64_t now)
{
    struct ticket_key fresh;

    if (key_serves(&k->current, now, false))
        return true;
    if (!key_draw(&fresh, now))
        return false;
    k->before = k->current;
    k->current = fresh;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
    return true;
}

/* Copy the key for the task. The result is that of ticket_keys_use. */
static int key_find(struct ticket_keys *k, int64_t now, const uint8_t name[16],
                    bool make, struct ticket_key *out)
{
    int result;

    pthread_mutex_lock(&k->lock);
    if (!keys_renew(k, now))
        result = -1;
    else if (make || memcmp(name, k->current.name, 16) == 0)
        result = 1;
    else if (key_serves(&k->before, now, true) &&
             memcmp(name, k->before.name, 16) == 0)
        result = 2;
    else
        result = 0;
    if (result > 0)
        *out = result == 1 ? k->current : k->before;
    pthread_mutex_unlock(&k->lock);
    return result;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac,
                                          sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

int ticket_keys_use(struct ticket_keys *k, int64_t now, uint8_t name[16],
                    uint8_t iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, bool make)
{
    struct ticket_key key;
    int result = key_find(k, now, name, make, &key);

    if (result <= 0)
        return result;
    if (make) {
        memcpy(name, key.name, sizeof(key.name));
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            result = -1;
    }
    if (result > 0 && (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL,
                                         key.aes, iv, make) != 1 ||
                       !set_mac(mac, &key)))
        result = -1;
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}
