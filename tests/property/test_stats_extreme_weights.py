"""However small π is, estimates are numbers: means do not depend on the scale of weights, and totals have it."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.errors import InputError
from evalsvc.protocols import StatisticSums
from evalsvc.stats import (
    TextBlock,
    estimate_corpus,
    estimate_distinct_words,
    estimate_mean,
    estimate_quantile,
    estimate_self_similarity,
    estimate_total,
)
from evalsvc.stats.quantile import bin_of
from evalsvc.stats.unpaired import Side, compare_unpaired
from evalsvc.types import Cell, Estimate, Scale, Score, Subject, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
SCALES = [BINARY, Scale(0.0, 1.0, "higher"), Scale(0.0, None, "lower"), Scale(None, None, "neither")]
# Powers of two shift levels of π by whole steps; 1 - π is 1 at either end.
powers = st.integers(0, 950)
rates = st.floats(1e-10, 1e-9)


@st.composite
def samples(draw):
    cells = []
    for name in draw(st.sets(st.sampled_from("abc"), min_size=1)):
        values = np.asarray(draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=40)))
        total = float(values.sum())
        moments = (values.size, float(values.size), total, total) if draw(st.booleans()) else ()
        failed = draw(st.integers(0, 3))
        cells.append(Cell(name, 1, draw(rates), values.size, 0, failed, total, total, 0.0, 1.0, *moments))
    return cells


def rarer(cells, power):
    return [Cell(c.stratum, c.design_version, c.pi * 2.0**-power, *list(astuple(c))[3:]) for c in cells]


def astuple(cell):
    return (getattr(cell, name) for name in Cell.__struct_fields__)


def numbers(estimate, scale=1.0):
    return [None if x is None else x / scale for x in (estimate.value, estimate.low, estimate.high)]


def close(found, expected, rel=1e-6, tolerance=1e-9):
    return all(
        one is other is None or math.isclose(one, other, rel_tol=rel, abs_tol=tolerance)
        for one, other in zip(found, expected, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(samples(), powers, st.sampled_from(SCALES))
def test_means_do_not_depend_on_the_scale_of_weights(cells, power, scale) -> None:
    one, other = (estimate_mean(held, scale, DAY) for held in (cells, rarer(cells, power)))
    assert close(numbers(other), numbers(one)), (one, other)
    assert other.n_effective == pytest.approx(one.n_effective, rel=1e-9)
    assert other.missing_share == pytest.approx(one.missing_share, rel=1e-9)
    assert (other.method, other.reason) == (one.method, one.reason)


@settings(max_examples=40, deadline=None)
@given(samples(), powers, st.sampled_from(SCALES))
def test_totals_have_the_scale_of_weights(cells, power, scale) -> None:
    one, other = (estimate_total(held, scale, DAY) for held in (cells, rarer(cells, power)))
    assert close(numbers(other, 2.0**power), numbers(one), tolerance=1e-6), (one, other)
    assert other.reason == one.reason


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-300, 0).map(lambda e: max(1e-300, 10.0**e))), max_size=4),
    st.sampled_from(SCALES),
    st.booleans(),
)
def test_any_probabilities_give_numbers_or_a_reason(drawn, scale, known) -> None:
    cells = [Cell(name, 1, pi, 12, 1, 0, 5.0, 5.0, 0.0, 1.0) for name, pi in drawn]
    offered = {(name, 1): 100 for name, _ in drawn} if known else None
    found = [f(cells, scale, DAY, offered=offered) for f in (estimate_mean, estimate_total)]
    bins = {(c.stratum, 1, c.pi): {bin_of(1.0): 5, 0: 7} for c in cells}
    found.append(estimate_quantile(bins, 0.5, scale, DAY, cells=cells, offered=offered))
    for estimate in found:
        sound(estimate)


def sound(estimate: Estimate) -> None:
    held = (estimate.value, estimate.low, estimate.high, estimate.n_effective, estimate.missing_share)
    assert all(x is None or math.isfinite(x) for x in held), estimate
    assert None not in held or estimate.reason, estimate


@given(powers)
@settings(max_examples=20, deadline=None)
def test_comparisons_corpora_and_texts_do_not_depend_on_the_scale(power) -> None:
    def found(scale):
        old, new = (Cell("a", 1, 1e-9 * scale, 90, 0, 0, y, y) for y in (20.0, 40.0))
        light = Cell("b", 1, 3e-9 * scale, 40, 0, 0, 9.0, 9.0)
        compared = compare_unpaired(Side([old, light]), Side([new, light]), BINARY)
        sums = {
            (c.stratum, 1, c.pi): StatisticSums(
                c.n, [c.total, 100.0], [float(c.n), c.total, 100.0, 30.0, 60.0, 400.0], c.n
            )
            for c in (old, light)
        }
        corpus = estimate_corpus([old, light], sums, "ratio", Scale(0.0, None, "lower"), DAY)
        hours = [TextBlock([c], {(c.stratum, 1, c.pi): [30.0, 20.0, float(c.n), 700.0]}) for c in (old, light)] * 3
        texts = [estimate(hours, DAY) for estimate in (estimate_self_similarity, estimate_distinct_words)]
        return [
            *(getattr(compared, name) for name in ("difference", "low", "high", "p_value", "n_effective")),
            *(x for e in (corpus, *texts) for x in (*numbers(e), e.n_effective)),
        ]

    plain, rare = found(1.0), found(2.0**-power)
    assert len([x for x in plain if x is not None]) >= 13
    assert close(rare, plain), (rare, plain)


def test_a_total_that_is_no_number_says_so() -> None:
    cells = [Cell("a", 1, 1e-300, 10, 0, 0, 1e10, 1e19)]
    total = estimate_total(cells, Scale(0.0, None, "lower", "USD"), DAY)
    assert (total.value, total.low, total.high) == (None, None, None)
    assert "too large" in total.reason


def test_a_score_needs_a_probability_whose_weight_is_a_number() -> None:
    subject = Subject("e", DAY.start, "c", "a", "m", "1", {}, "", "all", 1)
    Score(subject, "m", 1, "", 1e-300, "ok", 1.0)
    with pytest.raises(InputError, match="not below 1e-300"):
        Score(subject, "m", 1, "", 1e-310, "ok", 1.0)
