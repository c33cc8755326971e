"""Means of very many groups at once: the arithmetic of :func:`~evalsvc.stats.mean.estimate_mean`, in columns.

:func:`~evalsvc.stats.mean.estimate_mean` says what is estimated and why; here its steps (parts, limits of a
part, MOVER) are taken for all groups together. ``tests/property/test_stats_many.py`` holds the two together
to 1e-9, whatever the sample. Quantiles are scipy's, which is loaded at the first call.

Longer than other files: the steps of five modules in one form, whose arrays pass from one to the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.stats import limits as one
from evalsvc.stats import mean as single
from evalsvc.stats.distributions import normal_quantile, two_sided
from evalsvc.stats.strata import MOST, SPARSE, StratumKey, missing
from evalsvc.types import Cell, Estimate, Scale, Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Columns = TypeVar("Columns", bound=tuple[Any, ...])

LONELY, EQUAL, NOTHING = 1, 2, 3
UNKNOWN = 1 << 52
_WHOLE = -1
_NO_LEVEL = 1 << 40


class Cells(NamedTuple):
    """Columns of cells, ``[cells]`` each, in any order; fields are those of :class:`evalsvc.types.Cell`.

    ``group`` is from 0; ``stratum`` numbers (stratum, design version) in the order of sorted keys.
    ``n_missing`` counts abstained and failed. ``clusters`` is 0 where the cell has no cluster moments.
    """

    group: Ints
    stratum: Ints
    pi: Floats
    n: Ints
    n_missing: Ints
    total: Floats
    squares: Floats
    clusters: Ints
    cluster_n2: Floats
    cluster_ny: Floats
    cluster_y2: Floats


class Strata(NamedTuple):
    """Columns of the strata that may hold events of a group, ``[strata]`` each: at most one row of each.

    ``offered`` is the number of events offered; for groups that cut across strata, of those that were not taken, as no
    more can hide there (:data:`UNKNOWN` where that is not known). ``pi`` is NaN where it is not known.
    """

    group: Ints
    stratum: Ints
    offered: Ints
    pi: Floats


class Groups(NamedTuple):
    """Columns of groups, ``[groups]`` each.

    ``scale`` is a place in a list of scales; ``exact`` says that the group is a union of the strata that are
    given for it, whose numbers of offered events are then known.
    """

    scale: Ints
    exact: Bools


class Means(NamedTuple):
    """Columns of estimates, ``[groups]`` each; the fields of :class:`evalsvc.types.Estimate` where names agree.

    Undefined numbers are NaN here and None in :func:`estimate_means`. ``fault`` is 0 or one of
    :data:`LONELY`, :data:`EQUAL` and :data:`NOTHING`; ``unknown`` is the share in [0, 1] of events in strata
    without a score; ``hidden`` is the number of events that may hide in strata which show none.
    """

    value: Floats
    low: Floats
    high: Floats
    n: Ints
    n_effective: Floats
    n_missing: Ints
    missing_share: Floats
    offered: Ints
    clustered: Bools
    unknown: Floats
    hidden: Floats
    fault: Ints


class _Parts(NamedTuple):
    """Columns of parts (see :class:`evalsvc.stats.strata.Part`); ``of`` gives each cell its part, or -1."""

    of: Ints
    group: Ints
    size: Floats
    size_error: Floats
    fraction: Floats


class _Limits(NamedTuple):
    """What :class:`evalsvc.stats.mean.PartMean` holds, in columns; limits of a bounded scale need the last four."""

    mean: Floats
    error: Floats
    degrees: Floats
    share: Floats
    below: Floats
    above: Floats
    moved: Bools


class Table(NamedTuple):
    """What :func:`means_of` takes, as :func:`in_columns` makes it of objects."""

    cells: Cells
    strata: Strata
    groups: Groups
    scales: Sequence[Scale]


def means_of(
    cells: Cells,
    strata: Strata,
    groups: Groups,
    scales: Sequence[Scale],
    *,
    confidence: float = 0.95,
    process: bool = False,
) -> Means:
    """Return the mean of every group with its interval.

    Definitions, formulas and sources are :func:`~evalsvc.stats.mean.estimate_mean`'s.

    Args:
        cells: sums by group, stratum and π.
        strata: what was offered, or may hide, by group and stratum.
        groups: which scale each group has, and whether it is a union of strata.
        scales: the scales.
        confidence: of the two-sided intervals.
        process: of what produced the events (:func:`~evalsvc.stats.strata.of_the_process`) instead of the events.

    Raises:
        InputError: on a confidence outside (0, 1), or columns of different lengths.
    """
    two_sided(confidence)
    _same_lengths(cells)
    _same_lengths(strata)
    _same_lengths(groups)
    # Columns are computed whole and then chosen from: what is undefined is 0/0 in between.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _means_of(Table(cells, strata, groups, scales), confidence, process)


def _means_of(table: Table, confidence: float, process: bool) -> Means:
    cells, strata, groups, scales = table
    count = groups.exact.size
    cells = _where(cells, cells.n + cells.n_missing > 0)
    level = _levels(cells.pi)
    parts, unknown = _lay_out(cells, level, strata, groups.exact, confidence)
    if process:
        drawn = np.hypot(parts.size_error, np.sqrt(parts.size))
        parts = parts._replace(fraction=np.zeros(parts.size.size), size_error=drawn)
    scale = _Scale.of(scales, groups.scale)
    chosen = cells if (parts.of >= 0).all() else _where(cells, parts.of >= 0)
    of = parts.of[parts.of >= 0]
    limits, kish, clustered = _part_means(chosen, of, parts, scale.at(parts.group))
    joined = _join(parts, limits, scale, count, confidence)
    hidden = _hidden(cells, level, strata, groups.exact, confidence)
    value, low, high = _with_unknown(joined, scale, unknown, hidden)
    everything = (cells.n + cells.n_missing) / cells.pi
    fault = joined.fault
    second = _sum(parts.group, (parts.size / joined.size[parts.group]) ** 2 / kish, count)
    return Means(
        value=value,
        low=np.where(fault > 0, np.nan, low),
        high=np.where(fault > 0, np.nan, high),
        n=_count(cells.group, cells.n, count),
        n_effective=_ratio(np.ones(count), second),
        n_missing=_count(cells.group, cells.n_missing, count),
        missing_share=_ratio(
            _sum(cells.group, cells.n_missing / cells.pi, count), _sum(cells.group, everything, count)
        ),
        offered=np.where(groups.exact, _count(strata.group, strata.offered, count), -1),
        clustered=_sum(parts.group, clustered, count) > 0,
        unknown=_ratio(unknown, joined.size + unknown),
        hidden=_sum(*hidden, count),
        fault=fault,
    )


def estimate_means(
    cells: Sequence[Sequence[Cell]],
    scales: Sequence[Scale],
    windows: Sequence[Window],
    *,
    offered: Sequence[Mapping[StratumKey, int] | None],
    rates: Sequence[Mapping[StratumKey, float]],
    untaken: Sequence[Mapping[StratumKey, int]] | None = None,
    confidence: float = 0.95,
    statistic: str = "mean",
) -> list[Estimate]:
    """Return ``[estimate_mean(...), ...]`` of many groups, quicker from a few dozen of them on.

    Every argument has an entry for each group, as :func:`~evalsvc.stats.mean.estimate_mean` takes it.

    Raises:
        InputError: on a confidence outside (0, 1), lists of different lengths, or a statistic of ``proportion``
            for a scale that is not binary.

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> cell = Cell("all", 1, pi=0.05, n=50, n_abstained=0, n_failed=0, total=1, squares=1)
    >>> share = Scale(0.0, 1.0, "lower", binary=True)
    >>> (e,) = estimate_means([[cell]], [share], [day], offered=[{("all", 1): 1000}], rates=[{}])
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (0.02, 0.001, 0.102)
    """
    untaken = [{}] * len(cells) if untaken is None else untaken
    if not len(cells) == len(scales) == len(windows) == len(offered) == len(rates) == len(untaken):
        raise InputError("Expected `cells`, `scales`, `windows`, `offered` and `rates` with one entry a group each")
    if statistic == "proportion" and not all(scale.binary for scale in scales):
        raise InputError("Expected a binary metric for a proportion; of this one, ask for the mean or p50")
    table = in_columns(cells, scales, offered=offered, rates=rates, untaken=untaken)
    found = means_of(*table, confidence=confidence)
    return to_estimates(found, table.groups, table.scales, windows, confidence=confidence, statistic=statistic)


def in_columns(
    cells: Sequence[Sequence[Cell]],
    scales: Sequence[Scale],
    *,
    offered: Sequence[Mapping[StratumKey, int] | None],
    rates: Sequence[Mapping[StratumKey, float]],
    untaken: Sequence[Mapping[StratumKey, int]] | None = None,
) -> Table:
    """Return groups given as objects, in columns; arguments are :func:`estimate_means`'s."""
    untaken = [{}] * len(cells) if untaken is None else untaken
    places = {scale: place for place, scale in enumerate(dict.fromkeys(scales))}
    groups = Groups(
        np.array([places[scale] for scale in scales], np.int64),
        np.array([known is not None for known in offered], bool),
    )
    keys = {(cell.stratum, cell.design_version) for group in cells for cell in group}
    keys.update(key for known in (*offered, *rates) if known for key in known)
    codes = {key: code for code, key in enumerate(sorted(keys))}
    return Table(_cell_columns(cells, codes), _strata_columns(offered, rates, untaken, codes), groups, list(places))


