# SPDX-License-Identifier: Apache-2.0
"""Run unit test programs, one for each processor, and add up what they say.

    run.py PROGRAM...

Each is a cmocka program. Its output is shown when it fails; a crash, a hang
or a program without a test counts as a failure. The last line reads
"N passed, N failed".

A few programs in which tests fail are run once more, alone: most tests of what
waits have deadlines, and a busy machine can miss one. Those that pass then are
named as unsteady; a crash or a sanitizer's report is never tried again.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import time
from typing import NamedTuple

TIMEOUT_S = 300
AGAIN_MAX = 3

# These begin: they wait for deadlines and brokers, or try millions of inputs.
SLOW = ("test_mqtt_paho", "test_resolver", "test_utf8", "test_ws_stream")

SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Result(NamedTuple):
    passed: int
    failed: int
    skipped: int
    again: bool  # it may be the machine


def counts(output):
    """What cmocka's closing lines tell: (passed, failed, skipped)."""

    def number(word):
        found = re.findall(rf"^\[ *{word} *\] (\d+) test\(s\)", output, re.M)
        return sum(map(int, found))

    return number("PASSED"), number("FAILED"), number("SKIPPED")


def run(program):
    began = time.monotonic()
    env = {**SANITIZERS, **os.environ}
    try:
        done = subprocess.run(
            [program],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as e:
        output, status = (e.stdout or b"") + b"\ntimed out\n", -1
    output = output.decode(errors="replace")
    passed, failed, skipped = counts(output)
    again = failed > 0 and status == failed and "Sanitizer" not in output
    if failed == 0 and (status != 0 or passed == 0):
        failed = 1  # crashed, or tested nothing
    took = time.monotonic() - began
    word = "FAILED" if failed else "ok"
    name = os.path.basename(program)
    line = f"{name:32} {word:6} {passed:4} passed {took:6.2f} s\n"
    if failed:
        line += f"{output}exit status {status}\n"
    print(line, end="", flush=True)
    return Result(passed, failed, skipped, again)


def once_more(programs, results):
    """The results, with better ones of those that then pass."""
    failed = [i for i, r in enumerate(results) if r.failed]
    if len(failed) > AGAIN_MAX or not all(results[i].again for i in failed):
        return results
    for i in failed:
        results[i] = run(programs[i])
        if not results[i].failed:
            print(f"unsteady: {os.path.basename(programs[i])}")
    return results


def main():
    programs = sorted(sys.argv[1:], key=lambda p: os.path.basename(p) not in SLOW)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(run, programs))
    results = once_more(programs, results)
    passed, failed, skipped, _ = map(sum, zip(*results)) if results else (0, 0, 0, 0)
    if not results:
        print("no unit test found")
        failed = 1
    extra = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{extra}")
    return 1 if failed else 0


sys.exit(main())
