"""Kinds of rules that read for themselves at each look: one file a kind, each with a ``watch``."""

from __future__ import annotations

from collections.abc import Mapping

from evalsvc.ruler.kinds import absence, burn_rate, cost, drift, fairness_gap, percentile, versions
from evalsvc.ruler.seen import Watch
from evalsvc.rules.values import Absence, BurnRate, Cost, Drift, FairnessGap, Rule, Threshold, Versions

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
