"""Means of all groups of many metrics in one answer: what :mod:`evalsvc.query` finds of one group, in columns.

``tests/unit/test_query.py`` holds the two together. Here a group is a row of arrays: which strata may hold its events,
how many of these were offered and asked about, and then every mean with its interval by :mod:`evalsvc.stats.many`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.protocols import CellColumns, Offered, Place
from evalsvc.sampling import Design
from evalsvc.stats.many import UNKNOWN, Cells, Groups, Strata, means_of, to_estimates
from evalsvc.stats.strata import SPARSE, StratumKey
from evalsvc.types import Estimate, Scale, ScorerSpec

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Holds = Callable[[str, Place], bool | None]
"""Whether all events of a stratum are a place's, or none; None where the stratum's name does not tell."""
Rate = Callable[[str, StratumKey, str], float | None]
"""The design's π of a consumer's stratum for a metric, where it is known."""


class Unasked(NamedTuple):
    """Sampled events without a score of the scorer, ``[groups]``: how many, and how many events they stand for.

    ``gone`` and ``sampled`` are numbers of events that the scores without a value and all scores stand for.
    """

    events: Ints
    weight: Floats
    gone: Floats
    sampled: Floats


class _Rows(NamedTuple):
    """Strata that may hold events of a place, by place: ``first[place]`` … ``first[place + 1]`` are its rows."""

    first: Ints
    stratum: Ints
    offered: Ints
    distinct: Ints
    sampled: Ints
    told: Bools


class _Pairs(NamedTuple):
    """A row for each group and stratum that may hold events of it; ``asked`` counts scores, 0 where there are none."""

    group: Ints
    row: Ints
    rate: Floats
    asked: Ints
    met: Bools


def mean_estimates(
    columns: CellColumns,
    specs: Mapping[tuple[str, int, str], ScorerSpec],
    offered: Sequence[Offered],
    designs: Mapping[str, Mapping[int, Design]],
    *,
    everyone: CellColumns,
    holds: Holds,
    rate: Rate,
    distinct: Callable[[Offered], int],
    exact: bool,
    confidence: float,
    process: bool,
    statistic: str,
) -> tuple[list[Estimate], Unasked]:
    """Return the mean of every group of the columns, and what its scorer was not asked about.

    Args:
        columns: the cells.
        specs: of every scorer among the columns, by metric, version and signature.
        offered: what was offered in the places' windows.
        designs: of every consumer, by version.
        everyone: cells of the same scorers and windows, whichever group the events are of.
        holds: which strata are a place's.
        rate: the designs' π.
        distinct: how many different events a row of ``offered`` stands for.
        exact: whether the windows hold whole minutes, as ``offered`` counts them.
        confidence: of the intervals.
        process: whether they are of the process behind the events instead of the events.
        statistic: ``mean`` or ``proportion``, for the estimates' name.
    """
    keys = sorted({*columns.strata, *((row.stratum, row.design_version) for row in offered)})
    codes = {key: code for code, key in enumerate(keys)}
    stratum = np.array([codes[key] for key in columns.strata], np.int64)[columns.stratum]
    rows = _rows(columns.places, offered, codes, holds, distinct)
    consumers = {name: place for place, name in enumerate(dict.fromkeys(place.consumer for place in columns.places))}
    consumer = np.array([consumers[place.consumer] for place in columns.places], np.int64)[columns.place]
    rates, asks = _known(columns, stratum, list(consumers), consumer, keys, offered, designs, rate)
    pairs = _pairs(columns, stratum, rows, rates, consumer, len(keys))
    union = exact & (_count(pairs.group[~rows.told[pairs.row]], columns.metric.size) == 0)
    met, answered = _meetings(columns, everyone, pairs, rows.stratum[pairs.row], codes)
    # Enough events were taken to have met this scorer, and none did, or it abstained from all: it is not applied there.
    # Of events of other groups that it did score, it is, and some of this group may hide.
    taken = np.where(
        np.isnan(pairs.rate),
        rows.sampled[pairs.row],
        np.fmin(rows.sampled[pairs.row], pairs.rate * rows.offered[pairs.row]),
    )
    kept = (taken < SPARSE) | pairs.met | (~rows.told[pairs.row] & (answered > 0))
    pairs, met = _where(pairs, kept), met[kept]
    asked = _count(_asked(columns, stratum, len(keys))[0] // max(1, len(keys)), union.size)
    whole = union & (_count(pairs.group[pairs.met], union.size) == asked)
    kept = whole[pairs.group] | ~np.isnan(pairs.rate)
    pairs, met = _where(pairs, kept), met[kept]
    untaken = np.maximum(0, rows.distinct[pairs.row] - met) if exact else np.full(met.size, UNKNOWN)
    offers = np.where(whole[pairs.group], rows.distinct[pairs.row], untaken)
    scales = list(dict.fromkeys(spec.scale for spec in specs.values()))
    groups = Groups(_scale_places(columns, specs, scales), whole)
    means = means_of(
        _cells(columns, stratum),
        Strata(pairs.group, rows.stratum[pairs.row], offers, pairs.rate),
        groups,
        scales,
        confidence=confidence,
        process=process,
    )
    windows = [columns.places[place].window for place in columns.place.tolist()]
    made = to_estimates(means, groups, scales, windows, confidence=confidence, statistic=statistic)
    asks_here = asks[columns.metric[pairs.group], consumer[pairs.group], rows.stratum[pairs.row]]
    return made, _unasked(columns, pairs, rows, whole[pairs.group] & asks_here & ~np.isnan(pairs.rate))


def _scale_places(
    columns: CellColumns, specs: Mapping[tuple[str, int, str], ScorerSpec], scales: Sequence[Scale]
) -> Ints:
    """Return the place of each group's scale in the list of scales."""
    place = np.zeros((len(columns.metrics), len(columns.scorers)), np.int64)
    for m, metric in enumerate(columns.metrics):
        for v, scorer in enumerate(columns.scorers):
            if (metric, *scorer) in specs:
                place[m, v] = scales.index(specs[metric, *scorer].scale)
    return place[columns.metric, columns.scorer]


