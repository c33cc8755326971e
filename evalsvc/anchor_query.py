"""What a frozen anchor set says of its scorers: whether the scorer moved between two windows, or within one.

Anchor scores are stored as scores of a metric of their own, ``anchor:METRIC``, which no scorer may have and no spec
names: what asks for live traffic asks for another metric, and cannot meet them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Scale, Window
from evalsvc.windows import align

PREFIX = "anchor:"
CASE, DIGEST = "case", "digest"
HOUR = 3600
LOOK_BACK = timedelta(days=31)
"""How long before a window the last run is looked for where the window has none."""
OPEN = Scale(None, None, "neither")
"""The scale of scores whose scorer was never recorded."""

Identity = tuple[str, int, str]
"""Consumer, scorer version, signature."""
CaseKey = tuple[str, str]
"""A case's name and the digest of what was scored: another text under the same name is another case."""


class Live(NamedTuple):
    """How far the live mean moved, with limits at the confidence asked for; ``None`` where ``reason`` says why."""

    difference: float | None
    low: float | None
    high: float | None
    reason: str = ""


class ScorerShift(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one scorer on unchanged cases, and of the live mean without it; in the score's unit.

    ``scorer`` is the mean change of the ``n`` cases scored in both windows, with the interval of a paired comparison;
    ``system`` is the change ``live`` of the live mean less that, with its interval, ``None`` where live means cannot be
    compared.
    ``before`` and ``after`` are the first and last hours whose runs were used. ``versions`` names two versions or
    signatures of the scorer where the windows have different ones. Undefined is ``None``, and ``reason`` says why.
    """

    metric: str
    consumer: str
    n: int
    before: datetime
    after: datetime
    confidence: float
    scorer: float | None = None
    scorer_low: float | None = None
    scorer_high: float | None = None
    system: float | None = None
    system_low: float | None = None
    system_high: float | None = None
    live: float | None = None
    versions: str = ""
    method: str = ""
    reason: str = ""

    @property
    def moved(self) -> bool | None:
        """Whether the scorer's interval leaves 0 out; ``None`` where it is undefined."""
        return _leaves_out_zero(self.scorer_low, self.scorer_high)

    @property
    def system_moved(self) -> bool | None:
        """Whether the rest's interval leaves 0 out; ``None`` where it is undefined."""
        return _leaves_out_zero(self.system_low, self.system_high)


def _leaves_out_zero(low: float | None, high: float | None) -> bool | None:
    return None if low is None or high is None else low > 0.0 or high < 0.0


class _Runs(NamedTuple):
    """Mean scores of cases over the runs of some hours."""

    first: datetime
    last: datetime
    cases: Mapping[CaseKey, float]


def with_anchors(store: ScoreStore, metrics: Iterable[str], window: Window) -> list[str]:
    """Return those of the metrics, each once, whose anchors were scored in a window; the store is asked once."""
    whole, wanted = align(window, HOUR), list(dict.fromkeys(metrics))
    query = CellQuery("", whole, int(whole.seconds))
    held = store.cells_by_metric([PREFIX + metric for metric in wanted], query) if wanted else {}
    return [metric for metric in wanted if held[PREFIX + metric]]


def shifts(
    store: ScoreStore,
    metric: str,
    baseline: Window,
    current: Window,
    live: Mapping[Identity, Live] | None = None,
    confidence: float = 0.95,
) -> dict[Identity, ScorerShift]:
    """Return what became of a metric's scorers between two windows, by the identity that scored the current one.

    A window's runs are pooled by case; of a scorer that has none there, the last run in the 31 days before counts, but
    for the current window only where its consumer has no run of another version there. A scorer that the baseline has
    no runs of is compared with the consumer's version before it. A consumer without runs for one of the two windows
    has a shift that says so.
    """
    old, (now, stale) = _runs(store, metric, baseline), _held(store, metric, current)
    scales = _scales(store, metric)
    consumers = {identity[0] for identity in now}
    now = {**{identity: runs for identity, runs in stale.items() if identity[0] not in consumers}, **now}
    found = {}
    for identity, runs in now.items():
        before = identity if identity in old else _version_before(old, identity)
        if before is None:
            reason = "the anchors were not scored in the baseline, nor in the 31 days before it"
            found[identity] = _unknown(metric, identity, runs, confidence, reason)
            continue
        scale = scales.get(identity[1:], OPEN)
        moved = (live or {}).get(identity)
        found[identity] = _shift(metric, scale, identity, before, old[before], runs, moved, confidence)
    answered = {identity[0] for identity in now}
    reason = "the anchors were not scored in the current window, nor in the 31 days before it"
    gone = {identity: runs for identity, runs in old.items() if identity[0] not in answered}
    return found | {identity: _unknown(metric, identity, gone[identity], confidence, reason) for identity in gone}


def shifts_within(
    store: ScoreStore, metric: str, window: Window, confidence: float = 0.95
) -> dict[Identity, ScorerShift]:
    """Return what became of a metric's scorers from the last run before a window, else its first, to its last run."""
    whole = align(window, HOUR)
    if not with_anchors(store, [metric], Window(whole.start - LOOK_BACK, whole.end)):
        return {}
    found, scales = {}, _scales(store, metric)
    before = _hourly(store, metric, Window(whole.start - LOOK_BACK, whole.start))
    for identity, hours in _hourly(store, metric, whole).items():
        earlier = {**hours, **before.get(identity, {})}
        first = max(before[identity]) if identity in before else min(hours)
        last = max(hours)
        if first < last:
            old, now = _Runs(first, first, earlier[first]), _Runs(last, last, hours[last])
            scale = scales.get(identity[1:], OPEN)
            found[identity] = _shift(metric, scale, identity, identity, old, now, None, confidence)
    return found


def _version_before(held: Mapping[Identity, _Runs], identity: Identity) -> Identity | None:
    same = [other for other in held if other[0] == identity[0]]
    return max(same, key=lambda other: (held[other].last, other), default=None)


def _shift(
    metric: str,
    scale: Scale,
    identity: Identity,
    before: Identity,
    old: _Runs,
    now: _Runs,
    live: Live | None,
    confidence: float,
) -> ScorerShift:
    both = sorted(old.cases.keys() & now.cases.keys())
    base = ScorerShift(
        metric=metric,
        consumer=identity[0],
        n=len(both),
        before=old.first,
        after=now.last,
        confidence=confidence,
        versions="" if before == identity else f"{_version(before)} → {_version(identity)}",
        live=live.difference if live else None,
    )
    if before == identity and old.first <= now.last and now.first <= old.last:
        return msgspec.structs.replace(base, reason="the anchors were not scored again since the baseline")
    if not both:
        return msgspec.structs.replace(base, reason="no case was scored in both windows; were the anchors changed?")
    # Imported here, since it loads numpy, which a question without anchors does not need.
    from evalsvc.drift.attribution import Change, attribute

    scores = [[runs.cases[case] for case in both] for runs in (old, now)]
    change, limits = None, ""
    if live is not None:
        limits = live.reason or "the live change has no limits"
        if live.difference is not None and live.low is not None and live.high is not None:
            change, limits = Change(live.difference, live.low, live.high), ""
    found = attribute(scores[0], scores[1], _holding(scale, *scores), change, confidence)
    if found.scorer is None:
        return msgspec.structs.replace(base, reason=found.reason)
    moved = msgspec.structs.replace(
        base,
        scorer=found.scorer.value,
        scorer_low=found.scorer.low,
        scorer_high=found.scorer.high,
        method=found.method,
        reason="; ".join(filter(None, [found.reason, limits])),
    )
    if found.system is None:
        return moved
    return msgspec.structs.replace(
        moved, system=found.system.value, system_low=found.system.low, system_high=found.system.high
    )


def _scales(store: ScoreStore, metric: str) -> dict[tuple[int, str], Scale]:
    return {(spec.version, spec.signature): spec.scale for spec in store.metrics() if spec.metric == metric}


def _holding(scale: Scale, *scores: Sequence[float]) -> Scale:
    """Return the scale without the ends that stored scores cross: a former version's scores may lie elsewhere."""
    low, high = min(map(min, scores)), max(map(max, scores))
    crossed = scale.low is not None and low < scale.low, scale.high is not None and high > scale.high
    if not any(crossed):
        return scale
    ends = [None if past else end for past, end in zip(crossed, (scale.low, scale.high), strict=True)]
    return Scale(ends[0], ends[1], scale.better, scale.unit)


def _unknown(metric: str, identity: Identity, runs: _Runs, confidence: float, reason: str) -> ScorerShift:
    """Return the shift of a scorer of which there are runs for one window only."""
    return ScorerShift(
        metric=metric,
        consumer=identity[0],
        n=0,
        before=runs.first,
        after=runs.last,
        confidence=confidence,
        reason=reason,
    )


def _version(identity: Identity) -> str:
    return f"v{identity[1]} {identity[2]}".rstrip()


def _runs(store: ScoreStore, metric: str, window: Window) -> dict[Identity, _Runs]:
    """Return the runs of each scorer in a window, pooled; of one that has none there, the last before."""
    within, earlier = _held(store, metric, window)
    return {**earlier, **within}


def _held(store: ScoreStore, metric: str, window: Window) -> tuple[dict[Identity, _Runs], dict[Identity, _Runs]]:
    """Return each scorer's runs in a window, pooled, and the last one before of each that has some before."""
    whole = align(window, HOUR)
    within: dict[Identity, _Runs] = {}
    earlier: dict[Identity, _Runs] = {}
    for identity, hours in _hourly(store, metric, Window(whole.start - LOOK_BACK, whole.end)).items():
        inside = {hour: cases for hour, cases in hours.items() if hour >= whole.start}
        before = max((hour for hour in hours if hour < whole.start), default=None)
        if inside:
            within[identity] = _pooled(inside)
        if before is not None:
            earlier[identity] = _pooled({before: hours[before]})
    return within, earlier


def _pooled(hours: Mapping[datetime, Mapping[CaseKey, float]]) -> _Runs:
    scores: dict[CaseKey, list[float]] = defaultdict(list)
    for cases in hours.values():
        for case, score in cases.items():
            scores[case].append(score)
    return _Runs(min(hours), max(hours), {case: sum(held) / len(held) for case, held in scores.items()})


def _hourly(store: ScoreStore, metric: str, window: Window) -> dict[Identity, dict[datetime, dict[CaseKey, float]]]:
    """Return the mean score of every case by hour; what has no value is left out."""
    found: dict[Identity, dict[datetime, dict[CaseKey, float]]] = defaultdict(lambda: defaultdict(dict))
    names = (f"segments.{CASE}", f"segments.{DIGEST}")
    for group in store.cells(CellQuery(PREFIX + metric, window, HOUR, by=names)):
        n = sum(cell.n for cell in group.cells)
        if n:
            identity = group.consumer, group.scorer_version, group.signature
            case = group.key[names[0]], group.key[names[1]]
            found[identity][group.window.start][case] = sum(cell.total for cell in group.cells) / n
    return {identity: dict(hours) for identity, hours in found.items()}
