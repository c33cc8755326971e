"""The second step of the worker: selected records are decoded, masked and scored.

Every item that enters leaves as scores, as a dead letter or as a duplicate.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from evalsvc.errors import DecodeError
from evalsvc.pipeline.intake import Draft, Item, dead_letter, received_minute
from evalsvc.scoring import ScorerEntry, run_scorer
from evalsvc.types import (
    Abstained,
    DeadLetter,
    Event,
    Failed,
    KeptEvent,
    KnownEvent,
    Outcome,
    Sample,
    Score,
    Scored,
    ScorerSpec,
    Subject,
    WriteBatch,
)

log = logging.getLogger("evalsvc.worker")

RECENT_EVENTS = 50_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYED = re.compile(rb"\[([A-Z_0-9]+):[0-9a-f]{8,}\]")

Decode = Callable[[bytes], Event]
Known = Callable[[Sequence[str], str], Mapping[str, KnownEvent]]
Choose = Callable[[ScorerSpec, Sequence[Sample]], Sequence[Sample]]


class EventMasker(Protocol):
    """What takes personal data out of an event before anything is written; masking twice is masking once."""

    def mask_event(self, event: Event) -> Event:
        """Return the event with its texts masked and what was found recorded."""
        ...


class Observer(Protocol):
    """What wants to know how scoring goes: the worker's metrics."""

    def scored(self, spec: ScorerSpec, outcomes: Sequence[Outcome], seconds: float) -> None:
        """One scorer has looked at one batch."""
        ...


def subject_of(sample: Sample) -> Subject:
    """Return the facts that all scores of a sample share."""
    event = sample.event
    return Subject(
        event.event_id,
        event.occurred_at,
        sample.consumer,
        event.application,
        event.model,
        event.model_version,
        event.segments,
        event.session_id or "",
        sample.stratum,
        sample.design_version,
    )


def to_score(subject: Subject, spec: ScorerSpec, pi: float, outcome: Outcome) -> Score:
    """Return a scorer's outcome as the value that is stored."""
    identity = (subject, spec.metric, spec.version, spec.signature, pi)
    if isinstance(outcome, Abstained):
        return Score(*identity, "abstained", None, outcome.reason)
    if isinstance(outcome, Failed):
        return Score(*identity, "failed", None, outcome.reason, _written(outcome.detail))
    if isinstance(outcome, Scored):
        return Score(*identity, "ok", float(outcome.value), "", _written(outcome.detail), tuple(outcome.statistics))
    return Score(*identity, "ok", float(outcome))


def _written(detail: Mapping[str, Any]) -> str:
    return msgspec.json.encode(detail).decode() if detail else ""


