/* SPDX-License-Identifier: Apache-2.0 */
/* envelope.c - requests. What is wrong with the sense of one is noted and
 * reading goes on, so that an error can name the id behind it; what is wrong
 * with its form ends the reading. */
#include "envelope.h"

#include "base64.h"

const char *envelope_error_name(enum envelope_error e)
{
    static const char *const names[ERR_COUNT] = {
        [ERR_BAD_REQUEST] = "bad_request",
        [ERR_FORBIDDEN] = "forbidden",
        [ERR_BAD_TOPIC] = "bad_topic",
        [ERR_TOO_LARGE] = "too_large",
        [ERR_RATE] = "rate",
        [ERR_UNAVAILABLE] = "unavailable",
        [ERR_INTERNAL] = "internal",
    };

    return names[e];
}

/* ---- JSON -------------------------------------------------------------------
 */

enum key {
    KEY_OP = 1 << 0,
    KEY_ID = 1 << 1,
    KEY_TOPIC = 1 << 2,
    KEY_DATA = 1 << 3,
    KEY_TEXT = 1 << 4,
    KEY_B64 = 1 << 5,
    KEY_QOS = 1 << 6,
    KEY_RETAIN = 1 << 7,
    KEY_EVERY = 1 << 8,
    KEY_TOKEN = 1 << 9,

    KEYS_PAYLOAD = KEY_DATA | KEY_TEXT | KEY_B64
};

struct reader {
    struct json in;
    struct envelope *e;
    char *scratch;      /* room for one more decoded string */
    const char *why;    /* the first thing wrong */
    unsigned seen;      /* enum key */
    struct text retain; /* as it stands: what it may be depends on op */
};

static void complain(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
}

/* A string, decoded; of another type: complain. False: bad JSON. */
static bool read_string(struct reader *r, struct text *s, const char *why)
{
    bool plain;

    if (json_peek(&r->in) != '"') {
        complain(r, why);
        return json_value(&r->in, s);
    }
    if (!json_string(&r->in, s, &plain))
        return false;
    if (plain)
        return true;
    if (!json_unescape(*s, r->scratch, &s->n)) {
        complain(r, "half of a surrogate pair in a string");
        return true;
    }
    s->p = r->scratch;
    r->scratch += s->n;
    return true;
}

static bool read_number(struct reader *r, uint32_t max, uint32_t *number,
                        const char *why)
{
    struct text value;
    uint64_t v = 0;
    bool good;

    if (!json_value(&r->in, &value))
        return false;
    good = value.n <= 10;
    for (size_t i = 0; i < value.n && good; i++) {
        good = value.p[i] >= '0' && value.p[i] <= '9';
        v = v * 10 + (uint64_t)(value.p[i] - '0');
    }
    if (good && v <= max)
        *number = (uint32_t)v;
    else
        complain(r, why);
    return true;
}

static bool read_op(struct reader *r)
{
    static const char *const names[OP_COUNT] = {
        [OP_SUB] = "sub",   [OP_UNSUB] = "unsub", [OP_PUB] = "pub",
        [OP_AUTH] = "auth", [OP_PING] = "ping",
    };
    struct text op;

    if (!read_string(r, &op, "op is not a string"))
        return false;
    for (int i = 0; i < OP_COUNT; i++) {
        if (text_equal(op, text_of(names[i]))) {
            r->e->op = (enum envelope_op)i;
            return true;
        }
    }
    complain(r, "op is not one of sub, unsub, pub, auth, ping");
    return true;
}

static bool read_id(struct reader *r)
{
    uint32_t id = UINT32_MAX;

    if (!read_number(r, ENVELOPE_ID_MAX, &id,
                     "id is not a whole number from 0 to 2147483647"))
        return false;
    if (id <= ENVELOPE_ID_MAX) {
        r->e->id = id;
        r->e->has_id = true;
    }
    return true;
}

static bool read_topic(struct reader *r)
{
    return read_string(r, &r->e->topic, "topic is not a string");
}

static bool read_data(struct reader *r)
{
    return json_value(&r->in, &r->e->payload);
}

static bool read_text(struct reader *r)
{
    return read_string(r, &r->e->payload, "text is not a string");
}

/* What the string was decoded to gives way to what that is decoded to. */
static bool read_b64(struct reader *r)
{
    char *room = r->scratch;
    struct text s;

    if (!read_string(r, &s, "b64 is not a string"))
        return false;
    if (!base64_decode(s.p, s.n, room, &r->e->payload.n))
        complain(r, "b64 is not base64 with padding");
    r->e->payload.p = room;
    r->scratch = room + r->e->payload.n;
    return true;
}

