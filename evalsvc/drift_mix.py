"""Who asks, and what answers: shares of versions, models and segments among the sampled events of two windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from evalsvc.drift import CategoricalSketch
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.stats.strata import missing
from evalsvc.types import Window

Where = Mapping[str, tuple[str, ...]]
FIELDS = ("application", "model", "model_version")
LOOKED_AT = 500
"""So many scores of each window are read to learn which segments there are: a random part."""
MOST_VALUES = 200
"""A segment of more values is an identifier rather than a group."""


def mixes(
    store: ScoreStore, metric: str, consumer: str, windows: tuple[Window, Window], where: Where
) -> dict[str, tuple[CategoricalSketch, CategoricalSketch]]:
    """Return the shares of each field's values in both windows, weighted by 1/π, where there are two values or more.

    Read from the sums of one of the consumer's metrics, whose events without a value count as the others do.
    """
    where = {**where, "consumer": (consumer,)}
    found = {}
    for field in _fields(store, metric, windows, where):
        old, now = (_shares(store, CellQuery(metric, one, int(one.seconds), (field,), where)) for one in windows)
        if 2 <= len({*old.categories, *now.categories}) <= MOST_VALUES:
            found[field] = (old, now)
    return found


def _fields(store: ScoreStore, metric: str, windows: tuple[Window, Window], where: Where) -> list[str]:
    segments = {
        f"segments.{name}"
        for window in windows
        for score in store.scores(CellQuery(metric, window, int(window.seconds), where=where), LOOKED_AT)
        for name in score.subject.segments
    }
    return [field for field in (*FIELDS, *sorted(segments)) if len(where.get(field, ("", ""))) > 1]


def _shares(store: ScoreStore, query: CellQuery) -> CategoricalSketch:
    (field,) = query.by
    cells: dict[tuple[str, int, float], dict[str, int]] = defaultdict(dict)
    for group in store.cells(query):
        value = group.key[field] or "-"
        for cell in group.cells:
            counts = cells[cell.stratum, cell.design_version, cell.pi]
            # Versions of the scorer follow each other, so that an event is counted by one of them.
            counts[value] = counts.get(value, 0) + cell.n + missing(cell)
    return CategoricalSketch.from_cells(cells)
