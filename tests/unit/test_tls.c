/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls.c - which certificate, which ticket, which peer. Certificates are
 * made here and now; the two ends are joined in memory. */
#include "../../gateway/net/tls.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- certificates ------------------------------------------------------- */

static char dir[] = "/tmp/gangway-tls-XXXXXX";

struct pair {
    EVP_PKEY *key;
    X509 *cert;
};

static char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned turn;
    char *path = paths[turn++ % LEN(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* issuer NULL: self-signed, an authority. */
static struct pair make(const char *cn, const char *san, long seconds,
                        const struct pair *issuer)
{
    static long serial = 1;
    struct pair p = {EVP_EC_gen("P-256"), X509_new()};

    assert_true(p.key && p.cert);
    X509_set_version(p.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), seconds);
    X509_set_pubkey(p.cert, p.key);
    X509_NAME_add_entry_by_NID(X509_get_subject_name(p.cert), NID_commonName,
                               MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                               0);
    X509_set_issuer_name(p.cert,
                         X509_get_subject_name(issuer ? issuer->cert : p.cert));
    add_extension(p.cert, NID_basic_constraints,
                  issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (san)
        add_extension(p.cert, NID_subject_alt_name, san);
    assert_true(X509_sign(p.cert, issuer ? issuer->key : p.key, EVP_sha256()) >
                0);
    return p;
}

static void pair_free(struct pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
}

static FILE *create(const char *name)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    return f;
}

/* NAME.pem holds certificate and key, NAME.crt and NAME.key one of them. */
static void save(const struct pair *p, const char *name)
{
    static const char *const suffixes[] = {"pem", "crt", "key"};

    for (size_t i = 0; i < LEN(suffixes); i++) {
        char file[64];
        snprintf(file, sizeof(file), "%s.%s", name, suffixes[i]);
        FILE *f = create(file);
        if (i != 2)
            assert_int_equal(PEM_write_X509(f, p->cert), 1);
        if (i != 1)
            assert_int_equal(
                PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL), 1);
        fclose(f);
    }
}

static void make_and_save(const char *name, const char *cn, const char *san,
                          long seconds, const struct pair *issuer)
{
    struct pair p = make(cn, san, seconds, issuer);

    save(&p, name);
    pair_free(&p);
}

static int make_files(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));

    struct pair ca = make("Root", NULL, 86400, NULL);
    struct pair other = make("Root", NULL, 86400, NULL); /* same name */
    save(&ca, "ca");
    save(&other, "other");
    make_and_save("a", "a", "DNS:a.example,DNS:A2.Example,IP:127.0.0.1,IP:::1",
                  7200, &ca);
    make_and_save("b", "b", "DNS:b.example,DNS:*.wild.example", 3600, &ca);
    make_and_save("cn", "cn.example", NULL, 7200, &ca);
    make_and_save("old", "old.example", NULL, -30, &ca);
    make_and_save("client", "client", NULL, 3600, &ca);
    make_and_save("stranger", "client", NULL, 3600, &other);

    FILE *f = create("encrypted.key");
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, ca.key, EVP_aes_128_cbc(),
                                               "secret", 6, NULL, NULL),
                     1);
    fclose(f);
    f = create("garbage.pem");
    fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
    fclose(f);
    fclose(create("empty.pem"));
    pair_free(&ca);
    pair_free(&other);
    return 0;
}

static int remove_files(void **state)
{
    char command[128];
    (void)state;

    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    return system(command);
}

/* ---- two ends in memory
 * ------------------------------------------------------ */

static struct tls_settings settings_of(struct certificate_settings *list,
                                       size_t n)
{
    return (struct tls_settings){
        .certificates = list, .n_certificates = n, .tickets = true};
}

static struct tls_server *server_of(const char *const *names, size_t n)
{
    struct certificate_settings list[4] = {0};
    struct err err;

    for (size_t i = 0; i < n; i++)
        list[i].certificate = strdup(path_of(names[i]));
    struct tls_settings t = settings_of(list, n);
    struct tls_server *server = tls_server_new(&t, &err);
    if (!server)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        free(list[i].certificate);
    return server;
}

#define SERVER(...)                                                            \
    server_of((const char *const[]){__VA_ARGS__},                              \
              LEN(((const char *const[]){__VA_ARGS__})))

