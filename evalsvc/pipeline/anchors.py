"""Scoring a frozen anchor set again and again, with the same scorers and masking as live traffic.

Live scores move when traffic, system or scorer does. The anchors are the same cases every time, so theirs move with
the scorer alone. They are written as scores of ``anchor:METRIC`` (:mod:`evalsvc.anchor_query`), without any text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from evalsvc.anchor_query import CASE, DIGEST, PREFIX
from evalsvc.clock import SystemClock
from evalsvc.errors import EngineError, EvalsvcError, MissingExtra, StoreError
from evalsvc.pipeline.scoring import EventMasker, content_digest, to_score
from evalsvc.protocols import CellQuery, Clock, Scorer, ScoreStore
from evalsvc.scoring import ScorerEntry, missing_need, run_scorer
from evalsvc.types import Event, Sample, Score, Subject, Window, WriteBatch

log = logging.getLogger("evalsvc.anchors")
STRATUM = "anchor"
REST = timedelta(hours=1)
"""How long a scorer that failed is left alone: each try may be paid for."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST_LENGTH = 12


class Anchors:
    """A consumer's anchor set, and when its turn comes. Used by one thread: the one that scores."""

    def __init__(
        self,
        consumer: str,
        store: ScoreStore,
        cases: Sequence[Event],
        scorers: Sequence[ScorerEntry],
        masker: EventMasker,
        every: timedelta,
        clock: Clock | None = None,
    ) -> None:
        """Mask the cases, as live events are before they are scored; score nothing yet.

        Args:
            consumer: whose scorers these are.
            store: where the scores go, and which knows what was scored before.
            cases: as events, whose ids are the cases' names; their times are not looked at.
            scorers: what scores them; nested rates do not apply. Those that only describe texts are left out.
            masker: the consumer's.
            every: the time between two runs; runs begin in slots of this length since 1970.
            clock: what says which slot it is.
        """
        self.consumer, self.store, self.every = consumer, store, every
        self.scorers = tuple(entry.scorer for entry in scorers if not entry.scorer.spec.features)
        self.cases = tuple(masker.mask_event(msgspec.structs.replace(case, occurred_at=_EPOCH)) for case in cases)
        self.clock = clock or SystemClock()
        self._rests: dict[str, datetime] = {}

    def tend(self, check: Callable[[], None] = lambda: None) -> int:
        """Score what this slot still lacks, and return how many scores were written.

        A scorer's failure is logged and holds nothing else up; that scorer rests for an hour, or until the next slot
        where that is sooner. What this object wrote in a slot is not written again in it.
        """
        now = self.clock.now()
        due = [scorer for scorer in self.scorers if now >= self._rests.get(scorer.spec.metric, _EPOCH)]
        try:
            lacking = self._lacking(due, now) if due else []
        except EvalsvcError as error:
            log.warning("anchors_not_scored consumer=%s error=%s", self.consumer, error)
            return 0
        written, following = 0, self._slot(now) + self.every
        for scorer in lacking:
            metric = scorer.spec.metric
            try:
                written += len(self._run(scorer, now, check))
            except EvalsvcError as error:
                log.warning("anchors_not_scored consumer=%s metric=%s error=%s", self.consumer, metric, error)
                self._rests[metric] = min(now + REST, following)
                if isinstance(error, StoreError):
                    # What the others score could not be written either; the store is asked first next time.
                    break
            else:
                self._rests[metric] = following
        return written

    def run(
        self,
        metrics: Iterable[str] | None = None,
        check: Callable[[], None] = lambda: None,
        at: datetime | None = None,
    ) -> list[Score]:
        """Score all cases with some scorers (default: every one), and write and return the scores.

        The scores bear the time at which their slot began, so that those written twice in a slot are the same scores.
        ``check`` may raise, which ends the work; ``at`` is when the run is (default: now), which scorers are told.

        Raises:
            MissingExtra, EngineError: where a scorer cannot run; what the others scored is written by then.
            StoreUnavailable: when the store does not answer.
        """
        now = at or self.clock.now()
        wanted = {scorer.spec.metric for scorer in self.scorers} if metrics is None else set(metrics)
        scores: list[Score] = []
        failures: list[EvalsvcError] = []
        for scorer in self.scorers:
            if scorer.spec.metric not in wanted:
                continue
            try:
                scores += self._run(scorer, now, check)
            except (MissingExtra, EngineError) as error:
                log.warning(
                    "anchors_not_scored consumer=%s metric=%s error=%s", self.consumer, scorer.spec.metric, error
                )
                failures.append(error)
        if failures:
            raise failures[0]
        return scores

    def _run(self, scorer: Scorer, now: datetime, check: Callable[[], None]) -> list[Score]:
        """Score all cases with one scorer, and write that: what is paid for is kept whatever the next one does."""
        scores = self._score(ScorerEntry(scorer), now, check)
        if scores:
            self.store.write(WriteBatch(scores=tuple(scores)))
            text = "anchors_scored consumer=%s metric=%s cases=%d scores=%d"
            log.info(text, self.consumer, scorer.spec.metric, len(self.cases), len(scores))
        return scores

    def _score(self, entry: ScorerEntry, now: datetime, check: Callable[[], None]) -> list[Score]:
        spec = entry.scorer.spec
        samples = [
            Sample(msgspec.structs.replace(case, occurred_at=now), self.consumer, 0, STRATUM, 1.0)
            for case in self.cases
            if missing_need(case, spec.needs) is None
        ]
        named = msgspec.structs.replace(spec, metric=PREFIX + spec.metric)
        return [
            to_score(self._subject(sample.event, now), named, 1.0, outcome)
            for sample, _, outcome in run_scorer(entry, samples, check)
        ]

    def _subject(self, case: Event, now: datetime) -> Subject:
        slot, digest = self._slot(now), _digest(case)
        # A store tells scores apart by this name and the hour. An edited case is another one.
        return Subject(
            f"{case.event_id}#{digest}@{slot:%Y-%m-%dT%H:%M:%SZ}",
            slot,
            self.consumer,
            case.application,
            case.model,
            case.model_version,
            {CASE: case.event_id, DIGEST: digest},
            "",
            STRATUM,
            0,
        )

    def _slot(self, now: datetime) -> datetime:
        return now - (now - _EPOCH) % self.every

    def _lacking(self, scorers: Sequence[Scorer], now: datetime) -> list[Scorer]:
        """Return those of the scorers that, as they are now, have not scored every case and text in this slot."""
        slot, names = self._slot(now), (f"segments.{CASE}", f"segments.{DIGEST}")
        query = CellQuery("", Window(slot, slot + timedelta(seconds=1)), 1, names, {"consumer": (self.consumer,)})
        held = self.store.cells_by_metric([PREFIX + scorer.spec.metric for scorer in scorers], query)
        lacking = []
        for scorer in scorers:
            spec = scorer.spec
            wanted = {(case.event_id, _digest(case)) for case in self.cases if missing_need(case, spec.needs) is None}
            done = {
                (group.key[names[0]], group.key[names[1]])
                for group in held[PREFIX + spec.metric]
                if (group.scorer_version, group.signature) == (spec.version, spec.signature)
            }
            if not wanted <= done:
                lacking.append(scorer)
        return lacking


def _digest(case: Event) -> str:
    return content_digest(msgspec.structs.replace(case, occurred_at=_EPOCH))[:_DIGEST_LENGTH]
