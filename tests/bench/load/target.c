/* SPDX-License-Identifier: Apache-2.0 */
/* target.c - taken apart by hand: scheme, host, port, path. */
#include "target.h"
#include "load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *prefix;
    bool websocket, tls;
} schemes[] = {
    {"ws://", true, false},
    {"wss://", true, true},
    {"tcp://", false, false},
    {"tls://", false, true},
};

static bool set_address(struct target *t, const char *host, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&t->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->address;

    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        t->address_len = sizeof *v4;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        t->address_len = sizeof *v6;
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    return false;
}

/* HOST:PORT or [HOST]:PORT into its parts; `text` is changed. */
static const char *split(char *text, uint16_t *port)
{
    char *host = text, *colon = strrchr(text, ':'), *end;

    if (!colon)
        return NULL;
    *colon = '\0';
    unsigned long n = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || n == 0 || n > UINT16_MAX)
        return NULL;
    *port = (uint16_t)n;
    size_t len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        host++;
    }
    return strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
}

const char *target_parse(struct target *t, const char *url)
{
    char text[sizeof t->host];
    uint16_t port;
    size_t i = 0;

    *t = (struct target){0};
    while (i < LEN(schemes) &&
           strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) != 0)
        i++;
    if (i == LEN(schemes))
        return "it begins with ws://, wss://, tcp:// or tls://";
    t->websocket = schemes[i].websocket;
    t->tls = schemes[i].tls;
    url += strlen(schemes[i].prefix);

    size_t n = strcspn(url, "/");
    if (n >= sizeof t->host || strlen(url + n) >= sizeof t->path)
        return "it is too long";
    snprintf(t->path, sizeof t->path, "%s", url[n] ? url + n : "/");
    memcpy(t->host, url, n);
    memcpy(text, t->host, sizeof text);
    const char *host = split(text, &port);
    if (!host)
        return "it names no port";
    if (!set_address(t, host, port))
        return "it is not a loopback address";
    return NULL;
}
