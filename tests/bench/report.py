# SPDX-License-Identifier: Apache-2.0
"""From results to what people read: Markdown with tables, and charts."""

import pathlib

import charts
from cases import CASES, CURVES, GROUPS
from charts import number
from results import Results
from rivals import BY_NAME

NAME = "README.md"
RESULTS = "results.jsonl"

HEAD = """\
# What gangway costs

Written by `{command}` on {date}; do not edit.
[CONTRIBUTING.md](../../../CONTRIBUTING.md#measure) tells how to run it and where
its sources are. Every run is a line of [{results}]({results}).

A figure is the median of {repetitions} repetitions of {seconds:g} s. Each repetition
runs all contestants of a case one after the other, and **ratios are taken inside
a repetition**: the CPU time of a contestant's processes, for a message or a GB, as
a multiple of the floor's. Behind a ratio stand the lowest and the highest.
Absolute figures drift with the machine; compare ratios. The floor is the least that
a relay can do: it waits for readiness, reads once and writes once. HAProxy, nginx
and socat are TCP proxies. They do the floor's work and neither frame nor unmask.
"""


def title(name):
    return BY_NAME[name].title


def spread(value):
    return f"{number(value.low)}-{number(value.high)}"


def row(*cells):
    return f"| {' | '.join(cells)} |"


def table(heads, rows):
    return [row(*heads), row(*("---" for _ in heads)), *(row(*r) for r in rows)]


# ---- the goals, at a glance --------------------------------------------------


def measures(results, group=None):
    """(case, measure) of what was run."""
    for case in CASES:
        if case.name in results.runs and group in (None, case.group):
            for measure in case.measures:
                yield case, measure


def full_title(case, measure):
    return f"{case.title}, {measure.title}" if measure.title else case.title


def reached(outcome, measure):
    value = outcome.compared(measure)
    if value is None:
        return "failed" if outcome.failures and not outcome.excused else "-"
    return f"**{number(value.median)}{' ' + measure.unit if measure.absolute else ''}**"


def marked(verdict):
    """What is not as it should be stands out."""
    return verdict if verdict in ("", "met") else f"**{verdict}**"


def goal_rows(results):
    groups = {group.name: group.title for group in GROUPS}
    for case, measure in measures(results):
        for name in case.judged:
            if name not in results.runs[case.name]:
                continue
            outcome = results.outcome(case, measure, name)
            best, multiple = results.best_rival(case, measure, name)
            rival = f"{number(multiple)} × {title(best)}" if best else "-"
            who = f" ({title(name)})" if title(name) != "gangway" else ""
            yield (
                f"{groups[case.group]}: {full_title(case, measure)}{who}",
                reached(outcome, measure),
                goal(measure) or "-",
                marked(outcome.verdict(measure)),
                rival,
            )


def goal(measure):
    if measure.goal is None:
        return ""
    return f"{measure.goal:.2f}{' ' + measure.unit if measure.absolute else ''}"


def goals(results):
    rows = list(goal_rows(results))
    judged = [r for r in rows if r[3]]
    met = sum(r[3] == "met" for r in judged)
    yield "## Goals"
    yield ""
    yield f"{met} of {len(judged)} met. The last column is gangway's figure as a multiple"
    yield "of the best rival's, within the repetitions: below 1 it is beaten."
    yield ""
    yield from table(["case", "gangway", "goal", "", "to the best rival"], rows)


# ---- a group -----------------------------------------------------------------


def failure(outcome):
    count, why = outcome.failures
    what = "not run" if outcome.excused else "failed"
    if count < outcome.runs:
        return f"{count} of {outcome.runs} {what}: {why}"
    return f"not run: {why}" if outcome.excused else f"**failed**: {why}"


def verdict(case, measure, outcome):
    if outcome.contestant not in case.judged:
        return ""
    return f"{goal(measure)} {marked(outcome.verdict(measure))}".strip()