def to_estimates(
    means: Means,
    groups: Groups,
    scales: Sequence[Scale],
    windows: Sequence[Window],
    *,
    confidence: float = 0.95,
    statistic: str = "mean",
) -> list[Estimate]:
    """Return columns as the estimates that they are of, with method and reason in words."""
    methods = {
        (place, exact, clustered): _method(scale, exact, clustered)
        for place, scale in enumerate(scales)
        for exact in (True, False)
        for clustered in (True, False)
    }
    rows = zip(*(column.tolist() for column in (*means, *groups)), windows, strict=True)
    made = []
    for value, low, high, n, effective, gone, share, offered, clustered, *why, place, exact, window in rows:
        lacking = value != value
        made.append(
            Estimate(
                None if lacking else value,
                None if low != low else low,
                None if high != high or high == math.inf else high,
                n,
                effective,
                gone,
                share,
                window,
                statistic,
                confidence,
                "" if lacking else methods[place, exact, clustered],
                offered if exact else None,
                _reason(scales[place], high, *why) if any(why) or high == math.inf else "",
            )
        )
    return made


def _method(scale: Scale, exact: bool, clustered: bool) -> str:
    return single.method_name("post-stratified" if exact else "hajek", scale, clustered)


def _reason(scale: Scale, high: float, unknown: float, hidden: float, fault: int) -> str:
    if fault:
        return {LONELY: single.LONELY, EQUAL: single.ALL_EQUAL, NOTHING: single.NOTHING_SCORED}[fault]
    return single.doubt(scale, unknown, endless=high == math.inf, hidden=hidden)


