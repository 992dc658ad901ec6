/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - from another thread to the worker's resolver and back. */
#include "lookup.h"

#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <utlist.h>

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN + 1 + IF_NAMESIZE };

struct lookup {
    struct serve *serve;
    struct lookup *prev, *next; /* serve->lookups, once it has begun */
    struct resolver_query *query;
    gw_resolved_fn found;
    void *arg;
    char host[];
};

static void lookup_tell(struct lookup *l, const char *const *addresses,
                        size_t n, const char *why)
{
    gw_resolved_fn found = l->found;
    void *arg = l->arg;

    free(l);
    found(arg, addresses, n, why);
}

static void lookup_resolved_cb(void *ctx, enum resolved result,
                               const struct address *addrs, size_t n)
{
    struct lookup *l = ctx;
    char texts[RESOLVER_ADDRS_MAX][ADDRESS_TEXT];
    const char *addresses[RESOLVER_ADDRS_MAX];
    size_t good = 0;

    DL_DELETE(l->serve->lookups, l);
    for (size_t i = 0; result == RESOLVED && i < n; i++)
        if (getnameinfo((const struct sockaddr *)&addrs[i].sa, addrs[i].len,
                        texts[good], ADDRESS_TEXT, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            addresses[good] = texts[good];
            good++;
        }
    lookup_tell(l, addresses, good,
                good > 0                      ? NULL
                : result == RESOLVE_NOT_FOUND ? "no such host"
                                              : "name resolution failed");
}

/* On the worker. */
static void lookup_begin(void *arg)
{
    struct lookup *l = arg;
    struct serve *s = l->serve;

    l->query = resolver_ask(s->resolver, l->host, 0, lookup_resolved_cb, l);
    if (l->query)
        DL_APPEND(s->lookups, l);
    else
        lookup_tell(l, NULL, 0, "out of memory");
}

bool lookup_start(struct serve *s, const char *host, gw_resolved_fn found,
                  void *arg)
{
    size_t n = strlen(host) + 1;
    struct lookup *l = calloc(1, sizeof *l + n);

    if (!l)
        return false;
    l->serve = s;
    l->found = found;
    l->arg = arg;
    memcpy(l->host, host, n);
    if (mailbox_post(s->mailbox, lookup_begin, l))
        return true;
    free(l);
    return false;
}

void lookups_forget(struct serve *s)
{
    struct lookup *l, *next;

    DL_FOREACH_SAFE(s->lookups, l, next)
    {
        DL_DELETE(s->lookups, l);
        resolver_cancel(l->query);
        free(l);
    }
}
