/* SPDX-License-Identifier: Apache-2.0 */
/* proc.c - /proc, read afresh each time: gateways fork while we look. */
#include "proc.h"
#include "load.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct process {
    pid_t pid, parent;
    uint64_t reaped_ticks; /* CPU of children that it has waited for */
    bool ours;
};

struct processes {
    struct process *list;
    size_t n, room;
};

static double clock_s(clockid_t id)
{
    struct timespec t;

    if (clock_gettime(id, &t) < 0)
        return 0; /* it has ended: its parent's reaped_ticks tell */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got;

    if (fd >= 0) {
        while (n < room - 1 && (got = read(fd, text + n, room - 1 - n)) > 0)
            n += (size_t)got;
        close(fd);
    }
    text[n] = '\0';
    return n;
}

/* Numbers with blanks between them. Returns how many there were. */
static size_t numbers(const char *text, uint64_t *out, size_t most)
{
    size_t n = 0;

    for (char *end; n < most; n++, text = end) {
        out[n] = strtoull(text, &end, 10);
        if (end == text)
            break;
    }
    return n;
}

/* proc(5), /proc/pid/stat: the name stands in parentheses and may hold any;
 * then comes a letter. */
static bool read_stat(struct process *p)
{
    enum { PARENT, CHILDREN_USER = 12, CHILDREN_SYSTEM, FIELDS };
    char path[32], text[1024];
    uint64_t fields[FIELDS];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
    read_file(path, text, sizeof text);
    const char *rest = strrchr(text, ')');
    if (!rest || strlen(rest) < 4 || numbers(rest + 3, fields, FIELDS) < FIELDS)
        return false;
    p->parent = (pid_t)fields[PARENT];
    p->reaped_ticks = fields[CHILDREN_USER] + fields[CHILDREN_SYSTEM];
    return true;
}

static void processes_read(struct processes *all)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;

    *all = (struct processes){0};
    while (d && (e = readdir(d))) {
        char *end;
        struct process p = {.pid = (pid_t)strtol(e->d_name, &end, 10)};
        if (end == e->d_name || *end || !read_stat(&p))
            continue;
        if (all->n == all->room) {
            all->room = 2 * all->room + 256;
            all->list = realloc(all->list, all->room * sizeof *all->list);
            if (!all->list)
                give_up("out of memory");
        }
        all->list[all->n++] = p;
    }
    if (d)
        closedir(d);
}

static bool is_ours(const struct processes *all, pid_t pid)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->list[i].pid == pid)
            return all->list[i].ours;
    return false;
}

/* Keep pid and its descendants; children may stand before their parents. */
static void processes_keep(struct processes *all, pid_t pid)
{
    size_t kept = 0;

    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < all->n; i++) {
            struct process *p = &all->list[i];
            if (p->ours || (p->pid != pid && !is_ours(all, p->parent)))
                continue;
            p->ours = more = true;
        }
    }
    for (size_t i = 0; i < all->n; i++)
        if (all->list[i].ours)
            all->list[kept++] = all->list[i];
    all->n = kept;
}

double proc_cpu_s(pid_t pid)
{
    double sum = 0, ticks = (double)sysconf(_SC_CLK_TCK);
    struct processes all;

    if (pid == 0)
        return 0;
    processes_read(&all);
    processes_keep(&all, pid);
    for (size_t i = 0; i < all.n; i++) {
        clockid_t id;
        if (clock_getcpuclockid(all.list[i].pid, &id) == 0)
            sum += clock_s(id);
        sum += (double)all.list[i].reaped_ticks / ticks;
    }
    free(all.list);
    return all.n > 0 ? sum : NAN;
}

/* ---- memory ---------------------------------------------------------------*/

/* The number behind a key at the beginning of a line. */
static uint64_t number_of(const char *text, const char *key)
{
    const char *line = text;
    size_t n = strlen(key);

    while (line && strncmp(line, key, n) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line ? strtoull(line + n, NULL, 10) : 0;
}

struct proc_memory proc_memory(pid_t pid)
{
    struct proc_memory sum = {0};
    struct processes all;
    char path[48], text[8192];

    if (pid == 0)
        return sum;
    processes_read(&all);
    processes_keep(&all, pid);
    for (size_t i = 0; i < all.n; i++) {
        int one = (int)all.list[i].pid;
        snprintf(path, sizeof path, "/proc/%d/status", one);
        read_file(path, text, sizeof text);
        sum.rss_kib += number_of(text, "VmRSS:");
        sum.hwm_kib += number_of(text, "VmHWM:");
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", one);
        read_file(path, text, sizeof text);
        sum.pss_kib += number_of(text, "Pss:");
    }
    free(all.list);
    return sum;
}

/* ---- the rest of the machine ----------------------------------------------*/

struct machine_cpu machine_cpu(void)
{
    enum { USER, NICE, SYSTEM, IDLE, WAIT, IRQ, SOFTIRQ, STEAL, FIELDS };
    char text[512];
    uint64_t t[FIELDS];
    double ticks = (double)sysconf(_SC_CLK_TCK);

    read_file("/proc/stat", text, sizeof text);
    if (strncmp(text, "cpu ", 4) != 0 || numbers(text + 4, t, FIELDS) < FIELDS)
        return (struct machine_cpu){0};
    return (struct machine_cpu){
        .busy_s =
            (double)(t[USER] + t[NICE] + t[SYSTEM] + t[IRQ] + t[SOFTIRQ]) /
            ticks,
        .steal_s = (double)t[STEAL] / ticks,
    };
}

double own_cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}
