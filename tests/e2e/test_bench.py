# SPDX-License-Identifier: Apache-2.0
"""The benchmark (tests/bench): that its figures follow from its runs, that what
failed is told, and that it runs."""

import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest
from gangway import BINARY, ROOT
from services import accepts

BENCH = ROOT / "tests" / "bench"
sys.path.append(str(BENCH))

import bench  # noqa: E402
import cases  # noqa: E402
import charts  # noqa: E402
import machine  # noqa: E402
import place  # noqa: E402
import report  # noqa: E402
import rivals  # noqa: E402
import runner  # noqa: E402
from results import Results  # noqa: E402

HEADER = {
    "date": "2024-02-29", "command": "make bench", "narrow": False, "repetitions": 3, "seconds": 0.5, "warmup": 0.1,
    "commit": "abc", "versions": {"gangway": "1.2.3", "haproxy": "2.6"},
    "machine": {
        "cpu": "A CPU", "cpus": 2, "memory_gib": 8, "virtual": True, "system": "A system",
        "kernel": "6.1", "architecture": "x86_64", "load_before": 0.5,
    },
}  # fmt: skip


def case_named(name):
    return next(c for c in cases.CASES if c.name == name)


def echo_run(contestant, repetition, cost, case="echo-64-x100", **more):
    return {
        "case": case, "contestant": contestant, "repetition": repetition, "ok": True,
        "cpu_us_per_message": cost, "messages_per_s": 1000, "p50_us": 10, "p99_us": 20,
        "sessions": 100, "other_cores": 0.1, "steal_cores": 0.02, **more,
    }  # fmt: skip


def failed_run(contestant, repetition, why, case="echo-64-x100", **more):
    return {"case": case, "contestant": contestant, "repetition": repetition,
            "ok": False, "error": why, **more}  # fmt: skip


def lines(*records):
    footer = {"took_s": 9, "waited_s": 1}
    return [json.dumps(r) for r in ({"header": HEADER}, *records, {"footer": footer})]


# The machine gets slower from repetition to repetition: only ratios within one
# mean something.
FLOOR = [10.0, 20.0, 40.0]
RUNS = [
    *(echo_run("floor", n, cost) for n, cost in enumerate(FLOOR)),
    *(echo_run("gangway", n, cost * x) for n, (cost, x) in enumerate(zip(FLOOR, (1.3, 1.05, 1.1)))),
    *(echo_run("haproxy", n, cost * 2.2) for n, cost in enumerate(FLOOR)),
    echo_run("nginx", 0, 12), failed_run("nginx", 1, "lost 5 bytes"), echo_run("nginx", 2, 48),
    *(failed_run("socat", n, "did not start: no such host") for n in range(3)),
]  # fmt: skip


@pytest.fixture
def results():
    return Results(lines(*RUNS))


def outcome(results, contestant, case="echo-64-x100"):
    case = case_named(case)
    return results.outcome(case, case.measures[0], contestant), case.measures[0]


def row_of(page, contestant):
    return next(line for line in page.split("\n") if f"| {contestant} |" in line)


# ---- figures ----------------------------------------------------------------


def test_ratios_are_taken_within_a_repetition(results):
    got, measure = outcome(results, "gangway")
    assert got.ratio == pytest.approx((1.1, 1.05, 1.3))
    assert got.cost.median == 21.0
    assert got.verdict(measure) == "met" and measure.goal == 1.10
    # nginx, of the repetitions that it got through: 13/12 and 44/48.
    best, multiple = results.best_rival(case_named("echo-64-x100"), measure, "gangway")
    assert best == "nginx" and multiple == pytest.approx((13 / 12 + 44 / 48) / 2)


@pytest.mark.parametrize("cost, verdict", [(1.104, "met"), (1.106, "missed")])
def test_goals_are_judged_as_they_are_told(cost, verdict):
    runs = [echo_run("floor", 0, 1.0), echo_run("gangway", 0, cost)]
    got, measure = outcome(Results(lines(*runs)), "gangway")
    assert got.verdict(measure) == verdict


def test_without_a_floor_there_is_no_verdict():
    runs = [failed_run("floor", 0, "gone"), echo_run("gangway", 0, 1.0)]
    results = Results(lines(*runs))
    got, measure = outcome(results, "gangway")
    assert got.ratio is None and got.verdict(measure) == "not measured"
    assert "**not measured**" in report.markdown(results)


def test_memory_is_judged_in_its_unit():
    runs = [
        {"case": "idle", "contestant": name, "repetition": 0, "ok": True, "sessions": 9000,
         "pss_kib_per_session": kib, "pss_kib_before": 1000, "pss_kib_after": 1500}
        for name, kib in (("floor", 0.1), ("gangway", 1.2))
    ]  # fmt: skip
    results = Results(lines(*runs))
    got, measure = outcome(results, "gangway", "idle")
    assert got.verdict(measure) == "missed" and got.ratio is None
    assert results.median(case_named("idle"), "gangway", "kept_kib") == 500
    assert "1.20 KiB" in report.markdown(results)


