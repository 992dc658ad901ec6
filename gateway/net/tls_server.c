/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server.c - which certificate a client gets, and which sessions it may
 * resume.
 *
 * The certificate is chosen in the ClientHello callback, not in the later one
 * that OpenSSL has for server names: a session is resumed between the two, so
 * that only the early choice lets the session id context refuse a ticket that
 * was made under another certificate or client authority. */
#include "tls.h"
#include "tls_ctx.h"
#include "tls_ticket.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

struct vhost {
    SSL_CTX *ctx;
    char **names; /* of the certificate; "*.example.org" for many */
    size_t n_names;
};

struct tls_server {
    atomic_uint refs; /* one per SSL object, and the callers' */
    struct vhost *vhosts;
    size_t n_vhosts;
    struct ticket_keys *tickets;
    int64_t not_after;
};

/* ---- names of a certificate --------------------------------------------- */

static int vhost_add_name(struct vhost *v, const ASN1_STRING *s)
{
    const char *p = (const char *)ASN1_STRING_get0_data(s);
    size_t n = (size_t)ASN1_STRING_length(s);

    if (n == 0 || n > TLS_NAME_MAX_LEN || memchr(p, '\0', n))
        return 0; /* nobody can ask for it */
    char **names = realloc(v->names, (v->n_names + 1) * sizeof(*names));
    if (!names)
        return -1;
    v->names = names;
    v->names[v->n_names] = strndup(p, n);
    return v->names[v->n_names++] ? 0 : -1;
}

/* The common name counts only where there are no alternative names. */
static int vhost_read_names(struct vhost *v, X509 *cert)
{
    GENERAL_NAMES *alt =
        X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int result = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(alt) && result == 0; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(alt, i);
        if (g->type == GEN_DNS)
            result = vhost_add_name(v, g->d.dNSName);
    }
    if (!alt) {
        const X509_NAME *subject = X509_get_subject_name(cert);
        int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        if (at >= 0)
            result = vhost_add_name(
                v, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    }
    GENERAL_NAMES_free(alt);
    return result;
}

static bool name_is(const char *pattern, struct slice name)
{
    return strlen(pattern) == name.n &&
           strncasecmp(pattern, name.p, name.n) == 0;
}

/* RFC 6125 section 6.4.3: the star stands for one whole label. */
static bool wildcard_fits(const char *pattern, struct slice name)
{
    const char *dot = memchr(name.p, '.', name.n);

    if (strncmp(pattern, "*.", 2) != 0 || !dot || dot == name.p)
        return false;
    return name_is(pattern + 1,
                   (struct slice){dot, name.n - (size_t)(dot - name.p)});
}

static const struct vhost *vhost_find(const struct tls_server *t,
                                      struct slice name,
                                      bool (*fits)(const char *, struct slice))
{
    for (size_t i = 0; i < t->n_vhosts; i++)
        for (size_t j = 0; j < t->vhosts[i].n_names; j++)
            if (fits(t->vhosts[i].names[j], name))
                return &t->vhosts[i];
    return NULL;
}

static const struct vhost *vhost_for(const struct tls_server *t,
                                     struct slice name)
{
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    const struct vhost *v = vhost_find(t, name, name_is);
    return v ? v : vhost_find(t, name, wildcard_fits);
}

/* ---- callbacks of a server ---------------------------------------------- */

/* The host name in the server_name extension, RFC 6066 section 3: a list with
 * one entry. What is malformed is left for OpenSSL to refuse. */
static bool hello_name(SSL *ssl, struct slice *name)
{
    const unsigned char *p;
    size_t n;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 ||
        n < 5 || p[2] != TLSEXT_NAMETYPE_host_name)
        return false;
    size_t list = (size_t)(p[0] << 8 | p[1]);
    size_t host = (size_t)(p[3] << 8 | p[4]);
    if (list + 2 != n || host + 5 != n || host > TLS_NAME_MAX_LEN)
        return false;
    *name = (struct slice){(const char *)p + 5, host};
    return true;
}

