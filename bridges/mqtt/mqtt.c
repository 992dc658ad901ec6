/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt.c - the bridge's table, its options, and which dialect a client speaks.
 */
#include "mqtt.h"
#include "topics_route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct gw_bridge bridge_mqtt;

/* ---- dialects -------------------------------------------------------------
 */

static const struct {
    const char *subprotocol;
    const struct mqtt_dialect *dialect;
} dialects[] = {
    {"mqtt", &mqtt_packets},
    {"mqttv3.1", &mqtt_packets},
    {"gangway.v1.json", &mqtt_topics},
    {"gangway.v1", &mqtt_topics},
    {"", &mqtt_topics}, /* raw, if the route names topics */
};

/* For routes that list none: the same. */
static const char *const subprotocols[] = {
    "mqtt", "mqttv3.1", "gangway.v1.json", "gangway.v1", NULL};

static void *topics_dialect_open(struct gw_session *s,
                                 const struct mqtt_route *route,
                                 const struct gw_request *r, enum gw_take *take)
{
    if (!route->topics) {
        route->host->refuse(s, 400, "offer the subprotocol mqtt");
        return NULL;
    }
    struct client *c = topics_open(s, route->topics, r, take);
    if (c)
        c->dialect_.dialect = &mqtt_topics;
    return c;
}

const struct mqtt_dialect mqtt_topics = {
    .open = topics_dialect_open,
    .data = topics_data,
    .drained = topics_drained,
    .client_ended = topics_client_ended,
    .close = topics_close,
};

static void *mqtt_open(struct gw_session *s, void *route,
                       const struct gw_request *r, enum gw_take *take)
{
    const struct mqtt_route *mr = route;

    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        if (strcmp(dialects[i].subprotocol, r->subprotocol) == 0)
            return dialects[i].dialect->open(s, mr, r, take);
    }
    mr->host->refuse(s, 400, "offer the subprotocol mqtt");
    return NULL;
}

static const struct mqtt_dialect *dialect_of(const void *state)
{
    const struct mqtt_session *s = state;
    return s->dialect;
}

static void mqtt_data(void *state, const struct gw_data *d)
{
    dialect_of(state)->data(state, d);
}

static void mqtt_drained(void *state)
{
    dialect_of(state)->drained(state);
}

static void mqtt_client_ended(void *state, uint16_t code)
{
    dialect_of(state)->client_ended(state, code);
}

static void mqtt_close(void *state)
{
    dialect_of(state)->close(state);
}

/* ---- rules ----------------------------------------------------------------
 */

struct filling {
    const struct gw_host *host;
    struct gw_session *session;
    const char *why;
};

static int fill_topic(void *ctx, const char *text, char *out, size_t cap)
{
    struct filling *f = ctx;
    return f->host->template_fill(f->session, text, GW_FILL_TOPIC, out, cap,
                                  &f->why);
}

bool mqtt_grants(struct gw_session *s, const struct mqtt_route *route,
                 struct grants **g)
{
    struct filling f = {route->host, s, NULL};

    *g = NULL;
    if (!rules_any(route->rules))
        return true;
    *g = rules_fill(route->rules, fill_topic, &f);
    if (!*g)
        route->host->refuse(s, 400, "a value of the request is no topic level");
    return *g != NULL;
}

/* ---- options --------------------------------------------------------------
 */

enum {
    OPT_USER,
    OPT_PASSWORD,
    OPT_CLIENT_ID,
    OPT_CLIENT_ID_PREFIX,
    OPT_ALLOW,
    OPT_DENY,
    OPT_ALLOW_SHARED,
    OPT_DENIED,
    OPT_CONNECT_DEADLINE,
    OPT_MAX_KEEPALIVE,
    OPT_MAX_SESSION_EXPIRY,
    OPT_MAX_PACKET,
    OPT_CONNECT_TIMEOUT,
    OPT_PROXY,
    OPT_SNI,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_INSECURE,
    OPT_POOL_USER,
    OPT_POOL_PASSWORD,
    OPT_POOL_CLIENT_ID,
    OPT_VERSION,
    OPT_KEEPALIVE,
    OPT_WINDOW,
    OPT_WILL_TOPIC,
    OPT_WILL_PAYLOAD,
};

