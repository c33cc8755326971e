"""Foreign rows into cases' JSON: which column is which field, and what shapes a cell of CSV or Parquet may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc.cases.values import Case
from evalsvc.errors import InputError
from evalsvc.sources._fieldmap import assign, encode, from_json, look_up, passages
from evalsvc.sources._wire import BEYOND_HEADER

FIELDS = Case.__struct_fields__
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_JSON_CELLS = ("segments", "tags", "expected_tools")


class CaseColumns:
    """Turns a row (a JSON object, a CSV or Parquet row) into a case's JSON.

    A column with a field's own name needs no entry, nor has one with a dotted name (``segments.plan``). With a map,
    other columns are left out; without one they are refused where the case is made.

    Args:
        fields: column to field: ``{"question": "prompt", "answers.text": "reference", "lang": "segments.language"}``.
            A dotted column is looked up as it is, then as a path. Several columns may go to ``contexts``; of a list
            that goes to ``reference`` the first one is taken, if any.
        cells: whether rows are cells, in which numbers, truths and JSON may be text.

    Raises:
        InputError: on a target that is no field of a case.
    """

    def __init__(self, fields: Mapping[str, str], *, cells: bool) -> None:
        self.fields = dict(fields)
        for target in self.fields.values():
            if not _is_target(target):
                hint = did_you_mean(target, (*FIELDS, "segments.NAME"))
                raise InputError(f"Expected a field of a case or segments.NAME, but got {target!r} ({hint})")
        self._cells = cells

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return bool(self.fields)

    def native(self, row: Mapping[str, Any], name: str, /) -> bytes:
        """Return the row as a case's JSON; absent, null and NaN cells, and of CSV empty ones, are absent fields."""
        case: dict[str, Any] = {}
        for column, target in self._targets(row):
            found = look_up(row, column)
            if found is None or (isinstance(found, float) and math.isnan(found)):
                continue
            found = found.decode("utf-8", "surrogateescape") if isinstance(found, bytes) else found
            if target == "contexts" and (self._cells or column != target or isinstance(found, list)):
                case.setdefault("contexts", []).extend(passages(found))
            elif target == "reference" and isinstance(found, list) and (self._cells or column != target):
                if found:
                    case["reference"] = _text(found[0])
            else:
                assign(case, target, self._fit(target, found))
        return encode(case)

    def _targets(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        own = [
            (column, column)
            for column in row
            if column not in self.fields and (not self.fields or _is_target(column) or column == BEYOND_HEADER)
        ]
        return [*self.fields.items(), *own]

    def _fit(self, target: str, found: Any) -> Any:  # noqa: ANN401
        """Give a value the type of its field where that is beyond doubt; the case's own checks refuse the rest."""
        if target.startswith("segments.") or target in ("case_id", "reference"):
            return _text(found)
        if not self._cells:
            return found
        if target == "weight":
            return _number(found)
        if target == "critical" and isinstance(found, str):
            return _TRUTHS.get(found.lower(), found)
        if target == "tags" and isinstance(found, str) and not found.lstrip().startswith("["):
            return [tag.strip() for tag in found.split(",") if tag.strip()]
        if target in _JSON_CELLS or target == "prompt":
            return _decoded(found)
        return found


@lru_cache(maxsize=1024)
def _is_target(name: str) -> bool:
    group, dot, rest = name.partition(".")
    return name in FIELDS or bool(dot and rest and group == "segments")


def _decoded(found: Any) -> Any:  # noqa: ANN401
    """Read a cell that is a JSON object or a list; a text that is neither stays one. A Parquet map comes as pairs."""
    if isinstance(found, str) and found.strip() == "[]":
        return []
    if isinstance(found, dict):
        return {key: value for key, value in found.items() if value is not None}
    plain = from_json(found)
    if isinstance(plain, str) and plain.lstrip().startswith('["'):
        try:
            return msgspec.json.decode(plain)
        except msgspec.MsgspecError:
            return plain
    return plain


def _number(found: Any) -> Any:  # noqa: ANN401
    try:
        return float(found)
    except (TypeError, ValueError, OverflowError):
        return found


def _text(found: Any) -> Any:  # noqa: ANN401
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, int | float) else found
