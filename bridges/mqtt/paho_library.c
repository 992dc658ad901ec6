/* SPDX-License-Identifier: Apache-2.0 */
/* paho_library.c - the client that Paho is set up with, kept and woken by. */
#include "paho_library.h"

#include "paho.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPT_MS = 1000,
    AWAKE_MS = 800, /* less than Paho's second */
};

pthread_rwlock_t paho_calls = PTHREAD_RWLOCK_INITIALIZER;

/* The last client to be destroyed takes the library's threads and tables with
 * it, which is not safe while a new one comes. This one is never destroyed. */
static MQTTAsync anchor;

/* The other end of its connection; or -1. */
static int anchored = -1;
static _Atomic uint64_t woken_ms;

static void library_init(void)
{
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;

    init.do_openssl_init = 0; /* gangway has done it */
    MQTTAsync_global_init(&init);
    /* Paho would take a proxy from there, and could not be told not to. */
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    if (MQTTAsync_createWithOptions(&anchor, "tcp://-", "gangway",
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                    &o) != MQTTASYNC_SUCCESS)
        anchor = NULL;
}

bool paho_library_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_init);
    return anchor != NULL;
}

/* ---- waking -------------------------------------------------------------- */

/* A socket that listens on a free port of 127.0.0.1, which goes to *port. */
static int listen_here(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) < 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static bool anchor_connect(int port)
{
    char uri[32], *uris[] = {uri};
    MQTTAsync_connectOptions o = MQTTAsync_connectOptions_initializer;

    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", port);
    o.MQTTVersion = MQTTVERSION_3_1_1;
    o.keepAliveInterval = 0;
    o.serverURIs = uris;
    o.serverURIcount = 1;
    pthread_rwlock_rdlock(&paho_calls);
    int rc = MQTTAsync_connect(anchor, &o);
    pthread_rwlock_unlock(&paho_calls);
    return rc == MQTTASYNC_SUCCESS;
}

/* CONNACK, before the CONNECT has been read: nothing of what comes is. If
 * somebody else was quicker to connect, nobody is woken, and that is all. */
static int anchor_accept(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    const int one = 1;

    if (poll(&p, 1, ACCEPT_MS) <= 0)
        return -1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (send(fd, "\x20\x02\x00\x00", 4, MSG_NOSIGNAL) == 4)
        return fd;
    close(fd);
    return -1;
}

static void wake_init(void)
{
    int port, listener = listen_here(&port);

    if (listener < 0)
        return;
    if (anchor_connect(port))
        anchored = anchor_accept(listener);
    close(listener);
}

static bool wake_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, wake_init);
    return anchored >= 0;
}

void paho_wake_receiver(void)
{
    char unread[512];

    if (!wake_ready())
        return;
    while (recv(anchored, unread, sizeof unread, 0) == sizeof unread)
        ; /* from paho_wake_sender */
    /* PINGRESP. If there is no room, enough are under way. */
    if (send(anchored, "\xd0\x00", 2, MSG_NOSIGNAL) == 2)
        atomic_store(&woken_ms, paho_now_ms());
}

void paho_wake_sender(void)
{
    if (!wake_ready())
        return;
    pthread_rwlock_rdlock(&paho_calls);
    MQTTAsync_send(anchor, "wake", 0, "", 0, 0, NULL);
    pthread_rwlock_unlock(&paho_calls);
}

unsigned paho_keep_awake(void)
{
    uint64_t now = paho_now_ms(), quiet = now - atomic_load(&woken_ms);

    if (quiet < AWAKE_MS)
        return (unsigned)(AWAKE_MS - quiet);
    paho_wake_receiver();
    return AWAKE_MS;
}
