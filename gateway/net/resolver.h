/* SPDX-License-Identifier: Apache-2.0 */
/* resolver.h - names to addresses without blocking the loop (c-ares). */
#ifndef GW_RESOLVER_H
#define GW_RESOLVER_H

#include "loop.h"

#include <sys/socket.h>

enum { RESOLVER_ADDRS_MAX = 16 };

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

enum resolved {
    RESOLVED,
    RESOLVE_NOT_FOUND, /* the name does not exist or has no address */
    RESOLVE_FAILED,    /* no server answered, or it refused */
};

struct resolver;       /* one per loop */
struct resolver_query; /* one question under way */

/* `servers`: NULL for the system's, in /etc/resolv.conf, which is read again
 * when it has changed; or the path of another such file, or "ip:port,ip:port".
 * NULL: c-ares could not start. */
struct resolver *resolver_new(struct loop *l, const char *servers);
/* Questions under way are forgotten. */
void resolver_free(struct resolver *r);

typedef void (*resolver_cb)(void *ctx, enum resolved result,
                            const struct address *addrs, size_t n);

/* Ask for the addresses of `host` with `port`. IPv6 and IPv4 alternate,
 * IPv6 first. Literals never reach c-ares: its 1.18 sends them to DNS, where
 * a hostile server could answer. /etc/hosts is honoured. Answers are cached
 * for their TTL (1 s to 5 min; failures 1 s), at most 1,024 names.
 * cb is never called before the return; it may come from the next turn of the
 * loop for literals and cached names. When it is called, the query is gone.
 * NULL: out of memory. */
struct resolver_query *resolver_ask(struct resolver *r, const char *host,
                                    uint16_t port, resolver_cb cb, void *ctx);

/* cb will not be called. */
void resolver_cancel(struct resolver_query *q);

#endif
