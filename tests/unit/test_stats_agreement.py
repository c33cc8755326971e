"""Agreement of raters: what is undefined says so, small panels are named, bad tables are refused."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.stats import cohen_kappa, gwet_ac, krippendorff_alpha, percent_agreement

ALL = [percent_agreement, cohen_kappa, krippendorff_alpha, gwet_ac]
NAN = math.nan
MIXED = [[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 10 + [[0, 0]] * 15


@pytest.mark.parametrize("statistic", ALL)
@pytest.mark.parametrize(
    "ratings",
    [np.zeros((0, 2)), [[1, NAN], [NAN, 0]], [[NAN, NAN]] * 3],
    ids=["no items", "no pair", "all missing"],
)
def test_without_a_pair_there_is_no_value(statistic, ratings) -> None:
    found = statistic(ratings)
    assert (found.value, found.low, found.high, found.n_items) == (None, None, None, 0)
    assert found.reason == "no item was rated twice"


@pytest.mark.parametrize("statistic", [cohen_kappa, krippendorff_alpha, gwet_ac])
def test_one_category_leaves_chance_untold(statistic) -> None:
    found = statistic([[1, 1]] * 10)
    assert found.value is None
    assert "one category" in found.reason


def test_one_category_of_two_possible_ones_has_an_ac1() -> None:
    found = gwet_ac([[1, 1]] * 10, categories=(0, 1))
    assert found.value == 1.0
    assert found.high == 1.0
    assert 0.4 < found.low < 0.9


@pytest.mark.parametrize("statistic", ALL)
def test_full_agreement_is_not_certainty(statistic) -> None:
    found = statistic([[1, 1]] * 10 + [[0, 0]] * 10)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.5 < found.low < 0.95


@pytest.mark.parametrize("statistic", ALL)
def test_full_disagreement(statistic) -> None:
    found = statistic([[1, 0]] * 10 + [[0, 1]] * 10)
    assert found.value <= 0.03
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("statistic", ALL)
def test_one_item_has_a_value_and_no_interval(statistic) -> None:
    found = statistic([[1, 0]])
    assert found.value is not None
    assert (found.low, found.high, found.standard_error) == (None, None, None)
    assert found.reason == "one item tells nothing of the spread"


def test_two_items_have_limits() -> None:
    found = cohen_kappa([[1, 1], [0, 0]])
    assert found.low < 0 < found.high


def test_a_small_panel_says_so() -> None:
    assert cohen_kappa(MIXED[15:23]).note == "8 items and 2 raters: too few for more than a hint"
    assert cohen_kappa(MIXED).note == ""


def test_what_was_counted() -> None:
    found = krippendorff_alpha([[1, 1, NAN], [2, NAN, NAN], [2, 1, 2], [1, 1, 1]])
    assert (found.n_items, found.n_raters, found.n_ratings, found.n_missing) == (3, 3, 8, 3)
    assert found.method == "linearised over items, wilson-jeffreys, t"


@pytest.mark.parametrize("statistic", ALL)
def test_more_confidence_is_wider(statistic) -> None:
    narrow, wide = statistic(MIXED, confidence=0.8), statistic(MIXED, confidence=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize("statistic", ALL)
def test_bad_tables_are_refused(statistic) -> None:
    with pytest.raises(InputError, match="shape"):
        statistic([1.0, 2.0])
    with pytest.raises(InputError, match="numbers"):
        statistic([["good", "bad"]])
    with pytest.raises(InputError, match="finite"):
        statistic([[1.0, math.inf]])
    with pytest.raises(InputError, match="confidence"):
        statistic(MIXED, confidence=95)


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="two raters"):
        cohen_kappa([[1, 1, 1]])
    with pytest.raises(InputError, match="`categories`"):
        gwet_ac(MIXED, categories=(1, 2))
    with pytest.raises(InputError, match="`weights`"):
        gwet_ac(MIXED, weights="cubic")
    with pytest.raises(InputError, match="`level`"):
        krippendorff_alpha(MIXED, level="ratio")


FIVE = np.random.default_rng(5).integers(0, 3, (40, 2)).astype(float)


@pytest.mark.parametrize("statistic", [percent_agreement, cohen_kappa, gwet_ac])
@pytest.mark.parametrize("weights", ["nominal", "linear", "quadratic"])
def test_an_item_that_stands_for_three_is_three_items(statistic, weights) -> None:
    times = np.random.default_rng(6).integers(1, 4, 40)
    weighted = statistic(FIVE, weights=weights, item_weights=times)
    assert weighted.value == pytest.approx(statistic(np.repeat(FIVE, times, axis=0), weights=weights).value, abs=1e-12)
    assert weighted.n_effective == pytest.approx(times.sum() ** 2 / (times**2).sum())
    assert weighted.method.startswith("weighted, ")


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_weighted_alpha_is_over_pairs_of_ratings_weighted_by_their_product(level) -> None:
    ratings = np.where(np.random.default_rng(8).random((25, 3)) < 0.2, NAN, np.resize([0, 1, 3, 1, 0, 0, 3], (25, 3)))
    weights = np.random.default_rng(9).uniform(0.1, 5.0, 25)
    flat = [(x, w, i) for i, (row, w) in enumerate(zip(ratings, weights, strict=True)) for x in row if x == x]
    flat = [entry for entry in flat if sum(other[2] == entry[2] for other in flat) > 1]

    def apart(a, b):
        return float(a != b) if level == "nominal" else (a - b) ** 2

    pairs = [(x, y, v * w) for n, (x, v, _) in enumerate(flat) for m, (y, w, _) in enumerate(flat) if n != m]
    expected = sum(apart(x, y) * w for x, y, w in pairs) / sum(w for _, _, w in pairs)
    observed = total = 0.0
    for i, w in enumerate(weights):
        mine = [x for x, _, item in flat if item == i]
        for n, x in enumerate(mine):
            total += w
            others = [y for m, y in enumerate(mine) if m != n]
            observed += w * sum(apart(x, y) for y in others) / len(others)
    found = krippendorff_alpha(ratings, level=level, item_weights=weights)
    assert found.value == pytest.approx(1.0 - observed / total / expected, abs=1e-12)


@pytest.mark.parametrize("statistic", ALL)
def test_weights_count_by_their_ratios_and_clusters_of_one_are_none(statistic) -> None:
    weights = np.random.default_rng(7).uniform(1.0, 9.0, 40)
    base = statistic(FIVE, item_weights=weights)
    scaled = statistic(FIVE, item_weights=weights * 1e200)
    assert (scaled.value, scaled.low) == (pytest.approx(base.value), pytest.approx(base.low))
    alone = statistic(FIVE, item_weights=weights, clusters=[f"c{i}" for i in range(40)])
    assert (alone.low, alone.high) == (pytest.approx(base.low), pytest.approx(base.high))
    assert alone.method == "weighted, linearised over clusters, wilson-jeffreys, t"
    same = statistic(FIVE, item_weights=np.full(40, 7.0))
    assert same == statistic(FIVE)


@pytest.mark.parametrize("statistic", ALL)
def test_clusters_of_equal_items_are_as_many_items_as_clusters(statistic) -> None:
    five = statistic(np.repeat(FIVE, 5, axis=0), clusters=np.repeat(np.arange(40), 5).tolist())
    once = statistic(FIVE)
    assert five.n_clusters == 40
    assert five.high - five.low == pytest.approx(once.high - once.low, rel=0.06)
    # Sessions in which all agree are no more certain than one item each; α's D_e has 99/100 of its pairs, not 9/10.
    certain = statistic([[1, 1]] * 50 + [[0, 0]] * 50, clusters=np.repeat(np.arange(10), 10).tolist())
    assert certain.low == pytest.approx(statistic([[1, 1]] * 5 + [[0, 0]] * 5).low, abs=0.04)
    lone = statistic(MIXED, clusters=["one"] * len(MIXED))
    assert (lone.low, lone.reason) == (None, "one cluster tells nothing of the spread")


def test_item_weights_and_clusters_are_checked() -> None:
    for wrong in ([1.0], np.zeros(50), np.full(50, NAN), ["a"] * 50):
        with pytest.raises(InputError, match="`item_weights`"):
            cohen_kappa(MIXED, item_weights=wrong)
    with pytest.raises(InputError, match="cluster for each"):
        cohen_kappa(MIXED, clusters=["a"])


def matrix_alpha(ratings, level):
    """Krippendorff's α from the matrix of all categories."""
    names, places = np.unique(ratings, return_inverse=True)
    counts = np.zeros((len(ratings), names.size))
    np.add.at(counts, (np.repeat(np.arange(len(ratings)), ratings.shape[1]), places.ravel()), 1.0)
    totals = counts.sum(axis=0)
    at = names if level == "interval" else np.cumsum(totals) - totals / 2.0
    delta = (at[:, None] - at[None, :]) ** 2
    n = counts.sum()
    observed = ((counts @ delta) * counts).sum() / (ratings.shape[1] - 1.0) / n
    return 1.0 - observed / (totals @ delta @ totals / (n * (n - 1.0)))


