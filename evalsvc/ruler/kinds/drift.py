"""Drift: did what is watched of a metric move against the time before?

Windows stand on multiples of their length since the epoch, so that a rule with a window of a day looks at whole days.
All looks until the next window ends see the same, and are one: what a look may spend is then mostly above 1/500, which
is what the draws behind drift's p-values resolve. Below, they are tails of fitted distributions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from evalsvc.drift import MINIMA, DriftTest
from evalsvc.drift_query import Drift as Row
from evalsvc.drift_query import DriftQuery, drifts
from evalsvc.protocols import ScoreStore
from evalsvc.ruler.kinds.reading import newest, question
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging_kinds import Part, judge_drift
from evalsvc.rules.values import Drift, Rule, RuleGroup
from evalsvc.types import Estimate, Window
from evalsvc.windows import floored


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of each consumer that has scores in the window: its newest scorer's parts."""
    condition = rule.condition
    if not isinstance(condition, Drift):
        return ()
    length = timedelta(seconds=rule.window_seconds)
    end = floored(window_before(group, now, rule.window_seconds).end, length)
    window = Window(end - length, end)
    held = newest(store, question(rule, window))
    if not held:
        return ()
    error = rule.false_alarms.per_look(max(group.interval_seconds, rule.window_seconds), len(held))
    query = DriftQuery(
        Window(window.start - timedelta(seconds=condition.baseline_seconds), window.start),
        window,
        (rule.metric,),
        rule.where,
        confidence=1.0 - 2.0 * error,
        minima={**MINIMA, **condition.minima},
    )
    rows: dict[tuple[str, int, str], list[Part]] = defaultdict(list)
    for row in drifts(store, query):
        rows[row.consumer, row.scorer_version, row.signature].append(_part(row))
    seen = []
    for place, found in held.items():
        parts = rows.get((place.consumer, found.group.scorer_version, found.group.signature), [])
        seen.append(Seen(place.consumer, place.key, judge_drift(rule, parts, window, error)))
    return seen


def _part(row: Row) -> Part:
    if not row.tests:
        nothing = Estimate(None, None, None, 0, 0.0, 0, 0.0, row.current, reason=row.reason)
        return Part(row.watched, row.change, nothing, None, 1.0, row.reason)
    test = row.tests[0]
    return Part(row.watched, row.change, _effect(row, test), test.p_value, test.minimum, row.reason)


def _effect(row: Row, test: DriftTest) -> Estimate:
    """Return how far a part moved as an estimate; effective n is that of the window that has less."""
    return Estimate(
        test.effect,
        test.low,
        test.high,
        test.n,
        min(test.n_effective, test.n_effective_baseline),
        0,
        row.missing_current or 0.0,
        row.current,
        test.detector,
        test.confidence,
        test.method,
        reason=test.reason,
    )
