/* SPDX-License-Identifier: Apache-2.0 */
/* paho_target.c - whose turn it is. Paho would resolve with a lock held that
 * all its clients need, and would try only one of the addresses. */
#include "paho_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- parsing ------------------------------------------------------------ */

static bool port_valid(const char *s, size_t n)
{
    unsigned long port = 0;

    if (n == 0 || n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        port = port * 10 + (unsigned long)(s[i] - '0');
    }
    return port > 0 && port <= 65535;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT at s[0..n). */
static bool broker_parse(struct broker *b, const char *s, size_t n, bool tls)
{
    const char *host = s, *end = s + n, *port = NULL;
    size_t host_n;

    if (n > 0 && s[0] == '[') {
        const char *bracket = memchr(s, ']', n);
        if (!bracket || (bracket + 1 != end && bracket[1] != ':'))
            return false;
        host = s + 1;
        host_n = (size_t)(bracket - host);
        if (bracket + 1 != end)
            port = bracket + 2;
    } else {
        const char *colon = memchr(s, ':', n);
        host_n = colon ? (size_t)(colon - s) : n;
        if (colon)
            port = colon + 1;
    }
    if (host_n == 0 || host_n >= sizeof b->host ||
        (port && !port_valid(port, (size_t)(end - port))))
        return false;
    memcpy(b->host, host, host_n);
    b->host[host_n] = '\0';
    if (port)
        snprintf(b->port, sizeof b->port, "%.*s", (int)(end - port), port);
    else
        snprintf(b->port, sizeof b->port, "%s", tls ? "8883" : "1883");
    return true;
}

int targets_init(struct targets *t, const char *brokers, bool tls, char *err,
                 size_t cap)
{
    size_t n = 1;
    for (const char *p = brokers; *p; p++)
        n += *p == ',';
    *t = (struct targets){.tls = tls, .brokers = calloc(n, sizeof *t->brokers)};
    if (!t->brokers) {
        snprintf(err, cap, "out of memory");
        return -1;
    }
    for (const char *p = brokers; t->n < n; p += strcspn(p, ",") + 1) {
        size_t len = strcspn(p, ",");
        if (!broker_parse(&t->brokers[t->n++], p, len, tls)) {
            snprintf(err, cap, "not HOST:PORT: \"%.*s\"", (int)len, p);
            targets_fini(t);
            return -1;
        }
    }
    return 0;
}

void targets_fini(struct targets *t)
{
    free(t->brokers);
    t->brokers = NULL;
}

/* ---- addresses ---------------------------------------------------------- */

const char *targets_unknown(const struct targets *t)
{
    return t->n_addresses == 0 ? t->brokers[t->at].host : NULL;
}

void targets_found(struct targets *t, const char *const *addresses, size_t n)
{
    size_t first = 0;

    t->n_addresses = t->next = 0;
    for (size_t i = 0; i < n && t->n_addresses < TARGET_ADDRESSES; i++)
        snprintf(t->addresses[t->n_addresses++], TARGET_ADDRESS_MAX, "%s",
                 addresses[i]);
    /* Where it was found last time it is not waited for elsewhere. */
    while (first < t->n_addresses && strcmp(t->addresses[first], t->good) != 0)
        first++;
    if (first == 0 || first == t->n_addresses)
        return;
    memmove(t->addresses[1], t->addresses[0], first * TARGET_ADDRESS_MAX);
    memcpy(t->addresses[0], t->good, TARGET_ADDRESS_MAX);
}

void targets_uri(const struct targets *t, char uri[TARGET_URI_MAX])
{
    const struct broker *b = &t->brokers[t->at];

    /* No brackets around an IPv6 address: Paho would take the first for a part
     * of the name to verify. */
    if (t->tls) {
        snprintf(uri, TARGET_URI_MAX, "ssl://%s:%s", b->host, b->port);
        return;
    }
    const char *address = t->addresses[t->next];
    bool v6 = strchr(address, ':') != NULL;
    snprintf(uri, TARGET_URI_MAX, "tcp://%s%s%s:%s", v6 ? "[" : "", address,
             v6 ? "]" : "", b->port);
}

void targets_name(const struct targets *t, char *out, size_t cap)
{
    const struct broker *b = &t->brokers[t->at];
    bool v6 = strchr(b->host, ':') != NULL;

    snprintf(out, cap, "%s%s%s:%s", v6 ? "[" : "", b->host, v6 ? "]" : "",
             b->port);
}

bool targets_failed(struct targets *t)
{
    if (t->next + 1 < t->n_addresses && !t->tls) {
        t->next++;
        return false;
    }
    t->n_addresses = 0;
    t->at = (t->at + 1) % t->n;
    if (++t->tried < t->n)
        return false;
    t->tried = 0;
    return true;
}

void targets_worked(struct targets *t)
{
    if (t->n_addresses > 0)
        memcpy(t->good, t->addresses[t->next], sizeof t->good);
    t->n_addresses = 0; /* to be looked up again: it may move */
    t->tried = 0;
}
