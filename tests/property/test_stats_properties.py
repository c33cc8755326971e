"""What must hold of every estimate, whatever the sample."""

import math
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.stats import estimate_mean, estimate_quantile, estimate_total
from evalsvc.stats.quantile import bin_edges, bin_of, bin_value
from evalsvc.types import Cell, Estimate, Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
SCALES = [
    BINARY,
    Scale(0.0, 1.0, "higher"),
    Scale(-1.0, 1.0, "higher"),
    Scale(0.0, None, "lower"),
    Scale(None, None, "neither"),
]
STRATA = ["a", "b", "c", "d"]
PIS = {"a": 0.01, "b": 0.013, "c": 0.2, "d": 1.0}

scales = st.sampled_from(SCALES)
confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


def make(stratum: str, values: list[float], missing: int = 0, pi: float | None = None) -> Cell:
    return Cell(
        stratum, 1, PIS[stratum] if pi is None else pi, len(values), missing, 0,
        math.fsum(values), math.fsum(v * v for v in values),
        min(values, default=None), max(values, default=None),
    )  # fmt: skip


@st.composite
def samples(draw: st.DrawFn) -> tuple[Scale, list[tuple[str, list[float], int]]]:
    scale = draw(scales)
    one = (
        st.sampled_from([0.0, 1.0])
        if scale.binary
        else st.floats(-1.0 if scale.low is None else scale.low, 1.0 if scale.high is None else scale.high)
    )
    names = draw(st.lists(st.sampled_from(STRATA), min_size=1, max_size=4, unique=True))
    return scale, [(name, draw(st.lists(one, min_size=1, max_size=40)), draw(st.integers(0, 5))) for name in names]


def offered_of(parts: list[tuple[str, list[float], int]], extra: int = 0) -> dict[tuple[str, int], int]:
    counts = {(name, 1): round((len(values) + missing) / PIS[name]) for name, values, missing in parts}
    return counts | ({("z", 1): extra} if extra else {})


def close(one: Estimate, other: Estimate) -> bool:
    def same(a: float | None, b: float | None) -> bool:
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6)

    return all(same(getattr(one, name), getattr(other, name)) for name in ("value", "low", "high"))


@given(samples(), confidences, st.booleans(), st.integers(0, 50))
def test_the_interval_holds_the_value_within_the_scale(sample, confidence, exact, extra) -> None:
    scale, parts = sample
    cells = [make(*part) for part in parts]
    offered = offered_of(parts, extra) if exact else None
    estimate = estimate_mean(cells, scale, DAY, offered=offered, rates={("y", 1): 0.001}, confidence=confidence)
    values = [value for _, some, _ in parts for value in some]
    assert min(values) - 1e-9 <= estimate.value <= max(values) + 1e-9
    if estimate.low is not None:
        assert estimate.low <= estimate.value + 1e-12
        assert scale.low is None or estimate.low >= scale.low - 1e-12
    if estimate.high is not None:
        assert estimate.high >= estimate.value - 1e-12
        assert scale.high is None or estimate.high <= scale.high + 1e-12
    assert 0.0 < estimate.n_effective <= estimate.n * (1 + 1e-9)
    assert 0.0 <= estimate.missing_share <= 1.0


@given(samples(), st.randoms(use_true_random=False))
def test_order_and_splitting_change_nothing(sample, random) -> None:
    scale, parts = sample
    whole = [make(*part) for part in parts]
    split = []
    for name, values, missing in parts:
        shuffled = random.sample(values, len(values))
        cut = random.randint(0, len(values))
        split += [make(name, shuffled[:cut], missing), make(name, shuffled[cut:])]
    random.shuffle(split)
    for estimator in (estimate_mean, estimate_total):
        for offered in (None, offered_of(parts)):
            one = estimator(whole, scale, DAY, offered=offered)
            assert close(one, estimator(split, scale, DAY, offered=offered)), one