def _cell_columns(cells: Sequence[Sequence[Cell]], codes: Mapping[StratumKey, int]) -> Cells:
    # A list for each column: rows of tuples, turned, take five times as long.
    flat = [cell for group in cells for cell in group]
    return Cells(
        np.repeat(np.arange(len(cells)), [len(group) for group in cells]),
        np.array([codes[cell.stratum, cell.design_version] for cell in flat], np.int64),
        np.array([cell.pi for cell in flat], np.float64),
        np.array([cell.n for cell in flat], np.int64),
        np.array([missing(cell) for cell in flat], np.int64),
        np.array([cell.total for cell in flat], np.float64),
        np.array([cell.squares for cell in flat], np.float64),
        np.array([cell.clusters for cell in flat], np.int64),
        np.array([cell.cluster_n2 for cell in flat], np.float64),
        np.array([cell.cluster_ny for cell in flat], np.float64),
        np.array([cell.cluster_y2 for cell in flat], np.float64),
    )


def _strata_columns(
    offered: Sequence[Mapping[StratumKey, int] | None],
    rates: Sequence[Mapping[StratumKey, float]],
    untaken: Sequence[Mapping[StratumKey, int]],
    codes: Mapping[StratumKey, int],
) -> Strata:
    asked = [rate if known is None else known for known, rate in zip(offered, rates, strict=True)]
    return Strata(
        np.repeat(np.arange(len(asked)), [len(keys) for keys in asked]),
        np.array([codes[key] for keys in asked for key in keys], np.int64),
        np.array(
            [
                left.get(key, UNKNOWN) if known is None else known[key]
                for known, keys, left in zip(offered, asked, untaken, strict=True)
                for key in keys
            ],
            np.int64,
        ),
        np.array(
            [rate.get(key, math.nan) for rate, keys in zip(rates, asked, strict=True) for key in keys], np.float64
        ),
    )


def _same_lengths(columns: tuple[npt.NDArray[Any], ...]) -> None:
    if len({column.size for column in columns}) > 1:
        raise InputError("Expected columns of one length, but got " + ", ".join(str(c.size) for c in columns))


def _count(index: Ints, counts: Ints, size: int) -> Ints:
    return np.bincount(index, counts, size).astype(np.int64)


def _sum(index: Ints, values: npt.NDArray[Any], size: int) -> Floats:
    return np.bincount(index, values, size).astype(np.float64, copy=False)


