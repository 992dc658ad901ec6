#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What gangway costs beside what else there is: `make bench`, `make bench-full`.

A load generator of our own (load/) is the clients and the service behind the
gateway, checks every byte, and reads the CPU time and the memory of the
gateway's processes. cases.py says what it does and what gangway must reach,
rivals.py who takes part; runner.py runs them in turn, results.py takes medians
and ratios, report.py and charts.py make of them what people read.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import resource
import signal
import sys
import tempfile
import time

import machine
import report
import runner
from cases import CASES
from place import Certificate, Ports
from rivals import BY_NAME, NOFILE, versions

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Plan:
    """How long, how often: `make bench` has ten minutes, with building."""

    def __init__(self, full):
        self.repetitions = 5 if full else 3
        self.seconds = 2.0 if full else 0.4
        self.warmup = 0.5 if full else 0.2
        self.patience_s = 600 if full else 30  # for a quiet machine, in all
        self.deadline_s = None if full else 540


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", nargs="*", metavar="report DIR",
                        help="only draw the results in DIR once more")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="all cases, all rivals")
    parser.add_argument("--cases", metavar="REGEX", help="only cases whose name has this")
    parser.add_argument("--only", metavar="A,B", help="only these contestants")
    parser.add_argument("--reps", type=int, metavar="N", help="repetitions")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each run")
    parser.add_argument("--warmup", type=float, metavar="S", help="before them")
    parser.add_argument("--build", default="build", help="where make built (build)")
    parser.add_argument("--gangway", help="another gangway than the one built there")
    parser.add_argument("--out", metavar="DIR", help="for the results (BUILD/bench/results)")
    parser.add_argument("--list", action="store_true", help="cases and contestants, no run")
    return parser.parse_args()


def chosen(args):
    """The cases to run, and a function from a case to its contestants."""
    only = args.only.split(",") if args.only else None
    unknown = set(only or ()) - set(BY_NAME)
    if unknown:
        sys.exit(f"bench: no contestant {', '.join(sorted(unknown))}; there are: {', '.join(BY_NAME)}")

    # A case that is asked for by name runs with all its contestants.
    full = args.full or bool(args.cases or only)

    def contestants(case):
        return [n for n in case.contestants(full) if only is None or n in only]

    wanted = [c for c in CASES if re.search(args.cases or "", c.name)]
    return [c.at(full) for c in wanted if contestants(c)], contestants


def command(args):
    """What to type for the same run."""
    goal = "make bench-full" if args.full else "make bench"
    narrow = [
        f"--{name} {value}"
        for name in ("cases", "only", "reps", "seconds", "warmup")
        if (value := getattr(args, name)) is not None
    ]
    return f"{goal} BENCH='{' '.join(narrow)}'" if narrow else goal


def header(args, plan, cases, contestants, gangway):
    names = dict.fromkeys(name for case in cases for name in contestants(case))
    return {
        "date": datetime.date.today().isoformat(),
        "command": command(args),
        "narrow": bool(args.cases or args.only),
        "repetitions": plan.repetitions,
        "seconds": plan.seconds,
        "warmup": plan.warmup,
        "commit": machine.commit(),
        "machine": machine.facts(),
        "versions": versions(names, gangway),
    }


def measure(args, plan, cases, contestants):
    """Run everything; the directory with the results."""
    build = pathlib.Path(args.build).resolve()
    gangway = pathlib.Path(args.gangway).resolve() if args.gangway else build / "gangway"
    for program in (gangway, build / "bench/load"):
        if not program.exists():
            sys.exit(f"bench: no {program}: run make bench-build")
    out = pathlib.Path(args.out) if args.out else build / "bench/results"
    out.mkdir(parents=True, exist_ok=True)
    raw = out / report.RESULTS
    new = raw.with_suffix(".new")  # until it is complete
    quiet = machine.Quiet(plan.patience_s)
    began = time.monotonic()
    deadline = began + plan.deadline_s if plan.deadline_s else None
    with tempfile.TemporaryDirectory(prefix="gangway-bench-") as keys, new.open("w") as lines:
        setup = runner.Setup(
            build / "bench", gangway, Ports(), Certificate(pathlib.Path(keys)),
            plan.seconds, plan.warmup,
        )  # fmt: skip
        first = header(args, plan, cases, contestants, gangway)
        lines.write(json.dumps({"header": first}) + "\n")
        schedule = runner.schedule(cases, contestants, plan.repetitions)
        runner.run_all(schedule, BY_NAME, setup, quiet, lines, deadline)
        took = {"took_s": round(time.monotonic() - began, 1), "waited_s": round(quiet.waited_s, 1)}
        lines.write(json.dumps({"footer": took}) + "\n")
    os.replace(new, raw)
    return out


def main():
    args = arguments()
    if args.report:
        if args.report[0] != "report" or len(args.report) != 2:
            sys.exit("bench: bench.py report DIR")
        report.write(args.report[1])
        return 0
    cases, contestants = chosen(args)
    if args.list:
        for case in cases:
            print(f"{case.name:22} {' '.join(contestants(case))}")
        return 0
    if not cases:
        sys.exit("bench: no such case")
    # So that contestants are stopped whatever ends this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (NOFILE, NOFILE))
    plan = Plan(args.full)
    plan.repetitions = args.reps or plan.repetitions
    plan.seconds = args.seconds or plan.seconds
    plan.warmup = plan.warmup if args.warmup is None else args.warmup
    out = measure(args, plan, cases, contestants)
    results = report.write(out)
    print("\n".join(report.goals(results)))
    print(f"\nresults: {out / report.NAME}")
    bad = failed(results)
    if bad:
        print(f"failed: {', '.join(bad)}")
    return 1 if bad else 0


def failed(results):
    """gangway's contestants of which a run has failed."""
    return sorted({
        name
        for case in results.runs.values()
        for name, runs in case.items()
        for run in runs.values()
        if name.startswith("gangway") and not run.get("ok") and not run.get("excused")
    })  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
