"""Levels of looks against published boundaries, and p-values as levels whose limits reach a value."""

from __future__ import annotations

import math

import pytest

from evalsvc.errors import InputError
from evalsvc.stats.binary_pairs import normal_tail
from evalsvc.stats.distributions import normal_quantile
from evalsvc.stats.inversion import SMALLEST, beyond, tail_of
from evalsvc.stats.spending import nominal_levels

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "boundaries"),
    [
        # Lan & DeMets 1983; the digits are those of ldbounds 2.0 and of Jennison & Turnbull 1999, table 7.1.
        ("obrien-fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_boundaries_are_the_published_ones(spending, boundaries) -> None:
    found = [-normal_quantile(level) for level in nominal_levels(FIFTHS, 0.025, spending)]
    assert found == pytest.approx(boundaries, abs=6e-4)


def test_one_look_has_the_whole_level_and_none_has_more() -> None:
    assert nominal_levels([1.0], 0.05) == pytest.approx([0.05], rel=1e-3)
    levels = nominal_levels(FIFTHS, 0.05)
    assert levels == sorted(levels)
    assert levels[-1] < 0.05


@pytest.mark.parametrize("shares", [[], [0.0, 1.0], [0.5, 0.5], [0.5, 0.4], [0.5, 1.1]])
def test_looks_have_to_grow(shares) -> None:
    with pytest.raises(InputError, match="shares"):
        nominal_levels(shares, 0.05)


@pytest.mark.parametrize(("level", "spending"), [(0.0, "pocock"), (0.5, "pocock"), (0.05, "linear")])
def test_other_arguments_are_refused(level, spending) -> None:
    with pytest.raises(InputError):
        nominal_levels([1.0], level, spending)


def limits(shape):
    """A distance that is a function of the normal quantile of the limits' confidence."""
    return lambda confidence: shape(normal_quantile((1.0 + confidence) / 2.0))


@pytest.mark.parametrize(
    ("shape", "root"),
    [
        (lambda z: 2.0 - z, 2.0),
        (lambda z: 1.0 - z**3, 1.0),
        # Held at an end of the scale, at or just beyond the value: flat from the root on.
        (lambda z: max(0.0, 2.0 - z), 2.0),
        (lambda z: max(-1e-10, 2.0 - z), 2.0),
        (lambda z: max(-1e-3, 2.0 - z), 2.0),
        # No limit from some confidence on.
        (lambda z: 3.3 - z if z < 3.3 else -math.inf, 3.3),
        # Limits that run away.
        (lambda z: 0.5 - math.expm1(z * z), math.log(1.5) ** 0.5),
    ],
)
def test_the_level_at_which_a_limit_reaches_the_value(shape, root) -> None:
    assert tail_of(limits(shape)) == pytest.approx(normal_tail(root), rel=1e-4)


def test_beyond_the_ends_p_values_have_no_digits() -> None:
    assert tail_of(limits(lambda z: -1.0 - z)) == 0.5
    assert tail_of(limits(lambda z: 100.0 - z)) == SMALLEST
    assert beyond(None, 0.0, 1.0) == -math.inf