def unscored_groups(columns: CellColumns) -> list[tuple[int, int, int]]:
    """Return the groups without any value, with how many scores failed and how many abstained."""
    size = columns.metric.size
    scored, failed, abstained = (
        _sum(columns.group, counts.astype(np.float64), size)
        for counts in (columns.n, columns.n_failed, columns.n_abstained)
    )
    return [(int(group), int(failed[group]), int(abstained[group])) for group in np.flatnonzero(scored == 0.0)]


def _rows(
    places: Sequence[Place],
    offered: Sequence[Offered],
    codes: Mapping[StratumKey, int],
    holds: Holds,
    distinct: Callable[[Offered], int],
) -> _Rows:
    by_window: dict[tuple[datetime, str], list[Offered]] = defaultdict(list)
    for row in offered:
        by_window[row.window.start, row.consumer].append(row)
    told: dict[tuple[str, tuple[str, ...]], bool | None] = {}
    found: list[tuple[int, int, int, int, bool]] = []
    first = [0]
    for place in places:
        values = tuple(place.key.values())
        for row in by_window.get((place.window.start, place.consumer), ()):
            known = (row.stratum, values)
            if known not in told:
                told[known] = holds(row.stratum, place)
            if told[known] is not False:
                code = codes[row.stratum, row.design_version]
                found.append((code, row.offered, distinct(row), row.sampled, told[known] is True))
        first.append(len(found))
    stratum, offers, different, sampled, sure = zip(*found, strict=True) if found else ((), (), (), (), ())
    return _Rows(
        np.array(first, np.int64),
        np.array(stratum, np.int64),
        np.array(offers, np.int64),
        np.array(different, np.int64),
        np.array(sampled, np.int64),
        np.array(sure, np.bool_),
    )


def _known(
    columns: CellColumns,
    stratum: Ints,
    consumers: Sequence[str],
    consumer: Ints,
    keys: Sequence[StratumKey],
    offered: Sequence[Offered],
    designs: Mapping[str, Mapping[int, Design]],
    rate: Rate,
) -> tuple[Floats, Bools]:
    """Return π by metric, consumer and stratum, NaN where unknown, and whether all sampled events are asked about."""
    shape = len(columns.metrics), len(consumers), len(keys)
    rates, asks = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    codes = {key: code for code, key in enumerate(keys)}
    for name, key in {(row.consumer, (row.stratum, row.design_version)) for row in offered}:
        design = designs.get(name, {}).get(key[1])
        if name not in consumers or design is None:
            continue
        here = consumers.index(name), codes[key]
        plain = rate(name, key, "")
        for number, metric in enumerate(columns.metrics):
            asks[number, *here] = metric not in design.scorer_rates
            found = plain if asks[number, *here] else rate(name, key, metric)
            rates[number, *here] = np.nan if found is None else found
    # What was stored with the scores is what was done; a design that says otherwise was changed under its version.
    rates[columns.metric[columns.group], consumer[columns.group], stratum] = columns.pi
    return rates, asks


