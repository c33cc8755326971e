"""What is to become of a transition that a receiver has not been told of: pure, apart from what it asks the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from evalsvc.notify.routing import matches, receivers_of
from evalsvc.notify.values import Routes
from evalsvc.rules.history import AlertLog, Enrolment, Receipt, Silence, TransitionQuery
from evalsvc.rules.machine import Transition, transition_id
from evalsvc.types import Window

_MOST = 100_000
AS_REFUSED = "as its firing: refused"
OVER_BEFORE = "it was over before this receiver was there"
BEGAN_BEFORE = "it began before this receiver was there"
SHOWN_WITHIN = timedelta(hours=1)
"""So long an end waits for the receipt of its beginning, which a replica of the store may show late."""

Fate = Literal["tell", "wait", "silenced", "not_routed", "refused", "missed"]


class Decision(NamedTuple):
    """What to do with a transition, and why for people."""

    fate: Fate
    detail: str = ""


class Decider:
    """Decides for one receiver, for what one turn has read.

    A firing alert that a silence covers waits: it is told where it still fires when the silence ends. A resolution
    follows its firing: it is told where that was told, silence or not, so that what on-call has seen begin also ends;
    both are closed as ``silenced`` where the firing still waits and a silence covered the end, or covers now.
    What began before the receiver was there is told where it still fires; what is over is closed as ``missed``.
    An end whose beginning has no receipt waits for it: both are ``missed`` only after a while, and an end alone is
    ``not_routed`` only where the log says that it began before the receiver was first there, or knows of no beginning.
    """

    def __init__(
        self,
        log: AlertLog,
        routes: Routes,
        receiver: str,
        now: datetime,
        enrolment: Enrolment,
        known: Mapping[str, Receipt] | None = None,
    ) -> None:
        """Decide at ``now`` for a receiver that is there since its ``enrolment``.

        ``known`` receipts, by transition, count whether or not the log shows them already.
        """
        self._log, self._routes, self._receiver, self._now = log, routes, receiver, now
        self._first, self._since = min(enrolment), enrolment.since
        self._silences: Sequence[Silence] = ()
        self._known = known or {}

    def decide(self, pending: Sequence[Transition], *, whole: bool = True) -> list[tuple[Transition, Decision]]:
        """Return what becomes of each, in the order given.

        ``whole`` says that nothing else is to be told of what happened since the receiver was first there.
        """
        if not pending:
            return []
        self._silences = self._log.silences()
        firings = {told.id: told for told in pending if told.after == "firing"}
        ends = {firing_id(told): told for told in pending if told.after == "resolved"}
        alone = [told for told in firings.values() if told.id not in ends and (not whole or told.at < self._first)]
        ends = {**self._later_ends(alone), **ends}
        wanted = [firing_id(told) for told in pending if told.after == "resolved" and firing_id(told) not in firings]
        mine = (found for found in self._log.receipts(wanted) if found.receiver == self._receiver) if wanted else ()
        receipts = {receipt.transition: receipt for receipt in mine}
        receipts |= {name: self._known[name] for name in wanted if name in self._known}
        unseen = {*wanted} - {*receipts}
        began = self._beginnings([told for told in pending if firing_id(told) in unseen and self._settled(told)])
        decided = []
        for told in pending:
            name = firing_id(told)
            if told.after == "resolved" and name not in firings:
                decision = self._as_its_firing(told, receipts.get(name), began.get(name))
            else:
                decision = self._decision(told, firings, ends)
            decided.append((told, decision))
        return decided

    def _later_ends(self, firings: Sequence[Transition]) -> dict[str, Transition]:
        """Return the ends that are not among what was read: a firing is decided together with its end."""
        if not firings:
            return {}
        last = max(self._now, *(told.at for told in firings)) + timedelta(days=1)
        fingerprints = tuple(dict.fromkeys(told.fingerprint for told in firings))
        query = TransitionQuery(Window(min(told.at for told in firings), last), ("resolved",), fingerprints)
        return {firing_id(told): told for told in self._log.transitions(query, _MOST)}

    def _settled(self, end: Transition) -> bool:
        """Return whether the receipt of a beginning would be seen by now."""
        return self._now - end.at >= SHOWN_WITHIN

    def _beginnings(self, ends: Sequence[Transition]) -> dict[str, datetime]:
        """Return when those began that the log still knows the beginning of, by the firing's id."""
        if not ends:
            return {}
        window = Window(min(told.episode for told in ends), max(told.at for told in ends) + timedelta(seconds=1))
        query = TransitionQuery(window, ("firing",), tuple(dict.fromkeys(told.fingerprint for told in ends)))
        return {told.id: told.at for told in self._log.transitions(query, _MOST)}

    def _as_its_firing(self, end: Transition, receipt: Receipt | None, began: datetime | None) -> Decision:
        """Return what becomes of an end whose beginning is no more in the queue."""
        if receipt is None:
            before = self._settled(end) and (began is None or began < self._first)
            return Decision("not_routed", BEGAN_BEFORE) if before else Decision("wait")
        if receipt.outcome == "delivered":
            return Decision("tell")
        detail = AS_REFUSED if receipt.outcome == "refused" else f"as its firing: {receipt.outcome}"
        return Decision(receipt.outcome, detail)

    def _decision(
        self, told: Transition, firings: Mapping[str, Transition], ends: Mapping[str, Transition]
    ) -> Decision:
        if self._receiver not in receivers_of(self._routes, told.labels):
            return Decision("not_routed")
        end = told if told.after == "resolved" else ends.get(told.id)
        if end is not None and firings.get(firing_id(told), told).at < self._since:
            return Decision("missed", OVER_BEFORE) if self._settled(end) else Decision("wait")
        silence = self._covering(told, end)
        if silence is None:
            return Decision("tell")
        return Decision("silenced", f"silence {silence.id}") if end else Decision("wait", f"silence {silence.id}")

    def _covering(self, told: Transition, end: Transition | None) -> Silence | None:
        """Return a silence of now, or of when the alert ended."""
        times = (self._now, end.at) if end else (self._now,)
        return next(
            (
                silence
                for silence in self._silences
                if any(silence.starts_at <= time < silence.ends_at for time in times)
                and matches(told.labels, silence.matchers)
            ),
            None,
        )


def firing_id(told: Transition) -> str:
    """Return the id of the transition that began what this one belongs to: its own, of a firing one."""
    return transition_id(told.fingerprint, told.episode, "firing")
