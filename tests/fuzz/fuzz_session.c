/* SPDX-License-Identifier: Apache-2.0 */
/* A whole connection: the fuzzer is the client, from its first byte to long
 * after its last. Nothing may crash, leak or stay; messages come back as they
 * were sent, in order, and what comes is well formed.
 *
 * The first byte chooses: whether a handshake comes first, to which of the
 * bridges below, and whether it shares a segment with what follows. Then each
 * byte is a step: up to STEP_BYTES, so many bytes are sent at once; above,
 * see enum step. Time is the fuzzer's as well. */
#include "../unit/serve_rig.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

enum step {
    STEP_BYTES = 240, /* the most that one sends */
    STEP_WAIT,        /* 100 ms */
    STEP_WAIT_LONG,   /* 3 s */
    STEP_DEAF,        /* stop reading, or go on */
    STEP_SIP,         /* read 100 bytes */
    STEP_DRAIN,
    STEP_FIN,
    STEP_TURNS, /* let it work */
};

/* ---- time ----------------------------------------------------------------
 */

static double now_s = 1000;

int clock_gettime(clockid_t which, struct timespec *t)
{
    if (which != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, which, t);
    t->tv_sec = (time_t)now_s;
    t->tv_nsec = (long)((now_s - (double)t->tv_sec) * 1e9);
    return 0;
}

/* ---- bridges that echo, taking data in each way --------------------------
 */

struct mirror {
    const struct gw_host *host;
    struct gw_session *session;
    enum gw_take take;
};

static int mirror_route_open(const struct gw_host *host,
                             const struct gw_target *t, void **route, char *err,
                             size_t cap)
{
    struct mirror *m = malloc(sizeof *m);
    (void)err, (void)cap;
    CHECK(m);
    *m = (struct mirror){
        .host = host,
        .take = strcmp(t->scheme, "stream") == 0 ? GW_STREAM : GW_MESSAGES};
    *route = m;
    return 0;
}

static void mirror_route_close(const struct gw_host *host, void *route)
{
    (void)host;
    free(route);
}

static void *mirror_open(struct gw_session *s, void *route,
                         const struct gw_request *r, enum gw_take *take)
{
    struct mirror *m = malloc(sizeof *m);
    (void)r;
    CHECK(m);
    *m = *(struct mirror *)route;
    m->session = s;
    *take = m->take;
    m->host->accept(s);
    return m;
}

static void mirror_data(void *state, const struct gw_data *d)
{
    struct mirror *m = state;
    CHECK(m->take == GW_MESSAGES ? d->first && d->last : !d->first && !d->last);
    enum gw_sent sent =
        m->host->send(m->session, m->take == GW_STREAM ? GW_BINARY : d->type,
                      d->p, d->n, false);
    if (sent == GW_FULL)
        m->host->pause(m->session);
}

static void mirror_drained(void *state)
{
    struct mirror *m = state;
    m->host->resume(m->session);
}

static void mirror_ended(void *state, uint16_t code)
{
    struct mirror *m = state;
    CHECK(code != 0);
    m->host->close(m->session, GW_DONE, 0, NULL);
}

static const struct gw_bridge mirror_bridge = {
    .abi = GW_ABI,
    .size = sizeof(struct gw_bridge),
    .name = "mirror",
    .help = "",
    .schemes = (const char *const[]){"stream", "whole", NULL},
    .route_open = mirror_route_open,
    .route_close = mirror_route_close,
    .open = mirror_open,
    .data = mirror_data,
    .drained = mirror_drained,
    .client_ended = mirror_ended,
    .close = free,
};

/* ---- messages, written down ----------------------------------------------
 */

struct notes {
    uint8_t bytes[1 << 18];
    size_t n;    /* of whole messages, or of a stream's bytes */
    size_t open; /* of the one under way, behind them */
    bool stream; /* boundaries do not matter */
};

static void note(struct notes *o, const uint8_t *p, size_t n)
{
    CHECK(o->n + o->open + n + 16 <= sizeof o->bytes);
    if (n > 0)
        memcpy(o->bytes + o->n + o->open, p, n);
    o->open += n;
}

static void note_end(struct notes *o, uint8_t opcode)
{
    uint64_t size = o->open;
    if (!o->stream) {
        note(o, &opcode, 1);
        note(o, (const uint8_t *)&size, sizeof size);
    }
    o->n += o->open;
    o->open = 0;
}

/* ---- the client ----------------------------------------------------------
 */

