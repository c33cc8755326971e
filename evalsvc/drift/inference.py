"""Draws of weighted shares under "nothing moved" and around what was seen; p-values and intervals from them.

A weighted count Σw of a bin is taken for Σw/r effective events of weight r = Σw²/Σw: as many draws of a Poisson
variable have the bin's mean and its variance under the sampling design, also where π differs between events. (Rao &
Scott 1981 correct χ² by the same ratio.) If nothing moved, the effective events that both windows have in a bin fell
into either by chance. That is for windows of two sampling designs; those of one are permuted
(:mod:`evalsvc.drift.permutation`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

import numpy as np

from evalsvc.drift.distances import Floats

DRAWS = 499
_PRIOR = 5.0
_MANY = 100.0


class Side(NamedTuple):
    """One window's Σw and Σw² by bin, over bins that both windows share."""

    weights: Floats
    squares: Floats

    @property
    def shares(self) -> Floats:
        """The bins' weighted shares."""
        return np.asarray(self.weights / self.weights.sum())

    @property
    def whole_unit(self) -> float:
        """Σw²/Σw of the window."""
        return float(self.squares.sum() / self.weights.sum())

    @property
    def unit(self) -> Floats:
        """The weight r = Σw²/Σw of an effective event by bin, drawn to the whole's where little was seen."""
        whole = self.whole_unit
        return np.asarray((self.squares + _PRIOR * whole * whole) / (self.weights + _PRIOR * whole))

    @property
    def n_effective(self) -> float:
        """Kish's (Σw)²/Σw²."""
        return float(self.weights.sum() / self.squares.sum() * self.weights.sum())


class Inferred(NamedTuple):
    """An effect without its bias, its interval, and the probability of the plug-in value if nothing moved."""

    effect: float
    low: float
    high: float
    p_value: float


def common(a: Side, b: Side) -> Floats:
    """Return the shares if both windows are alike: their mean, weighted by effective events."""
    n, m = a.n_effective, b.n_effective
    return np.asarray((n * a.shares + m * b.shares) / (n + m))


def generator(*arrays: Floats) -> np.random.Generator:
    """Return a generator seeded by the numbers themselves: the same windows give the same answer."""
    seed = 0
    for array in arrays:
        seed = crc32(np.ascontiguousarray(array, dtype=np.float64).tobytes(), seed)
    return np.random.default_rng(seed)


def split_shares(a: Side, b: Side, rng: np.random.Generator, draws: int = DRAWS) -> tuple[Floats, Floats]:
    """Return ``[draws, bins]`` shares of samples like ``a`` and like ``b`` from one population, of two designs.

    The effective events that both have in a bin together are dealt to one or the other: their sums by bin stay as they
    were, as in Fisher's test and in a permutation of events. (Bins are made from those sums; draws in which they vary
    scatter more than the windows can: a test by them alarms too seldom.) They sum to 1; a share may be a little below 0
    in a bin that hardly any event is expected in.
    """
    shares = common(a, b)
    together = _relative_units(a, b)
    first, second = (side.weights.sum() * shares / _own_units(side, together) for side in (a, b))
    both = first + second
    chance = first / both
    many = np.minimum(first, second) > _MANY
    dealt, left = np.empty((draws, shares.size)), np.empty((draws, shares.size))
    # Fractions of an event are rounded up or down by chance, so that the variance is right.
    events = np.floor(both[~many] + rng.random((draws, int((~many).sum())))).astype(np.int64)
    dealt[:, ~many] = rng.binomial(events, chance[~many])
    left[:, ~many] = events - dealt[:, ~many]
    scatter = np.sqrt(both * chance * (1.0 - chance))[many]
    dealt[:, many] = first[many] + scatter * rng.standard_normal((draws, int(many.sum())))
    left[:, many] = both[many] - dealt[:, many]
    return _centred(dealt * (shares / first), shares), _centred(left * (shares / second), shares)


