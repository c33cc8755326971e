"""Foreign rows into native events: which column is which field, and what every row has in common."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from evalsvc.errors import InputError
from evalsvc.types import Event

_FIELDS = frozenset(name for name in Event.__struct_fields__ if name != "findings") | {"format"}
_GROUPS = ("segments", "attributes", "data")
_WHOLE = frozenset({"turn", "input_tokens", "output_tokens"})
_NUMBERS = frozenset({"latency_ms", "time_to_first_token_ms", "cost_usd"})
_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_FREE = frozenset({"prompt", "data", "attributes", "segments", "contexts"})


class FieldMap:
    """Turns a row (a JSON object, a CSV or Parquet row) into a native event's JSON.

    A column with a field's own name needs no entry, nor has one with a dotted name (``segments.plan``).
    Columns that are neither mapped nor fields are left out when there is a map, and refused by the decoder
    when there is none.

    Args:
        fields: column to field: ``{"query": "prompt", "raw.uid": "event_id", "label": "attributes.label"}``.
            A dotted column is looked up as it is, then as a path. Several columns may go to ``contexts``.
        constants: field to value for every row; they win over columns.
        assume_zone: the zone of times that are written without one (``UTC``, ``Europe/Berlin``); without it
            such times are refused.

    Raises:
        InputError: on a target that is no field, or a zone that does not exist.

    >>> FieldMap({"query": "prompt"}, {"application": "support"}).native({"id": 7, "query": "Why?"}, "f-0")
    b'{"prompt":"Why?","application":"support","event_id":"f-0"}'
    """

    def __init__(
        self,
        fields: Mapping[str, str] | None = None,
        constants: Mapping[str, Any] | None = None,
        assume_zone: str | None = None,
    ) -> None:
        self.fields, self.constants = dict(fields or {}), dict(constants or {})
        for target in (*self.fields.values(), *self.constants):
            if not _is_target(target):
                raise InputError(
                    f"Expected a field of an event or segments.NAME (attributes., data.), but got {target!r}"
                )
        try:
            self._zone = ZoneInfo(assume_zone) if assume_zone else None
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise InputError(f"Expected a time zone such as UTC or Europe/Berlin, but got {assume_zone!r}") from error
        self.identity = msgspec.json.encode([self.fields, self.constants, assume_zone], order="deterministic")

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.fields or self.constants or self._zone)

    def native(self, row: Mapping[str, Any], event_id: str) -> bytes:
        """Return the row as native JSON; ``event_id`` serves where the row has none."""
        event: dict[str, Any] = {}
        for column, target in self._targets(row):
            found = look_up(row, column)
            if isinstance(found, bytes):
                found = found.decode("utf-8", "surrogateescape")
            if found is not None and found != "" and not (isinstance(found, float) and math.isnan(found)):
                self._put(event, target, found)
        for target, constant in self.constants.items():
            assign(event, target, constant)
        event.setdefault("event_id", event_id)
        return encode(event)

    def _targets(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        named = list(self.fields.items())
        own = [
            (column, column) for column in row if column not in self.fields and (_is_target(column) or not self.fields)
        ]
        return named + own

    def _put(self, event: dict[str, Any], target: str, found: Any) -> None:  # noqa: ANN401
        if target == "contexts":
            event.setdefault("contexts", []).extend(passages(found))
        elif target == "occurred_at":
            event[target] = self._moment(found)
        else:
            assign(event, target, _fit(target, found))

    def _moment(self, found: Any) -> Any:  # noqa: ANN401
        if isinstance(found, str):
            if found.isdigit():
                return int(found)
            try:
                found = datetime.fromisoformat(found)
            except ValueError:
                return found
        if not isinstance(found, datetime):
            return found
        if found.tzinfo is None and self._zone is not None:
            found = found.replace(tzinfo=self._zone)
        return found.isoformat()


def _is_target(name: str) -> bool:
    group, dot, rest = name.partition(".")
    return name in _FIELDS or bool(dot and rest and group in _GROUPS)


def look_up(row: Mapping[str, Any], column: str) -> Any:  # noqa: ANN401
    """Return a column by its name as it is, else by its parts between dots; None where it is absent."""
    if column in row or "." not in column:
        return row.get(column)
    head, _, rest = column.partition(".")
    inner = row.get(head)
    return look_up(inner, rest) if isinstance(inner, Mapping) else None


def assign(event: dict[str, Any], target: str, found: Any) -> None:  # noqa: ANN401
    """Set a field, or one name of a group of them, as in ``segments.plan``."""
    group, dot, name = target.partition(".")
    if not dot:
        event[target] = found
        return
    inner = event.get(group)
    event[group] = {**(inner if isinstance(inner, Mapping) else {}), name: found}


def _fit(target: str, found: Any) -> Any:  # noqa: ANN401
    """Give a value the type of its field where that is beyond doubt; the decoder refuses the rest."""
    if target in _WHOLE | _NUMBERS:
        return _number(found, target in _WHOLE)
    if target == "prompt" or target in _GROUPS:
        return from_json(found)
    if target.startswith("segments.") or (target in _FIELDS and target not in _FREE):
        return _text(found)
    return found


def _number(found: Any, whole: bool) -> Any:  # noqa: ANN401
    try:
        number = float(found)
        return int(number) if whole and number.is_integer() else number
    except (TypeError, ValueError, OverflowError):
        return found


def _text(found: Any) -> Any:  # noqa: ANN401
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, int | float | Decimal | date) else found


def from_json(found: Any) -> Any:  # noqa: ANN401
    """Read a cell that holds a JSON object or a list of objects; a Parquet map arrives as pairs."""
    if isinstance(found, str) and found.lstrip().startswith(("[{", "{")):
        try:
            return msgspec.json.decode(found)
        except msgspec.MsgspecError:
            return found
    if isinstance(found, list) and found and all(isinstance(pair, tuple) for pair in found):
        return dict(found)
    return found


def passages(found: Any) -> list[Any]:  # noqa: ANN401
    """Return contexts as a list: a list, one written as JSON, or a single text."""
    if isinstance(found, str) and found.lstrip().startswith("["):
        try:
            found = msgspec.json.decode(found)
        except msgspec.MsgspecError:
            return [found]
    return list(found) if isinstance(found, list) else [found]


def encode(event: dict[str, Any]) -> bytes:
    """Return JSON; what JSON has no form for, as its text."""
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:
        # Bytes that are no UTF-8 came in as lone surrogates: as escapes they reach the decoder.
        return json.dumps(event, default=str).encode()
