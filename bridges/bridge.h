/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.h - the whole contract between gangway and a bridge.
 *
 * A bridge carries WebSocket sessions to something else. It is one constant
 * table of functions, struct gw_bridge; gangway hands it another, struct
 * gw_host. Nothing else passes between the two: a bridge includes this file,
 * its own headers and its libraries. Built-in bridges are linked in; others
 * are shared objects that export
 *
 *     const struct gw_bridge gangway_bridge = {GW_ABI, sizeof gangway_bridge,
 * ...};
 *
 * and are loaded with --plugin FILE.so. README.md beside this file shows a
 * complete one.
 *
 * Threads. A session lives on one worker thread. All calls about it, in
 * either direction, happen on that thread; what may be called from elsewhere
 * says so. route_open runs on the main thread and may block;
 * route_close may run on any thread. Nothing else may block.
 *
 * Order. Host functions never call back into the bridge before they return.
 * After gw_bridge.close, the session's pointers are dead and no call comes.
 *
 * Ownership. What a pointer argument points at is borrowed for the call. */
#ifndef GW_BRIDGE_H
#define GW_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a table changes in a way that old code cannot bear. Members are
 * only ever appended otherwise, and `size` tells which are there. */
#define GW_ABI 1

/* Scratch bytes before the payload that gw_conn_events.data hands over, and
 * how many of them gw_host.send_inplace needs: with them a frame's header
 * goes before the payload with no copy and no second buffer, and a bridge may
 * put a little of its own between the two. */
#define GW_HEADROOM 32
#define GW_SENDROOM 16

struct gw_session; /* one WebSocket session */
struct gw_conn;    /* one connection to a backend */
struct gw_tls;     /* how to speak TLS to a backend */
struct gw_timer;
struct gw_worker; /* a worker thread, for gw_host.post */
struct gw_frame;  /* one message, encoded once for many sessions */

enum gw_type { GW_TEXT = 1, GW_BINARY = 2 }; /* RFC 6455 opcodes */

/* How a bridge takes what clients send. */
enum gw_take {
    GW_STREAM,   /* a byte stream: runs of payload, however messages were cut.
                    first and last are always false */
    GW_SLICES,   /* payload as it arrives, first and last mark the message */
    GW_MESSAGES, /* whole messages up to the route's max_message; larger ones
                    end the session with 1009 */
};

struct gw_data {
    uint8_t *p; /* the bridge may overwrite it */
    size_t n;
    enum gw_type type;
    bool first, last; /* these bytes begin, end a message */
};

/* What a send did with the bytes. They are always taken, or the receiver is
 * gone. */
enum gw_sent {
    GW_SENT, /* go on */
    GW_FULL, /* taken, and the queue stands above its high mark: stop until
                drained is called. Going on in later turns of the loop costs
                memory, and beyond another mark the session */
    GW_GONE, /* nobody to send to any more; close will be called */
};

/* Why a session ends, for its close code, its log line and the metrics. */
enum gw_cause {
    GW_DONE,         /* the backend finished: 1000 */
    GW_BACKEND_LOST, /* reset, or an error of the backend's: 1011 */
    GW_BAD_DATA,     /* the client's payload is no use: 1007 */
    GW_UNSUPPORTED,  /* this type of message is not taken: 1003 */
    GW_POLICY,       /* not allowed: 1008 */
    GW_TOO_BIG,      /* 1009 */
    GW_TRY_LATER,    /* overload: 1013 */
    GW_FAILED,       /* the bridge's own fault: 1011 */
};

/* A part of what is sent together. */
struct gw_piece {
    const uint8_t *p;
    size_t n;
};

enum { GW_PIECES_MAX = 4 };

struct gw_bridge;

enum gw_severity { GW_ERROR, GW_WARN, GW_INFO, GW_DEBUG };

/* ---- options ---------------------------------------------------------- */

enum gw_option_kind {
    GW_OPT_STRING,
    GW_OPT_ENUM,     /* one of `values`, separated by '|' */
    GW_OPT_BOOL,     /* true, false, yes, no, 1, 0; a bare name is true */
    GW_OPT_DURATION, /* 500ms, 5s, 2m: number is milliseconds */
    GW_OPT_SIZE,     /* 64KiB: number is bytes */
    GW_OPT_FILE,     /* a path, opened by the bridge or by the host */
};

struct gw_option {
    const char *name;
    enum gw_option_kind kind;
    const char *values;   /* GW_OPT_ENUM only */
    const char *standard; /* the default, as it would be written; or NULL */
    const char *help;     /* one line */
};

/* A route's value for the option of the same index. */
struct gw_value {
    const char *text; /* NULL: not given and no default */
    uint64_t number;  /* BOOL, DURATION, SIZE; ENUM: index into values */
};

/* A route's target: SCHEME:ADDRESS?OPTIONS, or SCHEME://ADDRESS?OPTIONS. */
struct gw_target {
    const char *scheme;
    const char *address;           /* may hold {placeholders} */
    const struct gw_value *values; /* in the order of gw_bridge.options */
};