static bool read_qos(struct reader *r)
{
    uint32_t qos = 0;

    if (!read_number(r, 2, &qos, "qos is not 0, 1 or 2"))
        return false;
    r->e->qos = (int)qos;
    return true;
}

static bool read_retain(struct reader *r)
{
    return json_value(&r->in, &r->retain);
}

static bool read_every(struct reader *r)
{
    return read_number(r, ENVELOPE_EVERY_MAX, &r->e->every_ms,
                       "every is not a whole number from 0 to 3600000");
}

static bool read_token(struct reader *r)
{
    return read_string(r, &r->e->token, "token is not a string");
}

static const struct {
    const char *name;
    enum key key;
    bool (*read)(struct reader *r);
} keys[] = {
    {"op", KEY_OP, read_op},          {"id", KEY_ID, read_id},
    {"topic", KEY_TOPIC, read_topic}, {"data", KEY_DATA, read_data},
    {"text", KEY_TEXT, read_text},    {"b64", KEY_B64, read_b64},
    {"qos", KEY_QOS, read_qos},       {"retain", KEY_RETAIN, read_retain},
    {"every", KEY_EVERY, read_every}, {"token", KEY_TOKEN, read_token},
};

/* "key": value. A key is known by its plain spelling alone, so that no two
 * spellings of one can stand side by side. */
static bool read_member(struct reader *r)
{
    struct text name, value;
    bool plain;

    if (!json_string(&r->in, &name, &plain))
        return false;
    if (!json_take(&r->in, ':')) {
        r->in.why = "a key without ':' and a value";
        return false;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (!text_equal(name, text_of(keys[i].name)))
            continue;
        if (r->seen & keys[i].key) {
            /* Both are doubtful now, above all the id. */
            r->e->has_id &= keys[i].key != KEY_ID;
            complain(r, "a key is there twice");
            return json_value(&r->in, &value);
        }
        r->seen |= keys[i].key;
        return keys[i].read(r);
    }
    complain(r, "an unknown key");
    return json_value(&r->in, &value);
}

static bool read_object(struct reader *r)
{
    if (!json_take(&r->in, '{')) {
        r->in.why = "not a JSON object";
        return false;
    }
    if (!json_take(&r->in, '}')) {
        do {
            if (!read_member(r))
                return false;
        } while (json_take(&r->in, ','));
        if (!json_take(&r->in, '}')) {
            r->in.why = "an object has no end";
            return false;
        }
    }
    json_peek(&r->in); /* white space may follow */
    if (r->in.p != r->in.end) {
        r->in.why = "something behind the JSON object";
        return false;
    }
    return true;
}

/* "retain": true or false in a pub, one of three words in a sub. */
static void check_retain(struct reader *r)
{
    static const struct {
        const char *word;
        enum envelope_op op;
        int value;
    } words[] = {
        {"false", OP_PUB, false},          {"true", OP_PUB, true},
        {"\"send\"", OP_SUB, RETAIN_SEND}, {"\"new\"", OP_SUB, RETAIN_NEW},
        {"\"none\"", OP_SUB, RETAIN_NONE},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (words[i].op != r->e->op ||
            !text_equal(r->retain, text_of(words[i].word)))
            continue;
        if (r->e->op == OP_PUB)
            r->e->retain = words[i].value;
        else
            r->e->retained = (enum envelope_retain)words[i].value;
        return;
    }
    complain(r, r->e->op == OP_PUB ? "retain is not true or false"
                                   : "retain is not send, new or none");
}

static void check_payload(struct reader *r)
{
    unsigned payloads = r->seen & KEYS_PAYLOAD;

    if (payloads == 0)
        complain(r, "none of data, text and b64");
    else if (payloads & (payloads - 1))
        complain(r, "more than one of data, text and b64");
}

/* Whether the keys and the op go together. */
static void check_sense(struct reader *r)
{
    static const struct {
        unsigned needs, may;
        const char *missing;
    } ops[OP_COUNT] = {
        [OP_SUB] = {KEY_TOPIC, KEY_QOS | KEY_RETAIN | KEY_EVERY,
                    "topic is missing"},
        [OP_UNSUB] = {KEY_TOPIC, 0, "topic is missing"},
        [OP_PUB] = {KEY_TOPIC, KEYS_PAYLOAD | KEY_QOS | KEY_RETAIN,
                    "topic is missing"},
        [OP_AUTH] = {KEY_TOKEN, 0, "token is missing"},
        [OP_PING] = {0, 0, ""},
    };
    enum envelope_op op = r->e->op;

    if (!(r->seen & KEY_OP)) {
        complain(r, "op is missing");
        return;
    }
    if (r->seen & ~(KEY_OP | KEY_ID | ops[op].needs | ops[op].may))
        complain(r, "a key that this op does not have");
    if ((r->seen & ops[op].needs) != ops[op].needs)
        complain(r, ops[op].missing);
    if (op == OP_PUB)
        check_payload(r);
    if (r->seen & KEY_RETAIN)
        check_retain(r);
}

