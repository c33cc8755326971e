"""Calibration, thresholds and suspects: what is decided from held-out logits and labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import expit

from evalsvc.detection.adapter import Calibration
from evalsvc.errors import InputError
from evalsvc.fitting.values import Array, Codes, Truths

_LEAST_SLOPE = 1e-3
_STEPS = 100
_GOOD, _FAIR, _APART = 0.85, 0.65, 0.72
"""From simulated errors in labels. Above an AUROC of 0.85, half or more of the suspects are errors where 5 % of the
labels are. With 20 % no detector gets so far, but the logits of one that is right are in two heaps."""
_LEAST_HEAP = 0.05


def platt(logits: Array, labels: Truths, groups: Codes, weights: Array | None = None) -> Calibration:
    """Return the calibration of logits: a logistic regression on Platt's targets (1999).

    The targets are a little inside of 0 and 1, by the number of groups that have each class: rows of a group are not
    so many independent ones. A slope below 0.001 becomes that, so that the order of logits stays.
    """
    if labels.all() or not labels.any():
        raise InputError("A calibration needs rows of both classes")
    own = np.ones(len(logits)) if weights is None else weights
    with_it, without = len(np.unique(groups[labels])), len(np.unique(groups[~labels]))
    targets = np.where(labels, (with_it + 1.0) / (with_it + 2.0), 1.0 / (without + 2.0))
    # Newton's steps are well scaled on standardised logits.
    centre, width = float(logits.mean()), float(logits.std()) or 1.0
    scaled = (logits - centre) / width
    slope, offset = _logistic(scaled, targets, own)
    slope = slope / width
    if slope < _LEAST_SLOPE:
        slope = _LEAST_SLOPE
        offset = _logistic(slope * logits, targets, own, fixed=True)[1]
        return Calibration(slope, offset)
    return Calibration(slope, offset - slope * centre)


def _logistic(values: Array, targets: Array, weights: Array, *, fixed: bool = False) -> tuple[float, float]:
    """Return slope and offset of the least weighted log loss; ``fixed`` keeps the slope at 1."""
    design = np.c_[values, np.ones(len(values))]
    free = np.array([1]) if fixed else np.array([0, 1])
    found = np.array([1.0 if fixed else 0.0, 0.0])

    def loss(at: Array) -> float:
        scores = design @ at
        return float(weights @ (np.logaddexp(0.0, scores) - targets * scores))

    before = loss(found)
    for _ in range(_STEPS):
        guess = expit(design @ found)
        slope = design[:, free].T @ (weights * (guess - targets))
        bend = (design[:, free].T * (weights * guess * (1.0 - guess))) @ design[:, free]
        change = np.zeros(2)
        change[free] = np.linalg.solve(bend + 1e-10 * np.eye(len(free)) * max(1.0, float(np.trace(bend))), slope)
        size = 1.0
        while (after := loss(found - size * change)) > before and size > 1e-6:
            size /= 2.0
        found, gained, before = found - size * change, before - after, min(before, after)
        if gained < 1e-12 * max(1.0, abs(before)):
            break
    return float(found[0]), float(found[1])


def threshold(
    rule: Literal["false_alarms", "cost"],
    value: float,
    probabilities: Array,
    labels: Truths,
    weights: Array | None = None,
) -> float:
    """Return the probability from which on a row counts as found.

    Args:
        rule: ``false_alarms``: the greatest recall of those thresholds that at most ``value`` of the rows without it
            reach; ``cost``: the least cost, where a miss costs ``value`` false alarms. Of several the highest.
        value: see ``rule``.
        probabilities: of held-out rows.
        labels: of the same.
        weights: how much each counts; the same for all without.
    """
    own = np.ones(len(labels)) if weights is None else weights
    order = np.argsort(-probabilities, kind="stable")
    ranked, with_it = probabilities[order], labels[order]
    alarms, hits = np.cumsum(own[order] * ~with_it), np.cumsum(own[order] * with_it)
    if rule == "false_alarms":
        too_many = alarms > value * alarms[-1] * (1.0 + 1e-12)
        if not too_many.any():
            return float(ranked[-1])
        limit = ranked[int(np.argmax(too_many))]
        above = ranked[with_it & (ranked > limit)]
        return float(above[-1] if len(above) else np.nextafter(limit, 2.0))
    # Of equal probabilities the last has all of them at or above.
    last = np.r_[ranked[1:] != ranked[:-1], True]
    costs = np.r_[value * hits[-1], (alarms + value * (hits[-1] - hits))[last]]
    return float(np.r_[np.nextafter(ranked[0], 2.0), ranked[last]][int(np.argmin(costs))])


def suspects(probabilities: Array, labels: Truths) -> Codes:
    """Return the places of rows whose label the detector disagrees with, the surest first.

    By confident learning (Northcutt et al. 2021): a row is suspect where the held-out probability of the other class
    is at least as high as it is on average of the rows that are labelled with that class, and higher than its own's.
    """
    if labels.all() or not labels.any():
        return np.empty(0, np.int64)
    with_it, without = probabilities[labels].mean(), (1.0 - probabilities[~labels]).mean()
    other = np.where(labels, 1.0 - probabilities, probabilities)
    chosen = np.flatnonzero((other >= np.where(labels, without, with_it)) & (other > 0.5))
    made: Codes = chosen[np.argsort(-other[chosen], kind="stable")]
    return made


def doubts_labels(auroc: float, logits: Array) -> bool:
    """Whether a detector is good enough for at least about half of its suspects to be wrong, where any labels are.

    Args:
        auroc: the lower limit of its held-out AUROC.
        logits: held out.
    """
    return auroc > _GOOD or (auroc > _FAIR and apart(logits) > _APART)


def apart(logits: Array) -> float:
    """Return how far values are in two heaps: the share of their variance between the best two (Otsu 1979).

    Of one normal heap it is 2/π, about 0.64. No heap has less than a twentieth of the values.

    >>> round(apart(np.array([0.0, 0.1, 5.0, 5.1])), 2), apart(np.zeros(4))
    (1.0, 0.0)
    """
    total, many = float(logits.var()), len(logits)
    if many < 2 or not total:
        return 0.0
    ranked = np.sort(logits)
    sizes = np.arange(1, many)
    sums = np.cumsum(ranked)[:-1]
    gaps = sums / sizes - (ranked.sum() - sums) / (many - sizes)
    between = gaps**2 * sizes * (many - sizes) / many**2
    edge = max(0, int(_LEAST_HEAP * many) - 1)
    return float(between[edge : many - 1 - edge].max() / total)
