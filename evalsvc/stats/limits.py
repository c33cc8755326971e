"""Limits of the mean of one part, by what is known of the scale.

* binary: Wilson's score interval (1927), with the effective number of scores in place of n, stretched where
  failures are few towards the near end (0), where Wilson's covers only 93 % of the time;
* bounded: the same with a variance of R·μ(1-μ), where R <= 1 is estimated from the scores and held up by
  :data:`PRIOR` scores' worth of the largest R that there can be, since a small sample of a bounded score can
  miss the rare low value that decides the mean;
* bounded below only (latency, cost): t limits on the logarithm of the mean, the upper one stretched for
  skewness;
* unbounded: t limits.

Clusters and unequal weights enter through R: the linearised variance of the weighted mean over that of as
many independent scores of a binary metric with the same mean (Korn & Graubard 1998 take that ratio for
proportions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from evalsvc.stats.distributions import beta_quantile, normal_quantile, two_sided
from evalsvc.types import Cell

PRIOR = 16.0
NEAR_END = 50.0
FEW = 4.0
ROUNDED = 1e-9
"""Numbers that differ by the order of a sum are less apart than this: that decides no limit."""
TINY = 1e-300
# Beyond such a tail (a two-sided level of 99.8 %), as alerts ask for, limits of shares are exact.
EXTREME = 1e-3
HOPELESS = 1000.0

_NORMAL = NormalDist()


class Moments(NamedTuple):
    """The weighted mean of a part's scores, its linearised variance as of an infinite population, and counts.

    ``kish`` is (Σw)²/Σw², ``units`` the number of clusters (scores, where there are none), ``worst`` the
    ratio R of a binary metric whose clusters are all-or-nothing.
    """

    mean: float
    variance: float
    kish: float
    units: int
    worst: float
    clustered: bool


def moments(cells: Sequence[Cell], low: float = 0.0, width: float = 1.0) -> Moments:
    """Return the moments of (y - low)/width with weights 1/π.

    A weighted mean is a ratio, so its variance is that of the residuals: Σ_c (w_c Σ_i (y_i - mean))² /
    (Σw)², times m/(m-1) for m clusters (Särndal, Swensson & Wretman 1992, result 5.6.2).
    """
    weights = relative_weights(cells)
    weight = math.fsum(cell.n * w for cell, w in weights)
    mean = math.fsum(cell.total * w for cell, w in weights) / weight
    residual = square = first = 0.0
    units, clustered = 0, False
    for cell, w in weights:
        n, n2, ny, y2 = cell.n, float(cell.n), cell.total, cell.squares
        square += n * w * w
        if cell.clusters:
            n2, ny, y2 = cell.cluster_n2, cell.cluster_ny, cell.cluster_y2
            clustered = clustered or cell.clusters < cell.n
        units += cell.clusters or n
        residual += max(0.0, y2 - 2.0 * mean * ny + mean * mean * n2) * w * w
        first += n2 * w * w
    correction = units / (units - 1) if units > 1 else 1.0
    kish = weight * weight / square
    variance = correction * residual / (weight * weight) / (width * width)
    return Moments((mean - low) / width, variance, kish, units, first / square, clustered)


def relative_weights(cells: Sequence[Cell]) -> list[tuple[Cell, float]]:
    """Return the cells that have scores with their weights, the largest of which is 1: min π/π.

    Means and effective numbers do not depend on the scale of the weights, but 1/π² overflows for π below 1e-154.

    >>> [w for _, w in relative_weights([Cell("a", 1, pi, 1, 0, 0, 1.0, 1.0) for pi in (1e-200, 4e-200)])]
    [1.0, 0.25]
    """
    held = [cell for cell in cells if cell.n]
    least = min((cell.pi for cell in held), default=1.0)
    return [(cell, least / cell.pi) for cell in held]


def ratio(m: Moments, binary: bool, prior: float = PRIOR) -> tuple[float, float]:
    """Return R, the part's variance over that of ``kish`` independent binary scores, and its freedom.

    The estimate is mixed with the worst case, ``prior`` units of it; the more of it is known rather than
    estimated, the more degrees of freedom it has.
    """
    if binary and not m.clustered:
        return 1.0, math.inf
    base = m.mean * (1.0 - m.mean) / m.kish
    if base <= 0.0 or m.units < 2:
        return m.worst, math.inf
    estimated = m.units * min(m.variance / base, m.worst)
    mixed = (estimated + prior * m.worst) / (m.units + prior)
    share = estimated / (estimated + prior * m.worst)
    return mixed, (m.units - 1) / share**2 if share > 1e-6 else math.inf


def wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval for a share seen in ``n`` (effective, so not necessarily whole) scores.

    >>> [round(limit, 4) for limit in wilson(0.0, 20, 0.95)]
    [0.0, 0.1611]
    """
    return score_limits(share, n, normal_quantile(two_sided(confidence)))


