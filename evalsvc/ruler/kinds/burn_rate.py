"""Burn rate: does a quality objective's allowance run out too fast, in a long window and in its end?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from evalsvc.protocols import ScoreStore
from evalsvc.ruler.kinds.reading import by_scorer, mean_of, newest, question, scorer_of
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging import confidence_of
from evalsvc.rules.judging_kinds import judge_burn_rate
from evalsvc.rules.values import BurnRate, Rule, RuleGroup
from evalsvc.types import Window


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of each group that has scores in the long window, by its newest scorer there."""
    condition = rule.condition
    if not isinstance(condition, BurnRate):
        return ()
    long = window_before(group, now, rule.window_seconds)
    short = Window(long.end - timedelta(seconds=condition.short_seconds), long.end)
    held = newest(store, question(rule, long))
    if not held:
        return ()
    recent = by_scorer(store, question(rule, short))
    confidence = confidence_of(rule, group.interval_seconds, len(held))
    seen = []
    for place, found in held.items():
        late = recent.get(place, {}).get(scorer_of(found.group))
        sides = mean_of(found, long, confidence), mean_of(late, short, confidence)
        seen.append(Seen(place.consumer, place.key, judge_burn_rate(rule, condition, *sides, found.spec.scale)))
    return seen