static void join(SSL *a, SSL *b)
{
    BIO *x, *y;

    assert_int_equal(BIO_new_bio_pair(&x, 0, &y, 0), 1);
    SSL_set_bio(a, x, x);
    SSL_set_bio(b, y, y);
}

static bool moving(SSL *s, int result)
{
    int e = SSL_get_error(s, result);
    return result == 1 || e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

/* Handshake, and the tickets after it. True if both ends are happy; otherwise
 * text is the first complaint of the end that has one. */
static bool meet(SSL *client, SSL *server, char *text, size_t cap)
{
    char byte;

    join(client, server);
    for (int i = 0; i < 20; i++) {
        SSL *const ends[] = {client, server};
        for (size_t e = 0; e < LEN(ends); e++) {
            ERR_clear_error();
            if (!moving(ends[e], SSL_do_handshake(ends[e]))) {
                if (text)
                    tls_error_text(ends[e], text, cap);
                return false;
            }
        }
    }
    ERR_clear_error();
    bool ok = SSL_is_init_finished(client) && SSL_is_init_finished(server);
    if (ok && !moving(client, SSL_read(client, &byte, 1)))
        ok = false; /* in TLS 1.3 a refusal comes after the handshake */
    if (!ok && text)
        tls_error_text(client, text, cap);
    return ok;
}

static SSL_CTX *plain_client(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    return ctx;
}

static void peer_name(SSL *client, char *out, size_t cap)
{
    X509 *cert = SSL_get1_peer_certificate(client);

    assert_non_null(cert);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out,
                              (int)cap);
    X509_free(cert);
}

/* ---- loading
 * ------------------------------------------------------------------ */

static void loading_errors(void **state)
{
    static const struct {
        const char *certificate, *key, *client_ca;
        enum client_cert mode;
        const char *ciphers;
        const char *want;
    } cases[] = {
        {"none.pem", NULL, NULL, 0, NULL, "/none.pem: No such file"},
        {"empty.pem", NULL, NULL, 0, NULL, "/empty.pem: no start line"},
        {"garbage.pem", NULL, NULL, 0, NULL, "/garbage.pem: "},
        {"a.crt", "none.key", NULL, 0, NULL, "/none.key: No such file"},
        {"a.crt", NULL, NULL, 0, NULL, "/a.crt: no private key in it: "},
        {"a.crt", "b.key", NULL, 0, NULL, "/b.key: not the key of the first"},
        {"a.crt", "encrypted.key", NULL, 0, NULL, "the key is encrypted"},
        {"a.pem", NULL, NULL, CLIENT_CERT_REQUIRED, NULL, "client_ca"},
        {"a.pem", NULL, "none.pem", CLIENT_CERT_OPTIONAL, NULL,
         "/none.pem: No such file"},
        {"a.pem", NULL, "empty.pem", CLIENT_CERT_OPTIONAL, NULL, "/empty.pem"},
        {"a.pem", NULL, NULL, 0, "NOTHING", "ciphers: no cipher match"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct certificate_settings c = {path_of(cases[i].certificate),
                                         cases[i].key ? path_of(cases[i].key)
                                                      : NULL};
        struct tls_settings t = settings_of(&c, 1);
        struct err err = {{0}};
        if (cases[i].client_ca)
            t.client_ca = path_of(cases[i].client_ca);
        t.client_certificate = cases[i].mode;
        t.ciphers = (char *)(uintptr_t)cases[i].ciphers;

        print_message("%s\n", cases[i].want);
        assert_null(tls_server_new(&t, &err));
        if (!strstr(err.text, cases[i].want))
            fail_msg("got: %s", err.text);
        assert_int_equal(ERR_peek_error(), 0);
    }

    struct tls_settings none = {0};
    struct err err;
    assert_null(tls_server_new(&none, &err));
}

static void expiry(void **state)
{
    int64_t now = time(NULL);
    (void)state;

    struct tls_server *t = SERVER("a.pem", "b.pem", "cn.pem");
    assert_in_range(tls_server_not_after(t) - now, 3500, 3600);
    tls_server_unref(t);
    t = SERVER("old.pem");
    assert_true(tls_server_not_after(t) < now);
    tls_server_unref(t);
}

/* ---- servers
 * ------------------------------------------------------------------ */

static void certificate_by_name(void **state)
{
    static const struct {
        const char *sni, *want;
    } cases[] = {
        {NULL, "a"},
        {"a.example", "a"},
        {"a2.example", "a"},
        {"b.example", "b"},
        {"B.EXAMPLE", "b"},
        {"b.example.", "b"},
        {"x.wild.example", "b"},
        {"x.y.wild.example", "a"},
        {"wild.example", "a"},
        {"cn.example", "cn.example"},
        {"b", "a"}, /* the common name, but there are alternative names */
        {"unknown.example", "a"},
    };
    struct tls_server *t = SERVER("a.pem", "b.pem", "cn.pem");
    SSL_CTX *ctx = plain_client();
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        SSL *server = tls_server_ssl(t), *client = SSL_new(ctx);
        char name[64], text[256] = "";

        print_message("%s\n", cases[i].sni ? cases[i].sni : "no name");
        SSL_set_connect_state(client);
        if (cases[i].sni)
            SSL_set_tlsext_host_name(client, cases[i].sni);
        if (!meet(client, server, text, sizeof(text)))
            fail_msg("%s", text);
        peer_name(client, name, sizeof(name));
        assert_string_equal(name, cases[i].want);
        SSL_free(client);
        SSL_free(server);
    }
    SSL_CTX_free(ctx);
    tls_server_unref(t);
}