static const struct gw_option options[] = {
    [OPT_USER] = {"user", GW_OPT_STRING, NULL, NULL,
                  "user name for the broker instead of the client's; may hold "
                  "{placeholders}"},
    [OPT_PASSWORD] = {"password", GW_OPT_STRING, NULL, NULL,
                      "password beside user; may hold {placeholders}"},
    [OPT_CLIENT_ID] = {"client_id", GW_OPT_STRING, NULL, NULL,
                       "client id instead of the client's; with "
                       "{placeholders}, for it must be a session's own"},
    [OPT_CLIENT_ID_PREFIX] = {"client_id_prefix", GW_OPT_STRING, NULL, NULL,
                              "goes before the client's id; may hold "
                              "{placeholders}"},
    [OPT_ALLOW] = {"allow", GW_OPT_STRING, NULL, NULL,
                   "what clients may do: pub:FILTER;sub:FILTER;all:FILTER; "
                   "may hold {placeholders}. Without it: all but $..."},
    [OPT_DENY] = {"deny", GW_OPT_STRING, NULL, NULL,
                  "what they may not although it is allowed; as allow"},
    [OPT_ALLOW_SHARED] = {"allow_shared", GW_OPT_BOOL, NULL, "false",
                          "shared subscriptions ($share/GROUP/FILTER) where "
                          "the plain filter is allowed; else a rule for "
                          "$share must say so"},
    [OPT_DENIED] = {"denied", GW_OPT_ENUM, "disconnect|drop", "disconnect",
                    "MQTT 3: a PUBLISH that is not allowed ends the session, "
                    "or is acknowledged and dropped"},
    [OPT_CONNECT_DEADLINE] = {"connect_deadline", GW_OPT_DURATION, NULL, "5s",
                              "by then a client has sent CONNECT"},
    [OPT_MAX_KEEPALIVE] = {"max_keepalive", GW_OPT_DURATION, NULL, "300s",
                           "longer ones, and none, become this one; 0: any"},
    [OPT_MAX_SESSION_EXPIRY] = {"max_session_expiry", GW_OPT_DURATION, NULL,
                                NULL,
                                "how long a broker may keep a client's "
                                "session; MQTT 3 knows 0 only: none is kept"},
    [OPT_MAX_PACKET] = {"max_packet", GW_OPT_SIZE, NULL, NULL,
                        "larger packets of clients are refused; without it "
                        "256 KiB, and any size of PUBLISH"},
    [OPT_CONNECT_TIMEOUT] = {"connect_timeout", GW_OPT_DURATION, NULL, NULL,
                             "to the broker, for all attempts together; "
                             "timeouts.connect"},
    [OPT_PROXY] = {"proxy", GW_OPT_ENUM, "off|v1|v2", "off",
                   "PROXY protocol header that tells the client's address"},
    [OPT_SNI] = {"sni", GW_OPT_STRING, NULL, NULL,
                 "mqtts: name to ask for and to verify"},
    [OPT_CA] = {"ca", GW_OPT_FILE, NULL, NULL,
                "mqtts: authorities (PEM) instead of the system's"},
    [OPT_CERT] = {"cert", GW_OPT_FILE, NULL, NULL,
                  "mqtts: client certificate (PEM)"},
    [OPT_KEY] = {"key", GW_OPT_FILE, NULL, NULL, "mqtts: its key (PEM)"},
    [OPT_INSECURE] = {"insecure", GW_OPT_BOOL, NULL, "false",
                      "mqtts: do not verify the broker"},
    [OPT_POOL_USER] = {"pool_user", GW_OPT_STRING, NULL, NULL,
                       "topic dialects: user name of the gateway's own "
                       "connections; user, if that has no placeholders"},
    [OPT_POOL_PASSWORD] = {"pool_password", GW_OPT_STRING, NULL, NULL,
                           "its password"},
    [OPT_POOL_CLIENT_ID] = {"pool_client_id", GW_OPT_STRING, NULL, "gangway",
                            "beginning of their client ids"},
    [OPT_VERSION] = {"version", GW_OPT_ENUM, "5|3.1.1", "5",
                     "topic dialects: MQTT version towards the broker"},
    [OPT_KEEPALIVE] = {"keepalive", GW_OPT_DURATION, NULL, "30s",
                       "topic dialects: keep alive towards the broker"},
    [OPT_WINDOW] = {"window", GW_OPT_SIZE, NULL, "100",
                    "topic dialects: publishes under way at once"},
    [OPT_WILL_TOPIC] = {"will_topic", GW_OPT_STRING, NULL, NULL,
                        "topic dialects: where the broker tells that the "
                        "gateway is gone"},
    [OPT_WILL_PAYLOAD] = {"will_payload", GW_OPT_STRING, NULL, "offline",
                          "what it tells there"},
    TOPICS_OPTIONS,
    {0},
};

/* ---- routes ---------------------------------------------------------------
 */

static int complain(char *err, size_t cap, const char *what)
{
    snprintf(err, cap, "%s", what);
    return -1;
}

