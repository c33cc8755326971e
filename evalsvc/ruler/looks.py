"""How one alert is looked at, whatever the sums come from: the same for the ruler, rule tests and backtests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from evalsvc.errors import InputError
from evalsvc.rules.judging import Minutes, baseline_confidence_of, confidence_of, judge_change, judge_threshold
from evalsvc.rules.machine import AlertState, Observation
from evalsvc.rules.values import Change, Rule, RuleGroup, Threshold, alert_labels, fingerprint
from evalsvc.types import Cell, Estimate, Scale, Window
from evalsvc.windows import floored

HOUR = timedelta(hours=1)
LONG = timedelta(hours=2)
_WEEK = 6 * 86_400.0
MOST_MINUTES = timedelta(days=1)


class Sight(Protocol):
    """What is known of one alert's group by one version of the scorer; every mean is of the process."""

    @property
    def scorer(self) -> str:
        """The scorer's version and signature."""
        ...

    @property
    def scale(self) -> Scale:
        """The metric's."""
        ...

    @property
    def pi_min(self) -> float:
        """The smallest π with which any of its strata is sampled."""
        ...

    def mean(self, window: Window, confidence: float) -> Estimate:
        """Return the mean of a rule's window."""
        ...

    def baseline(self, past: Window, confidence: float) -> Estimate:
        """Return the mean of the time before, whole hours."""
        ...

    def minutes(self, begin: datetime, end: datetime) -> Sequence[tuple[datetime, Sequence[Cell]]]:
        """Return the cells of each minute in ``[begin, end)``, none left out."""
        ...


def start_of(rule: Rule, consumer: str, key: Mapping[str, str]) -> AlertState:
    """Return the state of an alert that was never looked at."""
    labels = alert_labels(rule, key, consumer)
    return AlertState(fingerprint=fingerprint(labels), labels=labels, rule=rule.alert, consumer=consumer, key=dict(key))


def window_before(group: RuleGroup, now: datetime, seconds: float) -> Window:
    """Return a window of so many seconds before a look at ``now``: it ends ``delay`` ago, on a whole minute."""
    end = floored(now - timedelta(seconds=group.delay_seconds), timedelta(minutes=1))
    return Window(end - timedelta(seconds=seconds), end)


def window_at(rule: Rule, group: RuleGroup, now: datetime) -> Window:
    """Return the window of a look at ``now`` of a rule whose looks share what they read.

    One that is longer than :data:`LONG` begins on the hour before, so that looks share its whole hours.
    """
    exact = window_before(group, now, rule.window_seconds)
    return Window(floored(exact.start, HOUR), exact.end) if exact.end - exact.start > LONG else exact


def baseline_at(condition: Change, window: Window) -> Window:
    """Return the time before a look's window; looks share it for an hour, and one of a week or so for six."""
    end = floored(window.start, 6 * HOUR if condition.baseline_seconds >= _WEEK else HOUR)
    return Window(end - timedelta(seconds=condition.baseline_seconds), end)


def begin_of(state: AlertState, scorer: str, window: Window) -> datetime:
    """Return from when on an alert's detector has minutes to see: it starts with a window.

    After a pause of more than :data:`MOST_MINUTES` it sees the last of them.
    """
    if state.detector is None or state.detector.scorer != scorer:
        return window.start
    return max(state.detector.until, window.end - MOST_MINUTES)


def observe(rule: Rule, group: RuleGroup, sight: Sight, state: AlertState, now: datetime, alerts: int) -> Observation:
    """Return what a look sees; ``alerts`` share the rule's budget."""
    window = window_at(rule, group, now)
    estimate = sight.mean(window, confidence_of(rule, group.interval_seconds, alerts))
    condition = rule.condition
    if isinstance(condition, Threshold):
        return judge_threshold(rule, condition, estimate)
    if not isinstance(condition, Change):
        raise InputError(f"Expected a threshold or a change, but {rule.alert} is another kind of rule")
    # An episode is held against what was before it: a baseline that went on would take the fall for the usual.
    held = state.evidence.baseline if state.evidence and state.phase in ("pending", "firing") else None
    baseline = held or sight.baseline(baseline_at(condition, window), baseline_confidence_of(alerts))
    # Each minute is a step of the detector, however often is looked.
    looks = rule.false_alarms.looks(60.0, alerts)
    minutes = sight.minutes(begin_of(state, sight.scorer, window), window.end)
    seen = Minutes(sight.scale, sight.scorer, sight.pi_min, minutes)
    return judge_change(rule, condition, state, seen, estimate, baseline, looks)


def look_times(span: Window, interval_seconds: float) -> list[datetime]:
    """Return the looks in a span, its end included: on multiples of the interval since the epoch, whoever looks."""
    first = -(-span.start.timestamp() // interval_seconds) * interval_seconds
    count = int((span.end.timestamp() - first) // interval_seconds) + 1
    start = datetime.fromtimestamp(first, span.start.tzinfo)
    return [start + timedelta(seconds=place * interval_seconds) for place in range(max(0, count))]
