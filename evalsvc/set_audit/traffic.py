"""The set beside production: which segments, languages, edge cases and topics of the traffic it has, and how many.

Traffic is cases drawn from production (``evalsvc cases draw``), each with its weight 1/(π · probability of its draw).
Its shares are weighted, and their intervals are Wilson's at the effective number of sessions, (ΣW)²/ΣW² of the
sessions' weights.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalsvc.cases.drawing import MOST_SCORES, Draw, Drawn, draw_cases
from evalsvc.cases.values import Case
from evalsvc.errors import InputError
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.set_audit.balance import LABEL
from evalsvc.set_audit.contents import EDGES, Look, topic_patterns
from evalsvc.set_audit.values import Finding, Verdict
from evalsvc.stats.limits import wilson
from evalsvc.types import Window

MATTERS = 0.01
"""A share of the traffic: what is rarer, surely, is no gap of the set."""

THIN = 0.5
"""A set that has less than this part of the traffic's share of something is thin there."""

MOST_DRAWN = 2000
Values = Sequence[frozenset[str]]


class Share(NamedTuple):
    """A weighted share of the traffic with its interval, in [0, 1]."""

    value: float
    low: float
    high: float


def draw_traffic(
    store: ScoreStore, window: Window, where: Mapping[str, tuple[str, ...]], most: int = MOST_DRAWN
) -> Drawn:
    """Draw up to ``most`` cases from a store's events of a window.

    Raises:
        InputError: no scored event matches, those of several consumers do, or none has its text any more.
    """
    asked = CellQuery("", window, int(window.seconds) or 1, where=where)
    names = sorted({spec.metric for spec in store.metrics()})
    counts = {
        name: sum(cell.n + cell.n_abstained + cell.n_failed for group in groups for cell in group.cells)
        for name, groups in store.cells_by_metric(names, asked).items()
    }
    if not any(counts.values()):
        raise InputError("Expected scored events to compare with, but none match; a longer --since looks further back")
    metric = max(names, key=lambda name: counts.get(name, 0))
    read = store.scores(asked._replace(metric=metric), MOST_SCORES)
    events = len({(score.subject.consumer, score.subject.event_id) for score in read})
    return draw_cases(store, Draw(window, min(most, events), where=where, metric=metric))


def traffic_findings(cases: Sequence[Case], traffic: Sequence[Case], own: Look, theirs: Look) -> list[Finding]:
    """Return, for each way of dividing the traffic, how far the set is from it, and what it lacks or has too little of.

    ``own`` and ``theirs`` are what :func:`evalsvc.set_audit.contents.look_at` says of the two.
    Values that the traffic has no more than :data:`MATTERS` of, by the interval's upper end, are left out.
    """
    found: list[Finding] = []
    names = {name for case in traffic for name in case.segments if not name.startswith(LABEL)}
    for name in sorted(names):
        found += _compared(f"segments.{name}", *_of_segment(cases, traffic, name), traffic, divides=True)
    found += _compared("language", _as_sets(own.languages), _as_sets(theirs.languages), traffic, divides=True)
    found += _compared("edge case", own.kinds, theirs.kinds, traffic, divides=False)
    return found + _compared("topic", own.topics, theirs.topics, traffic, divides=False)


def rare_contents(traffic: Sequence[Case], look: Look) -> frozenset[str]:
    """Return the edge cases and topics of which the traffic surely has no more than :data:`MATTERS`."""
    has = [one | other for one, other in zip(look.kinds, look.topics, strict=True)]
    return frozenset(
        name
        for name in (*EDGES, *topic_patterns())
        if share_of(traffic, [name in each for each in has]).high <= MATTERS
    )


def share_of(traffic: Sequence[Case], has: Sequence[bool]) -> Share:
    """Return the weighted share of those cases of the traffic that have something, with an interval at 95 %."""
    sessions: dict[str, float] = defaultdict(float)
    for place, case in enumerate(traffic):
        sessions[case.group or f"\0{place}"] += case.weight
    whole = math.fsum(sessions.values())
    n = whole**2 / math.fsum(weight * weight for weight in sessions.values())
    value = min(1.0, math.fsum(case.weight for case, one in zip(traffic, has, strict=True) if one) / whole)
    return Share(value, *wilson(value, n, 0.95))


def _of_segment(cases: Sequence[Case], traffic: Sequence[Case], name: str) -> tuple[Values, Values]:
    one, other = (_as_sets([case.segments.get(name, "") for case in each]) for each in (cases, traffic))
    return one, other


def _as_sets(values: Sequence[str]) -> Values:
    return [frozenset({value} if value else ()) for value in values]


def _compared(what: str, own: Values, theirs: Values, traffic: Sequence[Case], *, divides: bool) -> list[Finding]:
    """Return a finding for each value that the set lacks or is thin of, after one on them all."""
    found, distance, matter, covered = [], 0.0, 0, 0
    for value in sorted({name for each in theirs for name in each} | {name for each in own for name in each}):
        share = share_of(traffic, [value in each for each in theirs])
        count = sum(value in each for each in own)
        distance += abs(count / len(own) - share.value)
        if share.high <= MATTERS:
            continue
        matter, covered = matter + 1, covered + bool(count)
        if (finding := _of_value(f"{what}={value}" if divides else value, count, len(own), share)) is not None:
            found.append(finding)
    if not matter:
        return []
    said = f"{covered} of {matter} values that the traffic has are there"
    if divides:
        said += f"; total variation distance {distance / 2.0:.2f}"
    verdict: Verdict = "bad" if any(each.verdict == "bad" for each in found) else "look" if found else "ok"
    return [Finding(subject="traffic", what=what, value=covered / matter, said=said, verdict=verdict), *found]


def _of_value(what: str, count: int, n: int, share: Share) -> Finding | None:
    own = count / n
    # Surely there in the traffic, and surely more of it there than here.
    if share.low <= 0.0 or own >= THIN * share.low or (count and share.low < MATTERS):
        return None
    wanted = math.ceil((share.value * n - count) / max(1e-9, 1.0 - share.value))
    return Finding(
        subject="traffic",
        what=what,
        value=own,
        said=f"{count:,} of {n:,} ({own:.1%}); in the traffic {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]",
        verdict="look" if count or share.low < MATTERS else "bad",
        next=f"add {max(1, wanted):,} cases of it, to be there as often as in the traffic",
    )
