# SPDX-License-Identifier: Apache-2.0
"""The machine: what it is, and whether it is quiet."""

import os
import pathlib
import platform
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def first(path, pattern):
    try:
        match = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        match = None
    return match[1] if match else "unknown"


def commit():
    """Of the sources; says if they differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


def facts():
    memory = first("/proc/meminfo", r"^MemTotal:\s+(\d+) kB")
    return {
        "cpu": first("/proc/cpuinfo", r"^model name\s*: (.*)$"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory) / (1 << 20), 1) if memory.isdigit() else memory,
        "virtual": bool(re.search(r"\bhypervisor\b", first("/proc/cpuinfo", r"^flags\s*: (.*)$"))),
        "system": first("/etc/os-release", r'^PRETTY_NAME="(.*)"$'),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "load_before": os.getloadavg()[0],
    }


def busy_s():
    """Seconds of CPU time that anybody has used."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


class Quiet:
    """Waits until others leave the CPUs alone, within a budget for the whole
    benchmark: a machine that is never quiet is measured as it is, and the
    results tell how busy it was."""

    ENOUGH = 0.25  # cores
    LOOK_S = 0.2
    ONE_WAIT_S = 5

    def __init__(self, budget_s):
        self._left = budget_s
        self.waited_s = 0.0

    def wait(self):
        until = min(self._left, self.ONE_WAIT_S)
        waited = 0.0
        while waited + self.LOOK_S <= until:
            before, began = busy_s(), time.monotonic()
            time.sleep(self.LOOK_S)
            spent = time.monotonic() - began
            waited += spent
            if (busy_s() - before) / spent < self.ENOUGH:
                break
        self._left -= waited
        self.waited_s += waited
