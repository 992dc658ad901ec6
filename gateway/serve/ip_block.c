/* SPDX-License-Identifier: Apache-2.0 */
/* ip_block.c - the special blocks are RFC 6890's that lead to this machine, to
 * its link or to nobody, and where clouds keep what machines may not tell. */
#include "ip_block.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define V4(a, b, c, d, bits)                                                   \
    {                                                                          \
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}},              \
            IP_V4_BITS + (bits)                                                \
    }

static const struct ip_block v4_mapped = V4(0, 0, 0, 0, 0);
static const struct ip_block v4_loopback = V4(127, 0, 0, 0, 8);

/* 64:ff9b::/96 (RFC 6052): leads to the IPv4 address in its last 32 bits. */
static const struct ip_block nat64 = {{{0x00, 0x64, 0xff, 0x9b}}, 96};

static const struct ip_block special[] = {
    V4(127, 0, 0, 0, 8),        /* loopback */
    V4(0, 0, 0, 0, 8),          /* unspecified: Linux takes it for loopback */
    V4(169, 254, 0, 0, 16),     /* link-local, with most metadata services */
    V4(224, 0, 0, 0, 4),        /* multicast */
    V4(255, 255, 255, 255, 32), /* broadcast */
    V4(100, 100, 100, 200, 32), /* metadata services elsewhere */
    V4(168, 63, 129, 16, 32),
    V4(192, 0, 0, 192, 32),
    {{{0}}, 96}, /* unspecified, loopback, IPv4 written the obsolete way */
    {{{0xfe, 0x80}}, 10}, /* link-local */
    {{{0xff}}, 8},        /* multicast */
    {{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}}, 128}, /* metadata */
    {{{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}}, 128},
};

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 &&
           (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool ip_block_has(const struct ip_block *block, const struct ip *ip)
{
    if (block->prefix < IP_V4_BITS &&
        bits_equal(ip->b, v4_mapped.net.b, v4_mapped.prefix))
        return false;
    return bits_equal(ip->b, block->net.b, block->prefix);
}

static struct ip ip_v4(const void *four_bytes)
{
    struct ip ip = v4_mapped.net;

    memcpy(ip.b + 12, four_bytes, 4);
    return ip;
}

bool ip_parse(struct ip *ip, struct slice text, int family)
{
    char copy[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (text.n >= sizeof(copy))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (family == AF_INET6)
        return inet_pton(AF_INET6, copy, ip->b) == 1;
    if (inet_pton(AF_INET, copy, &v4) != 1)
        return false;
    *ip = ip_v4(&v4);
    return true;
}

bool ip_of(struct ip *ip, const struct sockaddr *sa)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    switch (sa->sa_family) {
    case AF_INET:
        memcpy(&in, sa, sizeof(in));
        *ip = ip_v4(&in.sin_addr);
        return true;
    case AF_INET6:
        memcpy(&in6, sa, sizeof(in6));
        memcpy(ip->b, &in6.sin6_addr, sizeof(ip->b));
        return true;
    default:
        return false;
    }
}

int ip_block_check(const struct ip_block *block, struct err *err)
{
    bool v4 =
        block->prefix >= IP_V4_BITS && ip_block_has(&v4_mapped, &block->net);
    char text[INET6_ADDRSTRLEN] = "";
    struct ip net = {{0}};

    for (unsigned bit = 0; bit < block->prefix; bit++)
        net.b[bit / 8] |= (uint8_t)(block->net.b[bit / 8] & 0x80 >> bit % 8);
    if (memcmp(&net, &block->net, sizeof(net)) == 0)
        return 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? net.b + 12 : net.b, text,
              sizeof(text));
    return err_set(err,
                   "the address has bits beyond its prefix; the block is "
                   "%s%s%s/%u",
                   v4 ? "" : "[", text, v4 ? "" : "]",
                   block->prefix - (v4 ? IP_V4_BITS : 0));
}

const struct ip_block *ip_special(const struct ip *ip)
{
    for (size_t i = 0; i < LEN(special); i++) {
        if (ip_block_has(&special[i], ip))
            return &special[i];
    }
    if (ip_block_has(&nat64, ip)) {
        struct ip inner = ip_v4(ip->b + 12);
        return ip_special(&inner) ? &nat64 : NULL;
    }
    return NULL;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip one = {{[15] = 1}};

    return ip_block_has(&v4_loopback, ip) || memcmp(ip, &one, sizeof(one)) == 0;
}
