"""Absence: no events, no scores, or a scorer that fails or abstains too often. Counts, with no budget to spend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import product

from evalsvc.errors import UnknownMetric
from evalsvc.protocols import ScoreStore
from evalsvc.query import asked_cells
from evalsvc.ruler.kinds.reading import Place, newest, place_of, question
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging_kinds import Counted, judge_absence, judge_share
from evalsvc.rules.values import Absence, Rule, RuleGroup
from evalsvc.types import Window


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of each consumer or group that is expected to have something."""
    condition = rule.condition
    if not isinstance(condition, Absence):
        return ()
    window = window_before(group, now, rule.window_seconds)
    if condition.of in ("failures", "abstentions"):
        return _shares(store, rule, condition, window)
    past = Window(window.end - timedelta(seconds=condition.look_back_seconds), window.end)
    count = _events if condition.of == "events" else _scores
    known, current = count(store, rule, past), count(store, rule, window)
    offered = _events(store, rule, window) if condition.of == "scores" else current
    came = {place.consumer: n for place, n in offered.items()}
    expected = {*(place for place, n in known.items() if n), *_named(rule)}
    seen = []
    for place in sorted(expected):
        counted = Counted(current[place], known[place], came.get(place.consumer, 0))
        seen.append(Seen(place.consumer, place.key, judge_absence(condition, window, counted)))
    return seen


def _events(store: ScoreStore, rule: Rule, window: Window) -> Counter[Place]:
    """Count the events that each consumer was offered."""
    wanted, counts = rule.where.get("consumer", ()), Counter[Place]()
    for row in store.offered(window, int(window.seconds), wanted[0] if len(wanted) == 1 else None):
        if not wanted or row.consumer in wanted:
            counts[Place(row.consumer, ())] += row.offered
    return counts


def _scores(store: ScoreStore, rule: Rule, window: Window) -> Counter[Place]:
    """Count each group's scores that have a value, by whatever version of the scorer."""
    counts = Counter[Place]()
    try:
        query = asked_cells(store, question(rule, window))._replace(clusters=False)
    except UnknownMetric:  # nothing was ever measured, which is what the rule is about
        return counts
    for group in store.cells(query):
        counts[place_of(group.consumer, group.key, rule.by)] += sum(cell.n for cell in group.cells)
    return counts


def _named(rule: Rule) -> Iterator[Place]:
    """Return the consumers and groups that ``where`` names as a whole: expected even if they were never seen."""
    for consumer in rule.where.get("consumer", ()):
        values = [(consumer,) if name == "consumer" else rule.where.get(name, ()) for name in rule.by]
        for combined in product(*values):
            yield Place(consumer, tuple(zip(rule.by, combined, strict=True)))


def _shares(store: ScoreStore, rule: Rule, condition: Absence, window: Window) -> Sequence[Seen]:
    """Look at what each group's newest scorer could not score."""
    seen = []
    for place, found in newest(store, question(rule, window)).items():
        cells = found.group.cells
        lacking = sum(cell.n_failed if condition.of == "failures" else cell.n_abstained for cell in cells)
        given = sum(cell.n + cell.n_failed + cell.n_abstained for cell in cells)
        seen.append(Seen(place.consumer, place.key, judge_share(rule, condition, window, lacking, given)))
    return seen
