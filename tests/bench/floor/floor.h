/* SPDX-License-Identifier: Apache-2.0 */
/* floor.h - what the two floors share: sockets on loopback, and the arguments
 * that they begin with, LISTEN_PORT BACKEND_PORT. */
#ifndef FLOOR_H
#define FLOOR_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FLOOR_BUFFER = 65536, /* bytes of one read, for everybody */
    FLOOR_EVENTS = 256,   /* taken from the kernel at once */
    FLOOR_BACKLOG = 4096,
};

static inline _Noreturn void floor_fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static inline struct sockaddr_in floor_address(const char *port)
{
    char *end;
    unsigned long n = strtoul(port, &end, 10);

    if (end == port || *end || n == 0 || n > UINT16_MAX) {
        fprintf(stderr, "not a port: %s\n", port);
        exit(2);
    }
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)n),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* A listening socket, and as many descriptors as are allowed. */
static inline int floor_listen(const char *port)
{
    struct sockaddr_in a = floor_address(port);
    struct rlimit files;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(fd, FLOOR_BACKLOG) < 0)
        floor_fail(port);
    return fd;
}

static inline void floor_nodelay(int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/* Begin to connect; the socket is writable when it is done. -1: it cannot. */
static inline int floor_dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    floor_nodelay(fd);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 ||
        errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static inline bool floor_connected(int fd)
{
    int error = 0;
    socklen_t n = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0;
}

static inline void floor_watch(int epoll, int op, int fd, uint32_t events,
                               void *who)
{
    struct epoll_event e = {.events = events, .data.ptr = who};
    if (epoll_ctl(epoll, op, fd, &e) < 0)
        floor_fail("epoll_ctl");
}

#endif
