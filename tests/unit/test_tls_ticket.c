/* SPDX-License-Identifier: Apache-2.0 */
/* How long a ticket can be opened, and by whom. */
#include "unit.h"

#include <openssl/evp.h>

#include "../../gateway/net/tls_ticket.h"

enum { HOUR = 3600 };

struct ticket {
    uint8_t name[16], iv[EVP_MAX_IV_LENGTH];
    uint8_t sealed[64], mac[32];
    int n;
};

static const uint8_t secret[] = "what a session is made of";

struct tools {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
};

static struct tools tools_new(void)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    struct tools t = {EVP_CIPHER_CTX_new(), EVP_MAC_CTX_new(hmac)};

    EVP_MAC_free(hmac);
    assert_true(t.cipher && t.mac);
    return t;
}

static void tools_free(struct tools t)
{
    EVP_CIPHER_CTX_free(t.cipher);
    EVP_MAC_CTX_free(t.mac);
}

static void mac_of(struct tools t, const struct ticket *k, uint8_t out[32])
{
    size_t n;

    assert_int_equal(EVP_MAC_init(t.mac, NULL, 0, NULL), 1);
    assert_int_equal(EVP_MAC_update(t.mac, k->sealed, (size_t)k->n), 1);
    assert_int_equal(EVP_MAC_final(t.mac, out, &n, 32), 1);
    assert_int_equal(n, 32);
}

static struct ticket make(struct ticket_keys *k, int64_t now)
{
    struct tools t = tools_new();
    struct ticket out = {0};
    int more;

    assert_int_equal(
        ticket_keys_use(k, now, out.name, out.iv, t.cipher, t.mac, true), 1);
    assert_int_equal(
        EVP_EncryptUpdate(t.cipher, out.sealed, &out.n, secret, sizeof(secret)),
        1);
    assert_int_equal(EVP_EncryptFinal_ex(t.cipher, out.sealed + out.n, &more),
                     1);
    out.n += more;
    mac_of(t, &out, out.mac);
    tools_free(t);
    return out;
}

/* The result; if it is positive, the ticket must be intact. */
static int open_it(struct ticket_keys *k, int64_t now, struct ticket ticket)
{
    struct tools t = tools_new();
    uint8_t plain[96], mac[32];
    int n, more;
    int result =
        ticket_keys_use(k, now, ticket.name, ticket.iv, t.cipher, t.mac, false);

    if (result > 0) {
        mac_of(t, &ticket, mac);
        assert_memory_equal(mac, ticket.mac, sizeof(mac));
        assert_int_equal(
            EVP_DecryptUpdate(t.cipher, plain, &n, ticket.sealed, ticket.n), 1);
        assert_int_equal(EVP_DecryptFinal_ex(t.cipher, plain + n, &more), 1);
        assert_int_equal(n + more, sizeof(secret));
        assert_memory_equal(plain, secret, sizeof(secret));
    }
    tools_free(t);
    return result;
}

/* Made at `made`, the key having come into use at 0; opened at `opened`, after
 * somebody made another ticket at `between` (or -1). */
static const struct {
    int64_t made, between, opened;
    int want;
} cases[] = {
    {0, -1, 0, 1},
    {0, -1, 12 * HOUR - 1, 1},
    {11 * HOUR, -1, 12 * HOUR, 2},
    {11 * HOUR, 13 * HOUR, 24 * HOUR - 1, 2},
    {11 * HOUR, 13 * HOUR, 24 * HOUR, 0},
    {11 * HOUR, -1, 24 * HOUR, 0}, /* nobody came in between */
    {13 * HOUR, -1, 14 * HOUR, 1}, /* the second key */
    {13 * HOUR, -1, 26 * HOUR, 2},
    {0, 30 * HOUR, 31 * HOUR, 0},
};

static void lifetimes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct ticket_keys *k = ticket_keys_new();

        assert_non_null(k);
        make(k, 0);
        struct ticket t = make(k, cases[i].made);
        if (cases[i].between >= 0)
            make(k, cases[i].between);
        print_message("%zu\n", i);
        assert_int_equal(open_it(k, cases[i].opened, t), cases[i].want);
        ticket_keys_free(k);
    }
}

static void strangers(void **state)
{
    struct ticket_keys *k = ticket_keys_new(), *other = ticket_keys_new();
    (void)state;

    assert_true(k && other);
    struct ticket t = make(k, 5), again = make(k, 6);
    assert_memory_equal(t.name, again.name, sizeof(t.name));
    assert_memory_not_equal(t.iv, again.iv, 16);
    assert_memory_not_equal(t.sealed, again.sealed, 16);

    struct ticket zero = {0}; /* names nobody has drawn */
    assert_int_equal(open_it(k, 7, zero), 0);
    assert_int_equal(open_it(other, 7, zero), 0); /* its first use */
    assert_int_equal(open_it(other, 7, t), 0);
    ticket_keys_free(k);
    ticket_keys_free(other);
    ticket_keys_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifetimes),
        cmocka_unit_test(strangers),
    };
    return cmocka_run_group_tests_name("tls_ticket", tests, NULL, NULL);
}
