"""Clusters of texts that grew between two windows, with event ids as examples: from stored features, never texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from evalsvc._first_events import first_events
from evalsvc.drift_query import Drift, DriftQuery
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Score, Window

MOST_TEXTS = 3_000
"""How many texts of a window are clustered: those whose event ids' digests come first, which is a random part."""
_LEANS = 0.15
_LABELS = ("application", "model", "model_version")


class Leaning(msgspec.Struct, frozen=True):
    """A column's value that is more frequent in a cluster than in the rest: unweighted shares of sampled texts, 0–1."""

    field: str
    value: str
    inside: float
    outside: float


class GrownCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of text that became more frequent, as :class:`evalsvc.drift.clusters.Growth` has it, with examples.

    ``event_ids`` are current events nearest to its centre, one a session at most; ``leans`` says what sets its events
    apart, the clearest first. ``texts`` and ``texts_baseline`` say how many texts were clustered.
    """

    metric: str
    consumer: str
    before: float
    after: float
    growth: float
    low: float | None
    high: float | None
    adjusted_p: float | None
    confidence: float
    n: int
    n_baseline: int
    texts: int
    texts_baseline: int
    clusters: int
    event_ids: tuple[str, ...]
    leans: tuple[Leaning, ...]
    method: str


def grown_clusters(
    store: ScoreStore, query: DriftQuery, rows: Sequence[Drift], examples: int = 3
) -> list[GrownCluster]:
    """Return the clusters that grew, of every metric whose topics moved, most first; of ``examples`` events each."""
    found: list[GrownCluster] = []
    for row in rows:
        if row.watched == "topics" and row.moved:
            windows = [_scores(store, row, window, query.where) for window in (row.baseline, row.current)]
            found += _of_row(row, windows[0], windows[1], examples, query.confidence)
    return found


def _scores(store: ScoreStore, row: Drift, window: Window, where: Mapping[str, tuple[str, ...]]) -> list[Score]:
    query = CellQuery(row.metric, window, int(window.seconds), where={**where, "consumer": (row.consumer,)})
    found = first_events(store, query, {(row.consumer, row.scorer_version, row.signature)}, MOST_TEXTS)
    return [score for score in found.scores if score.statistics]


def _of_row(
    row: Drift, old: Sequence[Score], now: Sequence[Score], examples: int, confidence: float
) -> list[GrownCluster]:
    import numpy as np

    from evalsvc.drift.clusters import Texts, cluster_growth

    if not old or not now:
        return []
    sides = [
        Texts(
            np.array([score.statistics for score in scores]),
            np.array([score.pi for score in scores]),
            [score.subject.session_id for score in scores],
        )
        for scores in (old, now)
    ]
    found = cluster_growth(sides[0], sides[1], confidence=confidence)
    return [
        GrownCluster(
            metric=row.metric,
            consumer=row.consumer,
            before=growth.before,
            after=growth.after,
            growth=growth.growth,
            low=growth.low,
            high=growth.high,
            adjusted_p=growth.adjusted_p,
            confidence=growth.confidence,
            n=growth.n,
            n_baseline=growth.n_baseline,
            texts=len(now),
            texts_baseline=len(old),
            clusters=len(found),
            event_ids=_examples([now[place] for place in growth.members], examples),
            leans=_leans(now, frozenset(growth.members)),
            method=growth.method,
        )
        for growth in found
        if growth.grew
    ]


def _examples(scores: Sequence[Score], wanted: int) -> tuple[str, ...]:
    """Return the first events' ids, one a session, as the turns of one say the same again."""
    first: dict[str, str] = {}
    for score in scores:
        first.setdefault(score.subject.session_id or score.subject.event_id, score.subject.event_id)
    return tuple(first.values())[:wanted]


def _leans(scores: Sequence[Score], members: frozenset[int]) -> tuple[Leaning, ...]:
    """Return the values that are more frequent inside than outside, by 15 points or more, one a column."""
    counts: dict[bool, Counter[tuple[str, str]]] = {True: Counter(), False: Counter()}
    for place, score in enumerate(scores):
        subject = score.subject
        named = {name: getattr(subject, name) for name in _LABELS}
        named |= {f"segments.{name}": value for name, value in subject.segments.items()}
        counts[place in members].update(named.items())
    inside, outside = len(members), len(scores) - len(members)
    if not inside or not outside:
        return ()
    best: dict[str, Leaning] = {}
    for (field, value), n in counts[True].items():
        leaning = Leaning(field, value, n / inside, counts[False][field, value] / outside)
        if leaning.inside - leaning.outside >= _LEANS:
            held = best.get(field)
            if held is None or leaning.inside - leaning.outside > held.inside - held.outside:
                best[field] = leaning
    return tuple(sorted(best.values(), key=lambda lean: (lean.outside - lean.inside, lean.field)))