/* What a filled-in placeholder may hold, beside never being empty. */
enum gw_fill {
    GW_FILL_TEXT,  /* no control characters */
    GW_FILL_TOPIC, /* nor / + # */
};

/* ---- a request -------------------------------------------------------- */

struct gw_request {
    const char *scheme;      /* of the target */
    const char *address;     /* of the target, placeholders filled in */
    const char *subprotocol; /* that will be answered, or "" */
    const char *host;        /* Host field of the request, or "" */
    const char *path;        /* of the request, percent-encoded */
    const char *query;       /* without '?', percent-encoded, or "" */
    const char *client;      /* numeric address, no port; "unix" */
    uint16_t client_port;
    bool secure; /* wss:// */
};

/* ---- connections to a backend ----------------------------------------- */

struct gw_conn_events {
    /* The connection is ready for use (TLS included). */
    void (*connected)(void *ctx);
    /* No backend could be had. `status` is the HTTP status that says so best
     * (502, 503, 504, or 403: an address outside the allow-list); `why` is a
     * short text. The gw_conn is dead. */
    void (*failed)(void *ctx, int status, const char *why);
    /* Bytes from the backend: GW_HEADROOM scratch bytes precede p. */
    void (*data)(void *ctx, uint8_t *p, size_t n);
    /* After GW_FULL: the queue is below its low mark. */
    void (*drained)(void *ctx);
    /* The backend sent its last byte (FIN). Sending still works. */
    void (*ended)(void *ctx);
    /* Reset, or another error, after `connected`. The gw_conn is dead. */
    void (*lost)(void *ctx, const char *why);
};

struct gw_dial {
    const char *address; /* "host:port,host:port", tried in order; or a
                            path if is_unix */
    bool is_unix;
    uint16_t default_port;       /* 0: a port must be given */
    uint32_t connect_timeout_ms; /* 0: timeouts.connect. For all attempts
                                    together */
    const struct gw_tls *tls;    /* or NULL */
    int proxy;                   /* PROXY protocol header to send: 0, 1, 2 */
    const struct gw_conn_events *events;
    void *ctx;
};

struct gw_tls_options {
    const char *sni;  /* name to ask for and to verify; NULL: the host */
    const char *ca;   /* PEM file of authorities; NULL: the system's */
    const char *cert; /* PEM client certificate, or NULL */
    const char *key;  /* PEM key, or NULL: in cert */
    bool insecure;    /* do not verify the backend */
};

/* The addresses of a name, numeric and without brackets; if there are none,
 * why. */
typedef void (*gw_resolved_fn)(void *arg, const char *const *addresses,
                               size_t n, const char *why);

/* ---- what gangway offers ----------------------------------------------- */

struct gw_host {
    uint32_t abi, size;

    /* For route_open: check the braces and names of a template among the
     * route's options. The number of placeholders; or -1 and the reason. */
    int (*template_check)(const struct gw_target *t, const char *text,
                          char *err, size_t cap);
    /* Within open: fill in a template for this request. The length; or -1 and
     * *why, which then points into out. */
    int (*template_fill)(struct gw_session *s, const char *text,
                         enum gw_fill kind, char *out, size_t cap,
                         const char **why);

    /* The backend is ready: answer the client with 101. May be called within
     * open. */
    void (*accept)(struct gw_session *s);
    /* Answer with an HTTP status instead (400-599); ends the session. Before
     * accept only. `why` goes to the log. */
    void (*refuse)(struct gw_session *s, int status, const char *why);

    /* Send p[0..n) as a message, or as a part of one: `more` says that the
     * message goes on with the next send. */
    enum gw_sent (*send)(struct gw_session *s, enum gw_type type,
                         const uint8_t *p, size_t n, bool more);
    /* The same for bytes that have GW_SENDROOM scratch bytes before them. */
    enum gw_sent (*send_inplace)(struct gw_session *s, enum gw_type type,
                                 uint8_t *p, size_t n, bool more);
    /* A message for many sessions, on any workers: n bytes of payload to be
     * filled in before the first send. One reference. NULL: out of memory. */
    struct gw_frame *(*frame_new)(enum gw_type type, size_t n,
                                  uint8_t **payload);
    struct gw_frame *(*frame_ref)(struct gw_frame *f);
    void (*frame_unref)(struct gw_frame *f);
    enum gw_sent (*send_frame)(struct gw_session *s, struct gw_frame *f);
    /* Stop and start gw_bridge.data; may be repeated. Up to one read's bytes
     * may still arrive after pause: they are the bridge's to take. */
    void (*pause)(struct gw_session *s);
    void (*resume)(struct gw_session *s);
    /* End the session: what was sent is delivered first, then a Close frame
     * with the cause's code (or `code`, if not 0) and the reason `why` (NULL:
     * none). data is not called again; close follows. */
    void (*close)(struct gw_session *s, enum gw_cause cause, uint16_t code,
                  const char *why);

