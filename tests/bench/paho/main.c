/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - paho_bench plain|gangway in|out SECONDS
 *
 * Messages a second and CPU microseconds a message, as a line of JSON: of a
 * window in the middle of the traffic. run.py runs it. */
#include "paho_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP_MS = 500, PATIENCE_S = 30 };

void die(const char *what)
{
    fprintf(stderr, "paho_bench: %s\n", what);
    exit(1);
}

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rest_ms(unsigned ms)
{
    const struct timespec t = {.tv_sec = ms / 1000,
                               .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static struct broker broker;
static atomic_ulong count;

int main(int argc, char **argv)
{
    if (argc != 4)
        die("usage: paho_bench plain|gangway in|out SECONDS");
    const struct contestant *c =
        strcmp(argv[1], "plain") == 0 ? &plain : &through_gangway;
    bool in = strcmp(argv[2], "in") == 0;
    double seconds = strtod(argv[3], NULL);
    if (!(seconds > 0 && seconds <= 60))
        die("seconds: 0 to 60");
    alarm((unsigned)seconds + PATIENCE_S);

    broker_start(&broker);
    c->begin(&broker, in, &count);
    broker.flood = in;
    while (count == 0)
        rest_ms(1);
    rest_ms(WARM_UP_MS);
    double t0 = now_s(), cpu = c->cpu_s();
    unsigned long n = count;
    rest_ms((unsigned)(seconds * 1000));
    n = count - n;
    cpu = c->cpu_s() - cpu;
    printf("{\"rate\": %.0f, \"cpu_us\": %.3f}\n", (double)n / (now_s() - t0),
           n > 0 ? cpu * 1e6 / (double)n : 0.);
    fflush(stdout);
    _exit(0); /* as it is: all threads are in the middle of it */
}
