/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h - what a gateway costs: the CPU time and memory of a process, all
 * its descendants and the children that they have reaped. A gateway that
 * forks for each session is charged for all of them. One that sends its
 * children away to init is not. */
#ifndef LOAD_PROC_H
#define LOAD_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* Seconds of CPU time so far; 0 if pid is 0, NaN if there is no such process.
 * From the processes' CPU clocks, in nanoseconds. What died children used is
 * known in ticks of 10 ms only; a window in which none die is not rounded. */
double proc_cpu_s(pid_t pid);

struct proc_memory {
    uint64_t rss_kib, pss_kib; /* now */
    uint64_t hwm_kib;          /* the sum of each one's peak */
};
struct proc_memory proc_memory(pid_t pid);

/* The whole machine, so that a run can tell how much of it was somebody
 * else's. */
struct machine_cpu {
    double busy_s;  /* used, by whomever */
    double steal_s; /* not given to us by the hypervisor */
};
struct machine_cpu machine_cpu(void);

/* Of this program. */
double own_cpu_s(void);

#endif