def test_a_tail_is_compared_with_its_own_quiet():
    runs = [
        {"case": "tail", "contestant": "gangway", "repetition": n, "ok": True,
         "quiet_p99_us": 50, "bulk_p99_us": 50 * x, "handshakes_p99_us": 200}
        for n, x in enumerate((2, 3, 9))
    ]  # fmt: skip
    results, case = Results(lines(*runs)), case_named("tail")
    beside, during = (results.outcome(case, m, "gangway") for m in case.measures)
    assert beside.ratio == (3, 2, 9) and beside.verdict(case.measures[0]) == "met"
    assert during.ratio.median == 4 and during.verdict(case.measures[1]) == "missed"


# ---- what is shown ----------------------------------------------------------


def test_the_page_tells_all(results):
    page = report.markdown(results)
    assert "**1.10** (1.05-1.30)" in row_of(page, "**gangway**")
    assert "1.10 met" in row_of(page, "**gangway**")
    assert "1 of 1 met" in page
    assert "2024-02-29" in page and "A CPU, 2 of them, a virtual machine" in page
    assert "| haproxy | 2.6 |" in page
    assert "others used 0.10 CPUs" in page
    # Who was not there, and where nobody was.
    assert "websockify, lighttpd, websocketd" in page
    assert "1 KiB, 100 sessions, 8 in flight" in page
    assert not re.search(r"[ \t]$|\{", page, re.M)


def test_failures_are_shown(results):
    page = report.markdown(results)
    assert "1 of 3 failed: lost 5 bytes" in row_of(page, "nginx stream")
    assert "1.20 (1.20-1.20)" in row_of(page, "nginx stream")
    assert "**failed**: did not start: no such host" in row_of(page, "socat")
    svg = report.draw(results)["echo.svg"]
    assert ">failed</text>" in svg


def test_what_was_not_tried_is_no_failure():
    case = next(c for c in cases.CASES if c.name == "up-64-x16")
    rival = rivals.BY_NAME["websockify"]
    record = runner.run_once(case, rival, None)
    assert record["excused"]
    runs = [{**record, "case": case.name, "contestant": rival.name, "repetition": 0}]
    results = Results(lines(*runs))
    assert f"not run: {rival.excuse(case.name)}" in report.markdown(results)
    assert ">not run</text>" in report.draw(results)["up.svg"]


def test_suites_are_told():
    case, suites = case_named("tls-echo-64-x100"), ("TLSv1.3 A", "TLSv1.2 B")
    runs = [
        echo_run(name, 0, 1.0, case.name, tls=suites[name == "nginx-tls"])
        for name in ("floor-tls", "gangway-tls", "nginx-tls")
    ]
    page = report.markdown(Results(lines(*runs)))
    assert "TLSv1.3 A was spoken by: TLS floor, gangway." in page
    assert "TLSv1.2 B was spoken by: nginx stream." in page
    assert "All of them spoke TLSv1.3 A." in report.markdown(Results(lines(*runs[:2])))


def every_result():
    """A canned run of every case by every contestant."""
    figures = (
        "cpu_us_per_message cpu_s_per_gb cpu_us_per_delivery pss_kib_per_session "
        "rss_kib_per_session pss_kib_before pss_kib_after idle_cpu_ms_per_s messages_per_s "
        "mb_per_s deliveries_per_s hwm_kib p50_us p99_us quiet_p50_us quiet_p99_us bulk_p50_us "
        "bulk_p99_us bulk_mb_per_s handshakes_p50_us handshakes_p99_us other_cores steal_cores"
    ).split()
    for case in cases.CASES:
        for i, name in enumerate(case.contestants(full=True)):
            for n in range(3):
                yield {"case": case.name, "contestant": name, "repetition": n, "ok": True,
                       "sessions": case.flags.get("sessions", 1),
                       **{f: (1 + i * i) * (1 + n / 10) for f in figures}}  # fmt: skip


def test_charts_are_well_formed(tmp_path):
    raw = tmp_path / report.RESULTS
    raw.write_text("\n".join(lines(*every_result())) + "\n")
    (tmp_path / "old.svg").write_text("of a run before")
    report.write(tmp_path)
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    wanted = {f"{group.name}.svg" for group in cases.GROUPS}
    assert drawn == wanted | {"curve-echo.svg", "curve-memory.svg"}
    page = (tmp_path / report.NAME).read_text()
    assert set(re.findall(r"\]\(([\w-]+\.svg)\)", page)) == drawn
    for name in drawn:
        root = xml.fromstring((tmp_path / name).read_text())
        width, height = float(root.get("width")), float(root.get("height"))
        texts = [e for e in root.iter() if e.tag.endswith("}text")]
        assert any(e.text == "floor" or e.text.startswith(("gangway", "floor")) for e in texts)
        for element in texts:
            assert 0 <= float(element.get("x")) <= width
            assert 0 <= float(element.get("y")) <= height
            # As wide as letters are at most, on average: none is cut off.
            wide = 7.6 * len(element.text) * (-1 if element.get("text-anchor") == "end" else 1)
            assert 0 <= float(element.get("x")) + wide <= width, element.text


