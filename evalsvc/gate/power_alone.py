"""What gates on the candidate alone can show, if its true value is the one seen; or why it is not predicted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from evalsvc.gate.absolute import absolute_evidence, values_of
from evalsvc.gate.alone import counting_groups, limits_of, share_of
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.findings import Evidence, Leaf
from evalsvc.gate.needed import UNTOLD, cases_below, chance_below, few_outweigh, groups_above
from evalsvc.gate.values import AtLeast, AtMost, Critical, parse_statistic, scale_for
from evalsvc.stats import PairedMeans, Question, cases_for
from evalsvc.stats.bounded import BoundedMean
from evalsvc.stats.distributions import normal_quantile
from evalsvc.types import Scale

if TYPE_CHECKING:
    from evalsvc.gate.power import Planned

POWER = 0.8
PRECISE = 1e-4


def seen_alone(
    known: Planned, leaf: Leaf, shell: Evaluated, source: Evaluated | None, here: Leaf | None, level: float
) -> Planned:
    """Return what a gate that compares with nothing can show on a leaf of the cases.

    Args:
        known: what is said of the leaf already.
        leaf: of the cases that will be asked.
        shell: those cases.
        source: whose scores are known; None where there are none.
        here: the same leaf of its cases.
        level: one-sided, of the last look, without which a run does not end.
    """
    ask = leaf.gate.ask
    if isinstance(ask, Critical):
        rows = [row for row in leaf.rows.tolist() if shell.cases[row].critical]
        count = len(rows)
        known = known._replace(n=count, groups=len({shell.groups[row] for row in rows}))
        if not count:
            return known._replace(reason="no case is marked `critical: true`", hopeless=True)
        return known._replace(reason=f"every one of {count:,} critical cases has to reach it: no chance is allowed for")
    if not isinstance(ask, AtLeast | AtMost):
        return known._replace(reason="not predicted: limits of a gap hold for all pairs of groups together")
    if source is None or here is None or not here.rows.size:
        return known._replace(reason="not predicted before a first run or a baseline: its value is not known")
    found = absolute_evidence(here, source, level)
    if found.candidate is None:
        return known._replace(reason=f"not predicted: {found.reason}")
    if found.blocked:
        return known._replace(assumed=found.candidate, reason=f"not predicted: among the scores known {found.blocked}")
    if parse_statistic(leaf.gate.statistic).kind == "quantile":
        return _quantile(known, here, source, found, level)
    return _value(known, here, source, found, level)


def _value(known: Planned, leaf: Leaf, source: Evaluated, found: Evidence, level: float) -> Planned:
    """Means and shares: by the spread of their interval, shares of lone cases exactly."""
    ask, value = leaf.gate.ask, found.candidate or 0.0
    up, number = isinstance(ask, AtLeast), getattr(ask, "value", 0.0)
    scores = source.scores[leaf.gate.metric]
    known = known._replace(assumed=value)
    if parse_statistic(leaf.gate.statistic).kind == "mean" and scale_for(leaf.gate, scores.spec.scale).binary:
        counting = _counting(known, leaf, source)
        share, limit = (1.0 - value, 1.0 - number) if up else (value, number)
        chance = chance_below(share, limit, round(counting), level)
        smallest = _least_distance(limit, round(counting), level)
        known = known._replace(smallest=smallest, chance=chance, hopeless=smallest is None)
        return known._replace(cases=_cases(share, limit, level, known.n / counting))
    if found.low is None or found.high is None:
        return known._replace(reason=f"not predicted: {found.reason or 'it has no interval'}")
    offset = (found.difference or 0.0) * (1.0 if up else -1.0)
    untold = offset > 0.0 and few_outweigh(source.weights[leaf.rows], source.codes[leaf.rows])
    values, scale = values_of(leaf, source)
    shares = limits_of(values, scale, source, leaf.rows).shares
    if shares is not None:
        known = _between(known, shares, scale, number, level, up=up)
        return known._replace(cases=None, reason=UNTOLD) if untold else known
    critical = normal_quantile(1.0 - level)
    inside = -found.low if up else found.high
    error = max(1e-12, inside + offset) / critical * math.sqrt(found.n_clusters / max(1, known.groups))
    design, question = PairedMeans(error * math.sqrt(known.n)), Question("non-inferiority", 0.0, level)
    known = known._replace(
        smallest=(critical + normal_quantile(POWER)) * error,
        chance=0.5 * math.erfc((critical - offset / error) / math.sqrt(2.0)),
    )
    if untold:
        return known._replace(reason=UNTOLD)
    return known._replace(cases=cases_for(design, offset, question=question) if offset > 0.0 else None)


def _between(known: Planned, shares: BoundedMean, scale: Scale, number: float, level: float, *, up: bool) -> Planned:
    """Say what as many groups as will be asked show of a mean between two ends, if they are like those seen."""
    limit, width = float(share_of(scale, number)), float(share_of(scale, 1.0)) - float(share_of(scale, 0.0))
    side, limit = (shares, limit) if up else (shares.mirrored(), 1.0 - limit)
    planned = side._replace(copies=max(1, known.groups) / side.sums.size)
    allowed, error = planned.mean - planned.lower(level), max(1e-12, planned.error)
    groups = groups_above(side, limit, level)
    return known._replace(
        smallest=(allowed + normal_quantile(POWER) * error) / width,
        chance=0.5 * math.erfc((allowed - (side.mean - limit)) / error / math.sqrt(2.0)),
        cases=None if groups is None else math.ceil(groups * known.n / max(1, known.groups)),
    )


def _quantile(known: Planned, leaf: Leaf, source: Evaluated, found: Evidence, level: float) -> Planned:
    """A quantile is a share beyond the number, with weights and groups as the advice of a run counts them."""
    ask, quantile = leaf.gate.ask, parse_statistic(leaf.gate.statistic).quantile
    up, number = isinstance(ask, AtLeast), getattr(ask, "value", 0.0)
    values = source.scores[leaf.gate.metric].values[leaf.rows]
    weights = np.repeat(source.weights[leaf.rows][:, None], values.shape[1], axis=1)
    within = (values >= number) if up else (values <= number)
    beyond, limit = 1.0 - float(np.average(within, weights=weights)), quantile if up else 1.0 - quantile
    counting = _counting(known, leaf, source)
    return known._replace(
        assumed=found.candidate,
        chance=chance_below(beyond, limit, round(counting), level),
        cases=_cases(beyond, limit, level, known.n / counting),
        hopeless=chance_below(0.0, limit, round(counting), level) == 0.0,
    )


def _cases(share: float, limit: float, level: float, each: float) -> int | None:
    """Return how many cases show a share to be below a limit; ``each`` of them count as one."""
    alone = cases_below(share, limit, level) if share < limit else None
    return None if alone is None else math.ceil(alone * each)


def _counting(known: Planned, leaf: Leaf, source: Evaluated) -> float:
    """Return how many of the groups that will be asked count, if their weights are as unequal as those known."""
    values = source.scores[leaf.gate.metric].values[leaf.rows]
    groups = len(np.unique(source.codes[leaf.rows][(~np.isnan(values)).any(axis=1)]))
    return max(1.0, known.groups * counting_groups(source, leaf.rows, values) / max(1, groups))


def _least_distance(limit: float, n: int, level: float) -> float | None:
    """Return by how much a share has to be below a limit to be shown so with a chance of 80 %; None where none is."""
    if chance_below(0.0, limit, n, level) < POWER:
        return None
    low, high = 0.0, limit
    while high - low > PRECISE * limit:
        middle = (low + high) / 2.0
        low, high = (middle, high) if chance_below(middle, limit, n, level) >= POWER else (low, middle)
    return limit - low
