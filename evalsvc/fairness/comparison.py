"""All that is asked about one metric by one set of groups, in one value; and what it means, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.fairness.disaggregation import check_names, disaggregate, shown, suppressed
from evalsvc.fairness.gaps import (
    Adjustment,
    Apart,
    Difference,
    Gap,
    Limits,
    Shrunken,
    Spread,
    WorstGap,
    differences,
    gap,
    ratio,
    shrink,
    spread,
    standing_apart,
    worst_gap,
)
from evalsvc.fairness.groups import MIN_GROUP, Group, GroupEstimate
from evalsvc.types import Scale

CAUTION = "a gap is a finding to look into, not proof of unfair treatment"


class Comparison(NamedTuple):
    """Groups, how far they are apart, and which of them differ; ``sentence`` says it to a reader in a hurry.

    ``differences`` and ``shrunken`` are by group's name; suppressed groups have neither. ``apart`` are the groups that
    stand apart from the rest (:func:`evalsvc.fairness.standing_apart`), empty where a reference was asked for;
    ``differing`` names these or, with a reference, the groups whose adjusted p-value is below 1 − confidence.
    """

    groups: tuple[GroupEstimate, ...]
    gap: Gap
    ratio: Gap
    worst: WorstGap
    spread: Spread
    shrunken: Mapping[str, Shrunken]
    differences: Mapping[str, Difference]
    apart: tuple[Apart, ...]
    differing: tuple[str, ...]
    adjust: Adjustment
    min_group: float
    confidence: float
    sentence: str


def compare(
    groups: Sequence[Group],
    scale: Scale,
    *,
    min_group: float = MIN_GROUP,
    complementary: bool = False,
    reference: str | None = None,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
    hidden: Mapping[str, str] | None = None,
) -> Comparison:
    """Return everything about these groups. Suppressed ones are shown as such and take part in nothing else.

    Args:
        groups: of one metric.
        scale: the metric's, for its direction and unit.
        min_group: scored events, or effective number of them, below which a group is suppressed.
        complementary: suppress a second group where only one is (:func:`evalsvc.fairness.disaggregation.suppressed`).
        reference: the group that others are compared with; ``None`` takes all shown groups together.
        adjust: ``holm`` or ``bh``.
        confidence: of every interval.
        hidden: why groups are suppressed, by name, where that is already decided; their values are shown nowhere.

    Raises:
        InputError: on two groups of one name, a reference that is not shown, or an option outside its range.
    """
    check_names(groups)
    if adjust not in ("holm", "bh"):
        raise InputError(f"Expected `adjust` to be holm or bh, but got {adjust!r}")
    reasons = suppressed(groups, min_group, complementary=complementary) if hidden is None else hidden
    visible = shown(groups, reasons)
    if reference is not None and reference not in [group.name for group in visible]:
        why = reasons.get(reference, "no group of that name")
        raise InputError(f"Expected `reference` to be a group that is shown, but got {reference!r} ({why})")
    rows = disaggregate(groups, min_group=min_group, confidence=confidence, hidden=reasons)
    limits = Limits(visible)
    found = differences(limits, reference=reference, adjust=adjust, confidence=confidence)
    distance = gap(limits, confidence=confidence)
    worst = worst_gap(limits, scale.better, reference=reference, confidence=confidence)
    apart = standing_apart(limits, adjust=adjust, confidence=confidence) if reference is None else []
    different = [row for row in found if row.p_adjusted < 1.0 - confidence] if reference is not None else []
    return Comparison(
        tuple(rows),
        distance,
        ratio(limits, confidence=confidence),
        worst,
        spread(visible, confidence=confidence),
        {row.name: row for row in shrink(visible)},
        {row.name: row for row in found},
        tuple(apart),
        (*(row.name for row in apart), *(row.name for row in different)),
        adjust,
        min_group,
        confidence,
        _sentence(distance, rows, _said(apart, different, scale), scale, min_group),
    )


def amount(value: float | None, scale: Scale, *, unit: bool = True) -> str:
    """Return a difference as people say it: in points of a share, else in the scale's unit.

    >>> amount(0.031, Scale(0.0, 1.0, "lower", binary=True)), amount(120.0, Scale(0.0, None, "lower", "ms"))
    ('3.1 points', '120 ms')
    """
    if value is None:
        return "any size"
    share = scale.binary
    # From 999.5 on, three digits are written with an exponent.
    number = f"{100.0 * value:.1f}" if share else f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
    name = "points" if share else scale.unit
    number = "0" if float(number.replace(",", "")) == 0.0 else number
    return f"{number} {name}".strip() if unit else number


def level(value: float | None, scale: Scale) -> str:
    """Return a value as people say it: a share in percent, else in the scale's unit; ``-`` where there is none.

    >>> level(0.1348, Scale(0.0, 1.0, "lower", binary=True)), level(1147.2, Scale(0.0, None, "lower", "ms"))
    ('13.5%', '1,147 ms')
    """
    if value is None:
        return "-"
    return f"{100.0 * value:.3g}%" if scale.binary else amount(value, scale)


def _said(apart: Sequence[Apart], different: Sequence[Difference], scale: Scale) -> str:
    """Say which groups stand apart from the rest, or differ from the reference; empty for none."""
    if apart:
        names = [
            f"{row.name} ({level(row.value, scale)}, the rest {level(row.rest, scale)}: "
            f"{_way(row.value - row.rest, scale)})"
            for row in apart
        ]
        return f"standing apart: {_first(names)}"
    if different:
        names = [f"{row.name} ({amount(abs(row.value), scale)} {_way(row.value, scale)})" for row in different]
        return f"different from {different[0].against}: {_first(names)}"
    return ""


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _way(distance: float, scale: Scale) -> str:
    if scale.better == "neither":
        return "higher" if distance > 0.0 else "lower"
    return "better" if (distance > 0.0) == (scale.better == "higher") else "worse"


def _sentence(found: Gap, rows: Sequence[GroupEstimate], said: str, scale: Scale, min_group: float) -> str:
    if found.naive is None or found.low is None:
        return f"nothing to compare: fewer than two groups have {min_group:g} scored events and an interval"
    values = {row.name: level(row.estimate.value, scale) for row in rows}
    ends = f"{found.highest}: {values[found.highest]}, {found.lowest}: {values[found.lowest]}"
    seen = f"{amount(found.naive, scale)} ({ends})"
    interval = f"interval {amount(found.low, scale, unit=False)} to {_limit(found.high, scale)}"
    if found.low == found.high:
        return f"among the events of this window the gap is {seen}; all of them were scored, so chance has no part"
    if found.low <= 0.0 and not said:
        unseen = "no size is" if found.high is None else f"a true gap of up to {amount(found.high, scale)} is not"
        return (
            f"no group is shown to differ: the gap seen, {seen}, is within what chance makes of equal groups "
            f"({interval}); {unseen} ruled out"
        )
    parts = [f"groups differ: the gap seen is {seen}, {interval}"]
    if found.low > 0.0:
        parts = [
            f"groups differ: the gap seen, {seen}, is more than chance makes of equal groups",
            f"without the part of chance it is about {amount(found.value, scale)} ({interval})",
        ]
    # Of two groups each is the other's rest, and both are named already.
    return "; ".join([*parts, *([said] if said and found.groups > 2 else []), CAUTION])


def _limit(value: float | None, scale: Scale) -> str:
    return "any size" if value is None else amount(value, scale, unit=False)
