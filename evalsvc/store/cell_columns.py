"""Cells in columns, from objects and from an Arrow table: thousands of groups without an object for each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.protocols import CellColumns, CellGroup, Place
from evalsvc.store.queries import identity_of
from evalsvc.store.steps import Grid

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]

_MOST = 1 << 62


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
        {
            name: np.array([getattr(cell, name) for _, cell in flat], np.float64 if name in _REAL else np.int64)
            for name in _SUMS
        },
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
        name: np.asarray(column, np.float64 if name in _REAL else np.int64)
        for name, column in zip(_SUMS[:5], columns[width + 1 :], strict=False)
    }
    nothing = {name: np.zeros(len(group), np.float64 if name in _REAL else np.int64) for name in _SUMS[5:]}
    return _sorted(
        _Coded(metric.values, metric.codes[first]),
        _Coded(places, place[first]),
        _Coded(scorer.values, scorers.codes[first]),
        group,
        _Coded(stratum.values, stratum.codes[identity.codes]),
        pi[identity.codes],
        {**sums, **nothing},
    )


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


def _coded(values: Iterable[Any]) -> _Coded:
    held = list(values)
    distinct = sorted(set(held))
    codes = {value: code for code, value in enumerate(distinct)}
    return _Coded(distinct, np.array([codes[value] for value in held], np.int64))


def _coded_column(column: pa.ChunkedArray) -> _Coded:
    """Return a column of the table in codes, which are in the order of its values as Python compares them."""
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return _Coded([values[place] for place in order], rank[np.asarray(encoded.indices)])


def _joined(columns: Sequence[_Coded]) -> tuple[Ints, Ints]:
    """Number the different combinations of the columns in their order; also return a row of each."""

    def with_next(codes: Ints, column: _Coded) -> Ints:
        size = max(1, len(column.values))
        if codes.size and int(codes.max()) >= _MOST // size:
            codes = np.unique(codes, return_inverse=True)[1]
        return codes * size + column.codes

    codes = reduce(with_next, columns, np.zeros(len(columns[0].codes), np.int64))
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return inverse, first
