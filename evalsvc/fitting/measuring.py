"""What is measured on held-out rows, with intervals by a bootstrap over groups.

Every figure is a function of weights, a row of them for each resample: groups are drawn with replacement, and a row
counts as often as its group was drawn. So one pass over the sorted probabilities serves all resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from evalsvc.fitting.values import Array, Codes, Truths

BINS = 15
"""Of the expected calibration error."""

RECALL_AT = 0.01
"""The share of false alarms at which recall is told."""

RESAMPLES, LEVEL = 1000, 0.95
_BIASED = frozenset({"ece", "ece_equal_mass"})
"""Sums of distances, which noise makes greater: in a resample more than in the rows, and in these more than in truth.

Their intervals are the percentiles reflected at the estimate (the basic bootstrap), which undoes it.
"""
_AT_ONCE = 1 << 22
_NOTHING = 1e-12


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

    Of fewer than two groups there is no interval, nor of a figure that is the same in every resample: a share that is
    0 or 1 has the exact limit (Clopper & Pearson 1934) for as many groups.
    """
    own = np.ones(len(outcomes.labels)) if weights is None else weights
    measures = measures_of(outcomes)
    values = {name: float(measure(own[None, :])[0]) for name, measure in measures.items()}
    _, codes = np.unique(groups, return_inverse=True)
    many = int(codes.max()) + 1 if len(codes) else 0
    if outcomes.labels.all() or not outcomes.labels.any():
        # Of rows that were chosen by their label a calibration error only says which label that is.
        values |= dict.fromkeys(_BIASED, math.nan)
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
    shares = {"precision": outcomes.found, "recall": outcomes.labels, "false_alarms": ~outcomes.labels}
    return {
        name: _figure(
            values[name],
            np.concatenate(drawn[name]),
            reflected=name in _BIASED,
            groups=len(np.unique(codes[shares[name]])) if name in shares else 0,
        )
        for name in measures
    }


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


def auroc(labels: Truths, scores: Array, weights: Array) -> float | None:
    """Return how often a row with it is above one without, of any scores; None of one class."""
    return _finite(float(_Ranked(Outcomes(labels, scores, labels)).auroc(weights[None, :])[0]))


def auroc_change(labels: Truths, scores: Array, before: Array, groups: Codes, weights: Array) -> Figure:
    """Return by how much one AUROC is above another of the same rows, with its interval by a bootstrap over groups."""
    after, other = (_Ranked(Outcomes(labels, values, labels)) for values in (scores, before))
    _, codes = np.unique(groups, return_inverse=True)
    many = int(codes.max()) + 1
    counts = np.random.default_rng(0).multinomial(many, np.full(many, 1.0 / many), RESAMPLES)
    beside = np.r_[np.ones((1, many)), counts][:, codes] * weights
    value, *drawn = (after.auroc(beside) - other.auroc(beside)).tolist()
    known = np.array(drawn)[np.isfinite(drawn)]
    if not math.isfinite(value) or len(known) < 2:
        return Figure(_finite(value))
    tail = (1.0 - LEVEL) / 2.0
    low, high = (float(end) for end in np.quantile(known, [tail, 1.0 - tail]))
    return Figure(value, low, high)


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


def roc(outcomes: Outcomes, weights: Array, most: int = 200) -> Curve:
    """Return the share of false alarms and recall at each threshold, from (0, 0) on."""
    ranked, hits, alarms = _cumulated(outcomes, weights)
    return _curve(np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]], np.r_[1.0, ranked], most)


def precision_recall(outcomes: Outcomes, weights: Array, most: int = 200) -> Curve:
    """Return recall and precision at each threshold; the last precision is the share that has it."""
    ranked, hits, alarms = _cumulated(outcomes, weights)
    return _curve(hits / hits[-1], hits / (hits + alarms), ranked, most)


def _cumulated(outcomes: Outcomes, weights: Array) -> tuple[Array, Array, Array]:
    ranked = _Ranked(outcomes)
    with_it, without = ranked.steps(weights[None, :])
    return ranked.probabilities, np.cumsum(with_it[0]), np.cumsum(without[0])


def _curve(x: Array, y: Array, thresholds: Array, most: int) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).round().astype(int))
    return Curve(*(tuple(values[kept].tolist()) for values in (x, y, thresholds)))


class Bin(msgspec.Struct, frozen=True):
    """Rows of similar probability: their mean probability and the share that has it, by weight, and how many."""

    probability: float
    share: float
    rows: int


def reliability(outcomes: Outcomes, weights: Array) -> list[Bin]:
    """Return the bins of equal width that have rows."""
    codes = _equal_width(outcomes.probabilities)
    made = []
    for code in np.unique(codes):
        chosen = codes == code
        mean, share = (
            float(np.average(values[chosen], weights=weights[chosen]))
            for values in (outcomes.probabilities, outcomes.labels)
        )
        made.append(Bin(mean, share, int(chosen.sum())))
    return made


def _equal_width(probabilities: Array) -> Codes:
    made: Codes = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    return made


def _equal_mass(probabilities: Array) -> Codes:
    # Equal probabilities are in one bin, whatever order their rows have.
    ranks = np.searchsorted(np.sort(probabilities), probabilities, side="left")
    made: Codes = ranks * BINS // max(len(probabilities), 1)
    return made


def _calibration_error(outcomes: Outcomes, bins: Codes) -> Measure:
    members = np.zeros((len(bins), BINS))
    members[np.arange(len(bins)), bins] = outcomes.labels - outcomes.probabilities

    def measure(weights: Array) -> Array:
        return _over(np.abs(weights @ members).sum(axis=1), weights.sum(axis=1))

    return measure


def _over(part: Array, whole: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        made: Array = np.where(whole > 0.0, part / whole, np.nan)
    return made


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(value: float, drawn: Array, *, reflected: bool, groups: int) -> Figure:
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or len(drawn) < 2:
        return Figure(_finite(value))
    tail = (1.0 - LEVEL) / 2.0
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1.0 - tail]))
    if high - low < _NOTHING:
        if not groups or value not in (0.0, 1.0):
            return Figure(value)
        limit = tail ** (1.0 / groups)
        return Figure(value, limit, 1.0) if value else Figure(value, 0.0, 1.0 - limit)
    if reflected:
        low, high = max(0.0, min(value, 2.0 * value - high)), max(value, 2.0 * value - low)
    return Figure(value, low, high)
