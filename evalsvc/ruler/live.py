"""What the store says at a look: read once for all rules that want it, whole hours once for all looks.

Windows of up to two hours that end together are read at once, each as one step: a session is whole in it. A longer one
is its whole hours, which are kept until something is written to them, and what came after the last of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from evalsvc.errors import StoreUnavailable
from evalsvc.protocols import Offered, ScoreStore
from evalsvc.query import EstimateQuery, group_cells_since
from evalsvc.ruler.looks import HOUR, LONG
from evalsvc.ruler.timeline import OfLine, Pool, Timeline, lines_of, pooled, timelines_of
from evalsvc.rules.values import Rule
from evalsvc.types import Cell, Estimate, ScorerSpec, Window
from evalsvc.windows import floored

T = TypeVar("T")
MINUTE = timedelta(minutes=1)
Group = tuple[str, tuple[tuple[str, str], ...]]
"""Whose data: a consumer and the values of the rule's ``by``."""
Lines = Mapping[Group, Sequence[Timeline]]


class Selection(NamedTuple):
    """Which groups of the data: a rule's ``by`` and ``where``."""

    by: tuple[str, ...]
    where: tuple[tuple[str, tuple[str, ...]], ...]


class Kept:
    """What serves later looks as well: baselines, and whole hours with the version of what was written to them."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.baselines: dict[tuple[str, Selection, Window], Lines] = {}
        self._used: dict[tuple[str, Selection, Window], datetime] = {}
        self._now = datetime.min.replace(tzinfo=UTC)
        self.hours: dict[tuple[str, Selection, datetime], tuple[int, Lines]] = {}
        self.sums: dict[tuple[str, Selection, Window], tuple[tuple[int, ...], Lines]] = {}
        self.read: dict[str, datetime] = {}
        """By alert: the last look at which the groups of its rule were read, and were not too many."""

    def begin(self, now: datetime) -> None:
        """Begin a look: drop what none has asked for in the last hour."""
        self._now = now
        self.baselines = {asked: lines for asked, lines in self.baselines.items() if self._used[asked] > now - HOUR}
        self._used = {asked: self._used[asked] for asked in self.baselines}
        self.sums = {asked: held for asked, held in self.sums.items() if asked[2].end > now - 2 * HOUR}
        first = min((asked[2].start for asked in self.sums), default=now)
        self.hours = {asked: held for asked, held in self.hours.items() if asked[2] >= first}

    def baseline(self, asked: tuple[str, Selection, Window], read: Callable[[], Lines]) -> Lines:
        """Return a baseline, read only where it is not kept."""
        if asked not in self.baselines:
            self.baselines[asked] = read()
        self._used[asked] = self._now
        return self.baselines[asked]


class Reader:
    """Reads the store for one look of a group of rules: first :meth:`want`, then ask."""

    def __init__(self, store: ScoreStore, kept: Kept | None = None) -> None:
        """Read nothing yet."""
        self.store: ScoreStore = _Once(store)
        self.kept = kept or Kept()
        self._wanted: dict[tuple[Selection, datetime], tuple[set[str], set[datetime]]] = {}
        self._minutes: dict[tuple[Selection, Window], set[str]] = defaultdict(set)
        self._long: dict[tuple[Selection, datetime], tuple[set[str], set[datetime]]] = {}
        self._baselines: dict[tuple[Selection, Window], set[str]] = defaultdict(set)
        self._read: dict[tuple[object, ...], Lines] = {}
        self._versions: tuple[Window, Mapping[str, Mapping[datetime, int]]] | None = None

    def want(self, rule: Rule, window: Window) -> None:
        """Say that a rule's window will be asked for."""
        chosen = selection(rule)
        if window.end - window.start <= LONG:
            _note(self._wanted, (chosen, window.end), rule.metric, window.start)
            return
        hour = floored(window.end, HOUR)
        _note(self._long, (chosen, hour), rule.metric, window.start)
        if hour < window.end:
            _note(self._wanted, (chosen, window.end), rule.metric, hour)

    def want_minutes(self, rule: Rule, span: Window) -> None:
        """Say that a rule's minutes will be asked for."""
        self._minutes[selection(rule), span].add(rule.metric)

    def want_baseline(self, rule: Rule, past: Window) -> None:
        """Say that a rule's baseline will be asked for."""
        self._baselines[selection(rule), past].add(rule.metric)

    def window(self, rule: Rule, window: Window) -> Lines:
        """Return the timelines of each group in a window; empty for a metric that was never scored.

        Raises:
            StoreError: when the store does not answer.
        """
        if window.end - window.start <= LONG:
            return self._recent(rule, window)
        hour = floored(window.end, HOUR)
        whole = self._whole(rule, Window(window.start, hour))
        return whole if hour == window.end else _joined(whole, self._recent(rule, Window(hour, window.end)))

    def last(self, rule: Rule, window: Window, group: Group) -> tuple[Window, Sequence[Timeline]]:
        """Return the last part of a window that was read in which a group has scores, and its timelines there.

        Of a long window that is an hour at most; of another, all of it. It is the window itself where there are none.
        """
        if window.end - window.start <= LONG:
            return window, self._recent(rule, window).get(group, ())
        chosen, end = selection(rule), floored(window.end, HOUR)
        if end < window.end:
            rest = Window(end, window.end)
            if lines := self._recent(rule, rest).get(group, ()):
                return rest, lines
        for hour in reversed(self._versions_of(rule.metric, Window(window.start, end))):
            if lines := self.kept.hours[rule.metric, chosen, hour][1].get(group, ()):
                return Window(hour, hour + HOUR), lines
        return window, ()

    def minutes(self, rule: Rule, span: Window) -> Lines:
        """Return the timelines of each group by the minute."""
        chosen = selection(rule)
        metrics = self._minutes.get((chosen, span), set()) | {rule.metric}
        return self._stepped(("minutes", rule.metric, chosen, span), metrics, 60)

    def baseline(self, rule: Rule, past: Window) -> Lines:
        """Return the timelines of each group in the time before, as one step; kept for later looks."""
        chosen = selection(rule)
        asked = (rule.metric, chosen, past)
        others = self._baselines.get((chosen, past), set())
        metrics = {other for other in others if (other, chosen, past) not in self.kept.baselines} | {rule.metric}
        return self.kept.baseline(asked, lambda: self._stepped(("baseline", *asked), metrics, int(past.seconds)))

    def _recent(self, rule: Rule, window: Window) -> Lines:
        chosen = selection(rule)
        asked = ("recent", rule.metric, chosen, window)
        if asked not in self._read:
            metrics, starts = self._wanted.pop((chosen, window.end), (set(), set()))
            metrics, starts = metrics | {rule.metric}, starts | {window.start}
            ordered = sorted(starts)
            query = self._query(chosen, Window(ordered[0], window.end), 60)
            there = self._there(metrics)
            found = group_cells_since(self.store, there, query, ordered) if there else {}
            for metric in metrics:
                for start in ordered:
                    own = [one for one in found.get(metric, ()) if one.group.window.start == start]
                    lines = _grouped(lines_of(own, window.end - start))
                    self._read["recent", metric, chosen, Window(start, window.end)] = lines
        return self._read[asked]

    def _stepped(self, asked: tuple[str, str, Selection, Window], metrics: set[str], step_seconds: int) -> Lines:
        if asked not in self._read:
            what, _, chosen, span = asked
            query = self._query(chosen, span, step_seconds)
            there = self._there(metrics)
            found = timelines_of(self.store, there, query) if there else {}
            for metric in metrics:
                self._read[what, metric, chosen, span] = _grouped(found.get(metric, ()))
        return self._read[asked]

    def _whole(self, rule: Rule, span: Window) -> Lines:
        """Return whole hours as one pool each group and scorer; only hours that were written to are read again."""
        chosen, metric = selection(rule), rule.metric
        wanted, starts = self._long.pop((chosen, span.end), (set(), set()))
        if wanted:
            self._fill(chosen, wanted, Window(min(starts), span.end))
        self._fill(chosen, {metric}, span)
        versions = self._versions_of(metric, span)
        seen = tuple(versions.values())
        held = self.kept.sums.get((metric, chosen, span))
        if held is not None and held[0] == seen:
            return held[1]
        lines = _joined(*(self.kept.hours[metric, chosen, hour][1] for hour in versions))
        self.kept.sums[metric, chosen, span] = seen, lines
        return lines

    def _fill(self, chosen: Selection, metrics: set[str], span: Window) -> None:
        """Read the hours of a span that were written to since they were read, in one go."""
        stale = {
            (metric, hour): version
            for metric in self._there(metrics)
            for hour, version in self._versions_of(metric, span).items()
            if self.kept.hours.get((metric, chosen, hour), (None,))[0] != version
        }
        if not stale:
            return
        moments = [hour for _, hour in stale]
        query = self._query(chosen, Window(min(moments), max(moments) + HOUR), 3600)
        asked = sorted({metric for metric, _ in stale})
        found = timelines_of(self.store, asked, query)
        for (metric, hour), version in stale.items():
            lines = [_only(line, hour) for line in found[metric] if hour in line.pools]
            self.kept.hours[metric, chosen, hour] = version, _grouped(lines)

    def _versions_of(self, metric: str, span: Window) -> dict[datetime, int]:
        """Return the hours of a span with scores and their versions, in order; asked once for all that is wanted."""
        if self._versions is None or not (self._versions[0].start <= span.start and span.end <= self._versions[0].end):
            ends = [span.end, *(hour for _, hour in self._long)]
            starts = [span.start, *(start for _, found in self._long.values() for start in found)]
            whole = Window(min(starts), max(ends))
            self._versions = whole, self._written(whole)
        return {hour: version for hour, version in self._versions[1].get(metric, {}).items() if hour in span}

    def _written(self, whole: Window) -> dict[str, dict[datetime, int]]:
        """Return what changes when scores of an hour are written, or what says how many events it was offered.

        By metric and by hour, in order.
        """
        offered: dict[datetime, list[Offered]] = defaultdict(list)
        for row in self.store.offered(whole, 3600):
            offered[row.window.start].append(row)
        counted = {hour: tuple((*row[1:],) for row in rows) for hour, rows in offered.items()}
        versions = self.store.versions(self._there(None), whole)
        found: dict[str, dict[datetime, int]] = defaultdict(dict)
        for (metric, hour), version in sorted(versions.items()):
            found[metric][hour] = hash((version, counted.get(hour)))
        return found

    def _query(self, chosen: Selection, window: Window, step_seconds: int) -> EstimateQuery:
        return EstimateQuery("", window, step_seconds, chosen.by, dict(chosen.where), target="process")

    def _there(self, metrics: Iterable[str] | None) -> list[str]:
        """Return those of the metrics (None: all) that were ever scored, in order."""
        known = {spec.metric for spec in self.store.metrics()}
        return sorted(known if metrics is None else known.intersection(metrics))


