"""A store whose scores are made of the series of a rule's test: it answers from sums by minute, up to a moment.

It answers as :class:`~evalsvc.store.memory.MemoryStore` does where the same scores and ledger are written to it:
``tests/unit/test_series_store.py`` holds the two together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from evalsvc.errors import InputError, StoreUnavailable
from evalsvc.protocols import CellGroup, CellQuery, FeatureGroup, HistogramGroup, Offered, StatisticGroup
from evalsvc.ruler.series import Minutes, minutes_of
from evalsvc.rules.rule_tests import RuleTest, Series
from evalsvc.sampling import stratum_label
from evalsvc.stats.quantile import bin_of
from evalsvc.store.memory import MemoryStore
from evalsvc.store.steps import check_names, column_of, grid, selects
from evalsvc.types import Cell, Scale, Score, ScorerSpec, Status, Subject, Window
from evalsvc.windows import floored

CONSUMER = "test"
"""The consumer of events that name none."""
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
_DESIGN = 1
_STRATA = ("application",)
SAID = "the test says so"
_NO_TEXTS = "A rule's test has scores, and no texts: rules about texts cannot be tested so"

_BinKey = tuple[str, int, float]


class SeriesStore(MemoryStore):
    """The scores of a test, a stratum for each kind of events. Sessions are single events.

    ``now`` is how far it can be seen: minutes that have ended by then. ``away`` says that it does not answer.
    """

    def __init__(self, test: RuleTest, scales: Mapping[str, Scale]) -> None:
        """Make all scores of a test; ``scales`` are those of its metrics."""
        super().__init__()
        before = max((sum(one.minutes for one in each.before) for each in test.series), default=0)
        length = before + max((sum(one.minutes for one in each.values) for each in test.series), default=0)
        self._base = test.start - before * MINUTE
        self.now = self._base
        self.away = False
        specs = [ScorerSpec(name, 1, scales[name]) for name in sorted({each.metric for each in test.series})]
        self.record_scorers(specs)
        self._held = [
            _Held(number, each, self._base, minutes_of(each, scales[each.metric], before, length))
            for number, each in enumerate(test.series)
        ]

    def metrics(self) -> Sequence[ScorerSpec]:
        """Return the scorers of the test's metrics, version 1 each."""
        self._answer()
        return super().metrics()

    def cells(self, query: CellQuery) -> Sequence[CellGroup]:
        """Return sums by step, group and stratum, ordered by all of their keys."""
        return [
            CellGroup(window, consumer, dict(zip(query.by, key, strict=True)), 1, "", _cells(parts, query.clusters))
            for window, consumer, key, parts in self._grouped_parts(query)
        ]

    def versions(self, metrics: Sequence[str], window: Window) -> Mapping[tuple[str, datetime], int]:
        """Return how many minutes with scores have been seen of each metric and hour."""
        self._answer()
        counts: Counter[tuple[str, datetime]] = Counter()
        first = floored(window.start, HOUR)
        first += HOUR if first < window.start else 0 * HOUR
        last = first + -((first - window.end) // HOUR) * HOUR
        hours = self._steps(Window(first, last), int(HOUR.total_seconds())) if first < last else ()
        for hour, begin, end in hours:
            for held in self._held:
                if held.metric in metrics:
                    counts[held.metric, hour.start] += int(held.made.columns[:3, begin:end].any(axis=0).sum())
        return +counts

    def histograms(self, query: CellQuery) -> Sequence[HistogramGroup]:
        """Return the groups of :meth:`cells` with histograms of their values."""
        found = []
        for group, (_, _, _, parts) in zip(self.cells(query), self._grouped_parts(query), strict=True):
            bins: dict[_BinKey, Counter[int]] = defaultdict(Counter)
            for part in parts:
                counts = bins[part.held.cell]
                for values, minutes in part.held.made.counted(part.begin, part.end):
                    for value, number in Counter(values).items():
                        counts[bin_of(value)] += number * minutes
            found.append(HistogramGroup(group, {key: dict(sorted(bins[key].items())) for key in sorted(bins)}))
        return [one._replace(bins={key: held for key, held in one.bins.items() if held}) for one in found]

    def scores(self, query: CellQuery, limit: int) -> Sequence[Score]:
        """Return at most ``limit`` scores, evenly out of all: what has a value, and then what has none."""
        whole = query._replace(by=(), step_seconds=int(query.window.seconds) + 1)
        parts = [part for _, _, _, each in self._grouped_parts(whole) for part in each]
        count = sum(int(part.sums[:3].sum()) for part in parts)
        every = max(1, -(-count // limit))
        found = [score for part in parts for place, score in enumerate(part.held.scores(part)) if place % every == 0]
        return found[:limit]

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was offered and taken by step and stratum.

        Of several metrics of the same events those offered are counted once: what the most offered of them says.
        """
        self._answer()
        kinds: dict[tuple[str, str], dict[str, list[_Held]]] = defaultdict(lambda: defaultdict(list))
        for held in self._held:
            if consumer in (None, held.subject.consumer):
                kinds[held.subject.consumer, held.subject.stratum][held.kind].append(held)
        made = []
        for step, begin, end in self._steps(window, step_seconds):
            for (name, stratum), same in sorted(kinds.items()):
                counts = [np.max([each.made.events[:, begin:end] for each in kind], axis=0) for kind in same.values()]
                offered, sampled = (int(number) for number in np.sum([each.sum(axis=1) for each in counts], axis=0))
                if offered:
                    made.append(Offered(step, name, stratum, _DESIGN, offered, sampled, 0))
        return made

    def statistics(self, query: CellQuery) -> Sequence[StatisticGroup]:
        """Refuse, as there are no texts."""
        raise InputError(_NO_TEXTS)

    def feature_sums(self, query: CellQuery) -> Sequence[FeatureGroup]:
        """Refuse, as there are no texts."""
        raise InputError(_NO_TEXTS)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The store does not answer: the test says so")

    def _grouped_parts(self, query: CellQuery) -> list[tuple[Window, str, tuple[str, ...], list[_Part]]]:
        self._answer()
        check_names(query)
        groups: dict[tuple[Window, str, tuple[str, ...]], list[_Part]] = defaultdict(list)
        wanted = [each for each in self._held if each.metric == query.metric and selects(query.where, each.subject)]
        for step, begin, end in self._steps(query.window, query.step_seconds) if wanted else ():
            for held in wanted:
                sums = held.made.sums(begin, end)
                if sums[:3].any():
                    key = tuple(column_of(held.subject, name) for name in query.by)
                    groups[step, held.subject.consumer, key].append(_Part(held, begin, end, sums))
        return [(*key, parts) for key, parts in sorted(groups.items(), key=lambda item: item[0])]

    def _steps(self, window: Window, step_seconds: int) -> Iterator[tuple[Window, int, int]]:
        """Yield each step that can be seen, and its first minute and the one after its last, from the base."""
        steps = grid(window, step_seconds)
        most = int((self.now - self._base) / MINUTE)
        first = max(0, int((self._base - window.start).total_seconds()) // step_seconds)
        for number in range(first, -int(-window.seconds // step_seconds)):
            step = steps.window(number)
            begin, end = (int((at - self._base) / MINUTE) for at in (step.start, step.end))
            if begin >= most:
                return
            if end > 0:
                yield step, max(0, begin), min(end, most)


class _Held:
    """One series with its sums."""

    def __init__(self, number: int, series: Series, base: datetime, made: Minutes) -> None:
        self.metric, self.rate, self.made = series.metric, series.rate, made
        self._number, self._base = number, base
        where = series.where
        segments = {name.removeprefix("segments."): where[name] for name in where if name.startswith("segments.")}
        strata = [name for name in (*_STRATA, *sorted(f"segments.{name}" for name in segments)) if name in where]
        self.subject = Subject(
            "",
            base,
            where.get("consumer", CONSUMER),
            where.get("application", ""),
            where.get("model", ""),
            where.get("model_version", ""),
            segments,
            "",
            stratum_label(strata, [where[name] for name in strata]),
            _DESIGN,
        )

    @property
    def kind(self) -> str:
        """Which events these are; several metrics may be of the same."""
        subject = self.subject
        names = (subject.consumer, subject.application, subject.model, subject.model_version)
        return repr([names, sorted(subject.segments.items())])

    @property
    def cell(self) -> _BinKey:
        """The stratum and π of all of its scores."""
        return self.subject.stratum, _DESIGN, self.rate

    def scores(self, part: _Part) -> Iterator[Score]:
        """Yield the scores of some minutes."""
        for minute in range(part.begin, part.end):
            _, abstained, failed = (int(number) for number in self.made.columns[:3, minute])
            outcomes: list[tuple[Status, float | None, str]] = [
                *(("ok", value, "") for value in self.made.values(minute, minute + 1)),
                *(("abstained", None, SAID) for _ in range(abstained)),
                *(("failed", None, SAID) for _ in range(failed)),
            ]
            for place, outcome in enumerate(outcomes):
                name = f"test-{self._number}-{minute}-{place}"
                subject = replace(self.subject, event_id=name, occurred_at=self._base + minute * MINUTE)
                yield Score(subject, self.metric, 1, "", self.rate, *outcome)


class _Part(NamedTuple):
    """Some minutes of a series and their sums."""

    held: _Held
    begin: int
    end: int
    sums: NDArray[np.float64]


def _cells(parts: Sequence[_Part], clusters: bool) -> list[Cell]:
    by_cell: dict[_BinKey, list[_Part]] = defaultdict(list)
    for part in parts:
        by_cell[part.held.cell].append(part)
    return [_cell(key, by_cell[key], clusters) for key in sorted(by_cell)]


def _cell(key: _BinKey, parts: Sequence[_Part], clusters: bool) -> Cell:
    ok, abstained, failed, total, squares = np.sum([part.sums for part in parts], axis=0).tolist()
    ends = [part.held.made.ends(part.begin, part.end) for part in parts if part.sums[0]]
    alone = (int(ok), ok, total, squares) if clusters else (0, 0.0, 0.0, 0.0)
    return Cell(
        *key,
        int(ok),
        int(abstained),
        int(failed),
        total,
        squares,
        min((low for low, _ in ends), default=None),
        max((high for _, high in ends), default=None),
        *alone,
    )
