"""Group-sequential tests: how much of the error rate may be spent at each of a few planned looks.

A one-sided test of level α is made at looks with shares 0 < t_1 < … < t_K = 1 of the planned information. By look k the
error spent is α(t_k), and each look's test is made at the nominal level whose boundary spends just what is due, given
that no earlier look refused (Lan & DeMets 1983). The scores of the looks have the joint distribution of a Brownian
motion at the times t, over whose density the boundaries are found (Armitage, McPherson & Rowe 1969; Jennison & Turnbull
1999, chapter 19).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalsvc.errors import InputError
from evalsvc.stats.binary_pairs import normal_tail
from evalsvc.stats.distributions import normal_quantile

Spending = Literal["obrien-fleming", "pocock"]
Floats = NDArray[np.float64]

GRID = 1001
REACH = 9.0
"""Scores beyond so many standard deviations have no mass that a level above 1e-12 sees."""
LEAST = 1e-12


def nominal_levels(shares: Sequence[float], level: float, spending: Spending = "obrien-fleming") -> list[float]:
    """Return the level of each look's own one-sided test, which together have ``level`` at most.

    Args:
        shares: of the planned information at each look, growing, in (0, 1].
        level: of the whole, in (0, 0.5).
        spending: ``obrien-fleming`` spends 2 - 2Φ(z/√t), little at first; ``pocock`` α·log(1 + (e - 1)t).

    Raises:
        InputError: on shares that do not grow from above 0 to at most 1, a level outside its range or an unknown
            spending function.

    >>> [round(found, 4) for found in nominal_levels([0.25, 0.5, 0.75, 1.0], 0.05)]
    [0.0001, 0.0055, 0.0219, 0.0427]
    """
    _check(shares, level, spending)
    return list(_levels(tuple(shares), level, spending))


@lru_cache(maxsize=1024)
def _levels(shares: tuple[float, ...], level: float, spending: Spending) -> tuple[float, ...]:
    """Return the levels; a run of several looks asks for the same ones again and again."""
    spent = [0.0, *(_spent(share, level, spending) for share in shares)]
    levels: list[float] = []
    density: Floats | None = None
    before = 0.0
    for share, due, had in zip(shares, spent[1:], spent[:-1], strict=True):
        grid = np.linspace(-REACH, REACH, GRID) * math.sqrt(share)
        step = float(grid[1] - grid[0])
        reached = _normal(grid, share) if density is None else _carried(density, before, grid, share)
        boundary = _boundary(grid, reached, step, max(due - had, LEAST))
        levels.append(max(LEAST, min(level, normal_tail(boundary / math.sqrt(share)))))
        # A point's mass is that of the cell around it, of which the boundary may cut off a part.
        density = reached * np.clip((boundary - grid) / step + 0.5, 0.0, 1.0)
        before = share
    return tuple(levels)


def _spent(share: float, level: float, spending: Spending) -> float:
    if spending == "pocock":
        return level * math.log1p((math.e - 1.0) * share)
    return 2.0 * normal_tail(-normal_quantile(level / 2.0) / math.sqrt(share))


def _normal(grid: Floats, variance: float) -> Floats:
    return np.exp(-grid * grid / (2.0 * variance)) / math.sqrt(2.0 * math.pi * variance)


def _carried(density: Floats, before: float, grid: Floats, share: float) -> Floats:
    """Return the density at the next look of what had not crossed: a convolution with the increment's normal."""
    old = np.linspace(-REACH, REACH, GRID) * math.sqrt(before)
    kernel = _normal(grid[:, None] - old[None, :], share - before)
    return np.asarray(kernel @ density * float(old[1] - old[0]))


def _boundary(grid: Floats, density: Floats, step: float, mass: float) -> float:
    """Return the score above which the density has so much mass."""
    above = np.cumsum(density[::-1])[::-1] * step
    place = int(np.searchsorted(-above, -mass))
    if place == 0:
        return float(grid[0])
    if place >= grid.size:
        return float(grid[-1])
    # Between two points of the grid the mass falls about exponentially.
    high, low = math.log(max(float(above[place - 1]), 1e-300)), math.log(max(float(above[place]), 1e-300))
    share = (high - math.log(mass)) / (high - low) if high > low else 0.0
    # A point's mass is that of the cell around it.
    return float(grid[place - 1]) + step * (share - 0.5)


def _check(shares: Sequence[float], level: float, spending: str) -> None:
    grown = all(a < b for a, b in zip([0.0, *shares], shares, strict=False))
    if not shares or not grown or shares[-1] > 1.0:
        raise InputError(f"Expected `shares` to grow from above 0 to at most 1, but got {list(shares)!r}")
    if not 0.0 < level < 0.5:
        raise InputError(f"Expected `level` between 0 and 0.5, such as 0.05, but got {level!r}")
    if spending not in ("obrien-fleming", "pocock"):
        raise InputError(f"Expected `spending` to be 'obrien-fleming' or 'pocock', but got {spending!r}")
