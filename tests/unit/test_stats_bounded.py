"""Gaffke's limits, beside Clopper and Pearson's, beside drawn Dirichlet shares, and how often they err."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from evalsvc.stats.bounded import BoundedMean, chance_of_no_gain


@pytest.mark.parametrize(("n", "k"), [(5, 0), (20, 19), (50, 40), (50, 48), (200, 199), (200, 200), (2000, 1990)])
@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99, 0.99999])
def test_of_yes_and_no_they_are_those_of_clopper_and_pearson(n: int, k: int, confidence: float) -> None:
    low, high = BoundedMean(np.repeat([1.0, 0.0], [k, n - k]), np.ones(n)).limits(confidence)
    tail = (1.0 - confidence) / 2.0
    exact = (0.0 if k == 0 else beta.ppf(tail, k, n - k + 1), 1.0 if k == n else beta.ppf(1.0 - tail, k + 1, n - k))
    tolerance = 1e-9 if k in (0, n) else 5e-4
    assert (low, high) == pytest.approx(exact, abs=tolerance)


@pytest.mark.parametrize("number", [0.9, 0.95, 0.97])
def test_their_p_is_the_binomial_tail(number: float) -> None:
    scores = np.repeat([1.0, 0.0], [97, 3])
    mean = BoundedMean(scores, np.ones(100))
    assert mean.above(number) == pytest.approx(binom.sf(96, 100, number), rel=0.02)
    assert mean.below(number) == pytest.approx(binom.cdf(97, 100, number), rel=0.02)


@pytest.mark.parametrize("kind", ["near 0.9", "all over", "rare zeros", "unequal groups"])
def test_they_are_quantiles_of_drawn_shares(kind: str) -> None:
    """The mean of the groups and one more at the end, where the shares of all are drawn from Dirichlet(1, …, 1)."""
    rng = np.random.default_rng(5)
    weights = rng.integers(1, 9, 40).astype(float) if kind == "unequal groups" else np.ones(40)
    scores = {
        "near 0.9": 0.9 + 0.05 * (rng.random(40) - 0.5),
        "all over": rng.random(40),
        "rare zeros": np.where(rng.random(40) < 0.1, 0.0, 0.9),
        "unequal groups": rng.beta(4.0, 2.0, 40),
    }[kind]
    mean = BoundedMean(scores * weights, weights)
    more = (weights**2).sum() / weights.sum()
    drawn = rng.exponential(size=(200_000, 41))
    held = drawn[:, :40] @ weights + drawn[:, 40] * more
    lower, upper = ((drawn[:, :40] @ (scores * weights) + drawn[:, 40] * more * end) / held for end in (0.0, 1.0))
    for confidence in (0.8, 0.9, 0.98):
        tail = (1.0 - confidence) / 2.0
        expected = (np.quantile(lower, tail), np.quantile(upper, 1.0 - tail))
        assert mean.limits(confidence) == pytest.approx(expected, abs=1.5e-3)


def test_limits_are_where_p_is_the_level() -> None:
    weights = np.array([1.0, 2.0, 5.0] * 20)
    mean = BoundedMean(np.random.default_rng(1).random(60) * weights, weights)
    for confidence in (0.5, 0.9, 0.9999):
        low, high = mean.limits(confidence)
        assert mean.above(low) == pytest.approx((1.0 - confidence) / 2.0, rel=1e-5)
        assert mean.below(high) == pytest.approx((1.0 - confidence) / 2.0, rel=1e-5)
        assert low < mean.mean < high


def test_the_other_end_is_the_mirror() -> None:
    weights = np.array([1.0, 3.0] * 15)
    scores = np.random.default_rng(2).random(30)
    mean = BoundedMean(scores * weights, weights)
    mirrored = BoundedMean((1.0 - scores) * weights, weights)
    assert mean.limits(0.95) == pytest.approx(tuple(1.0 - limit for limit in reversed(mirrored.limits(0.95))))
    assert mean.above(0.3) == pytest.approx(mirrored.below(0.7))


def test_a_number_at_or_beyond_an_end_is_certain() -> None:
    mean = BoundedMean(np.full(10, 0.5), np.ones(10))
    assert (mean.above(0.0), mean.above(1.0), mean.below(1.0), mean.below(0.0)) == (0.0, 1.0, 0.0, 1.0)
    assert BoundedMean(np.zeros(10), np.ones(10)).limits(0.9)[0] == 0.0
    assert BoundedMean(np.ones(10), np.ones(10)).limits(0.9)[1] == 1.0


@pytest.mark.parametrize("spread", [1e-9, 1e-6, 1e-3, 1.0])
def test_near_the_mean_the_saddlepoint_is_flat(spread: float) -> None:
    """There the two terms of the approximation are each near infinity, and their difference is rounded away."""
    distances = np.append(spread * (np.arange(50.0) - 24.5), 0.0)
    once = np.ones(51)
    assert chance_of_no_gain(distances, once) == pytest.approx(0.5, abs=1e-6)
    shifted = [
        chance_of_no_gain(distances + spread * shift, once) for shift in (-1e-2, -1e-4, -1e-6, 0.0, 1e-6, 1e-4, 1e-2)
    ]
    assert shifted == sorted(shifted, reverse=True)


@pytest.mark.parametrize("k", [30, 27])
def test_groups_that_stand_for_several_are_as_many(k: int) -> None:
    few, many = (
        BoundedMean(np.repeat([1.0, 0.0], [k * times, (30 - k) * times]), np.ones(30 * times)) for times in (1, 4)
    )
    planned = few._replace(copies=4.0)
    assert planned.limits(0.9) == pytest.approx(many.limits(0.9))
    assert (planned.error, planned.mean) == pytest.approx((many.error, many.mean))


@pytest.mark.parametrize("n", [20, 50])
@pytest.mark.parametrize(
    ("values", "chances"),
    [
        ([0.0, 0.9], [0.05, 0.95]),
        ([0.0, 0.5, 1.0], [0.02, 0.08, 0.9]),
        ([0.3, 1.0], [0.1, 0.9]),
        ([0.0, 1.0], [0.5, 0.5]),
    ],
)
def test_they_err_no_more_often_than_they_say(n: int, values: list[float], chances: list[float]) -> None:
    rng = np.random.default_rng(3)
    truth = float(np.dot(values, chances))
    wrong = np.zeros(2)
    for _ in range(1500):
        mean = BoundedMean(rng.choice(values, n, p=chances), np.ones(n))
        wrong += [mean.above(truth) <= 0.05, mean.below(truth) <= 0.05]
    assert (wrong / 1500 <= 0.05 + 2.5 * (0.05 * 0.95 / 1500) ** 0.5).all()
