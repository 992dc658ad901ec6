/* SPDX-License-Identifier: Apache-2.0 */
/* One client that speaks HTTP/1.1: well, badly, slowly, or not at all. */
#include "rig.h"

#include <sys/un.h>

#include "../../gateway/net/conn.h"
#include "../../gateway/serve/h1.h"

enum { READ_CAP = 16 << 10, SMALL_BUFFER = 8 << 10 };

/* ---- the handler and its client ------------------------------------------
 */

enum what { NOTHING, SHORT, REFUSE, BODY, LATER, UPGRADE, CLOSE };

struct site {
    struct rig rig;
    struct h1 *h; /* NULL: closed */
    struct h1_rules rules;
    struct metrics metrics;
    int fd[2]; /* the gateway's, the client's */

    unsigned requests, closes, bads;
    int bad_status;
    char bad_why[160];
    char paths[512]; /* of the requests, each with a space */
    size_t file_n;   /* of a BODY, bytes of a stream */
    size_t file_cut; /* but the file ends here; 0: it does not */
    int file;
    struct conn *conn; /* upgraded */
    uint8_t *early;
    size_t early_n;

    char in[1 << 20]; /* what the client has got */
    size_t in_n;
    bool in_end, in_reset;
};

static enum what what_of(struct slice path)
{
    static const char *const names[] = {
        [NOTHING] = "/nothing", [SHORT] = "/short", [REFUSE] = "/refuse",
        [BODY] = "/body",       [LATER] = "/later", [UPGRADE] = "/upgrade",
        [CLOSE] = "/close",
    };
    for (size_t i = 1; i < LEN(names); i++)
        if (slice_is(path, names[i]))
            return (enum what)i;
    return SHORT;
}

static int file_of(size_t n, size_t cut)
{
    static uint8_t bytes[512 << 10];
    char name[] = "/tmp/gangway-h1-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0 && n <= sizeof bytes);
    unlink(name);
    stream_fill(bytes, n, 0, 7);
    size_t have = cut ? cut : n;
    assert_int_equal(pwrite(fd, bytes, have, 0), have);
    return fd;
}

static void answer(struct site *s, enum what what)
{
    struct h1 *h = s->h;
    struct files_answer a = {.status = 200, .length = s->file_n};

    switch (what) {
    case SHORT:
        h1_reply(h, 200, "text/plain", "hello\n", 6);
        break;
    case REFUSE:
        h1_refuse(h, 404, "not here");
        break;
    case BODY:
        s->file = a.fd = file_of(s->file_n, s->file_cut);
        h1_reply_file(h, &a);
        break;
    case UPGRADE:
        s->conn = h1_upgrade(h, "HTTP/1.1 101 Go\r\n\r\n", 19, &s->early,
                             &s->early_n);
        s->h = NULL;
        break;
    case CLOSE:
        h1_close(h);
        break;
    case NOTHING:
    case LATER:
        break;
    }
}

static void on_request(struct h1 *h, const struct http_head *head)
{
    struct site *s = h->owner;
    size_t used = strlen(s->paths);

    assert_ptr_equal(h, s->h);
    assert_ptr_equal(h->context, &s->rules);
    if (used + head->path.n + 2 < sizeof s->paths)
        snprintf(s->paths + used, sizeof s->paths - used, SLICE_FMT " ",
                 SLICE_ARGS(head->path));
    s->requests++;
    answer(s, what_of(head->path));
}

static void on_bad(struct h1 *h, int status, const char *why)
{
    struct site *s = h->owner;
    s->bads++;
    s->bad_status = status;
    snprintf(s->bad_why, sizeof s->bad_why, "%s", why);
}

static void on_close(struct h1 *h)
{
    struct site *s = h->owner;
    assert_ptr_equal(h, s->h);
    s->closes++;
    s->h = NULL;
}

static const struct h1_ops ops = {on_request, on_bad, on_close};

