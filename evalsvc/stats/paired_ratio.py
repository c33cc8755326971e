"""By what share the candidate's mean is above the baseline's, on the same cases: limits (Fieller 1954).

They are the changes r that no test of "the candidate's mean is (1 + r) times the baseline's" refuses. Such a test is
one of the mean of c - (1 + r)·b, as :func:`~evalsvc.stats.paired.compare_paired` makes it on an open scale: by CR2 and
t, or by signing whole clusters where there are few. A cluster's sums of c and of b are all it needs, whatever r is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evalsvc.stats.clustered import Array, Clusters, SignFlip, cr2, gather
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.paired import FEW_CLUSTERS

Ints = NDArray[np.int64]

FURTHEST = 1e3
"""A relative change that is as good as none known."""
PRECISE = 1e-6


def change_limits(
    baseline: Array,
    candidate: Array,
    *,
    clusters: Sequence[int] | Ints,
    weights: Array,
    seen: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float | None, float | None]:
    """Return the limits of candidate/baseline - 1 of the weighted means; None where no such test refuses anything.

    Args:
        baseline: scores by case, ``[cases]``, all of them there, with a mean above 0.
        candidate: likewise, in the same order.
        clusters: of each case.
        weights: of each case, > 0.
        seen: the change seen, which lies between the limits.
        confidence: of the two-sided limits.
        seed: of random signings.

    >>> rng = np.random.default_rng(0)
    >>> old = rng.lognormal(6.0, 0.4, 200)
    >>> new = old * rng.normal(1.1, 0.1, 200)
    >>> seen = float(new.mean() / old.mean() - 1.0)
    >>> low, high = change_limits(old, new, clusters=range(200), weights=np.ones(200), seen=seen)
    >>> round(low, 3), round(seen, 3), round(high, 3)
    (0.073, 0.089, 0.105)
    """
    _, codes = np.unique(np.asarray(clusters, dtype=np.int64), return_inverse=True)
    of_b, of_c = (gather(values, weights, codes.astype(np.int64)) for values in (baseline, candidate))
    if of_b.totals.size < 2:
        return None, None

    def limits(change: float) -> tuple[float | None, float | None]:
        contrast = of_c.totals - (1.0 + change) * of_b.totals
        return _limits(Clusters(contrast, of_b.weights, of_b.squares), confidence, seed)

    low = _edge(seen, -1.0, lambda change: _refused(limits(change)[0], 1.0))
    high = _edge(seen, max(FURTHEST, 2.0 * seen), lambda change: _refused(limits(change)[1], -1.0))
    return low, high


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
    return float(outside)
