/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets from one configuration to the next: kept, opened, given
 * up, closed. */
#include "rig.h"

#include <sys/stat.h>

#include "../../conf/settings_source.h"
#include "../../gateway/ports.h"

enum { WORKERS = 3 };

static char dir[] = "/tmp/gangway-ports-XXXXXX";

static struct settings *settings_of(const char *listeners)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "listeners: [%s]\nroutes: ['/=echo:']\n",
             listeners);
    struct settings *s =
        settings_from_yaml("p.yaml", slice_of(yaml), true, stderr);
    assert_non_null(s);
    return s;
}

static int plan(struct ports *next, const struct ports *now,
                const char *listeners, struct err *err)
{
    struct settings *s = settings_of(listeners);
    int status = ports_plan(next, now, s, WORKERS, err);
    settings_free(s);
    return status;
}

static void plan_and_commit(struct ports *now, const char *listeners)
{
    struct ports next;
    struct err err;
    if (plan(&next, now, listeners, &err) < 0)
        fail_msg("%s", err.text);
    ports_commit(now, &next);
    assert_null(next.v);
}

static int bound(int fd)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return a.sin_family == AF_INET ? ntohs(a.sin_port) : -1;
}

/* As the workers do with what they are handed. */
static void hand_over(struct ports *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->v[i]->fresh = false;
}

/* One that nobody has, below those that the system gives away. */
static int free_port(void)
{
    struct rng rng = rng_of((uint32_t)getpid());

    for (;;) {
        int port = 10000 + (int)rng_below(&rng, 20000);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port)};
        bool is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (is_free)
            return port;
    }
}

static void one_socket_a_worker(void **state)
{
    struct ports now = {0};
    (void)state;

    plan_and_commit(&now, "'ws://127.0.0.1:0', 'ws://127.0.0.1:0'");
    assert_int_equal(now.n, 2);
    assert_int_not_equal(now.v[0]->id, now.v[1]->id);
    assert_int_not_equal(now.v[0]->number, now.v[1]->number);
    for (size_t i = 0; i < 2; i++) {
        assert_true(now.v[i]->fresh && now.v[i]->number > 0);
        for (int w = 0; w < WORKERS; w++)
            assert_int_equal(bound(now.v[i]->fds[w]), now.v[i]->number);
    }
    int fd = now.v[0]->fds[1];
    ports_fini(&now);
    assert_true(is_closed(fd));
    ports_fini(&now);
}

static void a_reload_keeps_what_stays(void **state)
{
    struct ports now = {0};
    char list[128];
    int number = free_port();
    (void)state;

    snprintf(list, sizeof list, "'ws://127.0.0.1:%d', 'ws://127.0.0.1:0'",
             number);
    plan_and_commit(&now, list);
    hand_over(&now);
    unsigned first = now.v[0]->id, second = now.v[1]->id;
    int chosen = now.v[1]->number, fd = now.v[0]->fds[0];

    /* Another order, another way to speak there, and one more. */
    snprintf(list, sizeof list,
             "'ws://127.0.0.1:0', {url: 'wss://127.0.0.1:%d', tls:"
             " {certificate: x}}, 'ws://127.0.0.1:0'",
             number);
    plan_and_commit(&now, list);
    assert_int_equal(now.n, 3);
    assert_int_equal(now.v[0]->id, second);
    assert_int_equal(now.v[0]->number, chosen);
    assert_false(now.v[0]->fresh);
    assert_int_equal(now.v[1]->id, first);
    assert_int_equal(now.v[1]->fds[0], fd);
    assert_true(now.v[2]->fresh);
    assert_true(now.v[2]->id > first && now.v[2]->id > second);
    unsigned third = now.v[2]->id;
    hand_over(&now);

    /* What goes is closed; a name is never given again. */
    plan_and_commit(&now, "'ws://127.0.0.1:0'");
    assert_int_equal(now.n, 1);
    assert_int_equal(now.v[0]->id, second);
    assert_true(is_closed(fd));
    plan_and_commit(&now, "'ws://127.0.0.1:0', 'ws://127.0.0.1:0'");
    assert_true(now.v[1]->id > third);
    ports_fini(&now);
}

static void a_plan_that_fails_changes_nothing(void **state)
{
    struct ports now = {0}, next;
    struct err err;
    char list[128], before[32];
    int busy = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)state;

    assert_int_equal(bind(busy, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(busy, 1), 0);
    plan_and_commit(&now, "'ws://127.0.0.1:0'");
    hand_over(&now);
    int fd = now.v[0]->fds[0];
    snprintf(list, sizeof list,
             "'ws://127.0.0.1:0', 'ws://127.0.0.1:0', 'ws://127.0.0.1:%d'",
             bound(busy));
    snprintf(before, sizeof before, "p.yaml:1:");
    int next_fd = open("/dev/null", O_RDONLY); /* the lowest number free */
    close(next_fd);
    assert_int_equal(plan(&next, &now, list, &err), -1);
    assert_memory_equal(err.text, before, strlen(before));
    assert_non_null(strstr(err.text, "in use"));
    assert_true(next.v == NULL && next.n == 0);
    assert_int_equal(now.n, 1);
    assert_false(is_closed(fd));
    assert_true(is_closed(next_fd)); /* nothing is left open */
    close(busy);
    ports_fini(&now);
}

