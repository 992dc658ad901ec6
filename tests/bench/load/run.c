/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - samples, windows, fields of the result. */
#include "run.h"
#include "json.h"
#include "load.h"

#include <math.h>

enum { DRAIN_S = 3, OPENING = 64 };

/* The gateway's CPU first, the counters right after it: what is between them
 * is microseconds of the window's seconds. */
static struct sample sample_take(pid_t pid, count_fn *count, const void *ctx)
{
    struct sample s = {.gateway_s = proc_cpu_s(pid)}; /* NaN: it is gone */

    s.ns = now_ns();
    s.counts = count(ctx);
    s.own_s = own_cpu_s();
    s.machine = machine_cpu();
    if (isnan(s.gateway_s))
        fault(FAULT_BROKEN, "no process %d: the gateway has ended", (int)pid);
    return s;
}

void run_sleep(double seconds)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

    for (uint64_t now = now_ns(); now < end && !fault_any(); now = now_ns()) {
        double left = (double)(end - now) / 1e9;
        sleep_s(left < 0.05 ? left : 0.05);
    }
}

struct window window_measure(const struct options *o, double seconds,
                             count_fn *count, const void *ctx)
{
    struct window w = {.begin = sample_take((pid_t)o->pid, count, ctx)};

    run_sleep(seconds);
    w.end = sample_take((pid_t)o->pid, count, ctx);
    return w;
}

struct client_options run_client(const struct options *o,
                                 const struct role *role)
{
    return (struct client_options){
        .target = &o->gateway,
        .subprotocol = o->subprotocol,
        .headers = &o->headers,
        .role = role,
        .sessions = (size_t)o->sessions,
        .opening = OPENING,
        .text = o->text,
        .mqtt = o->mqtt,
        .size = (size_t)o->frame,
        .window = o->window,
    };
}

void run_backend(const struct options *o, enum service service,
                 bool first_apart)
{
    struct backend_options b = {
        .port = (uint16_t)o->backend,
        .service = service,
        .write_size = (size_t)o->frame,
        .first_apart = first_apart,
        .mqtt = o->mqtt,
    };

    if (o->backend > 0)
        backend_start(&b);
}

uint64_t run_client_sent(const void *ctx)
{
    const struct client *c = ctx;
    return counter_get(&c->sent);
}

uint64_t run_client_received(const void *ctx)
{
    const struct client *c = ctx;
    return counter_get(&c->received);
}

uint64_t run_drain(const char *unit, total_fn *sent, total_fn *come,
                   const void *ctx)
{
    uint64_t seen = come(ctx), moved = now_ns();

    while (seen != sent(ctx) && now_ns() - moved < DRAIN_S * NS_PER_S &&
           !fault_any()) {
        sleep_s(0.005);
        uint64_t now = come(ctx);
        if (now != seen)
            moved = now_ns();
        seen = now;
    }
    uint64_t lost = sent(ctx) > seen ? sent(ctx) - seen : 0;
    if (lost > 0)
        fault(FAULT_LOST, "%llu %s of %llu have not come",
              (unsigned long long)lost, unit, (unsigned long long)sent(ctx));
    return lost;
}

/* ---- the result -----------------------------------------------------------*/

void result_begin(const struct options *o)
{
    json_begin();
    json_bool("ok", !fault_any());
    json_text("error", fault_first());
    json_text("label", o->label);
    json_text("mode", o->mode);
    json_text("tls", link_tls_name());
    json_int("sessions", o->sessions);
    json_int("size", o->size);
    json_int("window", o->window);
}

void result_window(const struct options *o, const struct window *w)
{
    double s = window_s(w), cpu = window_cpu_s(w);
    double messages =
        (double)(w->end.counts.messages - w->begin.counts.messages);
    double bytes = (double)(w->end.counts.bytes - w->begin.counts.bytes);
    double own = w->end.own_s - w->begin.own_s;
    double all = w->end.machine.busy_s - w->begin.machine.busy_s;

    json_number("seconds", s, 4);
    json_number("messages", messages, 0);
    json_number("messages_per_s", messages / s, 1);
    json_number("bytes", bytes, 0);
    json_number("mb_per_s", bytes / 1e6 / s, 3);
    if (o->pid > 0) {
        json_number("cpu_s", cpu, 6);
        json_number("cpu_us_per_message", cpu * 1e6 / messages, 4);
        json_number("cpu_s_per_gb", cpu * 1e9 / bytes, 5);
        json_number("other_cores", (all - cpu - own) / s, 3);
    }
    json_number("own_cpu_s", own, 6);
    json_number("steal_cores",
                (w->end.machine.steal_s - w->begin.machine.steal_s) / s, 3);
}

void result_latency(const struct histogram *h)
{
    json_number("p50_us", histogram_us(h, 0.5), 1);
    json_number("p99_us", histogram_us(h, 0.99), 1);
    json_number("p999_us", histogram_us(h, 0.999), 1);
}

void result_end(const struct options *o, uint64_t lost)
{
    json_int("lost_bytes", lost);
    json_int("refused", fault_count(FAULT_REFUSED));
    json_int("corrupted", fault_count(FAULT_CORRUPT));
    json_int("broken", fault_count(FAULT_BROKEN) + fault_count(FAULT_PROTOCOL));
    if (o->pid > 0)
        json_int("hwm_kib", proc_memory((pid_t)o->pid).hwm_kib);
    json_end();
}
