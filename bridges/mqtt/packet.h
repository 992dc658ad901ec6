/* SPDX-License-Identifier: Apache-2.0 */
/* packet.h - a stream of MQTT control packets, inspected as it passes.
 *
 * Bytes in, events out, no copy: where the part of a packet that matters (its
 * head) lies whole in the input it is told where it lies; only one that the
 * input cuts is gathered, bounded, and freed when it has been told. The head of
 * a PUBLISH is all before its payload, which is passed on as it arrives; that
 * of any other packet is the whole packet. MQTT 3.1, 3.1.1 and 5.0, sections 2
 * and 3. Pure. */
#ifndef GW_MQTT_PACKET_H
#define GW_MQTT_PACKET_H

#include "text.h"

enum mqtt_type {
    MQTT_WILL, /* no packet: the will's properties within CONNECT */
    MQTT_CONNECT,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
};

#define MQTT_BIT(type) ((uint16_t)(1U << (type)))

enum mqtt_version { MQTT_3_1 = 3, MQTT_3_1_1 = 4, MQTT_5 = 5 };

/* MQTT 5.0 section 2.4, those that we send. */
enum mqtt_reason {
    MQTT_MALFORMED = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_IMPLEMENTATION_ERROR = 0x83, /* as a fault: out of memory */
    MQTT_BAD_VERSION = 0x84,
    MQTT_BAD_CLIENT_ID = 0x85,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SESSION_TAKEN_OVER = 0x8E,
    MQTT_TOPIC_FILTER_INVALID = 0x8F,
    MQTT_TOPIC_NAME_INVALID = 0x90,
    MQTT_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_QUOTA_EXCEEDED = 0x97,
    MQTT_NO_SHARED_SUBSCRIPTIONS = 0x9E,
};

/* What is wrong with a packet; always a static one. */
struct mqtt_fault {
    enum mqtt_reason reason;
    const char *why;
};

extern const struct mqtt_fault mqtt_cut; /* a field goes past its packet */
extern const struct mqtt_fault mqtt_bad_string;
extern const struct mqtt_fault mqtt_bad_length; /* of such a packet */
extern const struct mqtt_fault mqtt_no_id;      /* packet identifier 0 */

enum {
    MQTT_VARINT_MAX = 268435455,
    MQTT_FIXED_MAX = 5, /* bytes of a fixed header */
};

/* Variable byte integer, section 1.5.5: returns its size 1-4, 0 if more bytes
 * are needed, -1 malformed. More bytes than the value needs are borne, as
 * brokers do. */
int mqtt_varint_decode(const uint8_t *p, size_t n, uint32_t *value);
size_t mqtt_varint_encode(uint8_t out[4], uint32_t value);
size_t mqtt_varint_size(uint32_t value);

/* ---- fields -------------------------------------------------------------- */

/* Takes fields off the front. Past the end they are 0 or empty, and `cut` is
 * set: look at it once, behind the last field. */
struct mqtt_in {
    const uint8_t *p, *end;
    bool cut;
};

struct mqtt_event;

struct mqtt_in mqtt_in_of(struct text t);
struct mqtt_in mqtt_in_body(const struct mqtt_event *head); /* see below */
uint8_t mqtt_u8(struct mqtt_in *in);
uint16_t mqtt_u16(struct mqtt_in *in);
uint32_t mqtt_u32(struct mqtt_in *in);
uint32_t mqtt_varint(struct mqtt_in *in);
struct text mqtt_bytes(struct mqtt_in *in, size_t n);
/* Binary data or a string: a length of two bytes, and that many. */
struct text mqtt_string(struct mqtt_in *in);
/* A property length and the properties. */
struct text mqtt_block(struct mqtt_in *in);

/* UTF-8 without NUL, section 1.5.4. */
bool mqtt_string_valid(struct text t);

/* Puts fields behind each other. With p NULL it only counts. */
struct mqtt_out {
    uint8_t *p;
    size_t n;
};

void mqtt_put(struct mqtt_out *o, const void *p, size_t n);
void mqtt_put_u8(struct mqtt_out *o, uint8_t v);
void mqtt_put_u16(struct mqtt_out *o, uint16_t v);
void mqtt_put_u32(struct mqtt_out *o, uint32_t v);
void mqtt_put_varint(struct mqtt_out *o, uint32_t v);
void mqtt_put_string(struct mqtt_out *o, struct text t);

/* ---- the reader ---------------------------------------------------------- */

