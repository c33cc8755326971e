"""A rule's metric, step by step, for each group that its ``by`` makes: read once, pooled for each look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import add
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.protocols import ScoreStore
from evalsvc.query import EstimateQuery, GroupCells, group_cells_by_metric
from evalsvc.rules.values import Change, Rule, Threshold
from evalsvc.stats import estimate_mean
from evalsvc.stats.strata import StratumKey
from evalsvc.types import Cell, Estimate, Scale, Window

NOTHING = "no score in the window"

Sums = Mapping[StratumKey, int]


class Pool(NamedTuple):
    """The scores of some steps of one group, and what is known of their strata; counts add up over steps."""

    cells: Sequence[Cell]
    offered: Sums | None
    rates: Mapping[StratumKey, float]
    untaken: Sums


class Timeline(NamedTuple):
    """One group's scores by one version of a scorer, by the start of each step that has any.

    ``pi_min`` is the smallest π with which any of its strata is sampled.
    """

    consumer: str
    key: Mapping[str, str]
    scorer: str
    scale: Scale
    step: timedelta
    pools: Mapping[datetime, Pool]
    pi_min: float

    def between(self, start: datetime, end: datetime) -> list[Pool]:
        """Return the pools of the steps in ``[start, end)``, which begins on a step."""
        found, at = [], start
        while at < end:
            if at in self.pools:
                found.append(self.pools[at])
            at += self.step
        return found

    def mean(self, pools: Iterable[Pool], window: Window, confidence: float) -> Estimate:
        """Return the mean of the process behind these pools."""
        one = pooled(pools)
        if not one.cells:
            return Estimate(None, None, None, 0, 0.0, 0, 0.0, window, confidence=confidence, reason=NOTHING)
        return estimate_mean(
            one.cells,
            self.scale,
            window,
            offered=one.offered,
            rates=one.rates,
            untaken=one.untaken,
            confidence=confidence,
            target="process",
        )


class OfLine:
    """What a :class:`~evalsvc.ruler.looks.Sight` of one timeline says of itself."""

    def __init__(self, line: Timeline) -> None:
        """Take the timeline."""
        self.line = line

    @property
    def scorer(self) -> str:
        """The scorer's version and signature."""
        return self.line.scorer

    @property
    def scale(self) -> Scale:
        """The metric's."""
        return self.line.scale

    @property
    def pi_min(self) -> float:
        """The smallest π with which any of its strata is sampled."""
        return self.line.pi_min


def timelines(store: ScoreStore, rule: Rule, span: Window, step_seconds: int) -> list[Timeline]:
    """Return what a rule looks at in ``span``, as :func:`timelines_of`.

    Raises:
        UnknownMetric: when nothing in the store has the rule's metric.
        InputError: on a rule about percentiles, which sums do not tell, and on other kinds, which read for themselves.
    """
    condition = rule.condition
    means = isinstance(condition, Threshold) and condition.statistic in ("mean", "proportion")
    if not (means or isinstance(condition, Change)):
        raise InputError(f"Expected a change, or a threshold of a mean or proportion, but {rule.alert} is neither")
    asked = EstimateQuery(rule.metric, span, step_seconds, rule.by, rule.where, target="process")
    return timelines_of(store, [rule.metric], asked)[rule.metric]


def timelines_of(store: ScoreStore, metrics: Sequence[str], query: EstimateQuery) -> dict[str, list[Timeline]]:
    """Return the timelines of several metrics, one for each consumer, group and version of the scorer.

    Sums over sessions are read: turns of a session in one step may depend on each other as they like. The query's own
    metric is not looked at; its target is the process.

    Raises:
        UnknownMetric: when nothing in the store has one of the metrics.
    """
    found = group_cells_by_metric(store, metrics, query)
    return {metric: lines_of(found[metric], timedelta(seconds=query.step_seconds)) for metric in metrics}


def lines_of(found: Sequence[GroupCells], step: timedelta) -> list[Timeline]:
    """Return what was read in steps as timelines."""
    held: dict[tuple[object, ...], list[GroupCells]] = defaultdict(list)
    for one in found:
        group = one.group
        held[group.consumer, tuple(group.key.items()), group.scorer_version, group.signature].append(one)
    made = []
    for steps in held.values():
        first = steps[0]
        name = f"v{first.group.scorer_version} {first.group.signature}".rstrip()
        pools = {one.group.window.start: _pool(one) for one in steps}
        rates = min((pi for pool in pools.values() for pi in pool.rates.values()), default=1.0)
        made.append(Timeline(first.group.consumer, first.group.key, name, first.spec.scale, step, pools, rates))
    return made


def pooled(pools: Iterable[Pool]) -> Pool:
    """Return the pools as one: cells of one stratum and π are added up, and so are counts of offered events.

    Where one of them does not know how many were offered, the whole does not.
    """
    held = list(pools)
    sums: dict[tuple[str, int, float], list[float]] = {}
    offered: dict[StratumKey, int] | None = {}
    rates: dict[StratumKey, float] = {}
    untaken: dict[StratumKey, int] = {}
    for pool in held:
        for cell in pool.cells:
            key = (cell.stratum, cell.design_version, cell.pi)
            found = sums.get(key)
            sums[key] = _sums(cell) if found is None else list(map(add, found, _sums(cell)))
        offered = None if offered is None or pool.offered is None else _sum(offered, pool.offered)
        rates.update(pool.rates)
        untaken = _sum(untaken, pool.untaken)
    cells = tuple(_cell(key, found) for key, found in sums.items())
    return Pool(cells, offered if held else None, rates, untaken)


def _sums(cell: Cell) -> list[float]:
    return [
        cell.n,
        cell.n_abstained,
        cell.n_failed,
        cell.total,
        cell.squares,
        cell.clusters,
        cell.cluster_n2,
        cell.cluster_ny,
        cell.cluster_y2,
    ]


def _cell(key: tuple[str, int, float], sums: Sequence[float]) -> Cell:
    n, abstained, failed, total, squares, clusters, n2, ny, y2 = sums
    return Cell(
        *key,
        int(n),
        int(abstained),
        int(failed),
        total,
        squares,
        clusters=int(clusters),
        cluster_n2=n2,
        cluster_ny=ny,
        cluster_y2=y2,
    )


def _pool(found: GroupCells) -> Pool:
    domain = found.domain
    return Pool(tuple(found.cells), domain.offered, domain.rates, domain.untaken)


def _sum(one: Mapping[StratumKey, int], other: Mapping[StratumKey, int]) -> dict[StratumKey, int]:
    total = dict(one)
    for key, count in other.items():
        total[key] = total.get(key, 0) + count
    return total
