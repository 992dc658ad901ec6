/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of each kind, and how they are accepted from. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../gateway/net/listener.h"

static char dir[] = "/tmp/gangway-listener-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir); /* fails if a test left something behind */
}

static char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/* ---- dialling
 * ------------------------------------------------------------------ */

static int dial_tcp(const char *ip, int port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    bool is_v4 = inet_pton(AF_INET, ip, &v4.sin_addr) == 1;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_not_equal(fd, -1);
    assert_true(is_v4 || inet_pton(AF_INET6, ip, &v6.sin6_addr) == 1);
    if (connect(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
                is_v4 ? sizeof(v4) : sizeof(v6)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_not_equal(fd, -1);
    memcpy(sa.sun_path, path, n);
    if (path[0] == '@')
        sa.sun_path[0] = '\0';
    if (connect(fd, (struct sockaddr *)&sa,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
                            (path[0] != '@'))) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
                              .sin6_addr = in6addr_loopback};
    bool has = fd != -1 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;

    if (fd != -1)
        close(fd);
    return has;
}

static void assert_private(int fd)
{
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* ---- TCP
 * ----------------------------------------------------------------------- */

static void every_address(void **state)
{
    struct listener_settings s = {.kind = LISTEN_TCP};
    struct err err;
    int port = 0;
    (void)state;

    int one = listener_socket(&s, &port, &err);
    assert_int_not_equal(one, -1);
    assert_in_range(port, 1, 65535);
    int again = port;
    int two = listener_socket(&s, &again, &err); /* of another worker */
    assert_int_not_equal(two, -1);
    assert_int_equal(again, port);
    assert_private(one);
    assert_private(two);

    int client = dial_tcp("127.0.0.1", port);
    assert_int_not_equal(client, -1);
    close(client);
    if (has_ipv6()) {
        client = dial_tcp("::1", port);
        assert_int_not_equal(client, -1);
        close(client);
    }
    close(one);
    close(two);
    assert_int_equal(dial_tcp("127.0.0.1", port), -1);
}

/* Another gateway, not another worker: although both share the port. */
static void taken_port(void **state)
{
    static char any[] = "0.0.0.0", loopback[] = "127.0.0.1";
    static char *const hosts[] = {NULL, any, loopback};
    struct listener_settings s = {.kind = LISTEN_TCP, .host = loopback};
    struct err err = {{0}};
    int port = 0;
    (void)state;

    int one = listener_socket(&s, &port, &err);
    assert_int_not_equal(one, -1);
    for (size_t i = 0; i < LEN(hosts); i++) {
        int other = 0;
        s.host = hosts[i];
        s.port = port;
        assert_int_equal(listener_socket(&s, &other, &err), -1);
        assert_non_null(strstr(err.text, "in use"));
    }
    close(one);
    s.host = loopback;
    int other = 0;
    int two = listener_socket(&s, &other, &err);
    assert_int_not_equal(two, -1);
    assert_int_equal(other, port);
    close(two);
}

static void tcp_hosts(void **state)
{
    static const struct {
        const char *host, *dial, *error; /* error NULL: works */
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", NULL},
        {"localhost", "127.0.0.1", NULL},
        {"0.0.0.0", "127.0.0.1", NULL},
        /* no name can have such a label: nobody is asked */
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         NULL, "xxxxxxxxxxxxxxxx: "},
        {"203.0.113.77", NULL, "203.0.113.77 port 0: "},
    };
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        struct listener_settings s = {.kind = LISTEN_TCP,
                                      .host = strdup(cases[i].host)};
        struct err err = {{0}};
        int port = 0;
        int fd = listener_socket(&s, &port, &err);

        print_message("%s: %s\n", cases[i].host, fd == -1 ? err.text : "");
        if (cases[i].error) {
            assert_int_equal(fd, -1);
            assert_non_null(strstr(err.text, cases[i].error));
        } else {
            assert_int_not_equal(fd, -1);
            int client = dial_tcp(cases[i].dial, port);
            assert_int_not_equal(client, -1);
            close(client);
            close(fd);
        }
        free(s.host);
    }
}

/* ---- Unix
 * ---------------------------------------------------------------------- */