def _where(columns: Columns, rows: npt.NDArray[Any]) -> Columns:
    """Return a table with these rows of its columns only."""
    kind: Any = type(columns)
    return cast("Columns", kind(*(column[rows] for column in columns)))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return above/below, and 0 where nothing is below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0.0)


def _levels(pi: Floats) -> Ints:
    """Return :func:`evalsvc.stats.strata._level` of each."""
    return np.where(pi >= 1.0, _WHOLE, np.floor(-np.log2(pi))).astype(np.int64)


def _least(index: Ints, values: Ints, size: int, start: int) -> Ints:
    found = np.full(size, start, np.int64)
    np.minimum.at(found, index, values)
    return found


# From cells to parts.


def _lay_out(cells: Cells, level: Ints, strata: Strata, exact: Bools, confidence: float) -> tuple[_Parts, Floats]:
    """Return the parts of every group, and by group how many events lie in strata without a score."""
    known = exact[strata.group]
    strata = _where(strata, known & (strata.offered > 0))
    mine = exact[cells.group]
    unit_of, unit = _units(_where(cells, mine), level[mine], strata)
    # Groups that cut across strata are units of their own, after those of the others.
    of = cells.group + unit.group.size
    of[mine] = unit_of
    size = unit.group.size + exact.size
    taken, scored = _sum(of, cells.n + cells.n_missing, size), _sum(of, cells.n, size)
    population = np.maximum(np.concatenate([unit.population, np.zeros(exact.size)]), taken)
    fraction = np.divide(taken, population, out=np.ones(size), where=population > 0.0)
    unknown = _unscored(taken, scored, population, fraction, confidence)[: unit.group.size]
    group = np.concatenate([unit.group, np.arange(exact.size)])
    place = _Units(group, population, taken, fraction)
    return _parts(cells, level, of, place, unit.group.size), _sum(unit.group, unknown, exact.size)


class _Units(NamedTuple):
    """Columns of strata after pooling, and of whole groups that cut across them."""

    group: Ints
    population: Floats
    taken: Floats
    fraction: Floats


def _unscored(taken: Floats, scored: Floats, population: Floats, fraction: Floats, confidence: float) -> Floats:
    """Return how many events of a unit without any score may belong to the domain; 0 for the others."""
    z2 = normal_quantile(two_sided(confidence)) ** 2
    share = z2 / (taken / (1.0 - fraction) + z2)
    share[(fraction >= 1.0) | (taken >= SPARSE)] = 0.0
    share[taken == 0.0] = 1.0
    return np.where(scored > 0.0, 0.0, population * share)


def _units(cells: Cells, level: Ints, strata: Strata) -> tuple[Ints, _Units]:
    """Return the unit of every cell, and the units: strata, sparse ones of about the same π pooled."""
    width = 1 + max(int(cells.stratum.max(initial=0)), int(strata.stratum.max(initial=0)))
    keys, place = np.unique(
        np.concatenate([cells.group * width + cells.stratum, strata.group * width + strata.stratum]),
        return_inverse=True,
    )
    of, offered_at = place[: cells.n.size], place[cells.n.size :]
    count = keys.size
    sampled = cells.n + cells.n_missing
    taken = _sum(of, sampled, count)
    population = np.rint(_sum(of, sampled / cells.pi, count))
    population[offered_at] = strata.offered
    lowest = _least(of, level, count, _NO_LEVEL)
    highest = -_least(of, -level, count, _NO_LEVEL)
    told = ~np.isnan(strata.pi) & (lowest[offered_at] == _NO_LEVEL)
    lowest[offered_at[told]] = highest[offered_at[told]] = _levels(strata.pi[told])
    group = keys // width
    poolable = (lowest == highest) & (lowest != _WHOLE) & (taken < population)
    pool = _pool(group, lowest, taken, poolable)
    first, unit = np.unique(pool, return_inverse=True)
    populations = _sum(unit, population, first.size)
    return unit[of], _Units(group[first], populations, np.empty(0), np.empty(0))


def _pool(group: Ints, level: Ints, taken: Floats, poolable: Bools) -> Ints:
    """Return for every stratum the one that it is pooled with, itself for most."""
    rows = np.flatnonzero(poolable)
    pool = np.arange(group.size)
    if not rows.size:
        return pool
    rows = rows[np.lexsort((rows, taken[rows], level[rows], group[rows]))]
    starts = np.ones(rows.size, bool)
    starts[1:] = (group[rows[1:]] != group[rows[:-1]]) | (level[rows[1:]] != level[rows[:-1]])
    first = np.flatnonzero(starts)[np.cumsum(starts) - 1]
    before = np.cumsum(taken[rows]) - taken[rows]
    before -= before[first]
    joins = (taken[rows[first]] < SPARSE) & ((taken[rows] < SPARSE) | (before < SPARSE))
    pool[rows[joins]] = rows[first[joins]]
    return pool


