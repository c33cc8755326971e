"""The ratio of two metrics of the same events, such as cost per completed task, with Fieller's interval.

A ratio of totals is no mean of ratios: dollars per completed task are all dollars, those spent on tasks that failed
too, over all completed tasks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.stats.distributions import satterthwaite, t_quantile, two_sided
from evalsvc.stats.mean import NOTHING_SCORED, hiding
from evalsvc.types import Estimate, Window

METHOD = "ratio of weighted sums, linearised, Fieller's t"
SAME = "all events have the same ratio, which tells nothing of the spread"
NONE = "the denominator adds up to 0"
LARGE = "the ratio is too large for a number"
NEAR = "too few events for an interval: the denominator could be 0"
LONELY = "one event, or one session, tells nothing of the spread"


class Pair(NamedTuple):
    """Both scores of one sampled event, the probability that it has both, and its cluster ("": on its own)."""

    numerator: float
    denominator: float
    pi: float
    cluster: str = ""


class _Unit(NamedTuple):
    """A cluster's sums, or an event: Σy, Σx, and a = (1 - π)/π² beside the smallest π."""

    y: float
    x: float
    a: float
    level: int


def estimate_ratio(
    pairs: Sequence[Pair],
    window: Window,
    *,
    floor: float | None = None,
    hidden: float = 0.0,
    n_missing: int = 0,
    missing_share: float = 0.0,
    confidence: float = 0.95,
) -> Estimate:
    """Return Σ(y/π) / Σ(x/π) over events that have both scores, which estimates total over total of all of them.

    The variance is that of the linearised residuals y - R·x under Poisson sampling of events, or of clusters:
    Σ(1 - π)/π²·(Σ_c (y - R·x))²·m/(m - 1), so that what was taken whole adds none (Särndal, Swensson & Wretman 1992,
    section 5.6). Fieller's interval (1954) holds every θ for which Σ(y - θx)/π is within Student's t standard errors
    of 0; degrees of freedom are Satterthwaite's over octaves of π.

    Args:
        pairs: both scores of each event, in the metrics' own units. Events with one of them only are missing.
        window: what the events are of.
        floor: the ratio cannot be lower, as for two metrics that are never negative: 0.
        hidden: how many events may hide in strata that show none (:attr:`evalsvc.stats.strata.Layout.hidden`); their
            ratio may be anything, so that there is then no interval.
        n_missing: sampled events without one of the scores, for the estimate's field.
        missing_share: their share in [0, 1], weighted by 1/π.
        confidence: of the two-sided interval.

    Returns:
        An estimate; ``value`` is None where the denominator adds up to 0, ``low`` and ``high`` where it is too near to
        0, where fewer than two events or clusters with π < 1 were drawn, or where events may hide.

    Raises:
        InputError: on a confidence outside (0, 1), a score that is no finite number, or π outside (0, 1].

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> e = estimate_ratio([Pair(cost, done, 0.1) for cost, done in [(2, 1), (3, 1), (4, 0), (1, 1)] * 10], day)
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (3.333, 2.45, 4.601)
    """
    probability = two_sided(confidence)
    _check(pairs)
    least = min((pair.pi for pair in pairs), default=1.0)
    weights = [least / pair.pi for pair in pairs]
    top = math.fsum(w * pair.numerator for w, pair in zip(weights, pairs, strict=True))
    bottom = math.fsum(w * pair.denominator for w, pair in zip(weights, pairs, strict=True))
    units, clustered = _units(pairs, least)
    value: float | None = top / bottom if bottom else None
    low: float | None = None
    high: float | None = None
    reason = NOTHING_SCORED if not pairs else NONE
    if value is not None and not math.isfinite(value):
        value, reason = None, LARGE
    elif value is not None:
        low, high, reason = _fieller(units, top, bottom, probability)
        if floor is not None:
            low = None if low is None else min(value, max(floor, low))
        if hidden:
            low, high, reason = None, None, f"{hiding(hidden)}: no limits"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=len(pairs),
        n_effective=math.fsum(weights) ** 2 / math.fsum(w * w for w in weights) if pairs else 0.0,
        n_missing=n_missing,
        missing_share=missing_share,
        window=window,
        statistic="ratio",
        confidence=confidence,
        method=f"{METHOD}{', clustered' if clustered else ''}" if value is not None else "",
        offered=None,
        reason=reason,
    )


def _check(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        if not (math.isfinite(pair.numerator) and math.isfinite(pair.denominator)):
            raise InputError(f"Expected finite scores, but got {pair.numerator!r} and {pair.denominator!r}")
        if not 0.0 < pair.pi <= 1.0:
            raise InputError(f"Expected `pi` in (0, 1], but got {pair.pi!r}")


def _units(pairs: Sequence[Pair], least: float) -> tuple[list[_Unit], bool]:
    """Return the sums by cluster and π of what was left to chance, and whether a cluster has several events."""
    sums: dict[tuple[str, int, float], list[float]] = defaultdict(lambda: [0.0, 0.0])
    clustered = False
    for place, pair in enumerate(pairs):
        key = (pair.cluster, -1 if pair.cluster else place, pair.pi)
        clustered = clustered or key in sums
        held = sums[key]
        held[0] += pair.numerator
        held[1] += pair.denominator
    return [
        _Unit(y, x, (1.0 - pi) * (least / pi) ** 2, math.floor(-math.log2(pi)))
        for (_, _, pi), (y, x) in sums.items()
        if pi < 1.0
    ], clustered


def _fieller(
    units: Sequence[_Unit], top: float, bottom: float, probability: float
) -> tuple[float | None, float | None, str]:
    """Return the θ with (top - θ·bottom)² <= t²·v(θ), where v is the variance of top - θ·bottom, and why not."""
    if not units:
        return top / bottom, top / bottom, ""
    if len(units) < 2:
        return None, None, LONELY
    # In units of the largest sums, as squares of very large or small ones are no numbers.
    tall = max(abs(top), max(abs(unit.y) for unit in units)) or 1.0
    wide = max(abs(bottom), max(abs(unit.x) for unit in units))
    units = [unit._replace(y=unit.y / tall, x=unit.x / wide) for unit in units]
    top, bottom = top / tall, bottom / wide
    value, scale = top / bottom, tall / wide
    by_level: dict[int, list[float]] = defaultdict(list)
    for unit in units:
        by_level[unit.level].append(unit.a * (unit.y - value * unit.x) ** 2)
    size = math.fsum(unit.a * (unit.y * unit.y + (value * unit.x) ** 2) for unit in units)
    # Rounding leaves crumbs of residuals that are all 0.
    if math.fsum(map(math.fsum, by_level.values())) <= 1e-24 * size:
        return None, None, SAME
    freedom = satterthwaite([math.fsum(some) for some in by_level.values()], [len(s) - 1 for s in by_level.values()])
    square = t_quantile(probability, freedom) ** 2 * len(units) / (len(units) - 1)
    a = bottom * bottom - square * math.fsum(unit.a * unit.x * unit.x for unit in units)
    b = bottom * top - square * math.fsum(unit.a * unit.x * unit.y for unit in units)
    c = top * top - square * math.fsum(unit.a * unit.y * unit.y for unit in units)
    if a <= 0.0:
        return None, None, NEAR
    half = math.sqrt(max(0.0, b * b - a * c)) / a
    low, high = scale * min(value, b / a - half), scale * max(value, b / a + half)
    return (low, high, "") if math.isfinite(low) and math.isfinite(high) else (None, None, LARGE)
