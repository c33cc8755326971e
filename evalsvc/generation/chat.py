"""The words of a chat completion: what is sent for a case, and what an answer's message says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evalsvc.cases.values import Case, ToolCall
from evalsvc.judges.retries import field_of, speakable
from evalsvc.types import Message

DEFAULT_TEMPLATE = "{contexts}\n\n{prompt}"
"""What the user says where a case has contexts and no template takes them."""

BROKEN_OFF = frozenset({"abort", "error"})
"""How servers finish an answer that they could not: its text, half of one, is none."""

_OPERATORS = frozenset({"system", "developer"})

_PLACES = re.compile(r"\{(prompt|contexts)\}")


class Said(NamedTuple):
    """A message of the model: its text and calls, or the ``reason`` why there is no answer in it.

    ``retry``: the model did not end by itself, so that another try may help.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    reason: str = ""
    retry: bool = False


def messages_of(case: Case, system: str = "", template: str = "") -> list[dict[str, str]]:
    """Return the messages for a case: the system's where there is one, then the case's own.

    ``{prompt}`` and ``{contexts}`` in ``template`` are replaced in what the user says last, ``{contexts}`` also in
    ``system``; contexts are separated by an empty line. Other braces stay as they are. Where no message is the
    user's, contexts that have a place in ``template`` are one of the user's, before what the model has said.

    >>> messages_of(Case(case_id="a", prompt="Why?", contexts=("Because.",)), template="{contexts} {prompt}")
    [{'role': 'user', 'content': 'Because. Why?'}]
    """
    contexts = "\n\n".join(case.contexts)
    if not template and contexts and "{contexts}" not in system:
        template = DEFAULT_TEMPLATE
    said = list(case.messages)
    last = max((place for place, message in enumerate(said) if message.role == "user"), default=None)
    if template and last is not None:
        said[last] = Message("user", filled(template, said[last].content, contexts))
    elif contexts and "{contexts}" in template:
        first = next((place for place, message in enumerate(said) if message.role not in _OPERATORS), len(said))
        said.insert(first, Message("user", contexts))
    if system:
        said.insert(0, Message("system", filled(system, "", contexts)))
    return [{"role": speakable(message.role), "content": speakable(message.content)} for message in said]


def filled(template: str, prompt: str, contexts: str) -> str:
    """Return the template with the prompt and the contexts in their places."""
    return _PLACES.sub(lambda place: prompt if place[1] == "prompt" else contexts, template)


def said_by(message: Mapping[str, Any], finish_reason: str | None) -> Said:
    """Return what a message says, or why it says nothing that can be scored."""
    if message.get("refusal") or finish_reason == "content_filter":
        return Said(finish_reason=finish_reason, reason="the model refused")
    if not finish_reason or finish_reason in BROKEN_OFF:
        return Said(finish_reason=finish_reason, reason="answer stopped midway", retry=True)
    content = message.get("content")
    text = content if isinstance(content, str) else _joined(content)
    calls = _calls(message.get("tool_calls"))
    if calls is None:
        return Said(
            finish_reason=finish_reason, reason="a tool call without a name or with arguments that are not JSON"
        )
    return Said(text, calls, finish_reason)


def _joined(content: object) -> str:
    """Return the text of a list of parts, which some endpoints answer with."""
    parts = content if isinstance(content, list) else []
    texts = [field_of(part, "text") for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _calls(given: object) -> tuple[ToolCall, ...] | None:
    calls = []
    for call in given if isinstance(given, Sequence) and not isinstance(given, str) else ():
        function = field_of(call, "function")
        name, arguments = field_of(function, "name"), field_of(function, "arguments")
        try:
            read = json.loads(arguments or "{}") if isinstance(arguments, str) or arguments is None else arguments
        except (ValueError, RecursionError):
            return None
        if not isinstance(name, str) or not name or not isinstance(read, dict):
            return None
        calls.append(ToolCall(name, read))
    return tuple(calls)
