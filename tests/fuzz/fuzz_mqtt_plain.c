/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of MQTT packets: those pass without the reader that the reader, and
 * whoever judges what it tells, would let pass. The first byte says of which
 * version the stream is, who sends it, and whether what has passed is spoilt.
 */
#include "../unit/plain_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { V5 = 1, CLIENT = 2, SPOILT = 4, LIMITED = 8 };
    struct mqtt_aliases aliases = {0};

    if (size == 0)
        return 0;
    CHECK(mqtt_alias_set(&aliases, 1, MQTT_ALLOWED));
    CHECK(mqtt_alias_set(&aliases, 2, MQTT_DENIED));
    const struct plain config = {
        .version = data[0] & V5 ? MQTT_5 : MQTT_3_1_1,
        .from_client = data[0] & CLIENT,
        .max_packet = data[0] & LIMITED ? 100 : MQTT_VARINT_MAX,
        .aliases = &aliases,
        .allowed = model_allowed,
    };
    model_compare(&config, data + 1, size - 1, data[0] & SPOILT);
    mqtt_aliases_fini(&aliases);
    return 0;
}