def _parts(cells: Cells, level: Ints, of: Ints, units: _Units, strata: int) -> _Parts:
    """Cut units into levels of π, and drop those without a score; the first ``strata`` units have a known size."""
    low, high = int(level.min(initial=0)), int(level.max(initial=0))
    width = high - low + 1
    keys, part = np.unique(of * width + (level - low), return_inverse=True)
    unit = keys // width
    count = keys.size
    scored = _sum(part, cells.n, count)
    weight = _sum(part, cells.n / cells.pi, count)
    everything = _sum(of, (cells.n + cells.n_missing) / cells.pi, units.group.size)
    alone = (_sum(unit, np.ones(unit.size), units.group.size) == 1)[unit] & (unit < strata)
    error, fraction = _crossing(cells, part, weight.size)
    # A stratum of several levels has a known size all together.
    scale = np.where(unit < strata, units.population[unit] / everything[unit], 1.0)
    size, error = weight * scale, error * scale
    population, taken, whole = units.population[unit], units.taken[unit], units.fraction[unit]
    share = weight / everything[unit]
    size = np.where(alone, population * share, size)
    known = population * np.sqrt(np.maximum(0.0, share * (1.0 - share)) / taken * (1.0 - whole))
    error = np.where(alone, known, error)
    fraction = np.where(alone, whole, fraction)
    kept = scored > 0.0
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    return _Parts(number[part], units.group[unit][kept], size[kept], error[kept], fraction[kept])


def _crossing(cells: Cells, part: Ints, count: int) -> tuple[Floats, Floats]:
    """Return the standard error and the sampled fraction of parts whose size is estimated."""
    least = _smallest(cells, part, count)
    weight = least[part] / cells.pi
    left = (1.0 - cells.pi) * weight**2
    units = np.where(cells.clusters > 0, cells.cluster_n2, cells.n)
    error = np.sqrt(_sum(part, units * left, count) + (1.0 - least)) / least
    squares = _sum(part, cells.n * weight**2, count)
    return error, 1.0 - _ratio(_sum(part, cells.n * left, count), squares)


def _smallest(cells: Cells, part: Ints, count: int) -> Floats:
    """Return the smallest π of each part: 1/π² may overflow, but weights relative to it do not."""
    least = np.ones(count)
    np.minimum.at(least, part, cells.pi)
    return least


def _hidden(cells: Cells, level: Ints, strata: Strata, exact: Bools, confidence: float) -> tuple[Ints, Floats]:
    """Return (group, events) of levels of π from which a group that cuts across strata shows no event."""
    chosen = ~exact[strata.group] & ~np.isnan(strata.pi) & (strata.pi < 1.0)
    group, pi = strata.group[chosen], strata.pi[chosen]
    room = np.where(strata.offered[chosen] >= UNKNOWN, math.inf, strata.offered[chosen])
    if not group.size:
        return group, pi
    at = _levels(pi)
    width = 2 + max(int(at.max()), int(level.max(initial=0)))
    unseen = ~np.isin(group * width + at, cells.group * width + level)
    group, at, pi, room = group[unseen], at[unseen], pi[unseen], room[unseen]
    keys, place = np.unique(group * width + at, return_inverse=True)
    least = np.ones(keys.size)
    np.minimum.at(least, place, pi)
    of = keys // width
    grouped, n2 = np.where(cells.clusters > 0, cells.n, 0), np.where(cells.clusters > 0, cells.cluster_n2, 0.0)
    each = np.maximum(1.0, _ratio(_sum(cells.group, n2, exact.size), _sum(cells.group, grouped, exact.size)))
    most = np.floor(np.minimum(math.log1p(-confidence) / np.log1p(-least), MOST) + 1e-9)
    return of, np.minimum(_sum(place, room, keys.size), each[of] * most)


# Means and limits of parts.


class _Scale(NamedTuple):
    """Columns of scales. Of an open end the number is 0 (``low``) or 1 (``width``)."""

    low: Floats
    width: Floats
    binary: Bools
    bounded: Bools
    floored: Bools

    @classmethod
    def of(cls, scales: Sequence[Scale], place: Ints) -> _Scale:
        """Return the columns for groups with these places in a list of scales."""
        low = np.array([0.0 if s.low is None else s.low for s in scales])
        width = np.array([s.high - s.low if s.low is not None and s.high is not None else 1.0 for s in scales])
        binary = np.array([s.binary for s in scales], bool)
        bounded = np.array([s.bounded for s in scales], bool)
        floored = np.array([s.low is not None for s in scales], bool)
        return cls(low, width, binary, bounded, floored).at(place)

    def at(self, index: Ints) -> _Scale:
        """Return the rows with these numbers."""
        return _where(self, index)


