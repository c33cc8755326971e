"""One row of a file into a case, with every mistake that it has, none of which quotes a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from evalsvc._hints import comma_as_point, did_you_mean, within_a_line
from evalsvc.cases._columns import FIELDS
from evalsvc.cases.values import Case
from evalsvc.sources._wire import BEYOND_HEADER, MAX_EVENT_BYTES, OVERSIZED_ROW, UNREADABLE_ROW

Report = Callable[[str, str], None]
"""Takes what is wrong, and what to do."""

NAME_LENGTH = 12
"""Of a case without a ``case_id``: so many digits of its digest are its name."""

_MEANT: Mapping[str, str] = {
    **dict.fromkeys(("id", "name", "key", "uid", "qid"), "case_id"),
    **dict.fromkeys(("question", "input", "query", "instruction", "messages", "text"), "prompt"),
    **dict.fromkeys(
        ("answer", "answers", "output", "expected", "expected_output", "target", "ideal", "references", "response"),
        "reference",
    ),
    **dict.fromkeys(("context", "documents", "passages", "retrieved_contexts"), "contexts"),
    **dict.fromkeys(("tools", "tool_calls", "expected_tool_calls"), "expected_tools"),
    **dict.fromkeys(("metadata", "slices"), "segments"),
}
"""What other tools call these fields."""


def read_row(raw: bytes, report: Report) -> Case | None:
    """Return the case of one row, or None after reporting what is wrong with it."""
    row = _object(raw, report)
    if row is None:
        return None
    unknown = [name for name in row if name not in FIELDS]
    for name in unknown:
        if name == BEYOND_HEADER:
            report(str(row[name]), "put a text that holds a comma, or whatever else separates cells, in quotes")
        else:
            report(f"unknown field `{_shown(name)}`", _hint(name))
    fields = {name: found for name, found in row.items() if found is not None and name in FIELDS}
    named = fields.setdefault("case_id", "unnamed")
    sound = _shape_prompt(fields, report) & _shape_calls(fields, report)
    case = _converted(fields, report) if sound else None
    if case is None or unknown:
        return None
    return case if named != "unnamed" else msgspec.structs.replace(case, case_id=case.digest[:NAME_LENGTH])


@lru_cache(maxsize=64)
def _hint(name: str) -> str:
    meant = _MEANT.get(name.lower())
    if meant:
        return f"did you mean `{meant}`? then map it with `fields: {{{name}: {meant}}}`"
    return did_you_mean(name, FIELDS)


def _object(raw: bytes, report: Report) -> dict[str, Any] | None:
    if raw in (UNREADABLE_ROW, OVERSIZED_ROW):
        report("the row cannot be read", 'a quote is not closed or too large a cell; write " in a quoted cell as ""')
        return None
    try:
        row = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        report("the text is not UTF-8", "save the file as UTF-8")
        return None
    except msgspec.MsgspecError as error:
        if len(raw) > MAX_EVENT_BYTES:
            report(f"the line is longer than {MAX_EVENT_BYTES:,} bytes", "cut its contexts into cases of their own")
        elif "surrogate" in str(error):
            report("the text is not UTF-8", "save the file as UTF-8")
        else:
            report(f"not JSON: {error}", "write one JSON object a line")
        return None
    except RecursionError:
        report("the JSON is nested too deeply", "")
        return None
    if not isinstance(row, dict):
        report("expected a JSON object", "write one JSON object a line")
        return None
    return row


def _shape_prompt(fields: dict[str, Any], report: Report) -> bool:
    """Join the text parts of messages, as some providers write them, and refuse what a message has besides."""
    prompt, sound = fields.get("prompt"), True
    if not isinstance(prompt, list):
        return True
    messages: list[Any] = []
    for place, message in enumerate(prompt):
        if isinstance(message, dict):
            for name in message.keys() - {"role", "content"}:
                if message[name] is not None:
                    sound = False
                    report(f"unknown field `{_shown(name)}` in `prompt[{place}]`", "a message has `role` and `content`")
            content = message.get("content")
            if isinstance(content, list) and all(_is_text_part(part) for part in content):
                content = "".join(part["text"] for part in content)
            message = {name: found for name, found in {**message, "content": content}.items() if found is not None}
        messages.append(message)
    fields["prompt"] = messages
    return sound


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _shape_calls(fields: dict[str, Any], report: Report) -> bool:
    """Read calls in OpenAI's shape, whose arguments are JSON in a text, as ours."""
    calls = fields.get("expected_tools")
    if not isinstance(calls, list):
        return True
    shaped: list[Any] = []
    sound = True
    for place, call in enumerate(calls):
        if isinstance(call, dict):
            inner = call.get("function")
            call = dict(inner if isinstance(inner, dict) else call)
            given = call.get("arguments")
            if isinstance(given, str):
                try:
                    call["arguments"] = msgspec.json.decode(given or "{}")
                except msgspec.MsgspecError:
                    sound = False
                    report(f"`expected_tools[{place}].arguments` is a text, and not JSON", "write an object")
            if given is None:
                call.pop("arguments", None)
            for name in call.keys() - {"name", "arguments"}:
                sound = False
                report(f"unknown field `{_shown(name)}` in `expected_tools[{place}]`", "known: arguments, name")
        shaped.append(call)
    fields["expected_tools"] = shaped
    return sound


def _converted(fields: Mapping[str, Any], report: Report) -> Case | None:
    try:
        return msgspec.convert(fields, Case)
    except msgspec.ValidationError as error:
        found = 0
        for name, kind in _types().items():
            if name in fields:
                try:
                    msgspec.convert(fields[name], kind)
                except msgspec.ValidationError as wrong:
                    what, at, place = str(wrong).partition(" - at `$")
                    hint = comma_as_point(fields[name]) if kind is float else ""
                    report(f"`{name}{place.rstrip('`') if at else ''}`: {within_a_line(what)}", hint)
                    found += 1
        if not found:
            report(within_a_line(str(error)), "")
        return None


@lru_cache(maxsize=1)
def _types() -> Mapping[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(Case)}


def _shown(name: str) -> str:
    """Return a field's name as it may be printed: where the header is missing it may be a text."""
    return name if len(name) <= 64 and name.replace("_", "").replace(".", "").replace("-", "").isalnum() else "…"
