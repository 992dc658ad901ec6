# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG: bars and curves. Colours follow the reader's scheme, light or
dark, and each chart brings its own paper, so that it can stand on any page."""

import math
from typing import NamedTuple, Optional
from xml.sax.saxutils import escape

WIDTH = 760
STYLE = """\
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink) }
.title { font-size: 16px; font-weight: 600 }
.head { font-weight: 600 }
.small { font-size: 11px; fill: var(--pale) }
.paper { fill: var(--paper) }
.grid { stroke: var(--line); stroke-width: 1 }
.one { stroke: var(--pale); stroke-width: 1; stroke-dasharray: 3 3 }
.goal { stroke: var(--goal); stroke-width: 2.5 }
.range { stroke: var(--ink); stroke-width: 1; opacity: .55 }
.ours { fill: var(--ours) }
.base { fill: var(--base) }
.rival { fill: var(--rival) }
.failed { fill: var(--goal) }
.strong { font-weight: 600 }
.curve { fill: none; stroke-width: 2 }
svg { --paper: #fff; --ink: #1f2328; --pale: #59636e; --line: #d8dee4;
  --ours: #0969da; --base: #57606a; --rival: #8c959f; --goal: #cf222e }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #e6edf3; --pale: #9198a1; --line: #2d333b;
    --ours: #4493f8; --base: #b1bac4; --rival: #656d76; --goal: #ff7b72 }
}
"""


class Bar(NamedTuple):
    label: str
    kind: str  # ours, base, rival
    value: Optional[float]  # None: failed
    low: float = 0
    high: float = 0
    goal: Optional[float] = None
    note: str = ""  # instead of the value, if there is none


class Block(NamedTuple):
    """Bars under one heading."""

    title: str
    bars: list


class Line(NamedTuple):
    label: str
    kind: str
    points: list  # (x, y)


def number(value):
    """At the precision that is worth telling."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.095 or size == 0 else f"{value:.3f}"


class Scale(NamedTuple):
    """From figures to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def __call__(self, value):
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            wide = self.high / self.low > 500
            steps = (1,) if wide else (1, 2, 5)
            marks = [s * 10.0**d for d in decades for s in steps]
        else:
            step = nice(self.high / 5)
            marks = [i * step for i in range(int(self.high / step) + 1)]
        return [m for m in marks if self.low * 0.999 <= m <= self.high * 1.001]


def nice(value):
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(s * power for s in (1, 2, 5, 10) if s * power >= value * 0.999)


def span(values, log, start, end):
    """A scale that holds all values."""
    high = max(values)
    if log:
        return Scale(below(min(values)), high * 1.1, start, end, True)
    return Scale(0, high * 1.04, start, end, False)


def below(value):
    """The next smaller 1, 2 or 5 times a power of ten: even the least of bars
    has a length."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(s * power for s in (0.5, 1, 2, 5) if s * power <= value * 0.8)


class Drawing:
    def __init__(self, title, height):
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        ]
        self.text(16, 28, title, "title")

    def text(self, x, y, text, css="", anchor="start"):
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )

    def line(self, x1, y1, x2, y2, css):
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'
        )

    def rect(self, x, y, width, height, css):
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
            f'height="{height}" class="{css}" rx="1.5"/>'
        )

    def raw(self, text):
        self._parts.append(text)

    def done(self):
        return "\n".join([*self._parts, "</svg>"]) + "\n"


# ---- bars --------------------------------------------------------------------

BAR = 12  # height of one
PITCH = 18
LABELS = 224  # where bars begin
VALUES = 70  # room behind them
TOP = 64
HEAD = 24
GAP = 12


def bars(title, axis, blocks, unity=True):
    """axis: what the bars' length says; unity: 1 is worth a line of its own. The
    scale is logarithmic once figures lie far from each other; the paper then
    says so."""
    drawn = [b for block in blocks for b in block.bars if b.value]
    figures = [v for b in drawn for v in (b.value, b.goal) if v and v > 0]
    if unity or not figures:
        figures.append(1.0)
    log = max(figures) / min(figures) > 6
    scale = span(figures, log, LABELS, WIDTH - VALUES)
    rows = sum(HEAD + GAP + PITCH * len(block.bars) for block in blocks)
    height = TOP + rows + 24
    drawing = Drawing(title, height)
    legend(drawing, axis, log, any(b.goal for b in drawn))
    for tick in scale.ticks():
        drawing.text(scale(tick), height - 9, f"{tick:,g}", "small", "middle")
    y = TOP
    for block in blocks:
        drawing.text(16, y + 14, block.title, "head")
        y += HEAD
        for tick in scale.ticks():
            x, end = scale(tick), y + PITCH * len(block.bars)
            drawing.line(x, y - 4, x, end, "one" if unity and tick == 1 else "grid")
        for bar in block.bars:
            draw_bar(drawing, bar, y, scale)
            y += PITCH
        y += GAP
    return drawing.done()