static void alpn(void **state)
{
    static const struct {
        const char *offer, *want;
    } cases[] = {
        {"", ""},
        {"\x08http/1.1", "http/1.1"},
        {"\x02h2\x08http/1.1", "http/1.1"},
        {"\x02h2", ""},
    };
    struct tls_server *t = SERVER("a.pem");
    SSL_CTX *ctx = plain_client();
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        SSL *server = tls_server_ssl(t), *client = SSL_new(ctx);
        const unsigned char *got;
        unsigned n;

        SSL_set_connect_state(client);
        SSL_set_alpn_protos(client, (const unsigned char *)cases[i].offer,
                            (unsigned)strlen(cases[i].offer));
        assert_true(meet(client, server, NULL, 0));
        SSL_get0_alpn_selected(client, &got, &n);
        assert_int_equal(n, strlen(cases[i].want));
        assert_memory_equal(got ? got : (const void *)"", cases[i].want, n);
        SSL_free(client);
        SSL_free(server);
    }
    SSL_CTX_free(ctx);
    tls_server_unref(t);
}

static void versions(void **state)
{
    static const struct {
        enum tls_version min;
        int client_max;
        bool want;
    } cases[] = {
        {TLS_1_2, TLS1_1_VERSION, false},
        {TLS_1_2, TLS1_2_VERSION, true},
        {TLS_1_3, TLS1_2_VERSION, false},
        {TLS_1_3, TLS1_3_VERSION, true},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct certificate_settings c = {path_of("a.pem"), NULL};
        struct tls_settings s = settings_of(&c, 1);
        struct err err;
        s.min_version = cases[i].min;
        struct tls_server *t = tls_server_new(&s, &err);
        assert_non_null(t);
        SSL_CTX *ctx = plain_client();
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(ctx, cases[i].client_max);
        SSL *server = tls_server_ssl(t), *client = SSL_new(ctx);

        SSL_set_connect_state(client);
        assert_int_equal(meet(client, server, NULL, 0), cases[i].want);
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(ctx);
        tls_server_unref(t);
    }
}

/* ---- tickets
 * ------------------------------------------------------------------ */

static SSL_SESSION *kept;
static unsigned kept_times;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    kept_times++;
    return 1;
}

/* Connect with the session kept from before, if `resume`. Returns whether it
 * was resumed. */
static bool visit(struct tls_server *t, const char *sni, int version,
                  bool resume)
{
    SSL_CTX *ctx = plain_client();
    char text[256] = "";

    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
                                            SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    SSL *server = tls_server_ssl(t), *client = SSL_new(ctx);
    SSL_set_connect_state(client);
    SSL_set_tlsext_host_name(client, sni);
    if (resume)
        assert_int_equal(SSL_set_session(client, kept), 1);
    if (!meet(client, server, text, sizeof(text)))
        fail_msg("%s", text);
    bool reused = SSL_session_reused(client);
    assert_int_equal(reused, SSL_session_reused(server));
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN); /* or the session is void */
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
    return reused;
}

