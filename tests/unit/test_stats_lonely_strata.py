"""Strata of one score, and of none, on scales without an end: doubt where nothing shows the spread."""

from datetime import UTC, datetime

import numpy as np
import pytest

from evalsvc.stats import estimate_mean
from evalsvc.stats.many import estimate_means
from evalsvc.types import Cell, Estimate, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
LATENCY = Scale(0.0, None, "lower")
OPEN = Scale(None, None, "lower")
RATES = {("light", 1): 0.05, ("heavy", 1): 0.5}


def cell(stratum, values) -> Cell:
    y = np.asarray(values, float)
    return Cell(stratum, 1, RATES[stratum, 1], y.size, 0, 0, float(y.sum()), float((y * y).sum()))


def mean(cells, offered, scale=LATENCY) -> Estimate:
    return estimate_mean(cells, scale, DAY, offered=offered, rates=RATES)


@pytest.mark.parametrize(("light", "heavy", "taken"), [(48, 2, 1), (48, 10, 5), (900, 100, 50)])
def test_a_stratum_of_one_score_that_most_events_are_of_leaves_its_doubt(light, heavy, taken) -> None:
    """Its distance from the whole, nearly itself, let such intervals hold the mean in 17 to 71 of 100 windows."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        a, b = 1000 * rng.lognormal(0.0, 0.5, light), 1000 * rng.lognormal(0.0, 0.5, heavy)
        truth = (a.sum() + b.sum()) / (light + heavy)
        found = mean([cell("light", a[:1]), cell("heavy", b[:taken])], {("light", 1): light, ("heavy", 1): heavy})
        assert found.low is not None
        held += found.low <= truth and (found.high is None or truth <= found.high)
    assert held >= 400 * 0.95 - 2 * (400 * 0.95 * 0.05) ** 0.5


@pytest.mark.parametrize("scale", [LATENCY, OPEN])
def test_strata_without_a_score_leave_no_limit_where_they_are_many(scale) -> None:
    offered = {("light", 1): 900, ("heavy", 1): 1}
    alone = mean([Cell("heavy", 1, 1.0, 1, 0, 0, 700.0, 490_000.0)], offered, scale)
    assert alone.value == 700.0
    assert alone.high is None
    assert alone.low is None or alone.low < 1.0
    assert "99.9% of the events lie in strata without a score" in alone.reason
    assert ("no upper limit" if scale is LATENCY else "no limits") in alone.reason


def test_strata_without_a_score_are_left_out_where_they_are_few() -> None:
    values = np.random.default_rng(1).lognormal(6.0, 0.5, 200)
    found = mean([cell("heavy", values)], {("light", 1): 10, ("heavy", 1): 400})
    assert found.high is not None
    assert found.reason == "2.4% of the events lie in strata without a score: left out"


@pytest.mark.parametrize("scale", [LATENCY, OPEN])
@pytest.mark.parametrize(("light", "heavy"), [((48, 1), (10, 5)), ((900, 0), (20, 10)), ((10, 0), (400, 200))])
def test_many_groups_at_once_have_the_same_limits(scale, light, heavy) -> None:
    rng = np.random.default_rng(3)
    cells = [
        cell(name, rng.lognormal(6.0, 0.5, taken)) for name, (_, taken) in (("light", light), ("heavy", heavy)) if taken
    ]
    offered = {("light", 1): light[0], ("heavy", 1): heavy[0]}
    one = estimate_mean(cells, scale, DAY, offered=offered, rates=RATES)
    (many,) = estimate_means([cells], [scale], [DAY], offered=[offered], rates=[RATES])
    assert many.reason == one.reason
    assert (many.low is None, many.high is None) == (one.low is None, one.high is None)
    assert (many.low or 0.0, many.high or 0.0) == pytest.approx((one.low or 0.0, one.high or 0.0))


def test_one_score_of_a_tiny_probability_outweighs_all_and_says_so() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(6.0, 0.5, 1000)
    whole = Cell("whole", 1, 1.0, 1000, 0, 0, float(values.sum()), float((values**2).sum()))
    found = estimate_mean([Cell("rare", 1, 1e-9, 1, 0, 0, 900.0, 810_000.0), whole], LATENCY, DAY)
    assert found.value == pytest.approx(900.0, rel=1e-3)
    assert found.low is not None
    assert found.low < 450.0
    assert found.high is None or found.high > 1800.0
