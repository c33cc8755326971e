"""PPI++ in its published form, digit for digit as ppi-python computes it: the reference for what is built on it.

For reports, :func:`evalsvc.stats.prediction_powered_mean` is the one to use: the normal interval here covers less than
it says at few reviews, for binary scores above all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.stats.distributions import normal_quantile, two_sided
from evalsvc.stats.reviewed import Floats, column


class PPIMean(NamedTuple):
    """The point estimate with its λ and its normal interval, which is symmetric.

    ``value`` is None, with a ``reason``, where there is no review or no other prediction.
    """

    value: float | None
    low: float | None
    high: float | None
    lam: float | None
    reason: str = ""

    @property
    def half_width(self) -> float:
        """Half the interval's width, infinite where there is none."""
        return math.inf if self.low is None or self.high is None else (self.high - self.low) / 2.0


def ppi_mean(
    reviews: npt.ArrayLike,
    predictions: npt.ArrayLike,
    other_predictions: npt.ArrayLike,
    *,
    lam: float | None = None,
    confidence: float = 0.95,
) -> PPIMean:
    """Return the prediction-powered mean of a plain sample (Angelopoulos, Duchi & Zrnic 2023, PPI++).

    θ = λ·mean(other predictions) + mean(reviews - λ·predictions) with
    λ = cov(review, prediction) / ((1 + n/N)·var(prediction)), clipped to [0, 1], and variance
    λ²·var(other predictions)/N + var(review - λ·prediction)/n.

    Args:
        reviews: (n,) human values.
        predictions: (n,) the judge's scores of the same events.
        other_predictions: (N,) its scores of events without a review.
        lam: λ instead of the tuned one.
        confidence: of the two-sided interval.

    Raises:
        InputError: on arrays that do not fit, on missing or infinite values and on a confidence outside (0, 1).

    >>> ppi_mean([1, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0, 1, 0], lam=1.0).value
    0.75
    """
    critical = normal_quantile(two_sided(confidence))
    y = column("reviews", reviews)
    f = column("predictions", predictions, y.size)
    other = column("other_predictions", other_predictions)
    if np.isnan(y).any() or np.isnan(f).any() or np.isnan(other).any():
        raise InputError("Expected no missing values, but got NaN; leave such events out first")
    if not y.size or not other.size:
        return PPIMean(None, None, None, None, "no review, or no prediction beside the reviewed ones")
    tuned = lam if lam is not None else _lam(y, f, other)
    value = float(tuned * other.mean() + (y - tuned * f).mean())
    variance = tuned**2 * other.var() / other.size + (y - tuned * f).var() / y.size
    half = critical * math.sqrt(float(variance))
    return PPIMean(value, value - half, value + half, tuned)


def _lam(y: Floats, f: Floats, other: Floats) -> float:
    spread = float(np.concatenate([f, other]).var(ddof=1)) if f.size + other.size > 2 else 0.0
    if spread <= 0.0:
        return 0.0
    covariance = float((y - y.mean()) @ (f - f.mean())) / y.size
    return min(1.0, max(0.0, covariance / ((1.0 + y.size / other.size) * spread)))
