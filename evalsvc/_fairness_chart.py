"""Groups of a metric drawn by the command ``fairness``: a row each, or the gap between them over time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalsvc import plots
from evalsvc._fairness_data import Found, by_subject, subject_name
from evalsvc._fairness_text import group_line, head, trend_lines
from evalsvc.errors import InputError
from evalsvc.types import Scale

if TYPE_CHECKING:
    from evalsvc.query import EstimateQuery


def chart(asked: EstimateQuery, comparisons: Sequence[Found], options: argparse.Namespace) -> plots.Chart:
    """Return the picture of these comparisons: groups in a row each, or with windows the gap over time."""
    subjects = by_subject(comparisons)
    several = len(subjects) > 1
    windowed = bool(options.window) and any(len(found) > 1 for found in subjects.values())
    # Every subject's values are on this one's axis; which way is better may be each one's own.
    shared = comparisons[0].scale
    panels, table, said = [], [], []
    for subject, found in subjects.items():
        scale = found[0].scale
        name = subject_name(subject) if several else ""
        if windowed:
            panels.append(plots.Panel(name, [_gap_mark(one) for one in found]))
            sentence, lines = trend_lines(found)
        else:
            panels.append(_forest(name, found[0]))
            one = found[0].comparison
            sentence = one.sentence
            rows = {row.name: row for row in one.groups}
            ordered = [rows[mark.name] for mark in panels[-1].marks]
            lines = [group_line(one, row, scale) | {"method": row.estimate.method} for row in ordered]
        said.append(f"{name}: {sentence}" if several else sentence)
        table += [{"consumer · scorer": name} | line if several else line for line in lines]
    left = {"group", "note", "method", "window", "farthest", "worst off", "consumer · scorer"}
    unit = "points" if shared.binary else shared.unit
    return plots.Chart(
        head(asked, comparisons),
        " ".join(f"{text[:1].upper()}{text[1:]}." for text in said),
        f"gap between groups{f', {unit}' if unit else ''}" if windowed else f"mean of {asked.metric}",
        panels,
        table,
        {name for line in table for name in line} - left,
        _notes(comparisons, options, windowed=windowed),
        over_time=windowed,
        percent=shared.binary and not windowed,
    )


def check_one_scale(comparisons: Sequence[Found]) -> None:
    """Refuse to draw values of several scales along one axis."""
    subjects = by_subject(comparisons)
    scales = {subject: _axis(found[0].scale) for subject, found in subjects.items()}
    if len(set(scales.values())) > 1:
        first = next(iter(scales))
        other = next(subject for subject, scale in scales.items() if scale != scales[first])
        said = " and ".join(f"{_range(subjects[one][0].scale)} of {subject_name(one)}" for one in (first, other))
        raise InputError(
            f"Expected one scale with --plot, but got {said}; ask for one of them with --where, --since and --until"
        )


def _axis(scale: Scale) -> tuple[object, ...]:
    return scale.low, scale.high, scale.unit, scale.binary


def _range(scale: Scale) -> str:
    if scale.binary:
        return "yes or no"
    low = "-∞" if scale.low is None else f"{scale.low:g}"
    high = "∞" if scale.high is None else f"{scale.high:g}"
    return f"{low} to {high} {scale.unit}".rstrip()


def _forest(name: str, found: Found) -> plots.Panel:
    """Return the groups from the largest to the smallest mean, suppressed ones last, with the mean of all shown."""
    from evalsvc.fairness.comparison import level

    one, scale = found.comparison, found.scale
    marks = []
    for row in sorted(one.groups, key=lambda row: (row.estimate.value is None, -(row.estimate.value or 0.0))):
        e = row.estimate
        detail = f"{level(e.value, scale)}  ({level(e.low, scale)} … {level(e.high, scale)})  n {e.n:,}"
        strong = row.name in one.differing
        marks.append(plots.Mark(row.name, e.value, e.low, e.high, row.reason, detail=detail, strong=strong))
    shown = [row for row in one.groups if row.estimate.value is not None]
    share = sum(row.share for row in shown)
    overall = sum((row.estimate.value or 0.0) * row.share for row in shown) / share if share > 0.0 else None
    said = f"mean of all shown groups by their traffic, {level(overall, scale)}"
    return plots.Panel(name, marks, overall if len(shown) > 1 else None, said)


def _gap_mark(found: Found) -> plots.Mark:
    gap, times = found.comparison.gap, 100.0 if found.scale.binary else 1.0
    middle = found.window.start + (found.window.end - found.window.start) / 2
    if gap.value is None:
        return plots.Mark("gap", None, note=gap.reason, at=middle)
    low, high = (None if end is None else end * times for end in (gap.low, gap.high))
    return plots.Mark("gap", gap.value * times, low, high, at=middle, strong=bool(gap.low))


def _notes(comparisons: Sequence[Found], options: argparse.Namespace, *, windowed: bool) -> list[str]:
    one = comparisons[0].comparison
    target = "the system behind the events" if options.target == "process" else "the events of this window alone"
    if windowed:
        return [
            f"points: the gap without the part of chance; bars: its {one.confidence:.0%} interval, which allows for "
            "having picked the extremes",
            "◆: that window's interval is above 0; of many windows some are by chance, for which p adjusted allows",
            "times are UTC",
            f"about {target}; method: {next((c.comparison.gap.method for c in comparisons), '')}",
        ]
    apart = "differs from the reference" if options.reference else "stands apart from the rest"
    return [
        f"bars: {one.confidence:.0%} intervals of each group alone; that two overlap, or do not, is no test of their "
        "difference: the sentence is",
        f"◆: {apart}, allowing for the number of groups",
        f"about {target}; method of the gap: {one.gap.method}" if one.gap.method else f"about {target}",
    ]
