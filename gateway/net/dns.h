/* SPDX-License-Identifier: Apache-2.0 */
/* dns.h - c-ares on a loop: one name in, its addresses out, nothing kept.
 * Belongs to resolver.c. */
#ifndef GW_DNS_H
#define GW_DNS_H

#include "resolver.h"

#include <ares.h>
#include <time.h>

/* An address without a port. */
struct dns_addr {
    uint16_t family; /* AF_INET, AF_INET6 */
    uint32_t scope;  /* of a link-local literal */
    uint8_t ip[16];
};

struct dns_answer {
    enum resolved result;
    size_t n;
    struct dns_addr addrs[RESOLVER_ADDRS_MAX];
};

/* One more address of AF_INET or AF_INET6, if there is room. */
void dns_answer_add(struct dns_answer *a, int family, const void *ip,
                    uint32_t scope);

struct dns {
    struct loop *loop;
    ares_channel channel;
    char *conf;              /* watched for changes, or NULL */
    struct timespec conf_at; /* when it had last changed at the reading */
    struct dns_watch *watches;
    ev_timer retry; /* when c-ares wants to be called */
    size_t n_asking;
};

/* One name being asked about; embedded by who asks. */
struct dns_question {
    struct dns *dns;
    /* `ttl` is in seconds, bounded both ways. */
    void (*answered)(struct dns_question *q, const struct dns_answer *a,
                     int ttl);
};

/* `servers` as in resolver_new. Returns 0 or -1. */
int dns_open(struct dns *d, struct loop *l, const char *servers);

/* Questions under way are dropped: answered is not called. */
void dns_close(struct dns *d);

/* Ask about `name`, which is borrowed until the answer, as is q. answered may
 * be called before the return: /etc/hosts is read first. */
void dns_ask(struct dns *d, struct dns_question *q, const char *name);

#endif
