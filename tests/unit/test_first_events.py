"""Of too many events the first by MD5: whole ones, counted after other identities' scores are left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evalsvc import drift_examples
from evalsvc._first_events import digest, first_events
from evalsvc.drift_query import Drift
from evalsvc.protocols import CellQuery
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Score, Subject, Window, WriteBatch

START = datetime(2026, 3, 16, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=12))
QUERY = CellQuery("topic", WINDOW, int(WINDOW.seconds))
ONE = {("quality", 1, "")}


def filled(events: int, versions: int) -> MemoryStore:
    subjects = [
        Subject(str(n), START + timedelta(seconds=n), "quality", "support", "m", "1", {}, "", "all", 1)
        for n in range(events)
    ]
    scores = [
        Score(subject, "topic", version, "", 0.5, "ok", 1.0, statistics=(1.0, 0.0))
        for subject in subjects
        for version in range(1, versions + 1)
    ]
    store = MemoryStore()
    store.write(WriteBatch(scores=tuple(scores)))
    return store


@pytest.mark.parametrize(
    ("events", "versions", "events_read"),
    [
        pytest.param(40, 1, 40, id="as many as are read are all"),
        pytest.param(41, 1, 40, id="one more, and one is left out"),
        pytest.param(1000, 2, 40, id="another version takes no room"),
        pytest.param(1000, 7, 22, id="many versions leave fewer, as reading ends"),
    ],
)
def test_the_first_events_of_an_identity(events, versions, events_read):
    store = filled(events, versions)
    found = first_events(store, QUERY, ONE, 40)
    ordered = [score for score in store.scores(QUERY, 10**6) if score.scorer_version == 1]
    assert found.scores == ordered[:events_read]
    assert found.end == (None if events == 40 else digest(ordered[events_read]))


def test_an_event_has_all_of_its_scores_or_none():
    found = first_events(filled(100, 3), QUERY, {("quality", version, "") for version in (1, 2, 3)}, 10)
    counts = {score.subject.event_id: 0 for score in found.scores}
    for score in found.scores:
        counts[score.subject.event_id] += 1
    assert set(counts.values()) == {3}
    assert len(counts) == 10


def test_clustered_texts_are_counted_after_another_version_is_left_out(monkeypatch):
    monkeypatch.setattr(drift_examples, "MOST_TEXTS", 30)
    row = Drift(
        metric="topic", watched="topics", side="input", consumer="quality", scorer_version=1, signature="",
        baseline=WINDOW, current=WINDOW,
    )  # fmt: skip
    assert len(drift_examples._scores(filled(100, 2), row, WINDOW, {})) == 30
