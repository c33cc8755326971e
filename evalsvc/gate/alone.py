"""Limits of what a version alone scores, at any confidence: of its mean or share, over cases and by group.

Of scores between two ends they are Gaffke's (:mod:`evalsvc.stats.bounded`), weighted, with groups of cases and all
repeats of one as what chance draws; of yes and no, where each case stands for itself, Clopper and Pearson's. Of others
they are those of the process behind the cases (:mod:`evalsvc.fairness.groups`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from evalsvc.fairness import groups_of_values
from evalsvc.fairness.groups import Group
from evalsvc.gate.evaluated import Evaluated, Floats, MetricScores, Rows
from evalsvc.stats.bounded import BoundedMean
from evalsvc.stats.inversion import beyond, tail_of
from evalsvc.stats.limits import exact_limit
from evalsvc.types import Estimate, Scale


class Alone(NamedTuple):
    """A mean with its limits: ``at`` a confidence, and p of being ``above`` and ``below`` a number.

    ``shares`` is the mean as a share of a scale that has two ends, by which more cases are planned.
    """

    at: Callable[[float], Estimate]
    above: Callable[[float], float]
    below: Callable[[float], float]
    shares: BoundedMean | None = None


def interval_of(scores: MetricScores, candidate: Evaluated, rows: Rows, confidence: float) -> Estimate | None:
    """Return the mean of a metric over cases with its interval; None where no case has a score."""
    values = scores.values[rows]
    if np.isnan(values).all():
        return None
    return limits_of(values, scores.spec.scale, candidate, rows).at(confidence)


def limits_of(values: Floats, scale: Scale, candidate: Evaluated, rows: Rows) -> Alone:
    """Return the mean of scores, ``[rows, repeats]``, with its limits."""
    group = groups_by(values, scale, candidate, rows, ["all"] * rows.size)[0]
    known = values[~np.isnan(values)]
    if scale.low is None or scale.high is None or not known.size:
        return _inverted(group.at)
    alone = np.unique(candidate.codes[rows]).size == rows.size and values.shape[1] == 1
    if scale.binary and alone and np.ptp(candidate.weights[rows]) == 0.0:
        return _inverted(_exactly(group.at, float(known.mean()), known.size))
    return _between(group.at, _bounded(np.asarray(share_of(scale, values)), candidate, rows), scale)


def _inverted(at: Callable[[float], Estimate]) -> Alone:
    return Alone(
        at,
        lambda number: tail_of(lambda confidence: beyond(at(confidence).low, number, 1.0)),
        lambda number: tail_of(lambda confidence: beyond(at(confidence).high, number, -1.0)),
    )


def _exactly(at: Callable[[float], Estimate], share: float, n: int) -> Callable[[float], Estimate]:
    """Clopper and Pearson's limits: a gate promises its error rate, where an estimate's holds on average."""

    def exactly(confidence: float) -> Estimate:
        tail = (1.0 - confidence) / 2.0
        low, high = exact_limit(share, n, tail), 1.0 - exact_limit(1.0 - share, n, tail)
        return replace(at(confidence), low=low, high=high, method="share, exact")

    return exactly


def share_of(scale: Scale, score: Floats | float) -> Floats | float:
    """Return where a score lies between the two ends of its scale: from 0 to 1."""
    low, high = scale.low or 0.0, scale.high or 0.0
    return (score - low) / (high - low)


def _between(at: Callable[[float], Estimate], mean: BoundedMean, scale: Scale) -> Alone:
    bottom, width = scale.low or 0.0, (scale.high or 0.0) - (scale.low or 0.0)

    def limits(confidence: float) -> Estimate:
        low, high = (bottom + width * limit for limit in mean.limits(confidence))
        return replace(at(confidence), low=low, high=high, method="mean between two ends (Gaffke)")

    return Alone(
        limits,
        lambda number: mean.above(float(share_of(scale, number))),
        lambda number: mean.below(float(share_of(scale, number))),
        mean,
    )


def _bounded(values: Floats, candidate: Evaluated, rows: Rows) -> BoundedMean:
    """Gather scores in [0, 1] by group; only the ratios of weights count."""
    shape, scored = values.shape, ~np.isnan(values)
    codes = np.broadcast_to(candidate.codes[rows][:, None], shape)[scored]
    weights = np.broadcast_to(candidate.weights[rows][:, None], shape)[scored]
    weights = weights / weights.max()
    _, places = np.unique(codes, return_inverse=True)
    return BoundedMean(
        np.bincount(places, weights * values[scored]).astype(np.float64),
        np.bincount(places, weights).astype(np.float64),
    )


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
