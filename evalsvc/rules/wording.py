"""What happened, in sentences for someone who was asleep: what moved, since when, for whom, and how sure that is.

Sentences that a kind of condition needs of its own stand in :data:`SAYINGS`, by its type. A kind without any says what
its observation says: the value, what it is held against, and the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from evalsvc.rules.machine import Observation, Transition
from evalsvc.rules.templates import duration, interval, number
from evalsvc.rules.values import Absence, Budget, Change, Drift, Rule, Threshold, label_of
from evalsvc.types import Estimate

Saying = Callable[[Rule, Observation, Estimate, str, bool], str]
"""``(rule, seen, estimate, unit, over) -> sentence`` about what moved; ``over``: it is back."""

_OWN = frozenset({"alertname", "severity", "metric", "owner"})
"""Labels that say which rule it is rather than whom it concerns."""
_VERBS = {"fell": "fell", "rose": "rose", "either": "moved"}


def describe(rule: Rule, told: Transition, unit: str = "") -> str:
    """Return two to four sentences about a transition to firing or resolved.

    ``unit`` is the metric's (of its scale), empty for a share or a score. Values are shown with their interval at the
    confidence that the rule's budget leaves for a look.
    """
    over = told.after == "resolved"
    said = [_moved(rule, told, unit, over), _since(rule, told, over), _basis(told), _sure(rule, told, over)]
    return " ".join(sentence for sentence in said if sentence)


def moment(at: datetime) -> str:
    """Return a time for a message.

    >>> from datetime import UTC
    >>> moment(datetime(2026, 3, 1, 4, 5, tzinfo=UTC))
    '2026-03-01 04:05 UTC'
    """
    return at.strftime("%Y-%m-%d %H:%M UTC")


def concerned(labels: Mapping[str, str]) -> str:
    """Return whom an alert concerns: its labels, without those that name the rule.

    >>> concerned({"alertname": "A", "severity": "page", "metric": "m", "language": "de", "consumer": "support"})
    'consumer=support, language=de'
    """
    return ", ".join(f"{name}={labels[name]}" for name in sorted(labels) if name not in _OWN and labels[name])


def _moved(rule: Rule, told: Transition, unit: str, over: bool) -> str:
    whom, seen = concerned(_whose(rule, told)), told.observation
    start = " ".join(part for part in ("over" if over else "", f"for {whom}" if whom else "") if part)
    sentence = (
        f"{start}: {_said(rule, told, seen, unit, over)}." if start else f"{_said(rule, told, seen, unit, over)}."
    )
    # A metric's name is written as it is.
    return sentence if rule.metric and sentence.startswith(rule.metric) else sentence[0].upper() + sentence[1:]


def _whose(rule: Rule, told: Transition) -> dict[str, str]:
    """Return whose data an alert is about: what its rule is narrowed to, and its labels but those it adds itself."""
    narrowed = {label_of(field): " or ".join(values) for field, values in rule.where.items()}
    return {**narrowed, **{name: value for name, value in told.labels.items() if name not in rule.labels}}


def _said(rule: Rule, told: Transition, seen: Observation | None, unit: str, over: bool) -> str:
    estimate = seen.estimate if seen else None
    unknown = seen is None or seen.verdict in ("no_data", "error") or (estimate is not None and estimate.value is None)
    if seen is not None and estimate is not None and not unknown:
        return SAYINGS.get(type(rule.condition), _generic)(rule, seen, estimate, unit, over)
    state = "is good again" if over else "could not be judged" if unknown else "is out of bounds"
    reason = ((seen.reason if seen else "") or told.reason).rstrip(".")
    return f"{rule.metric} {state}{f': {reason}' if reason else ''}"


def _threshold(rule: Rule, seen: Observation, estimate: Estimate, unit: str, over: bool) -> str:
    condition = rule.condition
    if not isinstance(condition, Threshold):
        return _generic(rule, seen, estimate, unit, over)
    what = f"{_statistic(condition.statistic)} of {rule.metric} {_time(rule, seen)}"
    if over:
        back = "not above" if condition.side == "above" else "not below"
        return f"the {what} is {_valued(estimate, unit)}, {back} {_united(condition.recovers_at, unit)}"
    limit = _united(condition.limit, unit)
    return f"the {what} is {_valued(estimate, unit)}, its whole interval {condition.side} the limit of {limit}"


def _change(rule: Rule, seen: Observation, estimate: Estimate, unit: str, over: bool) -> str:
    condition = rule.condition
    if not isinstance(condition, Change) or seen.baseline is None:
        return _generic(rule, seen, estimate, unit, over)
    what = f"the mean of {rule.metric}"
    before = f"{_valued(seen.baseline, unit)} in the {duration(condition.baseline_seconds)} before"
    now = f"{_valued(estimate, unit)} {_time(rule, seen)}"
    if over:
        return f"{what} is {now}, back at what it was before: {_valued(seen.baseline, unit)}"
    return f"{what} {_VERBS[condition.direction]} from {before} to {now}"


def _generic(rule: Rule, seen: Observation, estimate: Estimate, unit: str, over: bool) -> str:
    against = f", held against {_valued(seen.baseline, unit)}" if seen.baseline else ""
    reason = f": {seen.reason.rstrip('.')}" if seen.reason else ""
    state = "good again" if over else "out of bounds"
    return f"{rule.metric} is {state} at {_valued(estimate, unit)} {_time(rule, seen)}{against}{reason}"


def _time(rule: Rule, seen: Observation) -> str:
    """Say what the window was: longer than the rule's where it begins on the hour, and of drift one before."""
    length = duration(seen.window.seconds)
    if isinstance(rule.condition, Drift):
        return f"over the {length} to {moment(seen.window.end)}"
    return f"over the last {length}"


