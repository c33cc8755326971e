"""What is estimated for many groups at once is what is estimated for each alone."""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.errors import InputError
from evalsvc.stats import estimate_mean
from evalsvc.stats.many import Cells, Groups, Strata, estimate_means, means_of
from evalsvc.types import Cell, Estimate, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
SCALES = [
    BINARY,
    Scale(0.0, 1.0, "higher"),
    Scale(-1.0, 3.0, "higher"),
    Scale(0.0, None, "lower"),
    Scale(-2.0, None, "lower"),
    Scale(None, 5.0, "higher"),
    Scale(None, None, "neither"),
]
PIS = [1e-300, 1e-160, 1e-9, 0.001, 0.01, 0.013, 0.02, 0.25, 0.3, 0.9, 1.0]
KEYS = [(name, version) for name in "abcde" for version in (1, 2)]


def cell_of(key: tuple[str, int], pi: float, sessions: list[list[float]], missing: int, clustered: bool) -> Cell:
    values = [value for session in sessions for value in session]
    sums = [(len(session), math.fsum(session)) for session in sessions]
    moments = (
        len(sums), float(sum(n * n for n, _ in sums)),
        math.fsum(n * y for n, y in sums), math.fsum(y * y for _, y in sums),
    )  # fmt: skip
    return Cell(
        *key, pi, len(values), missing, missing // 2,
        math.fsum(values), math.fsum(v * v for v in values),
        min(values, default=None), max(values, default=None), *(moments if clustered else ()),
    )  # fmt: skip


@st.composite
def groups(draw: st.DrawFn):
    scale = draw(st.sampled_from(SCALES))
    # Quarters, so that sums and squares are exact: whether all scores are equal must not hang on rounding.
    quarters = (0, 4) if scale.binary else (int(4 * (scale.low or 0)), int(4 * (scale.high or 5)))
    one = st.sampled_from([0.0, 1.0]) if scale.binary else st.integers(*quarters).map(lambda q: q / 4)
    clustered = draw(st.booleans())
    sizes = st.integers(1, 3) if clustered else st.just(1)
    cells = []
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=5)):
        count = draw(st.sampled_from([0, 1, 2, 3, 10, 19, 20, 30, 60]))
        same = draw(st.booleans())
        values = [draw(one)] * count if same else draw(st.lists(one, min_size=count, max_size=count))
        sessions, at = [], 0
        while at < len(values):
            size = draw(sizes)
            sessions.append(values[at : at + size])
            at += size
        missing = draw(st.sampled_from([0, 0, 1, 5]))
        if values or missing:
            cells.append(cell_of(key, draw(st.sampled_from(PIS)), sessions, missing, clustered))
    offered = None
    if draw(st.booleans()):
        offered = {}
        for cell in cells:
            seen = cell.n + cell.n_abstained + cell.n_failed
            key = (cell.stratum, cell.design_version)
            told = round(seen / cell.pi * draw(st.sampled_from([0.5, 1.0, 1.3])))
            offered[key] = offered.get(key, 0) + min(1 << 50, told)  # nobody counts up to 1/π of the smallest
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=2)):
            offered.setdefault(key, draw(st.sampled_from([0, 1, 5, 40, 1000])))
        if offered and draw(st.booleans()):
            offered.pop(next(iter(offered)))
    rates = draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(PIS), max_size=4))
    untaken = draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from([0, 1, 7, 400]), max_size=4))
    return cells, scale, offered, rates, untaken


def same(one: Estimate, other: Estimate) -> bool:
    for name in Estimate.__struct_fields__:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, float) and isinstance(b, float):
            if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9):
                return False
        elif a != b:
            return False
    return True


@settings(max_examples=100, deadline=None)
@given(st.lists(groups(), max_size=4), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_many_at_once_are_each_alone(found, confidence) -> None:
    cells, scales, offered, rates, untaken = zip(*found, strict=True) if found else ((), (), (), (), ())
    many = estimate_means(
        cells, scales, [DAY] * len(cells), offered=offered, rates=rates, untaken=untaken, confidence=confidence
    )
    assert len(many) == len(found)
    for got, (own, scale, known, rate, left) in zip(many, found, strict=True):
        alone = estimate_mean(own, scale, DAY, offered=known, rates=rate, untaken=left, confidence=confidence)
        assert same(got, alone), (got, alone)


def test_nothing_is_not_a_number() -> None:
    blank: list[list[Cell]] = [[], [Cell("a", 1, 0.5, 0, 3, 0, 0.0, 0.0)], [Cell("a", 1, 0.5, 1, 0, 0, 1.0, 1.0)]]
    scale = Scale(None, None, "neither")
    found = estimate_means(blank, [scale] * 3, [DAY] * 3, offered=[None] * 3, rates=[{}] * 3)
    assert [e.value for e in found] == [None, None, 1.0]
    assert [(e.low, e.high) for e in found] == [(None, None)] * 3
    assert all(e.reason for e in found)


def test_a_share_needs_a_binary_metric() -> None:
    asked = {"offered": [None], "rates": [{}], "statistic": "proportion"}
    with pytest.raises(InputError, match="binary metric"):
        estimate_means([[]], [SCALES[1]], [DAY], **asked)
    (estimate,) = estimate_means([[]], [BINARY], [DAY], **asked)
    assert estimate.statistic == "proportion"


def test_lists_and_columns_must_fit() -> None:
    with pytest.raises(InputError, match="one entry a group"):
        estimate_means([[]], [BINARY, BINARY], [DAY], offered=[None], rates=[{}])
    short, long = np.zeros(1, np.int64), np.zeros(2, np.int64)
    with pytest.raises(InputError, match="one length"):
        means_of(Cells(*([np.zeros(0)] * 11)), Strata(*([np.zeros(0)] * 4)), Groups(short, long.astype(bool)), [BINARY])


def test_a_different_formula_would_show() -> None:
    cell = Cell("a", 1, 0.02, 40, 0, 0, 3.0, 3.0)
    alone = estimate_mean([cell], BINARY, DAY, offered={("a", 1): 2000})
    (many,) = estimate_means([[cell]], [BINARY], [DAY], offered=[{("a", 1): 2000}], rates=[{}])
    assert same(alone, many)
    assert not same(alone, msgspec.structs.replace(many, low=many.low + 1e-8))
