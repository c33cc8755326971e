"""The mean of cluster-correlated differences: CR2 standard error with t, and the sign-flip permutation by cluster.

Both see a cluster g through three sums only: Σw·d, Σw and Σw². Cases in one cluster may depend on each other in any
way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT_UP_TO = 14
FLIPS = 9_999
BLOCK = 2**17
"""How many signs are held at a time."""


class Clusters(NamedTuple):
    """Sums by cluster: ``totals`` is Σw·d, ``weights`` Σw > 0, ``squares`` Σw²; three arrays of length m."""

    totals: Array
    weights: Array
    squares: Array

    @property
    def mean(self) -> float:
        """The weighted mean difference."""
        return float(self.totals.sum() / self.weights.sum())

    @property
    def kish(self) -> float:
        """Kish's effective number of cases, (Σw)²/Σw²."""
        return float(self.weights.sum() ** 2 / self.squares.sum())


class Robust(NamedTuple):
    """A standard error with its degrees of freedom; ``error`` is 0 when all differences are equal."""

    error: float
    degrees: float


def gather(values: Array, weights: Array, clusters: NDArray[np.int64]) -> Clusters:
    """Return the sums by cluster; ``clusters`` are codes 0, 1, … without gaps."""
    return Clusters(
        _sums(clusters, weights * values),
        _sums(clusters, weights),
        _sums(clusters, weights * weights),
    )


def _sums(codes: NDArray[np.int64], values: Array) -> Array:
    return np.asarray(np.bincount(codes, weights=values), dtype=np.float64)


def cr2(sums: Clusters) -> Robust:
    """Return the CR2 standard error of the mean and its Satterthwaite degrees of freedom.

    For a mean, the bias-reduced linearisation of Bell & McCaffrey (2002) multiplies each cluster's squared sum of
    residuals by the number that makes it unbiased for independent cases of equal variance. With shares a = Σw/Σ_all w
    and q = Σw², that is c = q / (q - 2aq + a²Σq), and 1/(1 - n_g/n) where weights are equal. Degrees of freedom are
    of the same working model: (tr Γ)²/tr Γ² with Γ the covariance of the corrected cluster sums (Pustejovsky & Tipton
    2018). Needs two clusters or more.
    """
    total, q = float(sums.weights.sum()), sums.squares
    a, everything = sums.weights / total, float(q.sum())
    spread = q - 2.0 * a * q + a * a * everything
    c = q / spread
    residuals = sums.totals - sums.mean * sums.weights
    variance = float((c * residuals * residuals).sum()) / total**2
    # tr Γ² = Σ c_g c_h (δ q_g + L_gh)², L_gh = -a_g q_h - q_g a_h + a_g a_h Σq, expanded so that it costs m, not m².
    aa, aq, qq = float((c * a * a).sum()), float((c * a * q).sum()), float((c * q * q).sum())
    low_rank = 2.0 * aa * qq + everything**2 * aa**2 + 2.0 * aq**2 - 4.0 * everything * aa * aq
    diagonal = float((c * c * (q * q + 2.0 * q * (-2.0 * a * q + everything * a * a))).sum())
    degrees = everything**2 / (low_rank + diagonal)
    # Rounding leaves crumbs of differences that are all equal.
    scale = float(np.abs(sums.totals).sum()) / total
    error = math.sqrt(max(0.0, variance))
    return Robust(error if error > 1e-14 * scale else 0.0, max(1.0, degrees))


def _subsets(m: int, seed: int) -> Iterator[Array]:
    """Yield which clusters are flipped, one row a flip, without the identity: all of them, or random ones.

    In blocks, since 9,999 signings of thousands of clusters together would take hundreds of megabytes.
    """
    # Whole words of random bits a block, so that the size of a block changes no sign.
    rows = 32 * max(1, BLOCK // (32 * m))
    if m <= EXACT_UP_TO:
        places = np.arange(m)
        for first in range(1, 2**m, rows):
            numbers = np.arange(first, min(first + rows, 2**m), dtype=np.int64)
            yield ((numbers[:, None] >> places) & 1).astype(np.float64)
        return
    rng = np.random.default_rng(seed)
    for first in range(0, FLIPS, rows):
        signs = min(rows, FLIPS - first) * m
        bits = np.unpackbits(np.frombuffer(rng.bytes((signs + 7) // 8), np.uint8), count=signs)
        yield bits.reshape(-1, m).astype(np.float64)


class SignFlip:
    """The permutation test that flips the signs of whole clusters, and the interval that inverts it.

    If each cluster's sum of d - δ is symmetric about 0, all 2^m signings are equally likely, whatever the sizes, so the
    test is exact. Signing with the subset J flipped has a total at least as high as the observed one exactly when
    the mean of the clusters in J is at most δ. So P(δ) = (1 + #{J: mean of J <= δ}) / 2^m, and the limits are
    order statistics of the 2^m - 1 subset means (Hartigan 1969). Beyond 14 clusters 9,999 random signings stand for all
    (p-values then count the observed one in, Phipson & Smyth 2010).
    """

    def __init__(self, sums: Clusters, seed: int = 0) -> None:
        m = sums.totals.size
        columns = np.column_stack([sums.weights, sums.totals])
        weights, totals = np.concatenate([chosen @ columns for chosen in _subsets(m, seed)]).T
        some = weights > 0.0
        self.signings = int(weights.size) + 1
        # Random signings may flip nothing: they are then as high as the observed total for every δ.
        self.unflipped = int((~some).sum())
        means = totals[some] / weights[some]
        # Equal sums that are added up in different orders differ in the last bits; they are ties.
        scale = float(np.abs(sums.totals).max()) / max(float(sums.weights.mean()), 1e-300)
        self.slack = 1e-12 * scale
        self.means: Array = np.sort(means)
        self.exact = m <= EXACT_UP_TO

    @property
    def name(self) -> str:
        """What was done."""
        return f"cluster sign-flip, {'all' if self.exact else 'random'} {self.signings:,} signings"

    def above(self, at: float) -> float:
        """Return the one-sided p-value of "the mean is above ``at``"."""
        count = int(np.searchsorted(self.means, at + self.slack, side="right"))
        return float(1 + self.unflipped + count) / self.signings

    def below(self, at: float) -> float:
        """Return the one-sided p-value of "the mean is below ``at``"."""
        count = self.means.size - int(np.searchsorted(self.means, at - self.slack, side="left"))
        return float(1 + self.unflipped + count) / self.signings

    def two_sided(self, at: float = 0.0) -> float:
        """Return twice the smaller one-sided p-value, at most 1."""
        return min(1.0, 2.0 * min(self.above(at), self.below(at)))

    def limits(self, confidence: float) -> tuple[float | None, float | None]:
        """Return the ends of the means that no one-sided test at (1 - confidence)/2 refuses; None where none can."""
        tail = (1.0 - confidence) / 2.0
        # Refused from below are the δ with 1 + unflipped + count <= tail·signings.
        allowed = math.floor(tail * self.signings + 1e-9) - 1 - self.unflipped
        if allowed < 0:
            return None, None
        return float(self.means[allowed]), float(self.means[-1 - allowed])
