"""The ratio of two metrics against brute force, statsmodels' cluster errors and Fieller's theorem."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from evalsvc.errors import InputError
from evalsvc.stats import Pair, estimate_ratio
from evalsvc.types import Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def drawn(n=60, seed=1, pi=0.1, sessions=0):
    rng = np.random.default_rng(seed)
    y, x = rng.lognormal(0, 0.6, n), rng.integers(0, 2, n) + 0.5
    names = [f"s{k % sessions}" if sessions else "" for k in range(n)]
    return [Pair(*row, pi, name) for row, name in zip(zip(y.tolist(), x.tolist(), strict=True), names, strict=True)]


def test_the_limits_are_where_t_passes() -> None:
    # Fieller (1954): θ is refused where |Σ(y - θx)/π| is more than t standard errors, found by bisection.
    pairs = drawn()
    found = estimate_ratio(pairs, DAY)
    y, x = (np.array([pair[place] for pair in pairs]) for place in (0, 1))
    assert found.value == pytest.approx(y.sum() / x.sum())

    def beyond(theta: float) -> float:
        error = math.sqrt((1 - 0.1) / 0.1**2 * ((y - theta * x) ** 2).sum() * 60 / 59)
        return abs((y - theta * x).sum() / 0.1) / error - stats.t.ppf(0.975, 59)

    low, high = optimize.brentq(beyond, 0.0, found.value), optimize.brentq(beyond, found.value, 5 * found.value)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_clusters_have_statsmodels_errors() -> None:
    models = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    pairs = drawn(n=20_000, pi=1e-9, sessions=2000)
    found = estimate_ratio(pairs, DAY)
    y, x = (np.array([pair[place] for pair in pairs]) for place in (0, 1))
    # Weighted by 1/x, the slope through 0 is Σy/Σx; its score is y - θx.
    groups = np.array([int(pair.cluster[1:]) for pair in pairs])
    fit = models.WLS(y, x, weights=1 / x).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    error = fit.bse[0] * math.sqrt(2000 / 1999)
    assert found.method.endswith("clustered")
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 1999) * error, rel=0.01)


def test_what_was_taken_whole_has_no_doubt() -> None:
    found = estimate_ratio([Pair(2.0, 1.0, 1.0), Pair(4.0, 0.0, 1.0)], DAY)
    assert (found.value, found.low, found.high, found.reason) == (6.0, 6.0, 6.0, "")


def test_weights_are_relative() -> None:
    mixed = [*drawn(30, 2, 0.01), *drawn(30, 3, 1.0)]
    value = estimate_ratio(mixed, DAY).value
    y, x, pi = (np.array([pair[place] for pair in mixed]) for place in (0, 1, 2))
    assert value == pytest.approx((y / pi).sum() / (x / pi).sum())
    tiny = estimate_ratio(drawn(pi=1e-300), DAY)
    assert tiny.low < tiny.value < tiny.high < math.inf


@pytest.mark.parametrize(
    ("pairs", "value", "reason"),
    [
        ([], None, "no event"),
        ([Pair(1.0, 0.0, 0.5)] * 3, None, "adds up to 0"),
        ([Pair(1.0, 1e-320, 0.5)] * 3, None, "too large"),
        ([Pair(1e-200, 1e200, 0.5), Pair(3e-200, 1e200, 0.5)], 0.0, "could be 0"),
        ([Pair(1.0, 2.0, 0.5)], 0.5, "one event"),
        ([Pair(1.0, 2.0, 0.5), Pair(2.0, 4.0, 0.5)], 0.5, "same ratio"),
        ([Pair(1.0, 2.0, 0.5, "s"), Pair(2.0, 5.0, 0.5, "s")], 3 / 7, "one session"),
        ([Pair(1.0, 1.0, 0.01), *[Pair(1.0, 0.0, 0.01)] * 20], 21.0, "could be 0"),
    ],
)
def test_no_interval_says_why(pairs, value, reason) -> None:
    found = estimate_ratio(pairs, DAY)
    assert found.value == (None if value is None else pytest.approx(value))
    assert (found.low, found.high) == (None, None)
    assert reason in found.reason


def test_events_that_may_hide_leave_no_limits() -> None:
    found = estimate_ratio([Pair(2.0, 1.0, 1.0)] * 5, DAY, hidden=298.0)
    assert (found.value, found.low, found.high) == (2.0, None, None)
    assert found.reason.startswith("up to 298 events")


def test_a_floor_holds_and_wrong_arguments_are_said() -> None:
    few = [Pair(0.01, 1.0, 0.01), Pair(5.0, 1.0, 0.01), Pair(0.02, 1.0, 0.01), *[Pair(0.0, 1.0, 0.01)] * 9]
    assert estimate_ratio(few, DAY).low < 0.0
    assert estimate_ratio(few, DAY, floor=0.0).low == 0.0
    with pytest.raises(InputError, match=r"`pi` in \(0, 1\]"):
        estimate_ratio([Pair(1.0, 1.0, 0.0)], DAY)
    with pytest.raises(InputError, match="finite scores"):
        estimate_ratio([Pair(math.nan, 1.0, 0.5)], DAY)


positive = st.floats(0, 1e6)
pairs_of_any_kind = st.lists(
    st.builds(Pair, positive, positive, st.sampled_from([1e-9, 0.01, 0.5, 1.0]), st.sampled_from(["", "a", "b"])),
    max_size=12,
)


@given(pairs_of_any_kind, st.sampled_from([0.5, 0.95, 0.999]))
def test_nothing_is_nan_and_limits_hold_the_value(pairs, confidence) -> None:
    found = estimate_ratio(pairs, DAY, floor=0.0, confidence=confidence)
    assert found.reason or found.low is not None
    for number in (found.value, found.low, found.high):
        assert number is None or math.isfinite(number)
    if found.low is not None:
        crumb = 1e-9 * found.value
        assert 0.0 <= found.low <= found.value + crumb <= found.high + 2.0 * crumb
