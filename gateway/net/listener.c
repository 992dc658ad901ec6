/* SPDX-License-Identifier: Apache-2.0 */
/* listener.c - open a listening socket of each kind; accept in batches. */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fail_errno(struct err *err, const char *doing, const char *what)
{
    return err_set(err, "cannot %s %s: %s", doing, what, strerror(errno));
}

/* Close fd, keeping errno. Returns -1. */
static int give_up(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
    return -1;
}

/* ---- TCP ---------------------------------------------------------------- */

static bool is_every(const struct sockaddr *sa)
{
    struct sockaddr_in6 v6;

    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(&v6, sa, sizeof(v6));
    return IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

/* Bind and listen; -1 with errno. Without `shared`, binding fails if anybody
 * listens there already, with it only if somebody unshared does. */
static int tcp_listen(const struct addrinfo *a, bool shared)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    IPPROTO_TCP);

    if (fd == -1)
        return -1;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -1 ||
        (shared && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) == -1) ||
        (a->ai_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                                                !is_every(a->ai_addr)) == -1) ||
        bind(fd, a->ai_addr, a->ai_addrlen) == -1 ||
        listen(fd, SOMAXCONN) == -1)
        return give_up(fd);
    return fd;
}

/* SO_REUSEPORT would let a second gateway of the same user silently take a
 * part of the connections. So the first socket is preceded by one that is not
 * shared. */
static int tcp_listen_first(const struct addrinfo *a)
{
    int probe = tcp_listen(a, false);

    if (probe == -1)
        return -1;
    close(probe);
    return tcp_listen(a, true);
}

static int bound_port(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) == -1)
        return -1;
    if (sa.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&sa)->sin_port);
    if (sa.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
    return 0;
}

/* The addresses of the setting, the best first: for every address "::", which
 * takes IPv4 too, then "0.0.0.0"; of a name ("localhost") the IPv4 ones, which
 * more clients try. */
static int tcp_addresses(const struct listener_settings *s, int port,
                         struct addrinfo **list, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char service[16];

    snprintf(service, sizeof(service), "%d", port);
    int error = getaddrinfo(s->host, service, &hints, list);
    if (error != 0)
        return err_set(err, "cannot listen on %s: %s", s->host ? s->host : "*",
                       error == EAI_SYSTEM ? strerror(errno)
                                           : gai_strerror(error));
    return 0;
}

/* Only a machine without the address is a reason to try the next one; a port
 * in use, for one, must not make a listener deaf to half of its clients. */
static bool lacks_address(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

static int tcp_socket(const struct listener_settings *s, int *port,
                      struct err *err)
{
    const int preferred = s->host ? AF_INET : AF_INET6;
    bool first = *port == 0;
    struct addrinfo *list;
    int fd = -1;

    if (tcp_addresses(s, first ? s->port : *port, &list, err) == -1)
        return -1;
    errno = EADDRNOTAVAIL;
    for (int pass = 0; pass < 2; pass++)
        for (struct addrinfo *a = list; a; a = a->ai_next)
            if ((a->ai_family == preferred) == (pass == 0) && fd == -1 &&
                lacks_address(errno))
                fd = first ? tcp_listen_first(a) : tcp_listen(a, true);
    int error = errno;
    freeaddrinfo(list);

    if (fd == -1)
        return err_set(err, "cannot listen on %s port %d: %s",
                       s->host ? s->host : "*", first ? s->port : *port,
                       strerror(error));
    *port = bound_port(fd);
    return fd;
}

/* ---- Unix --------------------------------------------------------------- */

static int unix_address(const char *path, struct sockaddr_un *sa,
                        socklen_t *len, struct err *err)
{
    size_t n = strlen(path);
    bool abstract = path[0] == '@';

    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    if (n == 0 || (abstract && n == 1))
        return err_set(err, "cannot listen: the socket has no name");
    if (n > sizeof(sa->sun_path) - !abstract)
        return err_set(err,
                       "cannot listen on %s: the path has %zu bytes, %zu "
                       "are possible",
                       path, n, sizeof(sa->sun_path) - !abstract);
    memcpy(sa->sun_path, path, n);
    if (abstract)
        sa->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
    return 0;
}

/* Whether the file is a socket that nobody listens on any more. */
static bool unix_is_stale(const struct sockaddr_un *sa, socklen_t len)
{
    struct stat st;

    if (sa->sun_path[0] == '\0' || lstat(sa->sun_path, &st) == -1 ||
        !S_ISSOCK(st.st_mode))
        return false;

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)sa, len) == -1 &&
                 errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int unix_bind(int fd, const struct sockaddr_un *sa, socklen_t len)
{
    if (bind(fd, (const struct sockaddr *)sa, len) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -1;
    if (!unix_is_stale(sa, len) || unlink(sa->sun_path) == -1) {
        errno = EADDRINUSE;
        return -1;
    }
    return bind(fd, (const struct sockaddr *)sa, len);
}

/* Nobody can connect before listen(), so the mode is settled before that,
 * whatever the umask; fchmod on the socket says what bind() gives the file. */
static int unix_socket(const struct listener_settings *s, struct err *err)
{
    struct sockaddr_un sa;
    socklen_t len = 0;

    if (unix_address(s->path, &sa, &len, err) == -1)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return fail_errno(err, "make a socket for", s->path);
    if (fchmod(fd, s->mode) == -1 || unix_bind(fd, &sa, len) == -1 ||
        (s->path[0] != '@' && chmod(s->path, s->mode) == -1) ||
        listen(fd, SOMAXCONN) == -1) {
        fail_errno(err, "listen on", s->path);
        return give_up(fd);
    }
    return fd;
}

/* ---- inherited ---------------------------------------------------------- */

static int get_option(int fd, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == -1 ? -1 : value;
}

static int inherited_socket(const struct listener_settings *s, int *port,
                            struct err *err)
{
    int type = get_option(s->fd, SO_TYPE);

    if (type == -1)
        return err_set(err, "descriptor %d: %s", s->fd, strerror(errno));
    if (type != SOCK_STREAM || get_option(s->fd, SO_ACCEPTCONN) != 1)
        return err_set(err, "descriptor %d is not a listening stream socket",
                       s->fd);
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    if (fd == -1)
        return err_set(err, "descriptor %d: %s", s->fd, strerror(errno));
    int flags = fcntl(fd, F_GETFL);
    if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1) {
        err_set(err, "descriptor %d: %s", s->fd, strerror(errno));
        return give_up(fd);
    }
    *port = bound_port(fd);
    return fd;
}

