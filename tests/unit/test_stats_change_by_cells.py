"""Change detection from a minute's sums: never ahead of single scores, equal to them for binary ones, odd input."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.errors import InputError
from evalsvc.stats import change
from evalsvc.types import Cell, Scale

UNIT = Scale(0.0, 1.0, "higher")
BINARY = Scale(0.0, 1.0, "higher", binary=True)
STARS = Scale(1.0, 5.0, "higher")


def cell(values, pi=1.0, sessions=None) -> Cell:
    """Return the sums of some scores, with those of their sessions where ``sessions`` names one for each."""
    y = np.asarray(values, dtype=float)
    moments = {}
    if sessions is not None:
        of = [y[np.asarray(sessions) == one] for one in sorted(set(sessions))]
        moments = {
            "clusters": len(of),
            "cluster_n2": float(sum(len(part) ** 2 for part in of)),
            "cluster_ny": float(sum(len(part) * part.sum() for part in of)),
            "cluster_y2": float(sum(part.sum() ** 2 for part in of)),
        }
    return Cell("", 1, pi, len(y), 0, 0, float(y.sum()), float((y * y).sum()), **moments)


def growth_of(state: change.ChangeState) -> np.ndarray:
    """Return log L of each bet after the first step, as M = L there in the CUSUM form."""
    return np.array(state.cusums)


@given(
    values=st.lists(st.floats(1.0, 5.0), min_size=1, max_size=40),
    base=st.floats(1.2, 4.8),
    direction=st.sampled_from(["fell", "rose", "either"]),
    pi=st.sampled_from([0.1, 0.5, 1.0]),
)
@settings(max_examples=200, deadline=None)
def test_a_minutes_factor_is_at_most_the_product_of_its_scores_factors(values, base, direction, pi) -> None:
    state = change.start(STARS, base, direction=direction, pi_min=0.1, form="cusum")
    found = growth_of(change.step_cells(state, [cell(values, pi)]))
    unit = (np.array(values) - 1.0) / 4.0
    for bet, one, grown in zip(state.bets, state.bases, found, strict=True):
        exact = sum(math.log1p(0.1 / pi * bet * (one - y)) for y in unit)
        assert grown <= exact + 1e-9


@given(good=st.integers(0, 50), bad=st.integers(0, 50))
def test_for_binary_scores_it_is_that_product(good, bad) -> None:
    state = change.start(BINARY, 0.8, form="cusum")
    found = change.step_cells(state, [cell([1.0] * good + [0.0] * bad)])
    if not good + bad:
        assert found == state
        return
    for bet, base, grown in zip(state.bets, state.bases, growth_of(found), strict=True):
        exact = good * math.log1p(bet * (base - 1.0)) + bad * math.log1p(bet * base)
        assert grown == pytest.approx(exact, abs=1e-9)


@given(
    scores=st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 4)), min_size=2, max_size=30),
    base=st.floats(0.05, 0.95),
)
@settings(max_examples=200, deadline=None)
def test_a_minute_of_sessions_grows_by_at_most_the_product_over_sessions(scores, base) -> None:
    """Whatever a session's turns have to do with each other: only its sum counts."""
    values, sessions = [y for y, _ in scores], [who for _, who in scores]
    made = cell(values, sessions=sessions)
    state = change.start(UNIT, base, direction="either", form="cusum")
    found = growth_of(change.step_cells(state, [made]))
    if made.clusters == made.n:
        return
    largest = math.sqrt(made.cluster_n2 - (made.clusters - 1))
    sums = [np.array([base - y for y, who in scores if who == one]).sum() for one in sorted(set(sessions))]
    for bet, one, grown in zip(state.bets, state.bases, found, strict=True):
        worst = max(bet * (1.0 - one), -bet * one)
        smaller = bet * min(1.0, change.LARGEST / (largest * worst))
        exact = sum(math.log1p(smaller * total) for total in sums)
        assert grown <= exact + 1e-9


@pytest.mark.parametrize("form", ["shiryaev-roberts", "cusum"])
def test_a_step_is_the_recursion_once_a_minute(form) -> None:
    rng = np.random.default_rng(3)
    state = change.start(UNIT, 0.7, form=form, run_length=1000, scores_per_step=30)
    minutes = [cell(rng.beta(5, 2, 30)) for _ in range(20)]
    alone = [growth_of(change.step_cells(change.start(UNIT, 0.7, form="cusum"), [one])) for one in minutes]
    bets = len(change.start(UNIT, 0.7, form="cusum").bets)
    levels = np.zeros(bets)
    for growth in alone:
        levels = np.exp(growth) * (np.maximum(levels, 1.0) if form == "cusum" else levels + 1.0)
    for minute in minutes:
        state = change.step_cells(state, [minute])
    assert np.exp(np.array(state.levels[:bets])) == pytest.approx(levels)


def test_the_change_is_dated_by_the_minute_and_the_state_goes_on_after_a_restart() -> None:
    state = change.start(BINARY, 0.8, run_length=43_200, scores_per_step=60)
    for minute in range(100):
        state = change.step_cells(state, [cell([1.0] * 48 + [0.0] * 12)], at=60.0 * minute)
    for minute in range(100, 120):
        state = msgspec.json.decode(msgspec.json.encode(state), type=change.ChangeState)
        state = change.step_cells(state, [cell([1.0] * 36 + [0.0] * 24)], at=60.0 * minute)
    found = change.detect(state)
    assert found.alarm
    assert found.since == 6000.0
    assert found.since_n == 6000
    assert found.alarm_n is not None
    assert found.alarm_n <= 6600
    assert found.n == 7200


def test_minutes_without_scores_move_nothing_and_missing_ones_are_counted() -> None:
    state = change.start(UNIT, 0.8)
    same = change.step_cells(change.step_cells(state, []), [Cell("", 1, 1.0, 0, 3, 2, 0.0, 0.0)])
    assert same.levels == state.levels
    assert change.detect(same).reason == "every score is missing"
    assert change.detect(same).missing == 1.0


def test_a_tiny_pi_is_left_out_and_counted() -> None:
    state = change.start(UNIT, 0.8, pi_min=0.01)
    found = change.step_cells(state, [cell([0.0] * 5, pi=1e-9), cell([1.0], pi=0.5)])
    assert (found.left_out, found.n) == (5, 1)


def test_unequal_pi_needs_the_least_of_them() -> None:
    with pytest.raises(InputError, match="Expected `pi_min` at the detector's start"):
        change.step_cells(change.start(UNIT, 0.8), [cell([1.0], 0.5), cell([1.0], 1.0)])


@pytest.mark.parametrize(
    "sums", [(10, 11.0, 11.0), (10, -1.0, 1.0), (10, 5.0, 6.0), (10, 5.0, -1.0), (1, math.nan, 0.0)]
)
def test_sums_of_no_scores_on_the_scale_are_refused(sums) -> None:
    n, total, squares = sums
    with pytest.raises(InputError, match="Expected sums of scores in"):
        change.step_cells(change.start(UNIT, 0.8), [Cell("", 1, 1.0, n, 0, 0, total, squares)])


def test_scores_per_step_have_to_be_some() -> None:
    with pytest.raises(InputError, match="Expected `scores_per_step` to be above 0"):
        change.start(UNIT, 0.8, scores_per_step=0.0)
