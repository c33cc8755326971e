"""Bounds that hold whatever missing scores are: against brute force, on open scales, with sessions."""

import itertools
from datetime import UTC, datetime

import pytest

from evalsvc.errors import InputError
from evalsvc.stats import estimate_mean, estimate_total, worst_case
from evalsvc.types import Cell, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
SHARE = Scale(0.0, 1.0, "lower", binary=True)
STARS = Scale(1.0, 5.0, "higher")
KEY = ("all", 1)


def bounds(cells, scale, threshold=None, **about):
    return worst_case(estimate_mean(cells, scale, DAY, **about), cells, scale, threshold=threshold, **about)


def test_no_filling_in_of_the_missing_scores_gives_a_mean_outside() -> None:
    seen = (1.0, 0.0, 0.0, 1.0, 0.0)
    cell = Cell("all", 1, 0.5, 5, 2, 1, sum(seen), sum(seen))
    found = bounds([cell], SHARE, offered={KEY: 16})
    means = []
    for filled in itertools.product((0.0, 1.0), repeat=3):
        values = [*seen, *filled]
        full = Cell("all", 1, 0.5, 8, 0, 0, sum(values), sum(values))
        one = estimate_mean([full], SHARE, DAY, offered={KEY: 16})
        means.append(one.value)
        assert found.low <= one.low
        assert one.high <= found.high
    assert (found.least, found.most) == pytest.approx((min(means), max(means)))


def test_strata_weigh_their_missing_scores_by_one_over_pi() -> None:
    cells = [Cell("a", 1, 0.1, 90, 10, 0, 9.0, 9.0), Cell("b", 1, 1.0, 100, 0, 0, 50.0, 50.0)]
    found = bounds(cells, SHARE, offered={("a", 1): 1000, ("b", 1): 100})
    assert found.least == pytest.approx((1000 * 0.09 + 50) / 1100)
    assert found.most == pytest.approx((1000 * 0.19 + 50) / 1100)


def test_ends_are_those_of_the_scale() -> None:
    cell = Cell("all", 1, 0.5, 6, 0, 2, 24.0, 100.0)
    found = bounds([cell], STARS, offered={KEY: 16})
    assert (found.least, found.most) == pytest.approx(((24 + 2) / 8, (24 + 10) / 8))
    assert 1.0 <= found.low < found.least < found.most < found.high <= 5.0


def test_without_missing_scores_nothing_changes() -> None:
    cell = Cell("all", 1, 0.5, 8, 0, 0, 3.0, 3.0)
    estimate = estimate_mean([cell], SHARE, DAY, offered={KEY: 16})
    found = worst_case(estimate, [cell], SHARE, offered={KEY: 16})
    assert (found.low, found.high, found.depends) == (estimate.low, estimate.high, False)


def test_with_nothing_but_missing_scores_all_is_possible() -> None:
    found = bounds([Cell("all", 1, 1.0, 0, 3, 4, 0.0, 0.0)], STARS, offered={KEY: 7})
    assert (found.low, found.high, found.depends) == (1.0, 5.0, True)


@pytest.mark.parametrize("scale", [Scale(0.0, None, "lower", "ms"), Scale(None, None, "neither")])
def test_an_open_scale_has_none(scale) -> None:
    found = bounds([Cell("all", 1, 0.5, 8, 0, 2, 30.0, 200.0)], scale, offered={KEY: 20})
    assert (found.low, found.high, found.least, found.most, found.depends) == (None, None, None, None, False)
    assert "open" in found.reason


def test_nothing_at_all_and_other_statistics_say_why() -> None:
    empty = bounds([], SHARE, offered={})
    assert (empty.low, empty.high) == (None, None)
    assert "no event" in empty.reason
    cell = Cell("all", 1, 0.5, 8, 0, 2, 3.0, 3.0)
    total = estimate_total([cell], SHARE, DAY, offered={KEY: 20})
    assert "total" in worst_case(total, [cell], SHARE, offered={KEY: 20}).reason


def test_sessions_keep_their_likeness() -> None:
    # Ten sessions of four, each all or nothing, and one missing in five: as if every session had a fifth.
    cell = Cell("all", 1, 0.1, 40, 0, 10, 20.0, 20.0, clusters=10, cluster_n2=160.0, cluster_ny=80.0, cluster_y2=80.0)
    full = Cell("all", 1, 0.1, 50, 0, 0, 30.0, 30.0, clusters=10, cluster_n2=250.0, cluster_ny=150.0, cluster_y2=130.0)
    assert bounds([cell], SHARE).high == pytest.approx(estimate_mean([full], SHARE, DAY).high)


def test_the_warning_has_two_grounds() -> None:
    many = Cell("all", 1, 0.1, 5000, 100, 0, 500.0, 500.0)
    wide = bounds([many], SHARE, offered={KEY: 51_000})
    assert wide.depends
    few = Cell("all", 1, 0.1, 90, 1, 0, 9.0, 9.0)
    own = estimate_mean([few], SHARE, DAY, offered={KEY: 910})
    assert not bounds([few], SHARE, offered={KEY: 910}).depends
    assert bounds([few], SHARE, own.high + 0.005, offered={KEY: 910}).depends
    assert not bounds([few], SHARE, own.value, offered={KEY: 910}).depends


def test_unasked_events_need_their_rate():
    cell = Cell("all", 1, 0.5, 10, 0, 0, 2.0, 2.0)
    with pytest.raises(InputError, match="`rates`"):
        worst_case(estimate_mean([cell], SHARE, DAY), [cell], SHARE, unasked={("b", 1): 3})
    assert worst_case(estimate_mean([cell], SHARE, DAY), [cell], SHARE, unasked={("b", 1): 0}).reason == ""
