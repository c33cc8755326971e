"""Baselines from production: estimates of a suite's metrics over all traffic of a window, frozen.

They speak of the process behind all events of the window, whatever share of them was sampled, each weighted by 1/π
(:mod:`evalsvc.query`). Nothing is compared case by case with them, so that the cases of the suite have to be drawn
from such traffic (``evalsvc cases draw``) for a comparison to mean anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from evalsvc.cases.matching import why_none
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate.values import Gate, NotWorse
from evalsvc.protocols import ScoreStore
from evalsvc.query import EstimateQuery, LabelledEstimate, estimates
from evalsvc.types import Estimate, ScorerSpec, Window

CONFIDENCE = 0.95
NONE = "(none)"


class Frozen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One estimate of a metric's mean: of all traffic, or of a ``segment`` named as gates name it (``language=de``)."""

    metric: str
    estimate: Estimate
    segment: str = ""


class Production(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was frozen: the estimates of a window's traffic, of those events that ``where`` names."""

    window: Window
    estimates: tuple[Frozen, ...]
    where: Mapping[str, tuple[str, ...]] = {}

    def of(self, metric: str, segment: str) -> Estimate | None:
        """Return the estimate of a metric in a segment; None where none was frozen."""
        found = (one.estimate for one in self.estimates if (one.metric, one.segment) == (metric, segment))
        return next(found, None)


def answers(gate: Gate) -> bool:
    """Return whether a baseline from production can answer a gate: non-inferiority of a mean, by segments or not."""
    plain = isinstance(gate.ask, NotWorse) and not gate.ask.relative and gate.statistic == "mean" and not gate.where
    return plain and all(field.startswith("segments.") for field in gate.by)


def check_gates(production: Production, gates: Sequence[Gate], name: str, suite_path: str) -> None:
    """Refuse gates that compare, and that the frozen estimates cannot answer.

    Raises:
        ConfigError: naming each, with what to do.
    """
    told = []
    for gate in gates:
        if not answers(gate):
            told.append(f"{gate.name!r} asks more than `not_worse_by` of a mean, by segments or not, without `where`")
        elif not any(one.metric == gate.metric and fields_of(one.segment) == gate.by for one in production.estimates):
            told.append(f"{gate.name!r} has no estimate: freeze it again")
    if told:
        raise ConfigError(
            f"Expected gates that the baseline {name!r}, which is of production, can answer, but {'; '.join(told)}. "
            "Compare with a run instead, or freeze estimates again: evalsvc baseline from-production "
            f"{suite_path} --name {name} --since 7d --because TEXT"
        )


def fields_of(segment: str) -> tuple[str, ...]:
    """Return the fields of a segment's name.

    >>> fields_of("language=de, plan=pro"), fields_of("")
    (('segments.language', 'segments.plan'), ())
    """
    return tuple(f"segments.{part.partition('=')[0]}" for part in segment.split(", ")) if segment else ()


def freeze(
    store: ScoreStore,
    gates: Sequence[Gate],
    specs: Mapping[str, ScorerSpec],
    window: Window,
    where: Mapping[str, tuple[str, ...]],
) -> Production:
    """Return the estimates that the gates of a suite compare with.

    Args:
        store: where the scores are.
        gates: of the suite.
        specs: the suite's scorers, by metric: only their own scores are taken.
        window: event time, half-open.
        where: fields and the values that an event must have one of.

    Raises:
        UnknownMetric: the store has no score of a metric.
        InputError: no gate can be answered, or a metric's scores are missing, several consumers', or other scorers'.
    """
    asked = dict.fromkeys((gate.metric, gate.by) for gate in gates if answers(gate))
    if not asked:
        raise InputError(
            "Expected a suite with `not_worse_by` of a metric's mean, since only that can be asked of estimates of "
            "production, but it has no such gate"
        )
    found = [
        Frozen(metric, row.estimate, _segment(row.labels, by))
        for metric, by in asked
        for row in _rows(store, EstimateQuery(metric, window, max(1, int(window.seconds)), by, where), specs[metric])
    ]
    return Production(window=window, estimates=tuple(found), where=where)


def _rows(store: ScoreStore, query: EstimateQuery, spec: ScorerSpec) -> list[LabelledEstimate]:
    rows = estimates(store, query._replace(confidence=CONFIDENCE, target="process"))
    if not rows:
        told = why_none(store, [query.metric], query.window, query.where)
        told = told or "there are none in this window; take an earlier --since"
        raise InputError(f"Expected scores of {query.metric}, but {told}")
    others = {(row.scorer_version, row.signature) for row in rows} - {(spec.version, spec.signature)}
    if others:
        version, signature = min(others)
        raise InputError(
            f"Expected production's {query.metric} by version {spec.version} ({spec.signature}), by which the suite "
            f"scores, but the store has version {version} ({signature}): such numbers are not comparable. Give both "
            "the same options, or take a --since from when on production was scored so"
        )
    consumers = sorted({row.consumer for row in rows})
    if len(consumers) > 1:
        raise InputError(
            f"Expected {query.metric} of one consumer, but {', '.join(consumers)} have it; "
            f"name one: --where consumer={consumers[0]}"
        )
    return rows


def _segment(labels: Mapping[str, str], by: Sequence[str]) -> str:
    return ", ".join(f"{field.removeprefix('segments.')}={labels[field] or NONE}" for field in by)
