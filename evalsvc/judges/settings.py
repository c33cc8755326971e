"""What an operator says about a judge: where it is, how often it may be asked, and what it may cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc.errors import InputError

TokenField = Literal["max_tokens", "max_completion_tokens"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MILLION = 1_000_000


def _check_amounts(part: msgspec.Struct, name: str) -> None:
    for field in part.__struct_fields__:
        value = getattr(part, field)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(f"Expected `{name}.{field}` of at least 0, but got {value!r}")


class CallLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How patient the client is.

    ``timeout_seconds`` ends one request, ``deadline_seconds`` the whole call with its retries and pauses. A
    pause before retry n is drawn from [0, min(``backoff_max_seconds``, ``backoff_seconds``·2ⁿ)]. The breaker opens
    after ``breaker_failures`` failed requests in a row and lets one through after ``breaker_pause_seconds``.
    """

    timeout_seconds: float = 60.0
    deadline_seconds: float = 180.0
    attempts: int = 4
    concurrency: int = 4
    backoff_seconds: float = 0.5
    backoff_max_seconds: float = 30.0
    breaker_failures: int = 8
    breaker_pause_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what would never call, or never end."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"Expected `calls.{name}` above 0, but got {value!r}")
        if self.concurrency > 64:
            raise InputError(f"Expected `calls.concurrency` of at most 64, but got {self.concurrency}")


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a million tokens costs, in US dollars."""

    input_usd_per_million: float
    output_usd_per_million: float

    def __post_init__(self) -> None:
        """Refuse a negative price."""
        _check_amounts(self, "prices")

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """Return what these tokens cost.

        >>> Prices(input_usd_per_million=2.0, output_usd_per_million=8.0).usd(500_000, 250_000)
        3.0
        """
        return (input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million) / _MILLION


class BudgetLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that may be spent in a clock hour and in a day (UTC); ``None`` is no limit."""

    usd_per_hour: float | None = None
    usd_per_day: float | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None

    def __post_init__(self) -> None:
        """Refuse a negative limit."""
        _check_amounts(self, "budget")

    @property
    def in_money(self) -> bool:
        """Whether any limit is in dollars."""
        return self.usd_per_hour is not None or self.usd_per_day is not None


class JudgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One judge. The API key itself is never here: ``api_key_env`` names the variable that holds it.

    ``temperature`` of ``None`` is not sent, for models that refuse the field. Where ``served_model`` is given, an
    answer by another ``model`` is no answer: an alias that is moved to a new model then changes no metric silently.
    """

    model: str
    base_url: str
    served_model: str = ""
    api_key_env: str = ""
    temperature: float | None = 0.0
    max_output_tokens: int = 1024
    token_field: TokenField = "max_tokens"  # noqa: S105 - a field of the protocol
    calls: CallLimits = CallLimits()
    prices: Prices | None = None
    budget: BudgetLimits = BudgetLimits()

    def __post_init__(self) -> None:
        """Refuse a judge that cannot be called, and a budget in money without prices."""
        if not self.model.strip():
            raise InputError("Expected `model`, the judge's name at its endpoint, but got an empty text")
        check_url(self.base_url)
        if self.api_key_env and not _VARIABLE.fullmatch(self.api_key_env):
            # What stands here may be the key itself, so it is not quoted.
            raise InputError("Expected `api_key_env` to name an environment variable, but got something else")
        if self.temperature is not None and not 0.0 <= self.temperature <= 2.0:
            raise InputError(f"Expected `temperature` in [0, 2] or `default`, but got {self.temperature!r}")
        if self.max_output_tokens < 1:
            raise InputError(f"Expected `max_output_tokens` of at least 1, but got {self.max_output_tokens}")
        if self.budget.in_money and self.prices is None:
            raise InputError(
                "Expected `prices` (input_usd_per_million, output_usd_per_million) beside a budget in USD, but got "
                "none; without prices only tokens can be limited"
            )

    @property
    def signature(self) -> str:
        """What of it changes a score: the model and its temperature. Two endpoints of one model are one judge."""
        temperature = "default" if self.temperature is None else f"{self.temperature:g}"
        served = f"|served:{self.served_model}" if self.served_model else ""
        return f"model:{self.model}{served}|temperature:{temperature}"


def judge_settings(
    *,
    model: str,
    base_url: str,
    served_model: str = "",
    api_key_env: str = "",
    temperature: float | str = 0.0,
    max_output_tokens: int = 1024,
    token_field: str = "max_tokens",  # noqa: S107 - a field of the protocol
    calls: Mapping[str, Any] | None = None,
    prices: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
) -> JudgeSettings:
    """Return settings from an operator's options, in which ``calls``, ``prices`` and ``budget`` are mappings.

    Raises:
        InputError: naming the option, what was expected and what came.
    """
    given = {
        "model": model,
        "base_url": base_url,
        "served_model": served_model,
        "api_key_env": api_key_env,
        "temperature": None if temperature == "default" else temperature,
        "max_output_tokens": max_output_tokens,
        "token_field": token_field,
    }
    parts = {"calls": _part(calls, CallLimits, "calls"), "budget": _part(budget, BudgetLimits, "budget")}
    whole = _converted({**given, "calls": {}, "budget": {}}, JudgeSettings, "")
    return msgspec.structs.replace(whole, **parts, prices=None if prices is None else _part(prices, Prices, "prices"))


T = TypeVar("T", bound=msgspec.Struct)


def _part(given: Mapping[str, Any] | None, kind: type[T], name: str) -> T:
    fields = kind.__struct_fields__
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"Expected `{name}` to be a mapping with {', '.join(fields)}, but got {type(given).__name__}")
    for key in given or {}:
        if key not in fields:
            raise InputError(f"`{name}` has no option {key!r} ({did_you_mean(str(key), fields)})")
    return _converted(dict(given or {}), kind, name)


def _converted(given: dict[str, Any], kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise InputError(f"{error}" + (f" (in `{name}`)" if name else "")) from None


def check_url(base_url: str, key: str = "base_url") -> None:
    """Refuse an address that no request can be sent to, or that holds a secret; ``key`` is what a file calls it.

    Raises:
        InputError: what is wrong with it; a secret in it is not quoted.
    """
    try:
        parts = urlsplit(base_url)
        wrong = (
            parts.scheme not in ("http", "https") or not parts.hostname or (parts.port is not None and not parts.port)
        )
    except ValueError:
        wrong, parts = True, urlsplit("")
    # A key in the address would be in every log of every proxy; it is not quoted here either.
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(f"Expected `{key}` without user, password, query or fragment; a key goes into `api_key_env`")
    if wrong or any(character <= " " or character == "\x7f" or character > "~" for character in base_url):
        raise InputError(f"Expected `{key}` like https://host/v1 (http or https), but got {base_url!r}")