@pytest.mark.parametrize("level", ["ordinal", "interval"])
def test_continuous_ratings_need_no_matrix_of_categories(level) -> None:
    rng = np.random.default_rng(11)
    small = rng.random((60, 3)) + 0.5 * rng.random((60, 1))
    assert krippendorff_alpha(small, level=level).value == pytest.approx(matrix_alpha(small, level), abs=1e-12)
    many = rng.random((20_000, 2))
    tracemalloc.start()
    krippendorff_alpha(many, level=level)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_continuous_ratings_by_brute_force(weights) -> None:
    pairs = np.random.default_rng(12).random((40, 2))
    gap = np.abs(pairs[:, 0][:, None] - pairs[:, 1][None, :]) / (pairs.max() - pairs.min())
    gap = gap if weights == "linear" else gap**2
    assert percent_agreement(pairs, weights=weights).value == pytest.approx(1.0 - np.diag(gap).mean(), abs=1e-12)
    assert cohen_kappa(pairs, weights=weights).value == pytest.approx(1.0 - np.diag(gap).mean() / gap.mean(), abs=1e-12)
    assert cohen_kappa([[0.0, 5e-324], [5e-324, 5e-324]], weights=weights).value == pytest.approx(0.0)
    assert cohen_kappa([[1e308, -1e308], [1e308, 1e308]], weights=weights).value == pytest.approx(0.0)
