/* SPDX-License-Identifier: Apache-2.0 */
/* plain.h - packets that need no more than a look, told from those that need a
 * reader: whole PUBLISHes that may pass, and acknowledgements.
 *
 * A flood of messages names few topics. What was found of a topic is remembered
 * for as long as the input lasts that it stands in, as the place where it
 * stands: nothing is copied, and nothing has to be forgotten in time. The same
 * holds for properties. Pure. */
#ifndef GW_MQTT_PLAIN_H
#define GW_MQTT_PLAIN_H

#include "packet.h"
#include "rules.h"

enum {
    PLAIN_TOPICS_LOG = 7,
    PLAIN_TOPICS = 1 << PLAIN_TOPICS_LOG,
    PLAIN_PROBES = 3
};

/* On the stack of whoever has some input to go through. The first members are
 * the caller's to set; all others begin as zero. */
struct plain {
    const uint8_t *input; /* its beginning, while it lasts */
    uint8_t version;
    bool from_client;
    uint32_t max_packet;
    const struct grants *grants;
    const struct mqtt_aliases *aliases;
    /* Whether messages to this topic may pass. Asked about each once or a few
     * times. */
    bool (*allowed)(const struct grants *g, struct text topic);

    size_t intact;  /* no place before this one counts */
    size_t regular; /* from here, packets are of one kind: see plain.c */
    uint8_t fixed;
    /* Where what may pass stands: the offsets of topics, hashed, and of the
     * last properties, each with its length before it. */
    uint32_t topics[PLAIN_TOPICS];
    uint32_t properties;
    unsigned tries; /* to find packets in the order of earlier ones */
};

/* Where the packets at `in` end that may pass. Of those, and of no others, a
 * reader would tell no fault, nor anybody find one. They stay in place, as do
 * the bytes from `intact` to `in`: what comes before may have changed since it
 * was looked at. */
const uint8_t *plain_pass(struct plain *s, const uint8_t *intact,
                          const uint8_t *in, const uint8_t *end);

#endif
