/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_proto.h - the PROXY protocol header that tells a backend who its
 * client is: versions 1 (text) and 2 (binary) of HAProxy's proxy-protocol.txt.
 * Encoding only, without TLVs. */
#ifndef GW_PROXY_PROTO_H
#define GW_PROXY_PROTO_H

#include "../base/base.h"

enum { PROXY_HEADER_MAX = 108 }; /* a version 1 line is at most 107 bytes */

/* One end of the client's connection; see net/proxy_end.h. */
struct proxy_end {
    uint8_t ip_len; /* 4, 16, or 0: not an IP address */
    uint8_t ip[16];
    uint16_t port;
};

/* Write the header of `version` (1 or 2) for a connection from `client` to
 * `local`, the address that it reached. IPv4 that came through an IPv6 socket
 * is told as IPv4. If the two are not of one IP version, the header says
 * nothing of them: UNKNOWN, or LOCAL. Returns its size. */
size_t proxy_encode(uint8_t out[PROXY_HEADER_MAX], int version,
                    const struct proxy_end *client,
                    const struct proxy_end *local);

#endif