@given(samples())
def test_wider_with_confidence(sample) -> None:
    scale, parts = sample
    cells = [make(*part) for part in parts]
    estimates = [
        estimate_mean(cells, scale, DAY, offered=offered_of(parts), confidence=confidence)
        for confidence in (0.5, 0.8, 0.95, 0.99)
    ]
    for narrow, wide in pairwise(estimates):
        assert wide.low is None or wide.low <= narrow.low + 1e-12
        assert wide.high is None or wide.high >= narrow.high - 1e-12


@given(samples(), st.floats(0.01, 0.99))
def test_the_value_depends_on_ratios_of_weights_only(sample, factor) -> None:
    scale, parts = sample
    cells = [make(*part) for part in parts]
    scaled = [msgspec.structs.replace(cell, pi=cell.pi * factor) for cell in cells]
    one, other = estimate_mean(cells, scale, DAY), estimate_mean(scaled, scale, DAY)
    assert one.value == pytest.approx(other.value, rel=1e-9, abs=1e-9)
    assert one.n_effective == pytest.approx(other.n_effective, rel=1e-6)
    assert one.missing_share == pytest.approx(other.missing_share)


@given(samples())
def test_pi_of_one_is_the_plain_mean(sample) -> None:
    scale, parts = sample
    cells = [make(name, values, 0, pi=1.0) for name, values, _ in parts]
    values = [value for _, some, _ in parts for value in some]
    for offered in (None, {(name, 1): len(some) for name, some, _ in parts}):
        estimate = estimate_mean(cells, scale, DAY, offered=offered)
        plain = math.fsum(values) / len(values)
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((plain, plain, plain), abs=1e-9)
        assert estimate.n_effective == pytest.approx(len(values))


@given(samples(), st.integers(1, 100))
def test_units_of_the_scale_do_not_matter(sample, factor) -> None:
    scale, parts = sample
    if scale.binary:
        return
    cells = [make(*part) for part in parts]
    larger = [make(name, [factor * v for v in values], missing) for name, values, missing in parts]
    low, high = (None if end is None else end * factor for end in (scale.low, scale.high))
    one = estimate_mean(cells, scale, DAY, offered=offered_of(parts))
    other = estimate_mean(larger, Scale(low, high, "higher"), DAY, offered=offered_of(parts))
    assert other.value == pytest.approx(one.value * factor, rel=1e-6, abs=1e-6)
    # A spread that is all rounding is not the same rounding in another unit.
    if one.low is not None and other.low is not None and one.high is not None and other.high is not None:
        assert (other.low, other.high) == pytest.approx((one.low * factor, one.high * factor), rel=1e-5, abs=1e-5)


@given(st.floats(-1e12, 1e12).filter(lambda value: abs(value) > 1e-8 or value == 0.0))
def test_a_bin_holds_its_value(value) -> None:
    low, high = bin_edges(bin_of(value))
    assert low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high)
    assert bin_value(bin_of(value)) == pytest.approx(value, rel=0.00991, abs=1e-9)


@given(
    st.dictionaries(st.sampled_from(STRATA), st.lists(st.floats(0.1, 1e4), min_size=1, max_size=30), min_size=1),
    st.sampled_from([0.05, 0.5, 0.95]),
)
@settings(max_examples=50)
def test_quantiles_grow_and_hold_their_value(strata, probability) -> None:
    bins = {}
    for name, values in strata.items():
        counts: dict[int, int] = {}
        for value in values:
            counts[bin_of(value)] = counts.get(bin_of(value), 0) + 1
        bins[name, 1, PIS[name]] = counts
    scale = Scale(0.0, None, "lower")
    estimate = estimate_quantile(bins, probability, scale, DAY)
    assert estimate.low <= estimate.value
    assert estimate.high is None or estimate.value <= estimate.high
    assert estimate_quantile(bins, min(0.99, probability + 0.1), scale, DAY).value >= estimate.value