static int client_hello_cb(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *t = arg;
    struct slice name;
    (void)alert;

    if (hello_name(ssl, &name)) {
        const struct vhost *v = vhost_for(t, name);
        if (v && !SSL_set_SSL_CTX(ssl, v->ctx))
            return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Everything was done above; this acknowledges the name. */
static int servername_cb(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

/* A client that offers no protocol we speak may still speak HTTP/1.1. */
static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;

    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len,
                                 ours, sizeof(ours) - 1, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

/* Where an SSL object keeps its struct tls_server. */
static int server_index = -1;

static int ticket_cb(SSL *ssl, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int make)
{
    const struct tls_server *t = SSL_get_ex_data(ssl, server_index);
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    int result =
        ticket_keys_use(t->tickets, now.tv_sec, name, iv, cipher, mac, make);
    /* A client uses a ticket of TLS 1.3 once (RFC 8446 appendix C.4): without
     * a new one only every second of its connections would be resumed. */
    if (result == 1 && !make && SSL_version(ssl) == TLS1_3_VERSION)
        return 2;
    return result;
}

/* ---- contexts of a server ----------------------------------------------- */

static int set_ciphers(SSL_CTX *ctx, const struct tls_settings *t,
                       struct err *err)
{
    ERR_clear_error();
    if (t->ciphers && SSL_CTX_set_cipher_list(ctx, t->ciphers) != 1)
        return tls_fail(err, "ciphers");
    if (t->ciphersuites && SSL_CTX_set_ciphersuites(ctx, t->ciphersuites) != 1)
        return tls_fail(err, "ciphersuites");
    if (SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1)
        return tls_fail(err, "groups");
    return 0;
}

static int set_client_auth(SSL_CTX *ctx, const struct tls_settings *t,
                           struct err *err)
{
    if (t->client_certificate == CLIENT_CERT_NONE)
        return 0;
    if (!t->client_ca)
        return err_set(err, "client certificates are asked for, but no "
                            "authority (client_ca) is named");

    ERR_clear_error();
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(t->client_ca);
    if (!names || SSL_CTX_load_verify_file(ctx, t->client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_fail(err, t->client_ca);
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* takes them */
    SSL_CTX_set_verify(ctx,
                       t->client_certificate == CLIENT_CERT_REQUIRED
                           ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER,
                       NULL);
    return 0;
}

static bool digest_cert(EVP_MD_CTX *md, const X509 *cert)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n;

    return X509_digest(cert, EVP_sha256(), hash, &n) == 1 &&
           EVP_DigestUpdate(md, hash, n) == 1;
}

/* What a session is worth under: the certificate, and who vouches for the
 * client. */
static bool digest_identity(EVP_MD_CTX *md, SSL_CTX *ctx)
{
    const STACK_OF(X509_OBJECT) *authorities =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    int verify = SSL_CTX_get_verify_mode(ctx);

    if (!digest_cert(md, SSL_CTX_get0_certificate(ctx)) ||
        EVP_DigestUpdate(md, &verify, sizeof(verify)) != 1)
        return false;
    for (int i = 0; i < sk_X509_OBJECT_num(authorities); i++) {
        const X509 *ca =
            X509_OBJECT_get0_X509(sk_X509_OBJECT_value(authorities, i));
        if (ca && !digest_cert(md, ca))
            return false;
    }
    return true;
}

static int set_session_context(SSL_CTX *ctx, struct err *err)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned n;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              digest_identity(md, ctx) && EVP_DigestFinal_ex(md, id, &n) == 1 &&
              SSL_CTX_set_session_id_context(ctx, id, n) == 1;

    EVP_MD_CTX_free(md);
    return ok ? 0 : tls_fail(err, "session context");
}

static void set_tickets(SSL_CTX *ctx, bool on)
{
    SSL_CTX_set_num_tickets(ctx, on ? 1 : 0);
    if (on)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_cb);
    else
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

static int64_t cert_not_after(const X509 *cert)
{
    struct tm tm;

    return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1
               ? (int64_t)timegm(&tm)
               : INT64_MAX; /* RFC 5280 4.1.2.5: has no expiration */
}

static int vhost_init(struct tls_server *server, struct vhost *v,
                      const struct tls_settings *t,
                      const struct certificate_settings *c, struct err *err)
{
    v->ctx = tls_ctx_new(
        TLS_server_method(),
        t->min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION, err);
    if (!v->ctx || set_ciphers(v->ctx, t, err) == -1 ||
        tls_pair_load(v->ctx, c->certificate, c->key, err) == -1 ||
        set_client_auth(v->ctx, t, err) == -1 ||
        set_session_context(v->ctx, err) == -1)
        return -1;
    set_tickets(v->ctx, t->tickets);
    SSL_CTX_set_client_hello_cb(v->ctx, client_hello_cb, server);
    SSL_CTX_set_tlsext_servername_callback(v->ctx, servername_cb);
    SSL_CTX_set_alpn_select_cb(v->ctx, alpn_cb, NULL);

    X509 *cert = SSL_CTX_get0_certificate(v->ctx);
    if (vhost_read_names(v, cert) == -1)
        return err_set(err, "%s: out of memory", c->certificate);
    int64_t end = cert_not_after(cert);
    if (end < server->not_after)
        server->not_after = end;
    return 0;
}

static void vhost_fini(struct vhost *v)
{
    SSL_CTX_free(v->ctx);
    for (size_t i = 0; i < v->n_names; i++)
        free(v->names[i]);
    free(v->names);
}

/* ---- servers ------------------------------------------------------------ */

struct tls_server *tls_server_new(const struct tls_settings *t, struct err *err)
{
    struct tls_server *server = calloc(1, sizeof(*server));

    if (t->n_certificates == 0) {
        err_set(err, "TLS needs a certificate");
        free(server);
        return NULL;
    }
    if (server) {
        server->refs = 1;
        server->vhosts = calloc(t->n_certificates, sizeof(*server->vhosts));
        server->tickets = ticket_keys_new();
    }
    if (!server || !server->vhosts || !server->tickets) {
        err_set(err, "out of memory");
        tls_server_unref(server);
        return NULL;
    }
    server->not_after = INT64_MAX;
    for (; server->n_vhosts < t->n_certificates; server->n_vhosts++)
        if (vhost_init(server, &server->vhosts[server->n_vhosts], t,
                       &t->certificates[server->n_vhosts], err) == -1) {
            server->n_vhosts++; /* what there is of it must go, too */
            tls_server_unref(server);
            return NULL;
        }
    return server;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_server_unref(struct tls_server *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < t->n_vhosts; i++)
        vhost_fini(&t->vhosts[i]);
    free(t->vhosts);
    ticket_keys_free(t->tickets);
    free(t);
}

/* An SSL object keeps its server: the ClientHello may come after a reload. */
static void ssl_freed_cb(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                         long argl, void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    tls_server_unref(ptr);
}

static void server_index_make(void)
{
    server_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, ssl_freed_cb);
}

SSL *tls_server_ssl(struct tls_server *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, server_index_make);
    SSL *ssl = SSL_new(t->vhosts[0].ctx);
    if (!ssl)
        return NULL;
    if (SSL_set_ex_data(ssl, server_index, tls_server_ref(t)) != 1) {
        tls_server_unref(t);
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

int64_t tls_server_not_after(const struct tls_server *t)
{
    return t->not_after;
}