static struct site *site_new(void)
{
    struct site *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->file = -1;
    s->rules = (struct h1_rules){
        .limits = {2048, 512, 16},
        .marks = {32 << 10, 8 << 10},
        .tls_handshake_ms = 5000,
        .request_ms = 5000,
        .keep_alive_ms = 5000,
        .linger_ms = 5000,
        .write_stall_ms = 5000,
    };
    rig_begin(&s->rig, READ_CAP);
    return s;
}

static void site_open(struct site *s, int bytes)
{
    tcp_pair(s->fd, bytes);
    s->h = h1_open(&s->rig.loop, s->fd[0], NULL, &s->rules, &ops, s, &s->rules,
                   &s->metrics);
    assert_non_null(s->h);
}

static void site_free(struct site *s)
{
    if (s->h)
        h1_close(s->h);
    if (s->conn)
        conn_close(s->conn, false);
    free(s->early);
    if (s->fd[1] >= 0)
        close(s->fd[1]);
    loop_settle(&s->rig.loop);
    assert_true(is_closed(s->fd[0]));
    assert_true(s->file < 0 || is_closed(s->file));
    rig_end(&s->rig);
    free(s);
}

static void client_send(struct site *s, const char *text)
{
    peer_send(s->fd[1], text, strlen(text));
}

/* Read what is there: at most `max` bytes. */
static void client_read(struct site *s, size_t max)
{
    size_t room = min_size(max, sizeof s->in - 1 - s->in_n);
    ssize_t n = recv(s->fd[1], s->in + s->in_n, room, 0);
    if (n > 0)
        s->in_n += (size_t)n;
    s->in_end |= n == 0 && room > 0;
    s->in_reset |= n < 0 && errno == ECONNRESET;
    s->in[s->in_n] = '\0';
}

