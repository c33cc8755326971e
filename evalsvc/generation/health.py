"""Whether an endpoint answers anybody: what all threads that ask it go by, together."""

from __future__ import annotations

import threading
from collections.abc import Callable

from evalsvc.errors import ModelUnavailable
from evalsvc.judges import CircuitBreaker
from evalsvc.judges.settings import CallLimits
from evalsvc.protocols import Clock

_WAIT_SECONDS = 1.0


class Health:
    """Of one endpoint, called ``name`` in messages. Safe to use from several threads.

    While it answers nobody, requests wait and one tries now and then, for ``give_up_seconds`` at most.
    """

    def __init__(self, name: str, calls: CallLimits, give_up_seconds: float, clock: Clock) -> None:
        self.answered = 0
        self._name, self._patience, self._clock = name, give_up_seconds, clock
        self._breaker = CircuitBreaker(calls.breaker_failures, calls.breaker_pause_seconds, clock)
        self._lock = threading.Lock()
        self._silent_since: float | None = None
        self._last = ""

    def wait(self, over: Callable[[], str]) -> str:
        """Return '' once a request may be sent, or what ``over()`` says meanwhile.

        Raises:
            ModelUnavailable: when the endpoint answers nobody for too long.
        """
        waited = False
        # Asked last, since who is let through has to send.
        while not (why := over() if waited else "") and not self._breaker.allow():
            waited = True
            with self._lock:
                since, last = self._silent_since, self._last
            silent = 0.0 if since is None else self._clock.monotonic() - since
            if silent >= self._patience:
                raise ModelUnavailable(f"{self._name} answers nobody for {silent:.0f} s (last: {last})")
            self._clock.sleep(min(_WAIT_SECONDS, self._patience))
        return why

    def succeeded(self) -> None:
        """A request was answered."""
        self._breaker.succeeded()
        with self._lock:
            self.answered, self._silent_since = self.answered + 1, None

    def failed(self, reason: str) -> None:
        """A request was not."""
        self._breaker.failed()
        with self._lock:
            self._last = reason
            if self._silent_since is None:
                self._silent_since = self._clock.monotonic()