def group_rows(results, group, relative):
    for case, measure in measures(results, group.name):
        what = full_title(case, measure)
        for outcome in results.outcomes(case, measure):
            name = outcome.contestant
            strong = "**" if name in case.judged else ""
            cells = [what, f"{strong}{title(name)}{strong}"]
            what = ""
            note = failure(outcome) if outcome.failures else ""
            ratio = cost = ""
            if outcome.cost:
                cost = f"{number(outcome.cost.median)} {measure.unit}"
                if measure.absolute:
                    cost += f" ({spread(outcome.cost)})"
            if outcome.ratio:
                ratio = f"{strong}{number(outcome.ratio.median)}{strong} ({spread(outcome.ratio)})"
            if relative:
                cells.append(ratio or (note if not cost else ""))
            cells.append(cost or (note if not relative else ""))
            if note and cost:
                cells[-1] += f"; {note}"
            cells.append(verdict(case, measure, outcome))
            for column in group.columns:
                value = results.median(case, name, column.field)
                cells.append("" if value is None else f"{value:,.{column.digits}f}")
            yield cells


def suites(results, group):
    """What was spoken, if it was TLS."""
    spoken = {}
    for case, _ in measures(results, group.name):
        for suite, names in results.suites(case).items():
            spoken.setdefault(suite, {}).update(dict.fromkeys(map(title, names)))
    if len(spoken) == 1:
        yield f"All of them spoke {next(iter(spoken))}."
    else:
        for suite, names in spoken.items():
            yield f"{suite} was spoken by: {', '.join(names)}."


def not_run(results, group):
    """The rivals that this run left to `make bench-full`, and where."""
    if results.header["narrow"]:
        return
    absent = {}
    for case in CASES:
        if case.group == group.name and case.name in results.runs:
            left = tuple(title(name) for name in results.absent(case))
            if left:
                absent.setdefault(left, []).append(case.title)
    for left, where in absent.items():
        yield f"Left to `make bench-full` in “{'”, “'.join(where)}”: {', '.join(left)}."
    left_out = [c.title for c in CASES if c.group == group.name and c.name not in results.runs]
    if left_out:
        yield f"Left to `make bench-full` altogether: {'; '.join(left_out)}."


def section(results, group):
    cases = list(measures(results, group.name))
    if not cases:
        return
    relative = not all(measure.absolute for _, measure in cases)
    yield f"## {group.title}"
    yield ""
    yield group.about
    yield ""
    yield f"![{group.title}: bars]({group.name}.svg)"
    yield ""
    heads = ["case", "contestant"]
    heads += ["ratio"] if relative else []
    heads += ["CPU" if relative else "memory of a session", "goal"]
    if any(measure.over for _, measure in cases):
        heads[3] = "p99"
    heads += [column.title for column in group.columns]
    yield from table(heads, group_rows(results, group, relative))
    for line in (*suites(results, group), *not_run(results, group)):
        yield ""
        yield line
    yield ""


# ---- the rest ----------------------------------------------------------------


def machine(results):
    header, footer = results.header, results.footer
    m = header["machine"]
    virtual = ", a virtual machine" if m["virtual"] else ""
    yield "## Machine"
    yield ""
    rows = [
        ("CPU", f"{m['cpu']}, {m['cpus']} of them{virtual}"),
        ("memory", f"{m['memory_gib']} GiB"),
        ("system", f"{m['system']}, Linux {m['kernel']}, {m['architecture']}"),
        ("gangway", f"{header['versions']['gangway']}, commit {header['commit']}"),
    ]
    for program, version in header["versions"].items():
        if program != "gangway":
            rows.append((program, version))
    others, steal = results.busy("other_cores"), results.busy("steal_cores")
    if others and steal:
        rows.append((
            "how busy",
            f"load {m['load_before']:.2f} before; while it measured others used "
            f"{others.median:.2f} CPUs (median; at most {others.high:.2f}), the "
            f"hypervisor took {steal.median:.2f} (at most {steal.high:.2f})",
        ))  # fmt: skip
    if footer:
        rows.append(("took", f"{footer['took_s']:.0f} s, {footer['waited_s']:.0f} s of it "
                             "waiting for a quiet machine"))  # fmt: skip
    yield from table(["", ""], rows)
    yield ""