/* Turn and read until it is so. */
#define READ_UNTIL(s, so)                                                      \
    do {                                                                       \
        double until_r = ev_time() + RIG_PATIENCE_S;                           \
        while (!(so)) {                                                        \
            if (ev_time() > until_r)                                           \
                fail_msg("in vain: %s; got %.300s", #so, (s)->in);             \
            client_read(s, SIZE_MAX);                                          \
            rig_turn(&(s)->rig);                                               \
        }                                                                      \
    } while (0)

/* How often it has come; there may be any bytes between. */
static unsigned count(const struct site *s, const char *what)
{
    const char *p = s->in, *end = s->in + s->in_n;
    unsigned n = 0;
    while ((p = memmem(p, (size_t)(end - p), what, strlen(what)))) {
        n++;
        p += strlen(what);
    }
    return n;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- requests ------------------------------------------------------------
 */

static void answers_whole_and_in_pieces(void **state)
{
    static const char request[] = "GET /short?q=1 HTTP/1.1\r\nHost: a\r\n"
                                  "X-Long: yes, quite\r\n\r\n";
    (void)state;

    for (size_t step = 1; step < sizeof request; step += step < 8 ? 1 : 9) {
        struct site *s = site_new();
        site_open(s, 0);
        for (size_t at = 0; at < sizeof request - 1; at += step) {
            size_t n = min_size(step, sizeof request - 1 - at);
            assert_int_equal(s->requests, 0);
            peer_send(s->fd[1], request + at, n);
            UNTIL(&s->rig, unread(s->h->conn->io.fd) == 0);
        }
        READ_UNTIL(s, strstr(s->in, "\r\n\r\nhello\n"));
        assert_int_equal(s->requests, 1);
        assert_memory_equal(s->in, "HTTP/1.1 200 OK\r\n", 17);
        assert_non_null(strstr(s->in, "Content-Length: 6\r\n"));
        assert_non_null(strstr(s->in, "Connection: keep-alive\r\n"));
        assert_null(s->h->buf); /* an idle one keeps nothing */
        site_free(s);
    }
}

static void pipelined_in_order(void **state)
{
    static const char all[] = GET("/a") GET("/body") GET("/b") GET("/c");
    (void)state;

    for (size_t cut = 0; cut < sizeof all - 1; cut += 13) {
        struct site *s = site_new();
        s->file_n = 3000;
        site_open(s, 0);
        if (cut > 0)
            peer_send(s->fd[1], all, cut);
        UNTIL(&s->rig, unread(s->h->conn->io.fd) == 0);
        rig_turn(&s->rig);
        peer_send(s->fd[1], all + cut, sizeof all - 1 - cut);
        READ_UNTIL(s, count(s, "hello\n") == 3);
        assert_string_equal(s->paths, "/a /body /b /c ");
        assert_true(rig_restless(&s->rig, 4) <= 2);
        site_free(s);
    }
}

static void the_last_answer_closes(void **state)
{
    static const char *const last[] = {
        "GET /short HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /short HTTP/1.0\r\nHost: a\r\n\r\n",
        GET("/refuse"),
    };
    (void)state;

    for (size_t i = 0; i < LEN(last); i++) {
        struct site *s = site_new();
        site_open(s, 0);
        client_send(s, GET("/short"));
        client_send(s, last[i]);
        client_send(s, GET("/never"));
        READ_UNTIL(s, s->in_end);
        assert_int_equal(s->requests, 2);
        assert_int_equal(count(s, "HTTP/1.1 "), 2);
        assert_int_equal(count(s, "Connection: close"), 1);
        assert_int_equal(s->closes, 0); /* it lingers */
        close(s->fd[1]);
        s->fd[1] = -1;
        UNTIL(&s->rig, s->closes == 1);
        site_free(s);
    }
}

static void head_has_no_body(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->file_n = 5000;
    site_open(s, 0);
    client_send(s, "HEAD /short HTTP/1.1\r\nHost: a\r\n\r\n"
                   "HEAD /body HTTP/1.1\r\nHost: a\r\n\r\n"
                   "HEAD /refuse HTTP/1.1\r\nHost: a\r\n\r\n");
    READ_UNTIL(s, s->in_end);
    assert_int_equal(count(s, "HTTP/1.1 "), 3);
    assert_non_null(strstr(s->in, "Content-Length: 6\r\n"));
    assert_non_null(strstr(s->in, "Content-Length: 5000\r\n"));
    assert_null(strstr(s->in, "hello"));
    assert_null(strstr(s->in, "not here"));
    assert_string_equal(s->in + s->in_n - 4, "\r\n\r\n");
    assert_true(is_closed(s->file));
    site_free(s);
}

static void answered_later(void **state)
{
    struct site *s = site_new();
    (void)state;

    site_open(s, 0);
    client_send(s, GET("/later") GET("/next"));
    UNTIL(&s->rig, s->requests == 1);
    rig_turn_for(&s->rig, 6);
    assert_int_equal(s->requests, 1); /* one at a time */
    assert_true(rig_restless(&s->rig, 6) <= 2);
    answer(s, SHORT);
    assert_int_equal(s->requests, 1); /* not from within the answer */
    READ_UNTIL(s, count(s, "hello\n") == 2);
    assert_string_equal(s->paths, "/later /next ");
    site_free(s);
}

static void bad_requests(void **state)
{
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        {"nonsense\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", 413},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: %s%s%s%s\r\n\r\n", 431},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: %s%s%s%s%s", 431}, /* endless */
        {"GET / HTTP/1.1\r\nHost: a\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\n"
         "g:\r\nh:\r\ni:\r\nj:\r\nk:\r\nl:\r\nm:\r\nn:\r\no:\r\np:\r\n\r\n",
         431},
    };
    char filler[601], text[4096], want[32];
    (void)state;

    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    for (size_t i = 0; i < LEN(bad); i++) {
        struct site *s = site_new();
        size_t n = 0;
        for (const char *p = bad[i].text; *p; p++) {
            bool is_filler = p[0] == '%' && p[1] == 's';
            n += (size_t)snprintf(text + n, sizeof text - n, "%s",
                                  is_filler ? filler : (char[]){*p, '\0'});
            p += is_filler;
        }
        site_open(s, 0);
        client_send(s, text);
        READ_UNTIL(s, s->in_end);
        snprintf(want, sizeof want, "HTTP/1.1 %d ", bad[i].status);
        assert_memory_equal(s->in, want, strlen(want));
        assert_non_null(strstr(s->in, "Connection: close\r\n"));
        assert_int_equal(s->bads, 1);
        assert_int_equal(s->bad_status, bad[i].status);
        assert_int_equal(s->requests, 0);
        assert_int_equal(counter_get(&s->metrics.http[bad[i].status - 100]), 1);
        assert_int_equal(counter_get(&s->metrics.limit_hits[LIMIT_HEADER]),
                         bad[i].status == 414 || bad[i].status == 431);
        site_free(s);
    }
}