def _absence(rule: Rule, seen: Observation, estimate: Estimate, unit: str, over: bool) -> str:
    return seen.reason.rstrip(".") or ("what was missing is there again" if over else "something is missing")


SAYINGS: Mapping[type, Saying] = {Threshold: _threshold, Change: _change, Absence: _absence}
"""What moved, by the type of the rule's condition."""


def _since(rule: Rule, told: Transition, over: bool) -> str:
    if over:
        lasted = duration(max(0.0, (told.at - told.episode).total_seconds()))
        return f"It began {moment(told.episode)}, ended {moment(told.at)} and lasted {lasted}."
    seen = told.observation
    if isinstance(rule.condition, Change) and seen is not None and seen.since is not None:
        return f"It began about {moment(seen.since)} and was noticed {moment(told.episode)}."
    held = told.at - told.episode
    return f"It has been so since {moment(told.episode)}" + (
        f", for {duration(held.total_seconds())}." if held else "."
    )


def _basis(told: Transition) -> str:
    estimate = told.observation.estimate if told.observation else None
    if estimate is None or not estimate.n:
        return ""
    missing = f"; {estimate.missing_share:.1%} of the sampled ones have no score" if estimate.missing_share else ""
    return f"That rests on {estimate.n:,} scored event{'' if estimate.n == 1 else 's'}{missing}."


def _sure(rule: Rule, told: Transition, over: bool) -> str:
    seen = told.observation
    if (
        over
        or isinstance(rule.condition, Absence)
        or seen is None
        or seen.verdict != "bad"
        or seen.estimate is None
        or (seen.estimate.low is None and seen.estimate.high is None)
    ):
        return ""
    at, before = percent(seen.estimate.confidence), percent(seen.baseline.confidence) if seen.baseline else ""
    levels = f"{before} and {at}" if before not in ("", at) else at
    return f"Intervals are at {levels}: {_budget(rule.false_alarms)}."


def _budget(budget: Budget) -> str:
    alarms = "one false alarm" if budget.count == 1.0 else f"{number(budget.count)} false alarms"
    return f"{alarms} in {duration(budget.seconds)} {'is' if budget.count == 1.0 else 'are'} allowed to this rule"


def percent(share: float) -> str:
    """Return a share near 1 with no more nines than tell it from 1.

    >>> percent(0.95), percent(0.99997685)
    ('95%', '99.998%')
    """
    shown = (f"{100.0 * share:.{digits}f}" for digits in range(10))
    return f"{next((text for text in shown if float(text) < 100.0), '100')}%"


def _statistic(name: str) -> str:
    """Return a statistic as people say it.

    >>> _statistic("mean"), _statistic("p91"), _statistic("p12"), _statistic("p99.9")
    ('mean', '91st percentile', '12th percentile', '99.9th percentile')
    """
    if not name.startswith("p") or name == "proportion":
        return name
    rank = name[1:]
    ending = {"1": "st", "2": "nd", "3": "rd"}.get(rank[-1], "th")
    return f"{rank}{'th' if rank in ('11', '12', '13') or '.' in rank else ending} percentile"


def _valued(estimate: Estimate, unit: str) -> str:
    if estimate.low is None and estimate.high is None:
        return _united(estimate.value, unit)
    return f"{_united(estimate.value, unit)} ({interval(estimate)})"


def _united(value: float | None, unit: str) -> str:
    return f"{number(value)} {unit}" if unit and value is not None else number(value)
