# SPDX-License-Identifier: Apache-2.0
"""One shared upstream beside plain Paho: messages in, acknowledged publishes out.

    run.py --gangway build/gangway [--seconds S] [--reps N] [--check]

Both talk to the same minimal broker and are measured in turn. What a message
costs gangway includes its way to or from a WebSocket session. With --check it
fails if an upstream carries less than the project promises.
"""

import argparse
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wpedantic"]
# Messages a second of 64 bytes, on two cores of their own.
PROMISED = {"in": 50_000, "out": 20_000}
TITLES = {"in": "messages in, QoS 0", "out": "publishes out, QoS 1"}


def build(directory):
    program = directory / "paho_bench"
    sources = sorted(HERE.glob("*.c"))
    subprocess.run(
        ["cc", *FLAGS, "-o", program, *sources, "-lpaho-mqtt3as", "-lpthread"], check=True
    )
    return program


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until_listens(port):
    for _ in range(1000):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit("gangway does not listen")


def plain(program, way, seconds, _):
    done = subprocess.run(
        [program, "plain", way, str(seconds)], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def through_gangway(program, way, seconds, gangway):
    with subprocess.Popen(
        [program, "gangway", way, str(seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as bench:  # fmt: skip
        broker = f"mqtt://127.0.0.1:{bench.stdout.readline().split()[1]}"
        port = free_port()
        command = [
            gangway, "--workers", "1", "--listen", f"ws://127.0.0.1:{port}",
            "--route", f"/raw={broker}?subscribe=t", "--route", f"/json={broker}",
        ]  # fmt: skip
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **quiet) as gw:
            try:
                until_listens(port)
                print(gw.pid, port, file=bench.stdin, flush=True)
                line = bench.stdout.readline()
            finally:
                gw.terminate()
        if bench.wait() != 0:
            raise SystemExit("the benchmark failed")
    return json.loads(line)


CONTESTANTS = {"plain Paho": plain, "gangway": through_gangway}


def measure(program, args):
    """{way: {name: [result, ...]}}; within a repetition one after the other."""
    results = {way: {name: [] for name in CONTESTANTS} for way in TITLES}
    for _ in range(args.reps):
        for way, by_name in results.items():
            for name, run in CONTESTANTS.items():
                by_name[name].append(run(program, way, args.seconds, args.gangway))
    return results


def report(results):
    print("| | | messages/s | CPU µs a message | to plain: rate | CPU |")
    print("|---|---|--:|--:|--:|--:|")
    for way, by_name in results.items():
        for name, runs in by_name.items():
            cells = [statistics.median(r[k] for r in runs) for k in ("rate", "cpu_us")]
            ratios = [
                statistics.median(r[k] / p[k] for r, p in zip(runs, by_name["plain Paho"]))
                for k in ("rate", "cpu_us")
            ]
            print(f"| {TITLES[way]} | {name} | {cells[0]:,.0f} | {cells[1]:.1f} |", end="")
            print(f" {ratios[0]:.2f} | {ratios[1]:.2f} |")


def kept(results):
    """Is what is promised there in the best of the repetitions?"""
    good = True
    for way, least in PROMISED.items():
        best = max(r["rate"] for r in results[way]["gangway"])
        if best < least:
            print(f"{TITLES[way]}: {best:,.0f} a second, {least:,} are promised")
            good = False
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gangway", default="build/gangway")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        results = measure(build(pathlib.Path(directory)), args)
    report(results)
    return 0 if not args.check or kept(results) else 1


sys.exit(main())