/* ---- upgrade -------------------------------------------------------------
 */

static void upgrade_keeps_early_bytes(void **state)
{
    static const char request[] = GET("/upgrade") "\x81\x85 early";
    (void)state;

    for (size_t cut = 0; cut < sizeof request; cut += 5) {
        struct site *s = site_new();
        site_open(s, 0);
        if (cut > 0)
            peer_send(s->fd[1], request, cut);
        UNTIL(&s->rig, !s->h || unread(s->h->conn->io.fd) == 0);
        if (cut < sizeof request - 1)
            peer_send(s->fd[1], request + cut, sizeof request - 1 - cut);
        UNTIL(&s->rig, s->conn);
        rig_turn_for(&s->rig, 4);
        assert_true(s->conn->paused); /* what comes later waits */
        size_t later = unread(s->conn->io.fd);
        assert_int_equal(s->early_n + later, 8);
        if (s->early_n > 0)
            assert_memory_equal(s->early, "\x81\x85 early", s->early_n);
        READ_UNTIL(s, s->in_n == 19);
        assert_int_equal(s->closes, 0);
        site_free(s);
    }
}

static void upgrade_of_one_who_left(void **state)
{
    struct site *s = site_new();
    (void)state;

    site_open(s, 0);
    client_send(s, GET("/later"));
    UNTIL(&s->rig, s->requests == 1);
    peer_reset(s->fd[1]);
    s->fd[1] = -1;
    rig_turn_for(&s->rig, 4);
    if (s->h) /* else it was noticed before */
        answer(s, UPGRADE);
    assert_null(s->conn);
    assert_null(s->early);
    rig_turn_for(&s->rig, 4);
    site_free(s);
}

/* ---- waits ---------------------------------------------------------------
 */

/* A byte now and then does not buy time. */
static void a_dripping_request_gets_408(void **state)
{
    struct site *s = site_new();
    size_t at = 0;
    (void)state;

    s->rules.request_ms = 40;
    site_open(s, 0);
    double began = ev_time();
    while (!s->bads) {
        if (ev_time() > began + (double)at / 1000)
            send(s->fd[1], at++ < 5 ? "G" : "x", 1, MSG_NOSIGNAL);
        rig_turn(&s->rig);
        assert_true(ev_time() < began + 2);
    }
    assert_true(ev_time() - began > 0.035);
    assert_int_equal(s->bad_status, 408);
    READ_UNTIL(s, s->in_end);
    assert_memory_equal(s->in, "HTTP/1.1 408 ", 13);
    assert_int_equal(counter_get(&s->metrics.limit_hits[LIMIT_REQUEST_TIME]),
                     1);
    site_free(s);
}

static void one_that_says_nothing_gets_408(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->rules.request_ms = 20;
    site_open(s, 0);
    READ_UNTIL(s, s->in_end);
    assert_memory_equal(s->in, "HTTP/1.1 408 ", 13);
    site_free(s);
}

