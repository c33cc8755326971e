"""What anchors say of the scorers behind an answer to a query: for the command line and the HTTP API alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from evalsvc.anchor_query import LOOK_BACK, shifts_within, with_anchors
from evalsvc.protocols import ScoreStore
from evalsvc.query import EstimateQuery, LabelledEstimate
from evalsvc.types import Window

ScorerKey = tuple[str, str, int, str]
"""Metric, consumer, scorer version, signature."""


def scorer_notes(store: ScoreStore, metrics: Iterable[str], query: EstimateQuery) -> dict[ScorerKey, str]:
    """Return a sentence for each scorer of these metrics whose anchors moved in the query's window.

    The query's own metric is not looked at.
    """
    span = Window(query.window.start - LOOK_BACK, query.window.end)
    return {
        (metric, *identity): (
            f"between {shift.before:%Y-%m-%d %H:%M} and {shift.after:%Y-%m-%d %H:%M} UTC the scorer of {metric} moved "
            f"by {shift.scorer:+.3g} ({shift.scorer_low:+.3g} … {shift.scorer_high:+.3g}) on {shift.n} unchanged "
            f"anchors, so values before and after are not alike (`evalsvc drift {metric}`)"
        )
        for metric in with_anchors(store, metrics, span)
        for identity, shift in shifts_within(store, metric, query.window, query.confidence).items()
        if shift.moved
    }


def key_of(row: LabelledEstimate) -> ScorerKey:
    """Return which scorer an estimate is of."""
    return row.metric, row.consumer, row.scorer_version, row.signature


def noted(rows: Sequence[LabelledEstimate], notes: Mapping[ScorerKey, str]) -> list[LabelledEstimate]:
    """Return the rows with what the anchors say of their scorer in their ``reason``."""
    return [_noted(row, notes[key_of(row)]) if key_of(row) in notes else row for row in rows]


def _noted(row: LabelledEstimate, note: str) -> LabelledEstimate:
    reason = "; ".join(part for part in (row.estimate.reason, note) if part)
    return msgspec.structs.replace(row, estimate=msgspec.structs.replace(row.estimate, reason=reason))