def contestants(results):
    took_part = {name for case in results.runs.values() for name in case}
    yield "## Contestants"
    yield ""
    rows = [
        (rival.title, rival.about)
        for rival in BY_NAME.values()
        if rival.name in took_part and rival.about
    ]
    yield from table(["", ""], rows)
    yield ""


def curves_section(results):
    drawn = [c for c in CURVES if curve_lines(results, c)]
    if not drawn:
        return
    yield "## By the number of sessions"
    yield ""
    for curve in drawn:
        yield f"![{curve.title}](curve-{curve.name}.svg)"
        yield ""


def markdown(results):
    header = results.header
    parts = [
        HEAD.format(
            command=header["command"], date=header["date"], results=RESULTS,
            repetitions=header["repetitions"], seconds=header["seconds"],
        ),
        *goals(results),
        "",
        *machine(results),
        *(line for group in GROUPS for line in section(results, group)),
        *curves_section(results),
        *contestants(results),
    ]  # fmt: skip
    return "\n".join(parts).rstrip("\n") + "\n"


# ---- charts ------------------------------------------------------------------


def kind(case, name):
    if name in case.judged:
        return "ours"
    return "base" if name == case.base else "rival"


def block(results, case, measure):
    bars = []
    for outcome in results.outcomes(case, measure):
        name, value = outcome.contestant, outcome.compared(measure)
        goal_value = measure.goal if name in case.judged else None
        if value:
            bar = charts.Bar(title(name), kind(case, name), value.median, value.low,
                             value.high, goal_value)
        else:
            note = "failed" if outcome.failures else "nothing to compare with"
            note = "not run" if outcome.excused else note
            bar = charts.Bar(title(name), kind(case, name), None, note=note)
        bars.append(bar)
    return charts.Block(full_title(case, measure), bars)


def group_chart(results, group):
    cases = list(measures(results, group.name))
    first = cases[0][1]
    if first.absolute:
        axis = f"{first.unit} for each session"
    elif first.over:
        axis = "99th percentile, as a multiple of the quiet gateway's"
    else:
        axis = f"CPU, as a multiple of: {title(cases[0][0].base)}"
    blocks = [block(results, case, measure) for case, measure in cases]
    return charts.bars(group.title, axis, blocks, unity=not first.absolute)


def curve_lines(results, curve):
    """The contestants that were run with as many counts of sessions as the
    others; each with the points that it has."""
    points, runs, kinds = {}, {}, {}
    for case in CASES:
        if case.name not in results.runs or case.repeated[:1] != (curve.name,):
            continue
        for name in results.contestants(case):
            kinds[name] = kind(case, name)
            runs[name] = runs.get(name, 0) + 1
            value = results.median(case, name, curve.field)
            if value is not None:
                sessions = results.median(case, name, "sessions") or case.repeated[1]
                points.setdefault(name, []).append((int(sessions), value))
    most = max(runs.values(), default=0)
    return [
        charts.Line(title(name), kinds[name], p)
        for name, p in points.items()
        if runs[name] == most and len(p) > 1
    ]


def draw(results):
    """{file name: SVG}"""
    drawn = {
        f"{group.name}.svg": group_chart(results, group)
        for group in GROUPS
        if any(measures(results, group.name))
    }
    for curve in CURVES:
        lines = curve_lines(results, curve)
        if lines:
            drawn[f"curve-{curve.name}.svg"] = charts.curves(curve.title, curve.unit, lines)
    return drawn


def write(directory):
    """Tables and charts beside a results.jsonl; older charts go."""
    directory = pathlib.Path(directory)
    with (directory / RESULTS).open() as lines:
        results = Results(lines)
    for old in directory.glob("*.svg"):
        old.unlink()
    for name, svg in draw(results).items():
        (directory / name).write_text(svg)
    (directory / NAME).write_text(markdown(results))
    return results
