"""Kinds of rules that read for themselves at each look: one file a kind, each with a ``watch``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from evalsvc.ruler.kinds import absence, burn_rate, cost, drift, fairness_gap, percentile, versions
from evalsvc.ruler.kinds.reading import NOTHING
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen, Watch
from evalsvc.rules.machine import AlertState, Observation
from evalsvc.rules.values import Absence, BurnRate, Cost, Drift, FairnessGap, Rule, RuleGroup, Threshold, Versions

WATCHES: Mapping[type, Watch] = {
    BurnRate: burn_rate.watch,
    Absence: absence.watch,
    Versions: versions.watch,
    FairnessGap: fairness_gap.watch,
    Cost: cost.watch,
    Drift: drift.watch,
}
"""By the type of a rule's condition: what looks at it."""


def watch_of(rule: Rule) -> Watch | None:
    """Return what looks at a rule; None where its metric is followed minute by minute, as sums tell all it needs.

    These are changes, and thresholds of means and proportions; of percentiles sums tell nothing.
    """
    condition = rule.condition
    if isinstance(condition, Threshold) and condition.statistic not in ("mean", "proportion"):
        return percentile.watch
    return WATCHES.get(type(condition))


def unseen(
    rule: Rule, group: RuleGroup, now: datetime, seen: Iterable[Seen], states: Iterable[AlertState]
) -> Sequence[Seen]:
    """Return the alerts of a rule that a look did not see, as nothing of theirs is in the window: they have no data."""
    found = {(one.consumer, *one.key.items()) for one in seen}
    window = window_before(group, now, rule.window_seconds)
    return [
        Seen(state.consumer, state.key, Observation(verdict="no_data", window=window, reason=NOTHING))
        for state in states
        if (state.consumer, *state.key.items()) not in found
    ]
