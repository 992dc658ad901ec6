/* SPDX-License-Identifier: Apache-2.0 */
/* tls.c - contexts, their files and their errors; and the clients. */
#include "tls.h"
#include "tls_ctx.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* Mozilla's "intermediate" list without the finite-field exchanges: every
 * browser with WebSockets has elliptic curves, and those cost a server more
 * than a client (CVE-2002-20001). */
static const char default_ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

struct tls_client {
    SSL_CTX *ctx;
    char *sni;
};

/* ---- errors ------------------------------------------------------------- */

static void reason_text(unsigned long code, char *out, size_t cap)
{
    const char *text = NULL;
    char system[128];

    if (ERR_SYSTEM_ERROR(code))
        text = strerror_r(ERR_GET_REASON(code), system, sizeof(system));
    else if (code != 0)
        text = ERR_reason_error_string(code);
    snprintf(out, cap, "%s", text ? text : "unknown error");
}

/* Below a failed verification lies the mathematics that did not come out. */
void tls_error_text(const SSL *ssl, char *out, size_t cap)
{
    unsigned long first = ERR_peek_error(), code;
    bool verification = false;

    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
            ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
            verification = true;
    if (ssl && verification)
        snprintf(out, cap, "%s",
                 X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
    else
        reason_text(first, out, cap);
}

int tls_fail(struct err *err, const char *what)
{
    char reason[256];

    tls_error_text(NULL, reason, sizeof(reason));
    return err_set(err, "%s: %s", what, reason);
}

/* ---- files, for both sides ---------------------------------------------- */

/* A daemon has nobody to ask for a passphrase. */
static int refuse_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *key_load(const char *file, struct err *err)
{
    bool encrypted = false;
    BIO *in = BIO_new_file(file, "r");
    EVP_PKEY *key =
        in ? PEM_read_bio_PrivateKey(in, NULL, refuse_passphrase, &encrypted)
           : NULL;

    BIO_free(in);
    if (!in)
        tls_fail(err, file);
    else if (encrypted)
        err_set(err,
                "%s: the key is encrypted, and there is nobody to ask for "
                "its passphrase",
                file);
    else if (!key)
        tls_fail(err, "no private key in it"), err_prepend(err, "%s", file);
    ERR_clear_error();
    return key;
}

int tls_pair_load(SSL_CTX *ctx, const char *certificate, const char *key,
                  struct err *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return tls_fail(err, certificate);

    const char *key_file = key ? key : certificate;
    EVP_PKEY *pkey = key_load(key_file, err);
    if (!pkey)
        return -1;
    int result = 0;
    if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), pkey) != 1)
        result = err_set(err, "%s: not the key of the first certificate in %s",
                         key_file, certificate);
    else if (SSL_CTX_use_PrivateKey(ctx, pkey) != 1)
        result = tls_fail(err, key_file);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return result;
}

SSL_CTX *tls_ctx_new(const SSL_METHOD *method, int min_version, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx) {
        tls_fail(err, "cannot start TLS");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, min_version);
    SSL_CTX_set_cipher_list(ctx, default_ciphers);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

/* ---- clients ------------------------------------------------------------ */

static int client_init(struct tls_client *c,
                       const struct tls_client_settings *t, struct err *err)
{
    c->ctx = tls_ctx_new(TLS_client_method(), TLS1_2_VERSION, err);
    if (!c->ctx)
        return -1;
    if (t->sni && !(c->sni = strdup(t->sni)))
        return err_set(err, "out of memory");
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_TICKET); /* nobody would keep it */
    SSL_CTX_set_verify(c->ctx, t->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       NULL);
    ERR_clear_error();
    if (t->ca && SSL_CTX_load_verify_file(c->ctx, t->ca) != 1)
        return tls_fail(err, t->ca);
    if (!t->ca && SSL_CTX_set_default_verify_paths(c->ctx) != 1)
        return tls_fail(err, "the system's authorities");
    if (t->cert)
        return tls_pair_load(c->ctx, t->cert, t->key, err);
    return t->key ? err_set(err, "%s: a key needs a certificate", t->key) : 0;
}

struct tls_client *tls_client_new(const struct tls_client_settings *t,
                                  struct err *err)
{
    struct tls_client *c = calloc(1, sizeof(*c));

    if (!c) {
        err_set(err, "out of memory");
        return NULL;
    }
    if (client_init(c, t, err) == -1) {
        tls_client_free(c);
        return NULL;
    }
    return c;
}

void tls_client_free(struct tls_client *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t->sni);
    free(t);
}

/* The peer's name as certificates have it: without brackets, zone or the dot
 * of the root. False if it is too long. */
static bool bare_name(const char *host, char out[TLS_NAME_MAX_LEN + 1])
{
    size_t n = strcspn(host, "%");

    if (n >= 2 && host[0] == '[') {
        host++;
        n = strcspn(host, "]%");
    }
    if (n > 0 && host[n - 1] == '.')
        n--;
    if (n == 0 || n > TLS_NAME_MAX_LEN)
        return false;
    memcpy(out, host, n);
    out[n] = '\0';
    return true;
}

static bool is_literal(const char *name)
{
    unsigned char ip[16];

    return inet_pton(AF_INET, name, ip) == 1 ||
           inet_pton(AF_INET6, name, ip) == 1;
}

/* Literals have no SNI: RFC 6066 section 3. */
static bool expect_peer(SSL *ssl, const char *host)
{
    char name[TLS_NAME_MAX_LEN + 1];

    if (!bare_name(host, name))
        return false;
    if (is_literal(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *tls_client_ssl(const struct tls_client *t, const char *host)
{
    SSL *ssl = SSL_new(t->ctx);

    if (!ssl)
        return NULL;
    if (!expect_peer(ssl, t->sni ? t->sni : host)) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}
