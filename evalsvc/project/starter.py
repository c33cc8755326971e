"""The rules to start with, for a project that measures less than they watch: the rest of them becomes comments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import yaml

from evalsvc.errors import InputError


class Fitted(NamedTuple):
    """A file's text, and the names of the alerts that its rules make."""

    text: str
    alerts: frozenset[str]


def fitted_rules(text: str, measured: Collection[str]) -> Fitted:
    """Return a file of rules in which those on metrics that are not measured are comments.

    Raises:
        InputError: on a text whose rules are not written as block lists.
    """
    kept: set[str] = set()
    comments: list[tuple[yaml.Node, str]] = []
    for group in _items(_keys(_root(text)).get("groups")):
        rules = list(_items(_keys(group).get("rules")))
        lacking = [(rule, metric) for rule in rules if (metric := _text(rule, "metric")) and metric not in measured]
        kept |= {_text(rule, "alert") for rule in rules} - {_text(rule, "alert") for rule, _ in lacking}
        if len(lacking) == len(rules):
            names = ", ".join(dict.fromkeys(metric for _, metric in lacking))
            comments.append((group, _why(names)))
        else:
            comments += [(rule, _why(metric)) for rule, metric in lacking]
    return Fitted(_commented(text, comments), frozenset(kept))


def fitted_tests(text: str, measured: Collection[str], alerts: Collection[str]) -> str:
    """Return a file of tests in which what needs other metrics and alerts is a comment; empty where nothing is left.

    Raises:
        InputError: on a text whose tests are not written as block lists.
    """
    comments: list[tuple[yaml.Node, str]] = []
    tests = list(_items(_keys(_root(text)).get("tests")))
    dropped = 0
    for test in tests:
        parts = _unfit(_keys(test), measured, alerts)
        if parts is None:
            dropped += 1
            comments.append((test, "What this is about stands in the rules as a comment."))
        else:
            comments += [(part, "") for part in parts]
    return "" if dropped == len(tests) else _commented(text, comments)


def _unfit(test: Mapping[str, yaml.Node], measured: Collection[str], alerts: Collection[str]) -> list[yaml.Node] | None:
    """Return what a test can do without: series, and alerts that never fire; None where it cannot do without."""
    given, never = list(_items(test.get("input"))), test.get("never")
    series = [one for one in given if _text(one, "metric") not in measured]
    nevers = list(_items(never))
    gone = [one for one in nevers if one.value not in alerts]
    expected = all(_text(one, "alert") in alerts for one in _items(test.get("expect")))
    inline = gone and isinstance(never, yaml.SequenceNode) and never.flow_style
    emptied = (given and len(series) == len(given)) or (nevers and len(gone) == len(nevers))
    return None if not expected or emptied or inline else [*series, *gone]


def _why(metrics: str) -> str:
    return f"No consumer measures {metrics}: add the scorer there, then take away these signs."


def _root(text: str) -> yaml.Node | None:
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def _keys(node: yaml.Node | None) -> Mapping[str, yaml.Node]:
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _items(node: yaml.Node | None) -> Iterator[yaml.Node]:
    yield from node.value if isinstance(node, yaml.SequenceNode) else ()


def _text(node: yaml.Node, key: str) -> str:
    value = _keys(node).get(key)
    return str(value.value) if value is not None else ""


def _commented(text: str, parts: Collection[tuple[yaml.Node, str]]) -> str:
    """Return a text in which items of block lists are comments, each below what is said of it."""
    lines = text.splitlines()
    said: dict[int, str] = {}
    for node, why in parts:
        first, dash = node.start_mark.line, node.start_mark.column - 2
        if lines[first][: dash + 2] != f"{' ' * dash}- ":
            raise InputError(f"Expected an item of its own on line {first + 1}, but got {lines[first].strip()!r}")
        # A block's end is where the next thing begins; blank lines and comments before that are not its own.
        block = isinstance(node, yaml.MappingNode) and not node.flow_style
        last = node.end_mark.line - block
        while last > first and (not lines[last].strip() or lines[last].lstrip().startswith("#")):
            last -= 1
        for place in range(first, last + 1):
            lines[place] = f"{' ' * dash}# {lines[place][dash:]}" if lines[place].strip() else lines[place]
        if why:
            said[first] = f"{' ' * dash}# {why}"
    made = [shown for place, line in enumerate(lines) for shown in ([said[place]] if place in said else []) + [line]]
    return "\n".join(made) + "\n"
