"""Limits of shares at the levels that alerts ask for: exact binomial probabilities, and Wilson's beside them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.stats import beta, binom

from evalsvc.stats import estimate_mean
from evalsvc.stats.limits import binary_limits, bounded_limits, score_limits
from evalsvc.stats.many import estimate_means
from evalsvc.types import Cell, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
SHARES = (0.002, 0.01, 0.05, 0.2, 0.5, 0.95)


def refused(limits, n, p):
    """Return how likely a sample of n is whose limits lie above a share of p, and below it."""
    likely = binom.pmf(np.arange(n + 1), n, p)
    chosen = np.flatnonzero(likely > 1e-14)
    found = [limits(hits / n, n) for hits in chosen.tolist()]
    above = sum(likely[hits] for hits, (low, _) in zip(chosen, found, strict=True) if low > p)
    below = sum(likely[hits] for hits, (_, high) in zip(chosen, found, strict=True) if high < p)
    return above, below


@pytest.mark.parametrize("n", [100, 600])
@pytest.mark.parametrize("tail", [1 / 43_200, 1 / 43_200 / 20])
def test_a_share_on_the_threshold_is_refused_no_more_often_than_stated_and_by_wilsons_more_often(tail, n) -> None:
    from evalsvc.stats.distributions import normal_quantile

    critical = normal_quantile(1.0 - tail)
    exact = [refused(lambda share, n: binary_limits(share, n, critical), n, p) for p in SHARES]
    wilson = [refused(lambda share, n: score_limits(share, n, critical), n, p) for p in SHARES]
    assert max(max(pair) for pair in exact) <= tail
    # Within what whole numbers allow: an interval that never refuses would be of no use.
    assert max(max(pair) for pair in exact) > tail / 10
    assert max(max(pair) for pair in wilson) > 1.5 * tail


@pytest.mark.parametrize(("hits", "n"), [(0, 50), (1, 50), (25, 50), (50, 50), (300, 6000)])
def test_they_are_clopper_and_pearsons_one_group_at_a_time_and_many_at_once(hits, n) -> None:
    tail = 1e-5
    low = beta.ppf(tail, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    cell = Cell("", 1, 0.001, n, 0, 0, float(hits), float(hits))
    one = estimate_mean([cell], BINARY, DAY, confidence=1 - 2 * tail, target="process")
    (many,) = estimate_means([[cell]], [BINARY], [DAY], offered=[None], rates=[{}], confidence=1 - 2 * tail)
    plain = estimate_mean([cell], BINARY, DAY, confidence=1 - 2 * tail)
    assert (one.low, one.high) == pytest.approx((low, high), rel=2e-3, abs=1e-9)
    assert (many.low, many.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


@pytest.mark.parametrize("n", [40, 100, 600])
def test_a_graded_mean_on_the_threshold_is_refused_no_more_often_than_stated_and_by_wilsons_more_often(n) -> None:
    """Exact convolution of two marks and a best one, whose variance is known: Wilson's limit is crossed too often."""
    from evalsvc.stats.distributions import normal_quantile

    tail = 1 / 43_200
    marks = np.zeros(5)
    marks[[0, 2, 4]] = 0.08, 0.04, 0.88
    law = np.ones(1)
    for _ in range(n):
        law = np.convolve(law, marks)
    means = np.arange(law.size) / (4 * n)
    mean = 0.9
    effective = n * mean * (1 - mean) / float(marks @ (np.arange(5) / 4 - mean) ** 2)
    far = np.flatnonzero((means < mean) & (law > 1e-12))
    critical = normal_quantile(1.0 - tail)

    def crossed(upper):
        return sum(law[at] for at in far if upper(means[at]) < mean)

    assert crossed(lambda share: bounded_limits(share, effective, effective, critical)[1]) <= tail
    assert crossed(lambda share: score_limits(share, effective, critical)[1]) > 1.5 * tail


@pytest.mark.parametrize(
    ("total", "squares", "n"), [(36.0, 34.0, 40), (0.0, 0.0, 50), (50.0, 50.0, 50), (540.0, 520.0, 600)]
)
def test_limits_of_graded_means_are_the_same_one_group_at_a_time_and_many_at_once(total, squares, n) -> None:
    graded = Scale(0.0, 1.0, "higher")
    cell = Cell("", 1, 0.001, n, 0, 0, total, squares)
    for confidence in (0.95, 0.999, 1 - 2e-5):
        one = estimate_mean([cell], graded, DAY, confidence=confidence)
        (many,) = estimate_means([[cell]], [graded], [DAY], offered=[None], rates=[{}], confidence=confidence)
        assert (one.low, one.high) == pytest.approx((many.low, many.high), abs=1e-9)
