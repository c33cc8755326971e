"""A circuit breaker: an endpoint that fails again and again is left alone, then tried with one request."""

from __future__ import annotations

import threading
from typing import Literal

from evalsvc.protocols import Clock

State = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Opens after ``failures`` in a row; after ``pause_seconds`` one request may try, and decides.

    Every request that :meth:`allow` lets through has to report :meth:`succeeded` or :meth:`failed`. Safe to use from
    several threads.
    """

    def __init__(self, failures: int, pause_seconds: float, clock: Clock) -> None:
        self._limit, self._pause, self._clock = failures, pause_seconds, clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """Whether requests flow, are refused, or one is let through to try."""
        with self._lock:
            return self._state()

    def allow(self) -> bool:
        """Return whether a request may be sent now; in ``half-open``, to one caller only."""
        with self._lock:
            state = self._state()
            if state == "half-open" and not self._probing:
                self._probing = True
                return True
            return state == "closed"

    def succeeded(self) -> None:
        """The endpoint answered: close."""
        with self._lock:
            self._in_a_row, self._opened_at, self._probing = 0, None, False

    def failed(self) -> None:
        """It did not: count, and open at the limit; a failed try opens for another pause."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row >= self._limit:
                self._opened_at, self._probing = self._clock.monotonic(), False

    def _state(self) -> State:
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._clock.monotonic() - self._opened_at >= self._pause else "open"
