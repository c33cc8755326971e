"""What a ruler exports of each receiver."""

from __future__ import annotations

from datetime import datetime

import msgspec


class ReceiverCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of one receiver: counters since the process began, and what the last turn saw.

    ``sent``, ``refused``, ``silenced``, ``not_routed`` and ``missed`` count messages, ``failed`` attempts that came to
    nothing and are made again. ``waiting`` is how many messages are to be told, silenced ones that may still be told
    among them; ``oldest_at`` is when the oldest of those that no silence holds back happened, ``last_success`` when the
    receiver took something. ``trouble`` is the last failure, empty when it answered since; ``turns_failed`` counts
    turns that ended early, since the store did not answer or by an error of telling itself, which the log shows.
    """

    sent: int = 0
    refused: int = 0
    failed: int = 0
    silenced: int = 0
    not_routed: int = 0
    missed: int = 0
    refreshed: int = 0
    turns_failed: int = 0
    waiting: int = 0
    oldest_at: datetime | None = None
    last_success: datetime | None = None
    trouble: str = ""

    def oldest_seconds(self, now: datetime) -> float:
        """Return how long the oldest message that could be told waits, 0 where none does."""
        return max(0.0, (now - self.oldest_at).total_seconds()) if self.oldest_at else 0.0
