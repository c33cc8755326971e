"""The lower limits of :func:`evalsvc.stats.paired.compare_paired` for many samples of clusters at once.

Everything that the test of a mean difference knows of a cluster are five sums, so that hundreds of samples are a few
operations on arrays. What limit is taken follows the same rules; a permutation is of at most 499 random signings
here. Differences are *improvements*: more is better.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from evalsvc.stats.clustered import Array
from evalsvc.stats.distributions import normal_quantile, t_quantile
from evalsvc.stats.paired import FEW_CLUSTERS, PRIOR, SPARSE, unmet_clusters

EXACT_UP_TO = 9
SIGNINGS = 500
STEPS = 40


class Samples(NamedTuple):
    """Sums by cluster, arrays ``[samples, clusters]``: Σw·d, Σw, Σw², Σw·(gain) and Σw·(loss), both >= 0."""

    totals: Array
    weights: Array
    squares: Array
    gains: Array
    losses: Array

    def first(self, clusters: int) -> Samples:
        """Return the samples' first clusters."""
        return Samples(*(held[:, :clusters] for held in self))

    def with_cluster(self, totals: Array, weights: Array, squares: Array, gains: Array, losses: Array) -> Samples:
        """Return each sample with a cluster more, given as one number a sample of each of the sums."""
        added = (totals, weights, squares, gains, losses)
        return Samples(*(np.concatenate([held, one[:, None]], axis=1) for held, one in zip(self, added, strict=True)))

    @property
    def mirrored(self) -> Samples:
        """The same with gains for losses."""
        return self._replace(totals=-self.totals, gains=self.losses, losses=self.gains)

    @property
    def differing(self) -> Array:
        """How many clusters of each sample differ."""
        return np.asarray((self.totals != 0.0).sum(axis=1), dtype=np.float64)


class Kind(NamedTuple):
    """What the scores are: ``width`` of a scale with two ends, yes or no, one of it for each lone case (``plain``)."""

    width: float | None = None
    binary: bool = False
    plain: bool = False


class Spread(NamedTuple):
    """The CR2 standard error of each sample's mean, 0 where all differences are equal, and its degrees of freedom."""

    error: Array
    degrees: Array


def lower_limits(samples: Samples, kind: Kind, level: float, seed: int = 0, losses: Array | None = None) -> Array:
    """Return the one-sided lower limit of each sample's mean improvement; -inf where the test has none.

    Args:
        samples: of two clusters or more, of one case or more where ``plain``.
        kind: of the scores.
        level: one-sided, in (0, 0.5).
        seed: of the random signings.
        losses: how much a cluster loses that scores the worst there is, by sample: what none has met is allowed for
            (``rare`` of :func:`~evalsvc.stats.paired.compare_paired`).
    """
    m = samples.totals.shape[1]
    if kind.plain and kind.width:
        n = np.full(samples.totals.shape[0], float(m))
        return kind.width * _stretched(_sum(samples.gains) / kind.width, _sum(samples.losses) / kind.width, n, level)
    if m < 2:
        return np.full(samples.totals.shape[0], -np.inf)
    spread, differing = cr2_of(samples), samples.differing
    score = np.zeros(differing.size, dtype=np.bool_)
    if kind.width:
        score = (spread.error == 0.0) | kind.binary | ((differing < SPARSE) & (2.0 * differing <= m))
    found = np.full(differing.size, -np.inf)
    if score.any() and kind.width:
        some = Samples(*(held[score] for held in samples))
        found[score] = _score(some, Spread(*(held[score] for held in spread)), kind.width, level)
    rest = ~score & (spread.error > 0.0)
    if not rest.any():
        return found
    some = Samples(*(held[rest] for held in samples))
    if losses is not None and kind.width:
        some = _one_more(some, losses[rest], level)
    if m < FEW_CLUSTERS and 2.0 ** (1 - m) <= 2.0 * level + 1e-12:
        found[rest] = _flipped(some, level, seed)
    else:
        error, degrees = cr2_of(some)
        found[rest] = _sum(some.totals) / _sum(some.weights) - _t(level, degrees) * error
    return found if kind.width is None else np.maximum(found, -kind.width)