class _Once:
    """A store whose answers about scorers, designs and offered events are remembered for one look.

    So is that it was away: one time-out is enough.
    """

    def __init__(self, store: ScoreStore) -> None:
        self._store = store
        self._specs: Sequence[ScorerSpec] | None = None
        self._designs: dict[str, Sequence[tuple[int, datetime, str]]] = {}
        self._offered: dict[tuple[object, ...], Sequence[Offered]] = {}
        self._away: StoreUnavailable | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it is the store's own
        found = getattr(self._store, name)
        return partial(self._asked, found) if callable(found) else found

    def _asked(self, ask: Callable[..., T], *arguments: object, **named: object) -> T:
        if self._away is not None:
            raise self._away
        try:
            return ask(*arguments, **named)
        except StoreUnavailable as error:
            self._away = error
            raise

    def metrics(self) -> Sequence[ScorerSpec]:
        if self._specs is None:
            self._specs = self._asked(self._store.metrics)
        return self._specs

    def designs(self, consumer: str) -> Sequence[tuple[int, datetime, str]]:
        if consumer not in self._designs:
            self._designs[consumer] = self._asked(self._store.designs, consumer)
        return self._designs[consumer]

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        asked = (window, step_seconds, consumer)
        if asked not in self._offered:
            self._offered[asked] = self._asked(self._store.offered, window, step_seconds, consumer)
        return self._offered[asked]


