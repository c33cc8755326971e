"""The SQL of dead letters: which records were no events, by their places, and how many for which reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalsvc.protocols import DeadLetterQuery
from evalsvc.store.queries import Statement
from evalsvc.store.ranks import clean, microseconds, moment
from evalsvc.types import DeadLetter


def letters_statement(query: DeadLetterQuery, limit: int) -> Statement:
    """Return letters as columns in the order of ``DeadLetter``'s fields, times as microseconds; the newest first."""
    where, parameters = _conditions(query)
    micros = {"received_at": "toUnixTimestamp64Micro(received_at)"}
    columns = ", ".join(micros.get(name, name) for name in DeadLetter.__struct_fields__)
    order = "received_at DESC, consumer, partition, offset DESC LIMIT {limit:UInt64}"
    sql = f"SELECT {columns} FROM dead_letters FINAL WHERE {where} ORDER BY {order}"  # noqa: S608
    return Statement(sql, {**parameters, "limit": limit})


def reasons_statement(query: DeadLetterQuery) -> Statement:
    """Return reason, records, and the place and message of the first received, the most frequent reason first."""
    where, parameters = _conditions(query)
    first = "argMin((partition, offset, message, at), (received_at, consumer, partition, offset))"
    sql = (
        f"SELECT reason, count() AS records, {first} FROM dead_letters FINAL WHERE {where} "  # noqa: S608
        "GROUP BY reason ORDER BY records DESC, reason"
    )
    return Statement(sql, parameters)


def _conditions(query: DeadLetterQuery) -> tuple[str, dict[str, object]]:
    named = {"consumer": query.consumer, "reason": query.reason}
    parameters: dict[str, object] = {name: clean(value) for name, value in named.items() if value is not None}
    parts = [f"{name} = {{{name}:String}}" for name in parameters]
    for sign, edge in ((">=", query.window.start), ("<", query.window.end)):
        parts.append(f"received_at {sign} fromUnixTimestamp64Micro({microseconds(edge)}, 'UTC')")
    return " AND ".join(parts), parameters


def letter_of(row: Sequence[Any]) -> DeadLetter:
    """Return the letter that a row of :func:`letters_statement` is."""
    fields = dict(zip(DeadLetter.__struct_fields__, row, strict=True))
    return DeadLetter(**{**fields, "received_at": moment(fields["received_at"])})