def _relative_units(a: Side, b: Side) -> Floats:
    """Return how heavy an effective event is by bin beside its window's, of both windows together."""
    n, m = a.n_effective, b.n_effective
    heavy = n * a.squares / a.squares.sum() + m * b.squares / b.squares.sum()
    return np.asarray(heavy / (n * a.shares + m * b.shares))


def _own_units(side: Side, relative: Floats) -> Floats:
    """Return the weight of an effective event by bin, drawn to what both windows say where few were seen."""
    seen = side.weights > 0.0
    own = np.divide(side.squares, side.weights, out=np.zeros_like(side.weights), where=seen)
    number = np.divide(side.weights, own, out=np.zeros_like(side.weights), where=seen)
    return np.asarray((number * own + _PRIOR * side.whole_unit * relative) / (number + _PRIOR))


def draw_shares(side: Side, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Return ``[draws, bins]`` shares of samples like ``side`` from a population that has its shares."""
    shares = side.shares
    expected = side.weights.sum() * shares / side.unit
    many = expected > _MANY
    counts = np.empty((draws, shares.size))
    counts[:, ~many] = rng.poisson(expected[~many], (draws, int((~many).sum())))
    noise = rng.standard_normal((draws, int(many.sum())))
    counts[:, many] = expected[many] + np.sqrt(expected[many]) * noise
    return _normalised(counts * side.unit, shares)


def _centred(drawn: Floats, shares: Floats) -> Floats:
    # Not divided by their sum: that would scatter as if the number of events varied too.
    return np.asarray(drawn + shares * (1.0 - drawn.sum(axis=1, keepdims=True)))


def _normalised(weights: Floats, shares: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.tile(shares, (weights.shape[0], 1)), where=total > 0.0))


def infer(
    plug: float,
    null: Floats,
    around: Floats,
    confidence: float,
    ceiling: float = math.inf,
    tail: float | None = None,
) -> Inferred:
    """Return the effect T behind a plug-in value that is a square or a divergence, at least 0.

    ``null`` are draws where T = 0, ``around`` draws where T = ``plug``. Between the two, mean and variance are taken as
    linear in T, and the value's distribution as a gamma's (Patnaik 1949 for the non-central χ²); the interval
    holds every T under which the value is not extreme. The mean under T = 0 is subtracted from the effect. Where no
    draw is as large, the p-value is the gamma's, or ``tail`` where it is given.
    """
    from scipy.special import gammainc, gammaincc

    outside = (1.0 - confidence) / 2.0
    start, spread = float(null.mean()), float(null.var())
    bias = float(around.mean()) - plug
    growth = max(0.0, (float(around.var()) - spread) / plug) if plug > 0.0 else 0.0

    def mean(effect: float) -> float:
        return effect + start + (bias - start) * (min(effect / plug, 1.0) if plug > 0.0 else 0.0)

    def beyond(effect: float, upper: bool) -> float:
        m, v = max(mean(effect), 1e-300), max(spread + growth * effect, 1e-300)
        return float((gammaincc if upper else gammainc)(m * m / v, plug * m / v))

    exceeding = int((null >= plug * (1.0 - 1e-9)).sum())
    p_value = (1.0 + exceeding) / (null.size + 1.0)
    if exceeding == 0:
        p_value = min(p_value, beyond(0.0, True) if tail is None else tail)
    limit = 4.0 * plug + 20.0 * start + 20.0 * math.sqrt(spread)
    effect = _solve(lambda t: mean(t) - plug, limit)
    low = _solve(lambda t: beyond(t, True) - outside, limit)
    high = _solve(lambda t: outside - beyond(t, False), limit)
    effect = min(effect, ceiling)
    return Inferred(effect, min(low, effect), min(max(high, effect), ceiling), p_value)


def _solve(rises: Callable[[float], float], limit: float) -> float:
    """Return where a rising function crosses 0 in [0, limit], by halving."""
    low, high = 0.0, limit
    if rises(0.0) >= 0.0:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (low, middle) if rises(middle) >= 0.0 else (middle, high)
    return high
