/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers, byte for byte. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "../../gateway/net/proxy_end.h"

#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const struct {
    const char *client, *local; /* ADDRESS#PORT; "unix"; NULL: none */
    int version;
    const uint8_t *want;
    size_t n;
} cases[] = {
    {"192.0.2.1#56324", "198.51.100.7#443", 1,
     BYTES("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n")},
    {"255.255.255.255#65535", "255.255.255.255#65535", 1,
     BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n")},
    {"2001:db8::1#1", "2001:DB8:0:0::2#80", 1,
     BYTES("PROXY TCP6 2001:db8:0:0:0:0:0:1 2001:db8:0:0:0:0:0:2 1 80\r\n")},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff#65535",
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff#65535", 1,
     BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")},
    {"::ffff:192.0.2.1#5", "::ffff:192.0.2.2#6", 1,
     BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n")},
    {"::ffff:192.0.2.1#5", "192.0.2.2#6", 1,
     BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n")},
    {"192.0.2.1#5", "2001:db8::1#6", 1, BYTES("PROXY UNKNOWN\r\n")},
    {"unix", "unix", 1, BYTES("PROXY UNKNOWN\r\n")},
    {"unix", "192.0.2.1#5", 1, BYTES("PROXY UNKNOWN\r\n")},
    {"192.0.2.1#5", NULL, 1, BYTES("PROXY UNKNOWN\r\n")},
    {NULL, NULL, 1, BYTES("PROXY UNKNOWN\r\n")},

    {"192.0.2.1#56324", "198.51.100.7#443", 2,
     BYTES(V2_SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07"
                        "\xdc\x04\x01\xbb")},
    {"2001:db8::1#1", "2001:db8::2#80", 2,
     BYTES(V2_SIGNATURE "\x21\x21\0\x24"
                        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                        "\0\x01\0\x50")},
    {"::ffff:192.0.2.1#5", "::ffff:192.0.2.2#6", 2,
     BYTES(V2_SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02"
                        "\0\x05\0\x06")},
    {"unix", "unix", 2, BYTES(V2_SIGNATURE "\x20\0\0\0")},
    {"2001:db8::1#1", "192.0.2.1#5", 2, BYTES(V2_SIGNATURE "\x20\0\0\0")},
    {NULL, "192.0.2.1#5", 2, BYTES(V2_SIGNATURE "\x20\0\0\0")},
};

/* The address in a block of its exact size. */
static struct sockaddr *address_of(const char *text)
{
    char ip[64] = "";
    unsigned port = 0;

    if (!text)
        return NULL;
    if (strcmp(text, "unix") == 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        return copy_of(&un, sizeof(un.sun_family));
    }
    assert_int_equal(sscanf(text, "%63[^#]#%u", ip, &port), 2);
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1)
        return copy_of(&v4, sizeof(v4));
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
    return copy_of(&v6, sizeof(v6));
}

static void encodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        struct sockaddr *client = address_of(cases[i].client);
        struct sockaddr *local = address_of(cases[i].local);
        struct proxy_end from = proxy_end_of(client), to = proxy_end_of(local);
        uint8_t *out = malloc(PROXY_HEADER_MAX);

        assert_non_null(out);
        print_message("version %d, %s to %s\n", cases[i].version,
                      cases[i].client ? cases[i].client : "none",
                      cases[i].local ? cases[i].local : "none");
        assert_int_equal(proxy_encode(out, cases[i].version, &from, &to),
                         cases[i].n);
        assert_memory_equal(out, cases[i].want, cases[i].n);
        free(out);
        free(client);
        free(local);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes),
    };
    return cmocka_run_group_tests_name("proxy_proto", tests, NULL, NULL);
}
