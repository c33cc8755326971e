"""A budget for each clock hour and each day: an estimate is reserved before a call and settled after it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from evalsvc.judges.settings import BudgetLimits
from evalsvc.judges.spend import Spend
from evalsvc.protocols import Clock

_HOUR_SECONDS = 3600
_DAY_SECONDS = 86_400


@dataclass(slots=True)
class _Window:
    """What was spent, or is reserved, since the window began; ``held_…`` is the reserved part."""

    name: str
    seconds: int
    usd_limit: float | None
    token_limit: int | None
    number: int = -1
    usd: float = 0.0
    tokens: int = 0
    held_usd: float = 0.0
    held_tokens: int = 0

    def roll(self, number: int) -> None:
        """Begin anew once a new window has come."""
        if number > self.number:
            self.number, self.usd, self.tokens, self.held_usd, self.held_tokens = number, 0.0, 0, 0.0, 0

    def has_room_for(self, cost: Spend, *, once_settled: bool = False) -> bool:
        """Whether neither limit would be passed; ``once_settled``, if what is held now came to cost nothing."""
        usd, tokens = (
            (self.usd - self.held_usd, self.tokens - self.held_tokens) if once_settled else (self.usd, self.tokens)
        )
        money = self.usd_limit is None or usd + (cost.usd or 0.0) <= self.usd_limit
        return money and (self.token_limit is None or tokens + cost.tokens <= self.token_limit)

    def hold(self, estimate: Spend, sign: int = 1) -> None:
        """Reserve it, or with ``sign=-1`` take it back."""
        self.add(estimate, sign)
        self.held_usd += sign * (estimate.usd or 0.0)
        self.held_tokens += sign * estimate.tokens

    def add(self, cost: Spend, sign: int = 1) -> None:
        """Count it, or with ``sign=-1`` take it back."""
        self.usd += sign * (cost.usd or 0.0)
        self.tokens += sign * cost.tokens


@dataclass(frozen=True, slots=True)
class Reservation:
    """An estimate that is held until the cost is known, and the windows in which it is held."""

    estimate: Spend
    windows: tuple[int, ...]


class Budget:
    """Money and tokens of the running hour and day, in UTC, kept in this process: a restart begins anew.

    Since the estimate is reserved, calls that run side by side cannot pass a limit together; what a call costs beyond
    its estimate can. Safe to use from several threads.
    """

    def __init__(self, limits: BudgetLimits, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Condition()
        self._total = Spend()
        self._windows = (
            _Window("hour", _HOUR_SECONDS, limits.usd_per_hour, limits.tokens_per_hour),
            _Window("day", _DAY_SECONDS, limits.usd_per_day, limits.tokens_per_day),
        )

    def reserve(self, estimate: Spend, patience_seconds: float = 0.0) -> Reservation | str:
        """Hold an estimate, or return why there is no room for it.

        Estimates are high. Where only those of calls under way leave no room, wait so many seconds of real time at most
        for them to be settled; what is spent already is not waited for.
        """
        end = time.monotonic() + patience_seconds
        with self._lock:
            while True:
                self._roll()
                full = [window for window in reversed(self._windows) if not window.has_room_for(estimate)]
                if not full:
                    break
                for window in full:
                    if not window.has_room_for(estimate, once_settled=True):
                        return f"judge budget of this {window.name} is used up"
                left = end - time.monotonic()
                if left <= 0:
                    return f"judge budget of this {full[0].name} is held by calls under way"
                self._lock.wait(left)
            for window in self._windows:
                window.hold(estimate)
            return Reservation(estimate, tuple(window.number for window in self._windows))

    def settle(self, reservation: Reservation, cost: Spend) -> None:
        """Put the cost in the estimate's place, in those of its windows that are not over."""
        with self._lock:
            self._roll()
            self._total += cost
            for window, number in zip(self._windows, reservation.windows, strict=True):
                if window.number == number:
                    window.hold(reservation.estimate, -1)
                    window.add(cost)
            self._lock.notify_all()

    @property
    def total(self) -> Spend:
        """All that was settled since the process began, failed calls included."""
        with self._lock:
            return self._total

    def used(self) -> dict[str, tuple[float, int]]:
        """Return (dollars, tokens) spent or reserved in the running hour and day."""
        with self._lock:
            self._roll()
            return {window.name: (window.usd, window.tokens) for window in self._windows}

    def _roll(self) -> None:
        now = self._clock.now().timestamp()
        for window in self._windows:
            window.roll(int(now // window.seconds))
