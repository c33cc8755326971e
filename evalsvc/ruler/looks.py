"""One alert, look by look: what is seen, what the state becomes, and what would be told. Pure, on any clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from evalsvc.errors import InputError
from evalsvc.ruler.timeline import Pool, Timeline, pooled
from evalsvc.rules.judging import BASELINE_CONFIDENCE, Minutes, confidence_of, judge_change, judge_threshold
from evalsvc.rules.machine import AlertState, Observation, step
from evalsvc.rules.values import Change, Rule, RuleGroup, Threshold, alert_labels, fingerprint
from evalsvc.types import Estimate, Window
from evalsvc.windows import floored

HOUR = timedelta(hours=1)


class Alert:
    """One of a rule's alerts: a group of the data, whatever version of the scorer sees it. Keeps sums by hour."""

    def __init__(self, rule: Rule, group: RuleGroup, lines: list[Timeline], alerts: int) -> None:
        """Take one group's timelines, of all versions of the scorer; ``alerts`` share the rule's budget."""
        self._rule, self._group, self._lines, self._alerts = rule, group, lines, alerts
        self._hours: dict[tuple[str, datetime], Pool] = {}
        self._baselines: dict[tuple[str, datetime], Estimate] = {}
        self.start = start_of(rule, lines[0].consumer, lines[0].key)

    def look(self, state: AlertState, now: datetime) -> AlertState:
        """Return the state after a look at ``now``, at what had come ``delay`` before."""
        return step(self._rule, state, self.observe(state, now), now)

    def observe(self, state: AlertState, now: datetime) -> Observation:
        """Return what a look sees: by the version of the scorer that has the latest scores in the window."""
        end = floored(now - timedelta(seconds=self._group.delay_seconds), timedelta(minutes=1))
        window = Window(end - timedelta(seconds=self._rule.window_seconds), end)
        line = self._newest(window)
        confidence = confidence_of(self._rule, self._group.interval_seconds, self._alerts)
        estimate = line.mean(line.between(window.start, window.end), window, confidence)
        condition = self._rule.condition
        if isinstance(condition, Threshold):
            return judge_threshold(self._rule, condition, estimate)
        if not isinstance(condition, Change):
            raise InputError(f"Expected a threshold or a change, but {self._rule.alert} is another kind of rule")
        baseline = self._baseline(line, floored(window.start, HOUR), condition.baseline_seconds)
        begin = state.detector.until if state.detector and state.detector.scorer == line.scorer else window.start
        minutes = [(at, tuple(line.pools[at].cells) if at in line.pools else ()) for at in _minutes(begin, end)]
        # Each minute is a step of the detector, however often is looked.
        looks = self._rule.false_alarms.looks(60.0, self._alerts)
        seen = Minutes(line.scale, line.scorer, line.pi_min, minutes)
        return judge_change(self._rule, condition, state, seen, estimate, baseline, looks)

    def _newest(self, window: Window) -> Timeline:
        """Return the timeline whose scores in the window are the latest; without any, the latest of all."""

        def latest(line: Timeline) -> datetime:
            within = [at for at in _minutes(window.start, window.end) if at in line.pools]
            return max(within, default=datetime.min.replace(tzinfo=UTC))

        return max(self._lines, key=lambda line: (latest(line), line.scorer))

    def _baseline(self, line: Timeline, end: datetime, seconds: float) -> Estimate:
        """Return the mean of the time before an hour; it is the same for all looks within that hour."""
        if (line.scorer, end) not in self._baselines:
            past = Window(end - timedelta(seconds=seconds), end)
            self._baselines[line.scorer, end] = line.mean(self._whole_hours(line, past), past, BASELINE_CONFIDENCE)
        return self._baselines[line.scorer, end]

    def _whole_hours(self, line: Timeline, span: Window) -> Iterator[Pool]:
        at = span.start
        while at < span.end:
            if (line.scorer, at) not in self._hours:
                self._hours[line.scorer, at] = pooled(line.between(at, at + HOUR))
            if self._hours[line.scorer, at].cells:
                yield self._hours[line.scorer, at]
            at += HOUR


def start_of(rule: Rule, consumer: str, key: Mapping[str, str]) -> AlertState:
    """Return the state of an alert that was never looked at."""
    labels = alert_labels(rule, key, consumer)
    return AlertState(fingerprint=fingerprint(labels), labels=labels, rule=rule.alert, consumer=consumer, key=dict(key))


def alerts_of(rule: Rule, group: RuleGroup, lines: list[Timeline]) -> list[Alert]:
    """Return a rule's alerts: one for each consumer and group that its timelines are of."""
    held: dict[tuple[object, ...], list[Timeline]] = {}
    for line in lines:
        held.setdefault((line.consumer, *line.key.items()), []).append(line)
    return [Alert(rule, group, own, len(held)) for own in held.values()]


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(minutes=1)
