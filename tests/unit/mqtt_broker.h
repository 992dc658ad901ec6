/* SPDX-License-Identifier: Apache-2.0 */
/* mqtt_broker.h - a private mosquitto for a test: on loopback, on a port of
 * its own, with its files in a directory of its own. */
#ifndef GW_MQTT_BROKER_H
#define GW_MQTT_BROKER_H

#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char broker_dir[] = "/tmp/gangway-mqtt-XXXXXX";

struct mosquitto {
    int port;
    pid_t pid;
    char conf[64];
};

static inline void broker_path(char *out, size_t cap, const char *name)
{
    snprintf(out, cap, "%s/%s", broker_dir, name);
}

static inline int broker_dir_make(void **state)
{
    (void)state;
    return mkdtemp(broker_dir) ? 0 : -1;
}

static inline int broker_dir_remove(void **state)
{
    char command[64];
    (void)state;

    snprintf(command, sizeof command, "rm -r '%s'", broker_dir);
    return system(command);
}

static inline struct sockaddr_in broker_address(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A port that nobody listens on. */
static inline int broker_free_port(void)
{
    struct sockaddr_in a = broker_address(0);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static inline bool broker_listens(int port)
{
    struct sockaddr_in a = broker_address(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    bool ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return ok;
}

static inline void broker_pause_10ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* Start it, with the configuration written by broker_start, and wait until it
 * listens. */
static inline void broker_run(struct mosquitto *m)
{
    char *argv[] = {"mosquitto", "-c", m->conf, NULL};
    posix_spawn_file_actions_t actions;
    char log[64];
    char *path = access("/usr/sbin/mosquitto", X_OK) == 0
                     ? "/usr/sbin/mosquitto"
                     : "mosquitto";

    broker_path(log, sizeof log, "log");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log,
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    assert_int_equal(posix_spawnp(&m->pid, path, &actions, NULL, argv, environ),
                     0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 1000 && !broker_listens(m->port); i++)
        broker_pause_10ms();
    assert_true(broker_listens(m->port));
}

/* `more`: further lines of its configuration. */
static inline struct mosquitto broker_start(const char *more)
{
    struct mosquitto m = {.port = broker_free_port()};

    snprintf(m.conf, sizeof m.conf, "%s/%d.conf", broker_dir, m.port);
    FILE *f = fopen(m.conf, "w");
    assert_non_null(f);
    fprintf(f, "listener %d 127.0.0.1\npersistence false\n%s%s", m.port,
            geteuid() == 0 ? "user root\n" : "", more);
    fclose(f);
    broker_run(&m);
    return m;
}

static inline void broker_kill(const struct mosquitto *m)
{
    int status;

    kill(m->pid, SIGKILL);
    assert_int_equal(waitpid(m->pid, &status, 0), m->pid);
}

#endif
