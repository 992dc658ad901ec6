/* SPDX-License-Identifier: Apache-2.0 */
/* Any file is read as settings or refused with complaints, never both. */
#include "fuzz.h"

#include <stdio.h>

#include "../../conf/settings_source.h"

/* What whoever reads settings relies on. */
static void check_settings(const struct settings *s)
{
    CHECK(s->n_listeners > 0);
    CHECK(s->n_routes > 0 || s->web);
    CHECK(s->limits.queue_low < s->limits.queue_high);
    CHECK(s->limits.uri_bytes <= s->limits.header_bytes);
    CHECK(s->limits.read_buffer >= 4096);
    CHECK(s->limits.max_message > 0);
    for (size_t i = 0; i < s->n_listeners; i++) {
        const struct listener_settings *li = &s->listeners[i];

        CHECK(li->url && li->where);
        CHECK(li->kind != LISTEN_TCP || (li->port >= 0 && li->port < 65536));
        CHECK(li->kind != LISTEN_UNIX || (li->path && li->mode <= 0777));
        CHECK(li->kind != LISTEN_FD || li->fd >= 3);
        CHECK(!li->tls || li->tls_settings.certificates[0].certificate);
        CHECK(li->tls_settings.client_certificate == CLIENT_CERT_NONE ||
              li->tls_settings.client_ca);
    }
    for (size_t i = 0; i < s->n_routes; i++) {
        const struct route_settings *r = &s->routes[i];

        CHECK(r->path[0] == '/' && r->target && r->where);
        for (size_t k = 0; k < r->n_options; k++)
            CHECK(r->options[k].name && r->options[k].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(data, size), *errors = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&errors, &n);
    struct settings *s;

    CHECK(f);
    s = settings_from_yaml("f", (struct slice){copy, size}, false, f);
    fclose(f);
    CHECK((s == NULL) == (n > 0));
    for (size_t i = 0; i < n; i++)
        CHECK(errors[i] == '\n' || (unsigned char)errors[i] >= 0x20);
    if (s)
        check_settings(s);
    settings_free(s);
    free(errors);
    free(copy);
    return 0;
}
