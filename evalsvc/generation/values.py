"""What is asked of a model under test, and what it answered: frozen values and the contract of a generator."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from evalsvc.cases.values import Case, ToolCall
from evalsvc.errors import InputError
from evalsvc.generation.reasons import known_reason

NO_FIELDS = "no fields of an answer"

AnswerStatus = Literal["ok", "failed"]
_AMOUNTS = ("latency_ms", "time_to_first_token_ms", "input_tokens", "output_tokens", "cost_usd", "attempts")


class Request(NamedTuple):
    """One case, asked for the ``repeat``-th time (from 0), with the seed that the model is given.

    Each repeat has a seed of its own, so that repeats differ where the model samples.
    """

    case: Case
    repeat: int
    seed: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model said to one case once, or why it said nothing. Names and units are those of an event.

    ``status`` is ``failed`` where there is no answer to score; ``reason`` then says why, in words that can be counted
    (``HTTP 429``, ``no answer in time``), never with a text of the model's
    (:mod:`evalsvc.generation.reasons`). ``permanent`` says of a failure that to ask
    again would end the same way, so that it is kept as an answer is. ``attempts`` counts requests, and ``cost_usd`` is
    of all of them together; ``None`` where it is not known.
    """

    status: AnswerStatus = "ok"
    response: str = ""
    reason: str = ""
    permanent: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    attempts: int = 1

    def __post_init__(self) -> None:
        """Refuse a failure without a reason, and numbers that no clock, counter or bill shows."""
        if self.status == "failed" and not self.reason:
            raise InputError("Expected a `reason` for a failed answer, but it is empty")
        for name in _AMOUNTS:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"Expected `{name}` of at least 0, but got {value!r}")

    def __repr__(self) -> str:
        """Say how it ended, without the text."""
        return f"Answer({self.status}, {self.reason or f'{len(self.response)} characters'})"


def failed(reason: str, **fields: Any) -> Answer:  # noqa: ANN401 - the fields of an Answer
    """Return an answer that failed for ``reason``, with further fields of :class:`Answer`."""
    return Answer(status="failed", reason=reason, **fields)


class _Fields(Answer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer as somebody else's code gives it: a misspelt field is a mistake, and no field that may be left out."""


def answer_of(fields: object) -> Answer:
    """Return the answer whose fields these are, or a failed one that names the field that is wrong, without a text."""
    try:
        read = msgspec.convert(fields, _Fields)
    except msgspec.ValidationError as error:
        return failed(f"{NO_FIELDS}{_field_in(str(error))}", permanent=True)
    return told_by_others(Answer(**{name: getattr(read, name) for name in Answer.__struct_fields__}))


def _field_in(message: str) -> str:
    """Return the field of an answer that is meant; the message itself may quote a value, or any name."""
    fields = Answer.__struct_fields__
    words = re.findall(r"\w+", message)
    named = [word for word in words if word in fields] or difflib.get_close_matches(
        words[-1] if words else "", fields, 1
    )
    return f"; see `{named[-1]}`" if named else ""


def told_by_others(answer: Answer) -> Answer:
    """Return an answer that somebody else's code made: its reason, which may quote a text, becomes a known one."""
    reason = known_reason(answer.reason) if answer.reason else ""
    return answer if reason == answer.reason else msgspec.structs.replace(answer, reason=reason)


@runtime_checkable
class Generator(Protocol):
    """A model under test.

    ``signature`` names everything that may change an answer (address, model, options, prompt template, version of the
    code), as ``key:value|key:value``: answers of two signatures are never taken for each other. ``model`` and
    ``model_version`` are what reports call it. ``cacheable`` is false where the signature cannot name everything, or
    answers cost nothing, so that they are not kept from one run to the next.
    """

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def model_version(self) -> str:
        """Which version of it; empty where nobody says."""
        ...

    @property
    def signature(self) -> str:
        """Everything that may change an answer. Known before :meth:`load`, or read by it from files."""
        ...

    @property
    def cacheable(self) -> bool:
        """Whether an answer may be kept for the next run."""
        ...

    @property
    def recorded(self) -> bool:
        """Whether its answers were made, and paid, before this run: no limit holds them, and none waits for another."""
        ...

    def load(self) -> None:
        """Read keys and files, load a model. Called before the first request that no kept answer answers; may be again.

        Raises:
            EvalsvcError: what is missing, and how to get it.
        """
        ...

    def seen(self, case: Case) -> str:
        """Return what the model is given of a case beyond the content that its digest covers; '' for nothing."""
        ...

    def estimate_usd(self, request: Request) -> float | None:
        """Return the most that one request is expected to cost, in US dollars.

        0 where it costs nothing, or only the answer says what; ``None`` where nobody will know: no budget in dollars
        can be kept then.
        """
        ...

    def generate(self, request: Request) -> Answer:
        """Answer one request; blocks. Called from several threads at once.

        What goes wrong with one request is a failed :class:`Answer`; only what would go wrong with every one is raised.

        Raises:
            ModelUnavailable: no request is answered any more; trying again later may help.
            EvalsvcError: no request can be answered until somebody acts (a wrong key, another address).
        """
        ...
