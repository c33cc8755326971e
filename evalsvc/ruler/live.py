"""What the store says at a look: each span is read once for all rules and metrics that want it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from evalsvc.errors import StoreUnavailable
from evalsvc.protocols import ScoreStore
from evalsvc.query import EstimateQuery
from evalsvc.ruler.timeline import Timeline, timelines_of
from evalsvc.rules.values import Rule
from evalsvc.types import Cell, Estimate, Scale, Window

MINUTE = timedelta(minutes=1)
Group = tuple[str, tuple[tuple[str, str], ...]]
"""Whose data: a consumer and the values of the rule's ``by``."""


class Span(NamedTuple):
    """What is read at once: some groups of the data in a window, in steps."""

    by: tuple[str, ...]
    where: tuple[tuple[str, tuple[str, ...]], ...]
    window: Window
    step_seconds: int


Lines = Mapping[Group, Sequence[Timeline]]


class Reader:
    """Reads spans of the store for one look of a group of rules, those that were wanted before together.

    ``kept`` holds what may serve later looks as well: baselines, which stay the same for an hour.
    """

    def __init__(self, store: ScoreStore, kept: dict[tuple[str, Span], Lines] | None = None) -> None:
        """Read nothing yet."""
        self.store = store
        self._kept = {} if kept is None else kept
        self._wanted: dict[Span, set[str]] = defaultdict(set)
        self._read: dict[tuple[str, Span], Lines] = {}
        self._known: frozenset[str] | None = None
        self._away: StoreUnavailable | None = None

    def want(self, metric: str, span: Span) -> None:
        """Say what will be asked for, so that one reading answers for all metrics of a span."""
        if (metric, span) not in self._kept:
            self._wanted[span].add(metric)

    def lines(self, metric: str, span: Span, *, keep: bool = False) -> Lines:
        """Return the timelines of each group in a span; empty for a metric that was never scored.

        Raises:
            StoreError: when the store does not answer.
        """
        asked = (metric, span)
        if asked in self._kept:
            return self._kept[asked]
        if asked not in self._read:
            # One time-out is enough: the rest of the look does not wait for the same again.
            if self._away is not None:
                raise self._away
            try:
                self._fetch(span, self._wanted.pop(span, set()) | {metric})
            except StoreUnavailable as error:
                self._away = error
                raise
        if keep:
            self._kept[asked] = self._read[asked]
        return self._read[asked]

    def _fetch(self, span: Span, metrics: Iterable[str]) -> None:
        if self._known is None:
            self._known = frozenset(spec.metric for spec in self.store.metrics())
        there = sorted(self._known.intersection(metrics))
        query = EstimateQuery("", span.window, span.step_seconds, span.by, dict(span.where), target="process")
        found = timelines_of(self.store, there, query) if there else {}
        for metric in metrics:
            grouped: dict[Group, list[Timeline]] = defaultdict(list)
            for line in found.get(metric, ()):
                grouped[group_of(line)].append(line)
            self._read[metric, span] = dict(grouped)


def group_of(line: Timeline) -> Group:
    """Return whose data a timeline has."""
    return line.consumer, tuple(line.key.items())


def span_of(rule: Rule, window: Window, step_seconds: float | None = None) -> Span:
    """Return what a rule reads of a window, as one step unless it says otherwise.

    As one step, sums over sessions are of the whole window.
    """
    where = tuple(sorted((name, tuple(values)) for name, values in rule.where.items()))
    return Span(rule.by, where, window, int(step_seconds or window.seconds))


class Live:
    """A :class:`~evalsvc.ruler.looks.Sight` of one group by one version of the scorer, over a reader."""

    def __init__(self, reader: Reader, rule: Rule, line: Timeline, since: datetime) -> None:
        """Take the group's timeline of the look's window, which has one step; ``since`` is where minutes are read."""
        self._reader, self._rule, self._line, self._since = reader, rule, line, since

    @property
    def scorer(self) -> str:
        """The scorer's version and signature."""
        return self._line.scorer

    @property
    def scale(self) -> Scale:
        """The metric's."""
        return self._line.scale

    @property
    def pi_min(self) -> float:
        """The smallest π with which any of its strata is sampled."""
        return self._line.pi_min

    def mean(self, window: Window, confidence: float) -> Estimate:
        """Return the mean of the look's window."""
        return self._line.mean(self._line.pools.values(), window, confidence)

    def baseline(self, past: Window, confidence: float) -> Estimate:
        """Return the mean of the time before, sessions of the whole of it kept together."""
        found = self._same(self._reader.lines(self._rule.metric, span_of(self._rule, past), keep=True))
        pools = () if found is None else found.pools.values()
        return self._line.mean(pools, past, confidence)

    def minutes(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, Sequence[Cell]]]:
        """Return the cells of each minute in ``[begin, end)``, none left out."""
        if begin >= end:
            return ()
        span = span_of(self._rule, Window(min(begin, self._since), end), 60.0)
        found = self._same(self._reader.lines(self._rule.metric, span))
        pools = {} if found is None else found.pools
        count = int((end - begin) / MINUTE)
        times = [begin + number * MINUTE for number in range(count)]
        return [(at, tuple(pools[at].cells) if at in pools else ()) for at in times]

    def _same(self, lines: Lines) -> Timeline | None:
        return next((line for line in lines.get(group_of(self._line), ()) if line.scorer == self.scorer), None)


def newest(reader: Reader, rule: Rule, lines: Sequence[Timeline], window: Window) -> Timeline:
    """Return the timeline of the version of the scorer with the latest scores in the window."""
    if len(lines) == 1:
        return lines[0]
    by_minute = reader.lines(rule.metric, span_of(rule, window, 60.0)).get(group_of(lines[0]), ())
    never = datetime.min.replace(tzinfo=UTC)
    latest = {line.scorer: max(line.pools, default=never) for line in by_minute}
    return max(lines, key=lambda line: (latest.get(line.scorer, never), line.scorer))
