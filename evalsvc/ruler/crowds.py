"""Rules that split by more values than can be looked at: found out by a count, before their groups are read."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from evalsvc.errors import EvalsvcError
from evalsvc.protocols import CellQuery
from evalsvc.ruler.live import Reader, Selection, selection
from evalsvc.ruler.looks import window_at, window_before
from evalsvc.rules.values import Rule, RuleGroup
from evalsvc.types import Window

log = logging.getLogger("evalsvc.ruler")

MOST_ALERTS = 5_000
"""So many alerts a rule may have; one that splits by more is an error of the rule, and its alerts stay as they are."""
_KNOWN = timedelta(minutes=10)
"""So long what a rule's last read found counts as known."""
_LATELY = 2.0 * _KNOWN.total_seconds()
_NEVER = datetime.min.replace(tzinfo=UTC)


def crowds(reader: Reader, group: RuleGroup, alerts: Mapping[str, int], now: datetime) -> dict[str, str]:
    """Return why rules are not to be read, by alert: their ``by`` makes too many alerts, or could not be counted.

    A rule that was read in the last ten minutes has its known ``alerts``, and at most as many more as there are groups
    in the last twenty minutes: one question for each ``by`` and ``where``. Where these may be too many, or the rule was
    not read of late, the groups of its window are counted. So at most :data:`MOST_ALERTS` groups are read of a rule,
    and those of scores that came more than ten minutes late: they are read once, and then counted.

    What goes wrong with a question is an error of the rules that it is about, and of no other.
    """
    split = [rule for rule in group.rules if rule.by]
    known = [rule for rule in split if reader.kept.read.get(rule.alert, _NEVER) >= now - _KNOWN]
    lately = window_before(group, now, _LATELY)
    fresh, wrong = _counted(reader, [(rule, lately) for rule in known])
    few = {alert for alert, count in fresh.items() if alerts[alert] + count <= MOST_ALERTS}
    rest = [rule for rule in split if rule.alert not in few and rule.alert not in wrong]
    counts, failed = _counted(reader, [(rule, window_at(rule, group, now)) for rule in rest])
    crowded = {rule.alert: said_of(rule, counts[rule.alert]) for rule in rest if rule.alert in counts}
    return {**wrong, **failed, **{alert: said for alert, said in crowded.items() if said}}


def said_of(rule: Rule, alerts: int) -> str:
    """Return what is wrong with a rule of so many alerts; nothing where they are not too many."""
    if alerts <= MOST_ALERTS:
        return ""
    said = f"Expected at most {MOST_ALERTS:,} alerts of {rule.alert}, but its `by` makes {alerts:,}"
    return f"{said}; split by a field with fewer values, or narrow it by `where`"


def _counted(reader: Reader, asked: Iterable[tuple[Rule, Window]]) -> tuple[dict[str, int], dict[str, str]]:
    """Return how many groups rules have in these windows, and why it is not known of the others; both by alert.

    Rules that share ``by``, ``where`` and window share a question. A store that is away is asked once.
    """
    questions: dict[tuple[Selection, Window], list[Rule]] = defaultdict(list)
    for rule, window in asked:
        questions[selection(rule), window].append(rule)
    found: dict[str, int] = {}
    wrong: dict[str, str] = {}
    for (chosen, window), rules in questions.items():
        query = CellQuery("", window, 60, chosen.by, dict(chosen.where))
        try:
            counts = reader.store.group_counts(sorted({rule.metric for rule in rules}), query)
            found |= {rule.alert: counts[rule.metric] for rule in rules}
        except EvalsvcError as error:
            wrong |= {rule.alert: str(error) for rule in rules}
        except Exception as error:
            log.exception("groups_not_counted by=%s", ",".join(chosen.by))
            wrong |= {rule.alert: f"{type(error).__name__}: {error}" for rule in rules}
    return found, wrong
