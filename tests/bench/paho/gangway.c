/* SPDX-License-Identifier: Apache-2.0 */
/* gangway.c - the same through a gangway and one WebSocket session: it hears a
 * raw topic, or publishes envelopes with QoS 1 and counts their acks.
 *
 * The gangway is started by who runs this program: the broker's port goes to
 * standard output, and "PID PORT" is expected on standard input. */
#include "paho_bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 << 10, BATCH = 64 };

static int gangway_pid, fd;
static atomic_ulong *count;

static void send_all(const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w <= 0)
            die("the session was lost");
        at += w;
        n -= (size_t)w;
    }
}

/* The head of the server's frame at p[0..n), and its whole size; 0: not all of
 * it is there. */
static size_t frame_size(const uint8_t *p, size_t n, size_t *head)
{
    size_t len;

    if (n < 4)
        return 0;
    len = p[1];
    *head = 2;
    if (len == 126) {
        len = (size_t)p[2] << 8 | p[3];
        *head = 4;
    }
    if (len == 127)
        die("a frame this large");
    return *head + len <= n ? *head + len : 0;
}

/* With `only`, of the messages that contain it. */
static void *read_messages(void *only)
{
    static uint8_t in[BUFFER];
    size_t n = 0, head = 0, size;

    for (;;) {
        ssize_t r = recv(fd, in + n, sizeof in - n, 0);
        if (r <= 0)
            die("the session ended");
        n += (size_t)r;
        size_t at = 0;
        for (; (size = frame_size(in + at, n - at, &head)) > 0; at += size) {
            if ((in[at] & 15) == 8)
                die("the session was closed");
            if (!only || memmem(in + at, size, only, strlen(only)))
                atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
        }
        n -= at;
        memmove(in, in + at, n);
    }
    return NULL;
}

/* The gateway reads no more than it may have under way; so just send. */
static void *publish(void *arg)
{
    static char out[BATCH * 132];
    char text[PAYLOAD + 1] = {0};
    unsigned id = 0;
    (void)arg;

    memset(text, 'x', PAYLOAD);
    for (;;) {
        size_t n = 0;
        for (int i = 0; i < BATCH; i++) {
            char json[126];
            int len = snprintf(json, sizeof json,
                               "{\"op\":\"pub\",\"id\":%u,\"topic\":\"t\","
                               "\"qos\":1,\"text\":\"%s\"}",
                               id++ & 0xffffff, text);
            if (len >= 126)
                die("a request this large");
            const uint8_t head[6] = {0x81, (uint8_t)(0x80 | len)}; /* key: 0 */
            memcpy(out + n, head, sizeof head);
            memcpy(out + n + sizeof head, json, (size_t)len);
            n += sizeof head + (size_t)len;
        }
        send_all(out, n);
    }
    return NULL;
}

static void upgrade(bool in)
{
    char answer[2048];
    size_t n = 0;
    const char *ask = in ? "GET /raw" : "GET /json";
    const char *fields =
        " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const char *json = "Sec-WebSocket-Protocol: gangway.v1.json\r\n";

    send_all(ask, strlen(ask));
    send_all(fields, strlen(fields));
    if (!in)
        send_all(json, strlen(json));
    send_all("\r\n", 2);
    do {
        if (recv(fd, answer + n, 1, 0) != 1 || n + 2 > sizeof answer)
            die("no answer to the handshake");
        answer[++n] = '\0';
    } while (!strstr(answer, "\r\n\r\n"));
    if (!strstr(answer, " 101 "))
        die("the handshake was refused");
}

static void start(void *(*fn)(void *), const char *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, fn, (void *)(uintptr_t)arg) != 0)
        die("a thread");
}

static void begin(struct broker *b, bool in, atomic_ulong *counter)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;
    char line[64], *end = line;

    count = counter;
    printf("broker %d\n", b->port);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        die("no gangway");
    gangway_pid = (int)strtol(line, &end, 10);
    a.sin_port = htons((uint16_t)strtol(end, NULL, 10));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("cannot connect to the gangway");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    upgrade(in);
    start(read_messages, in ? NULL : "\"ack\"");
    if (!in)
        start(publish, NULL);
}

static double cpu_s(void)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(gangway_pid, &clock) != 0 ||
        clock_gettime(clock, &t) != 0)
        die("the gangway's clock");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const struct contestant through_gangway = {begin, cpu_s};
