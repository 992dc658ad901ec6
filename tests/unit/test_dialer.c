/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling: who is tried, in which order, and what is said when all fails. */
#include "fake_dns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include "../../gateway/net/dialer.h"

/* ---- connect(2), when it should do what it seldom does
 * --------------------------- */

static int connect_error;      /* to fail with */
static bool connect_to_itself; /* from the very address that is dialled */
static unsigned connects;

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t n)
{
    int type = 0;
    socklen_t len = sizeof(type);

    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    if (type != SOCK_STREAM) /* c-ares' */
        return (int)syscall(SYS_connect, fd, to.__sockaddr__, n);
    connects++;
    if (connect_error) {
        errno = connect_error;
        return -1;
    }
    if (connect_to_itself)
        assert_int_equal(bind(fd, to, n), 0);
    return (int)syscall(SYS_connect, fd, to.__sockaddr__, n);
}

/* ---- servers
 * ----------------------------------------------------------------------- */

static int tcp_server(const char *ip, uint16_t *port, int backlog)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_not_equal(fd, -1);
    assert_int_equal(inet_pton(AF_INET, ip, &sa.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

/* A server that answers nobody, once its queue is full. */
struct hole {
    int listener;
    int clients[8];
    size_t n;
};

static void hole_open(struct hole *h, const char *ip, uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    struct pollfd p = {.events = POLLOUT};

    *h = (struct hole){.listener = tcp_server(ip, port, 0)};
    sa.sin_port = htons(*port);
    assert_int_equal(inet_pton(AF_INET, ip, &sa.sin_addr), 1);
    do {
        assert_true(h->n < LEN(h->clients));
        p.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_not_equal(p.fd, -1);
        h->clients[h->n++] = p.fd;
        connect(p.fd, (struct sockaddr *)&sa, sizeof(sa));
    } while (poll(&p, 1, 30) == 1);
}

static void hole_close(struct hole *h)
{
    close(h->listener);
    for (size_t i = 0; i < h->n; i++)
        close(h->clients[i]);
}

/* ---- a dial
 * -------------------------------------------------------------------------- */

struct fixture {
    struct fake_dns dns;
    struct loop loop;
    struct resolver *resolver;
    struct dialer *dialer;
    uint16_t live, dead; /* ports of 127.0.0.1 */
    int server, reserved;
    size_t open_before;

    bool done, over;
    enum dial_result result;
    char why[64], host[128], peer[64];
    int fd;
    const char *forbid; /* host or address */
    char asked[512];    /* "HOST PORT ADDRESS;" of each question */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void address_text(char *out, size_t cap, const struct address *a)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    char ip[INET6_ADDRSTRLEN];

    if (a->sa.ss_family == AF_INET) {
        memcpy(&v4, &a->sa, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, ip, sizeof(ip));
        snprintf(out, cap, "%s#%d", ip, ntohs(v4.sin_port));
    } else if (a->sa.ss_family == AF_INET6) {
        memcpy(&v6, &a->sa, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, ip, sizeof(ip));
        snprintf(out, cap, "%s#%d", ip, ntohs(v6.sin6_port));
    } else {
        snprintf(out, cap, "unix");
    }
}

static void on_connected(void *ctx, int fd, const char *host,
                         const struct address *peer)
{
    struct fixture *f = ctx;

    assert_false(f->done);
    f->done = true;
    f->dialer = NULL;
    f->result = DIAL_OK;
    f->fd = fd;
    snprintf(f->host, sizeof(f->host), "%s", host);
    address_text(f->peer, sizeof(f->peer), peer);
}

static void on_failed(void *ctx, enum dial_result result, const char *why)
{
    struct fixture *f = ctx;

    assert_false(f->done);
    f->done = true;
    f->dialer = NULL;
    f->result = result;
    snprintf(f->why, sizeof(f->why), "%s", why);
}

static bool on_permit(void *ctx, const char *host, uint16_t port,
                      const struct address *a)
{
    struct fixture *f = ctx;
    char address[64] = "none";
    size_t used = strlen(f->asked);

    if (a)
        address_text(address, sizeof(address), a);
    snprintf(f->asked + used, sizeof(f->asked) - used, "%s %d %s;", host, port,
             address);
    return !f->forbid || (strncmp(address, f->forbid, strlen(f->forbid)) != 0 &&
                          strcmp(host, f->forbid) != 0);
}

static const struct dial_ops ops = {on_connected, on_failed, on_permit};

static void over_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)revents;
    *(bool *)w->data = true;
    ev_break(ev, EVBREAK_ALL);
}

