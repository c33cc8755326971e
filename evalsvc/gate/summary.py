"""Every metric under both versions, whether or not a gate asks about it: what a reviewer compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec.structs import replace

from evalsvc.gate.alone import interval_of
from evalsvc.gate.evaluated import Evaluated, MetricScores, Rows, places_in
from evalsvc.gate.evaluating import repeat_sd
from evalsvc.gate.values import Gate
from evalsvc.stats import Question, compare_paired
from evalsvc.stats.comparison import Comparison
from evalsvc.types import Better, Scale
from evalsvc.verdicts import MetricSummary, Number, Slice

CONFIDENCE = 0.95
NO_DIRECTIONS: Mapping[str, Better] = {}
MOST_SLICES = 20
"""A field with more values than this (a customer's id) is no segment to list."""
FEWEST = 5
"""Cases below which a slice is not shown."""


def summarise(
    candidate: Evaluated, baseline: Evaluated | None, seed: int = 0, directions: Mapping[str, Better] = NO_DIRECTIONS
) -> tuple[MetricSummary, ...]:
    """Return a summary of each metric, with 95 % intervals; differences are over the cases of both versions.

    ``directions`` says which way is better of a metric that has none of its own.
    """
    places = places_in(baseline, candidate) if baseline is not None else None
    found = (_summary(name, candidate, baseline, places, seed) for name in candidate.scores)
    return tuple(
        replace(one, better=directions[one.metric]) if one.better == "neither" and one.metric in directions else one
        for one in found
    )


def directions_of(gates: Iterable[Gate]) -> dict[str, Better]:
    """Return which way gates say is better, of metrics that none contradicts another about."""
    said: dict[str, set[Better]] = {}
    for gate in gates:
        if gate.direction:
            said.setdefault(gate.metric, set()).add(gate.direction)
    return {metric: next(iter(ways)) for metric, ways in said.items() if len(ways) == 1}


def _summary(
    name: str, candidate: Evaluated, baseline: Evaluated | None, places: Rows | None, seed: int
) -> MetricSummary:
    scores = candidate.scores[name]
    everything = np.arange(len(candidate.cases), dtype=np.int64)
    old = baseline.scores.get(name) if baseline is not None else None
    comparable = old is not None and (old.spec.version, old.spec.signature) == (
        scores.spec.version,
        scores.spec.signature,
    )
    known = everything[places >= 0] if places is not None else everything[:0]
    there = baseline is not None and old is not None and places is not None and comparable and known.size > 0
    return MetricSummary(
        metric=name,
        unit=scores.spec.scale.unit,
        better=scores.spec.scale.better,
        scorer=f"{scores.spec.version}|{scores.spec.signature}",
        # Of the same cases, so that the three numbers fit.
        candidate=_number(scores, candidate, known if there else everything),
        baseline=_number(old, baseline, places[known]) if there and old and baseline and places is not None else None,
        difference=_difference(scores, old, candidate, known, places[known], seed)
        if there and old and places is not None
        else None,
        confidence=CONFIDENCE,
        repeat_sd=repeat_sd(scores),
        reasons=scores.reasons(),
    )


def _number(scores: MetricScores, version: Evaluated, rows: Rows) -> Number:
    missing = int(np.isnan(scores.values[rows]).all(axis=1).sum())
    found = interval_of(scores, version, rows, CONFIDENCE)
    if found is None:
        return Number(None, None, None, 0, missing, "no case has a score")
    return Number(found.value, found.low, found.high, int(rows.size) - missing, missing, found.reason)


def _difference(
    new: MetricScores, old: MetricScores, candidate: Evaluated, rows: Rows, places: Rows, seed: int
) -> Number:
    found = _compared(new, old, candidate, rows, places, seed)
    return Number(found.difference, found.low, found.high, found.n, found.n_discarded, found.reason)


def _compared(
    new: MetricScores, old: MetricScores, candidate: Evaluated, rows: Rows, places: Rows, seed: int
) -> Comparison:
    return compare_paired(
        old.values[places],
        new.values[rows],
        new.spec.scale,
        clusters=candidate.codes[rows],
        weights=candidate.weights[rows],
        question=Question("superiority", level=1.0 - CONFIDENCE),
        seed=seed,
    )


def slices(candidate: Evaluated, baseline: Evaluated, metrics: Mapping[str, Scale], seed: int = 0) -> tuple[Slice, ...]:
    """Return how each metric moved in every segment that the cases have, the greatest losses first.

    ``metrics`` has each one's scale, for its direction. A loss is counted in standard deviations of the metric's
    differences over all cases, so that metrics of different units can stand in one list, and within a metric the
    greater difference comes first.
    """
    places = places_in(baseline, candidate)
    known = np.flatnonzero(places >= 0)
    segments = _segments(candidate, known)
    found = []
    for metric, scale in metrics.items():
        if metric in baseline.scores:
            spread = _spread(metric, candidate, baseline, known, places[known])
            made = (
                _slice(metric, name, candidate, baseline, rows, places[rows], seed) for name, rows in segments.items()
            )
            found += [(-_loss(one, scale, spread), -one.n, one.metric, one.name, one) for one in made]
    return tuple(one for *_, one in sorted(found, key=lambda item: item[:4]))


def _segments(candidate: Evaluated, rows: Rows) -> dict[str, Rows]:
    values: dict[str, dict[str, list[int]]] = {}
    for row in rows.tolist():
        for field, value in candidate.cases[row].segments.items():
            values.setdefault(field, {}).setdefault(value, []).append(row)
    return {
        f"{field}={value}": np.array(held, dtype=np.int64)
        for field, groups in sorted(values.items())
        if 1 < len(groups) <= MOST_SLICES
        for value, held in sorted(groups.items())
        if len(held) >= FEWEST
    }


def _slice(
    metric: str, name: str, candidate: Evaluated, baseline: Evaluated, rows: Rows, places: Rows, seed: int
) -> Slice:
    new, old = candidate.scores[metric], baseline.scores[metric]
    found = _compared(new, old, candidate, rows, places, seed)
    number = Number(found.difference, found.low, found.high, found.n, found.n_discarded, found.reason)
    return Slice(
        metric=metric, name=name, n=found.n, candidate=found.candidate, baseline=found.baseline, difference=number
    )


def _spread(metric: str, candidate: Evaluated, baseline: Evaluated, rows: Rows, places: Rows) -> float:
    """Return the standard deviation of a metric's differences; 1 where they do not vary."""
    change = candidate.scores[metric].by_case[rows] - baseline.scores[metric].by_case[places]
    known = change[~np.isnan(change)]
    return (float(np.std(known)) if known.size else 0.0) or 1.0


def _loss(one: Slice, scale: Scale, spread: float) -> float:
    change = one.difference.value
    if change is None:
        return -np.inf
    loss = change if scale.better == "lower" else -change if scale.better == "higher" else abs(change)
    return loss / spread
