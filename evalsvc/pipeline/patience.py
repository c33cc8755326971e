"""How a worker waits: for a store or a source that does not answer, for as long as it takes, and saying for which.

One object is shared by a worker's threads. It also carries what ends every wait: that the worker was asked to stop, and
the first error of any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from evalsvc.errors import SourceUnavailable, StoreUnavailable
from evalsvc.protocols import Clock

log = logging.getLogger("evalsvc.worker")
T = TypeVar("T")


class Stopped(Exception):
    """The worker was asked to stop while it waited for something."""


class Patience:
    """Tries again with growing pauses. Safe in several threads; each waits for itself.

    Args:
        clock: whose seconds pass.
        addresses: what is awaited, by ``store`` or ``source``, as a person knows it; a name stands for itself.
        on_wait: told the target of every pause.
        retry_seconds: the first pause; each is twice the last one, up to ``retry_max_seconds``.
        retry_max_seconds: the longest pause.
        notice_seconds: how long a start may take before the log says what it waits for.
        drain_seconds: how long after a request to stop a wait goes on, so that what was read is not lost.
    """

    def __init__(
        self,
        clock: Clock,
        addresses: Mapping[str, str],
        on_wait: Callable[[str], None],
        *,
        retry_seconds: float,
        retry_max_seconds: float,
        notice_seconds: float,
        drain_seconds: float,
    ) -> None:
        self._clock, self._addresses, self._on_wait = clock, addresses, on_wait
        self._first, self._longest = retry_seconds, retry_max_seconds
        self._notice, self._drain = notice_seconds, drain_seconds
        self._stop = threading.Event()
        self._stopped_at: float | None = None
        self._error: BaseException | None = None
        self._waits: dict[str, str] = {}
        self.reading = False
        """Whether the source is open: before, nothing can be lost, and a request to stop ends a wait at once."""

    def stop(self) -> None:
        """Ask every wait to end; the time that is left to it runs from the first call."""
        if self._stopped_at is None:
            self._stopped_at = self._clock.monotonic()
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stop.is_set()

    @property
    def overdue(self) -> bool:
        """Whether ``drain_seconds`` have passed since :meth:`stop`."""
        return self.stopping and self.left <= 0.0

    @property
    def left(self) -> float:
        """How many seconds what was read may still take: ``drain_seconds``, less what has passed since :meth:`stop`."""
        passed = 0.0 if self._stopped_at is None else self._clock.monotonic() - self._stopped_at
        return max(0.0, self._drain - passed)

    def fail(self, error: BaseException) -> bool:
        """Remember the first error of any thread, which :meth:`check` raises in every other; return whether it is."""
        first = self._error is None
        if first:
            self._error = error
        return first

    def check(self) -> None:
        """Raise the first error of any thread, if there is one."""
        if self._error is not None:
            raise self._error

    @property
    def waiting_for(self) -> str:
        """What is awaited, and what was last said of it; empty when nothing is."""
        return "; ".join(dict.fromkeys(self._waits.copy().values()))

    def until_done(self, action: Callable[[], T], what: str) -> T:
        """Do it, trying again while store or source do not answer.

        Raises:
            Stopped: when asked to stop, and nothing was read yet or ``drain_seconds`` have passed since.
        """
        pause = self._first
        while True:
            try:
                result = action()
            except (StoreUnavailable, SourceUnavailable) as error:
                if self._gives_up():
                    raise Stopped from error
                self.pause(what, error, pause)
                pause = min(pause * 2, self._longest)
            else:
                self.answered(what)
                return result

    @contextmanager
    def starting(self, what: str, *, warn: bool = True) -> Iterator[None]:
        """Say what a start waits for, from the first moment on: a connection may hang long before it fails."""
        key, named = self._key(what), self._addresses.get(what, what)
        self._waits[key] = named
        advice = f"waiting_for {what}: {named} has not answered yet; see that it is up and that its address is right"
        timer = threading.Timer(self._notice, log.warning, (advice,))
        timer.daemon = True
        if warn:
            timer.start()
        try:
            yield
            self._waits.pop(key, None)
        finally:
            timer.cancel()
            if warn:
                # What is being said is said by then, and nothing after what has started.
                timer.join()

    def answered(self, what: str) -> None:
        """Note that it answered this thread."""
        self._waits.pop(self._key(what), None)

    def pause(self, what: str, error: Exception, seconds: float | None = None) -> None:
        """Wait before it is asked again (``retry_seconds``, unless told otherwise), and say why."""
        seconds = self._first if seconds is None else seconds
        named, said = self._addresses.get(what, what), str(error)
        self._waits[self._key(what)] = said if named in said else f"{named}: {said}"
        log.warning("waiting_for %s seconds=%.1f error=%s", what, seconds, error)
        self._on_wait(what)
        deadline = self._clock.monotonic() + seconds
        while self._clock.monotonic() < deadline and not self._gives_up():
            self.check()
            self._clock.sleep(min(0.1, seconds))

    def _gives_up(self) -> bool:
        return self.overdue or (self.stopping and not self.reading)

    @staticmethod
    def _key(what: str) -> str:
        """Each thread waits for itself: the scorer's success does not hide the writer's outage."""
        return f"{threading.current_thread().name}/{what}"
