"""Cases drawn from production: masked events of the store, each with the weight that undoes how it was chosen.

An event that production sampled with π and that is drawn with probability p stands for 1/(π·p) interactions. Cases are
drawn without replacement, equally often from each stratum (Cochran, 1977, *Sampling Techniques*, 5.2), in the order of
a hash of seed and event id: the same seed draws the same cases from the same store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc.cases._pool import WORST, Pool, Reference
from evalsvc.cases.matching import absent_field, value_of, why_none
from evalsvc.cases.values import Case
from evalsvc.errors import InputError, UnknownMetric
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Score, ScorerSpec, Subject, Window

MOST_SCORES = 50_000
"""How many scored events are drawn from at most: of more, a random part, the same one every time."""

_LABELS = ("application", "model", "model_version")


class Draw(NamedTuple):
    """What to draw.

    Attributes:
        window: events that occurred in it.
        n: how many cases.
        where: field to the values of which an event has to have one, as in ``{"segments.language": ("de",)}``.
        by: fields (application, model, model_version, segments.NAME) whose combinations are strata of equal size.
        metric: whose scores say which events there are; the one with most scores where empty.
        worst: how many of the ``n`` are those with the worst values of ``metric``, taken for certain; only by the
            latest version and options of its scorer, whose numbers can be compared.
        reference: whose text is the case's reference: the event's ``own``, or its ``response``.
        seed: another one draws others.
    """

    window: Window
    n: int
    where: Mapping[str, tuple[str, ...]] = {}
    by: tuple[str, ...] = ()
    metric: str = ""
    worst: int = 0
    reference: Reference = "own"
    seed: int = 0


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The cases, and what they were drawn from.

    ``weight`` of a case is proportional to 1/(π · probability of its draw), with mean 1. They stand for the traffic
    whose text is still kept.

    Attributes:
        cases: in the order of their strata, the worst first.
        metric: whose scores were read.
        events: how many scored events there were to draw from.
        complete: whether these were all; otherwise they are a random part.
        looked: how many of them were looked at.
        without_text: of these, how many had no text left, since events are kept for a shorter time than scores.
        without_prompt: of these, how many had a text but no prompt.
        merged: how many said the same as another one. They are one case of their common weight, told by one of them,
            drawn by weight: its id, segments and group are the case's.
        strata: cases by stratum, as in ``{"segments.language=de": 20}``; of fewer than wished, texts have run out, or
            others ask the same.
    """

    cases: tuple[Case, ...]
    metric: str
    events: int
    complete: bool
    looked: int
    without_text: int
    without_prompt: int
    merged: int
    strata: Mapping[str, int]


def draw_cases(store: ScoreStore, draw: Draw) -> Drawn:
    """Draw cases from the masked events of a store.

    Raises:
        InputError: nothing matches; scores are of several consumers, whose samples overlap; a metric without a better
            direction has no worst; there are more strata than cases; or no event has its text any more.
        UnknownMetric: the store has no such metric.
    """
    _check(draw)
    spec = _spec(store, draw)
    query = CellQuery(spec.metric, draw.window, int(draw.window.seconds) or 1, where=draw.where)
    read = store.scores(query, MOST_SCORES + 1)
    frame = _one_each(read[:MOST_SCORES])
    if not frame:
        raise _none_match(store, [spec.metric], draw)
    complete = len(read) <= MOST_SCORES
    _check_frame(frame, draw, complete)
    worst = _worst(frame, _specs(store, spec.metric), draw)
    taken = {score.subject.event_id for score in worst}
    pool = Pool(store, reference=draw.reference, seed=draw.seed)
    if worst:
        pool.take(WORST, worst, len(worst), certain=True)
    strata = _strata([score for score in frame if score.subject.event_id not in taken], draw)
    for name, size in _sizes({name: len(scores) for name, scores in strata.items()}, draw.n - len(worst)).items():
        pool.take(name, strata[name], size, certain=False)
    cases = pool.finish()
    return Drawn(
        cases=cases,
        metric=spec.metric,
        events=len(frame),
        complete=complete,
        looked=pool.looked,
        without_text=pool.without_text,
        without_prompt=pool.without_prompt,
        merged=pool.merged,
        strata=pool.strata,
    )


def _check(draw: Draw) -> None:
    if draw.n < 1:
        raise InputError(f"Expected `n` to be 1 or more, but got {draw.n}")
    if not 0 <= draw.worst <= draw.n:
        raise InputError(f"Expected `worst` from 0 to `n` ({draw.n}), but got {draw.worst}")
    if draw.worst and not draw.metric:
        raise InputError("Expected a `metric` with `worst`: by which one?")
    for name in draw.by:
        if name not in _LABELS and not (name.startswith("segments.") and name != "segments."):
            hint = did_you_mean(name, (*_LABELS, "segments.NAME"))
            raise InputError(f"Expected `by` to name a field of events, but got {name!r} ({hint})")


