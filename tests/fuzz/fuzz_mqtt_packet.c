/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of MQTT packets, whole and cut: the same is told. Every head goes
 * to what would judge it, and what was taken apart is put together again. Four
 * bytes come first: who sends and which version, how it is cut, and what is
 * looked at. */
#include "../../bridges/mqtt/connect.h"
#include "../../bridges/mqtt/property.h"
#include "../../bridges/mqtt/subscribe.h"
#include "../unit/mqtt_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *room(size_t n)
{
    uint8_t *p = malloc(n ? n : 1);
    CHECK(p);
    return p;
}

static void see_connect(const struct mqtt_event *ev)
{
    struct mqtt_connect c, again;
    size_t n;

    if (mqtt_connect_parse(&c, ev))
        return;
    CHECK((n = mqtt_connect_encode(&c, NULL)) > 0);
    uint8_t *out = room(n);
    CHECK(mqtt_connect_encode(&c, out) == n);
    uint32_t length;
    int fixed = 1 + mqtt_varint_decode(out + 1, n - 1, &length);
    CHECK(fixed >= 2 && (size_t)fixed + length == n);
    const struct mqtt_event written = {
        .p = out, .n = n, .type = MQTT_CONNECT, .fixed = (uint8_t)fixed};
    CHECK(!mqtt_connect_parse(&again, &written));
    CHECK(again.version == c.version && again.clean == c.clean &&
          again.keepalive_s == c.keepalive_s && again.expiry_s == c.expiry_s);
    CHECK(text_equal(again.client_id, c.client_id) &&
          text_equal(again.will_topic, c.will_topic) &&
          text_equal(again.will_payload, c.will_payload) &&
          text_equal(again.user, c.user) &&
          text_equal(again.password, c.password));
    free(out);
}

static void see_connack(const struct mqtt_event *ev, uint8_t version)
{
    const struct mqtt_notice notice = {.keepalive = true,
                                       .keepalive_s = 60,
                                       .expiry = true,
                                       .max_packet = 1000,
                                       .client_id = {"id", 2}};
    struct mqtt_connack c;

    if (mqtt_connack_parse(&c, ev, version))
        return;
    size_t n = mqtt_connack_encode(&c, &notice, NULL);
    uint8_t *out = room(n);
    CHECK(mqtt_connack_encode(&c, &notice, out) == n);
    free(out);
}

static void see_subscribe(const struct mqtt_event *ev, uint8_t version)
{
    struct mqtt_subscribe s;

    if (mqtt_subscribe_parse(&s, ev, version) || s.unsubscribes)
        return;
    uint8_t *codes = room(s.n);
    memset(codes, MQTT_ASK_BROKER, s.n);
    size_t n = mqtt_subscribe_encode(&s, version, codes, NULL);
    uint8_t *out = room(n);
    CHECK(mqtt_subscribe_encode(&s, version, codes, out) == n);
    CHECK(n <= ev->n && ev->n - n < 4); /* but for the way to write lengths */
    codes[s.n - 1] = 0x87;
    CHECK(mqtt_subscribe_encode(&s, version, codes, NULL) < n);
    free(out);
    free(codes);
}

static void see_suback(const struct mqtt_event *ev, uint8_t version)
{
    uint8_t codes[] = {MQTT_ASK_BROKER, 0x80, MQTT_ASK_BROKER};
    struct mqtt_suback s;

    if (mqtt_suback_parse(&s, ev, version))
        return;
    mqtt_suback_merge(&s, codes, sizeof codes);
    CHECK(codes[1] == 0x80);
    size_t n = mqtt_suback_encode(s.id, version, s.properties, codes,
                                  sizeof codes, NULL);
    uint8_t *out = room(n);
    CHECK(mqtt_suback_encode(s.id, version, s.properties, codes, sizeof codes,
                             out) == n);
    free(out);
}

static void see_disconnect(const struct mqtt_event *ev)
{
    if (mqtt_small_check(ev, MQTT_5))
        return;
    uint8_t *out = room(ev->n + 16);
    size_t n = mqtt_disconnect_clamp(ev, 60, out);
    CHECK(n <= ev->n + 3);
    free(out);
}

static void see(struct mqtt_reader *r, const struct mqtt_event *ev)
{
    struct mqtt_publish pub;

    switch (ev->type) {
    case MQTT_CONNECT:
        see_connect(ev);
        break;
    case MQTT_CONNACK:
        see_connack(ev, r->version);
        break;
    case MQTT_PUBLISH:
        if (!mqtt_publish_parse(&pub, ev, r->version))
            CHECK(pub.topic.n > 0 || pub.alias > 0);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        see_subscribe(ev, r->version);
        break;
    case MQTT_SUBACK:
        see_suback(ev, r->version);
        break;
    case MQTT_DISCONNECT:
        see_disconnect(ev);
        break;
    default:
        mqtt_small_check(ev, r->version);
    }
}

static struct mqtt_trace fed(const uint8_t *data, size_t size, size_t step)
{
    static const uint8_t versions[] = {0, MQTT_3_1, MQTT_3_1_1, MQTT_5};
    struct mqtt_trace t = {0};
    struct mqtt_reader r;

    mqtt_reader_init(&r, data[0] & 1, (uint16_t)(data[2] | data[3] << 8));
    r.version = versions[data[0] >> 1 & 3];
    r.step = data[0] & 8;
    r.max_head = 1000;
    r.max_packet = data[0] & 16 ? 2000 : MQTT_VARINT_MAX;
    for (size_t at = 4; at < size; at += step) {
        size_t n = step < size - at ? step : size - at;
        mqtt_trace_feed(&t, &r, data + at, n, see);
        CHECK(r.kept_n <= 1000 + MQTT_FIXED_MAX);
    }
    mqtt_reader_fini(&r);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;

    struct mqtt_trace whole = fed(data, size, size);
    const size_t steps[] = {1, 2 + data[1] % 30U, size / 2 + 1};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct mqtt_trace t = fed(data, size, steps[i]);
        CHECK(mqtt_trace_equal(&whole, &t));
        free(t.p);
    }
    free(whole.p);
    return 0;
}
