"""Answers become scores, by the scorers that production uses; what was scored before comes from the cache.

A score is looked up by all that a scorer can see of an event, which is more than the texts: what the version is called,
the case's segments, group and name, and the whole answer; and by the scorer's metric, version and signature. A scorer
is loaded when a score is missing, or when its signature is not known before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from evalsvc.cases import Case, digest_of
from evalsvc.disk_cache import DiskCache
from evalsvc.gate.evaluated import Evaluated, Floats, MetricScores, Missing, Rows
from evalsvc.generation import Answer
from evalsvc.generation.events import event_of, key_of_event
from evalsvc.protocols import Scorer
from evalsvc.scoring import ScorerEntry, run_scorer
from evalsvc.types import Abstained, Failed, Outcome, Sample, Scored, ScorerSpec, Status

T = TypeVar("T")

KIND, COLUMN = "score", "scores"
"""A score by itself, and a scorer's scores of a whole set of answers, which are read at once when a suite is rerun."""
CHUNK = 2_000
"""So many answers are scored between two writes to the cache: what a kill may cost."""
PAID_CHUNK = 32
"""The same where each score is paid for: about as many as a judge is asked side by side."""

MODELS = frozenset({"encoder", "model"})
"""Kinds of scorers whose signature names what was loaded: revision, dtype, window."""

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Answers are scored for what they say: a score that depended on the time of day could not be reproduced."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A score as it lies in the cache."""

    status: Status
    value: float | None
    reason: str = ""
    statistics: tuple[float, ...] = ()


class Version(NamedTuple):
    """What a version under test is called, and the signature of what made its answers."""

    application: str
    model: str
    model_version: str
    signature: str


Progress = Callable[[str, int, int], None]
"""Told (metric, scored so far, of how many), the cached ones included."""

_decoder = msgspec.msgpack.Decoder(Kept)
_columns = msgspec.msgpack.Decoder(list[Kept])
_encoder = msgspec.msgpack.Encoder()


def evaluate(
    cases: Sequence[Case],
    digests: Sequence[str],
    answers: Sequence[Sequence[Answer]],
    scorers: Sequence[Scorer],
    version: Version,
    cache: DiskCache,
    *,
    progress: Progress = lambda metric, done, total: None,
    name: str = "",
) -> Evaluated:
    """Score every answer by every scorer.

    Args:
        cases: in their order.
        digests: of the cases.
        answers: ``[cases][repeats]``; every case has the same number of repeats.
        scorers: not loaded yet.
        version: what answered.
        cache: where scores are looked up and kept. A score that failed is not kept, since it may be mended.
        progress: is told after every chunk.
        name: of the baseline, where it is one.

    Raises:
        MissingExtra, EngineError: what a scorer lacks.
    """
    keys = [
        [key_of_event(case, digest, answer, repeat) for repeat, answer in enumerate(row)]
        for case, digest, row in zip(cases, digests, answers, strict=True)
    ]
    asked = _Asked.of(answers)
    scores = {}
    for scorer in scorers:
        settle(scorer)
        work = _Work(scorer, cases, answers, keys, version, cache, progress, asked)
        scores[scorer.spec.metric] = work.scores()
    return Evaluated(
        cases=tuple(cases),
        digests=tuple(digests),
        answers=tuple(tuple(row) for row in answers),
        scores=scores,
        model=version.model,
        model_version=version.model_version,
        signature=version.signature,
        name=name,
    )


def settle(scorer: Scorer) -> None:
    """Load a scorer whose spec says everything only then; ours without a model say it at once.

    Raises:
        MissingExtra, EngineError: what it lacks.
    """
    if not is_settled(scorer):
        scorer.load()


def is_settled(scorer: Scorer) -> bool:
    """Whether a scorer's spec says everything before it is loaded."""
    ours = type(scorer).__module__.startswith("evalsvc.")
    return ours and getattr(scorer, "cost_class", "") not in MODELS


class _Asked(NamedTuple):
    """Where answers are, as (case, repeat) and as two arrays, and why elsewhere there is none; for every scorer."""

    places: tuple[tuple[int, int], ...]
    at: tuple[Rows, Rows]
    failed: Mapping[tuple[int, int], Missing]

    @classmethod
    def of(cls, answers: Sequence[Sequence[Answer]]) -> _Asked:
        """Sort them."""
        every = [((row, repeat), one) for row, repeats in enumerate(answers) for repeat, one in enumerate(repeats)]
        places = tuple(place for place, one in every if one.status == "ok")
        rows, repeats = np.array(places, dtype=np.int64).reshape(-1, 2).T
        return cls(
            places,
            (rows, repeats),
            {place: Missing("failed", f"no answer: {one.reason}") for place, one in every if one.status == "failed"},
        )


