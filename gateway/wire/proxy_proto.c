/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_proto.c - proxy-protocol.txt, sections 2.1 and 2.2. */
#include "proxy_proto.h"

#include <stdio.h>

/* The octets of section 2.2. */
enum {
    V2_LOCAL = 0x20, /* version 2, command LOCAL */
    V2_PROXY = 0x21,
    V2_UNSPEC = 0x00, /* family and transport */
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
};

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* ::ffff:192.0.2.1 is 192.0.2.1 */
static struct proxy_end unmapped(const struct proxy_end *e)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    struct proxy_end v4 = {.ip_len = 4, .port = e->port};

    if (e->ip_len != 16 || memcmp(e->ip, prefix, sizeof(prefix)) != 0)
        return *e;
    memcpy(v4.ip, e->ip + sizeof(prefix), 4);
    return v4;
}

static unsigned group(const struct proxy_end *e, size_t i)
{
    return (unsigned)e->ip[2 * i] << 8 | e->ip[2 * i + 1];
}

/* IPv6 without "::", which the protocol leaves to the sender. */
static void ip_text(char out[40], const struct proxy_end *e)
{
    if (e->ip_len == 4)
        snprintf(out, 40, "%d.%d.%d.%d", e->ip[0], e->ip[1], e->ip[2],
                 e->ip[3]);
    else
        snprintf(out, 40, "%x:%x:%x:%x:%x:%x:%x:%x", group(e, 0), group(e, 1),
                 group(e, 2), group(e, 3), group(e, 4), group(e, 5),
                 group(e, 6), group(e, 7));
}

static size_t encode_v1(uint8_t *out, const struct proxy_end *client,
                        const struct proxy_end *local)
{
    char from[40], to[40];

    if (client->ip_len == 0)
        return (size_t)snprintf((char *)out, PROXY_HEADER_MAX,
                                "PROXY UNKNOWN\r\n");
    ip_text(from, client);
    ip_text(to, local);
    return (size_t)snprintf((char *)out, PROXY_HEADER_MAX,
                            "PROXY TCP%c %s %s %u %u\r\n",
                            client->ip_len == 4 ? '4' : '6', from, to,
                            (unsigned)client->port, (unsigned)local->port);
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

static uint8_t *put_be16(uint8_t *p, unsigned value)
{
    *p++ = (uint8_t)(value >> 8);
    *p++ = (uint8_t)value;
    return p;
}

static size_t encode_v2(uint8_t *out, const struct proxy_end *client,
                        const struct proxy_end *local)
{
    size_t n = client->ip_len;
    uint8_t *p = put(out, signature, sizeof(signature));

    *p++ = n == 0 ? V2_LOCAL : V2_PROXY;
    *p++ = n == 0 ? V2_UNSPEC : n == 4 ? V2_TCP4 : V2_TCP6;
    if (n == 0)
        return (size_t)(put_be16(p, 0) - out);
    p = put_be16(p, 2 * (unsigned)n + 4);
    p = put(p, client->ip, n);
    p = put(p, local->ip, n);
    p = put_be16(p, client->port);
    p = put_be16(p, local->port);
    return (size_t)(p - out);
}

size_t proxy_encode(uint8_t out[PROXY_HEADER_MAX], int version,
                    const struct proxy_end *client,
                    const struct proxy_end *local)
{
    struct proxy_end from = unmapped(client), to = unmapped(local);

    if (from.ip_len != to.ip_len)
        from.ip_len = 0;
    return version == 1 ? encode_v1(out, &from, &to)
                        : encode_v2(out, &from, &to);
}
