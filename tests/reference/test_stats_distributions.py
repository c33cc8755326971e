"""Quantiles and tails against scipy's. Tolerance: 1e-8 relative where an interval can ask for them."""

import pytest
from scipy import stats

from evalsvc.errors import InputError
from evalsvc.stats.distributions import (
    beta_quantile,
    binomial_tails,
    incomplete_beta,
    normal_quantile,
    t_quantile,
    two_sided,
)


@pytest.mark.parametrize("degrees", [1, 1.3, 2, 2.5, 3, 4.9, 7.7, 10, 50, 1e3, 9.9e4, 1.1e5, 1e9])
@pytest.mark.parametrize("probability", [0.01, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9999])
def test_t_quantile(probability: float, degrees: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-8)


def test_t_quantile_below_one_degree_counts_as_one() -> None:
    assert t_quantile(0.975, 0.2) == t_quantile(0.975, 1.0)


@pytest.mark.parametrize("probability", [0.025, 0.9, 0.975])
def test_normal_quantile(probability: float) -> None:
    assert normal_quantile(probability) == pytest.approx(stats.norm.ppf(probability), rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "probability"),
    [
        (0, 10, 0.1),
        (10, 10, 0.9),
        (3, 10, 0.2),
        (5, 1000, 0.01),
        (1100, 100_000, 0.01),
        (100_500, 10**7, 0.01),
    ],
)
def test_binomial_tails(successes: int, trials: int, probability: float) -> None:
    lower, upper = binomial_tails(successes, trials, probability)
    assert lower == pytest.approx(stats.binom.cdf(successes, trials, probability), rel=1e-7)
    assert upper == pytest.approx(stats.binom.sf(successes - 1, trials, probability), rel=1e-7)


@pytest.mark.parametrize(("a", "b"), [(0.5, 50.5), (2.5, 48.2), (1.5, 1.5), (300.5, 7000.0), (40.0, 0.5)])
@pytest.mark.parametrize("probability", [0.005, 0.025, 0.5, 0.975])
def test_beta(a: float, b: float, probability: float) -> None:
    expected = stats.beta.ppf(probability, a, b)
    assert beta_quantile(probability, a, b, a / (a + b)) == pytest.approx(expected, rel=1e-7)
    assert incomplete_beta(a, b, expected) == pytest.approx(probability, rel=1e-7)


@pytest.mark.parametrize("probability", [1e-6, 0.025, 0.5, 0.975, 1.0 - 1e-6])
@pytest.mark.parametrize("a", [1e-3, 1.2, 40.0])
@pytest.mark.parametrize("b", [1e-6, 1e-3, 0.3, 2.0])
def test_quantiles_nearer_to_an_end_than_any_float_are_that_end(probability: float, a: float, b: float) -> None:
    expected = float(stats.beta.ppf(probability, a, b))
    assert beta_quantile(probability, a, b, 0.5) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 95.0])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(InputError, match=r"such as 0\.95"):
        two_sided(confidence)


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(InputError, match="11 of 10"):
        binomial_tails(11, 10, 0.5)
