/* SPDX-License-Identifier: Apache-2.0 */
/* paho_target.h - the brokers of an upstream, one address after the other. */
#ifndef GW_MQTT_PAHO_TARGET_H
#define GW_MQTT_PAHO_TARGET_H

#include <stdbool.h>
#include <stddef.h>

struct addrinfo;

enum { TARGET_URI_MAX = 320 };

struct broker {
    char host[256]; /* no brackets */
    char port[6];
};

struct targets {
    bool tls;
    struct broker *brokers;
    size_t n, at; /* at: the one whose turn it is */
    size_t tried; /* brokers that have failed since one last worked */
    struct addrinfo *found, *next; /* its addresses; the one to try */
};

/* "host:port,host,[::1]:port". 0, or -1 with the reason. */
int targets_init(struct targets *t, const char *brokers, bool tls, char *err,
                 size_t cap);
void targets_fini(struct targets *t);

/* Where to connect, as Paho writes it. Resolves the name if need be, which
 * may block. Without TLS the address is literal. With TLS it is the name, for
 * that is what Paho verifies the certificate against. 0, or -1 with *why. */
int targets_uri(struct targets *t, char uri[TARGET_URI_MAX], const char **why);

/* "host:port" of the broker whose turn it is. */
void targets_name(const struct targets *t, char *out, size_t cap);

/* It failed: on to the next. True: all have been tried. */
bool targets_failed(struct targets *t);
/* It works, and stays the first to be tried. */
void targets_worked(struct targets *t);

#endif
