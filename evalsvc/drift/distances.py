"""How far two distributions are apart, as plug-in numbers: vectorised over the last axis, without any inference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def psi(p: Floats, q: Floats) -> Floats:
    """Return the population stability index Σ(p - q)·ln(p/q), at least 0; infinite where one share alone is 0.

    >>> round(float(psi(np.array([0.5, 0.5]), np.array([0.6, 0.4]))), 4)
    0.0405
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p == q, 0.0, (p - q) * np.log(p / q))
    return np.asarray(terms.sum(axis=-1))


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """Return the Jensen–Shannon divergence in bits, in [0, 1]; its root is the distance (Endres & Schindelin 2003).

    >>> float(jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    1.0
    """
    middle = (p + q) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0.0, p * np.log2(p / middle), 0.0)
        right = np.where(q > 0.0, q * np.log2(q / middle), 0.0)
    return np.asarray(np.maximum(0.0, (left + right).sum(axis=-1) / 2.0))


def kolmogorov_smirnov(p: Floats, q: Floats) -> Floats:
    """Return the largest difference of the two distribution functions, in [0, 1].

    >>> float(kolmogorov_smirnov(np.array([0.5, 0.5]), np.array([0.25, 0.75])))
    0.25
    """
    return np.asarray(np.abs(np.cumsum(p - q, axis=-1)).max(axis=-1))


def wasserstein(p: Floats, q: Floats, values: Floats) -> Floats:
    """Return ∫|F - G|, in the values' unit; ``values`` ascend.

    >>> float(wasserstein(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([2.0, 5.0])))
    3.0
    """
    gaps = np.abs(np.cumsum(p - q, axis=-1))[..., :-1]
    return np.asarray((gaps * np.diff(values)).sum(axis=-1))


def cramer(p: Floats, q: Floats) -> Floats:
    """Return Cramér's V², in [0, 1], of a table whose two rows are as large: ½Σ(p - q)²/(p + q).

    Of rows as large, so that it does not depend on how many events either side has (the triangular discrimination of
    Topsøe 2000).

    >>> float(cramer(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    1.0
    """
    both = p + q
    terms = np.divide((p - q) ** 2, both, out=np.zeros_like(both), where=both > 0.0)
    return np.asarray(terms.sum(axis=-1) / 2.0)
