"""Cells in columns, from objects and from an Arrow table: thousands of groups without an object for each cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.protocols import CellColumns, CellGroup, Place
from evalsvc.store.queries import identity_of
from evalsvc.store.steps import SEGMENT, Grid

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]

CONSUMER = "consumer"
_MOST = 1 << 62
_DENSE = 4


class _Coded(NamedTuple):
    """A column as places in a sorted list of its different values."""

    values: Sequence[Any]
    codes: Ints


def columns_of(found: Mapping[str, Sequence[CellGroup]]) -> CellColumns:
    """Return the groups of each metric as columns.

    >>> columns_of({"bleu": []}).group.size
    0
    """
    groups = [(metric, group) for metric, some in found.items() for group in some]
    flat = [(number, cell) for number, (_, group) in enumerate(groups) for cell in group.cells]
    places = _coded((group.window, group.consumer, tuple(group.key.items())) for _, group in groups)
    return _sorted(
        _coded(metric for metric, _ in groups),
        _Coded([Place(window, consumer, dict(key)) for window, consumer, key in places.values], places.codes),
        _coded((group.scorer_version, group.signature) for _, group in groups),
        np.array([number for number, _ in flat], np.int64),
        _coded((cell.stratum, cell.design_version) for _, cell in flat),
        np.array([cell.pi for _, cell in flat], np.float64),
        {name: np.array([getattr(cell, name) for _, cell in flat], _kind(name)) for name in _SUMS},
    )


def columns_of_table(table: pa.Table, steps: Grid, by: Sequence[str]) -> CellColumns:
    """Return the rows of :func:`evalsvc.store.queries.cells_statement`, without cluster moments, as columns."""
    columns = table.combine_chunks().columns
    width = 3 + len(by)
    metric, step, consumer, *keys = (_coded_column(column) for column in columns[:width])
    identity = _coded_column(columns[width])
    parsed = [identity_of(text) for text in identity.values]
    scorer = _coded((version, signature) for version, signature, *_ in parsed)
    stratum = _coded((name, version) for _, _, name, version, _ in parsed)
    pi = np.array([row[4] for row in parsed], np.float64)
    place, representative = _joined([step, consumer, *keys])
    windows = [steps.window(index) for index in step.values]
    places = [
        Place(
            windows[step.codes[row]],
            consumer.values[consumer.codes[row]],
            {name: key.values[key.codes[row]] for name, key in zip(by, keys, strict=True)},
        )
        for row in representative.tolist()
    ]
    scorers = _Coded(scorer.values, scorer.codes[identity.codes])
    group, first = _joined([metric, _Coded(places, place), scorers])
    sums = {
        name: np.asarray(column, _kind(name)) for name, column in zip(_SUMS[:5], columns[width + 1 :], strict=False)
    }
    nothing = {name: np.zeros(len(group), _kind(name)) for name in _SUMS[5:]}
    return _sorted(
        _Coded(metric.values, metric.codes[first]),
        _Coded(places, place[first]),
        _Coded(scorer.values, scorers.codes[first]),
        group,
        _Coded(stratum.values, stratum.codes[identity.codes]),
        pi[identity.codes],
        {**sums, **nothing},
    )


def columns_of_named(table: pa.Table, steps: Grid, by: Sequence[str]) -> CellColumns:
    """Return the rows of :func:`evalsvc.store.queries.named_cells_statement` as columns."""
    metric, step, consumer, name = (_coded_column(column) for column in table.columns[:4])
    cells = [_Named.read(text, by) for text in name.values]
    key, scorer, part = (_coded(cell[field] for cell in cells) for field in range(3))
    key_at, scorer_at, part_at = (column.codes[name.codes] for column in (key, scorer, part))
    place, where = _joined([step, consumer, _Coded(key.values, key_at)])
    group, of = _joined([metric, _Coded(range(where.size), place), _Coded(scorer.values, scorer_at)])
    cell, row = _joined([_Coded(range(of.size), group), _Coded(part.values, part_at)])
    windows = [steps.window(index) for index in step.values]
    places = [
        Place(
            windows[step.codes[at]],
            consumer.values[consumer.codes[at]],
            dict(zip(by, key.values[key_at[at]], strict=True)),
        )
        for at in where.tolist()
    ]
    if CONSUMER in by:
        places = [each._replace(key={**each.key, CONSUMER: each.consumer}) for each in places]
    stratum = _coded((stratum, version) for stratum, version, _ in part.values)
    pi = np.array([pi for _, _, pi in part.values], np.float64)
    sums = {
        column: np.bincount(cell, np.asarray(values), row.size).astype(_kind(column))
        for column, values in zip(_SUMS[:5], table.columns[4:], strict=True)
    }
    return CellColumns(
        metric.values,
        places,
        scorer.values,
        stratum.values,
        metric.codes[of],
        place[of],
        scorer_at[of],
        group[row],
        stratum.codes[part_at[row]],
        pi[part_at[row]],
        **sums,
        **{column: np.zeros(row.size, _kind(column)) for column in _SUMS[5:]},
    )


class _Named(NamedTuple):
    """What a cell's name says: the query's keys, (version, signature), and (stratum, design version, π)."""

    key: tuple[str, ...]
    scorer: tuple[int, str]
    part: tuple[str, int, float]

    @classmethod
    def read(cls, text: str, by: Sequence[str]) -> _Named:
        """Read a name of the rollup, an object, or of raw rows, a list."""
        said = msgspec.json.decode(text)
        if isinstance(said, list):
            *key, identity = said
        else:
            key, identity = [_said(said, name) for name in by], said["identity"]
        # A consumer is a column of its own, which orders places before their keys do.
        key = ["" if name == CONSUMER else value for name, value in zip(by, key, strict=True)]
        version, signature, stratum, design_version, pi = identity_of(identity)
        return cls(tuple(key), (version, signature), (stratum, design_version, pi))


def _said(cell: Mapping[str, Any], name: str) -> str:
    if name.startswith(SEGMENT):
        return str(cell["segments"].get(name.removeprefix(SEGMENT), ""))
    return str(cell.get(name, ""))


_SUMS = (
    *("n", "n_abstained", "n_failed", "total", "squares"),
    *("clusters", "cluster_n2", "cluster_ny", "cluster_y2"),
)
_REAL = frozenset(("total", "squares", "cluster_n2", "cluster_ny", "cluster_y2"))


def _sorted(
    metric: _Coded,
    place: _Coded,
    scorer: _Coded,
    group: Ints,
    stratum: _Coded,
    pi: npt.NDArray[np.float64],
    sums: Mapping[str, npt.NDArray[Any]],
) -> CellColumns:
    """Put groups and cells into their order."""
    order = np.lexsort((scorer.codes, place.codes, metric.codes))
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    mine = rank[group]
    by_group = np.lexsort((pi, stratum.codes, mine))
    return CellColumns(
        metric.values,
        place.values,
        scorer.values,
        stratum.values,
        metric.codes[order],
        place.codes[order],
        scorer.codes[order],
        mine[by_group],
        stratum.codes[by_group],
        pi[by_group],
        **{name: column[by_group] for name, column in sums.items()},
    )


def _kind(column: str) -> npt.DTypeLike:
    return np.float64 if column in _REAL else np.int64


def _coded(values: Iterable[Any]) -> _Coded:
    held = list(values)
    distinct = sorted(set(held))
    codes = {value: code for code, value in enumerate(distinct)}
    return _Coded(distinct, np.array([codes[value] for value in held], np.int64))


def _coded_column(column: pa.ChunkedArray) -> _Coded:
    """Return a column of the table in codes, which are in the order of its values as Python compares them."""
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    codes = np.asarray(encoded.indices)
    # A dictionary may have values that no row has.
    used = np.flatnonzero(np.bincount(codes, minlength=len(encoded.dictionary)))
    values = encoded.dictionary.take(used).to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.zeros(len(encoded.dictionary), np.int64)
    rank[used[order]] = np.arange(len(order))
    return _Coded([values[place] for place in order], rank[codes])


def _joined(columns: Sequence[_Coded]) -> tuple[Ints, Ints]:
    """Number the different combinations of the columns in their order; also return a row of each."""

    def with_next(codes: Ints, column: _Coded) -> Ints:
        size = max(1, len(column.values))
        if codes.size and int(codes.max()) >= _MOST // size:
            codes = np.unique(codes, return_inverse=True)[1]
        return codes * size + column.codes

    codes = reduce(with_next, columns, np.zeros(len(columns[0].codes), np.int64))
    size = math.prod(len(column.values) for column in columns)
    if size <= _DENSE * codes.size:  # most combinations there are: marking them is quicker than sorting
        row = np.full(size, -1, np.int64)
        row[codes[::-1]] = np.arange(codes.size)[::-1]
        present = np.flatnonzero(row >= 0)
        number = np.zeros(size, np.int64)
        number[present] = np.arange(present.size)
        return number[codes], row[present]
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return inverse, first
