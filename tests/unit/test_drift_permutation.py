"""Events dealt anew between two windows: against a permutation of single events, at any number of them."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from evalsvc.drift import CategoricalSketch, NumericSketch, compare_categories, compare_numeric
from evalsvc.drift.permutation import CLASSES, deal_events, events_of

OLD = {"a": ((0.05, 3), (1.0, 20)), "b": ((0.05, 2), (1.0, 10))}
NEW = {"b": ((0.05, 4), (1.0, 12)), "c": ((0.05, 1), (1.0, 18))}


def permuted(old, new, order, draws, rng):
    """The obvious way: a list of events, shuffled."""
    held = [
        (order.index(name), 1.0 / pi)
        for window in (old, new)
        for name, rates in window.items()
        for pi, n in rates
        for _ in range(n)
    ]
    n_old = sum(n for rates in old.values() for _, n in rates)
    bins, weights = (np.array(column) for column in zip(*held, strict=True))
    shares = []
    for _ in range(draws):
        first = rng.permutation(len(held))[:n_old]
        sums = np.bincount(bins[first], weights[first], len(order))
        shares.append(sums / sums.sum())
    return np.array(shares)


def test_it_is_a_permutation_of_events():
    order = ["a", "b", "c"]
    dealt, left = deal_events(events_of(OLD, NEW, order), np.random.default_rng(1), 20_000)
    plain = permuted(OLD, NEW, order, 20_000, np.random.default_rng(2))
    assert dealt.mean(axis=0) == pytest.approx(plain.mean(axis=0), abs=0.006)
    assert np.cov(dealt.T) == pytest.approx(np.cov(plain.T), abs=0.0006)
    assert dealt.sum(axis=1) == pytest.approx(1.0)
    assert left.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("times", [100, 10**5, 10**8])
def test_many_events_scatter_as_few_do(times):
    """Normal counts, and more events than a hypergeometric variable is drawn for, have a permutation's variance."""
    order = ["a", "b", "c"]
    old, new = ({k: tuple((pi, n * times) for pi, n in rates) for k, rates in each.items()} for each in (OLD, NEW))
    few = deal_events(events_of(OLD, NEW, order), np.random.default_rng(1), 20_000)[0]
    many = deal_events(events_of(old, new, order), np.random.default_rng(1), 20_000)[0]
    assert many.mean(axis=0) == pytest.approx(few.mean(axis=0), abs=0.006)
    assert many.std(axis=0) * np.sqrt(times) == pytest.approx(few.std(axis=0), rel=0.12)


def test_two_categories_of_one_weight_are_fishers_test():
    old = CategoricalSketch.from_cells({("", 1, 0.1): {"no": 40, "yes": 12}})
    new = CategoricalSketch.from_cells({("", 1, 0.1): {"no": 35, "yes": 24}})
    expected = fisher_exact([[40, 12], [35, 24]]).pvalue
    found = compare_categories(old, new)[2]
    assert found.p_value == pytest.approx(expected, abs=0.03)
    assert found.method == "499 permutations of events, bias subtracted"


def test_windows_of_two_designs_are_not_permuted():
    """All events of a window have one weight, whatever it is: shares scatter as those of unweighted events."""
    counts = {99_990: 60, 100_000: 80, 100_010: 60}
    old, new = (NumericSketch.from_cells({("", 1, pi): counts}) for pi in (0.05, 1.0))
    assert {test.method for test in compare_numeric(old, new)} == {
        "499 splits of effective events, designs differ, bias subtracted"
    }
    assert {test.p_value for test in compare_numeric(old, new)} == {1.0}
    assert {test.method for test in compare_numeric(old, old)} == {"499 permutations of events, bias subtracted"}


def test_as_often_by_rate_is_one_design():
    assert events_of(OLD, NEW, ["a", "b", "c"]).one_design
    assert not events_of(OLD, {"a": ((0.05, 30), (1.0, 10))}, ["a", "b"]).one_design


def test_many_rates_are_a_few_classes_of_the_same_weight():
    rates = tuple((pi, 5) for pi in np.geomspace(1e-9, 1.0, 200).tolist())
    found = events_of({"a": rates}, {"a": rates}, ["a"])
    assert found.old.sum() == found.new.sum() == 1000
    assert found.weights.size == CLASSES
    # Events of 1/π above the heaviest class's half are most of Σw²; their class has Σw²/Σw.
    heavy = [1 / pi for pi, _ in rates if np.log(1 / pi) >= np.log(1e9) * 7 / 8 - 1e-9]
    assert found.weights.max() == pytest.approx(sum(w * w for w in heavy) / sum(heavy))
    wide = events_of({"a": ((1e-300, 20), (1.0, 5))}, {"a": ((1e-300, 20),)}, ["a"])
    assert np.isfinite(deal_events(wide, np.random.default_rng(1), 9)[0]).all()


def test_sketches_keep_events_by_rate_in_any_order():
    parts = [
        CategoricalSketch.from_cells({("x", 1, 0.5): {"a": 2}, ("y", 1, 0.5): {"a": 1, "b": 4}}),
        CategoricalSketch.from_cells({("x", 2, 1.0): {"a": 3}}),
    ]
    assert parts[0].counts == (((0.5, 3),), ((0.5, 4),))
    both = parts[0].merge(parts[1])
    assert both == parts[1].merge(parts[0])
    assert both.counts == (((0.5, 3), (1.0, 3)), ((0.5, 4),))
    assert both.bounded(["b"]).counts == (((0.5, 3), (1.0, 3)), ((0.5, 4),))
