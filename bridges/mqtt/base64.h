/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - RFC 4648 section 4: padded, and only what an encoder writes. */
#ifndef GW_MQTT_BASE64_H
#define GW_MQTT_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t base64_size(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* base64_size(n) characters to out. */
void base64_encode(char *out, const void *p, size_t n);

/* At most n / 4 * 3 bytes to out, which may be p. */
bool base64_decode(const char *p, size_t n, void *out, size_t *out_n);

#endif