class Live(OfLine):
    """A :class:`~evalsvc.ruler.looks.Sight` of one group by one version of the scorer, over a reader."""

    def __init__(self, reader: Reader, rule: Rule, line: Timeline, since: datetime) -> None:
        """Take the group's timeline of the look's window; ``since`` is from where the reader was asked for minutes."""
        super().__init__(line)
        self._reader, self._rule, self._since = reader, rule, since

    def mean(self, window: Window, confidence: float) -> Estimate:
        """Return the mean of the look's window."""
        return self.line.mean(self.line.pools.values(), window, confidence)

    def baseline(self, past: Window, confidence: float) -> Estimate:
        """Return the mean of the time before, sessions of the whole of it kept together."""
        found = self._same(self._reader.baseline(self._rule, past))
        return self.line.mean(() if found is None else found.pools.values(), past, confidence)

    def minutes(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, Sequence[Cell]]]:
        """Return the cells of each minute in ``[begin, end)``, none left out."""
        if begin >= end:
            return ()
        found = self._same(self._reader.minutes(self._rule, Window(min(begin, self._since), end)))
        pools = {} if found is None else found.pools
        times = [begin + number * MINUTE for number in range(int((end - begin) / MINUTE))]
        return [(at, tuple(pools[at].cells) if at in pools else ()) for at in times]

    def _same(self, lines: Lines) -> Timeline | None:
        return next((line for line in lines.get(group_of(self.line), ()) if line.scorer == self.scorer), None)


