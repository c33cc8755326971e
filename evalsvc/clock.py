"""The machine's clock, and one that is moved by hand, for tests and for living through history."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class ManualClock:
    """A :class:`~evalsvc.protocols.Clock` under the caller's control; sleeping moves it.

    >>> clock = ManualClock()
    >>> clock.sleep(90)
    >>> clock.now().isoformat()
    '2026-01-01T00:01:30+00:00'
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """Stand at ``now``."""
        self._start, self._elapsed, self._lock = now, 0.0, threading.Lock()

    def now(self) -> datetime:
        """Return the time it was moved to."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the seconds it was moved by."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Move at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move forward."""
        with self._lock:
            self._elapsed += seconds