def _one_more(samples: Samples, losses: Array, level: float) -> Samples:
    """Return each sample with the cluster that speaks for what was not met."""
    more = unmet_clusters(level)
    weight, square = (more * held.mean(axis=1) for held in (samples.weights, samples.squares))
    none = np.zeros_like(weight)
    return samples.with_cluster(-losses * weight, weight, square, none, losses * weight)


def cr2_of(samples: Samples) -> Spread:
    """Return what :func:`evalsvc.stats.clustered.cr2` finds of each sample."""
    total, q = _sum(samples.weights)[:, None], samples.squares
    a, everything = samples.weights / total, _sum(q)[:, None]
    c = q / (q - 2.0 * a * q + a * a * everything)
    residuals = samples.totals - _sum(samples.totals)[:, None] * a
    variance = _sum(c * residuals * residuals) / total[:, 0] ** 2
    aa, aq, qq, of_all = _sum(c * a * a), _sum(c * a * q), _sum(c * q * q), everything[:, 0]
    low_rank = 2.0 * aa * qq + of_all**2 * aa**2 + 2.0 * aq**2 - 4.0 * of_all * aa * aq
    diagonal = _sum(c * c * (q * q + 2.0 * q * (-2.0 * a * q + everything * a * a)))
    scale = _sum(np.abs(samples.totals)) / total[:, 0]
    error = np.sqrt(np.maximum(0.0, variance))
    return Spread(np.where(error > 1e-14 * scale, error, 0.0), np.maximum(1.0, of_all**2 / (low_rank + diagonal)))


def least_relative_margins(old: Array, samples: Samples, *, lower: bool, level: float, seed: int = 0) -> Array:
    """Return the least share of the baseline's mean that each sample is shown not to be worse by; inf where none is.

    It is what :func:`evalsvc.gate.relative.relative_change` passes at: improvement + margin·baseline above 0.

    Args:
        old: the baseline's Σw·b by cluster, ``[samples, clusters]``, of a mean above 0.
        samples: of the improvements.
        lower: whether lower is better, so that a margin may be above 1.
        level: one-sided, in (0, 0.5).
        seed: of the random signings.
    """
    m = old.shape[1]
    if m < 2:
        return np.full(old.shape[0], np.inf)
    few = m < FEW_CLUSTERS and 2.0 ** (1 - m) <= 2.0 * level + 1e-12
    spreads = [] if few else [cr2_of(samples._replace(totals=held)) for held in (samples.totals, old)]
    both = None if few else cr2_of(samples._replace(totals=samples.totals + old)).error ** 2
    low, high = np.zeros(old.shape[0]), np.full(old.shape[0], 100.0 if lower else 1.0)
    for step in range(STEPS):
        # The widest margin first: what is not shown with it is not shown at all.
        at = high if step == 0 else (low + high) / 2.0
        if both is None:
            limit = _flipped(samples._replace(totals=samples.totals + at[:, None] * old), level, seed)
        else:
            (one, degrees), (other, _) = spreads
            covariance = (both - one**2 - other**2) / 2.0
            error = np.sqrt(np.maximum(0.0, one**2 + 2.0 * at * covariance + at**2 * other**2))
            mean = (_sum(samples.totals) + at * _sum(old)) / _sum(samples.weights)
            limit = np.where(error > 0.0, mean - _t(level, degrees) * error, -np.inf)
        shown = limit > 0.0
        if step == 0:
            never = ~shown
            continue
        low, high = np.where(shown, low, at), np.where(shown, at, high)
    return np.where(never, np.inf, high)


