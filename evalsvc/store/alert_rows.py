"""Alerts as Arrow tables: what a person looks for in columns of its own, the whole as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evalsvc.rules.history import Acknowledgement, Receipt, Silence
from evalsvc.rules.machine import AlertState, Transition
from evalsvc.store.alert_values import ranked, to_json
from evalsvc.store.columns import strings, times
from evalsvc.store.ranks import microseconds

if TYPE_CHECKING:
    import pyarrow as pa

_STATE_TEXTS = ("fingerprint", "rule", "consumer", "phase")
_TRANSITION_TEXTS = ("id", "fingerprint", "rule", "consumer", "before", "after")


class LookRow(NamedTuple):
    """A look, and its state as JSON."""

    state: AlertState
    transition: Transition | None
    text: str

    @property
    def rank(self) -> tuple[int, datetime, bool]:
        """What decides between two states of an alert: the greater counts."""
        return ranked(self.state, self.transition is not None)


def state_table(rows: Sequence[LookRow]) -> pa.Table:
    """Return the states of looks as a table."""
    import pyarrow as pa

    columns = _texts([row.state for row in rows], _STATE_TEXTS)
    ranks = [row.rank for row in rows]
    columns["evaluated_at"] = times([at for _, at, _ in ranks], bounded=False)
    columns["moved"] = pa.array([moved for _, _, moved in ranks]).cast(pa.uint8())
    columns["state"] = strings([row.text for row in rows])
    columns["rank"] = pa.array([era << 53 | microseconds(at) << 1 | moved for era, at, moved in ranks], pa.uint64())
    return pa.table(columns)


def transition_table(rows: Sequence[LookRow]) -> pa.Table:
    """Return the transitions of looks that have one, each with the state after it, as a table."""
    import pyarrow as pa

    transitions = [row.transition for row in rows if row.transition is not None]
    columns = _texts(transitions, _TRANSITION_TEXTS)
    columns["at"] = times([transition.at for transition in transitions], bounded=False)
    columns["transition"] = strings(list(map(to_json, transitions)))
    columns["evaluated_at"] = times([row.rank[1] for row in rows], bounded=False)
    columns["era"] = pa.array([row.state.era for row in rows if row.transition is not None], pa.uint16())
    columns["state"] = strings([row.text for row in rows])
    return pa.table(columns)


def receipt_table(receipts: Sequence[Receipt]) -> pa.Table:
    """Return receipts as a table."""
    import pyarrow as pa

    columns = _texts(receipts, ("receiver", "transition", "outcome", "detail"))
    columns["at"] = times([receipt.at for receipt in receipts], bounded=False)
    columns["attempts"] = pa.array([receipt.attempts for receipt in receipts], pa.uint32())
    return pa.table(columns)


def enrolment_table(numbers: Mapping[str, int], at: datetime) -> pa.Table:
    """Return receivers' comings and goings at a time as a table; ``numbers`` count those of each, by its name."""
    import pyarrow as pa

    columns: dict[str, pa.Array[Any]] = {"receiver": strings(list(numbers))}
    columns["number"] = pa.array(list(numbers.values()), pa.uint32())
    columns["at"] = times([at] * len(numbers), bounded=False)
    return pa.table(columns)


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
    columns["closes"] = pa.array([acknowledgement.closes]).cast(pa.uint8())
    return pa.table(columns)


def _texts(values: Sequence[msgspec.Struct], names: Sequence[str]) -> dict[str, pa.Array[Any]]:
    return {name: strings(list(map(attrgetter(name), values))) for name in names}
