"""Scores tried again: what a scorer could not do before is asked of it anew, and nothing is counted anew.

The events are read again from their source, and were sampled, counted and stored before. So a run of this kind writes
scores and nothing else. Each has the identity of the one that it is to replace, and of two the store keeps the better
one: ok before abstained before failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from evalsvc.protocols import ScoreStore, StatusQuery
from evalsvc.types import Sample, ScorerSpec, Status, Window, WriteBatch

if TYPE_CHECKING:
    from evalsvc.types import LedgerEntry

_MICROSECOND = timedelta(microseconds=1)
WithStatus = Callable[[StatusQuery, Sequence[str]], Set[str]]


class ScoresOnly:
    """A store that begins every partition anew, and to which nothing but scores is written."""

    def __init__(self, store: ScoreStore) -> None:
        """Stand before ``store``."""
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it is the store's own
        """Answer as the store does."""
        return getattr(self._store, name)

    def resume(self, consumer: str, partition: str) -> LedgerEntry | None:
        """Return None: all is read again."""
        return None

    def write(self, batch: WriteBatch) -> None:
        """Write the scores. Events, dead letters and the ledger are there."""
        if batch.scores:
            self._store.write(WriteBatch(scores=batch.scores))


class Again:
    """Chooses, for one consumer, the samples whose score by a scorer has one of ``statuses`` in the store."""

    def __init__(self, consumer: str, statuses: Sequence[Status], with_status: WithStatus) -> None:
        """Ask ``with_status``, a store's own method."""
        self.consumer, self.statuses, self._with_status = consumer, tuple(statuses), with_status

    def __call__(self, spec: ScorerSpec, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Return those samples that the scorer is to score again, in order."""
        if not samples:
            return samples
        moments = [sample.event.occurred_at for sample in samples]
        window = Window(min(moments), max(moments) + _MICROSECOND)
        query = StatusQuery(self.consumer, spec, self.statuses, window)
        wanted = self._with_status(query, [sample.event.event_id for sample in samples])
        return [sample for sample in samples if sample.event.event_id in wanted]
