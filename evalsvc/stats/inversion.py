"""From intervals to p-values: the smallest level whose interval excludes a value, so that test and interval agree."""

from __future__ import annotations

import math
from collections.abc import Callable

from evalsvc.stats.binary_pairs import normal_tail
from evalsvc.stats.distributions import normal_quantile

# Beyond these a p-value is "below" or "above" and nothing depends on its digits.
SMALLEST = 1e-9
STEPS = 90
PRECISE = 1e-6


def beyond(limit: float | None, at: float, sign: float) -> float:
    """Return how far a limit excludes a value, above 0 where it does; no limit excludes nothing."""
    return -math.inf if limit is None else sign * (limit - at)


def tail_of(distance: Callable[[float], float]) -> float:
    """Return the smallest one-sided level whose interval excludes the value; 0.5 where not even the narrowest does.

    The root in the normal quantile of the level, in which limits are about linear: false position, with the value at an
    end that stays halved each time (Illinois), and bisection at every third step and where there is no limit: a limit
    that is held at an end of its scale is flat there, and false position would take the far end of that for the root.
    """
    low, at_low = 0.0, distance(1e-6)
    high, at_high = -normal_quantile(SMALLEST), distance(1.0 - 2.0 * SMALLEST)
    if at_low <= 0.0:
        return 0.5
    if at_high > 0.0:
        return SMALLEST
    kept = 0
    for step in range(STEPS):
        straight = step % 3 < 2 and math.isfinite(at_high) and at_high < 0.0
        middle = (low * at_high - high * at_low) / (at_high - at_low) if straight else (low + high) / 2.0
        found = distance(1.0 - 2.0 * normal_tail(middle))
        if found > 0.0:
            low, at_low = middle, found
            at_high, kept = (at_high / 2.0, 1) if kept == 1 else (at_high, 1)
        else:
            high, at_high = middle, found
            at_low, kept = (at_low / 2.0, -1) if kept == -1 else (at_low, -1)
        if high - low < PRECISE:
            break
    return normal_tail(low)
