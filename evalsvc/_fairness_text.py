"""What the command ``fairness`` says of groups: one plain sentence, a table, and what was done."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalsvc._cli_output import aligned, said_where
from evalsvc._fairness_data import Found, by_subject, subject_name
from evalsvc.types import Scale

if TYPE_CHECKING:
    from evalsvc.fairness import Comparison, GroupEstimate, Slope, Standardised
    from evalsvc.query import EstimateQuery


def texts(asked: EstimateQuery, comparisons: Sequence[Found], options: argparse.Namespace) -> list[str]:
    """Return a text for each consumer and version of the scorer."""
    subjects = by_subject(comparisons)
    whole = []
    for subject, found in subjects.items():
        title = head(asked, found)
        if len(subjects) > 1:
            title += f" · {subject_name(subject)}"
        body = _trend(found) if options.window and len(found) > 1 else _whole(found[0], options)
        whole.append(f"{title}\n{body}")
    return whole


def head(asked: EstimateQuery, found: Sequence[Found]) -> str:
    """Return what was compared, of which events, and when."""
    return f"{asked.metric} by {' × '.join(asked.by)}{said_where(asked.where)}, {_span(found)}"


def _span(found: Sequence[Found]) -> str:
    start, end = min(one.window.start for one in found), max(one.window.end for one in found)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC)"


def _whole(found: Found, options: argparse.Namespace) -> str:
    one = found.comparison
    lines = [group_line(one, row, found.scale) for row in one.groups]
    right = set(lines[0]) - {"group", "note"}
    parts = [one.sentence, "", aligned(lines, right), "", *_numbers(found)]
    return "\n".join([*parts, *_done(found, options)])


def group_line(one: Comparison, row: GroupEstimate, scale: Scale) -> dict[str, str]:
    """Return a group as a row of the table: what is read, by the column's name."""
    from evalsvc.fairness.comparison import amount, level

    name, estimate = row.name, row.estimate
    pulled, other = one.shrunken.get(name), one.differences.get(name)
    ends = "-"
    if estimate.low is not None or estimate.high is not None:
        ends = f"{level(estimate.low, scale)} … {level(estimate.high, scale)}"
    distance = f"difference{_unit(scale)}"
    return {
        "group": name,
        "traffic": f"{row.share:.1%}",
        "mean": level(estimate.value, scale),
        f"{one.confidence:.0%} interval": ends,
        "n": f"{estimate.n:,}",
        "n eff": f"{estimate.n_effective:,.1f}",
        "missing": f"{estimate.missing_share:.1%}",
        "shrunken": f"{level(pulled.value, scale)} ({pulled.shrinkage:.0%})" if pulled else "-",
        distance: f"{amount(other.value, scale, unit=False)}" if other else "-",
        "its interval": f"{_a(other.low, scale)} … {_a(other.high, scale)}" if other else "-",
        "p": _p(other.p_value) if other else "-",
        "p adjusted": _p(other.p_adjusted) if other else "-",
    } | ({"note": row.reason} if row.reason else {})


def _unit(scale: Scale) -> str:
    unit = "points" if scale.binary else scale.unit
    return f" ({unit})" if unit else ""


def _numbers(found: Found) -> list[str]:
    from evalsvc.fairness.comparison import amount

    one, scale = found.comparison, found.scale
    lines = []
    if one.gap.naive is not None:
        interval = f"{one.confidence:.0%} interval {_to(one.gap.low, one.gap.high, scale)}"
        chance = amount(one.gap.value, scale)
        lines.append(f"gap: {chance} without the part of chance, {interval}; p {_p(one.gap.p_value)} for equal groups")
        lines.append(
            f"gap seen (largest less smallest mean): {amount(one.gap.naive, scale)}, {one.gap.highest} less "
            f"{one.gap.lowest}; equal groups of these sizes would show {amount(one.gap.if_equal, scale)} on average"
        )
    if one.ratio.naive is not None:
        lines.append(
            f"ratio of the smallest to the largest: {_ratio(one.ratio.value)} without the part of chance, interval "
            f"{_ratio(one.ratio.low)} to {_ratio(one.ratio.high)}; seen {_ratio(one.ratio.naive)}"
        )
    if one.worst.value is not None:
        far = "farthest" if scale.better == "neither" else "worst off"
        lines.append(
            f"{far}: {one.worst.worst}, {amount(one.worst.value, scale)} from {_against(one.worst.against)}, interval "
            f"{_to(one.worst.low, one.worst.high, scale)}"
        )
    # Of fewer groups the limits of a deviation say nothing.
    if one.spread.deviation is not None and one.spread.groups >= 5:
        lines.append(
            f"standard deviation between groups: {amount(one.spread.deviation, scale)}, interval "
            f"{_to(one.spread.low, one.spread.high, scale)}"
        )
    return lines


def _against(name: str) -> str:
    from evalsvc.fairness.gaps import ALL

    return f"{ALL} together, itself among them" if name == ALL else name