static void unix_mode(void **state)
{
    static const mode_t umasks[] = {0, 022, 0777};
    struct listener_settings s = {.kind = LISTEN_UNIX, .mode = 0660};
    struct stat st;
    struct err err;
    int port = 0;
    (void)state;

    s.path = path_of("mode");
    for (size_t i = 0; i < LEN(umasks); i++) {
        mode_t before = umask(umasks[i]);
        int fd = listener_socket(&s, &port, &err);
        umask(before);
        assert_int_not_equal(fd, -1);
        assert_private(fd);
        assert_int_equal(stat(s.path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        int client = dial_unix(s.path);
        assert_int_not_equal(client, -1);
        close(client);
        close(fd);
        unlink(s.path);
    }
}

static void unix_path_in_use(void **state)
{
    struct listener_settings s = {.kind = LISTEN_UNIX, .mode = 0600};
    struct stat before, after;
    struct err err = {{0}};
    int port = 0;
    (void)state;

    s.path = path_of("used");
    int one = listener_socket(&s, &port, &err);
    assert_int_not_equal(one, -1);
    assert_int_equal(listener_socket(&s, &port, &err), -1); /* it lives */
    assert_non_null(strstr(err.text, "in use"));
    int client = dial_unix(s.path);
    assert_int_not_equal(client, -1);
    close(client);

    close(one); /* stale now */
    one = listener_socket(&s, &port, &err);
    assert_int_not_equal(one, -1);
    close(one);
    unlink(s.path);

    int file = open(s.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_not_equal(file, -1);
    close(file);
    assert_int_equal(stat(s.path, &before), 0);
    assert_int_equal(listener_socket(&s, &port, &err), -1);
    assert_int_equal(stat(s.path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    unlink(s.path);
}

static void unix_names(void **state)
{
    struct listener_settings s = {.kind = LISTEN_UNIX, .mode = 0600};
    struct err err = {{0}};
    char name[128];
    int port = 0;
    (void)state;

    snprintf(name, sizeof(name), "@gangway-test-%d", (int)getpid());
    s.path = name;
    int fd = listener_socket(&s, &port, &err);
    if (fd == -1)
        fail_msg("%s", err.text);
    int client = dial_unix(name);
    assert_int_not_equal(client, -1);
    close(client);
    assert_int_equal(listener_socket(&s, &port, &err), -1);
    close(fd);

    /* 107 bytes and a NUL are what there is room for. */
    memset(name, 'x', 108);
    name[108] = '\0';
    memcpy(name, dir, strlen(dir));
    name[strlen(dir)] = '/';
    assert_int_equal(listener_socket(&s, &port, &err), -1);
    assert_non_null(strstr(err.text, "108 bytes"));
    name[107] = '\0';
    fd = listener_socket(&s, &port, &err);
    if (fd == -1)
        fail_msg("%s", err.text);
    close(fd);
    unlink(name);

    static const char *const bad[] = {"", "@", "/no/such/directory/s"};
    for (size_t i = 0; i < LEN(bad); i++) {
        snprintf(name, sizeof(name), "%s", bad[i]);
        assert_int_equal(listener_socket(&s, &port, &err), -1);
    }
}

/* ---- inherited
 * ------------------------------------------------------------------- */

static void inherited(void **state)
{
    struct listener_settings tcp = {.kind = LISTEN_TCP},
                             s = {.kind = LISTEN_FD};
    struct err err = {{0}};
    int port = 0, told = 0;
    (void)state;

    int original = listener_socket(&tcp, &port, &err);
    assert_int_not_equal(original, -1);
    assert_int_equal(fcntl(original, F_SETFL, 0), 0); /* as systemd may */
    assert_int_equal(fcntl(original, F_SETFD, 0), 0);
    s.fd = original;
    int fd = listener_socket(&s, &told, &err);
    assert_int_not_equal(fd, -1);
    assert_int_not_equal(fd, original);
    assert_int_equal(told, port);
    assert_private(fd);
    close(fd);
    close(original);

    const int bad[] = {
        -1,
        open("/dev/null", O_RDONLY | O_CLOEXEC),
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), /* not listening */
        socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
    };
    for (size_t i = 0; i < LEN(bad); i++) {
        s.fd = bad[i];
        err.text[0] = '\0';
        assert_int_equal(listener_socket(&s, &told, &err), -1);
        assert_memory_equal(err.text, "descriptor ", strlen("descriptor "));
    }
    for (size_t i = 1; i < LEN(bad); i++)
        close(bad[i]);
}

/* ---- accepting
 * -------------------------------------------------------------------- */

struct fixture {
    struct loop loop;
    struct listener listener;
    int port;
    int clients[64];
    int accepted[64];
    size_t n_clients, n_accepted;
    size_t stop_after; /* 0: never */
};

static void on_accept(struct listener *l, int fd)
{
    struct fixture *f = l->owner;

    f->accepted[f->n_accepted++] = fd;
    if (f->n_accepted == f->stop_after)
        listener_stop(l);
}

static void begin(struct fixture *f)
{
    struct listener_settings s = {.kind = LISTEN_TCP,
                                  .host = (char[]){"127.0.0.1"}};
    struct err err;

    *f = (struct fixture){.port = 0};
    assert_int_equal(loop_init(&f->loop, 4096), 0);
    int fd = listener_socket(&s, &f->port, &err);
    assert_int_not_equal(fd, -1);
    listener_start(&f->listener, &f->loop, fd, on_accept, f);
}

static void knock(struct fixture *f, size_t n)
{
    while (n-- > 0) {
        f->clients[f->n_clients] = dial_tcp("127.0.0.1", f->port);
        assert_int_not_equal(f->clients[f->n_clients++], -1);
    }
}

static void end(struct fixture *f)
{
    listener_stop(&f->listener);
    for (size_t i = 0; i < f->n_clients; i++)
        close(f->clients[i]);
    for (size_t i = 0; i < f->n_accepted; i++)
        close(f->accepted[i]);
    loop_fini(&f->loop);
}

static void alarm_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)revents;
    *(bool *)w->data = true;
    ev_break(ev, EVBREAK_ALL);
}

/* Turn the loop until n are accepted, for at most `seconds`. */
static void run_until(struct fixture *f, size_t n, double seconds)
{
    bool over = false;
    ev_timer timer;

    ev_timer_init(&timer, alarm_cb, seconds, 0.);
    timer.data = &over;
    ev_now_update(f->loop.ev);
    ev_timer_start(f->loop.ev, &timer);
    while (f->n_accepted < n && !over)
        ev_run(f->loop.ev, EVRUN_ONCE);
    ev_timer_stop(f->loop.ev, &timer);
}

static void accepts_in_batches(void **state)
{
    struct fixture f;
    (void)state;

    begin(&f);
    knock(&f, 40);
    for (size_t want = LISTENER_BATCH; f.n_accepted < 40;
         want += LISTENER_BATCH) {
        ev_run(f.loop.ev, EVRUN_ONCE);
        assert_int_equal(f.n_accepted, min_size(want, 40));
    }
    for (size_t i = 0; i < f.n_accepted; i++) {
        int nodelay = 0;
        socklen_t len = sizeof(nodelay);
        assert_private(f.accepted[i]);
        assert_int_equal(
            getsockopt(f.accepted[i], IPPROTO_TCP, TCP_NODELAY, &nodelay, &len),
            0);
        assert_true(nodelay);
    }
    knock(&f, 1); /* and goes on */
    run_until(&f, 41, 5);
    assert_int_equal(f.n_accepted, 41);
    end(&f);
}

static void stopped_in_callback(void **state)
{
    struct fixture f;
    (void)state;

    begin(&f);
    f.stop_after = 2;
    knock(&f, 5);
    run_until(&f, 2, 5);
    ev_run(f.loop.ev, EVRUN_NOWAIT);
    assert_int_equal(f.n_accepted, 2);
    assert_int_equal(f.listener.fd, -1);
    assert_int_equal(dial_tcp("127.0.0.1", f.port), -1);
    end(&f);
}

static void drains_the_backlog(void **state)
{
    struct fixture f;
    (void)state;

    begin(&f);
    knock(&f, 30);
    listener_drain(&f.listener);
    assert_int_equal(f.n_accepted, 30);
    assert_int_equal(dial_tcp("127.0.0.1", f.port), -1);
    listener_drain(&f.listener); /* twice does no harm */
    end(&f);

    begin(&f);
    f.stop_after = 3;
    knock(&f, 5);
    listener_drain(&f.listener);
    assert_int_equal(f.n_accepted, 3);
    end(&f);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

/* Out of descriptors: no turning in circles, one line, and it goes on by
 * itself. */
static void no_descriptors(void **state)
{
    struct fixture f;
    struct rlimit before, low;
    char text[4096] = "";
    (void)state;

    begin(&f);
    knock(&f, 3);
    int log = memfd_create("log", MFD_CLOEXEC);
    int saved = dup(STDERR_FILENO);
    assert_true(log != -1 && saved != -1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)saved; /* what is open stays open */

    dup2(log, STDERR_FILENO);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    unsigned turns = ev_iteration(f.loop.ev);
    run_until(&f, 1, 0.35);
    turns = ev_iteration(f.loop.ev) - turns;
    size_t early = f.n_accepted;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until(&f, 3, 5);
    dup2(saved, STDERR_FILENO);

    assert_int_not_equal(pread(log, text, sizeof(text) - 1, 0), -1);
    close(log);
    close(saved);
    assert_int_equal(early, 0);
    assert_int_equal(f.n_accepted, 3);
    assert_in_range(turns, 3, 20);
    assert_int_equal(count(text, "error accept-paused"), 1);
    assert_int_equal(count(text, "\n"), 1);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_address),
        cmocka_unit_test(taken_port),
        cmocka_unit_test(tcp_hosts),
        cmocka_unit_test(unix_mode),
        cmocka_unit_test(unix_path_in_use),
        cmocka_unit_test(unix_names),
        cmocka_unit_test(inherited),
        cmocka_unit_test(accepts_in_batches),
        cmocka_unit_test(stopped_in_callback),
        cmocka_unit_test(drains_the_backlog),
        cmocka_unit_test(no_descriptors),
    };
    return cmocka_run_group_tests_name("listener", tests, make_dir, remove_dir);
}
