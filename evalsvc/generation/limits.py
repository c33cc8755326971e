"""How fast a run asks, for how long, and for how much money."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from evalsvc.clock import SystemClock
from evalsvc.errors import InputError
from evalsvc.generation.values import Answer, Request
from evalsvc.protocols import Clock

MAX_CONCURRENCY = 256
DEADLINE = "deadline passed"
STOPPED = "stopped"

# How soon who waits for a turn sees that the run has ended.
_STOP_SECONDS = 0.2


class AskLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is asked.

    ``concurrency`` requests are under way at once, at most ``requests_per_minute`` begin in a minute (``None``: as many
    as there are), retries counted, and after ``deadline_seconds`` from the first (``None``: never) no other begins.
    """

    concurrency: int = 4
    requests_per_minute: float | None = None
    deadline_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would never ask."""
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise InputError(f"Expected `concurrency` from 1 to {MAX_CONCURRENCY}, but got {self.concurrency!r}")
        for name in ("requests_per_minute", "deadline_seconds"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise InputError(f"Expected `{name}` above 0, but got {value!r}")


class Pacer:
    """Lets calls through at an even pace; ``per_minute`` of ``None`` lets all through. Safe to use from threads."""

    def __init__(self, per_minute: float | None, clock: Clock) -> None:
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._clock, self._lock, self._next = clock, threading.Lock(), -math.inf

    def wait(self, over: Callable[[float], str] = lambda seconds: "") -> str:
        """Return '' when the next request may begin, or why none does: what ``over(seconds to go)`` says meanwhile."""
        if not self._interval:
            return ""
        with self._lock:
            begins = max(self._clock.monotonic(), self._next)
            self._next = begins + self._interval
        while (left := begins - self._clock.monotonic()) > 0.0:
            why = over(left)
            if why:
                return why
            self._clock.sleep(min(left, _STOP_SECONDS))
        return ""

    def charge(self, requests: int) -> None:
        """Count requests that were made beside it, so that those to come are later."""
        with self._lock:
            self._next += max(requests, 0) * self._interval


class RunBudget:
    """What all runs of one process may cost together: dollars, requests, or both; ``None`` is no limit.

    An estimate is held before each request and the cost put in its place after it: requests that run side by side do
    not pass the limit together. Safe to use from several threads.
    """

    def __init__(self, usd: float | None = None, requests: int | None = None) -> None:
        """Begin with nothing spent.

        Raises:
            InputError: when a limit is not a number above 0.
        """
        for name, value in (("usd", usd), ("requests", requests)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"Expected `budget.{name}` above 0, but got {value!r}")
        self.usd_limit, self.request_limit = usd, requests
        self._lock = threading.Condition()
        self._usd = self._held_usd = 0.0
        self._requests = self._held = 0

    @property
    def usd(self) -> float:
        """Dollars spent so far, estimates of requests under way not counted."""
        with self._lock:
            return self._usd

    @property
    def requests(self) -> int:
        """Requests made so far, retries counted."""
        with self._lock:
            return self._requests

    def reserve(self, estimate_usd: float, stopped: Callable[[], bool] = lambda: False) -> str:
        """Hold one request and its estimate and return '', or return why there is no room for it.

        Where only estimates of requests under way leave no room, their end is waited for, or until ``stopped()``.
        """
        with self._lock:
            while True:
                spent = self._full(estimate_usd, 0.0, 0)
                if spent or stopped():
                    return spent or STOPPED
                if not self._full(estimate_usd, self._held_usd, self._held):
                    self._held_usd, self._held = self._held_usd + estimate_usd, self._held + 1
                    return ""
                self._lock.wait(0.5)

    def settle(self, estimate_usd: float, usd: float, requests: int) -> None:
        """Put what a request cost, retries counted, in its estimate's place."""
        with self._lock:
            self._held_usd, self._held = self._held_usd - estimate_usd, self._held - 1
            self._usd, self._requests = self._usd + usd, self._requests + requests
            self._lock.notify_all()

    def _full(self, estimate_usd: float, held_usd: float, held: int) -> str:
        limit = self.usd_limit
        if limit is not None:
            # Sums of floats: a budget of 1 $ pays ten requests of 0.1 $.
            left, rounding = limit - self._usd - held_usd, limit * 1e-9
            if estimate_usd > limit + rounding:
                return f"one request may cost more than the budget of ${limit:g}"
            if estimate_usd > left + rounding or left <= rounding:
                return f"budget of ${limit:g} used up"
        if self.request_limit is not None and self._requests + held >= self.request_limit:
            return f"budget of {self.request_limit} requests used up"
        return ""


class Turns:
    """The requests that one question takes, each begun within the run's budget, pace and deadline.

    A :meth:`begin` that returns '' is followed by :meth:`end`. Of one thread. Without arguments, every turn comes at
    once.

    Args:
        budget: what pays; without one, nothing is counted.
        pacer: when the next may begin.
        estimate_usd: what one request may cost.
        ends: when the last may begin, by ``clock``; ``None`` is never.
        stopped: whether the run has ended.
    """

    def __init__(
        self,
        budget: RunBudget | None = None,
        pacer: Pacer | None = None,
        clock: Clock | None = None,
        *,
        estimate_usd: float = 0.0,
        ends: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock or SystemClock()
        self._budget, self._pacer = budget or RunBudget(), pacer or Pacer(None, self._clock)
        self._estimate, self._ends, self._stopped = estimate_usd, ends, stopped

    def over(self, seconds: float = 0.0) -> str:
        """Return why no request may begin ``seconds`` from now, its price aside; '' where one may."""
        if self._stopped():
            return STOPPED
        late = self._ends is not None and self._clock.monotonic() + seconds >= self._ends
        return DEADLINE if late else ""

    def begin(self, ready: Callable[[Callable[[], str]], str] = lambda over: "") -> str:
        """Wait until the next request may begin and return '', or return why none may.

        ``ready(over)`` is waited for last: it returns '' once whoever is asked can take a request, or what ``over()``
        says meanwhile.
        """
        refused = self.over() or self._budget.reserve(self._estimate, self._stopped)
        if refused:
            return refused
        refused = STOPPED
        try:
            # Waiting takes time: what was allowed before it may not be after it.
            refused = self._pacer.wait(self.over) or self.over() or ready(self.over)
        finally:
            if refused:
                self.end(0.0, 0)
        return refused

    def end(self, usd: float, requests: int = 1) -> None:
        """Tell what came of a turn: what it cost, and how many requests it was."""
        self._budget.settle(self._estimate, usd, requests)
        self._pacer.charge(requests - 1)


@runtime_checkable
class TakesTurns(Protocol):
    """A generator that may send several requests for one answer, and takes a turn for each."""

    def generate_in_turns(self, request: Request, turns: Turns) -> Answer:
        """Answer as :meth:`Generator.generate` does; why a turn is refused is then why there is no answer."""
        ...