def _part_means(cells: Cells, of: Ints, parts: _Parts, scale: _Scale) -> tuple[_Limits, Floats, Bools]:
    """Return the parts' means with what their limits need, their effective numbers, and which have clusters."""
    count = parts.group.size
    grouped = cells.clusters > 0
    n2 = np.where(grouped, cells.cluster_n2, cells.n)
    ny = np.where(grouped, cells.cluster_ny, cells.total)
    y2 = np.where(grouped, cells.cluster_y2, cells.squares)
    w = _smallest(cells, of, count)[of] / cells.pi
    weight = _sum(of, cells.n * w, count)
    mean = _sum(of, cells.total * w, count) / weight
    square = _sum(of, cells.n * w**2, count)
    units = _sum(of, np.where(grouped, cells.clusters, cells.n), count)
    clustered = _sum(of, grouped & (cells.clusters < cells.n), count) > 0
    at = mean[of]
    residual = _sum(of, np.maximum(0.0, y2 - 2.0 * at * ny + at * at * n2) * w**2, count)
    worst = _sum(of, n2 * w**2, count) / square
    correction = np.where(units > 1, units / np.maximum(1.0, units - 1.0), 1.0)
    variance = correction * residual / weight**2
    left = 1.0 - parts.fraction
    error = np.sqrt(variance * left)
    error[(units <= 1) & (left > 0.0)] = np.nan
    error[(units <= 1) & (left <= 0.0)] = 0.0
    ended = scale.bounded
    low, width = np.where(ended, scale.low, 0.0), scale.width
    share = np.where(ended, np.clip((mean - low) / width, 0.0, 1.0), mean)
    known = _Moments(share, variance / width**2, weight**2 / square, units, worst, clustered)
    below, above, degrees = _scores(known, scale.binary, left, ended)
    steady = np.where(ended, (share * known.kish + 2.0) / (known.kish + 4.0), 0.0)
    bounded = width * np.sqrt(steady * (1.0 - steady) / np.minimum(below, above))
    limits = _Limits(
        np.where(ended, low + width * share, mean),
        np.where(ended, bounded, error),
        np.where(ended, degrees, units - 1.0),
        share,
        below,
        above,
        np.zeros(count, bool),
    )
    return limits, known.kish, clustered


class _Moments(NamedTuple):
    """Columns of :class:`evalsvc.stats.limits.Moments`."""

    mean: Floats
    variance: Floats
    kish: Floats
    units: Floats
    worst: Floats
    clustered: Bools


def _scores(m: _Moments, binary: Bools, left: Floats, ended: Bools) -> tuple[Floats, Floats, Floats]:
    """Return the effective numbers of scores behind the two limits, and degrees of freedom; 1 on open scales."""
    share = np.where(ended, m.mean, 0.5)
    room_below, room_above = (np.where(binary, 0.25, np.maximum(0.25, room)) for room in (share, 1.0 - share))
    down, degrees = _variance_ratio(m._replace(mean=share), binary, room_below)
    up, others = _variance_ratio(m._replace(mean=share), binary, room_above)
    below, above = m.kish / (down * left), m.kish / (up * left)
    return np.where(ended, below, 1.0), np.where(ended, above, 1.0), np.minimum(degrees, others)


def _variance_ratio(m: _Moments, binary: Bools, room: Floats) -> tuple[Floats, Floats]:
    """Return :func:`evalsvc.stats.limits.ratio` of each, with a prior of as many times the room."""
    prior = one.PRIOR * room
    base = m.mean * (1.0 - m.mean) / m.kish
    blind = (base <= 0.0) | (m.units < 2)
    plain = binary & ~m.clustered
    estimated = m.units * np.minimum(np.divide(m.variance, base, out=m.worst.copy(), where=~blind), m.worst)
    held = prior * m.worst
    share = _ratio(estimated, estimated + held)
    degrees = np.where(share > 1e-6, (m.units - 1.0) / share**2, np.inf)
    known = plain | blind
    ratio = np.where(plain, 1.0, np.where(blind, m.worst, (estimated + held) / (m.units + prior)))
    return ratio, np.where(known, np.inf, degrees)


# Joining parts.


