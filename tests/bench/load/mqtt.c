/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt.c - CONNECT, and a block of PUBLISH packets. */
#include "mqtt.h"
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONNECT = 0x10,
    PUBLISH = 0x30, /* QoS 0, not retained */
    CLEAN_SESSION = 2,
    CLIENT_LEN = 12, /* of "load-1234567" */
    TOPIC_LEN = 9,   /* of "bench/123" */
    BLOCK_MIN = 128 * 1024,
    PUBLISH_HEAD_MAX = 5 + 2 + TOPIC_LEN,
};

/* MQTT 3.1.1, 2.2.3: seven bits a byte, the lowest first. */
static size_t put_length(uint8_t *out, size_t n)
{
    size_t i = 0;

    do {
        out[i] = (uint8_t)(n % 128 | (n >= 128 ? 0x80 : 0));
        n /= 128;
        i++;
    } while (n > 0);
    return i;
}

static size_t put_text(uint8_t *out, const char *text)
{
    size_t n = strlen(text);

    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    memcpy(out + 2, text, n);
    return 2 + n;
}

size_t mqtt_connect_write(uint8_t *out, uint32_t number)
{
    static const uint8_t fixed[] = {4, CLEAN_SESSION, 0, 0}; /* no keep alive */
    char client[CLIENT_LEN + 1];
    size_t n = 2;

    snprintf(client, sizeof client, "load-%07u", number % STREAM_NUMBERS);
    n += put_text(out + n, "MQTT");
    memcpy(out + n, fixed, sizeof fixed);
    n += sizeof fixed;
    n += put_text(out + n, client);
    out[0] = CONNECT;
    out[1] = (uint8_t)(n - 2);
    return n;
}

/* How long the packet is, 0 if that cannot be told yet. */
static size_t packet_size(const struct mqtt_greeting *g)
{
    size_t value = 0;

    for (size_t i = 1; i < g->n && i < 5; i++) {
        value |= (size_t)(g->packet[i] & 0x7f) << 7 * (i - 1);
        if (!(g->packet[i] & 0x80))
            return 1 + i + value;
    }
    return 0;
}

/* A gateway may change what surrounds it; the client identifier stays. */
static bool find_number(const struct mqtt_greeting *g, uint32_t *number)
{
    const uint8_t *at = memmem(g->packet, g->n, "load-", 5);
    char text[8] = {0};
    char *end;

    if (g->packet[0] != CONNECT || !at || g->packet + g->n - at < CLIENT_LEN)
        return false;
    memcpy(text, at + 5, 7);
    unsigned long value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return *end == '\0' && value < STREAM_NUMBERS;
}

enum mqtt_result mqtt_greeting_feed(struct mqtt_greeting *g, const uint8_t **p,
                                    size_t *n, uint32_t *number)
{
    for (; *n > 0; ++*p, --*n) {
        size_t size = packet_size(g);
        if (size > 0 && g->n == size)
            break;
        if (g->n == MQTT_GREETING_MAX)
            return MQTT_BAD;
        g->packet[g->n++] = **p;
    }
    size_t size = packet_size(g);
    if (size == 0 || g->n < size)
        return MQTT_MORE;
    return find_number(g, number) ? MQTT_DONE : MQTT_BAD;
}

static size_t put_publish(uint8_t *out, unsigned topic, size_t payload,
                          uint64_t *noise)
{
    char name[16];
    size_t n = 1;

    snprintf(name, sizeof name, "bench/%03u", topic % 1000);
    out[0] = PUBLISH;
    n += put_length(out + n, 2 + TOPIC_LEN + payload);
    n += put_text(out + n, name);
    for (size_t i = 0; i < payload; i++) {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        out[n++] = (uint8_t)(*noise >> 32);
    }
    return n;
}

size_t mqtt_pattern_init(size_t payload, unsigned topics)
{
    uint64_t noise = UINT64_C(0x9e3779b97f4a7c15);
    size_t rounds = BLOCK_MIN / (payload * topics) + 1;
    size_t packets = rounds * topics, packet = 0, n = 0;
    uint8_t *block = need(packets, PUBLISH_HEAD_MAX + payload);

    for (size_t i = 0; i < packets; i++) {
        packet =
            put_publish(block + n, (unsigned)(i % topics), payload, &noise);
        n += packet;
    }
    pattern_init_packets(block, n, packet);
    free(block);
    return packet;
}
