/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - the TCP service behind the gateway, on threads of its own. */
#ifndef LOAD_BACKEND_H
#define LOAD_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum service {
    SERVICE_ECHO,   /* sends back what it gets */
    SERVICE_SINK,   /* verifies a stream */
    SERVICE_SOURCE, /* sends a stream */
};

struct backend_options {
    uint16_t port; /* on 127.0.0.1 */
    enum service service;
    size_t write_size; /* source: bytes of one send() */
    bool first_apart;  /* the first connection has a thread to itself */
    bool mqtt;         /* CONNECT comes first, and is answered */
};

/* Listens, then serves. Gives up if the port cannot be had. */
void backend_start(const struct backend_options *o);

uint64_t backend_received(void); /* bytes, of streams */
uint64_t backend_sent(void);

/* A source ends its streams where they are; the rest goes on. */
void backend_quiet(void);

/* Close everything; the threads end. */
void backend_stop(void);

#endif