class _Work:
    """One scorer over all answers; its spec is settled."""

    def __init__(
        self,
        scorer: Scorer,
        cases: Sequence[Case],
        answers: Sequence[Sequence[Answer]],
        keys: Sequence[Sequence[str]],
        version: Version,
        cache: DiskCache,
        progress: Progress,
        asked: _Asked,
    ) -> None:
        self.scorer, self.cases, self.answers, self.keys = scorer, cases, answers, keys
        self.version, self.cache, self.progress, self.asked = version, cache, progress, asked

    def scores(self) -> MetricScores:
        """Look up, score the rest, keep it, and lay it out by case and repeat."""
        places = self.asked.places
        prefix = _prefix(self.scorer.spec, self.version)
        wanted = {place: prefix + self.keys[place[0]][place[1]] for place in places}
        whole = digest_of(tuple(wanted.values()))
        kept = self._column(whole, places)
        if len(kept) < len(places):
            kept = self._one_by_one(wanted)
            self._score_the_rest(wanted, kept)
            if all(one.status != "failed" for one in kept.values()):
                self.cache.put_many(COLUMN, {whole: _encoder.encode([kept[place] for place in places])})
        self.progress(self.scorer.spec.metric, len(kept), len(places))
        return self._laid_out(self.scorer.spec, kept)

    def _column(self, whole: str, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Kept]:
        """Return the scores of just these answers, where they were all asked for together before."""
        found = _decoded(_columns, self.cache.get_many(COLUMN, [whole]).get(whole))
        return dict(zip(places, found, strict=True)) if found is not None and len(found) == len(places) else {}

    def _score_the_rest(self, wanted: Mapping[tuple[int, int], str], kept: dict[tuple[int, int], Kept]) -> None:
        missing = [place for place in wanted if place not in kept]
        if not missing:
            return
        self.scorer.load()
        for outcomes in self._scored(missing):
            fine = [(wanted[place], one) for place, one in outcomes.items() if one.status != "failed"]
            self.cache.put_many(KIND, {key: _encoder.encode(one) for key, one in fine})
            kept.update(outcomes)
            self.progress(self.scorer.spec.metric, len(kept), len(wanted))

    def _one_by_one(self, wanted: Mapping[tuple[int, int], str]) -> dict[tuple[int, int], Kept]:
        held = self.cache.get_many(KIND, list(wanted.values()))
        found = ((place, _decoded(_decoder, held.get(key))) for place, key in wanted.items())
        return {place: one for place, one in found if one is not None}

    def _scored(self, places: Sequence[tuple[int, int]]) -> Iterator[dict[tuple[int, int], Kept]]:
        entry = ScorerEntry(self.scorer)
        chunk = PAID_CHUNK if getattr(self.scorer, "cost_class", "") == "judge" else CHUNK
        for start in range(0, len(places), chunk):
            part = places[start : start + chunk]
            outcomes = run_scorer(entry, [self._sample(*place) for place in part])
            yield {place: _kept(outcome) for place, (_, _, outcome) in zip(part, outcomes, strict=True)}

    def _sample(self, row: int, repeat: int) -> Sample:
        event = event_of(
            self.cases[row],
            self.answers[row][repeat],
            repeat=repeat,
            application=self.version.application,
            model=self.version.model,
            model_version=self.version.model_version,
            occurred_at=_ANY_TIME,
        )
        return Sample(event, consumer=self.version.application, design_version=1, stratum="", pi=1.0)

    def _laid_out(self, spec: ScorerSpec, kept: dict[tuple[int, int], Kept]) -> MetricScores:
        shape = (len(self.answers), max(map(len, self.answers), default=0))
        values = np.full(shape, np.nan)
        if kept:
            rows, repeats = self.asked.at
            values[rows, repeats] = [kept[place].value for place in self.asked.places]
        missing = {place: Missing(one.status, one.reason) for place, one in kept.items() if one.value is None}
        missing.update(self.asked.failed)
        return MetricScores(spec, values, missing, _statistics(spec, shape, kept))


def _statistics(spec: ScorerSpec, shape: tuple[int, int], kept: Mapping[tuple[int, int], Kept]) -> Floats | None:
    width = max((len(one.statistics) for one in kept.values()), default=0) if spec.corpus else 0
    if not width:
        return None
    table = np.full((*shape, width), np.nan)
    for place, one in kept.items():
        if one.value is not None and len(one.statistics) == width:
            table[place] = one.statistics
    return table


def _decoded(decoder: msgspec.msgpack.Decoder[T], held: bytes | None) -> T | None:
    """Return what the cache holds; None where it holds nothing, or the layout of another release."""
    try:
        return None if held is None else decoder.decode(held)
    except msgspec.MsgspecError:
        return None


def _prefix(spec: ScorerSpec, version: Version) -> str:
    called = (version.application, version.model, version.model_version)
    return f"{digest_of((spec.metric, spec.version, spec.signature, *called))}:"


def _kept(outcome: Outcome) -> Kept:
    if isinstance(outcome, Abstained | Failed):
        return Kept("abstained" if isinstance(outcome, Abstained) else "failed", None, outcome.reason)
    if isinstance(outcome, Scored):
        return Kept("ok", float(outcome.value), "", tuple(outcome.statistics))
    return Kept("ok", float(outcome))


def repeat_sd(scores: MetricScores) -> float | None:
    """Return the standard deviation of a case's repeats, pooled over cases; None where no case has two scores."""
    present = ~np.isnan(scores.values)
    counts = present.sum(axis=1)
    means = scores.by_case
    squares = np.where(present, (scores.values - means[:, None]) ** 2, 0.0).sum()
    freedom = int(np.maximum(counts - 1, 0).sum())
    return math.sqrt(float(squares) / freedom) if freedom else None
