"""Rules that split by more values than can be looked at: found out by a count, before their groups are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

from evalsvc.errors import StoreError
from evalsvc.protocols import CellQuery
from evalsvc.ruler.live import Reader, Selection, selection
from evalsvc.ruler.looks import window_at
from evalsvc.rules.values import Rule, RuleGroup
from evalsvc.types import Window

MOST_ALERTS = 5_000
"""So many alerts a rule may have; one that splits by more is an error of the rule, and its alerts stay as they are."""
_FEW = MOST_ALERTS // 5


def crowds(reader: Reader, group: RuleGroup, alerts: Mapping[str, int], now: datetime) -> dict[str, int]:
    """Return how many groups those rules have that are worth counting before they are read.

    These are rules that were never looked at, had many alerts, or too many the last time; to count is a question for
    each ``by``, ``where`` and window. ``alerts`` are those known of each rule.
    """
    asked: dict[tuple[Selection, Window], list[Rule]] = defaultdict(list)
    for rule in group.rules:
        if rule.by and (not 0 < alerts[rule.alert] <= _FEW or rule.alert in reader.kept.crowded):
            asked[selection(rule), window_at(rule, group, now)].append(rule)
    found: dict[str, int] = {}
    for (chosen, window), rules in asked.items():
        query = CellQuery("", window, 60, chosen.by, dict(chosen.where))
        try:
            counts = reader.store.group_counts(sorted({rule.metric for rule in rules}), query)
        except StoreError:
            # Whoever reads the groups meets it too, and says so for each rule.
            break
        found |= {rule.alert: counts[rule.metric] for rule in rules}
    return found


def said_of(rule: Rule, alerts: int) -> str:
    """Return what is wrong with a rule of so many alerts; nothing where they are not too many."""
    if alerts <= MOST_ALERTS:
        return ""
    said = f"Expected at most {MOST_ALERTS:,} alerts of {rule.alert}, but its `by` makes {alerts:,}"
    return f"{said}; split by a field with fewer values, or narrow it by `where`"
