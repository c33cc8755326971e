"""Why a message is refused: a closed list of codes, and the slow path that finds the one that fits.

Nothing here quotes a message: it may hold personal data, and errors are logged. A key is named only when it
looks like an identifier.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from typing import Literal, NoReturn, get_args

import msgspec

from evalsvc.errors import DecodeError
from evalsvc.sources._wire import MAX_EVENT_BYTES, OVERSIZED_ROW, UNREADABLE_ROW
from evalsvc.types import KINDS, Event

Reason = Literal[
    "empty_message",
    "too_large",
    "too_deep",
    "not_json",
    "invalid_unicode",
    "not_finite",
    "not_an_object",
    "unknown_format",
    "unknown_kind",
    "unknown_field",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "bad_time",
    "future_time",
    "ancient_time",
    "bad_envelope",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

_FIELDS = (*(name for name in Event.__struct_fields__ if name != "findings"), "format")
_SYNONYMS = {
    "id": "event_id",
    "timestamp": "occurred_at",
    "time": "occurred_at",
    "app": "application",
    "question": "prompt",
    "query": "prompt",
    "input": "prompt",
    "messages": "prompt",
    "answer": "response",
    "output": "response",
    "completion": "response",
    "context": "contexts",
    "documents": "contexts",
    "metadata": "attributes",
    "tags": "segments",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "ttft_ms": "time_to_first_token_ms",
}
_HINTS = {
    "occurred_at": "RFC 3339 with a zone, as 2026-01-31T09:30:00Z, or whole milliseconds since the epoch",
    "segments": "values are strings; the text of a number is not the same in every language",
    "contexts": "a list of strings, one a passage",
    "attributes": "values are strings, numbers, true, false or null; nested data belongs in `data`",
    "prompt": 'a string, or a list of {"role": …, "content": …}',
}
_PLACE = re.compile(r" - at (?:`key` in )?`(?P<path>\$[^`]*)`$")
_NAMED = re.compile(r"(?:field|required field) `(?P<name>.*)`", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_GOT = re.compile(r"Expected (?P<expected>.+), got (?P<got>`[a-z]+`)")
_QUOTED = re.compile(r"`((?:str|int|float|array|object|bool|datetime|null)(?: \| [a-z]+)*)`")
_GOT_NUMBER = {"`int`": "a number", "`float`": "a number with a fraction"}
_JSON = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "bool": "true or false",
    "datetime": "a string",
}
_POSITION = re.compile(r" \(byte (\d+)\)$")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def refuse(reason: Reason, message: str) -> NoReturn:
    """Raise a DecodeError with a code of the closed list."""
    raise DecodeError(reason, message)


def explain(value: bytes, error: Exception, root: str = "$") -> DecodeError:
    """Return why a decoder refused ``value``: the reason, the place and the types, never the content.

    Args:
        value: the message.
        error: what msgspec raised for it.
        root: what ``$`` stands for, where the event lies inside an envelope.
    """
    if isinstance(error, RecursionError):
        return DecodeError("too_deep", f"Expected at most 64 levels of nesting at `{root}`, but got more")
    if isinstance(error, msgspec.ValidationError):
        return _explain_shape(str(error), root)
    return _explain_syntax(value, error)


def _explain_syntax(value: bytes, error: Exception) -> DecodeError:
    """Tell the causes of unreadable JSON apart with Python's own, more lenient, parser."""
    if value == OVERSIZED_ROW:
        return DecodeError("too_large", f"Expected at most {MAX_EVENT_BYTES} bytes an event, but a cell has more")
    if value == UNREADABLE_ROW:
        said = "the row that begins here has a quote that is not closed, or text behind one"
        return DecodeError("not_json", f"Expected a CSV row, but {said}; write a quote within quotes twice")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as bad:
        return DecodeError("invalid_unicode", f"Expected UTF-8, but byte {bad.start} does not belong to it")
    if not text.strip():
        return DecodeError("empty_message", "Expected a JSON object, but the message is empty")
    if text.startswith("\ufeff"):
        return DecodeError("not_json", "Expected JSON, but got a byte order mark at byte 0; leave it out")
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant)
        if _LONE_SURROGATE.search(json.dumps(parsed, ensure_ascii=False)):
            return DecodeError("invalid_unicode", "Expected whole characters, but got half of a surrogate pair")
    except DecodeError as constant:
        return constant
    except (ValueError, RecursionError) as second:
        error = error if isinstance(error, msgspec.MsgspecError) else second
    told = _POSITION.sub(r", at byte \1", str(error))
    return DecodeError("not_json", f"Expected a JSON object, but reading it failed: {told}")


def _refuse_constant(name: str) -> NoReturn:
    refuse("not_finite", f"Expected finite numbers, but got {name}; leave the field out, or send null")


def _explain_shape(text: str, root: str) -> DecodeError:
    found = _PLACE.search(text)
    path = root + (found["path"][1:] if found else "")
    body = text[: found.start()] if found else text
    field = path.removeprefix(root).lstrip(".").split(".")[0].split("[")[0]
    hint = f" ({_HINTS[field]})" if field in _HINTS else ""
    where = f"`{path}`" + (" (a key of it)" if "`key` in" in text else "")
    if body.startswith("Invalid enum value"):
        return DecodeError("unknown_kind", f"Expected {where} to be one of {', '.join(KINDS)}, but got another text")
    if "unknown field" in body:
        return DecodeError("unknown_field", _unknown(body, where))
    if "missing required field" in body:
        named = _NAMED.search(body)
        name = named["name"] if named else "?"
        return DecodeError("missing_field", f"Expected the field `{name}` at {where}, but it is absent")
    if "out of range" in body:
        return DecodeError("not_finite", f"Expected a number that fits 64-bit floating point at {where}")
    if "datetime" in body and ", got" not in body:
        return DecodeError("bad_time", f"Expected a time at {where}: {_HINTS['occurred_at']}")
    if got := _GOT.match(body):
        reason: Reason = "not_an_object" if path == root else "wrong_type"
        came = _GOT_NUMBER.get(got["got"]) or _json_types(got["got"])
        expected = _json_types(got["expected"])
        return DecodeError(reason, f"Expected {expected} at {where}, but got {came}{hint}")
    if "matching regex" in body:
        return DecodeError("out_of_range", f"Expected text without control characters at {where}")
    return DecodeError("out_of_range", f"{_json_types(body)} at {where}{hint}")


def _json_types(text: str) -> str:
    """Return a decoder's words with JSON's names of types in the place of Python's.

    >>> _json_types("Expected `str | null`"), _json_types("`int | float`"), _json_types("`int` >= 0")
    ('Expected a string or null', 'a number', 'a whole number >= 0')
    """
    return _QUOTED.sub(lambda found: _joined(found[1].split(" | ")), text)


def _joined(types: Sequence[str]) -> str:
    *head, last = dict.fromkeys(_JSON.get(name, name) for name in types if name != "int" or "float" not in types)
    return f"{', '.join(head)} or {last}" if head else last


def _unknown(body: str, where: str) -> str:
    named = _NAMED.search(body)
    name = named["name"] if named else ""
    if not _IDENTIFIER.fullmatch(name):
        return f"Expected only known fields at {where}, but got another key; put your own under `attributes`"
    close = difflib.get_close_matches(name.lower(), _FIELDS, 1)
    near = _SYNONYMS.get(name.lower()) or (close[0] if close else "")
    advice = f"did you mean `{near}`? Your own keys belong under `attributes`" if near else "put it under `attributes`"
    return f"Expected only known fields at {where}, but got `{name}`; {advice}"
