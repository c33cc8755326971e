"""From cells to *parts*: pieces of the window in which every event was taken with about the same probability.

An estimate is a sum over parts of (share of the events) × (mean of the part). Where the number of offered
events is known, a stratum is a part and its share is exact (post-stratification); where a domain cuts across
strata, a part is one level of π and its share is estimated from the sample.

Three cases need a decision, and each has a simulation in ``tests/calibration``:

* *Sparse strata.* Strata with fewer than :data:`SPARSE` sampled events are pooled with others of about the
  same π (within a factor of two), weighted by 1/π inside the pool: for equal π that is again a simple sample
  of the pool.
* *Strata with offered events and no score.* What the pool cannot mend is an ``unknown`` number of events.
* *Levels of π at which nothing of the domain was seen.* They may hide events, held in ``hidden``: the most of which
  none is taken with a probability of 1 - confidence, see :func:`most_unseen`, and no more than were not taken there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from evalsvc.stats.limits import relative_weights, wilson
from evalsvc.types import Cell

StratumKey = tuple[str, int]

SPARSE = 20
MOST = 1e150


class Part(NamedTuple):
    """Cells of about one π, how many scorable events they stand for, and what share of these was seen.

    ``size`` is estimated unless every sampled event was scored in a stratum of known size; ``size_error`` is its
    standard error, since a variance, by 1/π², overflows long before. ``fraction`` in [0, 1] is the sampled fraction:
    at 1 nothing is left to chance.
    """

    cells: tuple[Cell, ...]
    size: float
    size_error: float
    fraction: float


class Layout(NamedTuple):
    """The parts of a window with what they leave out. Sizes are numbers of events; ``size`` is that of all parts."""

    parts: tuple[Part, ...]
    size: float
    unknown: float
    hidden: tuple[float, ...]
    offered: int | None
    n: int
    n_missing: int
    n_effective: float
    missing_share: float


def missing(cell: Cell) -> int:
    """Return how many sampled events of a cell have no value."""
    return cell.n_abstained + cell.n_failed


def sampled(cells: Iterable[Cell]) -> int:
    """Return how many events were sampled, scored or not."""
    return sum(cell.n + missing(cell) for cell in cells)


def most_unseen(pi: float, confidence: float) -> int:
    """Return the largest D with (1 - π)^D >= 1 - confidence: so many events can all have been left out by chance.

    For small π it is the rule of three, -ln(1 - confidence)/π, whatever else was taken beside them.

    >>> most_unseen(0.01, 0.95), most_unseen(0.5, 0.95), most_unseen(0.99, 0.95)
    (298, 4, 0)
    """
    if pi >= 1.0:
        return 0
    # The cap keeps sums of squares finite; the added crumb keeps whole numbers from being rounded down.
    return int(min(math.log1p(-confidence) / math.log1p(-pi), MOST) + 1e-9)


def lay_out(
    cells: Sequence[Cell],
    offered: Mapping[StratumKey, int] | None,
    rates: Mapping[StratumKey, float] | None,
    confidence: float,
    untaken: Mapping[StratumKey, int] | None = None,
) -> Layout:
    """Return the parts of a domain.

    Args:
        cells: the domain's cells, in any order; several of one stratum and π are added up.
        offered: events offered by (stratum, design version), for all strata of the domain, when it is a
            union of strata; ``None`` when it cuts across them.
        rates: π of strata from which no cell came, where it is known.
        confidence: the level at which an unseen number of events is limited.
        untaken: how many events of the strata in ``rates`` were offered and not taken: no more can hide there. Of a
            stratum that is not named it is not known.
    """
    rates = rates or {}
    if offered is None:
        parts = [_crossing(group) for group in by_level(cells).values() if any(cell.n for cell in group)]
        return _summary(parts, 0.0, _hidden(cells, rates, untaken or {}, confidence), None, cells)
    parts, unknown = [], 0.0
    for population, group in _pools(cells, offered, rates):
        made, left = _stratum(group, population, confidence)
        parts += made
        unknown += left
    return _summary(parts, unknown, (), sum(offered.values()), cells)


def _hidden(
    cells: Sequence[Cell], rates: Mapping[StratumKey, float], untaken: Mapping[StratumKey, int], confidence: float
) -> tuple[float, ...]:
    """Return how many events may hide at each level of π at which the domain shows none."""
    seen = {_level(cell.pi) for cell in cells}
    least: dict[int, float] = {}
    room: dict[int, float] = defaultdict(float)
    for key, pi in rates.items():
        level = _level(pi)
        if level not in seen and pi < 1.0:
            least[level] = min(pi, least.get(level, 1.0))
            room[level] += untaken.get(key, math.inf)
    # Where whole sessions are taken it is sessions that chance leaves out, each with as many events as those seen.
    grouped = [cell for cell in cells if cell.clusters]
    held = sum(cell.n for cell in grouped)
    each = max(1.0, math.fsum(cell.cluster_n2 for cell in grouped) / held) if held else 1.0
    found = [min(room[level], each * most_unseen(pi, confidence)) for level, pi in sorted(least.items())]
    return tuple(events for events in found if events > 0.0)


def _summary(
    parts: Sequence[Part],
    unknown: float,
    hidden: tuple[float, ...],
    offered: int | None,
    cells: Sequence[Cell],
) -> Layout:
    size = math.fsum(part.size for part in parts)
    second = gone = everything = 0.0
    for part in parts:
        weights = relative_weights(part.cells)
        weight = math.fsum(cell.n * w for cell, w in weights)
        second += (part.size / size / weight) ** 2 * math.fsum(cell.n * w * w for cell, w in weights)
    for cell in cells:
        gone += missing(cell) / cell.pi
        everything += (cell.n + missing(cell)) / cell.pi
    return Layout(
        parts=tuple(parts),
        size=size,
        unknown=unknown,
        hidden=hidden,
        offered=offered,
        n=sum(cell.n for cell in cells),
        n_missing=sum(map(missing, cells)),
        n_effective=1.0 / second if second else 0.0,
        missing_share=gone / everything if everything else 0.0,
    )


def _level(pi: float) -> int:
    # Levels are octaves of π, since weights within a factor of two cost at most an eighth of the sample;
    # certainty is a level of its own, which nothing may dilute.
    return -1 if pi >= 1.0 else math.floor(-math.log2(pi))


def by_level(cells: Iterable[Cell]) -> dict[int, list[Cell]]:
    """Return cells by level of π."""
    groups: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[_level(cell.pi)].append(cell)
    return groups


def _crossing(cells: Sequence[Cell]) -> Part:
    weights = relative_weights(cells)
    least = min(cell.pi for cell in cells)
    size = math.fsum(cell.n / cell.pi for cell in cells)
    errors = [math.sqrt((cell.cluster_n2 if cell.clusters else cell.n) * (1 - cell.pi)) / cell.pi for cell in cells]
    # One unit more than was seen: of small counts, those that came out low would claim the smallest variance.
    error = math.hypot(*errors, math.sqrt(1 - least) / least)
    squares = math.fsum(cell.n * w * w for cell, w in weights)
    left = math.fsum(cell.n * (1 - cell.pi) * w * w for cell, w in weights) / squares
    return Part(tuple(cells), size, error, 1.0 - left)


def _stratum(cells: Sequence[Cell], population: int, confidence: float) -> tuple[list[Part], float]:
    """Return the parts of one (pooled) stratum and how many of its events nothing is known about."""
    taken, scored = sampled(cells), sum(cell.n for cell in cells)
    if taken == 0:
        return [], float(population)
    population = max(population, taken)
    fraction = taken / population
    if scored == 0:
        # Nothing was scorable: with enough events seen they are outside the domain, with few they may be bad
        # luck.
        share = wilson(0.0, taken / (1.0 - fraction), confidence)[1] if fraction < 1.0 and taken < SPARSE else 0.0
        return [], population * share
    groups = [group for group in by_level(cells).values() if any(cell.n for cell in group)]
    weight = math.fsum((cell.n + missing(cell)) / cell.pi for cell in cells)
    if len(groups) == 1 and sampled(groups[0]) == taken:
        ratio = math.fsum(cell.n / cell.pi for cell in cells) / weight
        error = population * math.sqrt(max(0.0, ratio * (1.0 - ratio)) / taken * (1.0 - fraction))
        return [Part(tuple(cells), population * ratio, error, fraction)], 0.0
    scale = population / weight
    crossing = [_crossing(group) for group in groups]
    return [p._replace(size=p.size * scale, size_error=p.size_error * scale) for p in crossing], 0.0


def _pools(
    cells: Sequence[Cell], offered: Mapping[StratumKey, int], rates: Mapping[StratumKey, float]
) -> list[tuple[int, list[Cell]]]:
    """Return (events offered, cells) by stratum, sparse ones pooled with their like."""
    found: dict[StratumKey, list[Cell]] = defaultdict(list)
    for cell in cells:
        found[cell.stratum, cell.design_version].append(cell)
    whole: list[tuple[int, list[Cell]]] = []
    by_level: dict[int, list[tuple[int, list[Cell]]]] = defaultdict(list)
    for key in sorted({*found, *(key for key, count in offered.items() if count > 0)}):
        group = found.get(key, [])
        population = offered.get(key) or round(math.fsum((c.n + missing(c)) / c.pi for c in group))
        levels = {_level(cell.pi) for cell in group} or ({_level(rates[key])} if key in rates else set())
        if len(levels) != 1 or levels == {-1} or sampled(group) >= population:
            whole.append((population, group))
        else:
            by_level[levels.pop()].append((population, group))
    for strata in by_level.values():
        whole += _pool(strata)
    return whole


def _pool(strata: list[tuple[int, list[Cell]]]) -> list[tuple[int, list[Cell]]]:
    """Return strata of one level, the sparse ones joined, also to the smallest other if still sparse."""
    strata = sorted(strata, key=lambda item: sampled(item[1]))
    split = next((i for i, item in enumerate(strata) if sampled(item[1]) >= SPARSE), len(strata))
    sparse, dense = strata[:split], strata[split:]
    while dense and sparse and sum(sampled(group) for _, group in sparse) < SPARSE:
        sparse.append(dense.pop(0))
    if not sparse:
        return dense
    joined = [cell for _, group in sparse for cell in group]
    return [(sum(population for population, _ in sparse), joined), *dense]