def legend(drawing, axis, log, has_goals):
    text = axis + (", logarithmic" if log else "")
    drawing.text(16, 47, text, "small")
    if has_goals:
        drawing.line(WIDTH - 128, 38, WIDTH - 128, 49, "goal")
        drawing.text(WIDTH - 120, 47, "goal of gangway", "small")


def draw_bar(drawing, bar, y, scale):
    strong = "strong" if bar.kind == "ours" else ""
    drawing.text(LABELS - 8, y + 10, bar.label, strong, "end")
    if bar.value is None:
        drawing.text(LABELS + 4, y + 10, bar.note, "small")
        return
    end = scale(bar.value)
    drawing.rect(LABELS, y, end - LABELS, BAR, bar.kind)
    reach = end
    if bar.high > bar.low:
        reach = max(end, scale(bar.high))
        drawing.line(scale(bar.low), y + BAR / 2, reach, y + BAR / 2, "range")
    if bar.goal:
        x = scale(bar.goal)
        drawing.line(x, y - 2, x, y + BAR + 2, "goal")
        reach = max(reach, x)
    drawing.text(reach + 6, y + 10, number(bar.value), strong)


# ---- curves ------------------------------------------------------------------

PLOT = (64, 70, WIDTH - 150, 380)  # left, top, right, bottom
# Others than ours and the base: told apart by mark and dash, and by their name
# at the end.
DASHES = ("6 3", "2 3", "8 3 2 3")


def curves(title, axis, lines):
    left, top, right, bottom = PLOT
    xs = sorted({x for line in lines for x, _ in line.points})
    ys = [y for line in lines for _, y in line.points if y > 0]
    drawing = Drawing(title, bottom + 44)
    drawing.text(16, 47, axis, "small")
    if not ys:
        drawing.text(left, top + 20, "nothing was measured", "small")
        return drawing.done()
    across = Scale(xs[0] * 0.8, xs[-1] * 1.15, left, right, True)
    log = max(ys) / min(ys) > 6
    up = span(ys, log, bottom, top)
    for tick in up.ticks():
        drawing.line(left, up(tick), right, up(tick), "grid")
        drawing.text(left - 8, up(tick) + 4, f"{tick:,g}", "small", "end")
    for x in xs:
        drawing.line(across(x), top, across(x), bottom, "grid")
        drawing.text(across(x), bottom + 16, f"{x:,}", "small", "middle")
    drawing.text((left + right) / 2, bottom + 34, "sessions", "small", "middle")
    ends = []
    dashes = iter(DASHES * len(lines))
    for line in lines:
        dash = next(dashes) if line.kind == "rival" else ""
        ends.append((draw_curve(drawing, line, across, up, dash), line))
    label_ends(drawing, ends, right + 10)
    return drawing.done()


def draw_curve(drawing, line, across, up, dash):
    """The height at which it ends."""
    points = [(across(x), up(max(y, up.low))) for x, y in sorted(line.points)]
    colour = {"ours": "--ours", "base": "--base"}.get(line.kind, "--pale")
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawing.raw(
        f'<polyline class="curve" style="stroke: var({colour})" '
        f'stroke-dasharray="{dash or "none"}" points="{path}"/>'
    )
    for x, y in points:
        drawing.raw(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" style="fill: var({colour})"/>')
    return points[-1][1]


def label_ends(drawing, ends, x):
    """Names beside the curves' ends, none on top of another."""
    last = -math.inf
    for y, line in sorted(ends, key=lambda end: end[0]):
        at = max(y + 4, last + 15)
        value = sorted(line.points)[-1][1]
        css = "strong" if line.kind == "ours" else ""
        drawing.text(x, at, f"{line.label} {number(value)}", css)
        last = at
