"""What is measured on held-out rows, with intervals by a bootstrap over groups; calibration, thresholds, suspects.

Every figure is a function of weights, a row of them for each resample: groups are drawn with replacement, and a row
counts as often as its group was drawn. So one pass over the sorted probabilities serves all resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from scipy.special import expit

from evalsvc.detection.adapter import Calibration
from evalsvc.errors import InputError
from evalsvc.fitting.values import Array, Codes, Truths

BINS = 15
"""Of the expected calibration error."""

RECALL_AT = 0.01
"""The share of false alarms at which recall is told."""

RESAMPLES, LEVEL = 1000, 0.95
_AT_ONCE = 1 << 22
_LEAST_SLOPE = 1e-3
_STEPS = 100


class Figure(msgspec.Struct, frozen=True):
    """An estimate with its interval; ``None`` where it is undefined, such as an AUROC of one class."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Outcomes(NamedTuple):
    """Held-out rows: their labels, calibrated probabilities, and what was found at the threshold."""

    labels: Truths
    probabilities: Array
    found: Truths

    def part(self, chosen: Truths) -> Outcomes:
        """Return some of the rows."""
        return Outcomes(self.labels[chosen], self.probabilities[chosen], self.found[chosen])


Measure = Callable[[Array], Array]


def figures(
    outcomes: Outcomes, groups: Codes, weights: Array | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Figure]:
    """Return every figure with a 95 % interval: percentiles of a bootstrap over groups.

    Of fewer than two groups there is no interval.
    """
    own = np.ones(len(outcomes.labels)) if weights is None else weights
    measures = measures_of(outcomes)
    values = {name: float(measure(own[None, :])[0]) for name, measure in measures.items()}
    _, codes = np.unique(groups, return_inverse=True)
    many = int(codes.max()) + 1 if len(codes) else 0
    if many < 2 or not resamples:
        return {name: Figure(_finite(value)) for name, value in values.items()}
    drawn: dict[str, list[Array]] = {name: [] for name in measures}
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // len(codes))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        counts = generator.multinomial(many, np.full(many, 1.0 / many), size)
        beside = counts[:, codes] * own
        for name, measure in measures.items():
            drawn[name].append(measure(beside))
    return {name: _figure(values[name], np.concatenate(drawn[name])) for name in measures}


def measures_of(outcomes: Outcomes) -> Mapping[str, Measure]:
    """Return the figures by name, each as a function of weights ``[resamples, rows]``; NaN where undefined."""
    ranked = _Ranked(outcomes)
    labels, found = outcomes.labels, outcomes.found

    def confusion(weights: Array) -> tuple[Array, Array, Array, Array]:
        """Return hits, false alarms, misses and the rest."""
        chosen = (labels & found, ~labels & found, labels & ~found, ~labels & ~found)
        hits, alarms, misses, rest = (weights @ one.astype(float) for one in chosen)
        return hits, alarms, misses, rest

    def precision(weights: Array) -> Array:
        hits, alarms, _, _ = confusion(weights)
        return _over(hits, hits + alarms)

    def recall(weights: Array) -> Array:
        hits, _, misses, _ = confusion(weights)
        return _over(hits, hits + misses)

    def f1(weights: Array) -> Array:
        hits, alarms, misses, _ = confusion(weights)
        return _over(2.0 * hits, 2.0 * hits + alarms + misses)

    def false_alarms(weights: Array) -> Array:
        _, alarms, _, rest = confusion(weights)
        return _over(alarms, alarms + rest)

    return {
        "auroc": ranked.auroc,
        "average_precision": ranked.average_precision,
        "recall_at_1_percent_false_alarms": ranked.recall_at_false_alarms,
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "false_alarms": false_alarms,
        "balanced_accuracy": lambda weights: (recall(weights) + 1.0 - false_alarms(weights)) / 2.0,
        "ece": _calibration_error(outcomes, _equal_width(outcomes.probabilities)),
        "ece_equal_mass": _calibration_error(outcomes, _equal_mass(outcomes.probabilities)),
        "brier": lambda weights: _over(weights @ (outcomes.probabilities - labels) ** 2, weights.sum(axis=1)),
    }


