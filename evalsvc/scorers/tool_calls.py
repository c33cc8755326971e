"""How well the calls of tools that a model made are those that were expected: F1 of calls, by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from evalsvc.errors import InputError
from evalsvc.types import Abstained, Event, Failed, Outcome, Sample, Scale, Scored, ScorerSpec

EXPECTED, MADE = "expected_tools", "tool_calls"
MOST_CALLS = 1_000
"""Of more calls on one side nothing is compared: matching them in order takes the product of both numbers."""


class ToolCalls:
    """F1 of the calls made against those expected, 0–1; higher is better.

    Reads ``data.expected_tools`` and ``data.tool_calls``, lists of ``{name, arguments}`` or of OpenAI's
    ``{"function": {"name", "arguments": "<JSON>"}}``. A call matches one of the same name and equal arguments: JSON
    equality, numbers by their value, keys in any order. Each call matches one other at most. With m matches of e
    expected and a made calls, the value is 2m / (e + a), the F1 of precision m/a and recall m/e.

    Args:
        order: whether matches have to come in the expected order (the longest common subsequence counts).
        arguments: whether arguments are compared, or names alone.
        strict: whether an event that expects no call is scored: 1 where none was made, 0 otherwise. Without it such
            an event abstains.

    >>> from evalsvc.testing import make_sample
    >>> track, refund = {"name": "track", "arguments": {"number": 7}}, {"name": "refund"}
    >>> sample = make_sample(data={"expected_tools": [track], "tool_calls": [track, refund]})
    >>> round(ToolCalls().score([sample])[0].value, 3)
    0.667
    """

    cost_class: ClassVar[str] = "none"

    def __init__(self, order: bool = False, arguments: bool = True, strict: bool = False) -> None:
        for name, flag in (("order", order), ("arguments", arguments), ("strict", strict)):
            if not isinstance(flag, bool):
                raise InputError(f"Expected `{name}` to be true or false, but got {flag!r}")
        self._order, self._arguments, self._strict = order, arguments, strict
        options = (("order", order), ("arguments", arguments), ("strict", strict))
        self._spec = ScorerSpec(
            "tool_calls",
            1,
            Scale(0.0, 1.0, "higher", "share"),
            needs=() if strict else ("expected_tools",),
            signature="|".join(f"{name}:{'yes' if flag else 'no'}" for name, flag in options),
            description="F1 of the tool calls made against those expected.",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:
        """Do nothing: there is nothing to load."""

    def cost(self, sample: Sample) -> int:
        """Return one more than the number of calls."""
        return 1 + sum(len(calls) for calls in map(sample.event.data.get, (EXPECTED, MADE)) if isinstance(calls, list))

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [self._outcome(sample.event) for sample in batch]

    def _outcome(self, event: Event) -> Outcome:
        expected, made = event.data.get(EXPECTED), event.data.get(MADE)
        if expected in (None, [], ()) and not self._strict:
            return Abstained("no expected_tools")
        if made is None:
            return Abstained("no tool_calls recorded")
        sides: list[list[Hashable]] = []
        for name, calls in ((EXPECTED, expected or []), (MADE, made)):
            keys = self._keys(calls)
            if keys is None:
                return Failed(f"data.{name} is not a list of calls with names")
            if len(keys) > MOST_CALLS:
                return Failed(f"data.{name} holds more than {MOST_CALLS} calls")
            sides.append(keys)
        wanted, found = sides
        total = len(wanted) + len(found)
        matched = _in_order(wanted, found) if self._order else (Counter(wanted) & Counter(found)).total()
        value = 2 * matched / total if total else 1.0
        return Scored(value, {"expected": len(wanted), "made": len(found), "matched": matched})

    def _keys(self, calls: object) -> list[Hashable] | None:
        """Return what makes two calls equal, for each; None where one is no call."""
        if not isinstance(calls, list | tuple):
            return None
        keys: list[Hashable] = []
        for call in calls:
            inner = call.get("function", call) if isinstance(call, Mapping) else None
            name = inner.get("name") if isinstance(inner, Mapping) else None
            if not isinstance(inner, Mapping) or not isinstance(name, str) or not name:
                return None
            keys.append((name, _frozen(_decoded(inner.get("arguments")))) if self._arguments else name)
        return keys


def _decoded(arguments: Any) -> Any:  # noqa: ANN401
    """Return arguments as values; a text that is not JSON stays one, and so equals no object."""
    if arguments is None or arguments == "":
        return {}
    if not isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return arguments


def _frozen(value: Any) -> Hashable:  # noqa: ANN401
    """Return what equals another's exactly where the JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, Mapping):
        return "object", frozenset((name, _frozen(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "array", tuple(map(_frozen, value))
    if isinstance(value, bool):
        return "truth", value
    return ("number", value) if isinstance(value, int | float) else ("other", value)


def _in_order(wanted: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(found) + 1)
    for want in wanted:
        diagonal = 0
        for place, got in enumerate(found, start=1):
            above = row[place]
            row[place] = diagonal + 1 if want == got else max(above, row[place - 1])
            diagonal = above
    return row[-1]
