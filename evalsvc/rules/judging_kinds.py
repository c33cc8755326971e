"""From what the store says of a window to a verdict, for the kinds beside threshold and change: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from evalsvc.errors import InputError
from evalsvc.rules.judging import too_little
from evalsvc.rules.machine import Observation, Verdict
from evalsvc.rules.templates import duration, interval, number
from evalsvc.rules.values import DAY, Absence, BurnRate, Cost, FairnessGap, Rule, Versions
from evalsvc.stats import Comparison
from evalsvc.types import Better, Estimate, Scale, Window


def judge_burn_rate(rule: Rule, condition: BurnRate, long: Estimate, short: Estimate, scale: Scale) -> Observation:
    """Return bad where both windows' failing shares lie beyond the limit, good where the short one's point does not.

    ``long`` and ``short`` are the metric's means of the process behind the two windows, each at the budget's
    confidence. Both have to be beyond, so that a false alarm is at most as probable as a false look at the one whose
    true share is within the limit (Berger 1982, intersection-union test): the two need not share the error.

    The observation's estimate is the failing share of the long window.
    """
    sides = failing(long, scale, condition.better), failing(short, scale, condition.better)
    seen = Observation(verdict="no_data", window=long.window, estimate=sides[0])
    for side in sides:
        poor = too_little(rule, side)
        if poor or side.value is None or side.low is None:
            within = f"in the last {duration(side.window.seconds)}: " if side is sides[1] else ""
            return replace(seen, reason=within + (poor or side.reason))
    both = " and ".join(f"{_said(side)} in {duration(side.window.seconds)}" for side in sides)
    held = f"{number(condition.factor)} times the {number(1.0 - condition.objective)} that the objective allows"
    reason = f"failing share {both}, held against {number(condition.limit)}: {held}"
    if all(side.low is not None and side.low > condition.limit for side in sides):
        return replace(seen, verdict="bad", reason=reason)
    back = sides[1].value is not None and sides[1].value <= condition.limit
    verdict: Verdict = "good" if back else "unclear"
    return replace(seen, verdict=verdict, reason=reason)


def judge_versions(
    rule: Rule, condition: Versions, canary: Estimate, stable: Estimate, found: Comparison
) -> Observation:
    """Return bad where the whole interval of canary - stable lies beyond the margin, good where its point does not.

    ``found`` compares the processes behind the two sides; its level is :func:`versions_level`. The observation's
    estimate is the canary's, its baseline the stable side's.
    """
    seen = Observation(verdict="no_data", window=canary.window, estimate=canary, baseline=stable)
    for name, side in (("canary", canary), ("stable", stable)):
        if poor := too_little(rule, side):
            return replace(seen, reason=f"{name}: {poor}")
    low, high = found.low, found.high
    if found.difference is None or (low is None and high is None):
        return replace(seen, reason=found.reason)
    fell, rose = condition.direction != "rose", condition.direction != "fell"
    beyond = (fell and high is not None and high < -condition.margin) or (
        rose and low is not None and low > condition.margin
    )
    away = (fell and found.difference < -condition.margin) or (rose and found.difference > condition.margin)
    ends = f"{number(low) if low is not None else '-∞'} … {number(high) if high is not None else '∞'}"
    reason = f"canary - stable is {number(found.difference)} ({ends}), held against {number(condition.margin)}"
    return replace(seen, verdict="bad" if beyond else "unclear" if away else "good", reason=reason)


def versions_level(rule: Rule, condition: Versions, interval_seconds: float, alerts: int) -> float:
    """Return the two-sided level of a comparison at which a look spends its part of the budget on the watched sides."""
    sides = 1.0 if condition.direction == "either" else 2.0
    return sides * rule.false_alarms.per_look(interval_seconds, alerts)


class Extremes(NamedTuple):
    """The groups at both ends of a gap, by name, with their values; ``groups`` is how many were compared."""

    highest: str
    most: float
    lowest: str
    least: float
    groups: int


def judge_fairness_gap(condition: FairnessGap, gap: Estimate, extremes: Extremes | None) -> Observation:
    """Return bad where the gap's joint interval lies beyond the limit, good where its point does not.

    ``gap`` is of the processes behind groups that each have enough scores; without ``extremes`` there are no two.
    """
    seen = Observation(verdict="no_data", window=gap.window, estimate=gap, reason=gap.reason)
    if extremes is None or gap.value is None or gap.low is None:
        return seen
    sides = f"{number(extremes.most)} in {extremes.highest} and {number(extremes.least)} in {extremes.lowest}"
    held = f"are {_said(gap)} apart, held against {number(condition.limit)}"
    reason = f"{sides} {held}; the interval holds for all pairs of {extremes.groups} groups"
    if gap.low > condition.limit:
        return replace(seen, verdict="bad", reason=reason)
    return replace(seen, verdict="good" if gap.value <= condition.limit else "unclear", reason=reason)


def judge_cost(rule: Rule, condition: Cost, total: Estimate, unit: str) -> Observation:
    """Return bad where a total's interval lies beyond the limit, good where its point does not.

    A total without doubt, of events that were all taken, needs no least effective n.
    """
    seen = Observation(verdict="no_data", window=total.window, estimate=total, reason=total.reason)
    exact = total.low is not None and total.low == total.high
    if poor := "" if exact else too_little(rule, total):
        return replace(seen, reason=poor)
    if total.value is None or total.low is None:
        return seen
    amount = number(total.value) if exact else _said(total)
    daily = number(total.value * DAY / total.window.seconds)
    reason = (
        f"{amount} {unit}".rstrip()
        + f" in {duration(total.window.seconds)}, {daily} a day at that rate, held against {number(condition.limit)}"
        + (f"; {total.reason}" if total.reason else "")
    )
    if total.low > condition.limit:
        return replace(seen, verdict="bad", reason=reason)
    return replace(seen, verdict="good" if total.value <= condition.limit else "unclear", reason=reason)


class Part(NamedTuple):
    """One thing that is watched of a metric, and what its detector says; what is undefined is None, with a ``reason``.

    ``change`` says for a person what became of it; ``effect`` is the estimate of how far it moved, in the detector's
    unit, of which ``minimum`` is the least that matters. Its ``n_effective`` is the smaller of both windows'.
    """

    watched: str
    change: str
    effect: Estimate
    p_value: float | None
    minimum: float
    reason: str = ""


def judge_drift(rule: Rule, parts: Sequence[Part], window: Window, error: float) -> Observation:
    """Return bad where a part's effect matters, and its p-value times the number of parts is within the look's error.

    Good is that no part's effect matters. Parts with too little to decide are left out.
    """
    tested: list[tuple[Part, float, float]] = []
    for part in parts:
        value, p_value = part.effect.value, part.p_value
        if value is not None and p_value is not None and part.effect.n_effective >= rule.min_effective_n:
            tested.append((part, value, p_value))
    if not tested:
        said = next((part.reason for part in parts if part.reason), "too few scores in one of the windows")
        return Observation(verdict="no_data", window=window, reason=said)
    large = [(part, value, p) for part, value, p in tested if value >= part.minimum]
    moved = [row for row in large if row[2] * len(tested) <= error]
    shown = sorted(moved or large or tested, key=lambda row: -row[1] / row[0].minimum)
    verdict: Verdict = "bad" if moved else "unclear" if large else "good"
    most = [_told(part, len(tested), p) for part, _, p in shown[: len(moved) or 1]]
    return Observation(verdict=verdict, window=window, estimate=shown[0][0].effect, reason="; ".join(most))


def _told(part: Part, tests: int, p_value: float) -> str:
    said = f"{part.watched}: {part.change}" if part.change else part.watched
    matters = f"matters from {number(part.minimum)}"
    return (
        f"{said}, {part.effect.statistic} {_said(part.effect)}, {matters}, adjusted p {min(1.0, tests * p_value):.2g}"
    )


class Counted(NamedTuple):
    """What is there of something in a window and in the longer time that ends with it, and how many events came."""

    n: int
    before: int
    offered: int


def judge_absence(condition: Absence, window: Window, counted: Counted) -> Observation:
    """Return bad where there are none, good where there are some: a count, whoever samples."""
    what, length = condition.of.removesuffix("s"), duration(window.seconds)
    estimate = _fact(float(counted.n), counted.n, window, "count")
    if counted.n:
        return Observation(
            verdict="good", window=window, estimate=estimate, reason=f"{_many(counted.n, what)} in {length}"
        )
    reason = f"no {what} in {length}"
    if condition.of == "scores":
        reason += f", though {_many(counted.offered, 'event')} came" if counted.offered else ", and no event either"
    back = duration(condition.look_back_seconds)
    reason += (
        f"; {counted.before:,} in the {back} to then" if counted.before else f"; none in the {back} to then either"
    )
    return Observation(verdict="bad", window=window, estimate=estimate, reason=reason)


def judge_share(rule: Rule, condition: Absence, window: Window, lacking: int, given: int) -> Observation:
    """Return bad where a larger share of the events given to a scorer failed, or was abstained from, than the limit."""
    seen = Observation(
        verdict="no_data", window=window, estimate=_fact(None, given, window, f"share of {condition.of}")
    )
    if given < rule.min_effective_n:
        return replace(
            seen, reason=f"{_many(given, 'event')} scored or tried, and the rule needs {rule.min_effective_n:,.0f}"
        )
    share = lacking / given
    verb = "failed" if condition.of == "failures" else "abstained"
    reason = (
        f"the scorer {verb} on {lacking:,} of {_many(given, 'event')} ({share:.1%}), held against {condition.limit:.1%}"
    )
    verdict: Verdict = "bad" if share > condition.limit else "good"
    return replace(
        seen, verdict=verdict, estimate=_fact(share, given, window, f"share of {condition.of}"), reason=reason
    )


def _fact(value: float | None, n: int, window: Window, statistic: str) -> Estimate:
    """Return a number that was counted: its interval has no width."""
    return Estimate(value, value, value, n, float(n), 0, 0.0, window, statistic, confidence=1.0, method="counted")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def failing(estimate: Estimate, scale: Scale, better: Better) -> Estimate:
    """Return the share that fails: of yes and no the worse answer's, else the mean's distance from the better end.

    That distance is a share of the scale: a mean of 4.6 on [1, 5] fails by 0.1.

    Raises:
        InputError: on a scale without both ends.
    """
    if scale.low is None or scale.high is None:
        raise InputError("Expected a metric whose scale has both ends, for a share that fails, but got an open one")
    width = scale.high - scale.low
    if better == "higher":
        value, low, high = (_share(end, scale.high, -width) for end in (estimate.value, estimate.high, estimate.low))
    else:
        value, low, high = (_share(end, scale.low, width) for end in (estimate.value, estimate.low, estimate.high))
    return replace(estimate, value=value, low=low, high=high, statistic="failing share")


def _share(value: float | None, end: float, width: float) -> float | None:
    return None if value is None else (value - end) / width + 0.0


def _said(estimate: Estimate) -> str:
    """Return an estimate with its interval, for a sentence."""
    return f"{number(estimate.value)} ({interval(estimate)})"
