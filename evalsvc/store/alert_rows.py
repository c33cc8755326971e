"""Alerts as Arrow tables: what a person looks for in columns of its own, the whole as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from evalsvc.rules.history import Acknowledgement, Look, Receipt, Silence
from evalsvc.rules.machine import AlertState, Transition
from evalsvc.store.alert_values import ranked, to_json
from evalsvc.store.columns import strings, times

if TYPE_CHECKING:
    import pyarrow as pa

_STATE_TEXTS = ("fingerprint", "rule", "consumer", "phase")
_TRANSITION_TEXTS = ("id", "fingerprint", "rule", "consumer", "before", "after")


def state_table(looks: Sequence[Look]) -> pa.Table:
    """Return the states of looks as a table."""
    import pyarrow as pa

    states = [look.state for look in looks]
    columns = _texts(states, _STATE_TEXTS)
    columns["evaluated_at"] = times([ranked(state, False)[0] for state in states], bounded=False)
    columns["moved"] = pa.array([look.transition is not None for look in looks]).cast(pa.uint8())
    columns["state"] = strings(list(map(to_json, states)))
    return pa.table(columns)


def transition_table(moves: Sequence[tuple[Transition, AlertState]]) -> pa.Table:
    """Return transitions, each with the state after it, as a table."""
    import pyarrow as pa

    transitions = [transition for transition, _ in moves]
    columns = _texts(transitions, _TRANSITION_TEXTS)
    columns["at"] = times([transition.at for transition in transitions], bounded=False)
    columns["transition"] = strings(list(map(to_json, transitions)))
    columns["evaluated_at"] = times([ranked(state, True)[0] for _, state in moves], bounded=False)
    columns["state"] = strings([to_json(state) for _, state in moves])
    return pa.table(columns)


def receipt_table(receipts: Sequence[Receipt]) -> pa.Table:
    """Return receipts as a table."""
    import pyarrow as pa

    columns = _texts(receipts, ("receiver", "transition", "outcome", "detail"))
    columns["at"] = times([receipt.at for receipt in receipts], bounded=False)
    columns["attempts"] = pa.array([receipt.attempts for receipt in receipts], pa.uint32())
    return pa.table(columns)


def receiver_table(receiver: str, enrolled_at: datetime) -> pa.Table:
    """Return a receiver's enrolment as a table of one row."""
    import pyarrow as pa

    return pa.table({"receiver": strings([receiver]), "enrolled_at": times([enrolled_at], bounded=False)})


def silence_table(silence: Silence) -> pa.Table:
    """Return a silence as a table of one row."""
    import pyarrow as pa

    columns = _texts([silence], ("id", "author", "reason"))
    columns |= {name: times([getattr(silence, name)], False) for name in ("starts_at", "ends_at", "recorded_at")}
    columns["matchers"] = strings([to_json(silence.matchers)])
    return pa.table(columns)


def acknowledgement_table(acknowledgement: Acknowledgement) -> pa.Table:
    """Return an acknowledgement as a table of one row."""
    import pyarrow as pa

    columns = _texts([acknowledgement], ("fingerprint", "author", "note"))
    columns |= {name: times([getattr(acknowledgement, name)], False) for name in ("episode", "at")}
    return pa.table(columns)


def _texts(values: Sequence[msgspec.Struct], names: Sequence[str]) -> dict[str, pa.Array[Any]]:
    return {name: strings(list(map(attrgetter(name), values))) for name in names}