static void a_plan_that_is_given_up(void **state)
{
    struct ports now = {0}, next;
    struct err err;
    (void)state;

    plan_and_commit(&now, "'ws://127.0.0.1:0'");
    int kept = now.v[0]->fds[0];
    assert_int_equal(
        plan(&next, &now, "'ws://127.0.0.1:0', 'ws://127.0.0.1:0'", &err), 0);
    int fd = next.v[1]->fds[0];
    ports_abandon(&next, &now);
    assert_true(is_closed(fd));
    assert_false(is_closed(kept));
    ports_fini(&now);
}

/* ws://127.0.0.1:N becomes ws://0.0.0.0:N without a moment of deafness. */
static void another_address_of_the_same_port(void **state)
{
    struct ports now = {0};
    char list[128];
    int number = free_port();
    (void)state;

    snprintf(list, sizeof list, "'ws://127.0.0.1:%d'", number);
    plan_and_commit(&now, list);
    hand_over(&now);
    snprintf(list, sizeof list, "'ws://0.0.0.0:%d'", number);
    plan_and_commit(&now, list);
    assert_true(now.v[0]->fresh);
    assert_int_equal(bound(now.v[0]->fds[0]), number);
    ports_fini(&now);
}

static void a_unix_socket_is_shared_and_removed(void **state)
{
    struct ports now = {0}, next;
    char list[256], path[64];
    struct stat a, b;
    struct err err;
    (void)state;

    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(list, sizeof list, "'unix:%s'", path);
    plan_and_commit(&now, list);
    assert_int_equal(now.v[0]->number, 0);
    assert_int_equal(fstat(now.v[0]->fds[0], &a), 0);
    for (int w = 1; w < WORKERS; w++) {
        assert_int_equal(fstat(now.v[0]->fds[w], &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        assert_int_equal(fcntl(now.v[0]->fds[w], F_GETFD), FD_CLOEXEC);
    }
    hand_over(&now);
    plan_and_commit(&now, list); /* again: still the same one */
    assert_false(now.v[0]->fresh);
    assert_int_equal(stat(path, &b), 0);

    /* The file of one that did not come to be goes with it. */
    snprintf(list, sizeof list, "'unix:%s', 'unix:%s2', 'unix:/nonexistent/s'",
             path, path);
    assert_int_equal(plan(&next, &now, list, &err), -1);
    snprintf(list, sizeof list, "%s2", path);
    assert_int_equal(stat(list, &b), -1);
    assert_int_equal(stat(path, &b), 0);

    plan_and_commit(&now, "'ws://127.0.0.1:0'");
    assert_int_equal(stat(path, &b), -1);
    ports_fini(&now);
}

static void an_inherited_socket(void **state)
{
    struct ports now = {0}, next;
    struct err err;
    char list[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;

    assert_int_equal(listen(fd, 1), 0);
    snprintf(list, sizeof list, "'fd:%d'", fd);
    plan_and_commit(&now, list);
    for (int w = 0; w < WORKERS; w++)
        assert_int_equal(bound(now.v[0]->fds[w]), bound(fd));
    plan_and_commit(&now, list);
    ports_fini(&now);
    assert_false(is_closed(fd)); /* not ours */
    close(fd);
    assert_int_equal(plan(&next, &(struct ports){0}, list, &err), -1);
}

static void how_users_reach_it(void **state)
{
    static const struct {
        const char *listener;
        int number;
        const char *url;
    } cases[] = {
        {"'ws://127.0.0.1:0'", 80, "ws://127.0.0.1:80/"},
        {"'ws://[::1]:0'", 80, "ws://[::1]:80/"},
        {"'ws://:0'", 1234, "ws://0.0.0.0:1234/"},
        {"{url: 'wss://192.0.2.1:0', tls: {certificate: x}}", 443,
         "wss://192.0.2.1:443/"},
        {"'unix:/run/x'", 0, "unix:/run/x"},
        {"'fd:3'", 0, "fd:3"},
    };
    char url[128];
    (void)state;

    for (size_t i = 0; i < LEN(cases); i++) {
        const struct port p = {.number = cases[i].number};
        struct settings *s = settings_of(cases[i].listener);
        assert_string_equal(port_url(&p, &s->listeners[0], url, sizeof url),
                            cases[i].url);
        settings_free(s);
    }
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir); /* fails if something was left there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_socket_a_worker),
        cmocka_unit_test(a_reload_keeps_what_stays),
        cmocka_unit_test(a_plan_that_fails_changes_nothing),
        cmocka_unit_test(a_plan_that_is_given_up),
        cmocka_unit_test(another_address_of_the_same_port),
        cmocka_unit_test(a_unix_socket_is_shared_and_removed),
        cmocka_unit_test(an_inherited_socket),
        cmocka_unit_test(how_users_reach_it),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