def test_a_logarithmic_scale_says_so():
    bar = charts.Bar("<one> & two", "rival", 1.0)
    svg = charts.bars("t", "x", [charts.Block("b", [bar, bar._replace(value=1000.0)])])
    assert "x, logarithmic" in svg and "&lt;one&gt; &amp; two" in svg
    assert "logarithmic" not in charts.bars("t", "x", [charts.Block("b", [bar])])
    xml.fromstring(svg)


# ---- the descriptions -------------------------------------------------------


def test_cases_and_contestants_fit():
    names = [c.name for c in cases.CASES]
    assert len(names) == len(set(names))
    groups = {g.name for g in cases.GROUPS}
    for case in cases.CASES:
        assert case.group in groups
        quick, full = case.contestants(False), case.contestants(True)
        assert set(quick) <= set(full) <= set(rivals.BY_NAME)
        if quick:
            assert case.base in quick and set(case.judged) <= set(quick)


def test_the_quick_run_may_be_smaller():
    case = case_named("tls-idle")
    assert case.at(True) is case
    assert case.at(False).flags["sessions"] < case.flags["sessions"]
    assert case.at(False).name == case.name


def test_the_order_turns():
    case = case_named("echo-64-x1")
    plan = list(runner.schedule([case], lambda _: ["a", "b", "c"], 4))
    assert [names[0] for _, _, names in plan] == ["a", "b", "c", "a"]
    assert all(sorted(names) == ["a", "b", "c"] for _, _, names in plan)


def test_time_that_is_up_is_told():
    out = io.StringIO()
    plan = [(0, case_named("echo-64-x1"), ["floor"])]
    runner.run_all(plan, rivals.BY_NAME, None, machine.Quiet(0), out, deadline=0)
    late = json.loads(out.getvalue())
    runs = [echo_run("floor", 0, 1.0, "echo-64-x1"), {**late, "repetition": 1}]
    results = Results(lines(*runs))
    assert "1 of 2 not run: time was up" in row_of(report.markdown(results), "floor")
    assert bench.failed(results) == []


def test_a_gangway_that_failed_is_told_at_the_end():
    runs = [failed_run("gangway", 0, "lost 1 byte"), failed_run("haproxy", 0, "lost 1 byte")]
    assert bench.failed(Results(lines(*runs))) == ["gangway"]


# ---- running ----------------------------------------------------------------


def test_a_place_ends_what_was_started(tmp_path):
    """Also a child, also one that does not want to."""
    script = (
        "import os, signal, socket, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN) if os.fork() else None\n"
        "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); time.sleep(60)\n"
    )
    place.STOP_S, before = 0.2, place.STOP_S
    try:
        with place.Place(None, None, place.Ports(), None) as where:
            where.spawn([sys.executable, "-c", script, where.port], where.port)
            assert accepts(where.port)
        assert not accepts(where.port)
    finally:
        place.STOP_S = before


def test_what_does_not_start_says_why():
    with place.Place(None, None, place.Ports(), None) as where:
        with pytest.raises(place.Failed, match="sh did not start: out of order"):
            where.spawn(["sh", "-c", "echo out of order; exit 3"], where.port)


@pytest.mark.slow
def test_one_case_runs(tmp_path):
    done = subprocess.run(
        [
            "/usr/bin/python3", BENCH / "bench.py", "--build", BINARY.parent,
            "--cases", "^echo-64-x1$", "--only", "floor,gangway", "--reps", "3",
            "--seconds", "0.2", "--warmup", "0.1", "--out", tmp_path,
        ],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results = Results((tmp_path / report.RESULTS).read_text().splitlines())
    got, _ = outcome(results, "gangway", "echo-64-x1")
    assert got.runs == 3 and not got.failures
    assert 0.2 < got.ratio.median < 5
    assert got.cost.low > 0
    assert results.header["versions"]["gangway"]
    page = (tmp_path / report.NAME).read_text()
    assert "| 64 B, 1 session | floor | 1.00 (1.00-1.00) |" in page
    assert "--cases ^echo-64-x1$ --only floor,gangway" in page
    assert "make bench-full" not in page  # it was narrow on purpose
    xml.fromstring((tmp_path / "echo.svg").read_text())
    # Drawn once more it is the same.
    again = subprocess.run(
        ["/usr/bin/python3", BENCH / "bench.py", "report", tmp_path], check=False
    )
    assert again.returncode == 0 and (tmp_path / report.NAME).read_text() == page


def test_contestants_are_listed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench.py", "--list", "--cases", "^tls-idle$"])
    assert bench.main() == 0
    assert capsys.readouterr().out.split() == ["tls-idle", *case_named("tls-idle").contestants(True)]
