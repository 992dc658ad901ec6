/* SPDX-License-Identifier: Apache-2.0 */
/* mode_idle.c - what sessions cost that do nothing: memory for each, CPU for
 * all; and how much of the memory comes back when they leave. */
#include "echo.h"
#include "json.h"
#include "mode.h"
#include "run.h"

static struct counts count_none(const void *client)
{
    (void)client;
    return (struct counts){0};
}

static void print_memory(const struct options *o, struct proc_memory before,
                         struct proc_memory open, struct proc_memory after)
{
    double n = (double)o->sessions;

    if (o->pid == 0)
        return;
    json_number("pss_kib_per_session",
                ((double)open.pss_kib - (double)before.pss_kib) / n, 3);
    json_number("rss_kib_per_session",
                ((double)open.rss_kib - (double)before.rss_kib) / n, 3);
    json_int("pss_kib_before", before.pss_kib);
    json_int("pss_kib_open", open.pss_kib);
    json_int("pss_kib_after", after.pss_kib);
    json_int("rss_kib_before", before.rss_kib);
    json_int("rss_kib_open", open.rss_kib);
    json_int("rss_kib_after", after.rss_kib);
}

void mode_idle(const struct options *o)
{
    static struct client client;
    struct client_options co = run_client(o, &role_touch);
    struct proc_memory before = proc_memory((pid_t)o->pid);

    run_backend(o, SERVICE_ECHO, false);
    client_start(&client, &co);
    client_wait_open(&client, true);
    run_sleep(o->settle);
    struct proc_memory open = proc_memory((pid_t)o->pid);
    struct window w = window_measure(o, o->seconds, count_none, &client);
    uint64_t lost = o->sessions - counter_get(&client.echoed);
    client_finish(&client);
    run_sleep(o->settle);
    struct proc_memory after = proc_memory((pid_t)o->pid);
    client_stop(&client);
    backend_stop();

    result_begin(o);
    json_number("seconds", window_s(&w), 4);
    print_memory(o, before, open, after);
    if (o->pid > 0)
        json_number("idle_cpu_ms_per_s", window_cpu_s(&w) * 1e3 / window_s(&w),
                    4);
    result_end(o, lost * o->size);
}
