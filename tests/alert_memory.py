"""An alert log in memory for the tests of telling: transitions, receipts, silences and states, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from evalsvc.errors import StoreUnavailable
from evalsvc.rules.history import Acknowledgement, Enrolment, Lease, Look, Receipt, Silence, TransitionQuery
from evalsvc.rules.machine import AlertState, Phase, Transition, transition_id

START = datetime(2026, 1, 1, tzinfo=UTC)


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


class MemoryLog:
    """An AlertLog. While `broken` holds a method's name, that method raises StoreUnavailable."""

    def __init__(self) -> None:
        self.told: dict[str, Transition] = {}
        self.written: dict[tuple[str, str], Receipt] = {}
        self.states: dict[str, AlertState] = {}
        self.kept: dict[str, Silence] = {}
        self.began: dict[str, Enrolment] = {}
        self.there: set[str] = set()
        self.asked: list[str] = []
        self.broken: set[str] = set()
        self._lock = threading.RLock()

    def add(self, *transitions: Transition) -> None:
        """Record transitions with the states after them."""
        for told in transitions:
            since = {"since": told.at, "pending_at": told.episode, "evaluated_at": told.at}
            state = AlertState(fingerprint=told.fingerprint, labels=told.labels, phase=told.after, **since)
            self.record_looks([Look(state, told)])

    def outcomes(self, receiver: str) -> dict[str, str]:
        """What became of each transition that has a receipt of a receiver, by id."""
        return {name: receipt.outcome for (name, who), receipt in self.written.items() if who == receiver}

    def _answer(self, method: str) -> None:
        self.asked.append(method)
        if method in self.broken:
            raise StoreUnavailable("planted")

    def record_looks(self, looks: Sequence[Look]) -> None:
        with self._lock:
            self._answer("record_looks")
            for state, told in looks:
                if told is not None:
                    self.told.setdefault(told.id, told)
                self.states[state.fingerprint] = state

    def alert_states(self, rules: Sequence[str] = (), phases: Sequence[Phase] = ()) -> Sequence[AlertState]:
        with self._lock:
            self._answer("alert_states")
            held = [self.states[name] for name in sorted(self.states)]
            return [state for state in held if not phases or state.phase in phases]

    def transitions(self, query: TransitionQuery, limit: int) -> Sequence[Transition]:
        with self._lock:
            self._answer("transitions")
            window, phases, names = query
            found = [
                told
                for told in self.told.values()
                if window.start <= told.at < window.end
                and (not phases or told.after in phases)
                and (not names or told.fingerprint in names)
            ]
            return sorted(found, key=lambda told: (told.at, told.id), reverse=True)[:limit]

    def untold(self, receiver: str, since: datetime, limit: int) -> Sequence[Transition]:
        with self._lock:
            self._answer("untold")
            found = [
                told
                for told in self.told.values()
                if told.at >= since and told.after in ("firing", "resolved") and (told.id, receiver) not in self.written
            ]
            return sorted(found, key=lambda told: (told.at, told.id))[:limit]

    def record_receipts(self, receipts: Sequence[Receipt]) -> None:
        with self._lock:
            self._answer("record_receipts")
            for receipt in receipts:
                self.written.setdefault((receipt.transition, receipt.receiver), receipt)

    def receipts(self, transitions: Sequence[str]) -> Sequence[Receipt]:
        with self._lock:
            self._answer("receipts")
            return [self.written[key] for key in sorted(self.written) if key[0] in set(transitions)]

    def enrol(self, receivers: Sequence[str], now: datetime) -> Mapping[str, Enrolment]:
        with self._lock:
            self._answer("enrol")
            for name in set(receivers) - self.there:
                first = self.began[name].first if name in self.began else now
                self.began[name] = Enrolment(first, now)
            self.there = set(receivers)
            return {name: self.began[name] for name in receivers}

    def record_silence(self, silence: Silence) -> None:
        with self._lock:
            self.kept[silence.id] = silence

    def silences(self, active_at: datetime | None = None) -> Sequence[Silence]:
        with self._lock:
            self._answer("silences")
            found: Iterable[Silence] = self.kept.values()
            if active_at is not None:
                found = (each for each in found if each.starts_at <= active_at < each.ends_at)
            return sorted(found, key=lambda each: each.ends_at, reverse=True)

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        raise NotImplementedError

    def acknowledgements(self, fingerprints: Sequence[str]) -> Mapping[str, Acknowledgement]:
        raise NotImplementedError

    def claim(self, name: str, holder: str, seconds: float) -> Lease:
        raise NotImplementedError

    def release(self, name: str, holder: str) -> None:
        raise NotImplementedError
