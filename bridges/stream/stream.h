/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - tcp://, tls:// and unix: byte streams, and how messages become
 * bytes and bytes messages (the modes). */
#ifndef GW_STREAM_BRIDGE_H
#define GW_STREAM_BRIDGE_H

#include "../bridge.h"

struct stream_route {
    const struct gw_host *host;
    const struct stream_mode *mode;
    struct gw_tls *tls; /* or NULL */
    uint32_t connect_timeout_ms;
    int proxy;
    bool is_unix;
    bool replace;    /* text: invalid bytes become U+FFFD */
    bool half_close; /* the backend's FIN does not end the session */
    const char *eol; /* line: what ends a line to the backend */
    size_t max_line;
};

struct stream {
    const struct stream_route *route;
    struct gw_session *session;
    struct gw_conn *conn; /* NULL: not any more */
    enum gw_type type;    /* of what goes to the client */
    bool type_known;
    bool client_over;  /* it sends no more */
    bool backend_over; /* it sent FIN */
    bool up_full;      /* the session is paused: the backend is full */
    bool ends_line;    /* line: the message so far ends with a newline */
    bool padded;       /* base64: the message has ended by padding */
    uint8_t held_n;    /* bytes of a cut character, or of a cut group */
    uint8_t held[4];
    uint8_t *line;             /* an unfinished line, or NULL */
    uint32_t line_n, line_cap; /* a line is at most 1 GiB */
};

/* One way to translate. */
struct stream_mode {
    const char *name;
    enum gw_take take;
    /* Payload of the client to the backend. */
    void (*up)(struct stream *s, const struct gw_data *d);
    /* Bytes of the backend to the client; p has GW_HEADROOM before it. */
    void (*down)(struct stream *s, uint8_t *p, size_t n);
    /* The backend's last byte has passed down. NULL: nothing is kept back. */
    void (*down_end)(struct stream *s);
};

extern const struct stream_mode *const stream_modes[]; /* option's order */
extern const struct stream_mode mode_base64, mode_line;

/* p[0..n) to the client as text: valid UTF-8 leaves as it is, a cut character
 * at the end is left for the caller (its size is returned), invalid bytes
 * become U+FFFD or end the session. */
size_t stream_down_text(struct stream *s, uint8_t *p, size_t n, bool headroom);
/* The same for text that is one message, whatever has to be replaced; a
 * character that its end cuts is invalid. */
void stream_down_line(struct stream *s, uint8_t *p, size_t n);

/* For the modes: to the backend, to the client, with flow control. */
void stream_up(struct stream *s, const uint8_t *p, size_t n);
void stream_down(struct stream *s, enum gw_type type, uint8_t *p, size_t n,
                 bool headroom);
/* A part of a text message; `more`: not the last. */
void stream_down_part(struct stream *s, const uint8_t *p, size_t n, bool more);
void stream_end(struct stream *s, enum gw_cause cause, const char *why);

#endif
