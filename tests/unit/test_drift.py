"""Drift: sketches that merge, distances that equal scipy's, and answers where nothing can be said."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from evalsvc.drift import (
    CategoricalSketch,
    Change,
    MeanEmbeddingSketch,
    NumericSketch,
    TokenSketch,
    attribute,
    compare_categories,
    compare_embeddings,
    compare_numeric,
    compare_tokens,
)
from evalsvc.drift.detectors import rao_scott
from evalsvc.drift.distances import jensen_shannon, kolmogorov_smirnov, wasserstein
from evalsvc.drift.inference import Side, split_shares
from evalsvc.errors import InputError
from evalsvc.stats.binary_pairs import stretched_limits
from evalsvc.types import Scale

OPEN, BINARY = Scale(None, None, "higher"), Scale(0.0, 1.0, "higher", binary=True)


def histogram(seed, n, centre=0.0):
    drawn = np.random.default_rng(seed).normal(centre, 30, n).round().astype(int) + 100_000
    bins, counts = np.unique(drawn, return_counts=True)
    return {("", 1, 0.5): dict(zip(bins.tolist(), counts.tolist(), strict=True))}


def hourly(cls, seed, shift=0.0, hours=24):
    rng = np.random.default_rng(seed)
    cells = {}
    for hour in range(hours):
        counts = rng.multinomial(400, np.array([0.5 - shift, 0.3, 0.2 + shift]))
        cells[hour] = {("", 1, 0.5): (400, counts.tolist())}
    return cls.from_cells(cells, "s")


def test_distances_equal_scipys():
    rng = np.random.default_rng(3)
    values = np.sort(rng.normal(size=40))
    left, right = rng.integers(1, 30, 40), rng.integers(1, 30, 40)
    p, q = left / left.sum(), right / right.sum()
    rows = np.repeat(values, left), np.repeat(values, right)
    assert float(kolmogorov_smirnov(p, q)) == pytest.approx(stats.ks_2samp(*rows).statistic, abs=1e-9)
    assert float(wasserstein(p, q, values)) == pytest.approx(stats.wasserstein_distance(*rows), abs=1e-9)
    assert math.sqrt(jensen_shannon(p, q)) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-9)


def test_rao_scott_without_weights_is_pearsons_test():
    table = np.array([[30.0, 50.0, 20.0], [45.0, 90.0, 60.0]])
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert rao_scott(Side(table[0], table[0]), Side(table[1], table[1])) == pytest.approx(expected, abs=1e-9)


def test_equal_weights_change_nothing():
    table = np.array([[30.0, 50.0, 20.0], [45.0, 90.0, 60.0]])
    plain = rao_scott(Side(table[0], table[0]), Side(table[1], table[1]))
    weighted = rao_scott(Side(20 * table[0], 400 * table[0]), Side(20 * table[1], 400 * table[1]))
    assert weighted == pytest.approx(plain, abs=1e-9)


def test_rao_scott_without_any_scatter_is_certain_of_nothing():
    assert rao_scott(Side(np.array([10.0]), np.array([10.0])), Side(np.array([20.0]), np.array([20.0]))) == 1.0


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_splits_scatter_as_permutations_of_events_do(weight):
    old, new = np.array([30.0, 50.0, 20.0]), np.array([90.0, 150.0, 60.0])
    sides = [Side(weight * counts, weight**2 * counts) for counts in (old, new)]
    p, q = split_shares(*sides, np.random.default_rng(1), 20_000)
    rng = np.random.default_rng(2)
    dealt = rng.multivariate_hypergeometric((old + new).astype(int), 100, size=20_000)
    gaps = dealt / 100 - ((old + new) - dealt) / 300
    assert np.cov((p - q).T) == pytest.approx(np.cov(gaps.T), rel=0.1, abs=2e-5)
    assert p.sum(axis=1) == pytest.approx(1.0)
    assert (100 * p + 300 * q).mean(axis=0) == pytest.approx(old + new, rel=0.01)


def test_merging_is_commutative_and_associative():
    a, b, c = (NumericSketch.from_cells(histogram(seed, 200)) for seed in range(3))
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(NumericSketch()) == a


@pytest.mark.parametrize("cls", [TokenSketch, MeanEmbeddingSketch])
def test_hours_merge_in_any_order(cls):
    whole, early = hourly(cls, 1), hourly(cls, 1, hours=10)
    late = cls(n=whole.n - early.n, signature="s", blocks=whole.blocks[10:])
    assert early.merge(late) == late.merge(early) == whole


def test_categories_from_features_equal_those_from_counts():
    made = CategoricalSketch.from_features({("", 1, 0.1): [3.0, 0.0, 2.0]}, ["a", "b", "c"])
    assert made == CategoricalSketch.from_cells({("", 1, 0.1): {"a": 3, "c": 2}})
    assert made.bounded(["c"]).weights == (30.0, 20.0)


def test_self_similarity_is_the_mean_over_pairs():
    rows = np.random.default_rng(5).normal(size=(6, 3))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    sketch = MeanEmbeddingSketch.from_cells({0: {("", 1, 1.0): (6, rows.sum(axis=0).tolist())}}, "s")
    pairs = [rows[i] @ rows[j] for i in range(6) for j in range(6) if i != j]
    assert sketch.self_similarity == pytest.approx(np.mean(pairs))


def test_a_planted_shift_is_found_and_none_is_not():
    old, same, new = (NumericSketch.from_cells(histogram(s, 3000, c)) for s, c in ((1, 0), (2, 0), (3, 25)))
    assert [test.moved for test in compare_numeric(old, same)] == [False] * 4
    found = compare_numeric(old, new)
    assert [test.moved for test in found] == [True] * 4
    assert all(test.low <= test.effect <= test.high for test in found)
    assert compare_numeric(old, new) == found


@pytest.mark.parametrize(("cls", "compare"), [(TokenSketch, compare_tokens), (MeanEmbeddingSketch, compare_embeddings)])
def test_a_shift_between_hours_is_found_and_none_is_not(cls, compare):
    assert compare(hourly(cls, 1), hourly(cls, 2)).moved is False
    assert compare(hourly(cls, 1), hourly(cls, 2, 0.2)).moved is True


def test_a_difference_that_is_certain_but_small_has_not_moved():
    old = CategoricalSketch.from_cells({("", 1, 1.0): {"a": 500_000, "b": 500_000}})
    new = CategoricalSketch.from_cells({("", 1, 1.0): {"a": 510_000, "b": 490_000}})
    for test in compare_categories(old, new):
        assert test.p_value < 0.01
        assert test.moved is False


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({}, "empty"),
        ({("", 1, 1.0): {100_000: 2}}, "fewer than 10 effective"),
        ({("", 1, 1e-200): {100_000: 50}}, "overflow"),
        ({("", 1, 1.0): {100_000: 50}}, "in one bin"),
    ],
)
def test_what_cannot_be_said_has_a_reason(cells, reason):
    old = NumericSketch.from_cells({("", 1, 1.0): {100_000: 50}})
    for test in compare_numeric(old, NumericSketch.from_cells(cells)):
        assert test.effect is test.p_value is test.moved is None
        assert reason in test.reason


def test_few_hours_have_a_reason():
    assert "fewer than 8 hours" in compare_tokens(hourly(TokenSketch, 1), hourly(TokenSketch, 2, hours=3)).reason


def test_wrong_arguments_are_refused():
    sketch = NumericSketch.from_cells(histogram(1, 100))
    with pytest.raises(InputError, match="confidence"):
        compare_numeric(sketch, sketch, confidence=95)
    with pytest.raises(InputError, match="minimum"):
        compare_numeric(sketch, sketch, minima={"psi": -1.0})
    with pytest.raises(InputError, match="`pi`"):
        NumericSketch.from_cells({("", 1, 0.0): {1: 1}})
    with pytest.raises(InputError, match="one scorer"):
        hourly(TokenSketch, 1).merge(TokenSketch(n=1, signature="t", blocks=hourly(TokenSketch, 1).blocks))


def test_an_anchor_tells_the_scorers_change_from_the_systems():
    before = [0.5, 0.6, 0.7, 0.8]
    steady = attribute(before, [0.51, 0.6, 0.69, 0.8], OPEN, Change(-0.1, -0.12, -0.08))
    assert not steady.scorer.moved
    assert steady.system.moved
    expected = stats.ttest_rel([0.4, 0.5, 0.61, 0.69], before).confidence_interval()
    found = attribute(before, [0.4, 0.5, 0.61, 0.69], OPEN, Change(0.0, -0.02, 0.03))
    assert (found.scorer.low, found.scorer.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    # Each limit is as far away as the opposite limits of the two it is the difference of.
    gap = 0.0 - found.scorer.value
    below = gap - math.hypot(0.02, found.scorer.high - found.scorer.value)
    above = gap + math.hypot(0.03, found.scorer.value - found.scorer.low)
    assert found.system == pytest.approx((gap, below, above))
    assert "joined by MOVER" in found.method


def test_anchors_of_which_none_changed_still_leave_doubt():
    same = [1.0] * 15 + [0.0] * 5
    found = attribute(same, same, BINARY, Change(-0.05, -0.05, -0.05))
    # Tango's limits of 0 of 20, with half a case more on either side.
    assert (found.scorer.low, found.scorer.high) == pytest.approx(stretched_limits(0, 0, 20, 0.95))
    assert found.scorer.high > 0.15
    assert (found.scorer.moved, found.system.moved) == (False, False)
    # Averages of runs of a yes or no are no yes or no themselves.
    assert attribute([0.5, *same], [1.0, *same], BINARY).scorer.high > 0.15


def test_anchors_without_limits_have_a_reason():
    found = attribute([7.0] * 20, [7.0] * 20, OPEN, Change(1.0, 0.5, 1.5))
    assert (found.scorer, found.system) == (None, None)
    assert "all differences are equal" in found.reason
    few = attribute([0.1], [0.2], OPEN)
    assert "fewer than two" in few.reason
    assert attribute([0.1, 0.2], [0.2, 0.4], OPEN).system is None
    with pytest.raises(InputError, match="`live`"):
        attribute([0.1, 0.2], [0.2, 0.4], OPEN, Change(1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="as many"):
        attribute([0.1, 0.2], [0.2], OPEN)
    with pytest.raises(InputError, match="confidence"):
        attribute([0.1, 0.2], [0.2, 0.4], OPEN, confidence=95)