class _Joined(NamedTuple):
    """Columns of groups: mean, squared distances to the limits, size and fault."""

    value: Floats
    below: Floats
    above: Floats
    size: Floats
    fault: Ints


def _join(parts: _Parts, limits: _Limits, scale: _Scale, count: int, confidence: float) -> _Joined:
    """Return the means of groups with the distances of their limits, by MOVER."""
    group = parts.group
    size = _sum(group, parts.size, count)
    share = parts.size / size[group]
    value = _sum(group, share * limits.mean, count)
    limits = _lonely(limits, _ratio(np.abs(limits.mean - value[group]), 1.0 - share), share < 1.0)
    fault = np.where(size > 0.0, 0, NOTHING)
    flat = (_sum(group, parts.fraction < 1.0, count) > 0) & ~scale.bounded
    fault[flat & (_sum(group, limits.error != 0.0, count) == 0) & (fault == 0)] = EQUAL
    fault[group[np.isnan(limits.error)]] = LONELY
    variance = np.nan_to_num((share * limits.error) ** 2, nan=0.0)
    critical = _critical(variance, limits.degrees, group, count, confidence)
    low, high = _part_limits(limits, scale.at(group), critical[group])
    doubt = ((limits.mean - value[group]) * (parts.size_error / size[group])) ** 2
    spread = _sum(group, doubt, count) * critical**2
    below = spread + _sum(group, (share * (limits.mean - low)) ** 2, count)
    above = spread + _sum(group, (share * (high - limits.mean)) ** 2, count)
    value[size <= 0.0] = np.nan
    return _Joined(value, below, above, size, fault)


def _lonely(limits: _Limits, distance: Floats, others: Bools) -> _Limits:
    """Give parts of one unit, on an open scale, their distance from the mean of the others as their error."""
    moved = np.isnan(limits.error) & others
    return limits._replace(
        error=np.where(moved, distance, limits.error), degrees=np.where(moved, 1.0, limits.degrees), moved=moved
    )


def _critical(variance: Floats, degrees: Floats, group: Ints, count: int, confidence: float) -> Floats:
    """Return Student's quantile with Satterthwaite's degrees of freedom, by group."""
    from scipy import special

    total = _sum(group, variance, count)
    share = _ratio(variance, total[group])
    spread = _sum(group, share**2 / np.maximum(1.0, degrees), count)
    freedom: Floats = np.where(spread > 0.0, 1.0 / spread, np.inf)
    normal = normal_quantile(two_sided(confidence))
    far: Floats = normal + (normal**3 + normal) / (4.0 * freedom)
    near = freedom <= 1e5
    far[near] = special.stdtrit(np.maximum(1.0, freedom[near]), two_sided(confidence))
    return far


def _part_limits(limits: _Limits, scale: _Scale, critical: Floats) -> tuple[Floats, Floats]:
    """Return the limits of every part, on the scale's own unit."""
    low, high = limits.mean - critical * limits.error, limits.mean + critical * limits.error
    logs = scale.floored & ~scale.bounded & ~limits.moved
    low[logs], high[logs] = _log_limits(limits.mean[logs] - scale.low[logs], limits.error[logs], critical[logs])
    low[logs] += scale.low[logs]
    high[logs] += scale.low[logs]
    ended = np.flatnonzero(scale.bounded)
    below, above, share, t = limits.below[ended], limits.above[ended], limits.share[ended], critical[ended]
    lower, upper = _score_limits(share, below, t)[0], _score_limits(share, above, t)[1]
    binary = scale.binary[ended]
    upper = np.where(binary, _score_limits(share, below, t)[1], upper)
    _make_exact(share, (below, np.where(binary, below, above)), t, lower, upper)
    lower, upper = _stretched(share, below, t, lower, upper, binary)
    low[ended] = scale.low[ended] + scale.width[ended] * lower
    high[ended] = scale.low[ended] + scale.width[ended] * upper
    return low, high


def _log_limits(mean: Floats, error: Floats, critical: Floats) -> tuple[Floats, Floats]:
    """Return :func:`evalsvc.stats.limits.log_limits` of each."""
    positive = mean > 0.0
    x = np.divide(critical * error, mean, out=np.zeros_like(mean), where=positive)
    upward = x + x * x / 2.0
    within = upward < math.log(one.HOPELESS)
    high = np.where(within, mean * np.exp(np.where(within, upward, 0.0)), np.inf)
    return np.where(positive, mean * np.exp(-x), mean), np.where(positive, high, mean)


