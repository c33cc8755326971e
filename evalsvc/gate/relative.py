"""Margins that are a share of the baseline's value: "c >= (1 - m)·b" is asked as "c - (1 - m)·b is not below 0".

The limits of the relative change are the r for which no test refuses c = (1 + r)·b (Fieller 1954), so that they agree
with the tests. Where the scale has two ends a cluster more that goes against the claim is counted, as half a case is in
other score intervals: changes that are rare and large may not have been met, and t alone passes a version that is worse
by the margin far too often (``benchmarks/gates.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evalsvc.gate.evaluated import Floats, Rows
from evalsvc.gate.sides import Sides, by_case
from evalsvc.stats import Question, compare_paired
from evalsvc.stats.comparison import Comparison
from evalsvc.stats.paired import SPARSE, unmet_clusters
from evalsvc.stats.paired_ratio import change_limits
from evalsvc.types import Better, Scale

PULL = 1.25
"""Clusters that go from end to end against a claim on yes and no, or where hardly any differs: the fewest quarters
with which no row of ``benchmarks/gates.py`` is above 5 %."""

NO_SHARE = (
    "the baseline's value is not above 0, so that no share of it is a margin; write the margin in the metric's unit, "
    "without %"
)


class Asking(NamedTuple):
    """Both sides with the weight and the group of each case, and at which level of which seed they are asked about."""

    sides: Sides
    weights: Floats
    groups: Rows
    level: float
    seed: int


class Relative(NamedTuple):
    """A relative change, its limits at 1 - 2·level, and one-sided p-values; ``claim`` is the comparison behind PASS."""

    n: int
    n_clusters: int
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_pass: float | None = None
    p_fail: float | None = None
    test: str = ""
    reason: str = ""
    claim: Comparison | None = None


class _Pull(NamedTuple):
    """What a cluster more scores when it goes down or up, as (baseline, candidate), and as how many it counts."""

    down: tuple[float, float] | None
    up: tuple[float, float] | None
    clusters: float


class _Whole(NamedTuple):
    """Complete cases; ``pull`` is None where no cluster is added."""

    old: Floats
    new: Floats
    weights: Floats
    groups: Rows
    pull: _Pull | None


def relative_change(asking: Asking, margin: float, *, limits: bool = True) -> Relative:
    """Return what is known of "not worse by a share ``margin`` of the baseline", in (0, 1) where higher is better."""
    whole = _whole(asking)
    known = Relative(int(whole.old.size), np.unique(whole.groups).size)
    if not whole.old.size:
        return known._replace(reason="no case was scored under both versions")
    old, new = (float(np.average(values, weights=whole.weights)) for values in (whole.old, whole.new))
    known = known._replace(baseline=old, candidate=new)
    if old <= 0.0:
        return known._replace(reason=NO_SHARE)
    lower = asking.sides.scale.better == "lower"
    factor, better = 1.0 + margin if lower else 1.0 - margin, asking.sides.scale.better
    claim = _tested(asking, whole, factor, better, down=not lower)
    opposite = _tested(asking, whole, factor, better, down=lower)
    low, high = _limits(asking, whole, new / old - 1.0) if limits and claim.p_value is not None else (None, None)
    return known._replace(
        difference=new / old - 1.0,
        low=low,
        high=high,
        p_pass=claim.p_value,
        p_fail=opposite.p_opposite,
        test=claim.test,
        reason=claim.reason,
        claim=claim,
    )


def _whole(asking: Asking) -> _Whole:
    keep, sides = asking.sides.whole, asking.sides
    old, new = by_case(sides.baseline)[keep], by_case(sides.candidate)[keep]
    weights, groups = asking.weights[keep], asking.groups[keep]
    differing = int(np.unique(groups[old != new]).size)
    return _Whole(old, new, weights, groups, _pull_of(asking, old, weights, differing))


def _pull_of(asking: Asking, old: Floats, weights: Floats, differing: int) -> _Pull | None:
    """Return what is counted against a claim: either claim on yes and no, else that of being no worse."""
    scale = asking.sides.scale
    low, high = scale.low, scale.high
    if low is None or high is None or not old.size:
        return None
    if scale.binary or asking.sides.averaged or differing < SPARSE:
        return _Pull((high, low), (low, high), PULL)
    mean, clusters = float(np.average(old, weights=weights)), unmet_clusters(asking.level)
    if scale.better == "lower":
        return _Pull(None, (mean, high), clusters)
    return _Pull((mean, low), None, clusters)


def _pulled(whole: _Whole, *, down: bool) -> _Whole:
    """Return the cases with a cluster more that pulls the difference down or up, where the scale has two ends."""
    scores = whole.pull and (whole.pull.down if down else whole.pull.up)
    if whole.pull is None or scores is None:
        return whole
    weight = whole.pull.clusters * whole.weights.sum() / np.unique(whole.groups).size
    return whole._replace(
        old=np.append(whole.old, scores[0]),
        new=np.append(whole.new, scores[1]),
        weights=np.append(whole.weights, weight),
        groups=np.append(whole.groups, whole.groups.max() + 1),
    )


def _tested(asking: Asking, whole: _Whole, factor: float, better: Better, *, down: bool) -> Comparison:
    """Compare c with factor·b."""
    cases = _pulled(whole, down=down)
    return compare_paired(
        cases.old * factor,
        cases.new,
        Scale(None, None, better, asking.sides.scale.unit),
        clusters=cases.groups,
        weights=cases.weights,
        question=Question("non-inferiority", 0.0, asking.level),
        seed=asking.seed,
    )


def _limits(asking: Asking, whole: _Whole, seen: float) -> tuple[float | None, float | None]:
    """Return the relative changes r that no test of "c = (1 + r)·b" refuses."""
    low, high = (
        change_limits(
            cases.old,
            cases.new,
            clusters=cases.groups,
            weights=cases.weights,
            seen=seen,
            confidence=1.0 - 2.0 * asking.level,
            seed=asking.seed,
        )[side]
        for side, cases in enumerate((_pulled(whole, down=True), _pulled(whole, down=False)))
    )
    return low, high
