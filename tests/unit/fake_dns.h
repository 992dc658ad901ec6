/* SPDX-License-Identifier: Apache-2.0 */
/* fake_dns.h - a name server on loopback, in a thread, that answers from a
 * table and counts what it is asked. UDP, A and AAAA only. */
#ifndef GW_FAKE_DNS_H
#define GW_FAKE_DNS_H

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DNS_A = 1, DNS_AAAA = 28 };
enum { DNS_NXDOMAIN = 3, DNS_SERVFAIL = 2, DNS_SILENT = -1 };

struct dns_record {
    const char *name;      /* a leading '*' stands for anything */
    const char *addresses; /* separated by spaces */
    uint32_t ttl;
    int rcode; /* or DNS_SILENT */
    atomic_uint asked;
};

struct fake_dns {
    struct dns_record *records; /* up to a NULL name; others are NXDOMAIN */
    atomic_uint asked;          /* all */
    int fd;
    char servers[32]; /* for resolver_new */
    pthread_t thread;
};

static inline struct dns_record *dns_find(struct fake_dns *d, const char *name)
{
    for (struct dns_record *r = d->records; r->name; r++) {
        const char *want = r->name;
        size_t n = strlen(name), m = strlen(want);
        if (want[0] == '*' && n >= m - 1 &&
            strcasecmp(name + n - (m - 1), want + 1) == 0)
            return r;
        if (strcasecmp(name, want) == 0)
            return r;
    }
    return NULL;
}

/* The name of the question after the 12 bytes of the header. Returns where it
 * ends, or 0. */
static inline size_t dns_name(const uint8_t *p, size_t n, char out[256])
{
    size_t at = 12, used = 0;

    for (; at < n && p[at] != 0; at += 1 + (size_t)p[at]) {
        if (at + 1 + p[at] >= n || used + p[at] + 2 > 256)
            return 0;
        if (used > 0)
            out[used++] = '.';
        memcpy(out + used, p + at + 1, p[at]);
        used += p[at];
    }
    out[used] = '\0';
    return at + 1;
}

/* One answer with the address `text`, if it is of the type. Returns its size.
 */
static inline size_t dns_put(uint8_t *out, const char *text, int type,
                             uint32_t ttl)
{
    uint8_t ip[16];
    const size_t n = type == DNS_A ? 4 : 16;

    if (inet_pton(type == DNS_A ? AF_INET : AF_INET6, text, ip) != 1)
        return 0;
    const uint8_t head[] = {0xc0,
                            12, /* the question's name */
                            0,
                            (uint8_t)type,
                            0,
                            1, /* IN */
                            (uint8_t)(ttl >> 24),
                            (uint8_t)(ttl >> 16),
                            (uint8_t)(ttl >> 8),
                            (uint8_t)ttl,
                            0,
                            (uint8_t)n};
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), ip, n);
    return sizeof(head) + n;
}

/* Turn the question p[0..n) into its answer. Returns its size, 0: none. */
static inline size_t dns_answer(struct fake_dns *d, uint8_t *p, size_t n)
{
    char name[256], list[512] = "", *save = NULL;
    size_t end = dns_name(p, n, name);

    if (end == 0 || end + 4 > n)
        return 0;
    struct dns_record *r = dns_find(d, name);
    atomic_fetch_add(&d->asked, 1);
    if (r)
        atomic_fetch_add(&r->asked, 1);
    if (r && r->rcode == DNS_SILENT)
        return 0;
    p[2] |= 0x80; /* a response */
    p[3] = (uint8_t)(0x80 | (r ? r->rcode : DNS_NXDOMAIN));
    memset(p + 6, 0, 6); /* no records behind the question */
    int type = p[end] << 8 | p[end + 1];
    end += 4;
    if (r && r->addresses)
        snprintf(list, sizeof(list), "%s", r->addresses);
    for (char *a = strtok_r(list, " ", &save); a;
         a = strtok_r(NULL, " ", &save)) {
        size_t size = dns_put(p + end, a, type, r->ttl);
        end += size;
        p[7] = (uint8_t)(p[7] + (size > 0));
    }
    return end;
}

static inline void *dns_main(void *arg)
{
    struct fake_dns *d = arg;
    uint8_t p[1500];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(d->fd, p, 512, 0, (struct sockaddr *)&from, &len)) >=
           12) {
        size_t size = dns_answer(d, p, (size_t)n);
        if (size > 0)
            sendto(d->fd, p, size, 0, (struct sockaddr *)&from, len);
    }
    return NULL;
}

/* At `ip` and `port` (0: any). False: that may not be had. */
static inline bool dns_start_at(struct fake_dns *d, struct dns_record *records,
                                const char *ip, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof(sa);

    *d = (struct fake_dns){.records = records};
    d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_not_equal(d->fd, -1);
    assert_int_equal(inet_pton(AF_INET, ip, &sa.sin_addr), 1);
    if (bind(d->fd, (struct sockaddr *)&sa, len) == -1) {
        close(d->fd);
        return false;
    }
    assert_int_equal(getsockname(d->fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(d->servers, sizeof(d->servers), "%s:%d", ip, ntohs(sa.sin_port));
    for (struct dns_record *r = records; r->name; r++)
        r->asked = 0;
    assert_int_equal(pthread_create(&d->thread, NULL, dns_main, d), 0);
    return true;
}

static inline void dns_start(struct fake_dns *d, struct dns_record *records)
{
    assert_true(dns_start_at(d, records, "127.0.0.1", 0));
}

static inline void dns_stop(struct fake_dns *d)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);

    /* A datagram shorter than a header ends the thread. */
    assert_int_equal(getsockname(d->fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(sendto(d->fd, "", 1, 0, (struct sockaddr *)&sa, len), 1);
    pthread_join(d->thread, NULL);
    close(d->fd);
}

#endif
