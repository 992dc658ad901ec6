# SPDX-License-Identifier: Apache-2.0
"""What the runs of a benchmark say together: medians over its repetitions, and
ratios that are taken inside each of them."""

import json
import statistics
from typing import NamedTuple, Optional

from rivals import BY_NAME


class Spread(NamedTuple):
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        values = list(values)
        return cls(statistics.median(values), min(values), max(values)) if values else None


class Outcome(NamedTuple):
    """Of one contestant in one case."""

    contestant: str
    cost: Optional[Spread]  # in the measure's unit
    ratio: Optional[Spread]
    failures: tuple  # (how many runs, why), of those that failed
    runs: int
    excused: bool  # they did not fail but were left out

    def compared(self, measure):
        """What is held against the goal and against others."""
        return self.cost if measure.absolute else self.ratio

    def verdict(self, measure):
        """Of the goal, at the precision that is told: "met", "missed", "not
        measured"; nothing without a goal."""
        spread = self.compared(measure)
        if measure.goal is None:
            return ""
        if spread is None:
            return "not measured"
        return "met" if round(spread.median, 2) <= measure.goal else "missed"


def derived(record):
    """A run with what follows from its figures."""
    if "pss_kib_after" in record and "pss_kib_before" in record:
        kept = record["pss_kib_after"] - record["pss_kib_before"]
        record = {**record, "kept_kib": max(0, kept)}
    return record


class Results:
    """header: what was measured where; runs: {case: {contestant: {repetition:
    record}}}, failed runs among them."""

    def __init__(self, lines):
        self.header, self.footer, self.runs = {}, {}, {}
        for line in lines:
            record = json.loads(line)
            if "header" in record:
                self.header = record["header"]
            elif "footer" in record:
                self.footer = record["footer"]
            else:
                case = self.runs.setdefault(record["case"], {})
                runs = case.setdefault(record["contestant"], {})
                runs[record["repetition"]] = derived(record)

    def contestants(self, case):
        """Those who took part, the base first, then gangway, then the rest in
        the order they are described in."""
        took_part = self.runs.get(case.name, {})
        wanted = list(dict.fromkeys([case.base, *case.judged, *case.others, *took_part]))
        return [name for name in wanted if name in took_part]

    def absent(self, case):
        """Rivals of the case that this run left to others."""
        return [name for name in case.others if name not in self.runs.get(case.name, {})]

    def records(self, case, name):
        return self.runs.get(case.name, {}).get(name, {})

    def successes(self, case, name):
        return {n: r for n, r in self.records(case, name).items() if r.get("ok")}

    def median(self, case, name, field):
        """Of a further figure; None if it does not apply."""
        values = [r[field] for r in self.successes(case, name).values() if field in r]
        return statistics.median(values) if values else None

    def ratios(self, case, measure, name, base):
        """{repetition: ratio of the measured figure of one to another's}"""
        own, others = self.successes(case, name), self.successes(case, base)
        for n in sorted(own.keys() & others.keys()):
            above, below = own[n].get(measure.field), others[n].get(measure.field)
            if above is not None and below:
                yield above / below

    def outcome(self, case, measure, name):
        runs = self.records(case, name)
        good = self.successes(case, name)
        costs = [r[measure.field] for r in good.values() if measure.field in r]
        if measure.absolute:
            ratios = []
        elif measure.over:
            ratios = [
                r[measure.field] / r[measure.over]
                for r in good.values()
                if measure.field in r and r.get(measure.over)
            ]
        else:
            ratios = self.ratios(case, measure, name, case.base)
        bad = [r for r in runs.values() if not r.get("ok")]
        bad.sort(key=lambda r: bool(r.get("excused")))  # what failed is told first
        return Outcome(
            name,
            Spread.of(costs),
            Spread.of(ratios),
            (len(bad), bad[0].get("error", "no reason given")) if bad else (),
            len(runs),
            bool(bad) and all(r.get("excused") for r in bad),
        )

    def outcomes(self, case, measure):
        return [self.outcome(case, measure, name) for name in self.contestants(case)]

    def best_rival(self, case, measure, name):
        """Of those that are neither gangway nor a floor, the one that comes out
        best against `name`, and what that has as a multiple of it, within the
        repetitions. (None, None) if there is nobody."""
        multiples = {}
        for rival in self.contestants(case):
            if BY_NAME[rival].is_rival:
                spread = Spread.of(self.ratios(case, measure, name, rival))
                if spread:
                    multiples[rival] = spread.median
        best = max(multiples, key=multiples.get, default=None)
        return best, multiples.get(best)

    def suites(self, case):
        """{TLS version and suite: contestants that spoke it}"""
        spoken = {}
        for name in self.contestants(case):
            for record in self.successes(case, name).values():
                if "tls" in record:
                    spoken.setdefault(record["tls"], {})[name] = True
        return {suite: list(names) for suite, names in spoken.items()}

    def busy(self, field):
        """Of the cores that others used while runs were measured: the median,
        and the most."""
        values = [
            max(0, record[field])
            for case in self.runs.values()
            for runs in case.values()
            for record in runs.values()
            if record.get("ok") and field in record
        ]
        return Spread.of(values)