static void an_idle_one_is_closed_in_silence(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->rules.keep_alive_ms = 20;
    site_open(s, 0);
    client_send(s, GET("/short"));
    READ_UNTIL(s, s->in_end);
    assert_int_equal(count(s, "HTTP/1.1 "), 1);
    assert_int_equal(s->closes, 1);
    site_free(s);

    s = site_new(); /* but half of a second request is told */
    s->rules.keep_alive_ms = 20;
    site_open(s, 0);
    client_send(s, GET("/short") "GET /");
    READ_UNTIL(s, s->in_end);
    assert_int_equal(count(s, "HTTP/1.1 408"), 1);
    site_free(s);
}

static void handling_has_no_deadline_here(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->rules.request_ms = s->rules.keep_alive_ms = 10;
    site_open(s, 0);
    client_send(s, GET("/later"));
    rig_turn_for(&s->rig, 30);
    assert_int_equal(s->bads + s->closes, 0);
    answer(s, REFUSE);
    READ_UNTIL(s, s->in_end);
    assert_memory_equal(s->in, "HTTP/1.1 404 ", 13);
    site_free(s);
}

/* The client goes on sending when it is refused: no RST overtakes the
 * answer; but not for ever. */
static void lingers_for_the_answer(void **state)
{
    static char junk[100000];
    struct site *s = site_new();
    (void)state;

    s->rules.linger_ms = 50;
    site_open(s, 0);
    client_send(s, GET("/refuse"));
    send(s->fd[1], junk, sizeof junk, MSG_NOSIGNAL);
    double began = ev_time();
    READ_UNTIL(s, s->in_end);
    assert_non_null(strstr(s->in, "not here"));
    while (s->h) {
        send(s->fd[1], junk, 100, MSG_NOSIGNAL); /* does not buy time */
        rig_turn(&s->rig);
        assert_true(ev_time() < began + 2);
    }
    assert_int_equal(s->closes, 1);
    site_free(s);
}

static void eof_ends_it(void **state)
{
    static const char *const texts[] = {"", "GET /", GET("/short"),
                                        GET("/refuse")};
    (void)state;

    for (size_t i = 0; i < LEN(texts); i++) {
        struct site *s = site_new();
        site_open(s, 0);
        client_send(s, texts[i]);
        assert_int_equal(shutdown(s->fd[1], SHUT_WR), 0);
        READ_UNTIL(s, s->in_end);
        UNTIL(&s->rig, s->closes == 1);
        assert_int_equal(count(s, "HTTP/1.1 "), i >= 2);
        site_free(s);
    }
}

static void reset_ends_it(void **state)
{
    static const char *const texts[] = {"", "GET /", GET("/short"),
                                        GET("/refuse")};
    (void)state;

    for (size_t i = 0; i < LEN(texts); i++) {
        struct site *s = site_new();
        site_open(s, 0);
        client_send(s, texts[i]);
        rig_turn_for(&s->rig, 4);
        peer_reset(s->fd[1]);
        s->fd[1] = -1;
        UNTIL(&s->rig, s->closes == 1);
        site_free(s);
    }
}

/* ---- bodies --------------------------------------------------------------
 */

static const char *body_of(struct site *s)
{
    const char *end = strstr(s->in, "\r\n\r\n");
    return end ? end + 4 : NULL;
}

static void a_file_to_a_slow_reader(void **state)
{
    struct site *s = site_new();
    size_t total;
    (void)state;

    s->file_n = 300000;
    site_open(s, SMALL_BUFFER);
    client_send(s, GET("/body") GET("/short"));
    UNTIL(&s->rig, s->h->state == H1_BODY);
    do {
        client_read(s, 3000);
        rig_turn(&s->rig);
        assert_true(!s->h || conn_queued(s->h->conn) <=
                                 s->rules.marks.high + (64 << 10));
        total = body_of(s) ? (size_t)(body_of(s) - s->in) + s->file_n : 0;
    } while (total == 0 || s->in_n < total);
    assert_true(stream_is((const uint8_t *)body_of(s), s->file_n, 0, 7));
    assert_true(is_closed(s->file));
    READ_UNTIL(s, count(s, "hello\n"));
    site_free(s);
}