static int route_tls(struct mqtt_route *r, const struct gw_target *t, char *err,
                     size_t cap)
{
    const struct gw_value *v = t->values;
    bool secure = strcmp(t->scheme, "mqtts") == 0;
    const struct gw_tls_options o = {
        .sni = v[OPT_SNI].text,
        .ca = v[OPT_CA].text,
        .cert = v[OPT_CERT].text,
        .key = v[OPT_KEY].text,
        .insecure = v[OPT_INSECURE].number,
    };
    r->default_port = secure ? 8883 : 1883;
    if (!secure && (o.sni || o.ca || o.cert || o.key || o.insecure))
        return complain(err, cap, "TLS options need an mqtts:// target");
    if (secure && !(r->tls = r->host->tls_new(&o, err, cap)))
        return -1;
    return 0;
}

struct check {
    const struct gw_host *host;
    const struct gw_target *target;
    char *err;
    size_t cap;
};

static int template_check(void *ctx, const char *text)
{
    struct check *c = ctx;
    return c->host->template_check(c->target, text, c->err, c->cap) < 0 ? -1
                                                                        : 0;
}

static int route_templates(struct mqtt_route *r, const struct gw_target *t,
                           char *err, size_t cap)
{
    static const int option_of[MQTT_TEMPLATES] = {
        [TEMPLATE_USER] = OPT_USER,
        [TEMPLATE_PASSWORD] = OPT_PASSWORD,
        [TEMPLATE_CLIENT_ID] = OPT_CLIENT_ID,
        [TEMPLATE_CLIENT_ID_PREFIX] = OPT_CLIENT_ID_PREFIX,
    };
    struct check c = {r->host, t, err, cap};

    for (int i = 0; i < MQTT_TEMPLATES; i++) {
        const char *text = t->values[option_of[i]].text;
        if (!text)
            continue;
        if (template_check(&c, text) < 0)
            return -1;
        if (!(r->templates[i] = strdup(text)))
            return complain(err, cap, "out of memory");
    }
    if (r->templates[TEMPLATE_PASSWORD] && !r->templates[TEMPLATE_USER])
        return complain(err, cap, "password needs user");
    if (r->templates[TEMPLATE_CLIENT_ID] &&
        r->templates[TEMPLATE_CLIENT_ID_PREFIX])
        return complain(err, cap,
                        "client_id and client_id_prefix: one of them");
    return 0;
}

static int route_rules(struct mqtt_route *r, const struct gw_target *t,
                       char *err, size_t cap)
{
    const struct gw_value *v = t->values;
    struct check c = {r->host, t, err, cap};

    r->rules = rules_new(v[OPT_ALLOW].text, v[OPT_DENY].text, err, cap);
    if (!r->rules || rules_each(r->rules, template_check, &c) != 0)
        return -1;
    r->checks_delivery = rules_any(r->rules) && v[OPT_DENY].text;
    return 0;
}

static int route_limits(struct mqtt_route *r, const struct gw_value *v,
                        char *err, size_t cap)
{
    enum { LEAST_PACKET = 64 };
    uint64_t keepalive = v[OPT_MAX_KEEPALIVE].number / 1000;

    if (keepalive == 0 && v[OPT_MAX_KEEPALIVE].number > 0)
        return complain(err, cap, "max_keepalive: whole seconds, or 0");
    if (v[OPT_MAX_PACKET].text && v[OPT_MAX_PACKET].number < LEAST_PACKET)
        return complain(err, cap, "max_packet: 64 bytes at least");
    r->max_keepalive_s = (uint16_t)(keepalive < UINT16_MAX ? keepalive : 0);
    r->clamp_expiry = v[OPT_MAX_SESSION_EXPIRY].text;
    r->max_expiry_s = (uint32_t)(v[OPT_MAX_SESSION_EXPIRY].number / 1000);
    r->max_packet = (uint32_t)v[OPT_MAX_PACKET].number;
    r->connect_deadline_ms = (uint32_t)v[OPT_CONNECT_DEADLINE].number;
    r->connect_timeout_ms = (uint32_t)v[OPT_CONNECT_TIMEOUT].number;
    return 0;
}

/* The credentials of the gateway's own connections are nobody's: those of the
 * sessions serve if they are the same for all. */
