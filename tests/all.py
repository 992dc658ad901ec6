# SPDX-License-Identifier: Apache-2.0
"""Everything `make test` proves, a stage after the other.

Stops at the first stage that fails. Closes with a table of the stages and one
line "N passed, N failed" that adds up what their runners counted.

    all.py [STAGE...]    only these, by the names in the table
"""

import os
import re
import subprocess
import sys
import time

QUICK = "E2E=-q -m 'not slow and not soak'"  # under sanitizers all takes longer

STAGES = [
    ("lint", ["lint"]),
    ("unit", ["unit"]),
    ("unit, ASan and UBSan", ["unit", "SAN=address,undefined"]),
    ("unit, TSan", ["unit", "SAN=thread"]),
    ("fuzz corpus", ["fuzz-replay"]),
    ("e2e", ["e2e", "E2E=-q -m 'not soak'"]),
    ("e2e, ASan and UBSan", ["e2e", "SAN=address,undefined", QUICK]),
    ("e2e, TSan", ["e2e", "SAN=thread", QUICK]),
]

# pytest's closing line, with or without its rule of "=", and the runners'.
CLOSING = re.compile(r"^=* ?(?=.*\d+ (?:passed|failed|error))(.*?)(?: in [\d.]+s.*)?$")


def counted(line):
    """{word: number} of a runner's closing line, or None."""
    match = CLOSING.match(line)
    if not match:
        return None
    parts = [p.strip().split() for p in match[1].strip(" =").split(",")]
    if any(len(p) != 2 or not p[0].isdigit() for p in parts):
        return None
    return {word.rstrip("s"): int(n) for n, word in parts}


def run(name, goals):
    print(f"\n==== {name}: make {' '.join(goals)}", flush=True)
    jobs = os.cpu_count() or 1
    closing = None
    with subprocess.Popen(
        ["make", "-s", "--no-print-directory", f"-j{jobs}", "-O", *goals],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            closing = counted(line.rstrip()) or closing
    return process.returncode == 0, closing


def main():
    # make would hand down the jobs of its own -j, and these have theirs.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    wanted = sys.argv[1:]
    stages = [s for s in STAGES if not wanted or s[0] in wanted]
    passed = failed = skipped = 0
    table = []
    for name, goals in stages:
        began = time.monotonic()
        ok, n = run(name, goals)
        n = n or {"passed": 1 if ok else 0}
        passed += n.get("passed", 0)
        skipped += n.get("skipped", 0)
        bad = n.get("failed", 0) + n.get("error", 0)
        failed += bad if ok or bad else 1
        took = time.monotonic() - began
        table.append(f"{name:24} {'ok' if ok else 'FAILED':6} {took:7.1f} s")
        if not ok:
            break
    table += [f"{name:24} not run" for name, _ in stages[len(table) :]]
    print("\n==== summary", *table, sep="\n")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


sys.exit(main())