class Processor:
    """Turns drafts into batches to write. Used by one thread."""

    def __init__(
        self,
        consumer: str,
        decode: Decode,
        masker: EventMasker,
        scorers: Sequence[ScorerEntry],
        known: Known,
        observer: Observer,
        monotonic: Callable[[], float],
        check: Callable[[], None],
        choose: Choose | None = None,
    ) -> None:
        """Score for ``consumer``; ``known`` asks the store what it already has under event ids.

        ``choose`` returns which samples a scorer is to score; without it, all.
        ``check`` raises when the work is no longer wanted; it is called between two batches that a scorer is handed.
        """
        self.consumer, self.decode, self.masker, self.scorers = consumer, decode, masker, tuple(scorers)
        self.known, self.observer, self.monotonic, self.check = known, observer, monotonic, check
        self.choose = choose
        self.seconds: dict[str, float] = {}
        self.busy: tuple[str, float] | None = None
        """The metric that is scored now, and since when."""
        self._recent: OrderedDict[str, KnownEvent] = OrderedDict()

    def process(self, draft: Draft) -> WriteBatch:
        """Return what a draft leaves behind; its ledger rows are added by the writer, in order."""
        letters = list(draft.dead)
        kept = self._unique(list(self._decoded(draft.items, letters)), letters)
        scores = self._score([event.sample for event in kept if not event.sample.stratum.startswith("kind=")])
        return WriteBatch(events=tuple(kept), scores=tuple(scores), dead_letters=tuple(letters))

    def _decoded(self, items: Sequence[Item], letters: list[DeadLetter]) -> Iterator[tuple[Item, KeptEvent]]:
        for item in items:
            record, selection = item.record, item.selection
            try:
                event = self._masked(self.decode(record.value or b""))
            except DecodeError as error:
                self._bury(item, error, letters)
                continue
            sample = Sample(
                event,
                self.consumer,
                selection.version,
                selection.stratum,
                selection.pi or 1.0,
                selection.draw,
                item.partition,
                record.offset,
            )
            yield item, KeptEvent(sample, content_digest(event))

    def _masked(self, event: Event) -> Event:
        """Mask. An event that cannot be masked is not stored; an error may quote it, so only its type is said."""
        try:
            return self.masker.mask_event(event)
        except Exception as error:
            log.error("masking_failed error=%s", type(error).__name__)
            reason = DecodeError(
                "masking_failed", f"Masking failed with {type(error).__name__}; the event was not stored"
            )
        raise reason

    def _unique(self, pairs: Sequence[tuple[Item, KeptEvent]], letters: list[DeadLetter]) -> list[KeptEvent]:
        """Drop what is already there from another place: the same content is a duplicate, another one a conflict."""
        ids = [event.sample.event.event_id for _, event in pairs]
        stored = dict(self.known([i for i in ids if i not in self._recent], self.consumer)) if ids else {}
        unique = []
        for (item, event), event_id in zip(pairs, ids, strict=True):
            here = KnownEvent(event.digest, item.partition, item.record.offset)
            first = self._recent.get(event_id) or stored.get(event_id) or here
            if (first.partition, first.offset) == (here.partition, here.offset):
                self._remember(event_id, here)
                unique.append(event)
            elif first.digest == here.digest:
                self._duplicate(item)
            else:
                # The id stays out of it: ids are not masked.
                said = "Expected one content for an event id, but this one came with a second"
                error = DecodeError("conflicting_duplicate", said)
                self._bury(item, error, letters)
        return unique

    def _remember(self, event_id: str, place: KnownEvent) -> None:
        self._recent[event_id] = place
        if len(self._recent) > RECENT_EVENTS:
            self._recent.popitem(last=False)

    def _bury(self, item: Item, error: DecodeError, letters: list[DeadLetter]) -> None:
        letters.append(dead_letter(self.consumer, item.partition, item.record, error))
        self._uncount(item)
        item.tally.add((received_minute(item.record), "", 0, "dead"))

    def _duplicate(self, item: Item) -> None:
        self._uncount(item)
        item.tally.add((item.minute, item.selection.stratum, item.selection.version, "duplicate"))

    def _uncount(self, item: Item) -> None:
        key = (item.minute, item.selection.stratum, item.selection.version)
        item.tally.add((*key, "kept" if item.kept else "sampled"), -1)

    def _score(self, samples: Sequence[Sample]) -> list[Score]:
        subjects = {id(sample): subject_of(sample) for sample in samples}
        scores: list[Score] = []
        for entry in self.scorers:
            spec, began = entry.scorer.spec, self.monotonic()
            self.busy = spec.metric, began
            chosen = self.choose(spec, samples) if self.choose else samples
            results = list(run_scorer(entry, chosen, self.check))
            self.busy, took = None, self.monotonic() - began
            self.seconds[spec.metric] = self.seconds.get(spec.metric, 0.0) + took
            self.observer.scored(spec, [outcome for _, _, outcome in results], took)
            scores.extend(to_score(subjects[id(sample)], spec, pi, outcome) for sample, pi, outcome in results)
        return scores


def masked_values(masker: EventMasker, fields: Sequence[str], values: Sequence[str]) -> Sequence[str]:
    """Return a stratum's values as they stand in a stored event; they name strata of events that are never stored."""
    return [
        _masked_segment(masker, field.removeprefix("segments."), value) if field.startswith("segments.") else value
        for field, value in zip(fields, values, strict=True)
    ]


def _masked_segment(masker: EventMasker, name: str, value: str) -> str:
    plain = Event(event_id="-", occurred_at=_EPOCH, application="-", segments={name: value})
    try:
        return next(iter(masker.mask_event(plain).segments.values()), "")
    except Exception as error:
        log.error("masking_failed error=%s", type(error).__name__)
        return "(unmasked)"


def content_digest(masked: Event) -> str:
    """Return what tells two contents of one event id apart: a digest of the masked event.

    What is hashed with a key that may change between processes (ids, the findings) does not count.
    """
    plain = msgspec.structs.replace(masked, user_id=None, session_id=None, findings=())
    text = _KEYED.sub(rb"[\1]", msgspec.json.encode(plain, order="deterministic"))
    return hashlib.sha256(text).hexdigest()[:32]
