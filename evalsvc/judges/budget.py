"""A budget for each clock hour and each day: an estimate is reserved before a call and settled after it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from evalsvc.judges.settings import BudgetLimits
from evalsvc.judges.spend import Spend
from evalsvc.protocols import Clock

_HOUR_SECONDS = 3600
_DAY_SECONDS = 86_400


@dataclass(slots=True)
class _Window:
    """What was spent, or is reserved, since the window began."""

    name: str
    seconds: int
    usd_limit: float | None
    token_limit: int | None
    number: int = -1
    usd: float = 0.0
    tokens: int = 0

    def roll(self, number: int) -> None:
        """Begin anew once a new window has come."""
        if number > self.number:
            self.number, self.usd, self.tokens = number, 0.0, 0

    def has_room_for(self, cost: Spend) -> bool:
        """Whether neither limit would be passed."""
        money = self.usd_limit is None or self.usd + (cost.usd or 0.0) <= self.usd_limit
        return money and (self.token_limit is None or self.tokens + cost.tokens <= self.token_limit)

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
        self._lock = threading.Lock()
        self._total = Spend()
        self._windows = (
            _Window("hour", _HOUR_SECONDS, limits.usd_per_hour, limits.tokens_per_hour),
            _Window("day", _DAY_SECONDS, limits.usd_per_day, limits.tokens_per_day),
        )

    def reserve(self, estimate: Spend) -> Reservation | str:
        """Hold an estimate, or return why there is no room for it."""
        with self._lock:
            self._roll()
            for window in reversed(self._windows):
                if not window.has_room_for(estimate):
                    return f"judge budget of this {window.name} is used up"
            for window in self._windows:
                window.add(estimate)
            return Reservation(estimate, tuple(window.number for window in self._windows))

    def settle(self, reservation: Reservation, cost: Spend) -> None:
        """Put the cost in the estimate's place, in those of its windows that are not over."""
        with self._lock:
            self._roll()
            self._total += cost
            for window, number in zip(self._windows, reservation.windows, strict=True):
                if window.number == number:
                    window.add(reservation.estimate, -1)
                    window.add(cost)

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
