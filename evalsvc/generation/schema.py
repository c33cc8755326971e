"""The JSON Schema of the ``model:`` section of a suite, for editors that complete and check it."""

from __future__ import annotations

from typing import get_args

from evalsvc.generation.reading import VERSION
from evalsvc.judges import Prices
from evalsvc.judges.settings import TokenField
from evalsvc.rules.schema_values import (
    DURATION,
    Schema,
    anchored,
    described,
    listed,
    mapping,
    number,
    text,
    variable,
    words,
)


def of_model() -> Schema:
    """Return the schema of the model under test: one of five kinds."""
    return {"oneOf": [_recorded(), _callable(), _command(), _endpoint(), _transformers()]}


def _kind(name: str, target: Schema, keys: dict[str, Schema], needed: tuple[str, ...] = ()) -> Schema:
    version = {"type": ["string", "number"], "pattern": anchored(VERSION)}
    own = {
        name: target,
        "name": text("The model's name in reports."),
        "version": described(version, "Its version, in reports.", ["2026-08-01"]),
    }
    return {"title": name, **mapping({**own, **keys}, [name, *needed])}


def _recorded() -> Schema:
    return _kind("recorded", text("A file of answers, relative to this one.", ["answers.jsonl"]), {})


def _callable() -> Schema:
    target = {"type": "string", "pattern": r"^[^:\s][^:]*:[A-Za-z_][A-Za-z0-9_.]*$"}
    return _kind("callable", described(target, "module:function or file.py:function.", ["model.py:ask"]), {})


def _command() -> Schema:
    argv = {**listed(words()), "minItems": 1}
    keys = {
        "timeout": described(DURATION, "For one answer.", ["60s"], "60s"),
        "output": described({"enum": ["text", "json"]}, "What the program prints.", default="text"),
    }
    return _kind("command", described(argv, "A program and its arguments; no shell reads it.", [["./ask"]]), keys)


def _endpoint() -> Schema:
    url = {"type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^/\s@?#]+[^\s@?#]*$"}
    whole = {"type": "integer", "minimum": 1}
    prices = mapping({name: number(minimum=0) for name in Prices.__struct_fields__}, Prices.__struct_fields__)
    keys = {
        "model": text("Its name at the endpoint."),
        "served_model": text("An answer by another model is none: an alias may be moved silently."),
        "api_key_env": variable("Holds the key.", "MODEL_API_KEY"),
        **_texts(),
        "temperature": described(
            {"anyOf": [number(minimum=0, maximum=2), {"const": "default"}]}, "`default` sends none.", [0], 0
        ),
        "max_output_tokens": described(whole, "The longest answer.", default=1024),
        "token_field": described({"enum": list(get_args(TokenField))}, "How the endpoint calls that limit."),
        "seed": described({"type": "boolean"}, "Whether the seed is sent.", default=True),
        "stream": described({"type": "boolean"}, "Streaming gives the time to the first token.", default=True),
        "stall": described(DURATION, "The longest pause within a stream.", ["30s"], "30s"),
        "timeout": described(DURATION, "For one request.", ["60s"]),
        "attempts": described({**whole, "maximum": 100}, "Tries of one request."),
        "give_up": described(DURATION, "How long it may answer nobody before the run ends.", ["10m"], "10m"),
        "tools": described(listed({"type": "object"}), "Passed through, as the API describes them."),
        "extra": described({"type": "object"}, "Further fields of the request."),
        "prices": described(prices, "US dollars for a million tokens."),
    }
    return _kind("endpoint", described(url, "The address before /chat/completions."), keys, ("model",))


def _transformers() -> Schema:
    revision = {"type": "string", "pattern": r"^[0-9a-f]{40,64}$"}
    keys = {
        "revision": described(revision, "The commit of a hub model, or a SHA-256."),
        "device": described({"type": "string", "pattern": r"^(?:auto|cpu|cuda(?::[0-9]{1,3})?)$"}, "Where it runs."),
        "dtype": described({"enum": ["auto", "float32", "bfloat16", "float16"]}, "Of the weights.", default="auto"),
        "window": described({"type": "integer", "minimum": 2}, "Tokens of prompt and answer together."),
        **_texts(),
        "temperature": described(number(minimum=0, maximum=2), "0 is greedy.", [0], 0),
        "max_output_tokens": described({"type": "integer", "minimum": 1}, "The longest answer.", default=256),
    }
    return _kind("transformers", text("A folder, or a hub name owner/name."), keys)


def _texts() -> dict[str, Schema]:
    template = {"type": "string", "pattern": r"\{prompt\}"}
    return {
        "system": text("The system's message, with {contexts} where they belong."),
        "template": described(template, "What the user says, with {prompt} and {contexts}."),
    }
