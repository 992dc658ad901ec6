/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager hears; and that a bad one stops nothing. */
#include "rig.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/un.h>
#include <time.h>

#include "../../gateway/notify.h"

/* A manager that listens at `name` ('@': an abstract one). */
static int manager(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_int_not_equal(fd, -1);
    memcpy(a.sun_path, name, strlen(name));
    if (*name == '@')
        a.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      strlen(name))),
                     0);
    return fd;
}

static const char *heard(int fd)
{
    static char text[256];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void tells_the_manager(void **state)
{
    char names[2][64];
    (void)state;

    snprintf(names[0], sizeof names[0], "/tmp/gangway-notify-%d", getpid());
    snprintf(names[1], sizeof names[1], "@gangway-notify-%d", getpid());
    for (size_t i = 0; i < LEN(names); i++) {
        int fd = manager(names[i]);
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        notify("READY=1");
        assert_string_equal(heard(fd), "READY=1");
        assert_string_equal(heard(fd), "");
        close(fd);
        notify("STOPPING=1"); /* nobody there: no matter */
        unlink(names[i]);
        notify("STOPPING=1");
    }
}

/* systemd compares it with its own clock. */
static void tells_when_it_reloads(void **state)
{
    char name[64];
    struct timespec t;
    long long before, after, told;
    (void)state;

    snprintf(name, sizeof name, "@gangway-reload-%d", getpid());
    int fd = manager(name);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    clock_gettime(CLOCK_MONOTONIC, &t);
    before = (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    notify_reloading();
    clock_gettime(CLOCK_MONOTONIC, &t);
    after = (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    assert_int_equal(
        sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &told), 1);
    assert_true(before <= told && told <= after);
    close(fd);
}

static void no_manager(void **state)
{
    char too_long[200] = "/tmp/";
    const char *const names[] = {"",         "@",         "/",
                                 "relative", "vsock:2:1", too_long};
    int before = dup(0);
    (void)state;

    memset(too_long + 5, 'x', sizeof too_long - 6);
    close(before);
    for (size_t i = 0; i < LEN(names); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        notify("READY=1");
    }
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    notify("READY=1");
    notify_reloading();
    assert_true(is_closed(before)); /* no descriptor stayed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_manager),
        cmocka_unit_test(tells_when_it_reloads),
        cmocka_unit_test(no_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
