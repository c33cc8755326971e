"""Limits of the mean of scores between two ends, which allow for what so few groups did not happen to show.

Of thirty scores near 0.9 no spread tells how often another is 0. Gaffke's test does: beside the groups seen stands one
more, at the end of the scale, and the shares of all are drawn from Dirichlet(1, …, 1); the level at which the mean is
above a number is the chance that the drawn mean is not. Of yes and no of equal weight that is Clopper and Pearson's;
for other scores no distribution is known in which it errs more often than it says, which is not proven.

The chance is that of Σ G·d <= 0 with G exponential and d what a group adds to the mean's distance from the number:
exact where one d is below 0, else from its cumulants (Lugannani and Rice's saddlepoint, to about 3e-4 of a limit).

Gaffke (2005), Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable,
Math. Methods Statist. 14; Learned-Miller and Thomas (2019), arXiv:1905.06208; Lugannani and Rice (1980), Adv. Appl.
Probab. 12.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.stats.binary_pairs import normal_tail
from evalsvc.stats.distributions import normal_quantile, two_sided

Floats = NDArray[np.float64]

STEPS = 60
PRECISE = 1e-9
_FLAT = 1e-5
_NOTHING = 1e-14
_SQRT_2PI = math.sqrt(2.0 * math.pi)


class BoundedMean(NamedTuple):
    """Groups of scores in [0, 1]: each one's ``sums`` of weight times score, and its ``weights``, above 0.

    For a plan each group can stand for several like it: ``copies``, not necessarily whole.
    """

    sums: Floats
    weights: Floats
    copies: float = 1.0

    @property
    def mean(self) -> float:
        """The weighted mean."""
        return float(self.sums.sum() / self.weights.sum())

    @property
    def error(self) -> float:
        """The plain standard error of the mean, groups as clusters."""
        residuals = self.sums - self.mean * self.weights
        return math.sqrt(float((residuals**2).sum()) / self.copies) / float(self.weights.sum())

    def mirrored(self) -> BoundedMean:
        """Return the same of one minus the scores."""
        return self._replace(sums=self.weights - self.sums)

    def above(self, number: float) -> float:
        """Return p of "the mean is at most ``number``": it is above where that is small."""
        return chance_of_no_gain(*self._distances(number))

    def below(self, number: float) -> float:
        """Return p of "the mean is at least ``number``": it is below where that is small."""
        return self.mirrored().above(1.0 - number)

    def limits(self, confidence: float) -> tuple[float, float]:
        """Return the means at which either p is half of what the confidence leaves.

        >>> scores = np.repeat([1.0, 0.0], [48, 2])
        >>> [round(limit, 3) for limit in BoundedMean(scores, np.ones(50)).limits(0.9)]
        [0.879, 0.993]
        """
        tail = 1.0 - two_sided(confidence)
        return self.lower(tail), 1.0 - self.mirrored().lower(tail)

    def _distances(self, number: float) -> tuple[Floats, Floats]:
        # One more group weighs as the groups count that there are: more than their mean where a few weigh most.
        weight = float((self.weights**2).sum() / self.weights.sum())
        distances = np.append(self.sums - number * self.weights, -number * weight)
        return distances, np.append(np.full(self.sums.size, self.copies), 1.0)

    def lower(self, tail: float) -> float:
        """Return the mean at which p of being above is ``tail``: false position in p's normal quantile."""
        low, high, wanted = 0.0, self.mean, normal_quantile(tail)
        at_mean = self.above(high)
        if at_mean <= tail:
            # All are at the end already.
            return high
        at_low, at_high, kept = -math.inf, _probit(at_mean) - wanted, 0
        middle = max(high / 2.0, high + wanted * self.error)
        for _ in range(STEPS):
            found = _probit(self.above(middle)) - wanted
            if found > 0.0:
                high, at_high = middle, found
                at_low, kept = (at_low / 2.0, 1) if kept == 1 else (at_low, 1)
            else:
                low, at_low = middle, found
                at_high, kept = (at_high / 2.0, -1) if kept == -1 else (at_high, -1)
            if high - low < PRECISE or abs(found) < PRECISE:
                break
            straight = math.isfinite(at_low) and math.isfinite(at_high)
            middle = (low * at_high - high * at_low) / (at_high - at_low) if straight else (low + high) / 2.0
        return middle


def chance_of_no_gain(distances: Floats, shapes: Floats) -> float:
    """Return the chance that Σ G·d <= 0, with G independent and of gamma distributions of these shapes.

    >>> chance_of_no_gain(np.array([1.0, -1.0]), np.array([2.0, 1.0]))
    0.25
    """
    # Only ratios count; what is lost in rounding beside the others is nothing.
    distances = distances / (float(np.abs(distances).max()) or 1.0)
    distances = np.where(np.abs(distances) < _NOTHING, 0.0, distances)
    top, bottom = float(distances.max()), float(distances.min())
    if top <= 0.0:
        return 1.0
    if bottom >= 0.0:
        return 0.0
    losses = distances < 0.0
    if losses.sum() == 1 and shapes[losses][0] == 1.0:
        return math.exp(-float((shapes[~losses] * np.log1p(distances[~losses] / -bottom)).sum()))
    point = _saddlepoint(distances, shapes, 1.0 / bottom, 1.0 / top)
    terms = distances / (1.0 - point * distances)
    spread = math.sqrt(float((shapes * terms**2).sum()))
    if abs(point) * spread < _FLAT:
        return 0.5 + float((shapes * terms**3).sum()) / (3.0 * _SQRT_2PI * spread**3)
    exponent = float((shapes * np.log1p(-point * distances)).sum())
    root = math.copysign(math.sqrt(max(0.0, 2.0 * exponent)), point)
    density = math.exp(-root * root / 2.0) / _SQRT_2PI
    return min(1.0, max(0.0, normal_tail(-root) + density * (1.0 / root - 1.0 / (point * spread))))


def _saddlepoint(distances: Floats, shapes: Floats, low: float, high: float) -> float:
    """Return t in (low, high) with Σ s·d/(1 - t·d) = 0, which rises from -∞ to ∞: Newton, halved where it leaves."""
    point = 0.0
    for _ in range(STEPS * 4):
        terms = distances / (1.0 - point * distances)
        slope = float((shapes * terms).sum())
        low, high = (low, point) if slope > 0.0 else (point, high)
        step = point - slope / float((shapes * terms**2).sum())
        after = step if low < step < high else (low + high) / 2.0
        if abs(after - point) <= 1e-12 * abs(after) or after in (low, high):
            return after
        point = after
    return point


def _probit(chance: float) -> float:
    if chance <= 0.0:
        return -math.inf
    return math.inf if chance >= 1.0 else normal_quantile(chance)
