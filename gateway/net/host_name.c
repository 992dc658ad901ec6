/* SPDX-License-Identifier: Apache-2.0 */
/* host_name.c - what a host can be before anybody is asked. */
#include "host_name.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>

enum { LABEL_MAX_LEN = 63 };

/* fe80::1%eth0, fe80::1%2; 0 if there is no such interface. */
static uint32_t zone_index(const char *zone)
{
    char *end;
    unsigned long index = strtoul(zone, &end, 10);

    if (isdigit((unsigned char)zone[0]) && *end == '\0' && index <= UINT32_MAX)
        return (uint32_t)index;
    return if_nametoindex(zone);
}

bool host_literal(struct dns_answer *a, const char *host)
{
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    size_t n = strlen(host);
    uint8_t ip[16];
    uint32_t scope = 0;

    if (host[0] == '[' && n > 2 && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n >= sizeof(text))
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    if (inet_pton(AF_INET, text, ip) == 1) {
        dns_answer_add(a, AF_INET, ip, 0);
        return true;
    }
    char *zone = strchr(text, '%');
    if (zone) {
        *zone++ = '\0';
        scope = zone_index(zone);
    }
    if (inet_pton(AF_INET6, text, ip) != 1)
        return false;
    if (!zone || scope != 0)
        dns_answer_add(a, AF_INET6, ip, scope);
    return true;
}

bool host_localhost(struct dns_answer *a, const char *name, size_t n)
{
    static const char localhost[] = ".localhost";
    const size_t size = sizeof(localhost) - 1;
    const uint32_t v4 = htonl(INADDR_LOOPBACK);

    if (!(n == size - 1 && memcmp(name, localhost + 1, n) == 0) &&
        !(n >= size && memcmp(name + n - size, localhost, size) == 0))
        return false;
    dns_answer_add(a, AF_INET6, &in6addr_loopback, 0);
    dns_answer_add(a, AF_INET, &v4, 0);
    return true;
}

/* Letters, digits, hyphens and underscores in labels; the last is no number,
 * for who writes 127.1 or 10.0.0.256 means an address. */
static bool is_host_name(const char *name, size_t n)
{
    size_t label = 0;
    bool number = true;

    if (n == 0 || n > HOST_NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            number = true;
            continue;
        }
        if (c >= 0x80 || !(isalnum(c) || c == '-' || c == '_') ||
            ++label > LABEL_MAX_LEN)
            return false;
        number = number && isdigit(c);
    }
    return label > 0 && !number;
}

size_t host_fold(const char *host, char out[HOST_NAME_SIZE])
{
    size_t n = strlen(host);

    if (n > HOST_NAME_MAX_LEN + 1)
        return 0;
    for (size_t i = 0; i < n; i++)
        out[i] =
            (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
    out[n] = '\0';
    size_t bare = n > 0 && out[n - 1] == '.' ? n - 1 : n;
    return is_host_name(out, bare) ? bare : 0;
}
