/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_end.h - a socket address as wire/proxy_proto.h wants it. */
#ifndef GW_PROXY_END_H
#define GW_PROXY_END_H

#include "../wire/proxy_proto.h"

#include <sys/socket.h>

/* NULL and what is not IP: ip_len is 0. */
struct proxy_end proxy_end_of(const struct sockaddr *sa);

#endif
