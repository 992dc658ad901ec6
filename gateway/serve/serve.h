/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - all clients of one worker: accepted, answered, bridged, drained. */
#ifndef GW_SERVE_H
#define GW_SERVE_H

#include "../net/mailbox.h"
#include "../net/resolver.h"
#include "generation.h"

/* What all workers share: how many clients there are and may be, backends that
 * outlive their session counted. */
struct crowd {
    atomic_uint connections;
    atomic_uint max;  /* newcomers above it get 503 */
    atomic_uint over; /* being refused right now */
    atomic_uint peak; /* most connections since `thinned` was called */
    /* A crowd has gone: memory may be given back. Any thread. */
    void (*thinned)(struct crowd *c);
};

enum {
    CROWD_OVER_MAX = 32, /* more than that at once: RST */
    CROWD_PEAK = 256,    /* a crowd; gone when a quarter is left */
};

struct serve {
    struct loop *loop;
    struct resolver *resolver;
    struct mailbox *mailbox;
    struct crowd *crowd;
    struct generation *generation; /* of new connections */
    struct metrics metrics;
    struct gw_session *sessions; /* utlist */
    struct h1 *requests;         /* utlist */
    struct parting *parting;     /* utlist */
    struct lookup *lookups;      /* utlist */
    unsigned worker;             /* number, part of session ids */
    uint64_t next_id;
    bool draining;
    void (*on_empty)(struct serve *s); /* draining, and the last is gone */
};

int serve_init(struct serve *s, struct loop *l, struct mailbox *m,
               struct crowd *crowd, struct generation *g, unsigned worker);
void serve_fini(struct serve *s);

/* A connection accepted on a listener of generation g. */
void serve_accept(struct serve *s, struct generation *g, struct tls_server *tls,
                  int fd);

/* Later connections belong to g. Takes a reference. */
void serve_generation(struct serve *s, struct generation *g);

/* End all sessions with 1001; on_empty follows, perhaps at once. */
void serve_drain(struct serve *s);

/* Drop every connection now. */
void serve_abort(struct serve *s);

/* Refuse a request, with its log line. */
void serve_refuse(struct serve *s, struct h1 *h, const struct http_head *head,
                  int status, const char *why);

/* Something is gone: on_empty may be due. */
void serve_settled(struct serve *s);

/* For what holds descriptors as a client does, without being one. */
void serve_crowd_joined(struct serve *s);
void serve_crowd_left(struct serve *s);

/* For sessions: a client has gone. */
void serve_client_gone(struct serve *s, bool over);

#endif
