/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_end.c - between the sockets' world and the pure one. */
#include "proxy_end.h"

#include <netinet/in.h>

struct proxy_end proxy_end_of(const struct sockaddr *sa)
{
    struct proxy_end e = {0};

    if (sa && sa->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, sa, sizeof(v4));
        e.ip_len = 4;
        e.port = ntohs(v4.sin_port);
        memcpy(e.ip, &v4.sin_addr, 4);
    } else if (sa && sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, sa, sizeof(v6));
        e.ip_len = 16;
        e.port = ntohs(v6.sin6_port);
        memcpy(e.ip, &v6.sin6_addr, 16);
    }
    return e;
}
