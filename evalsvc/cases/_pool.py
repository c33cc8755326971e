"""Events that are drawn one after another become cases, each content once, with the weight of what it stands for."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from evalsvc.cases.values import Case
from evalsvc.errors import InputError
from evalsvc.protocols import ScoreStore
from evalsvc.types import Event, Score

WORST = "worst"
"""The tag of a case that was taken because a metric is worst there."""

Reference = Literal["own", "response"]

_AT_ONCE = 500


class _Held(NamedTuple):
    """A case, the stratum that it counts to, what it stands for, and the lot of the event that it is told by."""

    case: Case
    stratum: str
    weight: float
    lot: float


class Pool:
    """Cases drawn so far, by their contents, with what each stands for."""

    def __init__(self, store: ScoreStore, *, reference: Reference, seed: int) -> None:
        self._store, self._reference, self._seed = store, reference, seed
        self._held: dict[str, _Held] = {}
        self._strata: list[str] = []
        self.looked = self.without_text = self.without_prompt = self.merged = 0

    @property
    def strata(self) -> dict[str, int]:
        """How many cases count to each stratum."""
        counts = Counter(held.stratum for held in self._held.values())
        return {name: counts[name] for name in self._strata}

    def take(self, name: str, scores: Sequence[Score], wanted: int, *, certain: bool) -> None:
        """Look at events in their order until there is one more distinct case than wanted, and leave that one.

        An event is looked at with probability looked/all, and taken where its text is kept: that is the probability
        of its draw. Looked at until the last one wanted, and no further, it would come out too high (Haldane, 1945,
        *On a method of estimating frequencies*): the draw would always end with a find.
        """
        taken: list[tuple[str, Case, Score]] = []
        found: set[str] = set()
        looked = 0
        for case, score in self._looked_at(scores, WORST if certain else ""):
            if case is not None:
                digest = case.digest
                if digest not in self._held and digest not in found:
                    if len(found) == wanted:
                        break
                    found.add(digest)
                taken.append((digest, case, score))
            looked += 1
        probability = 1.0 if certain else looked / len(scores)
        self._strata.append(name)
        for digest, case, score in taken:
            self._hold(digest, case, name, 1.0 / (score.pi * probability))
        self.merged += len(taken) - len(found)
        self.looked += looked

    def _looked_at(self, scores: Sequence[Score], tag: str) -> Iterator[tuple[Case | None, Score]]:
        for start in range(0, len(scores), _AT_ONCE):
            part = scores[start : start + _AT_ONCE]
            events = self._store.events([score.subject.event_id for score in part])
            for score in part:
                yield self._case(events.get(score.subject.event_id), tag), score

    def _case(self, event: Event | None, tag: str) -> Case | None:
        """Return the case that an event is; None where it is none."""
        if event is None:
            self.without_text += 1
            return None
        reference = (event.response or None) if self._reference == "response" else event.reference
        if not event.prompt_text.strip():
            self.without_prompt += 1
            return None
        return Case(
            case_id=event.event_id,
            prompt=event.prompt,
            contexts=event.contexts,
            reference=reference,
            segments=dict(event.segments),
            tags=(tag,) if tag else (),
            group=event.session_id or "",
        )

    def _hold(self, digest: str, case: Case, stratum: str, weight: float) -> None:
        """Keep a case. Events that say the same are one case, told by one of them, drawn by their weights.

        So a question that several segments ask counts to each as often as it asks it, over many such questions
        (Efraimidis & Spirakis, 2006: of lots log(u)/weight the largest).
        """
        drawn = hashlib.blake2b(f"told by:{self._seed}:{case.case_id}".encode(), digest_size=8).digest()
        lot = math.log((int.from_bytes(drawn, "big") + 1) / 2**64) / weight
        held = self._held.get(digest)
        if held is None:
            self._held[digest] = _Held(case, stratum, weight, lot)
            return
        if lot > held.lot:
            tags = tuple(dict.fromkeys((*held.case.tags, *case.tags)))
            kept = msgspec.structs.replace(case, tags=tags)
            # What was taken for certain stays among the worst.
            held = _Held(kept, held.stratum if held.stratum == WORST else stratum, held.weight, lot)
        self._held[digest] = held._replace(weight=held.weight + weight)

    def finish(self) -> tuple[Case, ...]:
        """Return the cases by stratum, with weights of mean 1."""
        if not self._held:
            raise InputError(
                f"Expected events with a prompt, but of {self.looked:,} looked at {self.without_text:,} have no text "
                f"left and {self.without_prompt:,} no prompt; see `retention.events`, or take a later --since"
            )
        mean = math.fsum(held.weight for held in self._held.values()) / len(self._held)
        ordered = sorted(self._held.values(), key=lambda held: self._strata.index(held.stratum))
        return tuple(msgspec.structs.replace(held.case, weight=held.weight / mean) for held in ordered)
