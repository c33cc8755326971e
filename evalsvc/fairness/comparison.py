"""All that is asked about one metric by one set of groups, in one value; and what it means, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.fairness.disaggregation import check_names, disaggregate, shown, suppressed
from evalsvc.fairness.gaps import (
    ALL,
    Adjustment,
    Difference,
    Gap,
    Shrunken,
    Spread,
    WorstGap,
    differences,
    gap,
    ratio,
    shrink,
    spread,
    worst_gap,
)
from evalsvc.fairness.groups import MIN_GROUP, Group, GroupEstimate
from evalsvc.types import Scale

CAUTION = "a gap is a finding to look into, not proof of unfair treatment"


class Comparison(NamedTuple):
    """Groups, how far they are apart, and which of them differ; ``sentence`` says it to a reader in a hurry.

    ``differences`` and ``shrunken`` are by group's name; suppressed groups have neither. ``differing`` names the groups
    whose adjusted p-value is below 1 − confidence.
    """

    groups: tuple[GroupEstimate, ...]
    gap: Gap
    ratio: Gap
    worst: WorstGap
    spread: Spread
    shrunken: Mapping[str, Shrunken]
    differences: Mapping[str, Difference]
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
        hidden: why groups are suppressed, by name, where that is already decided.

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
    found = differences(visible, reference=reference, adjust=adjust, confidence=confidence)
    distance = gap(visible, confidence=confidence)
    worst = worst_gap(visible, scale.better, reference=reference, confidence=confidence)
    differing = tuple(row.name for row in found if row.p_adjusted < 1.0 - confidence)
    return Comparison(
        tuple(rows),
        distance,
        ratio(visible, confidence=confidence),
        worst,
        spread(visible, confidence=confidence),
        {row.name: row for row in shrink(visible)},
        {row.name: row for row in found},
        differing,
        adjust,
        min_group,
        confidence,
        _sentence(distance, worst, _worse(found, differing, scale), bool(differing), scale, min_group),
    )


def amount(value: float | None, scale: Scale, *, unit: bool = True) -> str:
    """Return a difference as people say it: in points of a share, else in the scale's unit.

    >>> amount(0.031, Scale(0.0, 1.0, "lower", binary=True)), amount(120.0, Scale(0.0, None, "lower", "ms"))
    ('3.1 points', '120 ms')
    """
    if value is None:
        return "any size"
    share = scale.binary
    number = f"{100.0 * value:.1f}" if share else f"{value:.3g}" if abs(value) < 1000.0 else f"{value:,.0f}"
    name = "points" if share else scale.unit
    number = "0" if float(number.replace(",", "")) == 0.0 else number
    return f"{number} {name}".strip() if unit else number


def _worse(found: Sequence[Difference], differing: Sequence[str], scale: Scale) -> list[str]:
    """Return the differing groups on the worse side; all of them, where the scale has none."""
    # One group far off makes every other differ from "the others", which would be named for its sake.
    sign = {"lower": 1.0, "higher": -1.0, "neither": 0.0}[scale.better]
    return [row.name for row in found if row.name in differing and (sign * row.value > 0.0 or sign == 0.0)]


def _sentence(found: Gap, worst: WorstGap, worse: Sequence[str], differ: bool, scale: Scale, min_group: float) -> str:
    if found.naive is None or found.low is None or found.high is None:
        return f"nothing to compare: fewer than two groups have {min_group:g} scored events and an interval"
    seen = amount(found.naive, scale)
    interval = f"interval {amount(found.low, scale, unit=False)} to {_limit(found.high, scale)}"
    if found.low == found.high:
        return f"among the events of this window the gap is {seen}; all of them were scored, so chance has no part"
    if found.low <= 0.0 and not differ:
        within = f"the gap of {seen} is within what chance makes of equal groups ({interval})"
        return f"no group is shown to differ: {within}"
    parts = [f"groups differ: the gap is {seen} ({interval})"]
    if found.low > 0.0:
        parts = [f"groups differ: the gap of {seen} is more than chance makes of equal groups ({interval})"]
    if worse:
        names = ", ".join(worse[:5]) + (f" and {len(worse) - 5} more" if len(worse) > 5 else "")
        against = "the others together" if worst.against == ALL else worst.against
        parts.append(f"{'different from' if scale.better == 'neither' else 'worse than'} {against}: {names}")
    if worst.low is not None and worst.low > 0.0 and scale.better != "neither":
        range_ = f"interval {amount(worst.low, scale, unit=False)} to {_limit(worst.high, scale)}"
        parts.append(f"worst off is {worst.worst}, {amount(worst.value, scale)} worse than {worst.against} ({range_})")
    return f"{'; '.join(parts)}; {CAUTION}"


def _limit(value: float | None, scale: Scale) -> str:
    return "any size" if value is None or value == float("inf") else amount(value, scale, unit=False)
