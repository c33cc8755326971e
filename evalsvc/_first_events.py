"""Some identities' scores of the events that come first by MD5: whole events, the same ones for every metric."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from typing import NamedTuple

from evalsvc.anchor_query import Identity
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Score

_MORE = 4


class FirstEvents(NamedTuple):
    """Scores in the order of their event ids' MD5. ``end`` is the first MD5 that is left out, or None: all are here."""

    scores: list[Score]
    end: bytes | None


def digest(score: Score) -> bytes:
    """Return the MD5 by which :meth:`evalsvc.protocols.ScoreStore.scores` orders."""
    return hashlib.md5(score.subject.event_id.encode(), usedforsecurity=False).digest()


def first_events(store: ScoreStore, query: CellQuery, identities: Set[Identity], most: int) -> FirstEvents:
    """Return the scores of these (consumer, version, signature) of the first ``most`` events that have any.

    Where others' scores crowd them out, up to four times as many scores are read, and no more: then there are
    fewer events. An event is in with all of its scores or not at all.
    """
    kept: list[Score] = []
    end = None
    for asked in (most + 1, _MORE * most + 1):
        read = store.scores(query, asked)
        # The last one's event may have scores that were not read.
        end = digest(read[-1]) if len(read) == asked else None
        kept = [score for score in read if _identity(score) in identities and (end is None or digest(score) < end)]
        events = list(dict.fromkeys(digest(score) for score in kept))
        if len(events) > most:
            return cut(kept, events[most])
        if end is None or len(events) == most:
            break
    return FirstEvents(kept, end)


def cut(scores: list[Score], end: bytes) -> FirstEvents:
    """Return the scores of the events before ``end``."""
    return FirstEvents([score for score in scores if digest(score) < end], end)


def _identity(score: Score) -> Identity:
    return score.subject.consumer, score.scorer_version, score.signature
