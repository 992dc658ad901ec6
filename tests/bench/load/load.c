/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - time, memory, faults. */
#include "load.h"
#include "json.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void sleep_s(double seconds)
{
    time_t whole = (time_t)seconds;
    struct timespec t = {whole, (long)((seconds - (double)whole) * 1e9)};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

void *need(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);

    if (!p)
        give_up("out of memory");
    return p;
}

/* ---- faults ---------------------------------------------------------------*/

static struct {
    pthread_mutex_t lock;
    _Atomic uint64_t count[FAULT_KINDS];
    atomic_bool any;
    char first[256];
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

void fault(enum fault kind, const char *fmt, ...)
{
    va_list ap;

    atomic_fetch_add(&faults.count[kind], 1);
    pthread_mutex_lock(&faults.lock);
    if (!atomic_load(&faults.any)) {
        va_start(ap, fmt);
        vsnprintf(faults.first, sizeof faults.first, fmt, ap);
        va_end(ap);
        fprintf(stderr, "load: %s\n", faults.first);
        atomic_store(&faults.any, true);
    }
    pthread_mutex_unlock(&faults.lock);
}

uint64_t fault_count(enum fault kind)
{
    return atomic_load(&faults.count[kind]);
}

bool fault_any(void)
{
    return atomic_load(&faults.any);
}

const char *fault_first(void)
{
    return fault_any() ? faults.first : NULL;
}

void give_up(const char *fmt, ...)
{
    char why[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    fprintf(stderr, "load: %s\n", why);
    json_begin();
    json_bool("ok", false);
    json_text("error", why);
    json_end();
    fflush(stdout);
    _Exit(EXIT_FAILURE); /* other threads may run: no handlers, no cleaning */
}