static void a_file_that_shrinks(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->file_n = 10000;
    s->file_cut = 4000;
    site_open(s, 0);
    client_send(s, GET("/body"));
    READ_UNTIL(s, s->in_reset); /* the length was told: no good end */
    assert_int_equal(s->closes, 1);
    site_free(s);
}

static void an_empty_file(void **state)
{
    struct site *s = site_new();
    (void)state;

    site_open(s, 0);
    client_send(s, GET("/body") GET("/short"));
    READ_UNTIL(s, count(s, "hello\n"));
    assert_non_null(strstr(s->in, "Content-Length: 0\r\n"));
    site_free(s);
}

static void a_reader_that_stalls(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->rules.write_stall_ms = 40;
    s->file_n = 400000;
    site_open(s, SMALL_BUFFER);
    client_send(s, GET("/body"));
    UNTIL(&s->rig, s->closes == 1);
    READ_UNTIL(s, s->in_reset);
    assert_true(s->in_n < s->file_n);
    site_free(s);
}

static void a_reader_that_leaves(void **state)
{
    (void)state;

    for (int reset = 0; reset < 2; reset++) {
        struct site *s = site_new();
        s->file_n = 400000;
        site_open(s, SMALL_BUFFER);
        client_send(s, GET("/body"));
        UNTIL(&s->rig, s->h->state == H1_BODY);
        rig_turn_for(&s->rig, 4);
        client_read(s, 100);
        if (reset)
            peer_reset(s->fd[1]);
        else
            close(s->fd[1]);
        s->fd[1] = -1;
        UNTIL(&s->rig, s->closes == 1);
        site_free(s);
    }
}

