"""Agreement of raters: what is undefined says so, small panels are named, bad tables are refused."""

from __future__ import annotations

import math

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
