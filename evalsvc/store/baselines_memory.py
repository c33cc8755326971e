"""The reference of what is remembered of baselines: plain Python, in memory; and what any log of them refuses."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

import msgspec

from evalsvc.errors import InputError
from evalsvc.store.alert_values import check_limit, check_time
from evalsvc.store.verdicts_memory import check_record
from evalsvc.types import utc
from evalsvc.verdicts import Promotion


class MemoryBaselineLog:
    """A :class:`~evalsvc.verdicts.BaselineLog` in this process's memory; nothing outlives it.

    >>> MemoryBaselineLog().promotions("support")
    []
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str, datetime, str], tuple[Promotion, bytes]] = {}

    def record_promotion(self, promotion: Promotion, record: bytes) -> None:
        """Remember a promotion and its record."""
        text = check_promotion(promotion, record)
        key = promotion.suite, promotion.name, utc(promotion.promoted_at), promotion.digest
        with self._lock:
            self._held.setdefault(key, (msgspec.json.decode(text, type=Promotion), bytes(record)))

    def promotions(self, suite: str, name: str = "", *, limit: int = 100) -> Sequence[Promotion]:
        """Return at most ``limit`` promotions of a suite, the last promoted first."""
        check_limit(limit)
        with self._lock:
            held = [promotion for promotion, _ in self._held.values()]
        found = [one for one in reversed(held) if one.suite == suite and name in ("", one.name)]
        return sorted(found, key=lambda one: one.promoted_at, reverse=True)[:limit]

    def baseline_record(self, stored: str) -> bytes | None:
        """Return the record of a digest; None where there is none."""
        with self._lock:
            return next((record for one, record in self._held.values() if one.stored == stored), None)


def check_promotion(promotion: Promotion, record: bytes) -> str:
    """Return a promotion as JSON.

    Raises:
        InputError: it has no suite or no name, no store can hold its time or its texts, or the record is another.
    """
    if not (promotion.suite and promotion.name):
        raise InputError("Expected a promotion with a suite and a name, but one is empty")
    check_time("promoted_at", promotion.promoted_at)
    check_record(promotion.stored, record)
    try:
        return msgspec.json.encode(promotion, order="deterministic").decode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected the promotion of {promotion.name!r} to have texts that UTF-8 can hold, but one is cut"
        ) from error