/* Turn the loop until the dial is done, at most for `seconds`. */
static void run(struct fixture *f, double seconds)
{
    ev_timer timer;

    f->over = false;
    ev_timer_init(&timer, over_cb, seconds, 0.);
    timer.data = &f->over;
    ev_now_update(f->loop.ev);
    ev_timer_start(f->loop.ev, &timer);
    while (!f->done && !f->over)
        ev_run(f->loop.ev, EVRUN_ONCE);
    ev_timer_stop(f->loop.ev, &timer);
}

static void dial(struct fixture *f, const char *address, unsigned timeout_ms)
{
    f->done = false;
    f->fd = -1;
    f->why[0] = f->host[0] = f->peer[0] = f->asked[0] = '\0';
    ev_now_update(f->loop.ev);
    f->dialer = dialer_start(&f->loop, f->resolver, address,
                             address[0] == '/' || address[0] == '@', f->live,
                             timeout_ms, &ops, f);
    assert_non_null(f->dialer);
    assert_false(f->done); /* nothing before the return */
}

/* Dial to the end. What was connected is closed again. */
static void dialled(struct fixture *f, const char *address, unsigned timeout_ms)
{
    dial(f, address, timeout_ms);
    run(f, 10);
    assert_true(f->done);
    if (f->fd != -1)
        close(f->fd);
}

/* "127.0.0.1:%d" and the like with the live and the dead port. */
static const char *with_ports(const struct fixture *f, const char *text)
{
    static char out[512];
    size_t used = 0;

    for (; *text; text++)
        if (*text == 'L' || *text == 'D')
            used += (size_t)snprintf(out + used, sizeof(out) - used, "%d",
                                     *text == 'L' ? f->live : f->dead);
        else
            out[used++] = *text;
    out[used] = '\0';
    return out;
}

static size_t open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static struct dns_record records[] = {
    {.name = "one.test", .addresses = "127.0.0.1", .ttl = 60},
    {.name = "two.test", .addresses = "127.0.0.9 127.0.0.1", .ttl = 60},
    {.name = "six.test", .addresses = "::1 127.0.0.1", .ttl = 60},
    {.name = "race.test", .addresses = "127.0.0.2 127.0.0.3", .ttl = 60},
    {.name = "holes.test", .addresses = "127.0.0.2 127.0.0.2", .ttl = 60},
    {.name = "gone.test", .rcode = DNS_NXDOMAIN},
    {.name = "broken.test", .rcode = DNS_SERVFAIL},
    {.name = "silent.test", .rcode = DNS_SILENT},
    {.name = NULL},
};

static int begin(void **state)
{
    static struct fixture f;

    f = (struct fixture){.fd = -1, .open_before = open_descriptors()};
    connect_error = 0;
    connect_to_itself = false;
    connects = 0;
    dns_start(&f.dns, records);
    f.server = tcp_server("127.0.0.1", &f.live, 64);
    f.reserved = tcp_server("127.0.0.1", &f.dead, -1);
    assert_int_equal(loop_init(&f.loop, 4096), 0);
    f.resolver = resolver_new(&f.loop, f.dns.servers);
    assert_non_null(f.resolver);
    *state = &f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    resolver_free(f->resolver);
    loop_fini(&f->loop);
    dns_stop(&f->dns);
    close(f->server);
    close(f->reserved);
    assert_int_equal(open_descriptors(), f->open_before);
    return 0;
}

