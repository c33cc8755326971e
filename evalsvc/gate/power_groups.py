"""The groups of the next run: which they are is known, and how much each weighs; what differs in each is drawn.

Drawn as they come, runs would have more large groups, or fewer, than the set has. A limit that few groups decide moves
with how many are large: a gate that is out of reach of the set's own would seem to pass now and then.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from evalsvc.gate.evaluated import Floats, Rows

FEWEST = 5
"""Groups among which one is drawn, if so many are of about its weight."""
ABOUT = 2.0
"""Times the lightest of them."""


class Draws(NamedTuple):
    """Runs that are drawn, ``[runs, groups]``: rows of the pool, whose places they take, and times how much."""

    rows: Rows
    slots: Rows
    scale: Floats


class Sized(NamedTuple):
    """The groups that are known, from light to heavy: Σw and Σw² of each, and between which its like are.

    ``order`` has their places in the pool.
    """

    order: Rows
    weights: Floats
    squares: Floats
    first: Rows
    end: Rows

    @classmethod
    def of(cls, weights: Floats, squares: Floats) -> Self:
        """Return the groups with these sums of weights and of their squares."""
        order = np.lexsort((squares, weights))
        weights, squares = weights[order], squares[order]
        first, start = np.zeros(order.size, dtype=np.int64), 0
        for at in range(1, order.size):
            heavier = weights[at] > weights[at - 1] * (1.0 + 1e-9)
            if heavier and (at - start >= FEWEST or weights[at] > ABOUT * weights[start]):
                start = at
            first[at] = start
        end = np.searchsorted(first, first, side="right").astype(np.int64)
        return cls(order.astype(np.int64), weights, squares, first, end)

    def spread_over(self, groups: int) -> Rows:
        """Return, for so many groups, whose weights each has: as many of each weight as there are, in proportion."""
        return np.asarray((np.arange(groups) + 0.5) * self.order.size / groups, dtype=np.int64)

    def draw(self, runs: int, groups: int, pool: int, rng: np.random.Generator) -> Draws:
        """Return runs of so many groups out of a pool of the known ones, repeated; any order may be looked at."""
        slots = rng.permuted(np.tile(self.spread_over(groups), (runs, 1)), axis=1)
        first, end = self.first[slots], self.end[slots]
        taken = first + (rng.random(slots.shape) * (end - first)).astype(np.int64)
        block = rng.integers(0, pool // self.order.size, slots.shape)
        return Draws(block * self.order.size + self.order[taken], slots, self.weights[slots] / self.weights[taken])
