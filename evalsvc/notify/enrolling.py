"""Since when receivers are there: said to the log by who tells them, so that one that was left out begins anew."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from evalsvc.errors import StoreUnavailable
from evalsvc.protocols import Clock
from evalsvc.rules.history import AlertLog, Enrolment

ENROL_SECONDS = 60.0
"""How often it is said. Another ruler, with other routes, may have led in between."""
ENROLLED_BEFORE = timedelta(hours=1)
"""A receiver is told of what happened so long before it was there: looks are made up for, too."""


AGAIN_SECONDS = 1.0
"""So long a failure is remembered: receivers that ask meanwhile need not wait for the same time-out one by one."""


class Enrolments:
    """The receivers of one delivery. May be asked from any thread; only who leads should ask."""

    def __init__(self, log: AlertLog, receivers: Sequence[str], clock: Clock) -> None:
        """Say nothing yet."""
        self._log, self._receivers, self._clock = log, tuple(receivers), clock
        self._lock = threading.Lock()
        self._held: Mapping[str, Enrolment] = {}
        self._said_at: float | None = None
        self._failed: tuple[float, str] | None = None

    def now(self, now: datetime) -> Mapping[str, Enrolment]:
        """Return since when each receiver is there, in the log's words of at most a minute ago.

        Raises:
            StoreUnavailable: the log does not answer.
        """
        with self._lock:
            passed = self._clock.monotonic()
            if self._said_at is None or passed - self._said_at >= ENROL_SECONDS:
                if self._failed is not None and passed - self._failed[0] < AGAIN_SECONDS:
                    raise StoreUnavailable(self._failed[1])
                try:
                    self._held = self._say(now)
                except StoreUnavailable as error:
                    self._failed = (self._clock.monotonic(), str(error))
                    raise
                self._said_at, self._failed = passed, None
            return self._held

    def _say(self, now: datetime) -> Mapping[str, Enrolment]:
        """Say who is there, and correct what a clock that was ahead said."""
        latest = now - ENROLLED_BEFORE
        said = self._log.enrol(self._receivers, latest)
        believed = {name: self._believed(name, each, latest) for name, each in said.items()}
        if ahead := [name for name, each in said.items() if each.since > now]:
            # Left out and back, so that a ruler that begins anew does not take a later time for it.
            self._log.enrol([name for name in self._receivers if name not in ahead], latest)
            self._log.enrol(self._receivers, latest)
        return believed

    def _believed(self, name: str, said: Enrolment, latest: datetime) -> Enrolment:
        """Return an enrolment; where a clock that was ahead said it, as if it were of now: pages do not wait for it."""
        limit = min(latest, *self._held.get(name, (latest,)))
        since = said.since if said.since <= latest else limit
        return Enrolment(min(said.first, since), since)