def _to(low: float | None, high: float | None, scale: Scale) -> str:
    """Return limits with their unit once, at the end."""
    from evalsvc.fairness.comparison import amount

    return f"{_a(low, scale)} to {amount(high, scale)}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _done(found: Found, options: argparse.Namespace) -> list[str]:
    """Return what a statistician asks for: what was done, and to what."""
    one = found.comparison
    hidden = [row for row in one.groups if row.suppressed]
    lines = []
    if found.standard is not None:
        lines += _standard_lines(found.standard, options.standardise)
    if hidden:
        share = sum(row.share for row in hidden)
        lines.append(
            f"{len(hidden)} of {len(one.groups)} groups suppressed ({share:.1%} of the traffic), for the reason in "
            "their row; they take part in no number below the table"
        )
    target = "the system behind the events" if options.target == "process" else "the events of this window alone"
    if one.gap.method:
        adjusted = "Holm" if one.adjust == "holm" else "Benjamini-Hochberg"
        against = next((row.against for row in one.differences.values()), "the others")
        lines.append(
            f"columns: traffic is the share of all events; shrunken is the best guess of the group's own mean (in "
            f"brackets how far it was pulled towards that of all); difference is from {against}, with limits that "
            f"hold for all rows together and p adjusted by {adjusted}"
        )
        lines.append(f"method: about {target}; {one.gap.method}")
    return lines


def _standard_lines(standard: Standardised, field: str) -> list[str]:
    if not standard.mix:
        return [f"not standardised for {field}: {standard.reason}"]
    lines = [
        f"standardised for {field}: {len(standard.mix)} values, {standard.covered:.1%} of the shown groups' traffic"
    ]
    for case, groups in list(standard.lacking.items())[:10]:
        lines.append(f"left out: {field} {case}, which {', '.join(groups[:5])} lack{'s' if len(groups) == 1 else ''}")
    if len(standard.lacking) > 10:
        lines.append(f"left out: {len(standard.lacking) - 10} more values of {field}")
    return lines


def _trend(found: Sequence[Found]) -> str:
    sentence, lines = trend_lines(found)
    return "\n".join([sentence, "", aligned(lines, set(lines[0]) - {"window", "farthest", "worst off", "note"})])


def trend_lines(found: Sequence[Found]) -> tuple[str, list[dict[str, str]]]:
    """Return the sentence about the trend, and a row for each window."""
    from evalsvc.fairness import most_often_worst, slope
    from evalsvc.fairness.comparison import amount

    scale, lines = found[0].scale, []
    far, unit = "farthest" if scale.better == "neither" else "worst off", _unit(scale)
    for one in found:
        gap, worst = one.comparison.gap, one.comparison.worst
        hidden = sum(row.suppressed for row in one.comparison.groups)
        interval = "-" if worst.value is None else f"{_a(worst.low, scale)} … {_a(worst.high, scale)}"
        lines.append(
            {
                "window": f"{one.window.start:%Y-%m-%d %H:%M}",
                far: worst.worst or "-",
                f"from all{unit}": amount(worst.value, scale, unit=False) if worst.value is not None else "-",
                "its interval": interval,
                f"gap{unit}": amount(gap.value, scale, unit=False) if gap.value is not None else "-",
                "gap seen": amount(gap.naive, scale, unit=False) if gap.naive is not None else "-",
                "p": _p(gap.p_value) if gap.p_value is not None else "-",
                "p adjusted": "-",
                "suppressed": str(hidden),
            }
            | ({"note": worst.reason} if worst.reason else {})
        )
    _adjust(found, lines)
    steps = [one.step for one in found]
    name = most_often_worst(steps)
    rise = slope(steps, name, scale.better, confidence=found[0].comparison.confidence)
    return _trend_sentence(rise, scale), lines


def _adjust(found: Sequence[Found], lines: Sequence[dict[str, str]]) -> None:
    """Adjust the p-values of the gaps for the number of windows, which are as many looks."""
    from evalsvc.fairness.gaps import adjusted

    known = [(i, one.comparison.gap.p_value) for i, one in enumerate(found) if one.comparison.gap.p_value is not None]
    for (i, _), p in zip(known, adjusted([p for _, p in known], found[0].comparison.adjust), strict=True):
        lines[i]["p adjusted"] = _p(p)


def _trend_sentence(rise: Slope, scale: Scale) -> str:
    from evalsvc.fairness.comparison import amount

    if rise.per_day is None or rise.low is None or rise.high is None:
        return f"no trend can be told: {rise.reason}" if rise.name else "no trend can be told: no groups to compare"
    speed = f"{amount(rise.per_day, scale)} a day (interval {_a(rise.low, scale)} to {_a(rise.high, scale)})"
    who = f"{rise.name}, most often {'farthest' if scale.better == 'neither' else 'worst off'},"
    if rise.low <= 0.0 <= rise.high:
        return f"no trend is shown: the difference of {who} from the others changes by {speed}, which chance explains"
    way = "falls behind" if rise.worsens else "moves against" if scale.better == "neither" else "catches up with"
    return f"{who} {way} the others by {speed}"


def _a(value: float | None, scale: Scale) -> str:
    from evalsvc.fairness.comparison import amount

    return "any size" if value is None else amount(value, scale, unit=False)


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
