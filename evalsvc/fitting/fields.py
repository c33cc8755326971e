"""The fields of a labelled row, each read or refused with what was found and what to do."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from textwrap import shorten
from typing import Any

import msgspec

from evalsvc._hints import comma_as_point, nearest
from evalsvc.fitting.values import LABELS, Mark

_UNREAD = "\ufffd"
"""A symbol all the same, which the encoder's tokenizer removes."""

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class Wrong(Exception):
    """One field of a row: what was found, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


class Missing(Wrong):
    """A field that a row needs is not in it: in a table perhaps an empty cell."""

    def __init__(self, field: str, found: Mapping[str, Any], hint: str) -> None:
        self.field = field
        seen = shorten(", ".join(sorted(found)) or "none", 120, placeholder=", …")
        near = nearest(field, [name for name in found if name != field])
        super().__init__(f"`{field}` is missing", near or f"{hint}; there are: {seen}")


def string_of(found: Mapping[str, Any], field: str, *, needed: bool = False) -> str:
    """Return a text; empty where it is absent and not needed."""
    value = found.get(field)
    if value is None and not needed:
        return ""
    if isinstance(value, str):
        return value
    if value is None:
        if field in found:
            return ""
        raise Missing(field, found, "name the column so")
    raise Wrong(f"`{field}`: expected a text, but got {_kind(value)}", "write it in quotes")


def contexts_of(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the contexts that are not empty."""
    value = found.get("contexts")
    if value is None or value == "":
        if found.get("context") is None:
            if "contexts" in found or "context" in found:
                return ()
            raise Missing("contexts", found, "give a list of texts, or one text as `context`")
        return (string_of(found, "context"),)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Wrong(f"`contexts`: expected a list of texts, but got {_kind(value)}", 'write ["first", "second"]')
    return tuple(one for one in value if one.strip())


def label_of(found: Mapping[str, Any], spans: tuple[Mark, ...] | None) -> str:
    """Return the label, else what the spans say; empty where there is neither."""
    value = found.get("label")
    if value is None or value == "":
        return "" if spans is None else "unsupported" if spans else "supported"
    if value not in LABELS:
        raise Wrong(f"`label`: {_shown(value)} is none", f"write one of {', '.join(LABELS)}")
    if value == "supported" and spans:
        raise Wrong("`label` is supported, but `spans` has unsupported text", "correct one of them")
    return str(value)


def spans_of(found: Mapping[str, Any], length: int) -> tuple[Mark, ...] | None:
    """Return the marked characters in their order; None where the row does not say."""
    value = found.get("spans")
    if value is None:
        return None
    try:
        marks = msgspec.convert(value, tuple[Mark, ...])
    except msgspec.ValidationError as error:
        raise Wrong(f"`spans`: {error}", 'write [{"start": 0, "end": 12}], or [] where all is supported') from error
    for mark in marks:
        if not 0 <= mark.start < mark.end <= length:
            raise Wrong(
                "`spans`: one is not within the response",
                f"found {mark.start} to {mark.end} of {length} characters; count in characters from 0, end excluded",
            )
    return tuple(sorted(marks, key=lambda mark: mark.start))


def truth_of(found: Mapping[str, Any], field: str) -> bool | None:
    """Return a label of yes or no; None where it is unknown."""
    value = found.get(field)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    truth = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
    if truth is None:
        raise Wrong(f"`{field}`: {_shown(value)} is no label", "write true, false, 0 or 1, or leave it out if unknown")
    return truth


def reads_something(text: str) -> bool:
    r"""Return whether a text has a letter, digit or symbol, else a detector says nothing of it.

    >>> reads_something("\u200b ..."), reads_something("\u200b$")
    (False, True)
    """
    return any(
        letter != _UNREAD and unicodedata.category(letter)[0] in "LNS" for letter in unicodedata.normalize("NFKC", text)
    )


def weight_of(found: Mapping[str, Any], field: str, otherwise: float) -> float:
    """Return a weight, another value where there is none."""
    value = found.get(field, otherwise)
    try:
        weight = float(value)
    except (TypeError, ValueError):
        hint = comma_as_point(value) or "write a number above 0"
        raise Wrong(f"`{field}`: {_shown(value)} is no number", hint) from None
    if isinstance(value, bool) or not (0.0 < weight < math.inf):
        raise Wrong(f"`{field}`: {_shown(value)} is no number above 0", "leave the row out, or give it a weight")
    return weight


def segments_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the segments as texts."""
    value = found.get("segments") or {}
    if not isinstance(value, dict):
        raise Wrong(f"`segments`: expected names and values, but got {_kind(value)}", 'write {"plan": "free"}')
    return {name: plain(one) for name, one in value.items() if one is not None}


def plain(value: Any) -> str:  # noqa: ANN401
    """Return a value as a text: true, false, a number, or JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(value: Any) -> str:  # noqa: ANN401
    """Return a value for a message: whole where it can be a label, of a text only that it is one."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text of {len(value):,} characters"
    return shorten(plain(value), 40, placeholder="…")


def _kind(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "null"
    for kinds, said in ((bool, "true or false"), ((int, float), "a number"), (str, "a text"), (list, "a list")):
        if isinstance(value, kinds):
            return said
    return "an object"
