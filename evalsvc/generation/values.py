"""What is asked of a model under test, and what it answered: frozen values and the contract of a generator."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from evalsvc.cases.values import Case, ToolCall
from evalsvc.errors import InputError

AnswerStatus = Literal["ok", "failed"]


class Request(NamedTuple):
    """One case, asked for the ``repeat``-th time (from 0), with the seed that the model is given."""

    case: Case
    repeat: int
    seed: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model said to one case once, or why it said nothing. Names and units are those of an event.

    ``status`` is ``failed`` where there is no answer to score; ``reason`` then says why, in words that can be counted
    (``HTTP 429``, ``no answer in time``), never with a text of the model's. ``attempts`` counts requests, and
    ``cost_usd`` is of all of them together.
    """

    status: AnswerStatus = "ok"
    response: str = ""
    reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    attempts: int = 1

    def __post_init__(self) -> None:
        """Refuse a failure without a reason."""
        if self.status == "failed" and not self.reason:
            raise InputError("Expected a `reason` for a failed answer, but it is empty")

    def __repr__(self) -> str:
        """Say how it ended, without the text."""
        return f"Answer({self.status}, {self.reason or f'{len(self.response)} characters'})"


@runtime_checkable
class Generator(Protocol):
    """A model under test.

    ``signature`` names everything that may change an answer (address, model, options, prompt template, version of the
    code), as ``key:value|key:value``: answers of two signatures are never taken for each other. ``model`` and
    ``model_version`` are what reports call it. ``cacheable`` is false where the signature cannot name everything, so
    that answers are not kept from one run to the next.
    """

    model: str
    model_version: str
    signature: str
    cacheable: bool

    def load(self) -> None:
        """Read keys and files, load a model. Called before the first request; may be called again.

        Raises:
            EvalsvcError: what is missing, and how to get it.
        """
        ...

    def generate(self, request: Request) -> Answer:
        """Answer one request; blocks. Called from several threads at once.

        What goes wrong with one request is a failed :class:`Answer`; only what would go wrong with every one is raised.
        """
        ...