/* ---- success
 * ----------------------------------------------------------------------------
 */

static int get_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void a_good_socket(void **state)
{
    struct fixture *f = *state;
    char byte = 'x';

    dial(f, with_ports(f, "127.0.0.1:L"), 5000);
    run(f, 10);
    assert_int_equal(f->result, DIAL_OK);
    assert_true(fcntl(f->fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
    assert_true(get_option(f->fd, IPPROTO_TCP, TCP_NODELAY));
    assert_true(get_option(f->fd, SOL_SOCKET, SO_KEEPALIVE));

    int peer = accept4(f->server, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(write(f->fd, &byte, 1), 1);
    assert_int_equal(read(peer, &byte, 1), 1);
    close(peer);
    close(f->fd);
}

static void reaches(void **state)
{
    static const struct {
        const char *address, *host, *peer;
    } cases[] = {
        {"127.0.0.1:L", "127.0.0.1", "127.0.0.1#L"},
        {"127.0.0.1", "127.0.0.1", "127.0.0.1#L"}, /* the default port */
        {"one.test:L", "one.test", "127.0.0.1#L"},
        {"localhost:L", "localhost", "127.0.0.1#L"},
        {"six.test:L", "six.test", "127.0.0.1#L"},
        {"two.test:L", "two.test", "127.0.0.1#L"},
        {"[::ffff:127.0.0.1]:L", "::ffff:127.0.0.1", "::ffff:127.0.0.1#L"},
        {"127.0.0.1:D,127.0.0.1:L", "127.0.0.1", "127.0.0.1#L"},
        {"gone.test,broken.test:1,127.0.0.1:D,one.test", "one.test",
         "127.0.0.1#L"},
        {"one.test:L,127.0.0.1:D", "one.test", "127.0.0.1#L"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].address);
        dialled(f, with_ports(f, cases[i].address), 5000);
        assert_int_equal(f->result, DIAL_OK);
        assert_string_equal(f->host, cases[i].host);
        assert_string_equal(f->peer, with_ports(f, cases[i].peer));
    }
}

/* ---- failure
 * -----------------------------------------------------------------------------
 */

static void failures(void **state)
{
    static const struct {
        const char *address;
        enum dial_result result;
        const char *why;
    } cases[] = {
        {"127.0.0.1:D", DIAL_REFUSED, "connection refused"},
        {"one.test:D", DIAL_REFUSED, "connection refused"},
        {"localhost:D", DIAL_REFUSED, "connection refused"},
        {"127.0.0.1:D,gone.test", DIAL_REFUSED, "connection refused"},
        {"gone.test,127.0.0.1:D", DIAL_REFUSED, "connection refused"},
        {"gone.test", DIAL_UNRESOLVED, "no such host"},
        {"127.1:L", DIAL_UNRESOLVED, "no such host"},
        {"broken.test", DIAL_UNRESOLVED, "name resolution failed"},
        {"127.0.0.1:0", DIAL_BAD, "the address makes no sense"},
        {"127.0.0.1:65536", DIAL_BAD, "the address makes no sense"},
        {"one.test:L,", DIAL_BAD, "the address makes no sense"},
        {"::1", DIAL_BAD, "the address makes no sense"},
        {"", DIAL_BAD, "no address"},
        {"/no/such/socket", DIAL_REFUSED, "no such socket"},
        {"/dev/null", DIAL_REFUSED, "connection refused"},
        {"@gangway-test-nobody", DIAL_REFUSED, "connection refused"},
        {"@", DIAL_BAD, "the address makes no sense"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].address);
        dialled(f, with_ports(f, cases[i].address), 5000);
        assert_int_equal(f->result, cases[i].result);
        assert_string_equal(f->why, cases[i].why);
    }
}

static void no_default_port(void **state)
{
    struct fixture *f = *state;

    f->live = 0;
    dialled(f, "one.test", 5000);
    assert_int_equal(f->result, DIAL_BAD);
    assert_int_equal(f->dns.asked, 0);
}

static void errors_of_connect(void **state)
{
    static const struct {
        int error;
        enum dial_result result;
    } cases[] = {
        {ECONNREFUSED, DIAL_REFUSED}, {ENETUNREACH, DIAL_REFUSED},
        {EHOSTUNREACH, DIAL_REFUSED}, {EACCES, DIAL_REFUSED},
        {EADDRNOTAVAIL, DIAL_NO_FD},  {ENOBUFS, DIAL_NO_FD},
        {ETIMEDOUT, DIAL_TIMEOUT},    {EPROTO, DIAL_REFUSED},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(cases); i++) {
        connect_error = cases[i].error;
        dialled(f, "127.0.0.1", 5000);
        assert_int_equal(f->result, cases[i].result);
        assert_true(strlen(f->why) > 0);
    }
}

static void no_descriptors(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, low;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    dialled(f, "127.0.0.1", 5000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(f->result, DIAL_NO_FD);
    assert_string_equal(f->why, "no descriptor left");
}

/* Without the check this would be a connection, of the gateway to itself. */
static void meets_itself(void **state)
{
    struct fixture *f = *state;
    char address[32];

    snprintf(address, sizeof(address), "127.0.0.1:%d", f->dead);
    close(f->reserved);
    connect_to_itself = true;
    dialled(f, address, 5000);
    assert_int_equal(f->result, DIAL_REFUSED);
    assert_string_equal(f->why, "connection refused");
    f->reserved = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* ---- permission
 * -----------------------------------------------------------------------------
 */

static void permission(void **state)
{
    static const struct {
        const char *address, *forbid;
        enum dial_result result;
        const char *asked;
    } cases[] = {
        {"one.test:L", "none", DIAL_OK, "one.test L 127.0.0.1#L;"},
        {"one.test:L", "127.0.0.1#", DIAL_FORBIDDEN, "one.test L 127.0.0.1#L;"},
        {"127.0.0.1", "127.", DIAL_FORBIDDEN, "127.0.0.1 L 127.0.0.1#L;"},
        {"two.test:L", "127.0.0.9#", DIAL_OK,
         "two.test L 127.0.0.9#L;two.test L 127.0.0.1#L;"},
        {"two.test:D", "127.0.0.9#", DIAL_REFUSED,
         "two.test D 127.0.0.9#D;two.test D 127.0.0.1#D;"},
        {"two.test,one.test", "127.", DIAL_FORBIDDEN,
         "two.test L 127.0.0.9#L;two.test L 127.0.0.1#L;"
         "one.test L 127.0.0.1#L;"},
        {"one.test,gone.test", "127.", DIAL_FORBIDDEN,
         "one.test L 127.0.0.1#L;"},
        {"two.test,127.0.0.1:L", "two.test", DIAL_OK,
         "two.test L 127.0.0.9#L;two.test L 127.0.0.1#L;"
         "127.0.0.1 L 127.0.0.1#L;"},
        {"/no/such", "/no/such", DIAL_FORBIDDEN, "/no/such 0 none;"},
        {"/no/such", "none", DIAL_FORBIDDEN, "/no/such 0 none;"},
        {"@no-such", "x", DIAL_REFUSED, "@no-such 0 none;"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s without %s\n", cases[i].address, cases[i].forbid);
        f->forbid = cases[i].forbid;
        connects = 0;
        dialled(f, with_ports(f, cases[i].address), 5000);
        assert_int_equal(f->result, cases[i].result);
        assert_string_equal(f->asked, with_ports(f, cases[i].asked));
        if (f->result == DIAL_FORBIDDEN)
            assert_int_equal(connects, 0);
    }
}

/* ---- Unix
 * ------------------------------------------------------------------------------------
 */

static int unix_server(const char *path, int backlog)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_not_equal(fd, -1);
    memcpy(sa.sun_path, path, n);
    if (path[0] == '@')
        sa.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&sa,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      n + (path[0] != '@'))),
                     0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void unix_sockets(void **state)
{
    struct fixture *f = *state;
    char path[120], longest[120];

    snprintf(path, sizeof(path), "@gangway-test-dialer-%d", (int)getpid());
    int server = unix_server(path, 8);
    dialled(f, path, 5000);
    assert_int_equal(f->result, DIAL_OK);
    assert_string_equal(f->host, path);
    assert_string_equal(f->peer, "unix");
    close(server);

    memset(longest, 'x', sizeof(longest));
    longest[107] = '\0';
    snprintf(path, sizeof(path), "/tmp/gangway-test-%d-", (int)getpid());
    memcpy(longest, path, strlen(path));
    server = unix_server(longest, 8);
    dialled(f, longest, 5000);
    assert_int_equal(f->result, DIAL_OK);
    close(server);
    unlink(longest);
    longest[107] = 'x';
    longest[108] = '\0';
    dialled(f, longest, 5000);
    assert_int_equal(f->result, DIAL_BAD);
}

/* A full backlog is not the end: connect(2) would have waited. */
static void busy_unix_socket(void **state)
{
    struct fixture *f = *state;
    char path[64];
    int held[8];
    size_t n = 0;

    snprintf(path, sizeof(path), "@gangway-test-busy-%d", (int)getpid());
    int server = unix_server(path, 0);
    do {
        assert_true(n < LEN(held));
        dial(f, path, 300);
        run(f, 0.1);
        held[n++] = f->fd;
    } while (f->done);
    n--;
    run(f, 5);
    assert_int_equal(f->result, DIAL_TIMEOUT);

    dial(f, path, 5000);
    run(f, 0.1);
    assert_false(f->done);
    close(accept4(server, NULL, NULL, SOCK_CLOEXEC));
    run(f, 5);
    assert_int_equal(f->result, DIAL_OK);
    close(f->fd);
    while (n > 0)
        close(held[--n]);
    close(server);
}

/* ---- time
 * --------------------------------------------------------------------------------------
 */

static void addresses_race(void **state)
{
    struct fixture *f = *state;
    struct hole hole;
    uint16_t port = 0;
    char address[64];

    hole_open(&hole, "127.0.0.2", &port);
    int live = tcp_server("127.0.0.3", &port, 8);
    snprintf(address, sizeof(address), "race.test:%d", port);
    double began = now();
    dialled(f, address, 5000);
    double took = now() - began;
    assert_int_equal(f->result, DIAL_OK);
    assert_string_equal(f->host, "race.test");
    assert_memory_equal(f->peer, "127.0.0.3#", 10);
    assert_true(took > 0.24 && took < 4);

    close(live); /* refused at once, and the first is still silent */
    began = now();
    dialled(f, address, 600);
    assert_int_equal(f->result, DIAL_TIMEOUT);
    assert_true(now() - began > 0.59 && now() - began < 4);
    hole_close(&hole);
}

/* The one that was slow may still win. */
static void the_first_wins_late(void **state)
{
    struct fixture *f = *state;
    struct hole hole;
    uint16_t port = 0;
    char address[64];

    hole_open(&hole, "127.0.0.2", &port);
    snprintf(address, sizeof(address), "race.test:%d", port);
    dial(f, address, 8000);
    run(f, 0.4); /* 127.0.0.3 has refused */
    assert_false(f->done);
    close(hole.clients[--hole.n]); /* it would come first */
    for (size_t i = 0; i < hole.n; i++)
        close(accept4(hole.listener, NULL, NULL, SOCK_CLOEXEC));
    run(f, 8); /* the kernel repeats its SYN after a second */
    assert_int_equal(f->result, DIAL_OK);
    assert_memory_equal(f->peer, "127.0.0.2#", 10);
    close(f->fd);
    hole_close(&hole);
}

static void endpoints_share_the_time(void **state)
{
    static const char *const silent[] = {"127.0.0.2:%d,127.0.0.1:L",
                                         "silent.test:%d,127.0.0.1:L",
                                         "holes.test:%d,127.0.0.1:L"};
    struct fixture *f = *state;
    struct hole hole;
    uint16_t port = 0;

    hole_open(&hole, "127.0.0.2", &port);
    for (size_t i = 0; i < LEN(silent); i++) {
        char text[64], number[8];
        print_message("%s\n", silent[i]);
        const char *at = strstr(silent[i], "%d");
        snprintf(number, sizeof(number), "%d", port);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - silent[i]),
                 silent[i], number, at + 2);
        double began = now();
        dialled(f, with_ports(f, text), 800);
        assert_int_equal(f->result, DIAL_OK);
        assert_string_equal(f->host, "127.0.0.1");
        assert_true(now() - began > 0.39);
    }
    hole_close(&hole);
}

