"""The page's small charts as SVG: intervals on an axis that all versions share, and trends in their band."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from evalsvc.types import Estimate, Scale
from evalsvc.web.wording import Figures, tick_text, ticks

WIDTH, HEIGHT = 290, 22
TREND_WIDTH, TREND_HEIGHT = 190, 46
_EDGE = 26


class Axis(NamedTuple):
    """A range in the metric's own unit, with round numbers on it."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]

    def x(self, value: float) -> float:
        """Return where a value stands in a chart of intervals."""
        return _EDGE + (value - self.low) / (self.high - self.low) * (WIDTH - 2 * _EDGE)

    def y(self, value: float) -> float:
        """Return where a value stands in a trend; the top is the greatest."""
        return TREND_HEIGHT - 3 - (value - self.low) / (self.high - self.low) * (TREND_HEIGHT - 6)


def axis(estimates: Sequence[Estimate], scale: Scale, figures: Figures) -> Axis:
    """Return the axis that shows every interval of these estimates, and no more of the scale than that.

    It begins at the scale's zero where that costs little room, since a share is read from there.
    """
    return _round(_ends(estimates), scale, figures, about=4)


def trend_axis(estimates: Sequence[Estimate], steps: Sequence[Estimate | None], scale: Scale, figures: Figures) -> Axis:
    """Return the axis of a metric's trends: every step's number and every whole interval lie on it.

    The band of a step with few scores may be many times as wide as all that moves; it runs out of the chart.
    """
    ends = [*_ends(estimates), *(e.value for e in steps if e is not None and e.value is not None)]
    bands = _ends(steps)
    if ends:
        low, high = min(ends), max(ends)
        room = 0.5 * (high - low)
        ends += [max(low - room, min(bands, default=low)), min(high + room, max(bands, default=high))]
    return _round(ends, scale, figures, about=2)


def _ends(estimates: Iterable[Estimate | None]) -> list[float]:
    known = [e for e in estimates if e is not None]
    return [end for e in known for end in (e.low, e.high, e.value) if end is not None]


def _round(ends: Sequence[float], scale: Scale, figures: Figures, about: int) -> Axis:
    low, high = min(ends, default=scale.low or 0.0), max(ends, default=(scale.low or 0.0) + 1.0)
    if scale.low == 0.0 and low < 0.6 * high:
        low = 0.0
    if not low < high:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
        low = low if scale.low is None else max(low, scale.low)
    step, found = ticks(low * figures.factor, high * figures.factor, about)
    marks = [(value / figures.factor, tick_text(value, step)) for value in found]
    return Axis(marks[0][0], marks[-1][0], marks)


def scale_line(of: Axis, suffix: str) -> str:
    """Draw the axis itself: its round numbers, the last with the suffix. The table's cells have the values."""
    shown = of.marks if len(of.marks) <= 6 else of.marks[:: len(of.marks) - 1]
    last = len(shown) - 1
    labels = "".join(
        f'<text x="{of.x(value):.1f}" y=11 text-anchor=middle>{text}{suffix if i == last else ""}</text>'
        for i, (value, text) in enumerate(shown)
    )
    return f'<svg viewBox="0 0 {WIDTH} 14" width={WIDTH} height=14 aria-hidden=true>{labels}</svg>'


def whisker(estimate: Estimate, of: Axis, figures: Figures) -> str:
    """Draw an estimate as a dot and its interval as a line through it; nothing where it is undefined."""
    grid = "".join(f'<path class=grid d="M{of.x(value):.1f} 0V{HEIGHT}" />' for value, _ in of.marks)
    opening = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width={WIDTH} height={HEIGHT}'
    if estimate.value is None:
        return f"{opening} aria-hidden=true>{grid}</svg>"
    label, bar, middle = figures.text(estimate.value), "", HEIGHT / 2
    if estimate.low is not None and estimate.high is not None:
        left, right = of.x(estimate.low), of.x(estimate.high)
        label += f", interval {figures.interval(estimate)}"
        bar = (
            f'<path class=whisker d="M{left:.1f} {middle}H{right:.1f}'
            f"M{left:.1f} {middle - 4}v8M{right:.1f} {middle - 4}v8"
            '" />'
        )
    dot = f'<circle class=dot cx="{of.x(estimate.value):.1f}" cy="{middle}" r=4.5 />'
    return f'{opening} role=img aria-label="{escape(label)}">{grid}{bar}{dot}</svg>'


def trend(points: Sequence[Estimate | None], of: Axis, figures: Figures) -> str:
    """Draw the steps as a line in its band; a step without a number is a gap, never a zero."""
    values = [(i, e) for i, e in enumerate(points) if e is not None and e.value is not None]
    if len(points) < 2 or not values:
        return "<small>no trend yet</small>"
    runs = groupby(enumerate(values), key=lambda numbered: numbered[1][0] - numbered[0])
    drawn = "".join(_run([point for _, point in run], len(points), of) for _, run in runs)
    frame = f'<path class=grid d="M0 {of.y(of.low):.1f}H{TREND_WIDTH}M0 {of.y(of.high):.1f}H{TREND_WIDTH}" />'
    label = f"From {figures.text(values[0][1].value)} to {figures.text(values[-1][1].value)}"
    if gaps := len(points) - len(values):
        label += f"; {gaps} of {len(points)} steps without a number"
    return (
        f'<svg viewBox="0 0 {TREND_WIDTH} {TREND_HEIGHT}" width={TREND_WIDTH} height={TREND_HEIGHT} role=img '
        f'aria-label="{escape(label)}">{frame}{drawn}</svg>'
    )


def _run(run: Sequence[tuple[int, Estimate]], count: int, of: Axis) -> str:
    """Draw steps that follow each other: the band of their intervals and the line of their values."""
    line, upper, lower = [], [], []
    for index, estimate in run:
        x = f"{3 + index / (count - 1) * (TREND_WIDTH - 6):.1f}"
        value = estimate.value or 0.0
        line.append(f"{x},{of.y(value):.1f}")
        upper.append(f"{x},{of.y(value if estimate.high is None else estimate.high):.1f}")
        lower.append(f"{x},{of.y(value if estimate.low is None else estimate.low):.1f}")
    if len(run) == 1:
        x, y = line[0].split(",")
        ends = f"M{upper[0].replace(',', ' ')}V{lower[0].split(',')[1]}"
        return f'<path class=thin d="{ends}" /><circle class=dot cx="{x}" cy="{y}" r=2.2 />'
    band = " ".join([*upper, *reversed(lower)])
    return f'<polygon class=band points="{band}" /><polyline class=line points="{" ".join(line)}" />'