class _Ranked:
    """Rows in falling order of probability; equal ones count as one step."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._order = np.argsort(-outcomes.probabilities, kind="stable")
        ranked = outcomes.probabilities[self._order]
        self._starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.empty(0, np.intp)
        self._labels = outcomes.labels[self._order].astype(float)
        self.probabilities = ranked[self._starts]

    def steps(self, weights: Array) -> tuple[Array, Array]:
        """Return the weights with and without it at each step."""
        ordered = weights[:, self._order]
        with_it = np.add.reduceat(ordered * self._labels, self._starts, axis=1)
        return with_it, np.add.reduceat(ordered, self._starts, axis=1) - with_it

    def auroc(self, weights: Array) -> Array:
        with_it, without = self.steps(weights)
        above = np.cumsum(with_it, axis=1) - with_it / 2.0
        return _over((above * without).sum(axis=1), with_it.sum(axis=1) * without.sum(axis=1))

    def average_precision(self, weights: Array) -> Array:
        with_it, without = self.steps(weights)
        hits = np.cumsum(with_it, axis=1)
        precision = _over(hits, hits + np.cumsum(without, axis=1))
        return _over((np.nan_to_num(precision) * with_it).sum(axis=1), with_it.sum(axis=1))

    def recall_at_false_alarms(self, weights: Array) -> Array:
        with_it, without = self.steps(weights)
        alarms = _over(np.cumsum(without, axis=1), without.sum(axis=1)[:, None])
        allowed = alarms <= RECALL_AT + 1e-12
        hits = np.where(allowed, np.cumsum(with_it, axis=1), 0.0).max(axis=1)
        # Without a row of either class there is nothing to tell.
        return np.where(without.sum(axis=1) > 0.0, _over(hits, with_it.sum(axis=1)), np.nan)


class Curve(msgspec.Struct, frozen=True):
    """Points of a curve, at most some hundreds, in the order of falling thresholds."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    thresholds: tuple[float, ...]


def roc(outcomes: Outcomes, most: int = 200) -> Curve:
    """Return the share of false alarms and recall at each threshold, from (0, 0) on."""
    ranked, hits, alarms = _cumulated(outcomes)
    return _curve(np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]], np.r_[1.0, ranked], most)


def precision_recall(outcomes: Outcomes, most: int = 200) -> Curve:
    """Return recall and precision at each threshold."""
    ranked, hits, alarms = _cumulated(outcomes)
    return _curve(hits / hits[-1], hits / (hits + alarms), ranked, most)


def _cumulated(outcomes: Outcomes) -> tuple[Array, Array, Array]:
    ranked = _Ranked(outcomes)
    with_it, without = ranked.steps(np.ones((1, len(outcomes.labels))))
    return ranked.probabilities, np.cumsum(with_it[0]), np.cumsum(without[0])


def _curve(x: Array, y: Array, thresholds: Array, most: int) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).round().astype(int))
    return Curve(*(tuple(values[kept].tolist()) for values in (x, y, thresholds)))


class Bin(msgspec.Struct, frozen=True):
    """Rows of similar probability: their mean probability, the share that has what is looked for, and how many."""

    probability: float
    share: float
    rows: int


def reliability(outcomes: Outcomes) -> list[Bin]:
    """Return the bins of equal width that have rows."""
    codes = _equal_width(outcomes.probabilities)
    made = []
    for code in np.unique(codes):
        chosen = codes == code
        mean, share = float(outcomes.probabilities[chosen].mean()), float(outcomes.labels[chosen].mean())
        made.append(Bin(mean, share, int(chosen.sum())))
    return made


def _equal_width(probabilities: Array) -> Codes:
    made: Codes = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    return made


def _equal_mass(probabilities: Array) -> Codes:
    ranks = np.empty(len(probabilities), np.int64)
    ranks[np.argsort(probabilities, kind="stable")] = np.arange(len(probabilities))
    made: Codes = ranks * BINS // max(len(probabilities), 1)
    return made


def _calibration_error(outcomes: Outcomes, bins: Codes) -> Measure:
    members = np.zeros((len(bins), BINS))
    members[np.arange(len(bins)), bins] = outcomes.labels - outcomes.probabilities

    def measure(weights: Array) -> Array:
        return _over(np.abs(weights @ members).sum(axis=1), weights.sum(axis=1))

    return measure


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


def calibrated(calibration: Calibration, logits: Array) -> Array:
    """Return probabilities."""
    made: Array = np.asarray(expit(calibration.slope * logits + calibration.offset), np.float64)
    return made


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
    """Return the places of rows whose label is probably wrong, the surest first.

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


def _over(part: Array, whole: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        made: Array = np.where(whole > 0.0, part / whole, np.nan)
    return made


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(value: float, drawn: Array) -> Figure:
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or len(drawn) < 2:
        return Figure(_finite(value))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Figure(value, float(low), float(high))
