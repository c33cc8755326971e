"""Limits of many samples at once are those that the comparison gives of each."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.gate.relative import Asking, relative_change
from evalsvc.gate.sides import Sides
from evalsvc.stats import Question, compare_paired
from evalsvc.stats.clustered import gather
from evalsvc.stats.many_paired import Kind, Samples, least_relative_margins, lower_limits
from evalsvc.types import Scale

YES = Scale(0.0, 1.0, "higher", binary=True)
GRADED = Scale(0.0, 5.0, "higher")
OPEN = Scale(None, None, "higher")
LEVEL = 0.05


def sums(values: np.ndarray, weights: np.ndarray, codes: np.ndarray) -> Samples:
    of = gather(values, weights, codes)
    gains, losses = (gather(np.maximum(way, 0.0), weights, codes).totals for way in (values, -values))
    return Samples(*(held[None, :] for held in (*of, gains, losses)))


def drawn(rng: np.random.Generator, scale: Scale, groups: int, size: int, differing: float):
    codes = np.repeat(np.arange(groups), rng.integers(1, size + 1, groups))
    if scale.binary:
        old, new = (rng.random((2, codes.size)) < 0.7).astype(float)
    else:
        old, new = 5.0 * rng.random((2, codes.size))
    new = np.where(rng.random(codes.size) < differing, new, old)
    return codes.astype(np.int64), old, new


@pytest.mark.parametrize("scale", [YES, GRADED, OPEN], ids=["yes/no", "graded", "open"])
@pytest.mark.parametrize(("groups", "size", "weighted"), [(60, 1, False), (9, 4, False), (25, 4, True), (80, 6, True)])
@pytest.mark.parametrize("differing", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("rare", [False, True], ids=["seen", "rare"])
def test_each_limit_is_that_of_the_comparison(scale, groups, size, weighted, differing, rare) -> None:
    rng = np.random.default_rng(3)
    for _ in range(4):
        codes, old, new = drawn(rng, scale, groups, size, differing)
        weights = rng.uniform(0.5, 3.0, codes.size) if weighted else np.ones(codes.size)
        ask = Question("non-inferiority", 0.1, LEVEL)
        given = {"clusters": codes.tolist(), "weights": weights.tolist(), "question": ask, "rare": rare}
        found = compare_paired(old, new, scale, **given)
        plain = scale.binary and size == 1 and not weighted
        width = None if scale.high is None else scale.high
        kind = Kind(width, scale.binary, plain)
        losses = np.array([np.average(old, weights=weights)]) if rare else None
        (limit,) = lower_limits(sums(new - old, weights, codes), kind, LEVEL, losses=losses)
        if found.low is None:
            assert limit == -np.inf
        else:
            # Where signings are drawn, others are.
            near = 0.25 * (found.difference - found.low) if "signings" in found.test else 1e-6
            assert limit == pytest.approx(found.low, abs=near)


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("groups", [9, 60])
def test_a_relative_margin_is_shown_from_where_the_gate_shows_it(groups, better) -> None:
    rng = np.random.default_rng(4)
    scale = Scale(None, None, better)
    for _ in range(4):
        codes, old, new = drawn(rng, OPEN, groups, 4, 0.9)
        improved = new - old if better == "higher" else old - new
        held = sums(improved, np.ones(codes.size), codes)
        of_old = gather(old, np.ones(codes.size), codes).totals[None, :]
        (margin,) = least_relative_margins(of_old, held, lower=better == "lower", level=LEVEL)
        asking = Asking(Sides(old, new, scale), np.ones(codes.size), codes, LEVEL, 0)
        for at, shown in ((margin * 1.001 + 1e-9, True), (margin * 0.999, margin < 1e-9)):
            assert (relative_change(asking, at, limits=False).p_pass <= LEVEL) == shown