struct client {
    int fd;
    bool deaf, fin;
    bool clean; /* it hears and is heard: everything must come back */
    double waited_s;
    uint8_t in[1 << 18];
    size_t n;
    bool upgraded;
    size_t at;       /* of the next frame in in[] */
    uint8_t message; /* opcode of the message that comes */
    bool got_close;
    struct notes sent, got;
    struct ws_stream parser; /* of what it sends */
};

static const char yaml[] =
    "listeners: [{url: 'ws://127.0.0.1:0'}]\n"
    "limits: {queue_high: 4KiB, queue_low: 1KiB, read_buffer: 4KiB,"
    " max_message: 2KiB, fragments: 64, control_rate: 1000000,"
    " control_burst: 1000000, header_bytes: 2KiB, uri_bytes: 1KiB}\n"
    "timeouts: {request: 2s, keep_alive: 2s, write_stall: 2s, linger: 1s,"
    " close: 1s, ping_interval: 1s, pong_wait: 1s, idle: 10s}\n"
    "routes:\n"
    "- {path: /echo, target: 'echo:'}\n"
    "- {path: /stream, target: 'stream:'}\n"
    "- {path: /whole, target: 'whole:'}\n"
    "- {path: /files/..., target: 'static:/usr/include/openssl'}\n";

static struct serve_rig rig;

static void begin(void)
{
    static bool begun;
    if (begun)
        return;
    begun = true;
    serve_rig_begin(&rig, yaml, &mirror_bridge);
}

/* One frame of the gateway's at p[0..n): its size; 0 if it is not whole. */
static size_t look_at_frame(struct client *c, const uint8_t *p, size_t n)
{
    struct ws_head h;
    int k = ws_head_decode(&h, p, n);
    CHECK(k >= 0);
    if (k == 0 || h.payload_len > n - (size_t)k)
        return 0;
    CHECK(!h.masked && h.rsv == 0);
    CHECK(!c->got_close); /* the last */
    p += k;
    if (h.opcode >= WS_CLOSE) {
        if (h.opcode == WS_CLOSE) {
            c->got_close = true;
            CHECK(h.payload_len != 1);
            if (h.payload_len > 0)
                CHECK(ws_code_valid((uint16_t)(p[0] << 8 | p[1])));
        }
    } else {
        CHECK((h.opcode == WS_CONTINUATION) == (c->message != 0));
        if (h.opcode != WS_CONTINUATION)
            c->message = h.opcode;
        note(&c->got, p, h.payload_len);
        if (h.fin) {
            note_end(&c->got, c->message);
            c->message = 0;
        }
    }
    return (size_t)k + h.payload_len;
}

static void client_read(struct client *c, size_t max)
{
    size_t room = min_size(sizeof c->in - c->n, max);
    ssize_t n = recv(c->fd, c->in + c->n, room, 0);
    if (n > 0)
        c->n += (size_t)n;
    if (!c->upgraded) {
        uint8_t *end = memmem(c->in, c->n, "\r\n\r\n", 4);
        if (!end)
            return;
        c->upgraded = memcmp(c->in, "HTTP/1.1 101 ", 13) == 0;
        if (!c->upgraded) { /* an answer of plain HTTP: of no interest */
            c->n = 0;
            return;
        }
        c->at = (size_t)(end + 4 - c->in);
    }
    for (size_t k = 1; k > 0; c->at += k)
        k = look_at_frame(c, c->in + c->at, c->n - c->at);
    memmove(c->in, c->in + c->at, c->n - c->at);
    c->n -= c->at;
    c->at = 0;
}

/* A queue is counted right, and never grows far above its mark. */
static void check_conn(const struct conn *c)
{
    if (!c)
        return;
    const struct outbox *b = c->wait ? &c->wait->box : NULL;
    CHECK((conn_queued(c) > 0) == (b && (b->first || b->urgent)));
    CHECK(conn_queued(c) <= 10 << 10);
}

static void turn(struct client *c)
{
    const struct gw_session *s;
    const struct h1 *h;

    now_s += 0.0001;
    ev_run(rig.loop.ev, EVRUN_NOWAIT);
    CHECK(rig.loop.cipher_len == 0);
    DL_FOREACH(rig.serve.sessions, s)
    check_conn(s->conn);
    DL_FOREACH(rig.serve.requests, h)
    check_conn(h->conn);
    if (!c->deaf)
        client_read(c, SIZE_MAX);
}