def _score(samples: Samples, spread: Spread, width: float, level: float) -> Array:
    total, squares = _sum(samples.weights), _sum(samples.squares)
    gain, loss = _sum(samples.gains) / total / width, _sum(samples.losses) / total / width
    kish, worst = total**2 / squares, _sum(samples.weights**2) / squares
    base = np.maximum(0.0, gain + loss - (gain - loss) ** 2) / kish
    some = np.where(base > 0.0, base, 1.0)
    estimated = np.where(base > 0.0, np.minimum(worst, (spread.error / width) ** 2 / some), worst)
    ratio = (samples.differing * estimated + PRIOR * worst) / (samples.differing + PRIOR)
    n = kish / ratio * (normal_quantile(1.0 - level) / _t(level, spread.degrees)) ** 2
    return width * _stretched(n * gain, n * loss, n, level)


def _stretched(b: Array, c: Array, n: Array, level: float) -> Array:
    """Return Tango's lower limits, stretched as in :func:`evalsvc.stats.binary_pairs.stretched_limits`."""
    plain = _tango_limits(b, c, n, level)
    return np.minimum(plain, _tango_limits(b + 0.5, c + 0.5, n + 1.0, level))


def _tango_limits(b: Array, c: Array, n: Array, level: float) -> Array:
    critical = normal_quantile(1.0 - level)
    low, high = np.full(b.size, -1.0), (b - c) / n
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        refused = _tango_z(b, c, n, middle) > critical
        low, high = np.where(refused, middle, low), np.where(refused, high, middle)
    return np.where(low > -1.0 + 1e-11, low, -1.0)


def _tango_z(b: Array, c: Array, n: Array, at: Array) -> Array:
    linear = -b - c + (2.0 * n - b + c) * at
    root = np.sqrt(np.maximum(0.0, linear * linear + 8.0 * n * c * at * (1.0 - at)))
    q = np.maximum(0.0, np.maximum(-at, (root - linear) / (4.0 * n)))
    variance, gap = n * (2.0 * q + at * (1.0 - at)), b - c - n * at
    some = np.where(variance > 0.0, variance, 1.0)
    return np.where(variance > 0.0, gap / np.sqrt(some), np.where(gap == 0.0, 0.0, np.copysign(np.inf, gap)))


def _flipped(samples: Samples, level: float, seed: int) -> Array:
    """Return order statistics of the means of subsets of clusters, as :class:`evalsvc.stats.clustered.SignFlip`."""
    chosen = _signings(samples.totals.shape[1], seed)
    weights = samples.weights @ chosen.T
    # What flips nothing is as high as the observed total for every difference.
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.nan_to_num((samples.totals @ chosen.T) / weights, copy=False, nan=-np.inf)
    allowed = math.floor(level * (len(chosen) + 1) + 1e-9) - 1
    if allowed < 0:
        return np.full(samples.totals.shape[0], -np.inf)
    return np.asarray(np.partition(means, allowed, axis=1)[:, allowed], dtype=np.float64)


@lru_cache(maxsize=64)
def _signings(m: int, seed: int) -> Array:
    if m <= EXACT_UP_TO:
        return ((np.arange(1, 2**m)[:, None] >> np.arange(m)) & 1).astype(np.float64)
    return (np.random.default_rng(seed).random((SIGNINGS - 1, m)) < 0.5).astype(np.float64)


def _t(level: float, degrees: Array) -> Array:
    """Return upper quantiles of Student's t: equal degrees, which are the rule, are asked for once."""
    known, places = np.unique(np.round(degrees, 9), return_inverse=True)
    if known.size > 50:
        # Smooth in 1/degrees: between so many knots straight lines are as good.
        knots = np.linspace(1.0 / known[-1], 1.0 / known[0], 50)
        values = [t_quantile(1.0 - level, 1.0 / knot) for knot in knots]
        return np.interp(1.0 / degrees, knots, values)
    return np.array([t_quantile(1.0 - level, at) for at in known.tolist()])[places]


def _sum(values: Array) -> Array:
    return np.asarray(values.sum(axis=1), dtype=np.float64)
