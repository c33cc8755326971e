"""The reference of what is remembered of alerts: plain Python, in memory, written to be read."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from evalsvc.clock import SystemClock
from evalsvc.protocols import Clock
from evalsvc.rules.history import (
    TOLD,
    Acknowledgement,
    Enrolment,
    Lease,
    Look,
    Receipt,
    Silence,
    TransitionQuery,
)
from evalsvc.rules.machine import AlertState, Phase, Transition
from evalsvc.store.alert_values import (
    check_limit,
    check_looks,
    check_receipts,
    check_seconds,
    check_silence,
    check_time,
    ranked,
)
from evalsvc.types import utc


class MemoryAlertLog:
    """A :class:`~evalsvc.rules.history.AlertLog` in this process's memory; nothing outlives it.

    >>> MemoryAlertLog().alert_states()
    []
    """

    def __init__(self, clock: Clock | None = None) -> None:
        """Begin empty; ``clock`` times leases."""
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._states: dict[str, tuple[tuple[int, datetime, bool], AlertState]] = {}
        self._transitions: dict[str, Transition] = {}
        self._receipts: dict[tuple[str, str], Receipt] = {}
        # When each receiver came, went, came back, and so on.
        self._receivers: dict[str, list[datetime]] = {}
        self._silences: dict[str, Silence] = {}
        self._acknowledgements: dict[str, Acknowledgement] = {}
        self._leases: dict[str, Lease] = {}

    def record_looks(self, looks: Sequence[Look]) -> None:
        """Remember states and transitions; a transition that is remembered stays as it was."""
        check_looks(looks)
        with self._lock:
            for state, transition in looks:
                if transition is not None:
                    self._transitions.setdefault(transition.id, transition)
                rank = ranked(state, transition is not None)
                held = self._states.get(state.fingerprint)
                if held is None or rank >= held[0]:
                    self._states[state.fingerprint] = (rank, state)

    def alert_states(self, rules: Sequence[str] = (), phases: Sequence[Phase] = ()) -> Sequence[AlertState]:
        """Return the last state of every alert, by fingerprint: of those of some rules, of those in some phases."""
        with self._lock:
            states = [state for _, (_, state) in sorted(self._states.items(), key=lambda item: item[0])]
        states = [state for state in states if not rules or state.rule in rules]
        return [state for state in states if not phases or state.phase in phases]

    def transitions(self, query: TransitionQuery, limit: int) -> Sequence[Transition]:
        """Return at most ``limit`` transitions, each once, the newest first; of one time by id."""
        check_limit(limit)
        with self._lock:
            held = sorted(self._transitions.values(), key=lambda transition: transition.id)
        found = [
            transition
            for transition in held
            if transition.at in query.window
            and (not query.phases or transition.after in query.phases)
            and (not query.fingerprints or transition.fingerprint in query.fingerprints)
        ]
        return sorted(found, key=lambda transition: transition.at, reverse=True)[:limit]

    def untold(self, receiver: str, since: datetime, limit: int) -> Sequence[Transition]:
        """Return at most ``limit`` transitions to tell, since then, without a receipt: the oldest first."""
        check_limit(limit)
        since = utc(since)
        with self._lock:
            found = [
                transition
                for transition in self._transitions.values()
                if transition.after in TOLD
                and transition.at >= since
                and (transition.id, receiver) not in self._receipts
            ]
        return sorted(found, key=lambda transition: (transition.at, transition.id))[:limit]

    def record_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Remember what became of messages; the first of a transition and receiver counts."""
        check_receipts(receipts)
        with self._lock:
            for receipt in receipts:
                self._receipts.setdefault((receipt.transition, receipt.receiver), receipt)

    def receipts(self, transitions: Sequence[str]) -> Sequence[Receipt]:
        """Return the receipts of these transitions, by transition and receiver."""
        wanted = set(transitions)
        with self._lock:
            held = sorted(self._receipts.items(), key=lambda item: item[0])
        return [receipt for (transition, _), receipt in held if transition in wanted]

    def enrol(self, receivers: Sequence[str], now: datetime) -> Mapping[str, Enrolment]:
        """Say that these receivers are told from ``now`` on, and no others; return since when each of them is."""
        now = check_time("now", now)
        with self._lock:
            for name in {*receivers, *self._receivers}:
                changes = self._receivers.setdefault(name, [])
                if (name in receivers) != bool(len(changes) % 2):
                    changes.append(now)
            return {name: Enrolment(self._receivers[name][0], self._receivers[name][-1]) for name in receivers}

    def record_silence(self, silence: Silence) -> None:
        """Remember a silence, or its new end."""
        check_silence(silence)
        with self._lock:
            held = self._silences.get(silence.id)
            if held is None or silence.recorded_at >= held.recorded_at:
                self._silences[silence.id] = silence

    def silences(self, active_at: datetime | None = None) -> Sequence[Silence]:
        """Return silences, the last to end first, of one end by id."""
        at = None if active_at is None else utc(active_at)
        with self._lock:
            held = sorted(self._silences.values(), key=lambda silence: silence.id)
        return in_force(held, at)

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Remember who looks after an episode."""
        at = check_time("at", acknowledgement.at)
        check_time("episode", acknowledgement.episode)
        with self._lock:
            held = self._acknowledgements.get(acknowledgement.fingerprint)
            if held is None or (at, acknowledgement.episode) >= (held.at, held.episode):
                self._acknowledgements[acknowledgement.fingerprint] = acknowledgement

    def acknowledgements(self, fingerprints: Sequence[str]) -> Mapping[str, Acknowledgement]:
        """Return the last acknowledgement of each of these alerts that has any."""
        with self._lock:
            found = ((name, self._acknowledgements.get(name)) for name in fingerprints)
            return {name: last for name, last in found if last is not None}

    def claim(self, name: str, holder: str, seconds: float) -> Lease:
        """Claim or renew a lease; return who has it."""
        check_seconds(seconds)
        with self._lock:
            now, held = self._clock.now(), self._leases.get(name)
            if held is not None and held.until > now and held.holder != holder:
                return msgspec.structs.replace(held, held=False)
            since = held.since if held is not None and held.until > now else now
            lease = Lease(holder=holder, since=since, until=now + timedelta(seconds=seconds), held=True)
            self._leases[name] = lease
            return lease

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; does nothing for one that is not held."""
        with self._lock:
            held = self._leases.get(name)
            if held is not None and held.holder == holder:
                del self._leases[name]


def in_force(silences: Sequence[Silence], at: datetime | None) -> list[Silence]:
    """Return those in force at a time, or all, the last to end first; of one end in the order in which they came."""
    found = [silence for silence in silences if at is None or silence.starts_at <= at < silence.ends_at]
    return sorted(found, key=lambda silence: silence.ends_at, reverse=True)
