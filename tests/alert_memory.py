"""The alert log in memory for the tests of telling: it notes what it is asked, and fails where a test says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evalsvc.errors import StoreUnavailable
from evalsvc.rules.history import Look, Receipt
from evalsvc.rules.machine import AlertState, Transition, transition_id
from evalsvc.store.alerts_memory import MemoryAlertLog

START = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = (
    "record_looks",
    "alert_states",
    "transitions",
    "untold",
    "record_receipts",
    "receipts",
    "enrol",
    "record_silence",
    "silences",
)


def make_transition(number: int = 0, after: str = "firing", episode: datetime = START, **options) -> Transition:
    """A transition of the alert `number`, which `episode` began; firing a minute later, resolved ten."""
    labels = {"alertname": f"A{number}", "severity": "page", "metric": "refusal", "language": "de"}
    known = {
        "id": transition_id(f"f{number}", episode, after),
        "fingerprint": f"f{number}",
        "labels": labels,
        "rule": f"A{number}",
        "consumer": "quality",
        "key": {},
        "episode": episode,
        "before": "pending" if after == "firing" else "firing",
        "after": after,
        "at": episode + timedelta(minutes=1 if after == "firing" else 10),
        "observation": None,
        "reason": "planted",
        "description": f"Alert {number} is {after}.",
    }
    return Transition(**{**known, **options})


class MemoryLog(MemoryAlertLog):
    """The log that contracts hold. While `broken` holds a method's name, that method raises StoreUnavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.broken: set[str] = set()
        for name in EVERYTHING:
            setattr(self, name, self._watched(name))

    def _watched(self, name: str):
        answer = getattr(super(), name)

        def ask(*args, **named):
            self.asked.append(name)
            if name in self.broken:
                raise StoreUnavailable("planted")
            return answer(*args, **named)

        return ask

    def add(self, *transitions: Transition) -> None:
        """Record transitions, each with the state after it."""
        self.record_looks([Look(state_after(told), told) for told in transitions])

    @property
    def told(self) -> dict[str, Transition]:
        """Every transition, by id."""
        return self._transitions

    @told.setter
    def told(self, transitions: dict[str, Transition]) -> None:
        self._transitions = transitions

    @property
    def written(self) -> dict[tuple[str, str], Receipt]:
        """Every receipt, by transition and receiver."""
        return self._receipts

    @written.setter
    def written(self, receipts: dict[tuple[str, str], Receipt]) -> None:
        self._receipts = receipts

    @property
    def there(self) -> set[str]:
        """The receivers that are told."""
        return {name for name, changes in self._receivers.items() if len(changes) % 2}

    def outcomes(self, receiver: str) -> dict[str, str]:
        """What became of each transition that has a receipt of a receiver, by id."""
        return {name: receipt.outcome for (name, who), receipt in self.written.items() if who == receiver}


def state_after(told: Transition, **changes) -> AlertState:
    """The state that a transition leaves, of the same look."""
    known = {
        "fingerprint": told.fingerprint,
        "labels": told.labels,
        "rule": told.rule,
        "phase": told.after,
        "since": told.at,
        "pending_at": told.episode,
        "evaluated_at": told.at,
    }
    return AlertState(**{**known, **changes})
