"""The worst-off group from window to window, and whether it drifts away from the others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc.fairness.comparison import Comparison
from evalsvc.fairness.gaps import against_others
from evalsvc.fairness.groups import Group
from evalsvc.stats.distributions import t_quantile, t_tail, two_sided
from evalsvc.types import Better, Window

_DAY = 86_400.0


class Slope(NamedTuple):
    """How fast a group moves away from the others, in the scale's unit a day; below 0 is downward.

    ``windows`` counts those in which the group was shown. ``worsens`` is True where the whole interval points to the
    worse end of the scale.
    """

    name: str
    per_day: float | None
    low: float | None
    high: float | None
    p_value: float | None
    windows: int
    worsens: bool
    method: str
    reason: str = ""


class Step(NamedTuple):
    """The groups of one window that may be shown, and their comparison."""

    window: Window
    groups: Sequence[Group]
    comparison: Comparison


def slope(steps: Sequence[Step], name: str, better: Better, *, confidence: float = 0.95) -> Slope:
    """Return the trend of one group's difference from the others over the windows, in order of time.

    A straight line, fitted with weights 1/error²; its error is that of the fit's residuals where they are larger than
    the errors say (Birge 1932), and limits are Student's t with two windows less. Windows in which the group is not
    shown are left out; fewer than three give no interval.

    Raises:
        InputError: on a confidence outside (0, 1).
    """
    level = two_sided(confidence)
    points = [point for step in steps if (point := _point(step, name)) is not None]
    method = "weighted line through the differences from the others, t"
    if len(points) < 3:
        why = f"{name} is shown in {len(points)} windows; a trend needs three"
        return Slope(name, None, None, None, None, len(points), False, "", why)
    weights = [1.0 / error**2 for _, _, error in points]
    total = math.fsum(weights)
    middle = math.fsum(w * t for w, (t, _, _) in zip(weights, points, strict=True)) / total
    mean = math.fsum(w * y for w, (_, y, _) in zip(weights, points, strict=True)) / total
    width = math.fsum(w * (t - middle) ** 2 for w, (t, _, _) in zip(weights, points, strict=True))
    rise = math.fsum(w * (t - middle) * (y - mean) for w, (t, y, _) in zip(weights, points, strict=True)) / width
    pairs = zip(weights, points, strict=True)
    left = math.fsum(w * (y - mean - rise * (t - middle)) ** 2 for w, (t, y, _) in pairs)
    freedom = len(points) - 2
    error = math.sqrt(max(1.0, left / freedom) / width)
    half = t_quantile(level, freedom) * error
    low, high = rise - half, rise + half
    worsens = (better == "lower" and low > 0.0) or (better == "higher" and high < 0.0)
    p_value = min(1.0, 2.0 * t_tail(abs(rise) / error, freedom))
    return Slope(name, rise, low, high, p_value, len(points), worsens, method)


def most_often_worst(steps: Sequence[Step]) -> str:
    """Return the group with the largest worst gap summed over windows, which a reader will ask about; or ``""``.

    It is chosen by its level; a slope of it is another question, so that the choice costs the slope little.
    """
    sums: dict[str, float] = defaultdict(float)
    for step in steps:
        worst = step.comparison.worst
        if worst.value is not None:
            sums[worst.worst] += worst.value
    return max(sorted(sums), key=lambda name: sums[name]) if sums else ""


def _point(step: Step, name: str) -> tuple[float, float, float] | None:
    """Return (days, difference, error) of the group in a window; None where it has none."""
    found = against_others(step.groups)
    if name not in found.names:
        return None
    at = found.names.index(name)
    error = float(found.errors[at])
    if not 0.0 < error < math.inf:
        return None
    middle = step.window.start + (step.window.end - step.window.start) / 2
    return middle.timestamp() / _DAY, float(found.values[at]), error