def score_limits(share: float, n: float, critical: float) -> tuple[float, float]:
    """Return the shares μ with |share - μ| <= critical·√(μ(1-μ)/n), which lie in [0, 1] by construction."""
    if math.isinf(n):
        return share, share
    z2 = critical * critical
    centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n)
    half = critical / (1.0 + z2 / n) * math.sqrt(max(0.0, share * (1.0 - share)) / n + z2 / (4.0 * n * n))
    # The ends are exact for shares of 0 and 1; rounding must not push the share itself outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def bounded_limits(share: float, below: float, above: float, critical: float) -> tuple[float, float]:
    """Return limits of the mean of a bounded score, for its lower and its upper one of so many effective scores.

    Wilson's; beyond 99.8 % Clopper and Pearson's at these numbers, as those of shares: Wilson's allow for no skewness,
    and so far out a skewed mean lies beyond them several times as often as the level says.

    >>> [round(limit, 4) for limit in bounded_limits(0.8, 200, 150, 1.96)]
    [0.7391, 0.8562]
    """
    low, high = score_limits(share, below, critical)[0], score_limits(share, above, critical)[1]
    tail = _NORMAL.cdf(-critical)
    if not TINY <= tail < EXTREME:
        return low, high
    if not math.isinf(below):
        low = exact_limit(share, below, tail)
    if not math.isinf(above):
        high = 1.0 - exact_limit(1.0 - share, above, tail)
    return low, high


def binary_limits(share: float, n: float, critical: float) -> tuple[float, float]:
    """Return Wilson's limits, mended where failures (or successes) are few.

    * The end nearer to the share is stretched to Jeffreys', and below :data:`FEW` failures also to Clopper and
      Pearson's one-sided limit at the whole level, as in the modified Wilson interval of Brown, Cai & DasGupta (2001):
      one failure would else refuse a share that lets it happen in a twelfth of samples.
    * The other end is never farther than Clopper and Pearson's, which cannot fail; Wilson's is, without a failure.
    * Beyond 99.8 % both are Clopper and Pearson's: that far out a score one step beyond Wilson's limit can be several
      times as likely as the level says.

    >>> [round(limit, 4) for limit in binary_limits(0.04, 50, 1.96)]
    [0.0072, 0.1346]
    """
    low, high = score_limits(share, n, critical)
    tail = _NORMAL.cdf(-critical)
    if math.isinf(n) or tail < TINY:
        return low, high
    if tail < EXTREME:
        return exact_limit(share, n, tail), 1.0 - exact_limit(1.0 - share, n, tail)
    # With more failures and successes than this the two agree to a hundredth of the share.
    if not n * share * (1.0 - share) < NEAR_END - ROUNDED:
        return low, high
    if share <= 0.5 + ROUNDED:
        return _rare(share, n, tail, low, high)
    low, high = _rare(1.0 - share, n, tail, 1.0 - high, 1.0 - low)
    return 1.0 - high, 1.0 - low


def exact_limit(share: float, n: float, tail: float) -> float:
    """Return Clopper and Pearson's lower limit; in n, a number of scores need not be whole (Korn & Graubard 1998).

    A round of the ruler asks for thousands of them, which is worth scipy's import: it is six times as fast.
    """
    from scipy.special import betaincinv

    hits = n * share
    return float(betaincinv(hits, n - hits + 1.0, tail)) if hits > 0.0 else 0.0


def _rare(share: float, n: float, tail: float, low: float, high: float) -> tuple[float, float]:
    """Return Wilson's limits of a share up to a half, mended; ``tail`` is what may lie beyond each."""
    failed = n * share
    if failed <= 0.0:
        return 0.0, min(high, -math.expm1(math.log(tail) / n))
    nearer = beta_quantile(tail, failed + 0.5, n - failed + 0.5, low)
    if failed < FEW - ROUNDED:
        nearer = min(nearer, beta_quantile(2.0 * tail, failed, n - failed + 1.0, nearer))
        high = min(high, beta_quantile(1.0 - tail, failed + 1.0, n - failed, high))
    return min(low, nearer), high


def log_limits(mean: float, error: float, critical: float) -> tuple[float, float]:
    """Return limits of a positive mean: mean/exp(x) and mean·exp(x + x²/2), with x = t·error/mean.

    Of skewed positive values, such as latencies, the sample's mean and variance are small together, which
    symmetric limits do not allow for. The lower limit is the delta method's on the logarithm; the upper
    agrees to second order with the score limit mean/(1 - x) of a constant coefficient of variation, without
    its pole. Beyond :data:`HOPELESS` times the mean it is infinite.

    >>> [round(limit, 1) for limit in log_limits(100.0, 20.0, 1.96)]
    [67.6, 159.8]
    """
    if mean <= 0.0:
        return mean, mean
    x = critical * error / mean
    upward = x + x * x / 2.0
    return mean * math.exp(-x), mean * math.exp(upward) if upward < math.log(HOPELESS) else math.inf
