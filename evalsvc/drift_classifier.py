"""Can a classifier tell two windows' texts apart? From stored features of single events, on request, never texts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from evalsvc._first_events import first_events
from evalsvc.drift import DriftTest, Vectors, compare_by_classifier
from evalsvc.drift_query import HOUR, Drift
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Window

WATCHED = "single texts"
MOST_TEXTS = 1_000
"""How many texts of a window are read: those whose event ids' digests come first, which is a random part."""
_ROUGH, _FINE = 199, 999
_UNLIKELY = 0.01


def told_apart(store: ScoreStore, row: Drift, where: Mapping[str, tuple[str, ...]], confidence: float) -> Drift:
    """Return a row of how well a classifier tells apart the texts that ``row`` compares by their mean features.

    Whole hours change windows in its permutations, as texts of an hour may be alike. 199 permutations are made, and
    999 where those say that chance is unlikely: of many things watched, a p-value of 1/200 would not stand alone.
    (Neither number is reached by chance more often than it says, so nor is the one that is taken.)
    """
    old, now = (_vectors(store, row, window, where) for window in (row.baseline, row.current))
    test = compare_by_classifier(old, now, confidence=confidence, permutations=_ROUGH)
    if test.p_value is not None and test.p_value <= _UNLIKELY:
        test = compare_by_classifier(old, now, confidence=confidence, permutations=_FINE)
    return msgspec.structs.replace(
        row, watched=WATCHED, tests=(test,), change=_said(test), moved=test.moved, reason=test.reason
    )


def _vectors(store: ScoreStore, row: Drift, window: Window, where: Mapping[str, tuple[str, ...]]) -> Vectors:
    query = CellQuery(row.metric, window, int(window.seconds), where={**where, "consumer": (row.consumer,)})
    found = first_events(store, query, {(row.consumer, row.scorer_version, row.signature)}, MOST_TEXTS)
    scores = [score for score in found.scores if score.statistics]
    return Vectors(
        [score.statistics for score in scores],
        [score.pi for score in scores],
        [int(score.subject.occurred_at.timestamp()) // HOUR for score in scores],
    )


def _said(test: DriftTest) -> str:
    if test.plug_in is None or test.low is None or test.high is None:
        return ""
    return f"AUC {0.5 + test.plug_in:.2f} ({0.5 + test.low:.2f} … {0.5 + test.high:.2f})"
