/* SPDX-License-Identifier: Apache-2.0 */
/* ip_block.h - addresses and blocks of them, and which blocks are special.
 *
 * All addresses are 16 bytes here, IPv4 as ::ffff:a.b.c.d: one comparison
 * serves both families, and a mapped address cannot pass for something else
 * than the IPv4 address that it stands for. */
#ifndef GW_IP_BLOCK_H
#define GW_IP_BLOCK_H

#include "../base/err.h"

#include <sys/socket.h>

enum { IP_BITS = 128, IP_V4_BITS = 96 /* before those of an IPv4 address */ };

struct ip {
    uint8_t b[16];
};

struct ip_block {
    struct ip net;
    unsigned prefix; /* bits, IP_V4_BITS and more for IPv4 */
};

/* Read a numeric address of this family (AF_INET, AF_INET6). */
bool ip_parse(struct ip *ip, struct slice text, int family);

/* The address of `sa`; false: not AF_INET or AF_INET6. */
bool ip_of(struct ip *ip, const struct sockaddr *sa);

/* An IPv6 block that is wider than all of IPv4 holds no IPv4 address. */
bool ip_block_has(const struct ip_block *block, const struct ip *ip);

/* 0, or -1 with err set: the address has bits beyond the prefix. */
int ip_block_check(const struct ip_block *block, struct err *err);

/* The special block that `ip` is in, or NULL: loopback, unspecified,
 * link-local, multicast, broadcast, a cloud's metadata service. */
const struct ip_block *ip_special(const struct ip *ip);

bool ip_is_loopback(const struct ip *ip);

#endif
