"""Events of both windows, dealt anew between them: what two windows of one population and one design look like.

Where both windows were sampled by one design, an event and its π are exchangeable between them if nothing moved, so a
permutation of events is exact whatever the weights are (Pitman 1937; Lehmann & Romano 2005, ch. 15). Events in one bin
with one π are alike, so counts are dealt instead of events: a multivariate hypergeometric variable.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.drift.distances import Floats

CLASSES = 8
"""Different π beyond this number are taken together with those nearest on a logarithmic scale."""
_MANY = 100.0
_FEW = 2000
_LARGEST = 10**9
_ANOTHER_DESIGN = 0.001

Ints = npt.NDArray[np.int64]


class Events(NamedTuple):
    """Counts ``[bins, classes]`` of both windows' events, and the weight 1/π of a class's events."""

    old: Ints
    new: Ints
    weights: Floats

    def grouped(self, groups: npt.NDArray[np.intp]) -> Events:
        """Return the events with the bins of one group taken together."""
        size = int(groups.max()) + 1
        both = [np.zeros((size, self.weights.size), np.int64) for _ in range(2)]
        for summed, counts in zip(both, (self.old, self.new), strict=True):
            np.add.at(summed, groups, counts)
        return Events(both[0], both[1], self.weights)

    @property
    def part(self) -> float:
        """The old window's part of all events."""
        return float(self.old.sum() / (self.old.sum() + self.new.sum()))

    @property
    def one_design(self) -> bool:
        """Whether both windows can have been sampled by one design: their events' π are as frequent, by χ²."""
        from scipy.special import chdtrc

        table = np.array([self.old.sum(axis=0), self.new.sum(axis=0)], np.float64)
        if table.shape[1] < 2:
            return True
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        statistic = float(((table - expected) ** 2 / expected).sum())
        return float(chdtrc(table.shape[1] - 1, statistic)) >= _ANOTHER_DESIGN


def events_of(
    old: Mapping[Hashable, Sequence[tuple[float, int]]],
    new: Mapping[Hashable, Sequence[tuple[float, int]]],
    order: Sequence[Hashable],
) -> Events:
    """Return the events of both windows by bin, in this order, and by class of π."""
    held: dict[float, int] = {}
    for window in (old, new):
        for rates in window.values():
            for pi, count in rates:
                held[pi] = held.get(pi, 0) + count
    pis = sorted(held)
    places, weights = _classes(np.array([1.0 / pi for pi in pis]), np.array([held[pi] for pi in pis], np.float64))
    place = dict(zip(pis, places.tolist(), strict=True))
    both = [np.zeros((len(order), weights.size), np.int64) for _ in range(2)]
    for counts, window in zip(both, (old, new), strict=True):
        for row, name in enumerate(order):
            for pi, count in window.get(name, ()):
                counts[row, place[pi]] += count
    return Events(both[0], both[1], weights)


def _classes(weights: Floats, counts: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the class of each weight and the classes' weights Σw²/Σw; few weights are classes of their own."""
    if weights.size <= CLASSES:
        return np.arange(weights.size), weights
    logs = np.log(weights)
    span = float(logs.max() - logs.min())
    rough = np.minimum(np.floor((logs - logs.min()) / span * CLASSES), CLASSES - 1)
    _, places = np.unique(rough, return_inverse=True)
    # Relative to the largest, since the square of a large weight overflows.
    small = weights / weights.max()
    first, second = np.bincount(places, counts * small), np.bincount(places, counts * small**2)
    return np.asarray(places, np.intp), np.asarray(second / first * weights.max())


def deal_events(events: Events, rng: np.random.Generator, draws: int) -> tuple[Floats, Floats]:
    """Return ``[draws, bins]`` weighted shares of both windows after their events were dealt anew, as many to each."""
    both = events.old + events.new
    dealt = _dealt(both.ravel(), int(events.old.sum()), rng, draws).reshape(draws, *both.shape)
    scaled = events.weights / events.weights.max()
    old, whole = dealt @ scaled, both @ scaled
    return _shares(old), _shares(np.maximum(whole - old, 0.0))


def _dealt(counts: Ints, taken: int, rng: np.random.Generator, draws: int) -> Floats:
    """Return ``[draws, cells]`` of how many of each cell's events are among ``taken`` drawn without replacement."""
    total = int(counts.sum())
    part = taken / total
    many = counts * min(part, 1.0 - part) > _MANY
    rare = counts[~many]
    found = np.empty((draws, counts.size))
    if total < _LARGEST:
        colours = np.append(rare, total - rare.sum())
        method: Literal["count", "marginals"] = "count" if total < _FEW else "marginals"
        drawn = rng.multivariate_hypergeometric(colours, taken, draws, method)[:, :-1]
    else:
        drawn = rng.binomial(rare, part, (draws, rare.size))
    found[:, ~many] = drawn
    if many.any():
        found[:, many] = _normal(counts[many].astype(np.float64), taken - drawn.sum(axis=1), part, rng)
    return found


def _normal(counts: Floats, taken: npt.NDArray[np.int64], part: float, rng: np.random.Generator) -> Floats:
    """Return independent normal counts of binomial moments, given their sum: a hypergeometric variable's moments."""
    variances = counts * part * (1.0 - part)
    drawn = counts * part + np.sqrt(variances) * rng.standard_normal((taken.size, counts.size))
    lacking = taken - drawn.sum(axis=1)
    return np.asarray(drawn + np.outer(lacking, variances / math.fsum(variances)))


def _shares(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
