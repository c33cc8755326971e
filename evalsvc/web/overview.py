"""What the page shows, as values: every metric by application and version, over the whole span and step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalsvc.protocols import ScoreStore
from evalsvc.query import EstimateQuery, LabelledEstimate, estimates
from evalsvc.types import Estimate, ScorerSpec, Window

BY = ("application", "model_version")


class Row(NamedTuple):
    """One metric of one application and version: its estimate over the span, and its trend."""

    spec: ScorerSpec
    consumer: str
    application: str
    model_version: str
    estimate: Estimate
    trend: Sequence[Estimate]


def rows(store: ScoreStore, span: Window, step_seconds: int) -> list[Row]:
    """Return a row for every metric, consumer, application, version and scorer version that has scores in the span."""
    found = []
    for spec in _specs(store):
        whole = estimates(store, EstimateQuery(spec.metric, span, int(span.seconds), by=BY))
        steps = estimates(store, EstimateQuery(spec.metric, span, step_seconds, by=BY))
        for labelled in whole:
            if _is(labelled, spec) and labelled.estimate.n + labelled.estimate.n_missing:
                trend = [step.estimate for step in steps if _identity(step) == _identity(labelled)]
                labels = labelled.labels
                found.append(
                    Row(spec, labelled.consumer, labels["application"], labels["model_version"], labelled.estimate, trend)
                )
    return sorted(found, key=lambda row: (row.application, row.spec.metric, row.spec.version, row.model_version))


def _specs(store: ScoreStore) -> list[ScorerSpec]:
    return sorted(store.metrics(), key=lambda spec: (spec.metric, spec.version, spec.signature))


def _is(labelled: LabelledEstimate, spec: ScorerSpec) -> bool:
    return (labelled.scorer_version, labelled.signature) == (spec.version, spec.signature)


def _identity(labelled: LabelledEstimate) -> tuple[object, ...]:
    labels = tuple(sorted(labelled.labels.items()))
    return (labelled.consumer, labels, labelled.scorer_version, labelled.signature)
