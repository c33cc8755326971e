"""From what the store says of a window to a verdict, for the kinds beside threshold and change: pure functions."""

from __future__ import annotations

from msgspec.structs import replace

from evalsvc.errors import InputError
from evalsvc.rules.judging import too_little
from evalsvc.rules.machine import Observation, Verdict
from evalsvc.rules.templates import duration, interval, number
from evalsvc.rules.values import BurnRate, Rule
from evalsvc.types import Better, Estimate, Scale


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
        if poor := too_little(rule, side) or (side.reason if side.low is None else ""):
            within = f"in the last {duration(side.window.seconds)}: " if side is sides[1] else ""
            return replace(seen, reason=within + poor)
    both = " and ".join(f"{_said(side)} in {duration(side.window.seconds)}" for side in sides)
    held = f"{number(condition.factor)} times the {number(1.0 - condition.objective)} that the objective allows"
    reason = f"failing share {both}, held against {number(condition.limit)}: {held}"
    if all(side.low is not None and side.low > condition.limit for side in sides):
        return replace(seen, verdict="bad", reason=reason)
    back = sides[1].value is not None and sides[1].value <= condition.limit
    verdict: Verdict = "good" if back else "unclear"
    return replace(seen, verdict=verdict, reason=reason)


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