def _score_limits(share: Floats, n: Floats, critical: Floats) -> tuple[Floats, Floats]:
    """Return :func:`evalsvc.stats.limits.score_limits` of each."""
    z2 = critical * critical
    centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n)
    half = critical / (1.0 + z2 / n) * np.sqrt(np.maximum(0.0, share * (1.0 - share)) / n + z2 / (4.0 * n * n))
    return np.maximum(0.0, np.minimum(share, centre - half)), np.minimum(1.0, np.maximum(share, centre + half))


def _make_exact(share: Floats, n: tuple[Floats, Floats], critical: Floats, low: Floats, high: Floats) -> None:
    """Put Clopper and Pearson's limits, at the lower's and the upper's number of scores, where the level is extreme."""
    from scipy import special

    tails = special.ndtr(-critical)
    extreme = (tails >= one.TINY) & (tails < one.EXTREME)
    rows = np.flatnonzero(extreme & np.isfinite(n[0]))
    hits, missed = n[0][rows] * share[rows], n[0][rows] * (1.0 - share[rows])
    low[rows] = np.where(hits > 0.0, special.betaincinv(hits, missed + 1.0, tails[rows]), 0.0)
    rows = np.flatnonzero(extreme & np.isfinite(n[1]))
    hits, missed = n[1][rows] * share[rows], n[1][rows] * (1.0 - share[rows])
    high[rows] = np.where(missed > 0.0, 1.0 - special.betaincinv(missed, hits + 1.0, tails[rows]), 1.0)


def _stretched(
    share: Floats, n: Floats, critical: Floats, low: Floats, high: Floats, binary: Bools
) -> tuple[Floats, Floats]:
    """Mend the limits of binary parts with few failures or successes: :func:`evalsvc.stats.limits.binary_limits`."""
    from scipy import special

    finite = np.where(np.isfinite(n), n, 0.0)
    information = finite * share * (1.0 - share)
    tails = special.ndtr(-critical)
    known = binary & (finite > 0.0) & (tails >= one.EXTREME)
    rows = np.flatnonzero(known & (information < one.NEAR_END - one.ROUNDED))
    rare = share[rows] <= 0.5 + one.ROUNDED
    of = finite[rows]
    failed = of * np.where(rare, share[rows], 1.0 - share[rows])
    near, far = np.where(rare, low[rows], 1.0 - high[rows]), np.where(rare, high[rows], 1.0 - low[rows])
    tail = tails[rows]
    near = np.where(failed > 0.0, np.minimum(near, special.betaincinv(failed + 0.5, of - failed + 0.5, tail)), 0.0)
    few = np.flatnonzero(failed < one.FEW - one.ROUNDED)
    far[few] = np.minimum(far[few], special.betaincinv(failed[few] + 1.0, of[few] - failed[few], 1.0 - tail[few]))
    few = few[failed[few] > 0.0]
    near[few] = np.minimum(near[few], special.betaincinv(failed[few], of[few] - failed[few] + 1.0, 2.0 * tail[few]))
    low[rows], high[rows] = np.where(rare, near, 1.0 - far), np.where(rare, far, 1.0 - near)
    return low, high


def _with_unknown(
    joined: _Joined, scale: _Scale, unknown: Floats, hidden: tuple[Ints, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Return value and limits, widened for events that may hide and for strata without a score."""
    value, size = joined.value, joined.size
    group, events = hidden
    share = _ratio(events, size[group] + events)
    below, above, top = joined.below, joined.above, scale.low + scale.width
    ended, hiding = scale.bounded, _sum(group, events, value.size) > 0.0
    inside = np.where(scale.floored & ~np.isnan(value), value, scale.low)
    below = below + np.where(scale.floored, _sum(group, (share * (inside - scale.low)[group]) ** 2, value.size), 0.0)
    above = above + np.where(ended, _sum(group, (share * (top - inside)[group]) ** 2, value.size), 0.0)
    low, high = value - np.sqrt(below), value + np.sqrt(above)
    known = 1.0 - _ratio(unknown, size + unknown)
    low = np.where(scale.floored, np.fmax(scale.low, low), low)
    tight = np.minimum(known * low + (1.0 - known) * scale.low, value)
    loose = np.maximum(known * np.minimum(top, high) + (1.0 - known) * top, value)
    # Where the scale has no end, there is none to what may hide, nor to a large part of which nothing is known.
    untold = 1.0 - known > single.UNTOLD
    low = np.where(untold, known * low + (1.0 - known) * scale.low, low)
    low = np.where((hiding | untold) & ~scale.floored, np.nan, low)
    high = np.where(hiding | untold, np.nan, high)
    return value, np.where(ended, tight, low), np.where(ended, loose, high)
