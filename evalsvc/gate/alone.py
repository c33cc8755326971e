"""Limits of what a version alone scores, at any confidence: of its mean or share, over cases and by group.

They are those of the process behind the cases (:mod:`evalsvc.fairness.groups`), weighted, with groups of cases as
clusters and repeats as events of their case; of yes and no they are exact where each case stands for itself, and
careful where few groups fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec.structs import replace

from evalsvc.fairness import Group, groups_of_values
from evalsvc.gate.evaluated import Evaluated, Floats, MetricScores, Rows
from evalsvc.stats.limits import exact_limit
from evalsvc.stats.paired import SPARSE
from evalsvc.types import Estimate, Scale


def interval_of(scores: MetricScores, candidate: Evaluated, rows: Rows, confidence: float) -> Estimate | None:
    """Return the mean of a metric over cases with its interval; None where no case has a score."""
    values = scores.values[rows]
    if np.isnan(values).all():
        return None
    return limits_of(values, scores.spec.scale, candidate, rows)(confidence)


def limits_of(values: Floats, scale: Scale, candidate: Evaluated, rows: Rows) -> Callable[[float], Estimate]:
    """Return the mean of scores, ``[rows, repeats]``, with its limits at a confidence."""
    group = groups_by(values, scale, candidate, rows, ["all"] * rows.size)[0]
    known = values[~np.isnan(values)]
    if not scale.binary or not known.size:
        return group.at
    alone = np.unique(candidate.codes[rows]).size == rows.size and values.shape[1] == 1
    if not alone:
        return _as_wholes(group.at, values, candidate, rows)
    if np.ptp(candidate.weights[rows]) != 0.0:
        return group.at
    share, n = float(known.mean()), known.size

    def exactly(confidence: float) -> Estimate:
        """Clopper and Pearson's limits: a gate promises its error rate, where an estimate's holds on average."""
        return _exact(group.at(confidence), share, n, confidence, "share, exact")

    return exactly


def _as_wholes(
    at: Callable[[float], Estimate], values: Floats, candidate: Evaluated, rows: Rows
) -> Callable[[float], Estimate]:
    """Let a limit beyond which lie what few groups had take groups to fail, or to succeed, as a whole.

    How far the answers of a group go together is not to be told from fewer than :data:`~evalsvc.stats.paired.SPARSE`.
    """
    codes = np.repeat(candidate.codes[rows][:, None], values.shape[1], axis=1)
    few = [np.unique(codes[values == end]).size < SPARSE for end in (0.0, 1.0)]
    if not any(few):
        return at
    groups = counting_groups(candidate, rows, values)

    def wider(confidence: float) -> Estimate:
        found = at(confidence)
        if found.value is None or found.low is None or found.high is None:
            return found
        whole = _exact(found, found.value, groups, confidence, f"{found.method}, groups as a whole")
        low = min(found.low, whole.low or 0.0) if few[0] else found.low
        high = max(found.high, 1.0 if whole.high is None else whole.high) if few[1] else found.high
        return replace(whole, low=low, high=high)

    return wider


def _exact(found: Estimate, share: float, n: float, confidence: float, method: str) -> Estimate:
    tail = (1.0 - confidence) / 2.0
    low, high = exact_limit(share, n, tail), 1.0 - exact_limit(1.0 - share, n, tail)
    return replace(found, low=low, high=high, method=method)


def groups_by(values: Floats, scale: Scale, candidate: Evaluated, rows: Rows, labels: Sequence[str]) -> list[Group]:
    """Return groups of cases by label: each repeat is an event, and a case's repeats are of one cluster."""
    repeats = values.shape[1]
    weights = candidate.weights[rows]
    clusters = candidate.codes[rows]
    alone = repeats == 1 and np.unique(clusters).size == clusters.size
    return groups_of_values(
        values.reshape(-1),
        np.repeat(np.asarray(labels, dtype=np.str_), repeats),
        scale,
        pi=np.repeat(weights.min() / weights, repeats),
        clusters=None if alone else np.repeat(clusters, repeats),
    )


def counting_groups(candidate: Evaluated, rows: Rows, values: Floats) -> float:
    """Return how many groups of equal weight tell as much as those of the scored cases (Kish): (Σw)²/Σw²."""
    some = rows[(~np.isnan(values)).any(axis=1)]
    held = np.bincount(np.unique(candidate.codes[some], return_inverse=True)[1], weights=candidate.weights[some])
    return float(held.sum() ** 2 / (held**2).sum()) if held.size else 0.0