static int route_topics(struct mqtt_route *r, const struct gw_target *t,
                        char *err, size_t cap)
{
    const struct gw_value *v = t->values;
    bool same = v[OPT_USER].text && !strchr(v[OPT_USER].text, '{') &&
                !(v[OPT_PASSWORD].text && strchr(v[OPT_PASSWORD].text, '{'));
    bool own = v[OPT_POOL_USER].text;
    const struct pool_settings pool = {
        .ops = &upstream_paho,
        .bridge = &bridge_mqtt,
        .host = r->host,
        .brokers = t->address,
        .tls = r->tls != NULL,
        .insecure = v[OPT_INSECURE].number,
        .ca = v[OPT_CA].text,
        .cert = v[OPT_CERT].text,
        .key = v[OPT_KEY].text,
        .sni = v[OPT_SNI].text,
        .user = own    ? v[OPT_POOL_USER].text
                : same ? v[OPT_USER].text
                       : NULL,
        .password = own    ? v[OPT_POOL_PASSWORD].text
                    : same ? v[OPT_PASSWORD].text
                           : NULL,
        .client_id = v[OPT_POOL_CLIENT_ID].text,
        .will_topic = v[OPT_WILL_TOPIC].text,
        .will_payload = v[OPT_WILL_PAYLOAD].text,
        .version = v[OPT_VERSION].number == 0 ? 5 : 4,
        .keepalive_s = (unsigned)(v[OPT_KEEPALIVE].number / 1000),
        .connect_timeout_ms = r->connect_timeout_ms,
        .window = (unsigned)v[OPT_WINDOW].number,
        .window_bytes = 256 << 10,
    };
    if (strchr(t->address, '{'))
        return 0; /* a broker that the client names serves its packets only */
    r->topics = calloc(1, sizeof *r->topics);
    if (!r->topics)
        return complain(err, cap, "out of memory");
    return topics_route_open(r->topics, r->host, options, t, &pool, err, cap);
}

static void mqtt_route_close(const struct gw_host *host, void *route)
{
    struct mqtt_route *r = route;

    if (r->topics)
        topics_route_close(r->topics);
    free(r->topics);

    for (int i = 0; i < MQTT_TEMPLATES; i++)
        free(r->templates[i]);
    rules_free(r->rules);
    if (r->tls)
        host->tls_free(r->tls);
    free(r);
}

static int mqtt_route_open(const struct gw_host *host,
                           const struct gw_target *t, void **route, char *err,
                           size_t cap)
{
    const struct gw_value *v = t->values;

    if (t->address[0] == '\0') {
        snprintf(err, cap, "'%s:' needs //HOST or //HOST:PORT", t->scheme);
        return -1;
    }
    struct mqtt_route *r = calloc(1, sizeof *r);
    if (!r)
        return complain(err, cap, "out of memory");
    r->host = host;
    r->proxy = (int)v[OPT_PROXY].number;
    r->drop_denied = v[OPT_DENIED].number == 1;
    r->allow_shared = v[OPT_ALLOW_SHARED].number;
    if (route_limits(r, v, err, cap) < 0 ||
        route_templates(r, t, err, cap) < 0 ||
        route_rules(r, t, err, cap) < 0 || route_tls(r, t, err, cap) < 0 ||
        route_topics(r, t, err, cap) < 0) {
        mqtt_route_close(host, r);
        return -1;
    }
    *route = r;
    return 0;
}

/* ---- the bridge -----------------------------------------------------------
 */

static const struct gw_counter counters[] = {
    TOPICS_COUNTERS,
    [COUNT_CONNECTS] = {"mqtt_connects", "CONNECT packets passed on.", false},
    [COUNT_DENIED_PUBLISHES] = {"mqtt_denied_publishes",
                                "Messages that clients may not publish.",
                                false},
    [COUNT_DENIED_SUBSCRIPTIONS] = {"mqtt_denied_subscriptions",
                                    "Filters that clients may not subscribe.",
                                    false},
    [COUNT_DENIED_DELIVERIES] = {"mqtt_denied_deliveries",
                                 "Messages that a wider subscription would "
                                 "have brought to clients that may not have "
                                 "them.",
                                 false},
    [COUNT_MALFORMED] = {"mqtt_malformed",
                         "Sessions that ended because of what a client sent.",
                         false},
    {0},
};

static const char *const schemes[] = {"mqtt", "mqtts", NULL};

const struct gw_bridge bridge_mqtt = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "mqtt",
    .help = "an MQTT broker: mqtt://HOST, mqtts://HOST; several HOST:PORT, "
            "comma-separated, are tried in order",
    .schemes = schemes,
    .subprotocols = subprotocols,
    .options = options,
    .counters = counters,
    .route_open = mqtt_route_open,
    .route_close = mqtt_route_close,
    .open = mqtt_open,
    .data = mqtt_data,
    .drained = mqtt_drained,
    .client_ended = mqtt_client_ended,
    .close = mqtt_close,
};
