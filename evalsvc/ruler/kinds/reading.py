"""What all looks at further kinds share: a window that ends before the look, and each alert's newest scorer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from evalsvc.protocols import CellGroup, ScoreStore
from evalsvc.query import EstimateQuery, GroupCells, LabelledEstimate, asked_cells, group_cells, with_unasked
from evalsvc.rules.values import Rule
from evalsvc.stats import estimate_mean
from evalsvc.types import Estimate, Window
from evalsvc.windows import MINUTE

NOTHING = "no score in the window"


class Place(NamedTuple):
    """Whose data an alert watches, as something to look up by: a consumer and the values of the rule's ``by``."""

    consumer: str
    values: tuple[tuple[str, str], ...]

    @property
    def key(self) -> Mapping[str, str]:
        """The values by the fields' names."""
        return dict(self.values)


def question(rule: Rule, window: Window, where: Mapping[str, tuple[str, ...]] | None = None) -> EstimateQuery:
    """Return what asks for a rule's metric in a window as one step, of the process behind it."""
    return EstimateQuery(
        rule.metric, window, int(window.seconds), rule.by, rule.where if where is None else where, target="process"
    )


def scorer_of(group: CellGroup | LabelledEstimate) -> str:
    """Return what names a scorer among those of its metric."""
    return f"v{group.scorer_version} {group.signature}".rstrip()


def place_of(consumer: str, key: Mapping[str, str], by: Sequence[str]) -> Place:
    """Return whose data a row of the store or of an answer is."""
    return Place(consumer, tuple((name, key[name]) for name in by))


def by_scorer(store: ScoreStore, query: EstimateQuery) -> dict[Place, dict[str, GroupCells]]:
    """Return the cells of each alert's scorers, by version and signature: they are never pooled."""
    held: dict[Place, dict[str, GroupCells]] = defaultdict(dict)
    for found in group_cells(store, query):
        held[place_of(found.group.consumer, found.group.key, query.by)][scorer_of(found.group)] = found
    return dict(held)


def newest(store: ScoreStore, query: EstimateQuery) -> dict[Place, GroupCells]:
    """Return the cells of each alert's newest scorer: the one with the latest scores in the window."""
    held = by_scorer(store, query)
    latest: dict[tuple[Place, str], datetime] = {}
    if any(len(known) > 1 for known in held.values()):
        for group in store.cells(asked_cells(store, query._replace(step_seconds=MINUTE))):
            one = place_of(group.consumer, group.key, query.by), scorer_of(group)
            latest[one] = max(latest.get(one, group.window.start), group.window.start)

    first = datetime.min.replace(tzinfo=UTC)
    chosen = {}
    for place, known in held.items():
        _, last = max((latest.get((place, name), first), name) for name in known)
        chosen[place] = known[last]
    return chosen


def mean_of(found: GroupCells | None, window: Window, confidence: float) -> Estimate:
    """Return the mean of the process behind a group's scores; without value and interval where there are none."""
    if found is None:
        return Estimate(None, None, None, 0, 0.0, 0, 0.0, window, confidence=confidence, reason=NOTHING)
    domain = found.domain
    estimate = estimate_mean(
        found.cells,
        found.spec.scale,
        window,
        offered=domain.offered,
        rates=domain.rates,
        untaken=domain.untaken,
        confidence=confidence,
        target="process",
    )
    return with_unasked(estimate, found)