/* Many requests and no reader: what is answered stays within the marks. */
static void answers_wait_for_the_reader(void **state)
{
    static const char *const paths[] = {
        GET("/body"),
        GET("/short"),
        ("HEAD /body HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    (void)state;

    for (size_t i = 0; i < LEN(paths); i++) {
        struct site *s = site_new();
        size_t n = strlen(paths[i]), sent = 0, partial = 0, most = 0;
        s->file_n = 20000;
        site_open(s, SMALL_BUFFER);
        double until = ev_time() + 0.03;
        while (s->h && ev_time() < until) {
            ssize_t k =
                send(s->fd[1], paths[i] + partial, n - partial, MSG_NOSIGNAL);
            if (k > 0) {
                partial = (partial + (size_t)k) % n;
                sent += partial == 0;
            } else {
                rig_turn(&s->rig);
            }
            if (s->h)
                most = max_size(most, conn_queued(s->h->conn));
        }
        assert_non_null(s->h);
        assert_true(most <= s->rules.marks.high + 24000);
        while (partial > 0) { /* finish the request begun */
            ssize_t k =
                send(s->fd[1], paths[i] + partial, n - partial, MSG_NOSIGNAL);
            partial = (partial + (k > 0 ? (size_t)k : 0)) % n;
            sent += partial == 0;
            client_read(s, SIZE_MAX);
            s->in_n = 0;
            rig_turn(&s->rig);
        }
        until = ev_time() + RIG_PATIENCE_S;
        while (s->requests < sent && ev_time() < until) {
            client_read(s, SIZE_MAX);
            s->in_n = 0;
            rig_turn(&s->rig);
        }
        assert_int_equal(s->requests, sent);
        site_free(s);
    }
}

/* A slow reader of answers that are small is not idle. */
static void keep_alive_begins_when_the_answer_is_out(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->rules.keep_alive_ms = 30;
    s->file_n = 60000;
    site_open(s, SMALL_BUFFER);
    client_send(s, GET("/body"));
    UNTIL(&s->rig, s->requests == 1);
    double until = ev_time() + 0.08;
    while (ev_time() < until) {
        client_read(s, 50);
        rig_turn(&s->rig);
    }
    assert_int_equal(s->closes, 0);
    READ_UNTIL(s, s->in_end);
    assert_true(stream_is((const uint8_t *)body_of(s), s->file_n, 0, 7));
    site_free(s);
}

/* ---- from above ----------------------------------------------------------
 */

static void closed_in_a_request(void **state)
{
    struct site *s = site_new();
    (void)state;

    site_open(s, 0);
    client_send(s, GET("/close") GET("/short"));
    UNTIL(&s->rig, s->closes == 1);
    rig_turn_for(&s->rig, 4);
    assert_int_equal(s->requests, 1);
    site_free(s);
}

static void drained(void **state)
{
    static const struct {
        const char *text;
        unsigned answers;
    } cases[] = {
        {"", 0},           {"GET /sho", 0},    {GET("/later"), 1},
        {GET("/body"), 1}, {GET("/short"), 1},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct site *s = site_new();
        s->rules.linger_ms = 20;
        s->file_n = 400000;
        site_open(s, SMALL_BUFFER);
        client_send(s, cases[i].text);
        rig_turn_for(&s->rig, 4);
        h1_drain(s->h);
        rig_turn_for(&s->rig, 4);
        if (i == 2)
            answer(s, SHORT);
        READ_UNTIL(s, s->in_end || s->in_reset);
        assert_int_equal(count(s, "HTTP/1.1 200"), cases[i].answers);
        if (i == 3)
            assert_true(
                stream_is((const uint8_t *)body_of(s), s->file_n, 0, 7));
        UNTIL(&s->rig, s->closes == 1);
        site_free(s);
    }
}

/* ---- TLS -----------------------------------------------------------------
 */

static struct tls_server *tls_server;

static void tls_open(struct site *s)
{
    tcp_pair(s->fd, 0);
    s->h = h1_open(&s->rig.loop, s->fd[0], tls_server_ssl(tls_server),
                   &s->rules, &ops, s, &s->rules, &s->metrics);
    assert_non_null(s->h);
}

static void tls_that_does_not_begin(void **state)
{
    struct site *s = site_new();
    (void)state;

    s->rules.tls_handshake_ms = 20;
    tls_open(s);
    client_send(s, "\x16\x03\x01");
    READ_UNTIL(s, s->in_reset || s->in_end);
    assert_int_equal(s->closes, 1);
    assert_int_equal(s->bad_status, 0);
    assert_int_equal(counter_get(&s->metrics.tls_failed), 1);
    site_free(s);
}

static void http_on_a_tls_port(void **state)
{
    struct site *s = site_new();
    (void)state;

    tls_open(s);
    client_send(s, GET("/short"));
    UNTIL(&s->rig, s->closes == 1);
    assert_int_equal(s->bads, 1);
    assert_int_equal(s->bad_status, 0);
    assert_non_null(strstr(s->bad_why, "http request"));
    assert_int_equal(counter_get(&s->metrics.tls_failed), 1);
    site_free(s);
}

struct tls_client_end {
    struct conn *c;
    char in[1024];
    size_t n;
    bool open;
};

static void client_open(struct conn *c)
{
    ((struct tls_client_end *)c->owner)->open = true;
}

static void client_data(struct conn *c, uint8_t *p, size_t n)
{
    struct tls_client_end *e = c->owner;
    n = min_size(n, sizeof e->in - 1 - e->n);
    memcpy(e->in + e->n, p, n);
    e->n += n;
}

static void client_event(struct conn *c)
{
    (void)c;
}

static void client_error(struct conn *c, int error)
{
    (void)c, (void)error;
}

static const struct conn_ops client_ops = {
    .on_open = client_open,
    .on_data = client_data,
    .on_eof = client_event,
    .on_drained = client_event,
    .on_error = client_error,
};

static void requests_over_tls(void **state)
{
    struct site *s = site_new();
    struct tls_client *client = rig_tls_client();
    struct tls_client_end e = {0};
    (void)state;

    s->rules.tls_handshake_ms = 500; /* done with when the handshake is */
    tls_open(s);
    e.c = conn_open(&s->rig.loop, s->fd[1], tls_client_ssl(client, "localhost"),
                    &client_ops, &e, &s->rules.marks);
    UNTIL(&s->rig, e.open);
    rig_turn_for(&s->rig, 520);
    assert_int_equal(s->closes, 0);
    conn_send(e.c, GET("/short") GET("/refuse"),
              strlen(GET("/short") GET("/refuse")));
    UNTIL(&s->rig, strstr(e.in, "hello\n") && strstr(e.in, "not here"));
    conn_close(e.c, false);
    s->fd[1] = -1;
    UNTIL(&s->rig, s->closes == 1);
    tls_client_free(client);
    site_free(s);
}

/* ---- addresses -----------------------------------------------------------
 */

static void who_the_client_is(void **state)
{
    static const struct {
        struct peer peer;
        const char *text;
    } cases[] = {
        {{.family = AF_INET, .ip = {192, 0, 2, 1}}, "192.0.2.1"},
        {{.family = AF_INET6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}},
         "2001:db8::1"},
        {{.family = AF_UNIX}, "unix"},
        {{.family = 250}, "unix"},
    };
    struct site *s = site_new();
    char text[PEER_TEXT];
    int pair[2];
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        peer_text(&cases[i].peer, text);
        assert_string_equal(text, cases[i].text);
    }
    site_open(s, 0);
    peer_text(&s->h->peer, text);
    assert_string_equal(text, "127.0.0.1");
    assert_int_not_equal(s->h->peer.port, 0);
    site_free(s);

    s = site_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    s->fd[0] = pair[0];
    s->fd[1] = pair[1];
    s->h = h1_open(&s->rig.loop, pair[0], NULL, &s->rules, &ops, s, &s->rules,
                   &s->metrics);
    peer_text(&s->h->peer, text);
    assert_string_equal(text, "unix");
    site_free(s);
}