/* What these bytes mean, if they are frames. */
static void expect(struct client *c, const uint8_t *p, size_t n, bool whole)
{
    static const struct ws_stream_limits any = {0};
    const struct ws_stream_limits some = {2048, 64};
    uint8_t *copy = copy_of(p, n);
    struct ws_input in = {copy, copy + n, NULL, false};
    struct ws_event ev;
    enum ws_got got;

    do {
        in.out = NULL;
        got = ws_stream_next(&c->parser, &in, whole ? &some : &any, &ev);
        if (got == WS_GOT_DATA) {
            note(&c->sent, ev.p, ev.n);
            if (ev.last)
                note_end(&c->sent, ev.opcode);
            else if (c->sent.stream)
                note_end(&c->sent, 0);
        }
    } while (got != WS_GOT_MORE);
    free(copy);
}

/* The gateway may be slow to take it. */
static void client_send(struct client *c, const uint8_t *p, size_t n)
{
    for (int i = 0; n > 0 && !c->fin && i < 50; i++) {
        ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        } else if (errno != EAGAIN) {
            return;
        }
        turn(c);
    }
    if (n > 0) { /* what would follow now is another thing */
        c->clean = false;
        c->fin = true;
    }
}

static void client_step(struct client *c, uint8_t step)
{
    switch (step) {
    case STEP_WAIT:
    case STEP_WAIT_LONG:
        now_s += step == STEP_WAIT ? 0.1 : 3;
        c->waited_s += step == STEP_WAIT ? 0.1 : 3;
        c->clean = c->clean && c->waited_s < 0.5; /* it sends no pongs */
        break;
    case STEP_DEAF:
        c->deaf = !c->deaf;
        break;
    case STEP_SIP:
        client_read(c, 100);
        break;
    case STEP_DRAIN:
        serve_drain(&rig.serve);
        c->clean = false;
        break;
    case STEP_TURNS:
        for (int i = 0; i < 50; i++)
            turn(c);
        break;
    case STEP_FIN:
        c->fin = true;
        shutdown(c->fd, SHUT_WR);
        break;
    default:
        break;
    }
    turn(c);
}

/* Nothing more comes: all must end by itself. */
static void end(struct client *c)
{
    shutdown(c->fd, SHUT_WR);
    for (int i = 0; i < 100; i++) {
        turn(c);
        client_read(c, SIZE_MAX);
    }
    for (int i = 0; i < 200 && (rig.serve.sessions || rig.serve.requests);
         i++) {
        now_s += 0.25;
        turn(c);
        client_read(c, SIZE_MAX);
    }
    close(c->fd);
    turn(c);
    CHECK(!rig.serve.sessions && !rig.serve.requests && !rig.serve.parting);
    CHECK(atomic_load(&rig.crowd.connections) == 0);
    CHECK(atomic_load(&rig.generation->refs) == 2);
    CHECK(rig.loop.later == NULL);
    rig.serve.draining = false;
}

/* Everything that was sent as a whole came back; or, of a client that left or
 * did not listen, the beginning of it. */
static void check_mirrored(const struct client *c)
{
    CHECK(c->got.n <= c->sent.n);
    CHECK(memcmp(c->got.bytes, c->sent.bytes, c->got.n) == 0);
    if (c->clean && !c->sent.stream)
        CHECK(c->got.n == c->sent.n);
}

static const char *const paths[] = {NULL, "/echo", "/stream", "/whole"};

static size_t handshake(char *out, size_t cap, const char *path)
{
    return (size_t)snprintf(out, cap,
                            "GET %s HTTP/1.1\r\nHost: a\r\n"
                            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                            "\r\n",
                            path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client c;
    uint8_t first[512 + STEP_BYTES];
    int fd[2];

    if (size < 1 || size > 8192)
        return 0;
    begin();
    c = (struct client){.clean = true};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                     fd) == 0);
    int small = 1;
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    serve_rig_accept(&rig, fd[0]);
    c.fd = fd[1];

    const char *path = paths[data[0] % LEN(paths)];
    bool together = data[0] & 0x10;
    c.sent.stream = c.got.stream = data[0] % LEN(paths) == 2;
    size_t n = path ? handshake((char *)first, sizeof first, path) : 0;
    if (!together) {
        client_send(&c, first, n);
        n = 0;
    }
    for (size_t at = 1; at < size; at++) {
        size_t k = min_size(data[at], size - at - 1);
        if (data[at] > STEP_BYTES) {
            client_step(&c, data[at]);
            continue;
        }
        memcpy(first + n, data + at + 1, k);
        if (path && !c.fin)
            expect(&c, first + n, k, data[0] % LEN(paths) == 3);
        client_send(&c, first, n + k);
        n = 0;
        at += k;
    }
    client_send(&c, first, n);
    end(&c);
    ws_stream_free(&c.parser);
    if (path)
        check_mirrored(&c);
    return 0;
}