static int open_socket(const struct listener_settings *s, int *port,
                       struct err *err)
{
    switch (s->kind) {
    case LISTEN_TCP:
        return tcp_socket(s, port, err);
    case LISTEN_UNIX:
        return unix_socket(s, err);
    case LISTEN_FD:
        return inherited_socket(s, port, err);
    }
    return err_set(err, "unknown kind of listener");
}

/* What is accepted inherits TCP_NODELAY: a system call less for each. */
int listener_socket(const struct listener_settings *s, int *port,
                    struct err *err)
{
    int fd = open_socket(s, port, err);

    if (fd != -1)
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* not on Unix sockets */
    return fd;
}

/* ---- accepting ---------------------------------------------------------- */

enum accepted { TOOK, NONE_WAITING, NO_ROOM };

/* An error not named here is that of one connection, which the kernel has
 * taken from the queue: accept(2) counts the network's among them. */
static enum accepted accept_failed(void)
{
    switch (errno) {
    case EAGAIN:
#if EAGAIN != EWOULDBLOCK
    case EWOULDBLOCK:
#endif
        return NONE_WAITING;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EBADF: /* these are our mistakes; at least it must not spin */
    case EINVAL:
    case ENOTSOCK:
        return NO_ROOM;
    default:
        return TOOK;
    }
}

/* The callback may stop the listener. */
static enum accepted accept_one(struct listener *l)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd == -1)
        return accept_failed();
    l->starved = false;
    l->on_accept(l, fd);
    return TOOK;
}

static void listener_rest(struct listener *l)
{
    if (!l->starved)
        log_error("accept-paused", log_str("why", strerror(errno)),
                  log_u64("retry_ms", LISTENER_REST_MS));
    l->starved = true;
    ev_io_stop(l->loop->ev, &l->io);
    ev_timer_set(&l->rest, LISTENER_REST_MS / 1000.0, 0.);
    ev_timer_start(l->loop->ev, &l->rest);
}

static void listener_readable_cb(struct ev_loop *loop, ev_io *w, int revents)
{
    struct listener *l = container_of(w, struct listener, io);
    (void)loop;
    (void)revents;

    for (int turn = 0; turn < LISTENER_BATCH && l->fd != -1; turn++) {
        enum accepted a = accept_one(l);
        if (a == NO_ROOM)
            listener_rest(l);
        if (a != TOOK)
            return;
    }
}

static void listener_rested_cb(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct listener *l = container_of(w, struct listener, rest);
    (void)revents;

    ev_io_start(loop, &l->io);
}

void listener_start(struct listener *l, struct loop *loop, int fd,
                    void (*on_accept)(struct listener *l, int fd), void *owner)
{
    l->loop = loop;
    l->fd = fd;
    l->on_accept = on_accept;
    l->owner = owner;
    l->starved = false;
    ev_timer_init(&l->rest, listener_rested_cb, 0., 0.);
    ev_io_init(&l->io, listener_readable_cb, fd, EV_READ);
    ev_io_start(loop->ev, &l->io);
}

/* Connections may come in faster than they are taken; as many as the backlog
 * can hold were there when we began. */
void listener_drain(struct listener *l)
{
    for (int i = 0; i < SOMAXCONN && l->fd != -1; i++)
        if (accept_one(l) != TOOK)
            break;
    listener_stop(l);
}

void listener_stop(struct listener *l)
{
    if (l->fd == -1)
        return;
    ev_io_stop(l->loop->ev, &l->io);
    ev_timer_stop(l->loop->ev, &l->rest);
    close(l->fd);
    l->fd = -1;
}