def _pairs(columns: CellColumns, stratum: Ints, rows: _Rows, rates: Floats, consumer: Ints, keys: int) -> _Pairs:
    """Join every group with the rows of its place, and count its scores there.

    ``rates`` is ``[metrics, consumers, keys]``, ``consumer`` ``[groups]``.
    """
    first = rows.first[columns.place]
    many = rows.first[columns.place + 1] - first
    group = np.repeat(np.arange(many.size), many)
    row = np.arange(group.size) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first, many)
    present, begin = _asked(columns, stratum, keys)
    scores = np.add.reduceat(_sampled(columns), begin) if begin.size else begin
    wanted = group * keys + rows.stratum[row]
    at = np.minimum(np.searchsorted(present, wanted), max(0, present.size - 1))
    met = present[at] == wanted if present.size else np.zeros(wanted.size, np.bool_)
    asked = np.where(met, scores[at], 0) if present.size else np.zeros(wanted.size, np.int64)
    return _Pairs(group, row, rates[columns.metric[group], consumer[group], rows.stratum[row]], asked, met)


def _asked(columns: CellColumns, stratum: Ints, keys: int) -> tuple[Ints, Ints]:
    """Return the pairs of group and stratum that have cells, as one number each, and where the cells of each begin."""
    pair = columns.group * keys + stratum
    begin = np.flatnonzero(np.diff(pair, prepend=-1))
    return pair[begin], begin


def _meetings(
    columns: CellColumns, everyone: CellColumns, pairs: _Pairs, stratum: Ints, codes: Mapping[StratumKey, int]
) -> tuple[Ints, Ints]:
    """Return how many scores a pair's scorer has in its stratum, of whatever group, and how many are no abstentions.

    ``stratum`` is each pair's. Only where the group itself has none is it looked up; it is 0 elsewhere.
    """
    asks = np.flatnonzero(~pairs.met)
    met, answered = np.zeros((2, pairs.met.size), np.int64)
    if not asks.size or not everyone.group.size:
        return met, answered
    mine, theirs = _scorers(columns, everyone)
    # Strata that were not offered in the window are nobody's here.
    known = np.array([codes.get(key, len(codes)) for key in everyone.strata], np.int64)[everyone.stratum]
    width = len(codes) + 1
    found, at = np.unique(theirs[everyone.group] * width + known, return_inverse=True)
    wanted = mine[pairs.group[asks]] * width + stratum[asks]
    place = np.minimum(np.searchsorted(found, wanted), found.size - 1)
    there = found[place] == wanted
    for made, counts in ((met, _sampled(everyone)), (answered, everyone.n + everyone.n_failed)):
        made[asks] = np.where(there, np.bincount(at, counts, found.size)[place], 0)
    return met, answered


def _scorers(columns: CellColumns, everyone: CellColumns) -> tuple[Ints, Ints]:
    """Return a number for the metric, window, consumer and version of each group, the same in both tables."""
    numbers: dict[object, int] = {}

    def number(names: Sequence[object]) -> Ints:
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)

    found = [
        (
            number(held.metrics)[held.metric],
            number([(place.window.start, place.consumer) for place in held.places])[held.place],
            number(held.scorers)[held.scorer],
        )
        for held in (columns, everyone)
    ]
    many = len(numbers)
    mine, theirs = ((metric * many + place) * many + scorer for metric, place, scorer in found)
    # Numbers of what there is, since the product of three and a stratum's may be too large for 64 bits.
    ranks = np.unique(np.concatenate([mine, theirs]), return_inverse=True)[1]
    return ranks[: mine.size], ranks[mine.size :]


def _unasked(columns: CellColumns, pairs: _Pairs, rows: _Rows, counted: Bools) -> Unasked:
    size = columns.metric.size
    group = pairs.group[counted]
    count = np.maximum(0, rows.sampled[pairs.row[counted]] - pairs.asked[counted])
    missing = columns.n_abstained + columns.n_failed
    return Unasked(
        np.bincount(group, count, size).astype(np.int64),
        _sum(group, count / pairs.rate[counted], size),
        _sum(columns.group, missing / columns.pi, size),
        _sum(columns.group, _sampled(columns) / columns.pi, size),
    )


def _where(pairs: _Pairs, chosen: Bools) -> _Pairs:
    group, row, rate, asked, met = pairs
    return _Pairs(group[chosen], row[chosen], rate[chosen], asked[chosen], met[chosen])


def _sum(index: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(index, values, size).astype(np.float64, copy=False)


def _cells(columns: CellColumns, stratum: Ints) -> Cells:
    return Cells(
        columns.group,
        stratum,
        columns.pi,
        columns.n,
        columns.n_abstained + columns.n_failed,
        columns.total,
        columns.squares,
        columns.clusters,
        columns.cluster_n2,
        columns.cluster_ny,
        columns.cluster_y2,
    )


def _sampled(columns: CellColumns) -> Ints:
    return columns.n + columns.n_abstained + columns.n_failed


def _count(index: Ints, size: int) -> Ints:
    return np.bincount(index, minlength=size).astype(np.int64)