def _spec(store: ScoreStore, draw: Draw) -> ScorerSpec:
    """Return the latest spec of the metric, or of the one with most scores."""
    specs = {spec.metric: spec for spec in sorted(store.metrics(), key=lambda spec: spec.version)}
    if draw.metric:
        if draw.metric not in specs:
            raise UnknownMetric(f"The store has no metric {draw.metric!r} ({did_you_mean(draw.metric, specs)})")
        return specs[draw.metric]
    names = sorted(specs)
    query = CellQuery("", draw.window, int(draw.window.seconds) or 1, where=draw.where)
    counts = {
        name: sum(cell.n + cell.n_abstained + cell.n_failed for group in groups for cell in group.cells)
        for name, groups in store.cells_by_metric(names, query).items()
    }
    if not any(counts.values()):
        raise _none_match(store, names, draw)
    return specs[max(names, key=lambda name: counts.get(name, 0))]


def _one_each(scores: Iterable[Score]) -> list[Score]:
    """Return one score an event, of the latest version of the scorer, in their order."""
    latest: dict[tuple[str, str], Score] = {}
    for score in scores:
        key = (score.subject.consumer, score.subject.event_id)
        held = latest.get(key)
        if held is None or score.scorer_version > held.scorer_version:
            latest[key] = score
    return list(latest.values())


def _none_match(store: ScoreStore, metrics: Sequence[str], draw: Draw) -> InputError:
    told = why_none(store, metrics, draw.window, draw.where)
    return InputError(
        f"Expected scored events to draw from, but {told or 'none match; a longer --since looks further back'}"
    )


def _check_frame(frame: Sequence[Score], draw: Draw, complete: bool) -> None:
    if told := absent_field([score.subject for score in frame], draw.by, whole=complete):
        raise InputError(f"Expected `by` to name a field of events, but {told}")
    consumers = sorted({score.subject.consumer for score in frame})
    if len(consumers) > 1:
        # Each sampled the traffic for itself: together they would count what both took twice.
        raise InputError(
            f"Expected scores of one consumer, but there are some of {', '.join(consumers)}; "
            f"choose one, as in --where consumer={consumers[0]}"
        )
    if draw.n > len(frame):
        raise InputError(f"Expected `n` up to {len(frame):,}, the scored events that match, but got {draw.n:,}")


def _specs(store: ScoreStore, metric: str) -> dict[int, ScorerSpec]:
    return {spec.version: spec for spec in store.metrics() if spec.metric == metric}


def _worst(frame: Sequence[Score], specs: Mapping[int, ScorerSpec], draw: Draw) -> list[Score]:
    """Return the worst scores of the latest scorer: those of other versions or options are not comparable with them."""
    if not draw.worst:
        return []
    latest = max(
        (score for score in frame if score.value is not None),
        key=lambda score: (score.scorer_version, score.subject.occurred_at),
        default=None,
    )
    if latest is None:
        return []
    spec, scorer = specs[latest.scorer_version], (latest.scorer_version, latest.signature)
    if spec.scale.better == "neither":
        raise InputError(f"Expected a metric with a better direction for `worst`, but {spec.metric!r} has none")
    sign = 1.0 if spec.scale.better == "higher" else -1.0
    scored = [
        (sign * score.value, _order(draw.seed, score), score)
        for score in frame
        if score.value is not None and (score.scorer_version, score.signature) == scorer
    ]
    ranked = sorted(scored, key=lambda item: item[:2])
    return [score for _, _, score in ranked[: draw.worst]]


def _strata(scores: Sequence[Score], draw: Draw) -> dict[str, list[Score]]:
    """Return the scores by stratum, each in the order in which they are drawn; strata by name."""
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(_stratum(score.subject, draw.by), []).append(score)
    return {
        name: sorted(members, key=lambda score: _order(draw.seed, score)) for name, members in sorted(found.items())
    }


def _stratum(subject: Subject, by: Sequence[str]) -> str:
    return ", ".join(f"{name}={value_of(subject, name)}" for name in by) or "all"


def _order(seed: int, score: Score) -> bytes:
    return hashlib.blake2b(f"{seed}:{score.subject.event_id}".encode(), digest_size=16).digest()


def _sizes(available: Mapping[str, int], n: int) -> dict[str, int]:
    """Return how many to take of each stratum: equally many, and of a small one all, the rest from the others.

    >>> _sizes({"a": 100, "b": 3, "c": 100}, 21)
    {'a': 9, 'b': 3, 'c': 9}
    """
    if n == 0:
        return {}
    if len(available) > n:
        raise InputError(
            f"Expected `n` to be at least the number of strata, {len(available)}, but {n} are left for them"
        )
    sizes = dict.fromkeys(available, 0)
    left = min(n, sum(available.values()))
    while left:
        open_ones = [name for name, size in sizes.items() if size < available[name]]
        share = max(1, left // len(open_ones))
        for name in open_ones:
            more = min(share, available[name] - sizes[name], left)
            sizes[name], left = sizes[name] + more, left - more
    return sizes
