"""What the page shows, as values: every metric by application and version, over the span and step by step.

The store is asked once for each kind of fact, however many metrics there are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from evalsvc.protocols import CellColumns, CellGroup, CellQuery, Offered, ScoreStore
from evalsvc.query import EstimateQuery, LabelledEstimate, estimates
from evalsvc.types import Estimate, ScorerSpec, Window
from evalsvc.windows import steps

BY = ("application", "model_version")
_Identity = tuple[str, str, str, str, int, str]


class Row(NamedTuple):
    """One metric of one application and version: its estimate over the span, and its trend.

    ``trend`` has an entry for every step of the span, oldest first: ``None`` where nothing was scored.
    """

    spec: ScorerSpec
    consumer: str
    application: str
    model_version: str
    estimate: Estimate
    trend: Sequence[Estimate | None]


class Snapshot:
    """A store as one request reads it: the same question is asked once, and for all metrics together.

    Only what :func:`evalsvc.query.estimates` reads is remembered; all else goes to the store as it comes. Made
    for one request, used by one thread, and then forgotten, so that it never answers with old numbers.
    """

    def __init__(self, store: ScoreStore) -> None:
        self._store = store
        self._known: dict[tuple[object, ...], Any] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        """Pass on what is not remembered."""
        return getattr(self._store, name)

    def metrics(self) -> Sequence[ScorerSpec]:
        """Return the scorers that have written to the store."""
        if ("metrics",) not in self._known:
            self._known["metrics",] = self._store.metrics()
        return cast("Sequence[ScorerSpec]", self._known["metrics",])

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was offered and taken by window and stratum."""
        key = ("offered", window, step_seconds, consumer)
        if key not in self._known:
            self._known[key] = self._store.offered(window, step_seconds, consumer)
        return cast("Sequence[Offered]", self._known[key])

    def designs(self, consumer: str) -> Sequence[tuple[int, datetime, str]]:
        """Return a consumer's sampling designs."""
        key = ("designs", consumer)
        if key not in self._known:
            self._known[key] = self._store.designs(consumer)
        return cast("Sequence[tuple[int, datetime, str]]", self._known[key])

    def cells(self, query: CellQuery) -> Sequence[CellGroup]:
        """Return the sums of one metric; the first question brings those of all."""
        where = tuple(sorted(query.where.items()))
        key = ("cells", query.window, query.step_seconds, query.by, where, query.clusters)
        if key not in self._known:
            names = sorted({spec.metric for spec in self.metrics()} | {query.metric})
            self._known[key] = self._store.cells_by_metric(names, query)
        found: Mapping[str, Sequence[CellGroup]] = self._known[key]
        return found[query.metric]

    def cell_columns(self, metrics: Sequence[str], query: CellQuery) -> CellColumns:
        """Return the sums of metrics in columns, from what :meth:`cells` remembers."""
        from evalsvc.store.cell_columns import columns_of

        return columns_of({metric: self.cells(query._replace(metric=metric)) for metric in metrics})


def snapshot(store: ScoreStore) -> ScoreStore:
    """Return the store as one request should read it."""
    return cast("ScoreStore", Snapshot(store))


def rows(store: ScoreStore, span: Window, step_seconds: int) -> list[Row]:
    """Return a row for every metric, scorer version, consumer, application and model version with scores.

    They are in the order of the page: by application, then shares, bounded and open scales, then by name.
    """
    seen = snapshot(store)
    specs = {(spec.metric, spec.version, spec.signature): spec for spec in seen.metrics()}
    starts = [step.start for step in steps(span, step_seconds)]
    found = []
    for metric in sorted({spec.metric for spec in specs.values()}):
        trends = _trends(estimates(seen, EstimateQuery(metric, span, step_seconds, by=BY)))
        for labelled in estimates(seen, EstimateQuery(metric, span, int(span.seconds), by=BY)):
            spec = specs.get((metric, labelled.scorer_version, labelled.signature))
            if spec is not None and labelled.estimate.n + labelled.estimate.n_missing:
                found.append(_row(spec, labelled, trends[_identity(labelled)], starts))
    return sorted(found, key=_place)


def _row(
    spec: ScorerSpec,
    labelled: LabelledEstimate,
    trend: Mapping[datetime, Estimate],
    starts: Sequence[datetime],
) -> Row:
    application, version = (labelled.labels[name] for name in BY)
    points = [trend.get(start) for start in starts]
    return Row(spec, labelled.consumer, application, version, labelled.estimate, points)


def _trends(found: Sequence[LabelledEstimate]) -> Mapping[_Identity, Mapping[datetime, Estimate]]:
    trends: dict[_Identity, dict[datetime, Estimate]] = defaultdict(dict)
    for labelled in found:
        trends[_identity(labelled)][labelled.estimate.window.start] = labelled.estimate
    return trends


def _identity(labelled: LabelledEstimate) -> _Identity:
    application, version = (labelled.labels[name] for name in BY)
    about = (labelled.metric, labelled.consumer, application, version)
    return (*about, labelled.scorer_version, labelled.signature)


def _place(row: Row) -> tuple[object, ...]:
    spec, scale = row.spec, row.spec.scale
    kind = 0 if scale.binary else 1 if scale.bounded else 2
    about = (spec.metric, -spec.version, spec.signature, row.consumer)
    return (row.application, kind, *about, natural(row.model_version))


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers within names by their value.

    >>> sorted(["v10", "v9", "v9.2", "main"], key=natural)
    ['main', 'v9', 'v9.2', 'v10']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(part[:18]), part) if part[0] in "0123456789" else (1, 0, part) for part in parts]
