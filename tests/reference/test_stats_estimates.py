"""Estimates against textbook formulas, scipy, statsmodels and simulation."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from evalsvc.stats import (
    bin_edges,
    bin_of,
    bin_value,
    estimate_mean,
    estimate_proportion,
    estimate_quantile,
    estimate_total,
    sample_extreme,
)
from evalsvc.stats.limits import binary_limits, moments, score_limits, wilson
from evalsvc.types import Cell, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
UNIT = Scale(0.0, 1.0, "higher")
OPEN = Scale(None, None, "neither")
POSITIVE = Scale(0.0, None, "lower")


def cell(values, pi=1.0, stratum="all", *, missing=0, sessions=None):
    values = np.asarray(values, dtype=float)
    clusters = ()
    if sessions is not None:
        _, inverse = np.unique(sessions, return_inverse=True)
        counts, sums = np.bincount(inverse), np.bincount(inverse, weights=values)
        clusters = (counts.size, float(counts @ counts), float(counts @ sums), float(sums @ sums))
    total, squares = float(values.sum()), float(values @ values)
    ends = (float(values.min()), float(values.max())) if values.size else (None, None)
    return Cell(stratum, 1, pi, values.size, missing, 0, total, squares, *ends, *clusters)


@pytest.mark.parametrize(("count", "n"), [(0, 20), (1, 50), (7, 30), (30, 30), (450, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_is_statsmodels(count: int, n: int, confidence: float) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    expected = proportion.proportion_confint(count, n, alpha=1 - confidence, method="wilson")
    assert wilson(count / n, n, confidence) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("count", "n"), [(1, 50), (2, 50), (4, 60), (7, 200), (45, 50), (49, 50)])
def test_the_near_end_is_jeffreys_and_of_few_failures_clopper_and_pearsons_one_sided(count: int, n: int) -> None:
    low, high = binary_limits(count / n, n, stats.norm.ppf(0.975))
    failed, mirrored = min(count, n - count), count > n / 2
    near, far = wilson(failed / n, n, 0.95)
    near = min(near, stats.beta.ppf(0.025, failed + 0.5, n - failed + 0.5))
    if failed < 4:
        near = min(near, stats.beta.ppf(0.05, failed, n - failed + 1))
        far = min(far, stats.beta.ppf(0.975, failed + 1, n - failed))
    assert (low, high) == pytest.approx((1 - far, 1 - near) if mirrored else (near, far), rel=1e-6)


def test_one_light_stratum_is_the_textbook_t_interval() -> None:
    # With π near 0 the finite population leaves nothing to correct: Student's interval of scipy.
    values = np.random.default_rng(1).normal(3.0, 2.0, 25)
    estimate = estimate_mean([cell(values, pi=1e-9)], OPEN, DAY)
    expected = stats.t.interval(0.95, 24, loc=values.mean(), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(expected, rel=1e-6)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.n_effective == pytest.approx(25)


def test_simple_random_sample_with_finite_population() -> None:
    # Cochran 1977, section 2.6 and 2.13: v(ȳ) = (1 - f) s²/n.
    values = np.random.default_rng(2).normal(0.0, 1.0, 40)
    estimate = estimate_mean([cell(values, pi=0.4)], OPEN, DAY, offered={("all", 1): 100})
    half = stats.t.ppf(0.975, 39) * math.sqrt((1 - 0.4) * values.var(ddof=1) / 40)
    assert estimate.high - estimate.value == pytest.approx(half, rel=1e-9)
    assert estimate.offered == 100


def test_stratified_mean_with_satterthwaite() -> None:
    # Cochran 1977, sections 5.3 and 5.4: v = ΣW²(1-f)s²/n and (Σg s²)²/Σ(g²s⁴/(n-1)), for strata not pooled.
    rng = np.random.default_rng(3)
    samples = {"a": (rng.normal(0, 1, 30), 0.3, 100), "b": (rng.normal(5, 3, 25), 0.01, 2500)}
    cells = [cell(values, pi, name) for name, (values, pi, _) in samples.items()]
    estimate = estimate_mean(cells, OPEN, DAY, offered={(k, 1): n for k, (_, _, n) in samples.items()})
    weights = {name: n / 2600 for name, (_, _, n) in samples.items()}
    variances = {
        name: weights[name] ** 2 * (1 - values.size / n) * values.var(ddof=1) / values.size
        for name, (values, _, n) in samples.items()
    }
    degrees = sum(variances.values()) ** 2 / sum(v * v / (samples[k][0].size - 1) for k, v in variances.items())
    half = stats.t.ppf(0.975, degrees) * math.sqrt(sum(variances.values()))
    assert estimate.value == pytest.approx(sum(weights[k] * v.mean() for k, (v, _, _) in samples.items()))
    assert estimate.high - estimate.value == pytest.approx(half, rel=1e-9)


def test_two_strata_joined_by_mover() -> None:
    # Zou & Donner 2008, equation (2), with each stratum's Wilson-Jeffreys interval.
    cells = [cell([1] + [0] * 24, 0.01, "a"), cell([1] * 30 + [0] * 70, 0.1, "b")]
    estimate = estimate_mean(cells, BINARY, DAY, offered={("a", 1): 2500, ("b", 1): 1000})
    weights, means = (2500 / 3500, 1000 / 3500), (0.04, 0.3)
    critical = stats.norm.ppf(0.975)
    limits = [binary_limits(0.04, 25 / 0.99, critical), binary_limits(0.3, 100 / 0.9, critical)]
    value = sum(w * p for w, p in zip(weights, means, strict=True))
    below = math.sqrt(sum((w * (p - x[0])) ** 2 for w, p, x in zip(weights, means, limits, strict=True)))
    above = math.sqrt(sum((w * (x[1] - p)) ** 2 for w, p, x in zip(weights, means, limits, strict=True)))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, value - below, value + above))


def test_linearised_variance_is_that_of_many_samples() -> None:
    # Brute force: the variance of the mean over 8,000 Poisson samples of one population; tolerance 6 %, four
    # standard errors of such a variance.
    rng = np.random.default_rng(4)
    values = rng.gamma(2.0, 1.0, 1000)
    taken = rng.random((8000, 1000)) < 0.2
    means = (taken @ values) / taken.sum(axis=1)
    variances = [0.8 * moments([cell(values[chosen], 0.2)]).variance for chosen in taken[:500]]
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.06)


def test_cluster_variance_is_statsmodels() -> None:
    # A mean with clusters is a regression on a constant: HC1-type cluster-robust variance, m/(m-1).
    linear = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    rng = np.random.default_rng(5)
    sessions = np.repeat(np.arange(30), rng.integers(1, 8, 30))
    values = rng.normal(0, 1, 30)[sessions] + rng.normal(0, 0.5, sessions.size)
    model = linear.OLS(values, np.ones(values.size))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": sessions, "use_t": True})
    # statsmodels multiplies by (n-1)/(n-k) as well, which is 1 for one coefficient.
    assert moments([cell(values, 0.5, sessions=sessions)]).variance == pytest.approx(fit.bse[0] ** 2, rel=1e-9)


def test_a_stratum_taken_whole_has_no_doubt() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    for scale in (BINARY, UNIT, OPEN, POSITIVE):
        estimate = estimate_mean([cell(values)], scale, DAY, offered={("all", 1): 5})
        assert (estimate.low, estimate.high) == (pytest.approx(0.6), pytest.approx(0.6)), scale


def test_unseen_failures_of_a_light_stratum_are_not_ruled_out() -> None:
    cells = [cell([0.0] * 18, 0.01, "light"), cell([1.0] * 10 + [0.0] * 190, 1.0, "whole")]
    estimate = estimate_mean(cells, BINARY, DAY, offered={("light", 1): 1800, ("whole", 1): 200})
    assert estimate.value == pytest.approx(0.005)
    assert estimate.high > 0.1


def test_nothing_scored() -> None:
    for made in (
        estimate_mean([], BINARY, DAY),
        estimate_mean([cell([], missing=7)], UNIT, DAY, offered={("all", 1): 7}),
        estimate_total([cell([], missing=7)], POSITIVE, DAY, offered={("all", 1): 7}),
        estimate_quantile({}, 0.5, POSITIVE, DAY),
        sample_extreme([cell([], missing=7)], "min", DAY),
    ):
        assert (made.value, made.low, made.high) == (None, None, None)
        assert "scored" in made.reason
    assert estimate_mean([cell([], missing=7)], UNIT, DAY).missing_share == 1.0
    assert estimate_mean([cell([], missing=7)], UNIT, DAY).n_missing == 7


@pytest.mark.parametrize(("values", "reason"), [([3.0], "one score"), ([3.0, 3.0, 3.0], "equal")])
def test_an_open_scale_needs_a_spread(values: list[float], reason: str) -> None:
    estimate = estimate_mean([cell(values, 0.1)], POSITIVE, DAY)
    assert (estimate.value, estimate.low, estimate.high) == (3.0, None, None)
    assert reason in estimate.reason


def test_one_score_of_a_bounded_scale_has_a_wide_interval() -> None:
    estimate = estimate_mean([cell([0.7], 0.1)], UNIT, DAY)
    assert estimate.low < 0.2
    assert estimate.high > 0.95


def test_missing_scores_are_weighted_and_not_zero() -> None:
    cells = [cell([1.0] * 10, 0.1, "a", missing=10), cell([0.0] * 40, 1.0, "b")]
    estimate = estimate_mean(cells, BINARY, DAY, offered={("a", 1): 200, ("b", 1): 40})
    assert estimate.missing_share == pytest.approx(100 / 240)
    # Half of a's events can be scored: 100 ones beside 40 zeros.
    assert estimate.value == pytest.approx(100 / 140)
    assert (estimate.n, estimate.n_missing) == (50, 10)


def test_a_stratum_without_a_score_widens_by_its_weight() -> None:
    cells = [cell([1.0] * 50 + [0.0] * 50, 1.0, "seen")]
    estimate = estimate_mean(cells, BINARY, DAY, offered={("seen", 1): 100, ("unseen", 1): 25})
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.4, 0.6))
    assert "20.0%" in estimate.reason


def test_a_stratum_without_a_score_is_left_out_of_an_open_scale_where_it_is_small() -> None:
    cells = [cell([100.0, 200.0], 1.0, "seen")]
    estimate = estimate_mean(cells, POSITIVE, DAY, offered={("seen", 1): 2, ("unseen", 1): 2})
    assert (estimate.value, estimate.low, estimate.high) == (150.0, 75.0, None)
    assert "50.0% of the events lie in strata without a score: no upper limit" in estimate.reason
    cells = [cell([100.0, 200.0] * 49, 1.0, "seen")]
    estimate = estimate_mean(cells, POSITIVE, DAY, offered={("seen", 1): 98, ("unseen", 1): 2})
    assert (estimate.value, estimate.low, estimate.high) == (150.0, 150.0, 150.0)
    assert "2.0% of the events lie in strata without a score: left out" in estimate.reason


def test_sparse_strata_of_one_pi_are_pooled() -> None:
    cells = [cell([1.0, 0.0], 0.01, f"s{i}") for i in range(20)]
    offered = {(f"s{i}", 1): 200 for i in range(25)}
    pooled = estimate_mean(cells, BINARY, DAY, offered=offered, rates={(f"s{i}", 1): 0.01 for i in range(25)})
    single = estimate_mean([cell([1.0, 0.0] * 20, 0.01)], BINARY, DAY, offered={("all", 1): 5000})
    assert (pooled.low, pooled.high) == pytest.approx((single.low, single.high))
    assert pooled.reason == ""


def test_a_level_of_pi_without_scores_may_hide_events() -> None:
    cells = [cell([0.0] * 50, 1.0, "always")]
    alone = estimate_mean(cells, BINARY, DAY)
    beside = estimate_mean(cells, BINARY, DAY, rates={("light", 1): 0.01})
    assert alone.high == 0.0
    # 298 events are all left out with a probability of 0.99^298 = 5.003 %: so many may hide beside the 50.
    assert beside.high == pytest.approx(298 / (50 + 298), rel=1e-9)
    assert beside.reason.startswith("up to 298 events of this group may lie in strata of which none of it was sampled")
    few = estimate_mean(cells, BINARY, DAY, rates={("light", 1): 0.01}, untaken={("light", 1): 30})
    assert few.high == pytest.approx(30 / (50 + 30)), "no more than were not taken"
    sessions = [cell([0.0] * 50, 1.0, "always", sessions=np.repeat(np.arange(10), 5))]
    grouped = estimate_mean(sessions, BINARY, DAY, rates={("light", 1): 0.01})
    assert grouped.high == pytest.approx(5 * 298 / (50 + 5 * 298)), "it is sessions of 5 that chance leaves out"


LIGHT = {"always": 1.0, "light": 0.01}


@pytest.mark.parametrize("estimator", [estimate_mean, estimate_total])
@pytest.mark.parametrize("scale", [BINARY, UNIT, POSITIVE, OPEN])
def test_no_interval_is_a_point_while_events_may_hide(estimator, scale) -> None:
    rates = {(name, 1): pi for name, pi in LIGHT.items()}
    estimate = estimator([cell([0.0, 1.0, 1.0, 0.0] * 25, 1.0, "always")], scale, DAY, rates=rates)
    assert estimate.value in (0.5, 50.0)
    assert "up to 298 events" in estimate.reason
    if scale.bounded:
        most = 298 / 398 if estimator is estimate_mean else 298
        above, below = (0.5, 0.5) if estimator is estimate_mean else (1.0, 0.0)
        assert estimate.high == pytest.approx(estimate.value + above * most)
        assert estimate.low == pytest.approx(estimate.value - below * most)
        return
    assert estimate.high is None
    lowest = 0.5 - 0.5 * 298 / 398 if estimator is estimate_mean else 50.0
    assert estimate.low == (None if scale is OPEN else pytest.approx(lowest))


@pytest.mark.parametrize("which", ["min", "max"])
def test_an_extreme_has_no_limits_while_events_may_hide(which) -> None:
    cells = [cell([1.0, 2.0], 1.0, "always")]
    whole = sample_extreme(cells, which, DAY, rates={("always", 1): 1.0})
    assert whole.low == whole.high == whole.value
    part = sample_extreme(cells, which, DAY, rates={("light", 1): 0.01}, untaken={("light", 1): 40})
    assert (part.low, part.high) == (None, None)
    assert "up to 40 events of this group" in part.reason


def test_totals() -> None:
    cells = [cell([2.0] * 30 + [4.0] * 30, 0.1, "a"), cell([1.0, 5.0], 1.0, "b")]
    offered = {("a", 1): 600, ("b", 1): 2}
    estimate = estimate_total(cells, POSITIVE, DAY, offered=offered)
    assert estimate.value == pytest.approx(1800 + 6)
    mean = estimate_mean(cells, POSITIVE, DAY, offered=offered)
    assert (estimate.low, estimate.high) == pytest.approx((mean.low * 602, mean.high * 602))
    assert estimate_total([cell([1.0] * 4, 0.5, missing=4)], POSITIVE, DAY, offered={("all", 1): 16}).value == 8.0


@pytest.mark.parametrize("offered", [None, {("all", 1): 16}])
def test_failed_scores_count_as_the_others_in_a_total_and_abstained_ones_add_nothing(offered) -> None:
    abstained = cell([1.0] * 4, 0.5, missing=4)
    failed = Cell("all", 1, 0.5, 4, 0, 4, 4.0, 4.0)
    nothing, alike = (estimate_total([c], POSITIVE, DAY, offered=offered) for c in (abstained, failed))
    assert (nothing.value, alike.value) == pytest.approx((8.0, 16.0))
    assert nothing.reason.endswith("4 abstained scores add nothing")
    assert alike.reason.endswith("4 failed scores are taken to be like the others")
    assert nothing.missing_share == alike.missing_share == 0.5
    # Of a window that was taken whole, what failed is still not known.
    whole = estimate_total([Cell("all", 1, 1.0, 8, 0, 8, 6.0, 6.0)], BINARY, DAY, offered=offered)
    assert whole.value == pytest.approx(12.0)
    assert 6.0 <= whole.low < 12.0 < whole.high


def test_a_level_of_which_all_scores_failed_is_no_zero() -> None:
    cells = [cell([1.0, 3.0] * 10, 1.0, "always"), Cell("light", 1, 0.1, 0, 0, 3, 0.0, 0.0)]
    cost = estimate_total(cells, POSITIVE, DAY)
    assert (cost.value, cost.low, cost.high) == (40.0, 40.0, None)
    assert "some 30 events of one level of π, whose scores all failed, are left out" in cost.reason
    bounded = estimate_total(cells, Scale(0.0, 3.0, "lower"), DAY)
    assert (bounded.low, bounded.high) == (40.0, pytest.approx(40.0 + 30 * 3.0))


def test_a_total_has_no_upper_limit_while_a_stratum_has_no_score() -> None:
    offered = {("a", 1): 20, ("b", 1): 20}
    total = estimate_total([cell([1.0, 3.0] * 10, 1.0, "a")], POSITIVE, DAY, offered=offered)
    assert (total.value, total.low, total.high) == (40.0, 40.0, None)
    assert total.reason == "50.0% of the events lie in strata without a score: no upper limit"


def test_horvitz_thompson_total() -> None:
    # Särndal, Swensson & Wretman 1992, result 3.2.1 (Poisson sampling): v = Σ(1-π)(y/π)².
    values = np.random.default_rng(6).normal(0, 5, 60)
    estimate = estimate_total([cell(values, 0.2)], OPEN, DAY)
    error = math.sqrt((1 - 0.2) * (values**2).sum()) / 0.2
    assert estimate.value == pytest.approx(values.sum() / 0.2)
    assert estimate.high - estimate.value == pytest.approx(stats.t.ppf(0.975, 59) * error, rel=1e-9)
    count = estimate_total([cell([0.0] * 30, 0.1)], BINARY, DAY)
    assert (count.value, count.low) == (0.0, 0.0)
    assert count.high == pytest.approx(stats.norm.ppf(0.975) ** 2 * 9)


@pytest.mark.parametrize("failures", [1, 2, 3, 5, 30])
def test_the_lower_limit_of_few_failures_is_garwoods(failures: int) -> None:
    # What was taken whole is certain, and no more than added.
    cells = [cell([1.0] * failures + [0.0] * 900, 1e-4, "light"), cell([1.0] * 40, 1.0, "whole")]
    count = estimate_total(cells, BINARY, DAY)
    z2 = stats.norm.ppf(0.975) ** 2
    score = failures + z2 / 2 - math.sqrt(z2 * z2 / 4 + z2 * failures)
    low = min(score, stats.gamma.ppf(0.025, failures + 0.5))
    if failures < 4:
        low = min(low, stats.gamma.ppf(0.05, failures))
    assert count.low == pytest.approx(40 + 1e4 * low, rel=2e-3)
    assert count.high == pytest.approx(
        40 + 1e4 * (failures + z2 / 2 + math.sqrt(z2 * z2 / 4 + z2 * failures)), rel=1e-3
    )


def test_a_proportion_is_of_a_binary_metric() -> None:
    assert estimate_proportion([cell([1.0, 0.0], 0.5)], BINARY, DAY).statistic == "proportion"
    with pytest.raises(ValueError, match="binary"):
        estimate_proportion([cell([1.0, 0.0], 0.5)], UNIT, DAY)


def test_bins() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([10 ** rng.uniform(-8, 9, 3000), -(10 ** rng.uniform(-8, 9, 3000)), [0.0, 1.0, -1.0]])
    indices = [bin_of(value) for value in np.sort(values)]
    assert indices == sorted(indices)
    for value in values:
        low, high = bin_edges(bin_of(value))
        assert low * (1 - 1e-12 * np.sign(low)) <= value <= high * (1 + 1e-12 * np.sign(high))
        assert bin_value(bin_of(value)) == pytest.approx(value, rel=0.00991)


def bins_of(values, pi=1.0, stratum="all"):
    found: dict[int, int] = {}
    for value in values:
        found[bin_of(value)] = found.get(bin_of(value), 0) + 1
    return {(stratum, 1, pi): found}


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95, 0.99])
def test_quantiles_are_numpys(probability: float) -> None:
    values = np.random.default_rng(8).lognormal(5, 1, 5000)
    estimate = estimate_quantile(bins_of(values, 0.01), probability, POSITIVE, DAY)
    expected = np.quantile(values, probability, method="inverted_cdf")
    assert estimate.value == pytest.approx(expected, rel=0.0101)
    # Order statistics at the ends of the binomial interval of the rank (David & Nagaraja 2003, section 7.1).
    ranks = stats.binom.ppf([0.025, 0.975], 5000, probability).astype(int)
    assert (estimate.low, estimate.high) == pytest.approx(np.sort(values)[ranks], rel=0.025)


def test_of_few_sessions_a_quantiles_interval_is_students() -> None:
    values = np.random.default_rng(9).lognormal(5, 1, 100)
    few = cell(values, 0.001, sessions=np.repeat(np.arange(5), 20))
    bins = bins_of(values, 0.001)
    sessions = estimate_quantile(bins, 0.5, POSITIVE, DAY, cells=[few])
    events = estimate_quantile(bins, 0.5, POSITIVE, DAY, cells=[cell(values, 0.001)])
    assert sessions.method.endswith(", clustered")
    assert "clustered" not in events.method
    # The share below a limit is as far from a half as Wilson's with the t of 4 degrees of freedom.
    m = moments([few])
    n = 100 / max(1.0, m.variance / moments([cell(values, 0.001)]).variance)
    low, high = score_limits(0.5, n, stats.t.ppf(0.975, 4))
    ranks = [math.ceil(100 * low) - 1, math.floor(100 * high)]
    assert (sessions.low, sessions.high) == pytest.approx(np.sort(values)[ranks], rel=0.05)
    assert sessions.high / sessions.low > 1.3 * events.high / events.low


def test_quantiles_with_too_few_scores_have_no_upper_limit() -> None:
    estimate = estimate_quantile(bins_of([1.0, 2.0, 3.0], 0.1), 0.95, POSITIVE, DAY)
    assert estimate.value == pytest.approx(3.0, rel=0.01)
    assert estimate.high is None
    assert "upper" in estimate.reason
    assert estimate_quantile(bins_of([0.1, 0.2, 0.3], 0.1), 0.95, UNIT, DAY).high == 1.0


def test_a_quantile_weighs_by_pi_and_is_exact_when_whole() -> None:
    bins = bins_of([10.0] * 5, 0.1, "light") | bins_of([1.0] * 40, 1.0, "whole")
    assert estimate_quantile(bins, 0.5, POSITIVE, DAY).value == pytest.approx(10.0, rel=0.01)
    whole = estimate_quantile(bins_of([1.0, 2.0, 3.0]), 0.5, POSITIVE, DAY, offered={("all", 1): 3})
    assert whole.low <= 2.0 <= whole.high
    assert whole.high / whole.low == pytest.approx(1.02)
    with pytest.raises(ValueError, match=r"such as 0\.95"):
        estimate_quantile(bins, 95, POSITIVE, DAY)


def test_extremes_have_limits_only_when_everything_was_seen() -> None:
    whole = sample_extreme([cell([3.0, 5.0])], "max", DAY, offered={("all", 1): 2})
    assert (whole.value, whole.low, whole.high) == (5.0, 5.0, 5.0)
    some = sample_extreme([cell([3.0, 5.0], 0.5)], "min", DAY, offered={("all", 1): 4})
    assert (some.value, some.low) == (3.0, None)
    assert "lower" in some.reason
