"""One alert over its own history: every look from minutes that were read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from evalsvc.ruler.looks import HOUR, observe, start_of, window_at
from evalsvc.ruler.timeline import OfLine, Pool, Timeline, pooled
from evalsvc.rules.machine import AlertState, Observation, step
from evalsvc.rules.values import Rule, RuleGroup
from evalsvc.types import Cell, Estimate, Window


class Alert:
    """One of a rule's alerts: a group of the data, whatever version of the scorer sees it."""

    def __init__(self, rule: Rule, group: RuleGroup, lines: list[Timeline], alerts: int) -> None:
        """Take one group's timelines, of all versions of the scorer; ``alerts`` share the rule's budget."""
        self._rule, self._group, self._alerts, self._lines = rule, group, alerts, lines
        self._seen = [_Replayed(line) for line in lines]
        self.start = start_of(rule, lines[0].consumer, lines[0].key)

    def moved(self, move: Callable[[Rule, Timeline], Timeline]) -> Alert:
        """Return the alert as it would be if its own timelines were others."""
        lines = [move(self._rule, line) for line in self._lines]
        return Alert(self._rule, self._group, lines, self._alerts)

    def look(self, state: AlertState, now: datetime) -> AlertState:
        """Return the state after a look at ``now``, at what had come ``delay`` before."""
        return step(self._rule, state, self.observe(state, now), now)

    def observe(self, state: AlertState, now: datetime) -> Observation:
        """Return what a look sees: by the version of the scorer that has the latest scores in the window."""
        window = window_at(self._rule, self._group, now)
        newest = max(self._seen, key=lambda seen: (seen.latest(window), seen.scorer))
        return observe(self._rule, self._group, newest, state, now, self._alerts)


def alerts_of(rule: Rule, group: RuleGroup, lines: list[Timeline]) -> list[Alert]:
    """Return a rule's alerts: one for each consumer and group that its timelines are of."""
    held: dict[tuple[object, ...], list[Timeline]] = {}
    for line in lines:
        held.setdefault((line.consumer, *line.key.items()), []).append(line)
    return [Alert(rule, group, own, len(held)) for own in held.values()]


class _Replayed(OfLine):
    """A :class:`~evalsvc.ruler.looks.Sight` of one timeline by the minute. Keeps sums by hour, and baselines."""

    def __init__(self, line: Timeline) -> None:
        super().__init__(line)
        self._hours: dict[datetime, Pool] = {}
        self._baselines: dict[Window, Estimate] = {}

    def latest(self, window: Window) -> datetime:
        """Return the last minute of the window with a score."""
        within = [at for at in _minutes(window.start, window.end) if at in self.line.pools]
        return max(within, default=datetime.min.replace(tzinfo=UTC))

    def mean(self, window: Window, confidence: float) -> Estimate:
        return self.line.mean(self.line.between(window.start, window.end), window, confidence)

    def baseline(self, past: Window, confidence: float) -> Estimate:
        if past not in self._baselines:
            self._baselines[past] = self.line.mean(self._whole_hours(past), past, confidence)
        return self._baselines[past]

    def minutes(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, Sequence[Cell]]]:
        pools = self.line.pools
        return [(at, tuple(pools[at].cells) if at in pools else ()) for at in _minutes(begin, end)]

    def _whole_hours(self, span: Window) -> Iterator[Pool]:
        at = span.start
        while at < span.end:
            if at not in self._hours:
                self._hours[at] = pooled(self.line.between(at, at + HOUR))
            if self._hours[at].cells:
                yield self._hours[at]
            at += HOUR


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(minutes=1)
