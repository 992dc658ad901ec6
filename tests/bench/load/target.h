/* SPDX-License-Identifier: Apache-2.0 */
/* target.h - where the gateway is: a URL of a loopback address. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

struct target {
    struct sockaddr_storage address;
    socklen_t address_len;
    char host[64]; /* with the port, for the request */
    char path[512];
    bool websocket; /* ws: and wss:; else a plain stream */
    bool tls;
};

/* ws://127.0.0.1:8080/path, wss://, tcp://, tls://. Returns NULL, or what is
 * wrong with it. Addresses that are not loopback are refused. */
const char *target_parse(struct target *t, const char *url);

#endif