int envelope_parse(struct envelope *e, const char *message, size_t n,
                   char *scratch, const char **why)
{
    struct text text = {n > 0 ? message : "", n};
    struct reader r = {.in = json_of(text), .e = e, .scratch = scratch};

    *e = (struct envelope){0};
    if (!text_is_utf8(text)) {
        *why = "not UTF-8";
        return -1;
    }
    if (!read_object(&r)) {
        *why = r.in.why;
        return -1;
    }
    if (!r.why)
        check_sense(&r);
    *why = r.why;
    return r.why ? -1 : 0;
}

/* ---- binary
 * ------------------------------------------------------------------ */

enum {
    BINARY_HEAD = 8,
    FLAG_QOS = 0x03,
    FLAG_RETAIN = 0x04,
    FLAG_ID = 0x08,
    FLAG_RETAINED = 0x30,
    FLAG_RETAINED_SHIFT = 4
};

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* What a type of message may have. Index: enum envelope_type. */
static const struct {
    bool known, topic;
    enum envelope_op op;
    uint8_t flags; /* beside FLAG_ID */
} types[] = {
    [TYPE_PUB] = {true, true, OP_PUB, FLAG_QOS | FLAG_RETAIN},
    [TYPE_SUB] = {true, true, OP_SUB, FLAG_QOS | FLAG_RETAINED},
    [TYPE_UNSUB] = {true, true, OP_UNSUB, 0},
    [TYPE_PING] = {true, false, OP_PING, 0},
};

static const char *check_flags(const struct envelope *e, uint8_t flags,
                               uint8_t allowed)
{
    if (flags & ~(allowed | FLAG_ID))
        return "a flag that this type does not have";
    if (e->qos > 2)
        return "qos is not 0, 1 or 2";
    if (e->retained > RETAIN_NONE)
        return "retained handling is not 0, 1 or 2";
    return NULL;
}

/* `rest` is what follows the topic. */
static const char *read_rest(struct envelope *e, struct text rest)
{
    switch (e->op) {
    case OP_PUB:
        e->payload = rest;
        return NULL;
    case OP_SUB:
        if (rest.n == 0)
            return NULL;
        if (rest.n != 4)
            return "every is not four bytes";
        e->every_ms = get_u32((const uint8_t *)rest.p);
        return e->every_ms > ENVELOPE_EVERY_MAX ? "every is more than 3600000"
                                                : NULL;
    default:
        return rest.n > 0 ? "bytes behind the message" : NULL;
    }
}

static const char *parse_binary(struct envelope *e, const uint8_t *m, size_t n)
{
    size_t topic;
    uint8_t type, flags;
    const char *why;

    if (n < BINARY_HEAD)
        return "shorter than its header";
    type = m[0];
    flags = m[1];
    topic = (size_t)m[2] << 8 | m[3];
    e->id = get_u32(m + 4);
    e->has_id = (flags & FLAG_ID) && e->id <= ENVELOPE_ID_MAX;
    if (flags & FLAG_ID && !e->has_id)
        return "id is more than 2147483647";
    if (!(flags & FLAG_ID) && e->id != 0)
        return "an id without its flag";
    if (type >= sizeof(types) / sizeof(*types) || !types[type].known)
        return "an unknown type of message";
    e->op = types[type].op;
    e->qos = flags & FLAG_QOS;
    e->retain = (flags & FLAG_RETAIN) != 0;
    e->retained =
        (enum envelope_retain)((flags & FLAG_RETAINED) >> FLAG_RETAINED_SHIFT);
    why = check_flags(e, flags, types[type].flags);
    if (why)
        return why;
    if (topic > n - BINARY_HEAD)
        return "shorter than its topic";
    if ((topic > 0) != types[type].topic)
        return topic > 0 ? "a topic too many" : "topic is missing";
    e->topic = (struct text){(const char *)m + BINARY_HEAD, topic};
    if (!text_is_utf8(e->topic))
        return "the topic is not UTF-8";
    return read_rest(
        e, (struct text){e->topic.p + topic, n - BINARY_HEAD - topic});
}

int envelope_parse_binary(struct envelope *e, const uint8_t *message, size_t n,
                          const char **why)
{
    *e = (struct envelope){0};
    *why = parse_binary(e, message, n);
    return *why ? -1 : 0;
}
