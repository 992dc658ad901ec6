/* SPDX-License-Identifier: Apache-2.0 */
/* envelope.h - gangway.v1.json and its binary twin gangway.v1: see
 * PROTOCOL.md. Bytes to requests, and answers to bytes. Pure.
 *
 * A payload is never re-encoded: the bytes of "data" are cut out of the
 * request as they stand, and go into a message as they are if they are JSON. */
#ifndef GW_MQTT_ENVELOPE_H
#define GW_MQTT_ENVELOPE_H

#include "json.h"
#include "topic.h"

enum {
    ENVELOPE_ID_MAX = INT32_MAX,
    ENVELOPE_EVERY_MAX = 3600000, /* milliseconds */
};

enum envelope_op { OP_SUB, OP_UNSUB, OP_PUB, OP_AUTH, OP_PING, OP_COUNT };

enum envelope_retain { RETAIN_SEND, RETAIN_NEW, RETAIN_NONE };

/* Codes of "err", in PROTOCOL.md's order. */
enum envelope_error {
    ERR_BAD_REQUEST,
    ERR_FORBIDDEN,
    ERR_BAD_TOPIC,
    ERR_TOO_LARGE,
    ERR_RATE,
    ERR_UNAVAILABLE,
    ERR_INTERNAL,
    ERR_COUNT
};
const char *envelope_error_name(enum envelope_error e);

/* Close codes of our own. The hundreds tell the client what to do: 40 stay
 * away, 41 come back later and later, 42 come back now. */
enum envelope_close {
    CLOSE_REFUSED = 4000, /* raw: the broker refuses a filter of the route */
    CLOSE_SLOW = 4100,    /* reads too slowly, and the route says so */
};

struct envelope {
    enum envelope_op op;
    bool has_id;
    uint32_t id;                   /* 0 to 2^31-1, echoed */
    struct text topic;             /* OP_SUB, OP_UNSUB: a filter; valid UTF-8 */
    struct text payload;           /* OP_PUB */
    struct text token;             /* OP_AUTH */
    int qos;                       /* OP_SUB, OP_PUB: 0-2 */
    bool retain;                   /* OP_PUB */
    enum envelope_retain retained; /* OP_SUB: "retain" */
    uint32_t every_ms; /* OP_SUB: 0, or at most one message in that time */
};

/* Parse one text message. The slices point into `message`, or into `scratch`
 * (at least n bytes) where a string had to be decoded. Returns 0; or -1 with
 * *why, a static sentence: bad JSON, depth, duplicate or unknown keys, wrong
 * types, none or several of data, text, b64, a huge id. If the id could be
 * read e->has_id says so even then, so that the error can name it. The topic
 * is UTF-8 and no more: ask topic_name_valid or topic_filter_valid. */
int envelope_parse(struct envelope *e, const char *message, size_t n,
                   char *scratch, const char **why);

/* The same for a binary message of gangway.v1: type u8 (enum envelope_type),
 * flags u8 (bits 0-1 QoS, bit 2 retain, bit 3 has id, bits 4-5 retained
 * handling), topic length u16, id u32, topic, payload (sub: every u32
 * milliseconds, or nothing). Big-endian. */
int envelope_parse_binary(struct envelope *e, const uint8_t *message, size_t n,
                          const char **why);

enum envelope_type {
    TYPE_MSG = 1, /* from the gateway, with bit 2: retained */
    TYPE_PUB,
    TYPE_SUB,
    TYPE_UNSUB,
    TYPE_PING,
};

enum envelope_form {
    FORM_AUTO, /* data if the payload is JSON, else text if UTF-8, else b64 */
    FORM_JSON, /* as auto, but what is not JSON is b64 */
    FORM_TEXT, /* text if UTF-8, else b64 */
    FORM_B64,
};

/* A "msg" envelope: the size it needs, and, if out is not NULL, its bytes.
 * Call twice. `payload` is checked only in the first call. The topic is UTF-8;
 * for the binary one it has at most TOPIC_MAX bytes. */
struct envelope_msg {
    struct text topic, payload;
    int qos;
    bool retained;
    enum envelope_form form;
    char key; /* chosen by the first call: 'd'ata, 't'ext, 'b'64 */
};
size_t envelope_msg(struct envelope_msg *m, char *out);
size_t envelope_msg_binary(const struct envelope_msg *m, uint8_t *out);

/* The short answers, to out[0..cap): their size. More than cap: it did not
 * fit, which only the filter of "lost" can bring about. */
enum { ENVELOPE_ANSWER_MAX = 1024 };
size_t envelope_hello(char *out, size_t cap, const char *session,
                      size_t max_payload);
/* qos < 0: none */
size_t envelope_ack(char *out, size_t cap, uint32_t id, int qos);
size_t envelope_pong(char *out, size_t cap, bool has_id, uint32_t id);
size_t envelope_err(char *out, size_t cap, bool has_id, uint32_t id,
                    enum envelope_error code, const char *msg);
size_t envelope_lost(char *out, size_t cap, struct text filter,
                     uint64_t dropped);
size_t envelope_state(char *out, size_t cap, bool up);

#endif