def newest(reader: Reader, rule: Rule, lines: Sequence[Timeline], window: Window) -> Timeline:
    """Return the timeline of the version of the scorer with the latest scores in the window."""
    if len(lines) == 1:
        return lines[0]
    never = datetime.min.replace(tzinfo=UTC)
    group = group_of(lines[0])
    span, last = reader.last(rule, window, group)
    by_minute = reader.minutes(rule, span).get(group, ()) if len(last) > 1 else last
    latest = {line.scorer: max(line.pools, default=never) for line in by_minute}
    return max(lines, key=lambda line: (latest.get(line.scorer, never), line.scorer))


def selection(rule: Rule) -> Selection:
    """Return which groups of the data a rule looks at."""
    return Selection(rule.by, tuple(sorted((name, tuple(values)) for name, values in rule.where.items())))


def group_of(line: Timeline) -> Group:
    """Return whose data a timeline has."""
    return line.consumer, tuple(line.key.items())


def _note(
    held: dict[tuple[Selection, datetime], tuple[set[str], set[datetime]]],
    place: tuple[Selection, datetime],
    metric: str,
    start: datetime,
) -> None:
    metrics, starts = held.setdefault(place, (set(), set()))
    metrics.add(metric)
    starts.add(start)


def _grouped(lines: Iterable[Timeline]) -> Lines:
    found: dict[Group, list[Timeline]] = defaultdict(list)
    for line in lines:
        found[group_of(line)].append(line)
    return dict(found)


def _only(line: Timeline, at: datetime) -> Timeline:
    """Return one step of a timeline."""
    return line._replace(pools={at: line.pools[at]})


def _joined(*parts: Lines) -> Lines:
    """Return the timelines of several spans as one, each with all of its pools added up."""
    found: dict[tuple[Group, str], list[Timeline]] = defaultdict(list)
    for part in parts:
        for group, lines in part.items():
            for line in lines:
                found[group, line.scorer].append(line)
    return _grouped(_added(lines) for lines in found.values())


def _added(lines: Sequence[Timeline]) -> Timeline:
    pools: list[Pool] = [pool for line in lines for pool in line.pools.values()]
    first = min(at for line in lines for at in line.pools)
    return lines[0]._replace(pools={first: pooled(pools)}, pi_min=min(line.pi_min for line in lines))
