# SPDX-License-Identifier: Apache-2.0
"""Everything `make test` proves, a stage after the other.

Stops at the first stage that fails. Closes with a table of the stages and one
line "N passed, N failed" that adds up what their runners counted.

A handful of tests that fail are run once more by themselves, end-to-end tests
by this program and unit tests by theirs: many have deadlines, and a busy
machine can miss one. Those that pass then are named in the summary as unsteady;
a sanitizer's report is never tried again.

    all.py [STAGE...]    only these, by the names in the table
"""

import os
import re
import subprocess
import sys
import time

JOBS = os.cpu_count() or 1

# Two end-to-end tests at a time for each processor: most of them wait.
E2E = f"E2E=-q -n {min(2 * JOBS, 12)} --dist loadgroup -m "
ALL = E2E + "'not soak'"
QUICK = E2E + "'not slow and not soak'"  # under sanitizers

STAGES = [
    ("lint", ["lint"]),
    ("unit", ["unit"]),
    ("unit, ASan and UBSan", ["unit", "SAN=address,undefined"]),
    ("unit, TSan", ["unit", "SAN=thread"]),
    ("fuzz corpus", ["fuzz-replay"]),
    ("e2e", ["e2e", ALL]),
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
    closing = None
    lines = []
    with subprocess.Popen(
        ["make", "-s", "--no-print-directory", f"-j{JOBS}", "-O", *goals],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
            closing = counted(lines[-1]) or closing
    return process.returncode == 0, closing, lines


AGAIN_MAX = 8
# In pytest's summary; a test that is done with others, by one process, has
# their name behind an "@".
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/e2e/\S+?\.py::.+?)(?:@[\w-]+)?(?: - .*)?$")
# Who is not counted as passed. A test that fails in its teardown is.
NOT_PASSED = re.compile(r"^FAILED tests/e2e/|^_+ ERROR at setup of ")
# What the runner of the unit tests says of a program.
UNSTEADY = re.compile(r"^unsteady: (\w+)$")


def again(goals, lines):
    """The tests that failed, if they are few, no sanitizer spoke, and all of
    them pass on their own; else nothing."""
    tests = sorted({m[1] for m in map(FAILED.match, lines) if m})
    if goals[0] != "e2e" or not 0 < len(tests) <= AGAIN_MAX:
        return []
    if any("Sanitizer" in line for line in lines):
        return []
    flavour = {"SAN=address,undefined": "asan/", "SAN=thread": "tsan/"}
    binary = f"build/{next((flavour[g] for g in goals if g in flavour), '')}gangway"
    print(f"\n==== once more: {', '.join(tests)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "tests/e2e/pytest.ini", "-q", *tests],
        env={**os.environ, "GANGWAY_BIN": os.path.abspath(binary)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return tests if done.returncode == 0 else []


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
        ok, n, lines = run(name, goals)
        n = n or {"passed": 1 if ok else 0}
        unsteady = [m[1] for m in map(UNSTEADY.match, lines) if m]
        if not ok and (unsteady := again(goals, lines)):
            ok = True
            more = sum(bool(NOT_PASSED.match(line)) for line in lines)
            n = {**n, "passed": n.get("passed", 0) + more, "failed": 0, "error": 0}
        passed += n.get("passed", 0)
        skipped += n.get("skipped", 0)
        bad = n.get("failed", 0) + n.get("error", 0)
        failed += bad if ok or bad else 1
        took = time.monotonic() - began
        table.append(f"{name:24} {'ok' if ok else 'FAILED':6} {took:7.1f} s")
        table[-1] += "".join(f"\n    unsteady: {test}" for test in unsteady)
        if not ok:
            break
    table += [f"{name:24} not run" for name, _ in stages[len(table) :]]
    print("\n==== summary", *table, sep="\n")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


sys.exit(main())
