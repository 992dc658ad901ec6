/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - a load generator for gateways from WebSocket to TCP, and for what
 * users would put in their place. It is both ends: the clients, and the TCP
 * service behind; it verifies every byte that travels between them, and reads
 * what the process in the middle has used. On loopback only.
 *
 * What the gateway costs is told in CPU time, which a busy machine distorts
 * far less than time on the clock. */
#include "link.h"
#include "load.h"
#include "mode.h"
#include "mqtt.h"
#include "options.h"
#include "pattern.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

const struct mode modes[] = {
    {.name = "echo", .help = "a closed loop of messages", .run = mode_echo},
    {.name = "up",
     .help = "client to backend, as fast as it goes",
     .run = mode_up,
     .needs_backend = true,
     .may_mqtt = true},
    {.name = "down",
     .help = "backend to client",
     .run = mode_down,
     .needs_backend = true,
     .may_mqtt = true},
    {.name = "connect",
     .help = "visits: connect, echo once, leave",
     .run = mode_connect},
    {.name = "idle",
     .help = "memory and CPU of sessions that do nothing",
     .run = mode_idle},
    {.name = "tail",
     .help = "latency: quiet, beside bulk, beside handshakes",
     .run = mode_tail},
    {.name = "fanout",
     .help = "messages of one publisher to many subscribers",
     .run = mode_fanout,
     .needs_message = true},
    {.name = NULL},
};

static void on_alarm(int number)
{
    static const char line[] =
        "{\"ok\": false, \"error\": \"it took far too long\"}\n";

    (void)number;
    if (write(STDOUT_FILENO, line, sizeof line - 1) < 0)
        _exit(EXIT_FAILURE); /* nobody reads it, and nothing is left to do */
    _exit(EXIT_FAILURE);
}

/* No run hangs, whatever the gateway does. */
static void limit_time(const struct options *o)
{
    enum { PHASES = 4, OPENING_S = 60, REST_S = 60 };
    struct sigaction alarmed = {.sa_handler = on_alarm};

    sigaction(SIGALRM, &alarmed, NULL);
    alarm((unsigned)(PHASES * (o->seconds + o->warmup + o->settle)) +
          OPENING_S + REST_S);
}

static void raise_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    static struct options o;
    const struct mode *m = modes;

    options_parse(&o, argc, argv);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    limit_time(&o);
    raise_descriptors();
    o.frame = o.size;
    if (o.mqtt)
        o.frame = mqtt_pattern_init((size_t)o.size, (unsigned)o.topics);
    else
        pattern_init(o.text);
    if (o.gateway.tls || o.publisher.tls)
        link_tls_init(o.resume);
    while (strcmp(m->name, o.mode) != 0)
        m++;
    m->run(&o);
    return fault_any() ? EXIT_FAILURE : EXIT_SUCCESS;
}
