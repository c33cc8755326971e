"""Windows without a score: rows of an answer of their own, so that a gap is seen and not skipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from evalsvc.query import EstimateQuery, LabelledEstimate
from evalsvc.types import Estimate, Window
from evalsvc.windows import steps

NOTHING = "no score in that window"


def with_gaps(rows: Sequence[LabelledEstimate], query: EstimateQuery) -> list[LabelledEstimate]:
    """Return an answer with a row for each window in which a group of it has no score, in the order of its windows.

    A group is a metric and consumer with its labels, whatever the scorer's version: the row of a gap names the one
    before it, or after where there is none. An answer without windows is returned as it is.
    """
    if query.step_seconds >= query.window.seconds or not rows:
        return list(rows)
    windows = steps(query.window, query.step_seconds)
    groups: dict[tuple[object, ...], dict[datetime, LabelledEstimate]] = defaultdict(dict)
    for row in rows:
        groups[row.metric, row.consumer, *row.labels.items()][row.estimate.window.start] = row
    made: list[LabelledEstimate] = []
    for held in groups.values():
        if len(held) == len(windows):
            continue
        last = held[min(held)]
        for window in windows:
            last = held.get(window.start, last)
            if window.start not in held:
                made.append(replace(last, estimate=_nothing(last.estimate, window), worst=None))
    if not made:
        return list(rows)
    places = {metric: place for place, metric in enumerate(dict.fromkeys(row.metric for row in rows))}
    return sorted([*rows, *made], key=lambda row: (places[row.metric], row.estimate.window.start))


def _nothing(like: Estimate, window: Window) -> Estimate:
    return Estimate(None, None, None, 0, 0.0, 0, 0.0, window, like.statistic, like.confidence, reason=NOTHING)
