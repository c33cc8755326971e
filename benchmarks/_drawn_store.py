"""A store that answers from drawn sums, so that rules which read for themselves are judged by the ruler's own code.

Each stratum of a design is a plan of the application `support`: what ``consumers/quality.yaml`` samples by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from _alert_traffic import START, Sight, minute_of
from evalsvc.protocols import CellGroup, CellQuery, HistogramGroup, Offered
from evalsvc.ruler.kinds import watch_of
from evalsvc.ruler.looks import window_before
from evalsvc.rules.machine import AlertState, Observation, step
from evalsvc.rules.values import Rule, RuleGroup
from evalsvc.sampling import stratum_label
from evalsvc.stats.quantile import GROWTH, OFFSET
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Cell, Scale, ScorerSpec, Window

CONSUMER, APPLICATION = "quality", "support"
_FIELDS = {"application": APPLICATION}


class DrawnStore(MemoryStore):
    """The scores of one metric, version 1, in strata that are plans; a question is one step, on whole minutes.

    What is missing failed.
    """

    def __init__(self, metric: str, sight: Sight) -> None:
        """Answer from the minutes that a sight sees."""
        super().__init__()
        self.sight = sight
        self.record_scorers([ScorerSpec(metric, 1, sight.scale)])
        self._metric, self._names = metric, [plan(place) for place in range(len(sight.design.strata))]

    def cells(self, query: CellQuery) -> Sequence[CellGroup]:
        """Return sums by group and stratum."""
        if query.metric != self._metric:
            return []
        span = minute_of(query.window.start), minute_of(query.window.end)
        groups: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
        for cell in self.sight.sums.cells(self.sight.design, self.sight.run, *span):
            name = self._names[int(cell.stratum)]
            known = {**_FIELDS, "segments.plan": name}
            if any(known[field] not in wanted for field, wanted in query.where.items()):
                continue
            made = replace(cell, stratum=_stratum(name), n_abstained=0, n_failed=cell.n_abstained)
            if query.clusters and not cell.clusters:
                made = replace(
                    made, clusters=cell.n, cluster_n2=float(cell.n), cluster_ny=cell.total, cluster_y2=cell.squares
                )
            groups[tuple(known[field] for field in query.by)].append(made)
        return [
            CellGroup(query.window, CONSUMER, dict(zip(query.by, key, strict=True)), 1, "", held)
            for key, held in sorted(groups.items())
        ]

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was offered and taken by stratum."""
        begin, end, run = minute_of(window.start), minute_of(window.end), self.sight.run
        offered = self.sight.sums.offered[run, end] - self.sight.sums.offered[run, begin]
        fields = self.sight.sums.fields[:2, run, end] - self.sight.sums.fields[:2, run, begin]
        rows = zip(self._names, offered.tolist(), fields.sum(axis=0).tolist(), strict=True)
        return [Offered(window, CONSUMER, _stratum(name), 1, int(came), int(taken), 0) for name, came, taken in rows]


class DrawnDays(MemoryStore):
    """The values of one metric by day and stratum, counted in the store's bins ``[day, stratum, bin]`` from ``lowest``.

    ``pi`` are the strata's probabilities. A question is one step of whole days.
    """

    def __init__(self, metric: str, scale: Scale, counts: NDArray[np.int64], lowest: int, pi: Sequence[float]) -> None:
        """Answer from running sums of these counts."""
        super().__init__()
        self.record_scorers([ScorerSpec(metric, 1, scale)])
        self._metric, self._lowest, self._pi = metric, lowest, pi
        self._path = np.concatenate([np.zeros((1, *counts.shape[1:]), np.int64), np.cumsum(counts, axis=0)])
        places = np.arange(lowest, lowest + counts.shape[2])
        self._values = 2.0 * GROWTH ** (places - OFFSET) / (1.0 + GROWTH)

    def _between(self, window: Window) -> NDArray[np.int64]:
        begin, end = (round((at - START) / timedelta(days=1)) for at in (window.start, window.end))
        found: NDArray[np.int64] = self._path[end] - self._path[begin]
        return found

    def cells(self, query: CellQuery) -> Sequence[CellGroup]:
        """Return the sums of all strata."""
        return [] if query.metric != self._metric else [self._group(query)]

    def _group(self, query: CellQuery) -> CellGroup:
        cells = []
        for place, (pi, counts) in enumerate(zip(self._pi, self._between(query.window), strict=True)):
            n, total, squares = (float(counts @ self._values**power) for power in range(3))
            cells.append(
                Cell(_stratum(plan(place)), 1, pi, int(n), 0, 0, total, squares, None, None, int(n), n, total, squares)
            )
        return CellGroup(query.window, CONSUMER, {}, 1, "", cells)

    def histograms(self, query: CellQuery) -> Sequence[HistogramGroup]:
        """Return the counts by bin."""
        bins = {}
        for place, (pi, counts) in enumerate(zip(self._pi, self._between(query.window), strict=True)):
            at = np.flatnonzero(counts)
            held = zip((at + self._lowest).tolist(), counts[at].tolist(), strict=True)
            bins[_stratum(plan(place)), 1, pi] = dict(held)
        return [HistogramGroup(self._group(query), bins)]

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was taken, and as many times as much as offered."""
        taken = self._between(window).sum(axis=1).tolist()
        return [
            Offered(window, CONSUMER, _stratum(plan(place)), 1, round(n / pi), int(n), 0)
            for place, (pi, n) in enumerate(zip(self._pi, taken, strict=True))
        ]


def watched(group: RuleGroup, rule: Rule, store: MemoryStore, now: datetime, state: AlertState) -> AlertState:
    """Return the state of a rule's only alert after a look by what looks at its kind."""
    watch = watch_of(rule)
    if watch is None:
        raise TypeError(f"Expected a rule that reads for itself, but {rule.alert} is followed by the minute")
    seen = [one.observation for one in watch(store, rule, group, now)]
    if len(seen) > 1:
        raise AssertionError(f"Expected one alert of {rule.alert}, but got {len(seen)}")
    nothing = Observation(verdict="no_data", window=window_before(group, now, rule.window_seconds))
    return step(rule, state, seen[0] if seen else nothing, now)


def plan(place: int) -> str:
    """Return the name of a stratum's plan."""
    return f"plan{place}"


def _stratum(name: str) -> str:
    return stratum_label(("application", "segments.plan"), (APPLICATION, name))
