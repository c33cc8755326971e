"""Operators' files as an editor reads them, and what a test changes in them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import yaml


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors read files: only true and false are truths, and a date is a text."""


Core.yaml_implicit_resolvers = {}
for tag, pattern in {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "null": r"~|null|Null|NULL|",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
}.items():
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None)


def parsed(text: str) -> Any:
    """Return a text's values as an editor has them."""
    return yaml.load(text, Core)  # noqa: S506 - a safe loader with fewer tags


def paths(value: object, at: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield the place of every value in a value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*at, key))


def held(value: object, at: tuple[object, ...]) -> Any:
    """Return what stands at a place."""
    place: Any = value
    for key in at:
        place = place[key]
    return place


def changed(value: object, at: tuple[object, ...], new: object) -> object:
    """Return a copy with something else at a place."""
    if not at:
        return new
    made = copy.deepcopy(value)
    held(made, at[:-1])[at[-1]] = new
    return made


def of_other_shapes(old: object) -> list[object]:
    """Return what a value is not: a mapping, a list, nothing, a text; or itself with one key more."""
    more = [{**old, "unknown_key": 1}] if isinstance(old, dict) else []
    return [{"unknown_key": 1}, [["x"]], None, "%&", *more]