static void tickets(void **state)
{
    static const int all[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (size_t i = 0; i < LEN(all); i++) {
        struct tls_server *t = SERVER("a.pem", "b.pem");

        visit(t, "a.example", all[i], false);
        assert_true(visit(t, "a.example", all[i], true));
        unsigned before = kept_times; /* each of TLS 1.3 serves once */
        assert_true(visit(t, "a.example", all[i], true));
        assert_int_equal(kept_times - before, all[i] == TLS1_3_VERSION);
        visit(t, "a.example", all[i], false);
        assert_false(visit(t, "b.example", all[i], true));

        visit(t, "b.example", all[i], false);
        assert_true(visit(t, "x.wild.example", all[i], true));
        visit(t, "b.example", all[i], false);
        assert_false(visit(t, "a.example", all[i], true));

        struct tls_server *other = SERVER("a.pem", "b.pem");
        visit(t, "a.example", all[i], false);
        assert_false(visit(other, "a.example", all[i], true));
        tls_server_unref(other);
        tls_server_unref(t);
    }
    SSL_SESSION_free(kept);
    kept = NULL;
}

static void no_tickets(void **state)
{
    static const int all[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct certificate_settings c = {path_of("a.pem"), NULL};
    struct tls_settings s = settings_of(&c, 1);
    struct err err;
    (void)state;

    s.tickets = false;
    struct tls_server *t = tls_server_new(&s, &err);
    assert_non_null(t);
    for (size_t i = 0; i < LEN(all); i++) {
        visit(t, "a.example", all[i], false);
        assert_true(!kept || !SSL_SESSION_has_ticket(kept));
    }
    SSL_SESSION_free(kept);
    kept = NULL;
    tls_server_unref(t);
}

/* ---- after a reload
 * ------------------------------------------------------------ */

static void server_lives_on(void **state)
{
    struct tls_server *t = SERVER("a.pem", "b.pem");
    SSL_CTX *ctx = plain_client();
    SSL *server = tls_server_ssl(t), *client = SSL_new(ctx);
    char name[64];
    (void)state;

    tls_server_unref(t); /* before the ClientHello */
    SSL_set_connect_state(client);
    SSL_set_tlsext_host_name(client, "b.example");
    assert_true(meet(client, server, NULL, 0));
    peer_name(client, name, sizeof(name));
    assert_string_equal(name, "b");
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
}

static void no_renegotiation(void **state)
{
    struct tls_server *t = SERVER("a.pem");
    SSL_CTX *ctx = plain_client();
    char byte;
    (void)state;

    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *server = tls_server_ssl(t), *client = SSL_new(ctx);
    SSL_set_connect_state(client);
    assert_true(meet(client, server, NULL, 0));
    SSL_renegotiate(client);
    SSL_do_handshake(client);
    SSL_read(server, &byte, 1);
    ERR_clear_error();
    SSL_do_handshake(client);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
    tls_server_unref(t);
}

/* ---- who the peer is
 * ------------------------------------------------------------ */

static void client_certificates(void **state)
{
    static const struct {
        enum client_cert mode;
        const char *cert;
        bool want;
        const char *text;
    } cases[] = {
        {CLIENT_CERT_NONE, NULL, true, ""},
        {CLIENT_CERT_OPTIONAL, NULL, true, ""},
        {CLIENT_CERT_OPTIONAL, "client.pem", true, ""},
        {CLIENT_CERT_OPTIONAL, "stranger.pem", false, "certificate"},
        {CLIENT_CERT_REQUIRED, NULL, false, "peer did not return"},
        {CLIENT_CERT_REQUIRED, "client.pem", true, ""},
        {CLIENT_CERT_REQUIRED, "stranger.pem", false, "certificate"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct certificate_settings c = {path_of("a.pem"), NULL};
        struct tls_settings s = settings_of(&c, 1);
        struct tls_client_settings cs = {
            .ca = path_of("ca.crt"),
            .cert = cases[i].cert ? path_of(cases[i].cert) : NULL};
        struct err err;
        char text[256] = "";

        print_message("%zu\n", i);
        s.client_ca = path_of("ca.crt");
        s.client_certificate = cases[i].mode;
        struct tls_server *t = tls_server_new(&s, &err);
        struct tls_client *tc = tls_client_new(&cs, &err);
        assert_true(t && tc);
        SSL *server = tls_server_ssl(t),
            *client = tls_client_ssl(tc, "a.example");
        bool ok = meet(client, server, text, sizeof(text));
        if (ok != cases[i].want || !strstr(text, cases[i].text))
            fail_msg("%s", text);
        SSL_free(client);
        SSL_free(server);
        tls_client_free(tc);
        tls_server_unref(t);
    }
}

static void backend_identity(void **state)
{
    static const struct {
        const char *host, *sni, *ca;
        bool insecure;
        const char *want;  /* complaint; "": none */
        const char *asked; /* server name that was sent */
    } cases[] = {
        {"a.example", NULL, "ca.crt", false, "", "a.example"},
        {"a.example.", NULL, "ca.crt", false, "", "a.example"},
        {"A.example", NULL, "ca.crt", false, "", "A.example"},
        {"127.0.0.1", NULL, "ca.crt", false, "", NULL},
        {"::1", NULL, "ca.crt", false, "", NULL},
        {"[::1]", NULL, "ca.crt", false, "", NULL},
        {"127.0.0.2", NULL, "ca.crt", false, "IP address mismatch", NULL},
        {"c.example", NULL, "ca.crt", false, "hostname mismatch", NULL},
        {"127.0.0.2", "a.example", "ca.crt", false, "", "a.example"},
        {"a.example", "c.example", "ca.crt", false, "hostname mismatch", NULL},
        {"a.example", NULL, "other.crt", false, "certificate", NULL},
        {"a.example", NULL, NULL, false, "unable to get local issuer", NULL},
        {"c.example", NULL, NULL, true, "", "c.example"},
    };
    struct tls_server *t = SERVER("a.pem");
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct tls_client_settings cs = {
            .sni = cases[i].sni,
            .ca = cases[i].ca ? path_of(cases[i].ca) : NULL,
            .insecure = cases[i].insecure};
        struct err err;
        char text[256] = "";

        print_message("%s: %s\n", cases[i].host, cases[i].want);
        struct tls_client *tc = tls_client_new(&cs, &err);
        assert_non_null(tc);
        SSL *server = tls_server_ssl(t);
        SSL *client = tls_client_ssl(tc, cases[i].host);
        bool ok = meet(client, server, text, sizeof(text));
        if (ok != (*cases[i].want == '\0') || !strstr(text, cases[i].want))
            fail_msg("got: %s", text);
        const char *asked =
            SSL_get_servername(server, TLSEXT_NAMETYPE_host_name);
        if (ok && cases[i].asked)
            assert_string_equal(asked, cases[i].asked);
        else if (ok)
            assert_null(asked);
        SSL_free(client);
        SSL_free(server);
        tls_client_free(tc);
    }
    tls_server_unref(t);
}

static void client_loading_errors(void **state)
{
    static const struct {
        const char *ca, *cert, *key, *want;
    } cases[] = {
        {"none.crt", NULL, NULL, "/none.crt: No such file"},
        {NULL, "none.pem", NULL, "/none.pem: No such file"},
        {NULL, "a.crt", "b.key", "not the key"},
        {NULL, NULL, "b.key", "needs a certificate"},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct tls_client_settings cs = {
            .ca = cases[i].ca ? path_of(cases[i].ca) : NULL,
            .cert = cases[i].cert ? path_of(cases[i].cert) : NULL,
            .key = cases[i].key ? path_of(cases[i].key) : NULL};
        struct err err = {{0}};

        assert_null(tls_client_new(&cs, &err));
        if (!strstr(err.text, cases[i].want))
            fail_msg("got: %s", err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_errors),
        cmocka_unit_test(expiry),
        cmocka_unit_test(certificate_by_name),
        cmocka_unit_test(alpn),
        cmocka_unit_test(versions),
        cmocka_unit_test(tickets),
        cmocka_unit_test(no_tickets),
        cmocka_unit_test(server_lives_on),
        cmocka_unit_test(no_renegotiation),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(backend_identity),
        cmocka_unit_test(client_loading_errors),
    };
    return cmocka_run_group_tests_name("tls", tests, make_files, remove_files);
}
