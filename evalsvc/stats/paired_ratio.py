"""By what share the candidate's mean is above the baseline's, on the same cases, with limits (Fieller 1954).

The limits are the changes r that no test of "the candidate's mean is (1 + r) times the baseline's" refuses: such a test
is one of the mean of c - (1 + r)·b, by CR2 and t, or by signing whole clusters where there are few. A cluster's sums of
c and of b are all that is needed, whatever r is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from evalsvc.errors import InputError
from evalsvc.stats.clustered import Array, Clusters, SignFlip, cr2, gather
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.paired import FEW_CLUSTERS

HIGHEST = 1e3
PRECISE = 1e-6


class RelativeChange(NamedTuple):
    """The change as a share of the baseline's mean; limits are None where no such test refuses anything."""

    value: float
    low: float | None
    high: float | None


def relative_change(
    baseline: Array,
    candidate: Array,
    *,
    clusters: Sequence[int],
    weights: Array,
    confidence: float = 0.95,
    seed: int = 0,
) -> RelativeChange:
    """Return candidate/baseline - 1 of the weighted means.

    Args:
        baseline: scores by case, ``[cases]``, all of them there.
        candidate: likewise, in the same order.
        clusters: of each case, codes 0, 1, … without gaps.
        weights: of each case, > 0.
        confidence: of the two-sided limits.
        seed: of random signings.

    Raises:
        InputError: when the baseline's mean is not above 0, so that a share of it means nothing.

    >>> rng = np.random.default_rng(0)
    >>> old = rng.lognormal(6.0, 0.4, 200)
    >>> found = relative_change(old, old * rng.normal(1.1, 0.1, 200), clusters=range(200), weights=np.ones(200))
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
    (0.09, 0.07, 0.1)
    """
    codes = np.asarray(clusters, dtype=np.int64)
    of_b, of_c = (gather(values, weights, codes) for values in (baseline, candidate))
    if not of_b.mean > 0.0:
        raise InputError(f"Expected a baseline whose mean is above 0 for a relative change, but it is {of_b.mean:g}")
    value = of_c.mean / of_b.mean - 1.0
    if of_b.totals.size < 2:
        return RelativeChange(value, None, None)

    def limits(change: float) -> tuple[float | None, float | None]:
        contrast = of_c.totals - (1.0 + change) * of_b.totals
        return _limits(Clusters(contrast, of_b.weights, of_b.squares), confidence, seed)

    low = _edge(value, -1.0, lambda change: _refused(limits(change)[0], 1.0))
    high = _edge(value, HIGHEST, lambda change: _refused(limits(change)[1], -1.0))
    return RelativeChange(value, low, high)


def _limits(sums: Clusters, confidence: float, seed: int) -> tuple[float | None, float | None]:
    m = sums.totals.size
    # With so few clusters not even one signing of all is rare enough to refuse anything.
    if m < FEW_CLUSTERS and 2.0 ** (1 - m) <= 1.0 - confidence + 1e-12:
        return SignFlip(sums, seed).limits(confidence)
    robust = cr2(sums)
    half = t_quantile(two_sided(confidence), robust.degrees) * robust.error
    return sums.mean - half, sums.mean + half


def _refused(limit: float | None, sign: float) -> bool:
    return limit is not None and sign * limit > 0.0


def _edge(inside: float, outside: float, refused: Callable[[float], bool]) -> float | None:
    """Return where a test begins to refuse, by bisection; None where it refuses nothing up to the end."""
    if not refused(outside):
        return None
    while abs(inside - outside) > PRECISE:
        middle = (inside + outside) / 2.0
        inside, outside = (inside, middle) if refused(middle) else (middle, outside)
    return outside
