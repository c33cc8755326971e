"""Has the scorer moved, or the system? A frozen anchor set, scored twice, tells the two apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.stats.distributions import t_quantile, two_sided


class Change(NamedTuple):
    """A change of a mean score, in the score's unit, with its interval."""

    value: float
    low: float
    high: float

    @property
    def moved(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0.0 or self.high < 0.0


class Attribution(NamedTuple):
    """The scorer's change on frozen cases and the rest, the system's; ``None`` with a ``reason`` where undefined."""

    scorer: Change | None
    system: Change | None
    n: int
    method: str = "anchor difference, paired t; live difference less it"
    reason: str = ""


def attribute(
    before: Sequence[float], after: Sequence[float], live: float, live_error: float, confidence: float = 0.95
) -> Attribution:
    """Return how much of a live difference is the scorer's.

    Args:
        before: scores of the anchor's cases then, in order.
        after: scores of the same cases now.
        live: current less baseline mean of the live scores.
        live_error: its standard error, at least 0.
        confidence: of either interval.

    Raises:
        InputError: where the two are not of one length, and on a standard error below 0.

    >>> found = attribute([0.5, 0.6, 0.7, 0.8], [0.4, 0.5, 0.61, 0.69], live=-0.1, live_error=0.005)
    >>> found.scorer.moved, found.system.moved
    (True, False)
    """
    if len(before) != len(after):
        raise InputError(f"Expected as many scores after as before, but got {len(after)} and {len(before)}")
    if not 0.0 <= live_error < math.inf:
        raise InputError(f"Expected `live_error` of at least 0, but got {live_error!r}")
    n = len(before)
    if n < 2:
        return Attribution(None, None, n, reason="the anchor set has fewer than two cases")
    gaps = [b - a for a, b in zip(before, after, strict=True)]
    mean = math.fsum(gaps) / n
    error = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (n - 1) / n)
    critical = t_quantile(two_sided(confidence), n - 1)
    half, both = critical * error, critical * math.hypot(error, live_error)
    rest = live - mean
    return Attribution(Change(mean, mean - half, mean + half), Change(rest, rest - both, rest + both), n)
