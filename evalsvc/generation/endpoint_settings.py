"""What a model behind an OpenAI-compatible endpoint is: its address, what it is sent, and how patiently it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from evalsvc.cases.values import digest_of
from evalsvc.errors import InputError
from evalsvc.judges import CallLimits, Prices
from evalsvc.judges.settings import TokenField, check_url

_OWN_FIELDS = frozenset(
    {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "seed", "stream", "stream_options"}
    | {"tools", "n"}
)


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one endpoint. The key itself is never here: ``api_key_env`` names the variable that holds it.

    Attributes:
        model: its name at the endpoint.
        base_url: the address before ``/chat/completions``.
        model_version: what reports call this version; empty is ``model``.
        served_model: where given, an answer by another ``model`` is none: an alias may be moved silently.
        api_key_env: the variable with the key; empty sends none.
        system: the system's message, with ``{contexts}`` where they belong; empty sends none.
        template: what the user says, with ``{prompt}`` and ``{contexts}``; empty is the prompt, after the contexts.
        temperature: ``None`` is not sent, for models that refuse the field.
        max_output_tokens: the longest answer.
        token_field: how the endpoint calls that limit.
        send_seed: whether the request's seed is sent.
        stream: whether answers are streamed, which gives the time to the first token.
        stall_seconds: the longest pause within a stream.
        tools: passed through, as the API describes them.
        extra: further fields of the request.
        calls: time-outs, tries and pauses; ``concurrency`` is the run's, not read here.
        give_up_seconds: how long an endpoint may answer nobody before the run ends.
        prices: of a million tokens, for the cost.
    """

    model: str
    base_url: str
    model_version: str = ""
    served_model: str = ""
    api_key_env: str = ""
    system: str = ""
    template: str = ""
    temperature: float | None = 0.0
    max_output_tokens: int = 1024
    token_field: TokenField = "max_tokens"  # noqa: S105 - a field of the protocol
    send_seed: bool = True
    stream: bool = True
    stall_seconds: float = 30.0
    tools: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = {}
    calls: CallLimits = CallLimits()
    give_up_seconds: float = 600.0
    prices: Prices | None = None

    def __post_init__(self) -> None:
        """Refuse a model that cannot be asked."""
        if not self.model.strip():
            raise InputError("Expected `model`, its name at the endpoint, but got an empty text")
        check_url(self.base_url)
        if self.template and "{prompt}" not in self.template:
            raise InputError("Expected `template` to hold {prompt}, where the case's prompt belongs, but it does not")
        if self.temperature is not None and not 0.0 <= self.temperature <= 2.0:
            raise InputError(f"Expected `temperature` in [0, 2] or `default`, but got {self.temperature!r}")
        for name in ("max_output_tokens", "stall_seconds", "give_up_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"Expected `{name}` above 0, but got {getattr(self, name)!r}")
        for name in self.extra:
            if name in _OWN_FIELDS:
                raise InputError(f"Expected `extra` without {name!r}, which has an option of its own, or none")

    @property
    def signature(self) -> str:
        """All that may change an answer or its timing; texts by their digest."""
        temperature = "default" if self.temperature is None else f"{self.temperature:g}"
        texts = digest_of((self.system, self.template, self.tools, self.extra), 16)
        return (
            f"endpoint:{self.base_url.rstrip('/')}|model:{self.model}|served:{self.served_model}|"
            f"version:{self.model_version}|temperature:{temperature}|{self.token_field}:{self.max_output_tokens}|"
            f"seed:{self.send_seed}|stream:{self.stream}|texts:{texts}"
        )
