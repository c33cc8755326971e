"""What receivers that may forget are told again: what fires, and what ended lately, where they were told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from evalsvc.rules.history import AlertLog, TransitionQuery
from evalsvc.rules.machine import AlertState, Transition, transition_id
from evalsvc.types import Window

RESOLVED_FOR = timedelta(minutes=15)
"""How long a resolution is told again to receivers that may have missed it, as Prometheus does."""
_MOST = 100_000
_SOON = timedelta(seconds=1)
_APART = timedelta(days=30)
"""How far before its beginning, and after now, an end is looked for: either may be by a clock that was ahead."""


def to_refresh(log: AlertLog, receiver: str, now: datetime) -> tuple[list[Transition], list[Transition]]:
    """Return what fires and what was resolved lately, of that which a receiver was told of.

    Four questions to the log, however many alerts there are.

    Raises:
        StoreUnavailable: the log does not answer.
    """
    firing = firings(log, log.alert_states(phases=("firing",)), now)
    again = {told.fingerprint for told in firing}
    lately = TransitionQuery(Window(now - RESOLVED_FOR, now + _SOON), ("resolved",))
    ended = [told for told in log.transitions(lately, _MOST) if told.fingerprint not in again]
    ids = [told.id for told in (*firing, *ended)]
    found = log.receipts(ids) if ids else ()
    delivered = {one.transition for one in found if one.receiver == receiver and one.outcome == "delivered"}
    return [told for told in firing if told.id in delivered], [told for told in ended if told.id in delivered]


def firings(log: AlertLog, states: Sequence[AlertState], now: datetime) -> list[Transition]:
    """Return the transitions by which alerts fire, the newest first, by their states.

    An alert whose end is in the log is over, though a state of a look that was made meanwhile says that it fires.

    Raises:
        StoreUnavailable: the log does not answer.
    """
    began = {state.fingerprint: state.since for state in states if state.phase == "firing" and state.since}
    if not began:
        return []
    window = Window(min(now, *began.values()) - _APART, max(now, *began.values()) + _APART)
    episodes = {state.fingerprint: state.pending_at or state.since or now for state in states}
    found = log.transitions(TransitionQuery(window, ("firing", "resolved"), tuple(began)), _MOST)
    known = {told.id for told in found}
    over = {name for name, episode in episodes.items() if transition_id(name, episode, "resolved") in known}
    ids = {transition_id(name, episode, "firing") for name, episode in episodes.items() if name not in over}
    return [told for told in found if told.id in ids]