    /* Connect to a backend. NULL: out of memory. All of a session's
     * connections are closed with it. */
    struct gw_conn *(*dial)(struct gw_session *s, const struct gw_dial *d);
    enum gw_sent (*conn_send)(struct gw_conn *c, const uint8_t *p, size_t n);
    void (*conn_pause)(struct gw_conn *c);
    void (*conn_resume)(struct gw_conn *c);
    /* Send what is queued, then FIN. data still comes. */
    void (*conn_finish)(struct gw_conn *c);
    /* Drop it now; no event follows. */
    void (*conn_close)(struct gw_conn *c);

    /* For route_open. NULL with the reason in err[0..cap). */
    struct gw_tls *(*tls_new)(const struct gw_tls_options *o, char *err,
                              size_t cap);
    void (*tls_free)(struct gw_tls *t);

    /* Call fn(arg) once, `ms` from now, unless cancelled or the session ends
     * first. NULL: out of memory. */
    struct gw_timer *(*timer)(struct gw_session *s, uint32_t ms,
                              void (*fn)(void *arg), void *arg);
    void (*timer_cancel)(struct gw_timer *t);

    /* The worker of a session; and, from any thread, a call on that worker.
     * False: it is stopping, and fn will not be called. */
    struct gw_worker *(*worker)(struct gw_session *s);
    bool (*post)(struct gw_worker *w, void (*fn)(void *arg), void *arg);

    /* Look at p[0..n) as UTF-8. Returns the size of the longest prefix that is
     * whole valid characters; *cut is how many bytes after it may be the
     * beginning of one more (0-3). Less than n together: the byte after the
     * prefix is invalid. */
    size_t (*utf8)(const uint8_t *p, size_t n, size_t *cut);

    /* One log line with the session's id. No payload, no secrets. */
    void (*log)(struct gw_session *s, enum gw_severity severity,
                const char *event, const char *text);
    /* Add to the bridge's counter of this index: on the session's worker, or
     * from any thread. */
    void (*count)(struct gw_session *s, unsigned counter, uint64_t n);
    void (*add)(const struct gw_bridge *b, unsigned counter, int64_t n);
    /* One log line about no session in particular. From any thread. */
    void (*note)(const struct gw_bridge *b, enum gw_severity severity,
                 const char *event, const char *text);
    /* Look up a name, or an address, with a worker's resolver, as dial does:
     * found(arg, ...) is called on that worker, when name servers that do not
     * answer have been given up at the latest, and never if the worker stops.
     * From any thread. False: it is stopping, or memory is out, and found will
     * not be called. */
    bool (*resolve)(struct gw_worker *w, const char *host, gw_resolved_fn found,
                    void *arg);
    /* More will be sent to this session within this call: what is small then
     * leaves as one write, when the call is over. */
    void (*gather)(struct gw_session *s);
    /* As send and conn_send for what lies in up to GW_PIECES_MAX pieces: one
     * message, one write. */
    enum gw_sent (*sendv)(struct gw_session *s, enum gw_type type,
                          const struct gw_piece *v, int n, bool more);
    enum gw_sent (*conn_sendv)(struct gw_conn *c, const struct gw_piece *v,
                               int n);
};

/* ---- what a bridge offers ---------------------------------------------- */

/* Exposed as gangway_bridge_NAME_total{bridge="..."}; or, if it can go down,
 * as gangway_bridge_NAME. */
struct gw_counter {
    const char *name; /* [a-z_]+ */
    const char *help;
    bool gauge;
};

struct gw_bridge {
    uint32_t abi, size;

    const char *name;
    const char *help;                  /* one line */
    const char *const *schemes;        /* ends with NULL */
    const char *const *subprotocols;   /* for routes that list none; NULL:
                                          any. Ends with NULL */
    const struct gw_option *options;   /* ends with a NULL name; or NULL */
    const struct gw_counter *counters; /* ends with a NULL name; or NULL */

    /* A route to this bridge is being loaded, also by --check: look at the
     * target, do no network I/O. 0 and *route, or -1 and the reason in
     * err[0..cap). */
    int (*route_open)(const struct gw_host *host, const struct gw_target *t,
                      void **route, char *err, size_t cap);
    void (*route_close)(const struct gw_host *host, void *route);

    /* A client asks for a session. Returns the session's state; NULL: out of
     * memory (the client gets 503). Leads to accept or refuse, now or later;
     * the client gets 504 if neither comes. *take says how data is wanted. */
    void *(*open)(struct gw_session *s, void *route, const struct gw_request *r,
                  enum gw_take *take);
    /* Payload from the client, only after accept. */
    void (*data)(void *state, const struct gw_data *d);
    /* After GW_FULL: the client's queue is below its low mark. */
    void (*drained)(void *state);
    /* The client sends no more: a Close frame with `code` (1005: none in it),
     * or 1006: it went without one. Deliver what it sent, then call
     * gw_host.close. After a Close frame, send has no effect any more. A
     * deadline (timeouts.linger) bounds the wait. May be NULL: the session
     * then ends at once. */
    void (*client_ended)(void *state, uint16_t code);
    /* The session is over; free its state. Called once for each open that
     * returned non-NULL. Connections and timers that are left are gangway's
     * to close; until the return the bridge may cancel them itself. */
    void (*close)(void *state);
};

#ifdef __cplusplus
}
#endif

#endif
