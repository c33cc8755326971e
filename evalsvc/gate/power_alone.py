"""What gates on the candidate alone can show, if its true value is the one seen; or why it is not predicted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from evalsvc.gate.absolute import SHARE, absolute_evidence, values_of
from evalsvc.gate.alone import limits_of, share_of
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.findings import Evidence, Leaf
from evalsvc.gate.needed import POWER, UNTOLD, cases_below, chance_below, few_outweigh, groups_above
from evalsvc.gate.values import AtLeast, AtMost, Critical, parse_statistic
from evalsvc.stats import PairedMeans, Question, cases_for
from evalsvc.stats.bounded import BoundedMean
from evalsvc.stats.distributions import normal_quantile
from evalsvc.types import Scale

if TYPE_CHECKING:
    from evalsvc.gate.power import Planned

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
    """Means and shares, by the limits that will decide them."""
    up, number = isinstance(leaf.gate.ask, AtLeast), getattr(leaf.gate.ask, "value", 0.0)
    known = known._replace(assumed=found.candidate)
    values, scale = values_of(leaf, source)
    alone = limits_of(values, scale, source, leaf.rows)
    outweighed = few_outweigh(source.weights[leaf.rows], source.codes[leaf.rows])
    if alone.shares is not None:
        known = _between(known, alone.shares, scale, number, level, up=up)
        return known._replace(cases=None, reason=UNTOLD) if outweighed and known.cases else known
    if scale.binary:
        value = found.candidate or 0.0
        return _exactly(known, *((1.0 - value, 1.0 - number) if up else (value, number)), level)
    if found.low is None or found.high is None:
        return known._replace(reason=f"not predicted: {found.reason or 'it has no interval'}")
    offset = (found.difference or 0.0) * (1.0 if up else -1.0)
    critical = normal_quantile(1.0 - level)
    inside = -found.low if up else found.high
    error = max(1e-12, inside + offset) / critical * math.sqrt(found.n_clusters / max(1, known.groups))
    design, question = PairedMeans(error * math.sqrt(known.n)), Question("non-inferiority", 0.0, level)
    known = known._replace(
        smallest=(critical + normal_quantile(POWER)) * error,
        chance=0.5 * math.erfc((critical - offset / error) / math.sqrt(2.0)),
    )
    if offset > 0.0 and outweighed:
        return known._replace(reason=UNTOLD)
    return known._replace(cases=cases_for(design, offset, question=question) if offset > 0.0 else None)


def _quantile(known: Planned, leaf: Leaf, source: Evaluated, found: Evidence, level: float) -> Planned:
    """A quantile is a share beyond the number, and is planned as that; no smallest distance has its unit."""
    up, quantile = isinstance(leaf.gate.ask, AtLeast), parse_statistic(leaf.gate.statistic).quantile
    number, known = getattr(leaf.gate.ask, "value", 0.0), known._replace(assumed=found.candidate)
    values = source.scores[leaf.gate.metric].values[leaf.rows]
    within = ((values >= number) if up else (values <= number)).astype(np.float64)
    most = quantile if up else 1.0 - quantile
    shares = limits_of(within, SHARE, source, leaf.rows).shares
    if shares is None:
        planned = _exactly(known, 1.0 - float(within.mean()), most, level)
    else:
        planned = _between(known, shares, SHARE, 1.0 - most, level, up=True)
    return planned._replace(smallest=None)


def _between(known: Planned, shares: BoundedMean, scale: Scale, number: float, level: float, *, up: bool) -> Planned:
    """Say what as many groups as will be asked show of a mean between two ends, if they are like those seen."""
    limit, width = float(share_of(scale, number)), float(share_of(scale, 1.0)) - float(share_of(scale, 0.0))
    side, limit = (shares, limit) if up else (shares.mirrored(), 1.0 - limit)
    planned = side._replace(copies=max(1, known.groups) / side.sums.size)
    if planned._replace(sums=planned.weights).above(limit) > level:
        return known._replace(smallest=None, chance=0.0, hopeless=True, cases=_as_cases(known, side, limit, level))
    allowed, error = planned.mean - planned.lower(level), max(1e-12, planned.error)
    return known._replace(
        smallest=(allowed + normal_quantile(POWER) * error) / width,
        chance=0.5 * math.erfc((allowed - (side.mean - limit)) / error / math.sqrt(2.0)),
        cases=_as_cases(known, side, limit, level),
    )


def _as_cases(known: Planned, side: BoundedMean, limit: float, level: float) -> int | None:
    groups = groups_above(side, limit, level)
    return None if groups is None else math.ceil(groups * known.n / max(1, known.groups))


def _exactly(known: Planned, share: float, limit: float, level: float) -> Planned:
    """Say what cases that each stand for themselves show of a share that is to be below a limit."""
    smallest = _least_distance(limit, known.groups, level)
    return known._replace(
        smallest=smallest,
        chance=chance_below(share, limit, known.groups, level),
        cases=cases_below(share, limit, level) if share < limit else None,
        hopeless=smallest is None,
    )


def _least_distance(limit: float, n: int, level: float) -> float | None:
    """Return by how much a share has to be below a limit to be shown so with a chance of 80 %; None where none is."""
    if chance_below(0.0, limit, n, level) < POWER:
        return None
    low, high = 0.0, limit
    while high - low > PRECISE * limit:
        middle = (low + high) / 2.0
        low, high = (middle, high) if chance_below(middle, limit, n, level) >= POWER else (low, middle)
    return limit - low