struct mqtt_reader {
    uint16_t want;       /* MQTT_BIT of the types whose heads are told; the
                            others pass without a look */
    uint8_t version;     /* 0: CONNECT has to come */
    bool from_client;    /* else from a broker, who is believed more */
    bool step;           /* let BYTES end where a packet does */
    uint32_t max_head;   /* bytes of a head, its fixed header not counted */
    uint32_t max_packet; /* the same of any packet */

    bool told;       /* the bytes to come belong to the last head */
    uint8_t fixed_n; /* bytes so far of the fixed header of one that passes */
    uint32_t rest;   /* bytes of the packet under way still to come */
    uint8_t *kept;   /* a head that the input has cut; or NULL */
    size_t kept_n, kept_cap;
    bool kept_told;
};

enum mqtt_got {
    MQTT_GOT_MORE, /* the input is used up */
    MQTT_GOT_HEAD,
    MQTT_GOT_BYTES, /* of the last head's payload, or of packets that pass */
    MQTT_GOT_FAULT, /* the stream is of no more use */
};

struct mqtt_event {
    const uint8_t *p; /* in the input; or kept, until the next call */
    size_t n;
    bool kept;

    /* MQTT_GOT_HEAD */
    enum mqtt_type type;
    uint8_t flags; /* low half of the first byte */
    uint8_t fixed; /* size of the fixed header: p[fixed] comes after it */
    uint32_t rest; /* bytes of payload that follow */

    bool payload; /* MQTT_GOT_BYTES: of the last head's */
    const struct mqtt_fault *fault;
};

void mqtt_reader_init(struct mqtt_reader *r, bool from_client, uint16_t want);
void mqtt_reader_fini(struct mqtt_reader *r);

/* The head that was told last, and was kept, is the caller's to free(3). */
uint8_t *mqtt_reader_take(struct mqtt_reader *r);

/* The next event of *in..end; *in moves. Call until MQTT_GOT_MORE or _FAULT. */
enum mqtt_got mqtt_reader_next(struct mqtt_reader *r, const uint8_t **in,
                               const uint8_t *end, struct mqtt_event *ev);

/* Whether all bytes that were told or have passed are whole packets. */
static inline bool mqtt_reader_between(const struct mqtt_reader *r)
{
    return r->rest == 0 && r->fixed_n == 0;
}

/* Whether the same is true of all bytes that were fed: a caller may take
 * packets off the input that follows, which the reader then does not miss. */
static inline bool mqtt_reader_idle(const struct mqtt_reader *r)
{
    return mqtt_reader_between(r) && (r->kept_n == 0 || r->kept_told);
}

/* ---- single packets ------------------------------------------------------ */

struct mqtt_publish {
    uint8_t qos;
    bool retain, dup;
    struct text topic; /* empty: by alias */
    uint16_t id;       /* 0 with QoS 0 */
    uint16_t alias;    /* 0: none */
    uint32_t
        subscription_id; /* 0: none; from brokers only, and then the first */
};

/* From its head. The topic is no more than a string. */
const struct mqtt_fault *mqtt_publish_parse(struct mqtt_publish *p,
                                            const struct mqtt_event *head,
                                            uint8_t version);

/* PUBACK, PUBREC, PUBREL, PUBCOMP, PINGREQ, DISCONNECT, AUTH of a client. */
const struct mqtt_fault *mqtt_small_check(const struct mqtt_event *head,
                                          uint8_t version);

/* An answer of this type; the reason only where the version has one. Returns
 * its size, at most 5. */
enum { MQTT_SMALL_MAX = 5 };
size_t mqtt_small(uint8_t out[MQTT_SMALL_MAX], enum mqtt_type type,
                  uint8_t version, uint16_t id, uint8_t reason);
/* DISCONNECT of a server, MQTT 5 only. */
size_t mqtt_disconnect(uint8_t out[MQTT_SMALL_MAX], uint8_t reason);

/* ---- topic aliases, MQTT 5.0 section 3.3.2.3.4 ----------------------------
 */

/* Nothing is kept of a topic but the verdict. All zero is the beginning. */
struct mqtt_aliases {
    uint8_t *verdicts; /* two bits each */
    uint32_t n;
};

enum mqtt_verdict { MQTT_UNKNOWN, MQTT_ALLOWED, MQTT_DENIED };

enum mqtt_verdict mqtt_alias_get(const struct mqtt_aliases *a, uint16_t alias);
/* False: out of memory. */
bool mqtt_alias_set(struct mqtt_aliases *a, uint16_t alias,
                    enum mqtt_verdict v);
void mqtt_aliases_fini(struct mqtt_aliases *a);

#endif