static void the_deadline_covers_all(void **state)
{
    static const char *const hosts[] = {"127.0.0.2", "holes.test",
                                        "silent.test"};
    struct fixture *f = *state;
    struct hole hole;
    uint16_t port = 0;
    char address[128];

    hole_open(&hole, "127.0.0.2", &port);
    for (size_t i = 0; i < LEN(hosts); i++) {
        snprintf(address, sizeof(address), "%s:%d,%s:%d", hosts[i], port,
                 hosts[i], port);
        double began = now();
        dialled(f, address, 400);
        assert_int_equal(f->result, DIAL_TIMEOUT);
        assert_string_equal(f->why, "timed out");
        assert_true(now() - began > 0.39 && now() - began < 4);
    }
    hole_close(&hole);
}

/* ---- cancelling
 * ----------------------------------------------------------------------------------
 */

static void cancelled(void **state)
{
    static const struct {
        const char *address;
        double after;
    } cases[] = {
        {"127.0.0.1:L", 0},     /* before anything */
        {"silent.test", 0.05},  /* while resolving */
        {"127.0.0.2:%d", 0.05}, /* while connecting */
        {"holes.test:%d", 0.3}, /* twice */
        {"holes.test:%d,127.0.0.1:L", 0.05},
        {"/no/such/socket", 0},
    };
    struct fixture *f = *state;
    struct hole hole;
    uint16_t port = 0;

    hole_open(&hole, "127.0.0.2", &port);
    size_t before = open_descriptors();
    for (size_t i = 0; i < LEN(cases); i++) {
        char text[128];
        const char *at = strstr(cases[i].address, "%d");
        if (at)
            snprintf(text, sizeof(text), "%.*s%d%s",
                     (int)(at - cases[i].address), cases[i].address, port,
                     at + 2);
        else
            snprintf(text, sizeof(text), "%s", cases[i].address);
        dial(f, with_ports(f, text), 5000);
        if (cases[i].after > 0)
            run(f, cases[i].after);
        assert_false(f->done);
        dialer_cancel(f->dialer);
        if (i != 1) /* c-ares keeps its socket to the silent server */
            assert_int_equal(open_descriptors(), before);
        run(f, 0.05);
        assert_false(f->done);
        resolver_free(f->resolver);
        f->resolver = resolver_new(&f->loop, f->dns.servers);
        assert_int_equal(open_descriptors(), before);
    }
    dialer_cancel(NULL);
    hole_close(&hole);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_good_socket),
        TEST(reaches),
        TEST(failures),
        TEST(no_default_port),
        TEST(errors_of_connect),
        TEST(no_descriptors),
        TEST(meets_itself),
        TEST(permission),
        TEST(unix_sockets),
        TEST(busy_unix_socket),
        TEST(addresses_race),
        TEST(the_first_wins_late),
        TEST(endpoints_share_the_time),
        TEST(the_deadline_covers_all),
        TEST(cancelled),
    };
    return cmocka_run_group_tests_name("dialer", tests, NULL, NULL);
}
