"""Thresholds of percentiles, from the histograms that the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from evalsvc.protocols import ScoreStore
from evalsvc.query import estimates
from evalsvc.ruler.kinds.reading import newest, place_of, question, scorer_of
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging import confidence_of, judge_threshold
from evalsvc.rules.values import Rule, RuleGroup, Threshold


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of the percentile of each group with scores in the window, by its newest scorer."""
    condition = rule.condition
    if not isinstance(condition, Threshold):
        return ()
    query = question(rule, window_before(group, now, rule.window_seconds))
    latest = {place: scorer_of(found.group) for place, found in newest(store, query).items()}
    confidence = confidence_of(rule, group.interval_seconds, len(latest))
    rows = estimates(store, query._replace(statistic=condition.statistic, confidence=confidence)) if latest else []
    return [
        Seen(row.consumer, row.labels, judge_threshold(rule, condition, row.estimate))
        for row in rows
        if latest.get(place_of(row.consumer, row.labels, rule.by)) == scorer_of(row)
    ]
