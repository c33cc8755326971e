"""Estimates of the process behind a window: what they are held to is a much larger window, sampled as often less."""

from collections import Counter
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.stats import estimate_mean, estimate_proportion, estimate_quantile
from evalsvc.stats.many import in_columns, means_of, to_estimates
from evalsvc.stats.quantile import bin_of
from evalsvc.types import Cell, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "higher", binary=True)
UNIT = Scale(0.0, 1.0, "higher")
OPEN = Scale(None, None, "higher")
LARGER = 2**24

counts = st.tuples(st.integers(0, 60), st.integers(0, 60)).filter(lambda pair: sum(pair) > 1)


def shares(pairs, rates) -> list[Cell]:
    return [
        Cell(f"s={i}", 1, pi, sum(pair), 0, 0, float(pair[0]), float(pair[0]))
        for i, (pair, pi) in enumerate(zip(pairs, rates, strict=False))
    ]


@given(pairs=st.lists(counts, min_size=1, max_size=3), scale=st.sampled_from([BINARY, UNIT, OPEN]), known=st.booleans())
@settings(deadline=None)
def test_it_is_as_wide_as_the_estimate_of_a_window_of_which_next_to_nothing_was_sampled(pairs, scale, known) -> None:
    """But for the sizes of parts, which are drawn anew of a process; a small part may be an event larger or smaller."""
    cells = shares(pairs, [0.9, 0.4, 0.12])
    thin = [msgspec.structs.replace(cell, pi=cell.pi / LARGER) for cell in cells]
    offered = {(cell.stratum, 1): round(cell.n / cell.pi) for cell in cells} if known else None
    large = {key: number * LARGER for key, number in offered.items()} if offered else None
    window = estimate_mean(cells, scale, DAY, offered=offered)
    found = estimate_mean(cells, scale, DAY, offered=offered, target="process")
    expected = estimate_mean(thin, scale, DAY, offered=large)
    assert found.value == pytest.approx(expected.value, abs=1e-6)
    if found.low is None or expected.low is None or window.low is None:
        return
    assert found.low <= window.low + 1e-9
    assert found.high >= window.high - 1e-9
    slack = 0.1 * (expected.high - expected.low) + 1e-6
    assert found.low <= expected.low + slack
    assert found.high >= expected.high - slack
    (many,) = to_estimates_of_the_process(cells, scale, offered)
    assert (many.low, many.high) == pytest.approx((found.low, found.high), abs=1e-9)


def to_estimates_of_the_process(cells, scale, offered):
    table = in_columns([cells], [scale], offered=[offered], rates=[{}])
    return to_estimates(means_of(*table, process=True), table.groups, table.scales, [DAY])


def test_all_events_of_a_window_are_still_a_sample_of_the_process() -> None:
    whole = shares([(12, 188)], [1.0])
    offered = {("s=0", 1): 200}
    window = estimate_proportion(whole, BINARY, DAY, offered=offered)
    assert window.low == window.high
    process = estimate_proportion(whole, BINARY, DAY, offered=offered, target="process")
    assert process.low is not None
    assert process.high is not None
    assert process.low < 0.04 < 0.06 < 0.09 < process.high
    assert process.value == window.value


def test_percentiles_have_it_too() -> None:
    values = np.random.default_rng(1).lognormal(6.0, 0.5, 400)
    bins = Counter(bin_of(float(value)) for value in values)
    cells = [Cell("s=0", 1, 1.0, 400, 0, 0, float(values.sum()), float((values**2).sum()))]
    scale, key = Scale(0.0, None, "lower"), ("s=0", 1, 1.0)
    window = estimate_quantile({key: bins}, 0.95, scale, DAY, cells=cells, offered={("s=0", 1): 400})
    process = estimate_quantile({key: bins}, 0.95, scale, DAY, cells=cells, offered={("s=0", 1): 400}, target="process")
    assert window.low is not None
    assert window.high is not None
    assert process.low is not None
    assert process.high is not None
    assert process.low < window.low
    assert window.high < process.high
    assert process.low < np.quantile(values, 0.95) < process.high
