"""Fairness gap: are the highest and the lowest group of a field too far apart, by limits that hold for all pairs?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from evalsvc.fairness import Gap, Group, gap, group_of_cells
from evalsvc.fairness.disaggregation import shown, suppressed
from evalsvc.protocols import ScoreStore
from evalsvc.query import GroupCells
from evalsvc.ruler.kinds.reading import Place, by_scorer, mean_of, newest, place_of, question, scorer_of
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging_kinds import Extremes, judge_fairness_gap
from evalsvc.rules.machine import Observation
from evalsvc.rules.values import FairnessGap, Rule, RuleGroup
from evalsvc.stats.strata import missing
from evalsvc.types import Estimate, Window

NONE = "(none)"


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of each combination of ``by`` with scores, by its newest scorer: its groups, compared."""
    condition = rule.condition
    if not isinstance(condition, FairnessGap):
        return ()
    window = window_before(group, now, rule.window_seconds)
    query = question(rule, window)
    chosen = {place: scorer_of(found.group) for place, found in newest(store, query).items()}
    members: dict[Place, list[GroupCells]] = defaultdict(list)
    if chosen:
        for known in by_scorer(store, query._replace(by=(*rule.by, condition.field))).values():
            for name, found in known.items():
                place = place_of(found.group.consumer, found.group.key, rule.by)
                if chosen.get(place) == name:
                    members[place].append(found)
    # Limits of all pairs have two ends, so that a look spends its part on both.
    confidence = 1.0 - rule.false_alarms.per_look(group.interval_seconds, len(members))
    return [
        Seen(place.consumer, place.key, _observe(rule, condition, found, window, confidence))
        for place, found in members.items()
    ]


def _observe(
    rule: Rule, condition: FairnessGap, members: Sequence[GroupCells], window: Window, confidence: float
) -> Observation:
    groups = [_group(found, condition.field, window) for found in members]
    visible = shown(groups, suppressed(groups, rule.min_effective_n))
    found = gap(visible, confidence=confidence)
    estimate = _estimate(members, found, window)
    if found.value is None:
        if [group.name for group in groups] == [NONE]:
            said = f"no scored event of the window has {condition.field}; is it spelt so?"
        else:
            said = f"{len(groups)} groups of {condition.field}, and fewer than two have enough scores to compare"
        return judge_fairness_gap(condition, replace(estimate, reason=said), None)
    values = {group.name: group.at(confidence).value or 0.0 for group in visible}
    ends = found.highest, values[found.highest], found.lowest, values[found.lowest]
    return judge_fairness_gap(condition, estimate, Extremes(*ends, found.groups))


def _name(value: str) -> str:
    """Return what names a group, and no other one: events without the field are one, too."""
    return f'"{value}"' if value == NONE else value or NONE


def _group(found: GroupCells, field: str, window: Window) -> Group:
    domain = found.domain
    return group_of_cells(
        _name(found.group.key[field]),
        found.cells,
        found.spec.scale,
        window,
        offered=domain.offered,
        rates=domain.rates,
        untaken=domain.untaken,
        target="process",
    )


def _estimate(members: Sequence[GroupCells], found: Gap, window: Window) -> Estimate:
    """Return the gap as an estimate; its counts are those of all groups together."""
    cells = [cell for member in members for cell in member.cells]
    every = math.fsum((cell.n + missing(cell)) / cell.pi for cell in cells)
    return Estimate(
        found.value,
        found.low,
        found.high,
        sum(cell.n for cell in cells),
        math.fsum(mean_of(member, window, found.confidence).n_effective for member in members),
        sum(missing(cell) for cell in cells),
        math.fsum(missing(cell) / cell.pi for cell in cells) / every if every else 0.0,
        window,
        "gap",
        found.confidence,
        found.method,
        reason=found.reason,
    )
