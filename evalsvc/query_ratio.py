"""One metric per unit of another, such as dollars per completed task, from the raw scores of a window joined by event.

Sums that are kept by cell cannot tell how two scores of one event go together, so that this reads scores: all of them
up to :data:`MOST_SCORES` a metric, of more a random part.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from evalsvc.errors import InputError
from evalsvc.protocols import CellGroup, CellQuery, ScoreStore
from evalsvc.query import Domain, EstimateQuery, LabelledEstimate, asked_cells, domains, specs_of
from evalsvc.stats.ratio import Pair, estimate_ratio
from evalsvc.stats.strata import lay_out, sampled
from evalsvc.store.ranks import microseconds
from evalsvc.store.steps import check_names, column_of, grid
from evalsvc.types import Cell, Estimate, Score

MOST_SCORES = 100_000
"""So many scores of each metric are read at most."""

_Key = tuple[int, str, tuple[str, ...], int, str, int, str]
_Both = tuple[Score, Score]


def ratio_estimates(store: ScoreStore, query: EstimateQuery, per: str) -> list[LabelledEstimate]:
    """Return the total of a metric over the total of another, by step and group, over events that have both scores.

    Rows are named ``METRIC per OTHER``. Each pair of scorer versions has rows of its own, with the version of the
    one and the signatures of both. Where whole sessions are sampled they are clusters.

    Raises:
        UnknownMetric: when nothing in the store has one of the metrics; names the nearest.
        InputError: on a statistic, as a ratio has none, or a ``by`` that names no column.
    """
    if query.statistic != "mean":
        raise InputError(f"Expected no statistic with a metric per {per}, but got {query.statistic!r}")
    if per == query.metric:
        raise InputError(f"Expected a metric other than {per} to divide it by, as the ratio is 1")
    cells = asked_cells(store, query)
    check_names(cells)
    known = store.metrics()
    scales = [spec.scale for name in (query.metric, per) for spec in specs_of(known, name).values()]
    floor = 0.0 if all(scale.low is not None and scale.low >= 0.0 for scale in scales) else None
    joined, share = _joined(store, cells, per)
    steps = grid(cells.window, cells.step_seconds)
    members: dict[_Key, list[_Both]] = defaultdict(list)
    for both in joined:
        score, other = both
        subject = score.subject
        values = tuple(column_of(subject, name) for name in query.by)
        step = steps.step_of(microseconds(subject.occurred_at))
        versions = score.scorer_version, score.signature, other.scorer_version, other.signature
        members[(step, subject.consumer, values, *versions)].append(both)
    keys = sorted(members)
    groups = [
        CellGroup(
            steps.window(key[0]), key[1], dict(zip(query.by, key[2], strict=True)), key[3], key[4], _cells(members[key])
        )
        for key in keys
    ]
    rows = []
    for key, group, domain in zip(keys, groups, domains(store, query, groups), strict=True):
        made = _estimate(members[key], group, domain, share, cells, floor, query.confidence)
        signature = " per ".join(filter(None, dict.fromkeys((key[4], key[6]))))
        name = f"{query.metric} per {per}"
        rows.append(LabelledEstimate(name, group.consumer, group.key, group.scorer_version, signature, made))
    return rows


def _joined(store: ScoreStore, cells: CellQuery, per: str) -> tuple[list[_Both], float]:
    """Return both scores of each event, and which share of the events these are: those up to a digest."""
    asked = [cells._replace(metric=name, by=(), clusters=False) for name in (cells.metric, per)]
    read = [store.scores(one, MOST_SCORES) for one in asked]
    share = 1.0
    ends = [_digest(scores[-1]) for scores in read if len(scores) >= MOST_SCORES]
    if ends:
        read = [[score for score in scores if _digest(score) <= min(ends)] for scores in read]
        # Of the metric with most scores, whose digests ended first.
        scores, one = max(zip(read, asked, strict=True), key=lambda pair: len(pair[0]))
        total = sum(sampled(group.cells) for group in store.cells(one))
        share = min(1.0, len(scores) / total) if total else 1.0
    others: Mapping[tuple[str, str], list[Score]] = defaultdict(list)
    for other in read[1]:
        others[other.subject.consumer, other.subject.event_id].append(other)
    return [
        (score, other)
        for score in read[0]
        for other in others.get((score.subject.consumer, score.subject.event_id), ())
    ], share


def _digest(score: Score) -> bytes:
    return hashlib.md5(score.subject.event_id.encode(), usedforsecurity=False).digest()


def _pi(both: _Both) -> float:
    # Nested rates take the lowest draws of one number, so that the rarer of two scorers has what the other has.
    return min(score.pi for score in both)


def _cells(members: Sequence[_Both]) -> list[Cell]:
    """Return how many events were drawn from each stratum, which tells where more may hide."""
    counts: dict[tuple[str, int, float], int] = defaultdict(int)
    for both in members:
        subject = both[0].subject
        counts[subject.stratum, subject.design_version, _pi(both)] += 1
    return [Cell(*key, n, 0, 0, 0.0, 0.0) for key, n in sorted(counts.items())]


def _estimate(
    members: Sequence[_Both],
    group: CellGroup,
    domain: Domain,
    share: float,
    cells: CellQuery,
    floor: float | None,
    confidence: float,
) -> Estimate:
    hidden = lay_out(group.cells, None, domain.rates, confidence, domain.untaken).hidden
    pairs, gone = [], []
    for both in members:
        score, other = both
        if score.value is None or other.value is None:
            gone.append(1.0 / _pi(both))
            continue
        cluster = score.subject.session_id if cells.clusters else ""
        pairs.append(Pair(score.value, other.value, _pi(both) * share, cluster))
    estimate = estimate_ratio(
        pairs,
        group.window,
        floor=floor,
        hidden=math.fsum(hidden),
        n_missing=len(gone),
        missing_share=math.fsum(gone) / math.fsum(1.0 / _pi(both) for both in members),
        confidence=confidence,
    )
    notes = [estimate.reason] if estimate.reason else []
    if gone:
        notes.append(f"{len(gone):,} events without a value of one of the two left out, as if like the others")
    if share < 1.0:
        notes.append(f"from a random {share:.1%} of the scores: no more are read at once")
    if estimate.low is not None and estimate.low == estimate.high and not notes:
        notes = ["every event taken: no sampling error, though other events may differ"]
    return msgspec.structs.replace(estimate, reason="; ".join(notes))
