"""Can a classifier tell two windows' texts apart? From stored features of single events, on request, never texts."""

from __future__ import annotations

from collections.abc import Mapping

from evalsvc._first_events import first_events
from evalsvc.drift import DriftTest, Vectors, compare_by_classifier
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Window

HOUR = 3600
Scorer = tuple[str, str, int, str]
"""Metric, consumer, scorer version, signature."""
MOST_TEXTS = 1_000
"""How many texts of a window are read: those whose event ids' digests come first, which is a random part."""
_ROUGH, _FINE = 199, 999
_UNLIKELY = 0.01


def told_apart(
    store: ScoreStore,
    scorer: Scorer,
    windows: tuple[Window, Window],
    where: Mapping[str, tuple[str, ...]],
    confidence: float,
) -> DriftTest:
    """Return how well a classifier tells apart the texts of two windows, by what a scorer stored of each.

    Whole hours change windows in its permutations, as texts of an hour may be alike. 199 permutations are made, and
    999 where those say that chance is unlikely: of many things watched, a p-value of 1/200 would not stand alone.
    (Neither number is reached by chance more often than it says, so nor is the one that is taken.)
    """
    old, now = (_vectors(store, scorer, window, where) for window in windows)
    test = compare_by_classifier(old, now, confidence=confidence, permutations=_ROUGH)
    if test.p_value is not None and test.p_value <= _UNLIKELY:
        test = compare_by_classifier(old, now, confidence=confidence, permutations=_FINE)
    return test


def _vectors(store: ScoreStore, scorer: Scorer, window: Window, where: Mapping[str, tuple[str, ...]]) -> Vectors:
    metric, consumer, version, signature = scorer
    query = CellQuery(metric, window, int(window.seconds), where={**where, "consumer": (consumer,)})
    found = first_events(store, query, {(consumer, version, signature)}, MOST_TEXTS)
    scores = [score for score in found.scores if score.statistics]
    return Vectors(
        [score.statistics for score in scores],
        [score.pi for score in scores],
        [int(score.subject.occurred_at.timestamp()) // HOUR for score in scores],
    )


def said(test: DriftTest) -> str:
    """Return the area under the curve for a person; empty where there is none."""
    if test.plug_in is None or test.low is None or test.high is None:
        return ""
    return f"AUC {0.5 + test.plug_in:.2f} ({0.5 + test.low:.2f} … {0.5 + test.high:.2f})"
