"""Every metric under both versions, whether or not a gate asks about it: what a reviewer compares."""

from __future__ import annotations

import numpy as np

from evalsvc.gate.absolute import interval_of
from evalsvc.gate.evaluated import Evaluated, MetricScores, Rows, places_in
from evalsvc.gate.evaluating import repeat_sd
from evalsvc.stats import Question, compare_paired
from evalsvc.verdicts import MetricSummary, Number

CONFIDENCE = 0.95


def summarise(candidate: Evaluated, baseline: Evaluated | None, seed: int = 0) -> tuple[MetricSummary, ...]:
    """Return a summary of each metric, with 95 % intervals; differences are over the cases of both versions."""
    places = places_in(baseline, candidate) if baseline is not None else None
    return tuple(_summary(name, candidate, baseline, places, seed) for name in candidate.scores)


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
        candidate=_number(scores, candidate, everything),
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
    found = compare_paired(
        old.values[places],
        new.values[rows],
        new.spec.scale,
        clusters=candidate.codes[rows].tolist(),
        weights=candidate.weights[rows].tolist(),
        question=Question("superiority", level=1.0 - CONFIDENCE),
        seed=seed,
    )
    return Number(found.difference, found.low, found.high, found.n, found.n_discarded, found.reason)
