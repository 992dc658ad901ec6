# SPDX-License-Identifier: Apache-2.0
"""Runs the cases: every repetition goes through all cases, and through all
contestants of a case one after the other, each time beginning with another. So
a slow spell of the machine meets them all, and a ratio is taken between runs
that are seconds apart."""

import contextlib
import json
import subprocess
import time
from typing import NamedTuple

from place import Failed, Place
from rivals import SESSIONS_MAX

SETTLE_S = 0.5  # idle: before memory is looked at
DISTURBED = 0.3  # cores of others in a run, after which to wait for quiet


class Setup(NamedTuple):
    tools: object  # directory of load, relay, tls_relay
    gangway: object  # the binary
    ports: object
    certificate: object
    seconds: float
    warmup: float


def flags(case, rival, setup):
    """What the load generator is told about a case."""
    wanted = {"seconds": setup.seconds, "warmup": setup.warmup}
    wanted |= case.flags
    for time_s in ("seconds", "warmup"):  # a case may need longer
        wanted[time_s] = max(wanted[time_s], getattr(setup, time_s))
    if "sessions" in wanted:
        wanted["sessions"] = min(wanted["sessions"], rival.bears, SESSIONS_MAX)
    if case.mode == "idle":
        wanted["settle"] = SETTLE_S
    for name, value in wanted.items():
        if value is True:
            yield f"--{name}"
        else:
            yield from (f"--{name}", str(value))


def load(case, rival, place, pid, setup):
    """One run of the load generator; its report."""
    origin = f"{rival.scheme}://127.0.0.1:{place.port}"
    command = [
        str(setup.tools / "load"), case.mode, "--url", f"{origin}/", "--pid", str(pid),
        "--backend", "0" if rival.brings_backend else str(place.backend),
        "--label", rival.name, *flags(case, rival, setup),
        *(word.replace("{origin}", origin) for word in rival.load),
    ]  # fmt: skip
    limit = 40 + 10 * (setup.seconds + setup.warmup)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"did not end within {limit:.0f} s") from None
    said = done.stderr.strip().split("\n")[-1]
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"load exits {done.returncode}: {said}") from None
    if done.returncode != 0:
        report["ok"] = False
        report.setdefault("error", said or f"load exits {done.returncode}")
    for measure in case.measures:
        if report.get("ok") and measure.field not in report:
            report |= {"ok": False, "error": "nothing came back in the time that is measured"}
    return report


def run_once(case, rival, setup):
    """The report of one run; of one that failed, {"ok": False, "error": why}."""
    excuse = rival.excuse(case.name)
    if excuse:
        return {"ok": False, "error": excuse, "excused": True}
    if rival.missing():
        return {"ok": False, "error": f"{rival.program} is not installed"}
    try:
        with Place(setup.tools, setup.gangway, setup.ports, setup.certificate) as place:
            return load(case, rival, place, rival.start(place), setup)
    except Failed as failure:
        return {"ok": False, "error": str(failure)}


def schedule(cases, contestants, repetitions):
    """(repetition, case, contestants' names), in the order of running."""
    for repetition in range(repetitions):
        for case in cases:
            names = contestants(case)
            first = repetition % max(1, len(names))
            yield repetition, case, names[first:] + names[:first]


def run_all(plan, by_name, setup, quiet, out, deadline=None):
    """Run a schedule; a line of JSON for every run."""
    disturbed = True
    for repetition, case, names in plan:
        for name in names:
            if deadline is not None and time.monotonic() > deadline:
                record = {"ok": False, "error": "time was up", "excused": True}
            else:
                if disturbed:
                    quiet.wait()
                began = time.monotonic()
                record = run_once(case, by_name[name], setup)
                record["took_s"] = round(time.monotonic() - began, 2)
                disturbed = record.get("other_cores", 0) > DISTURBED
            record |= {"case": case.name, "contestant": name, "repetition": repetition}
            out.write(json.dumps(record) + "\n")
            out.flush()
            tell(case, name, repetition, record)


def tell(case, name, repetition, record):
    if record.get("ok"):
        figures = []
        for measure in case.measures:
            value = record.get(measure.field)
            figures.append("?" if value is None else f"{value:.3f} {measure.unit}")
        busy = record.get("other_cores", 0) + record.get("steal_cores", 0)
        text = ", ".join(figures) + (f"  (others {busy:.2f})" if busy > DISTURBED else "")
    else:
        text = f"{'not run' if record.get('excused') else 'FAILED'}: {record['error']}"
    with contextlib.suppress(BrokenPipeError):
        print(f"{repetition + 1} {case.name:22} {name:18} {text}", flush=True)
