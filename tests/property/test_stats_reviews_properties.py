"""Properties of prediction-powered means and of agreement: bounds, invariances, and never wider than the reviews."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.stats import cohen_kappa, gwet_ac, krippendorff_alpha, percent_agreement, prediction_powered_mean
from evalsvc.types import Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
SCALES = (Scale(0.0, 1.0, "lower", binary=True), Scale(0.0, 1.0, "higher"), Scale(None, None, "higher"))


@st.composite
def samples(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 300))
    scale = draw(st.sampled_from(SCALES))
    y = rng.beta(draw(st.floats(0.1, 9)), draw(st.floats(0.1, 9)), n)
    y = (rng.random(n) < y).astype(float) if scale.binary else y
    f = np.where(rng.random(n) < draw(st.floats(0, 1)), y, rng.random(n))
    f[rng.random(n) < draw(st.sampled_from([0.0, 0.1]))] = np.nan
    pi = rng.choice([1e-9, 0.01, 0.5, 1.0], n) if draw(st.booleans()) else None
    r = rng.uniform(0.05, 1, n) if draw(st.booleans()) else None
    reviewed = rng.random(n) < (0.3 if r is None else r)
    strata = rng.integers(0, 4, n) if draw(st.booleans()) else None
    clusters = rng.integers(0, draw(st.integers(1, 300)), n) if draw(st.booleans()) else None
    reviews = np.where(reviewed, y, np.nan)
    return scale, f, reviews, {"pi": pi, "review_probability": r, "strata": strata, "clusters": clusters}


@settings(max_examples=300, deadline=None)
@given(samples())
def test_ordered_finite_and_never_wider_than_the_reviews(sample) -> None:
    scale, f, reviews, design = sample
    got = prediction_powered_mean(f, reviews, scale, DAY, **design)
    e, alone = got.estimate, got.reviews_only
    if got.n_reviews == 0:
        assert e.value is None
        assert e.reason
        return
    assert math.isfinite(e.value)
    assert got.gain >= 1.0
    assert 0.0 <= got.lam <= 1.0
    assert e.low is not None or e.reason
    if e.low is not None:
        assert e.low <= e.value + 1e-12
        assert e.value <= e.high + 1e-12
        assert e.high - e.low <= 1.02 * (alone.high - alone.low) + 1e-12
    if scale.bounded:
        assert e.low >= -1e-12
        assert e.high <= 1 + 1e-12
    if not got.powered:
        assert (e.value, e.low, e.high) == (alone.value, alone.low, alone.high)
        assert e.method.startswith("classical (λ = 0)")


@settings(max_examples=100, deadline=None)
@given(samples(), st.integers(0, 2**32 - 1))
def test_order_does_not_matter(sample, seed) -> None:
    scale, f, reviews, design = sample
    order = np.random.default_rng(seed).permutation(f.size)
    a = prediction_powered_mean(f, reviews, scale, DAY, **design).estimate
    turned = {name: None if values is None else values[order] for name, values in design.items()}
    b = prediction_powered_mean(f[order], reviews[order], scale, DAY, **turned).estimate
    for x, y in ((a.value, b.value), (a.low, b.low), (a.high, b.high)):
        assert (x is None and y is None) or math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-9)


tables = st.integers(2, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.sampled_from([1.0, 2.0, 3.0, math.nan]), min_size=raters, max_size=raters), min_size=1, max_size=30
    )
)


@settings(max_examples=200, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_agreement_is_bounded_and_the_same_in_any_order(table, random) -> None:
    shuffled = random.sample(table, len(table))
    turned = [row[::-1] for row in shuffled]
    for statistic in (percent_agreement, krippendorff_alpha, gwet_ac):
        a, b = statistic(table), statistic(turned)
        if a.value is None:
            assert b.value is None
            assert a.reason
            continue
        assert math.isclose(a.value, b.value, abs_tol=1e-9)
        assert a.value <= 1.0 + 1e-12
        if a.low is not None:
            assert a.low <= a.value <= a.high
            assert math.isclose(a.low, b.low, abs_tol=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=40))
def test_kappa_does_not_depend_on_who_is_first(pairs) -> None:
    for weights in ("nominal", "linear", "quadratic"):
        a, b = cohen_kappa(pairs, weights=weights), cohen_kappa([pair[::-1] for pair in pairs], weights=weights)
        assert (a.value is None) == (b.value is None)
        if a.value is not None:
            assert math.isclose(a.value, b.value, abs_tol=1e-9)
            assert math.isclose(a.high, b.high, abs_tol=1e-9)
