"""Version comparison: is the canary's mean another than the stable version's, by the interval of the difference?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from evalsvc.protocols import ScoreStore
from evalsvc.query import GroupCells
from evalsvc.ruler.kinds.reading import by_scorer, mean_of, newest, question, scorer_of
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging_kinds import judge_versions, versions_level
from evalsvc.rules.machine import Observation
from evalsvc.rules.values import Rule, RuleGroup, Versions
from evalsvc.stats import Question, Side, compare_unpaired
from evalsvc.types import Window


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of each group that has scores on either side, by the canary's newest scorer."""
    condition = rule.condition
    if not isinstance(condition, Versions):
        return ()
    window = window_before(group, now, rule.window_seconds)
    canaries = newest(store, question(rule, window, {**rule.where, **condition.canary}))
    stables = by_scorer(store, question(rule, window, {**rule.where, **condition.stable}))
    # A group without one of the sides cannot fire.
    level = versions_level(rule, condition, group.interval_seconds, len(canaries.keys() & stables.keys()))
    seen = []
    for place in sorted({*canaries, *stables}):
        canary = canaries.get(place)
        stable = stables.get(place, {}).get(scorer_of(canary.group)) if canary else None
        seen.append(Seen(place.consumer, place.key, _observe(rule, condition, canary, stable, window, level)))
    return seen


def _observe(
    rule: Rule,
    condition: Versions,
    canary: GroupCells | None,
    stable: GroupCells | None,
    window: Window,
    level: float,
) -> Observation:
    if canary is None:
        nothing = mean_of(None, window, 1.0 - level)
        reason = "canary: no score in the window"
        return Observation(verdict="no_data", window=window, estimate=nothing, reason=reason)
    estimates = mean_of(canary, window, 1.0 - level), mean_of(stable, window, 1.0 - level)
    if stable is None:
        reason = f"stable: no score in the window by the canary's scorer, {scorer_of(canary.group)}"
        return Observation(verdict="no_data", window=window, estimate=estimates[0], reason=reason)
    sides = [Side(one.cells, one.domain.offered, one.domain.rates) for one in (stable, canary)]
    found = compare_unpaired(sides[0], sides[1], canary.spec.scale, question=Question(level=level))
    return judge_versions(rule, condition, *estimates, found)
