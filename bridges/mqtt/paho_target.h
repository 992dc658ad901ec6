/* SPDX-License-Identifier: Apache-2.0 */
/* paho_target.h - the brokers of an upstream, one address after the other. No
 * I/O: who connects also looks the names up. */
#ifndef GW_MQTT_PAHO_TARGET_H
#define GW_MQTT_PAHO_TARGET_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TARGET_URI_MAX = 320,
    TARGET_ADDRESSES = 16, /* of one name */
    TARGET_ADDRESS_MAX = 64,
};

struct broker {
    char host[256]; /* no brackets */
    char port[6];
};

struct targets {
    bool tls;
    struct broker *brokers;
    size_t n, at; /* at: the one whose turn it is */
    size_t tried; /* brokers that have failed since one last worked */
    char addresses[TARGET_ADDRESSES][TARGET_ADDRESS_MAX]; /* its own */
    size_t n_addresses, next;      /* next: the one to try */
    char good[TARGET_ADDRESS_MAX]; /* the last that worked, of any */
};

/* "host:port,host,[::1]:port". 0, or -1 with the reason. */
int targets_init(struct targets *t, const char *brokers, bool tls, char *err,
                 size_t cap);
void targets_fini(struct targets *t);

/* The name to look up; NULL: its addresses are there. */
const char *targets_unknown(const struct targets *t);
/* Its addresses: no brackets, at least one. */
void targets_found(struct targets *t, const char *const *addresses, size_t n);

/* Where to connect, as Paho writes it. Without TLS the address is literal.
 * With TLS it is the name, for that is what Paho verifies the certificate
 * against; and so Paho looks it up once more. */
void targets_uri(const struct targets *t, char uri[TARGET_URI_MAX]);

/* "host:port" of the broker whose turn it is. */
void targets_name(const struct targets *t, char *out, size_t cap);

/* It failed: on to the next. True: all have been tried. */
bool targets_failed(struct targets *t);
/* It works, and stays the first to be tried. */
void targets_worked(struct targets *t);

#endif
