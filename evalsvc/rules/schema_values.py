"""The parts that all schemas are made of: durations, numbers, texts, and mappings without other keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalsvc._yaml.names import ENV_NAME
from evalsvc.rules.reading_values import FIELDS

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

DURATION: Schema = {"type": "string", "pattern": r"^(?=.*[1-9])(?:\s*\d+\s*[smhdw])+\s*$"}
"""As in ``1h30m``, above 0."""
DURATION_OR_ZERO: Schema = {"anyOf": [DURATION, {"enum": [0, "0", "0s", "0m"]}]}

FIELD: Schema = {"type": "string", "pattern": rf"^(?:{'|'.join(FIELDS)}|segments\..+)$"}
"""The name of an event's field."""

ABOVE_0: Schema = {"type": "number", "exclusiveMinimum": 0}


def described(schema: Schema, text: str, examples: Sequence[Any] = (), default: object = None) -> Schema:
    """Return a schema with what an editor shows and offers."""
    made = {"description": text, **schema}
    if examples:
        made["examples"] = list(examples)
    if default is not None:
        made["default"] = default
    return made


def anchored(pattern: str) -> str:
    """Return a pattern that is about the whole of a text."""
    return f"^(?:{pattern})$"


def words() -> Schema:
    """Return the schema of a text that is not empty; what YAML takes for a number or a truth is read as written."""
    return {"type": ["string", "number", "boolean"], "minLength": 1}


def text(what: str, examples: Sequence[Any] = ()) -> Schema:
    """Return the schema of a text that is not empty, with its description."""
    return described(words(), what, examples)


def number(**limits: float) -> Schema:
    """Return the schema of a number, with JSON Schema's limits."""
    return {"type": "number", **limits}


def variable(what: str, example: str = "") -> Schema:
    """Return the schema of the name of an environment variable, with its description."""
    name: Schema = {"type": "string", "pattern": anchored(ENV_NAME)}
    return described(name, f"An environment variable. {what}", [example] if example else ())


def offered(names: Sequence[str], what: str) -> Schema:
    """Return the schema of a text, with its description; ``names`` are offered as completions, any other is right."""
    anything = words()
    return {"description": what, **({"anyOf": [{"enum": sorted(names)}, anything]} if names else anything)}


def listed(item: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": item}


def one_or_more(item: Schema) -> Schema:
    """Return the schema of one value or a list of them."""
    return {"anyOf": [item, listed(item)]}


def mapping(keys: Mapping[str, Schema], needed: Sequence[str] = ()) -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    required = {"required": list(needed)} if needed else {}
    return {"type": "object", "properties": dict(keys), **required, "additionalProperties": False}


def fields(value: Schema) -> Schema:
    """Return the schema of a mapping from events' fields to what they should be."""
    return {
        "type": "object",
        "properties": dict.fromkeys(FIELDS, value),
        "patternProperties": {r"^segments\..+$": value},
        "additionalProperties": False,
    }
