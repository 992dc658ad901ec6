/* SPDX-License-Identifier: Apache-2.0 */
/* dialer.h - from a list of endpoints to one connected socket.
 *
 * Endpoints are tried in order (failover); within one, every address, a new
 * attempt beginning 250 ms after the last while that one goes on (RFC 8305
 * section 5) or as soon as it fails. The first to connect wins. So that a
 * silent endpoint does not use up the time of those after it, each has an equal
 * share of what is left; its attempts then go on beside the next one's. */
#ifndef GW_DIALER_H
#define GW_DIALER_H

#include "resolver.h"

struct dialer; /* one dial under way */

enum dial_result {
    DIAL_OK,
    DIAL_REFUSED,    /* somebody said no: 502 */
    DIAL_UNRESOLVED, /* no such name, or no answer about it: 502 */
    DIAL_FORBIDDEN,  /* every address is outside the allow-list: 403 */
    DIAL_TIMEOUT,    /* 504 */
    DIAL_NO_FD,      /* our own limits: 503 */
    DIAL_BAD,        /* the address makes no sense: 502 */
};

struct dial_ops {
    /* fd is connected, non-blocking, close-on-exec, TCP_NODELAY; the callee
     * owns it. `host` is the endpoint's name, for TLS. */
    void (*connected)(void *ctx, int fd, const char *host,
                      const struct address *peer);
    /* `why` is static or valid for the call: "connection refused" ... */
    void (*failed)(void *ctx, enum dial_result result, const char *why);
    /* Whether this address may be dialled: host and port as configured or
     * asked for, and the resolved address; for Unix the path, 0 and NULL.
     * permit NULL: every one. It must not cancel the dial. */
    bool (*permit)(void *ctx, const char *host, uint16_t port,
                   const struct address *a);
};

/* `address`: "host:port,host:port" or, if is_unix, a path ('@' first: an
 * abstract name). `timeout_ms` is for all attempts together; 0: none but the
 * kernel's. Nothing is called before the return. When connected or failed is
 * called the dialer is gone. NULL: out of memory. */
struct dialer *dialer_start(struct loop *l, struct resolver *r,
                            const char *address, bool is_unix,
                            uint16_t default_port, unsigned timeout_ms,
                            const struct dial_ops *ops, void *ctx);

void dialer_cancel(struct dialer *d);

#endif