static int make_tls(void **state)
{
    (void)state;
    tls_server = rig_tls_server();
    return 0;
}

static int free_tls(void **state)
{
    (void)state;
    tls_server_unref(tls_server);
    rig_certificate_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_whole_and_in_pieces),
        cmocka_unit_test(pipelined_in_order),
        cmocka_unit_test(the_last_answer_closes),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(answered_later),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(upgrade_keeps_early_bytes),
        cmocka_unit_test(upgrade_of_one_who_left),
        cmocka_unit_test(a_dripping_request_gets_408),
        cmocka_unit_test(one_that_says_nothing_gets_408),
        cmocka_unit_test(an_idle_one_is_closed_in_silence),
        cmocka_unit_test(handling_has_no_deadline_here),
        cmocka_unit_test(lingers_for_the_answer),
        cmocka_unit_test(eof_ends_it),
        cmocka_unit_test(reset_ends_it),
        cmocka_unit_test(a_file_to_a_slow_reader),
        cmocka_unit_test(a_file_that_shrinks),
        cmocka_unit_test(an_empty_file),
        cmocka_unit_test(a_reader_that_stalls),
        cmocka_unit_test(a_reader_that_leaves),
        cmocka_unit_test(answers_wait_for_the_reader),
        cmocka_unit_test(keep_alive_begins_when_the_answer_is_out),
        cmocka_unit_test(closed_in_a_request),
        cmocka_unit_test(drained),
        cmocka_unit_test(tls_that_does_not_begin),
        cmocka_unit_test(http_on_a_tls_port),
        cmocka_unit_test(requests_over_tls),
        cmocka_unit_test(who_the_client_is),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
