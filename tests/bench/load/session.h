/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - one client of the gateway: connection, upgrade, frames, end.
 *
 * What it sends and expects is its role's affair. A session belongs to a
 * client (client.h), whose thread alone touches it. */
#ifndef LOAD_SESSION_H
#define LOAD_SESSION_H

#include "outbox.h"
#include "pattern.h"
#include "ws.h"

struct client;
struct session;

/* All callbacks may be NULL, and none closes the session itself. */
struct role {
    /* The gateway has accepted: begin. */
    void (*open)(struct session *s);
    /* Bytes of messages, however framed. False: they are not what should
     * come; the session ends with a fault. */
    bool (*data)(struct session *s, const uint8_t *p, size_t n, uint64_t now);
    /* The last byte of a message has come, WebSocket only. */
    bool (*message)(struct session *s);
    /* client_wake was called: there may be something to send. */
    void (*woken)(struct session *s);
    /* The session has ended after session_finish. */
    void (*finished)(struct session *s);
};

enum session_state {
    SESSION_UNUSED,
    SESSION_CONNECTING, /* TCP, then TLS */
    SESSION_UPGRADING,
    SESSION_OPEN,
    SESSION_FINISHING, /* our Close is on its way, or our end of stream */
};

struct session {
    struct client *client;
    struct link link;
    enum session_state state;
    uint32_t number; /* of its streams; never the same twice in a run */
    uint32_t watched;
    uint64_t began_ns; /* connect() */
    uint64_t moved_ns; /* when its state changed last */

    struct ws_reader in;
    struct ws_writer out;
    struct stream tx, rx;
    char accept[WS_ACCEPT_LEN + 1];
    char *head; /* of the response, while it comes */
    size_t head_n;

    struct outbox waiting;           /* after which comes what `out` makes */
    uint8_t control[WS_CONTROL_MAX]; /* payload of the one that comes */
    uint8_t control_n;
    uint8_t pong[WS_HEAD_MAX + WS_CONTROL_MAX]; /* to go between two frames */
    uint8_t pong_n;
    bool close_due;    /* Close goes out after what is under way */
    bool shutdown_due; /* or the end of a plain stream */
    bool close_seen;   /* the gateway has answered it */

    /* Of roles that count messages. */
    uint64_t received;   /* payload bytes */
    uint64_t sent, done; /* messages */
    uint64_t done_at;    /* bytes with which the next one is done */
    uint8_t answered;    /* MQTT: bytes of CONNACK that have come */
    uint64_t *sent_ns;   /* a ring of the window's size, or NULL */
    void *context;       /* the role's own; freed with the session */
};

/* Begin to connect. */
void session_begin(struct session *s, struct client *c, uint32_t number);

/* The socket is ready. */
void session_event(struct session *s, uint32_t events);

/* Something was given to be sent, and not in an event of the session's. */
void session_kick(struct session *s);

/* Send one message of these bytes; between two frames only, that is, when
 * `out` is not in use. */
void session_send(struct session *s, const uint8_t *p, size_t n);

/* Close properly once what has begun is sent: the role's finished() follows.
 * May be called in callbacks. */
void session_finish(struct session *s);

/* It has ended as it should. */
void session_finished(struct session *s);

/* End now, without a word. */
void session_drop(struct session *s);

#endif
