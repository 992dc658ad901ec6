/* SPDX-License-Identifier: Apache-2.0 */
/* session_rig.h - a client, a session, and a bridge that does what the test
 * says: one of each, all within the test's loop. */
#ifndef GW_SESSION_RIG_H
#define GW_SESSION_RIG_H

#include "rig.h"
#include "serve_rig.h"

/* ---- a bridge that does what the test says -------------------------------
 */

struct probe {
    const struct gw_host *host;
    struct gw_session *session;
    void (*on_open)(struct probe *p);
    void (*on_data)(struct probe *p, const struct gw_data *d);
    void (*on_ended)(struct probe *p);
    bool no_state; /* open returns NULL */
    enum gw_take take;
    unsigned opens, closes, ended, drained;
    unsigned code; /* of client_ended */
    char data[4096];
    size_t data_n;
    enum gw_sent sent;
};

static struct probe probe;

static inline int probe_route_open(const struct gw_host *host,
                                   const struct gw_target *t, void **route,
                                   char *err, size_t cap)
{
    (void)t, (void)err, (void)cap;
    probe.host = host;
    *route = &probe;
    return 0;
}

static inline void probe_route_close(const struct gw_host *host, void *route)
{
    (void)host, (void)route;
}

static inline void *probe_open(struct gw_session *s, void *route,
                               const struct gw_request *r, enum gw_take *take)
{
    struct probe *p = route;
    (void)r;
    p->opens++;
    p->session = s;
    *take = p->take;
    if (p->on_open)
        p->on_open(p);
    return p->no_state ? NULL : p;
}

static inline void probe_data(void *state, const struct gw_data *d)
{
    struct probe *p = state;
    size_t n = min_size(d->n, sizeof p->data - p->data_n);
    memcpy(p->data + p->data_n, d->p, n);
    p->data_n += n;
    if (p->on_data)
        p->on_data(p, d);
}

static inline void probe_drained(void *state)
{
    ((struct probe *)state)->drained++;
}

static inline void probe_ended(void *state, uint16_t code)
{
    struct probe *p = state;
    p->ended++;
    p->code = code;
    if (p->on_ended)
        p->on_ended(p);
}

static inline void probe_close(void *state)
{
    ((struct probe *)state)->closes++;
}

static const struct gw_bridge probe_bridge = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "probe",
    .help = "does what a test says",
    .schemes = (const char *const[]){"probe", NULL},
    .route_open = probe_route_open,
    .route_close = probe_route_close,
    .open = probe_open,
    .data = probe_data,
    .drained = probe_drained,
    .client_ended = probe_ended,
    .close = probe_close,
};

/* ---- a client ------------------------------------------------------------
 */

#define SETTINGS                                                               \
    "listeners: [{url: 'ws://127.0.0.1:0'}]\n"                                 \
    "limits: {queue_high: 64KiB, queue_low: 16KiB, read_buffer: 64KiB}\n"      \
    "timeouts: {linger: 200ms, close: 300ms, write_stall: 5s}\n"

static const char routes[] = SETTINGS "routes:\n"
                                      "- {path: /, target: 'probe:'}\n"
                                      "- {path: /echo, target: 'echo:'}\n";

struct stage {
    struct serve_rig r;
    ev_timer tick;
    int fd; /* the client's */
    uint8_t in[1 << 20];
    size_t n;
    bool end, reset;
};

static inline struct stage *stage_new(const char *yaml)
{
    struct stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    probe = (struct probe){.take = GW_STREAM};
    s->fd = -1;
    serve_rig_begin(&s->r, yaml, &probe_bridge);
    ev_timer_init(&s->tick, rig_tick_cb, 0.002, 0.002);
    ev_timer_start(s->r.loop.ev, &s->tick);
    return s;
}

static inline void client_connect(struct stage *s, int bytes)
{
    int fd[2];
    tcp_pair(fd, bytes);
    serve_rig_accept(&s->r, fd[0]);
    s->fd = fd[1];
}

static inline void client_send(struct stage *s, const void *p, size_t n)
{
    peer_send(s->fd, p, n);
}

#define HANDSHAKE(path, more)                                                  \
    "GET " path " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"               \
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                     \
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" more "\r\n"

/* A masked frame with a key of zeros. */
static inline size_t frame(uint8_t *out, uint8_t first, const void *p, size_t n)
{
    size_t h = 2;
    out[0] = first;
    if (n < 126) {
        out[1] = (uint8_t)(0x80 | n);
    } else {
        out[1] = 0x80 | 126;
        out[2] = (uint8_t)(n >> 8);
        out[3] = (uint8_t)n;
        h = 4;
    }
    memset(out + h, 0, 4);
    memcpy(out + h + 4, p, n);
    return h + 4 + n;
}

static inline void client_frame(struct stage *s, uint8_t first,
                                const char *text)
{
    uint8_t out[2048];
    client_send(s, out, frame(out, first, text, strlen(text)));
}

static inline void client_read(struct stage *s, size_t max)
{
    size_t room = min_size(max, sizeof s->in - 1 - s->n);
    ssize_t n = s->fd >= 0 ? recv(s->fd, s->in + s->n, room, 0) : -1;
    if (n > 0)
        s->n += (size_t)n;
    s->end |= n == 0 && room > 0;
    s->reset |= n < 0 && errno == ECONNRESET;
    s->in[s->n] = 0;
}

static inline void turn(struct stage *s)
{
    ev_run(s->r.loop.ev, EVRUN_ONCE);
}

#define READ_UNTIL(s, so)                                                      \
    do {                                                                       \
        double until_r = ev_time() + RIG_PATIENCE_S;                           \
        while (!(so)) {                                                        \
            if (ev_time() > until_r)                                           \
                fail_msg("in vain: %s; got %.300s", #so, (char *)(s)->in);     \
            client_read(s, SIZE_MAX);                                          \
            turn(s);                                                           \
        }                                                                      \
    } while (0)

static inline void turn_for(struct stage *s, unsigned ms)
{
    double until = ev_time() + ms / 1000.;
    while (ev_time() < until)
        turn(s);
}

static inline void stage_free(struct stage *s)
{
    if (s->fd >= 0)
        close(s->fd);
    ev_timer_stop(s->r.loop.ev, &s->tick);
    serve_rig_end(&s->r);
    assert_true(probe.no_state || probe.closes == probe.opens);
    free(s);
}

/* What follows the head of the 101. */
static inline uint8_t *frames_of(struct stage *s)
{
    uint8_t *p = memmem(s->in, s->n, "\r\n\r\n", 4);
    return p ? p + 4 : s->in + s->n;
}

static inline bool got(struct stage *s, const char *bytes, size_t n)
{
    const uint8_t *p = frames_of(s);
    return memmem(p, (size_t)(s->in + s->n - p), bytes, n) != NULL;
}
#define GOT(s, literal) got(s, literal, sizeof(literal) - 1)

static inline bool status_is(struct stage *s, const char *status)
{
    return s->n > 12 && memcmp(s->in, "HTTP/1.1 ", 9) == 0 &&
           memcmp(s->in + 9, status, 3) == 0;
}

static inline void accepts(struct probe *p)
{
    p->host->accept(p->session);
}

static inline void opened(struct stage *s, int bytes)
{
    probe.on_open = accepts;
    client_connect(s, bytes);
    client_send(s, HANDSHAKE("/", ""), sizeof HANDSHAKE("/", "") - 1);
    READ_UNTIL(s, status_is(s, "101"));
}

#endif
