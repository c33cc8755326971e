"""What a call cost and how long it took: the event's own figures as metrics, with windows and intervals."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal, get_args

from evalsvc.errors import InputError
from evalsvc.types import Abstained, Better, Event, Failed, Need, Outcome, Sample, Scale, ScorerSpec

Since = Literal["request", "first_token"]


def _spec(metric: str, better: Better, unit: str, needs: tuple[Need, ...], description: str) -> ScorerSpec:
    scale = Scale(0.0, None, better, unit)
    return ScorerSpec(metric, 1, scale, needs, signature=f"field:{metric}", description=description)


class _OfEvent(ABC):
    """A scorer that has nothing to load and reads figures of the event alone."""

    cost_class: ClassVar[str] = "none"
    _spec: ScorerSpec

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:
        """Do nothing: there is nothing to load."""
        return

    def cost(self, sample: Sample) -> int:
        """Return 1, whatever the sample."""
        return 1

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return the figure of each event, in order."""
        return [self._outcome(sample.event) for sample in batch]

    @abstractmethod
    def _outcome(self, event: Event) -> Outcome:
        """Return the figure of one event."""


class EventFigure(_OfEvent):
    """One figure of the event, unchanged, as a metric named like the field.

    Abstains where the event has no such figure; a negative or infinite one, or NaN, is ``failed``. The scales
    are open above and such figures have long tails: watch quantiles, not only means.
    """

    def _outcome(self, event: Event) -> Outcome:
        figure: float | None = getattr(event, self._spec.metric)
        if figure is None:
            return Abstained(f"no {self._spec.metric}")
        if not math.isfinite(figure) or figure < 0:
            return Failed(f"{self._spec.metric} is negative or not finite")
        return float(figure)


class LatencyMs(EventFigure):
    """Time from the request to the end of the response, in milliseconds; lower is better."""

    _spec = _spec(
        "latency_ms",
        "lower",
        "ms",
        ("latency_ms",),
        "Time from the request to the end of the response.",
    )


class TimeToFirstTokenMs(EventFigure):
    """Time from the request to the first token of the response, in milliseconds; lower is better.

    The field is no ``Need``, so it is asked about every event and abstains itself.
    """

    _spec = _spec(
        "time_to_first_token_ms",
        "lower",
        "ms",
        (),
        "Time from the request to the first token of the response.",
    )


class InputTokens(EventFigure):
    """Tokens of the prompt, as the provider counted them; neither direction is better."""

    _spec = _spec(
        "input_tokens",
        "neither",
        "tokens",
        ("input_tokens",),
        "Tokens of the prompt, as the provider counted them.",
    )


class OutputTokens(EventFigure):
    """Tokens of the response, as the provider counted them; neither direction is better."""

    _spec = _spec(
        "output_tokens",
        "neither",
        "tokens",
        ("output_tokens",),
        "Tokens of the response, as the provider counted them.",
    )


class CostUsd(EventFigure):
    """Cost of the call in US dollars; lower is better.

    >>> CostUsd().spec.scale.unit
    'USD'
    """

    _spec = _spec("cost_usd", "lower", "USD", ("cost_usd",), "Cost of the call.")


class TotalTokens(_OfEvent):
    """Tokens of prompt and response together, as the provider counted them; neither direction is better.

    Abstains where the event lacks either count: half a sum would be read as a cheap call.
    """

    def __init__(self) -> None:
        self._spec = ScorerSpec(
            "total_tokens",
            1,
            Scale(0.0, None, "neither", "tokens"),
            needs=("input_tokens", "output_tokens"),
            signature="fields:input_tokens+output_tokens",
            description="Tokens of prompt and response together, as the provider counted them.",
        )

    def _outcome(self, event: Event) -> Outcome:
        if event.input_tokens is None or event.output_tokens is None:
            return Abstained("no input_tokens" if event.input_tokens is None else "no output_tokens")
        if event.input_tokens < 0 or event.output_tokens < 0:
            return Failed("a count of tokens is negative")
        return float(event.input_tokens + event.output_tokens)


class ContextWindowUtilisation(_OfEvent):
    """Share of the model's context window that a call filled, in [0, 1]; neither direction is better.

    ``(input_tokens + output_tokens) / window``. The window is the event's ``attributes.context_window``, or else
    that of the event's ``model`` in ``windows``. Abstains where a count or the window is missing. More tokens than the
    window holds, a negative count and a window that is no whole number above 0 are ``failed``: one figure is wrong.

    Args:
        windows: tokens of the context window by the model's name, for events that do not say it.

    >>> from evalsvc.testing import make_sample
    >>> sample = make_sample(input_tokens=900, output_tokens=124, attributes={"context_window": 4096})
    >>> ContextWindowUtilisation().score([sample])
    [0.25]
    """

    def __init__(self, windows: Mapping[str, int] = MappingProxyType({})) -> None:
        if not isinstance(windows, Mapping):
            raise InputError(f"Expected `windows` to map models to tokens, but got {type(windows).__name__}")
        for model, window in windows.items():
            if not isinstance(model, str) or not _is_window(window):
                raise InputError(f"Expected `windows` to give {model!r} a whole number above 0, but got {window!r}")
        self._windows = dict(windows)
        # A corrected window changes the share of calls already made, so the table is part of the signature.
        table = ",".join(f"{model}={window}" for model, window in sorted(self._windows.items()))
        self._spec = ScorerSpec(
            "context_window_utilisation",
            1,
            Scale(0.0, 1.0, "neither", "share"),
            needs=("input_tokens", "output_tokens"),
            signature=f"windows:{hashlib.sha256(table.encode()).hexdigest()[:12] if table else 'event'}",
            description="Share of the model's context window that prompt and response filled.",
        )

    def _outcome(self, event: Event) -> Outcome:
        if event.input_tokens is None or event.output_tokens is None:
            return Abstained("no input_tokens" if event.input_tokens is None else "no output_tokens")
        if event.input_tokens < 0 or event.output_tokens < 0:
            return Failed("a count of tokens is negative")
        window = event.attributes.get("context_window")
        if window is None:
            window = self._windows.get(event.model)
        if window is None:
            return Abstained("no attributes.context_window, and no entry for its model in `windows`")
        if not _is_window(window):
            return Failed("attributes.context_window is no whole number above 0")
        used = event.input_tokens + event.output_tokens
        return used / int(window) if used <= int(window) else Failed("more tokens than the context window holds")


def _is_window(tokens: object) -> bool:
    return isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0


class TokensPerSecond(_OfEvent):
    """Speed of generation as one user sees it, in tokens per second; higher is better.

    With ``since="request"``, output tokens over the whole latency. With ``since="first_token"``,
    ``(output tokens - 1) / (latency - time to first token)``, the inverse of the time per output token (TPOT), which
    leaves waiting and reading of the prompt out. The two differ much and are never pooled: the signature names which.
    Abstains where the event lacks a figure, on an empty output, and, since the first token, on a single token or no
    time after it.

    Args:
        since: where the clock starts, ``request`` or ``first_token``.

    >>> from evalsvc.testing import make_sample
    >>> sample = make_sample(output_tokens=21, latency_ms=1000.0, time_to_first_token_ms=500.0)
    >>> TokensPerSecond().score([sample]), TokensPerSecond(since="first_token").score([sample])
    ([21.0], [40.0])
    """

    def __init__(self, since: Since = "request") -> None:
        if since not in get_args(Since):
            raise InputError(f"Expected `since` to be `request` or `first_token`, but got {since!r}")
        self._since = since
        needs: tuple[Need, ...] = ("output_tokens", "latency_ms")
        self._spec = ScorerSpec(
            "tokens_per_second",
            1,
            Scale(0.0, None, "higher", "tokens/s"),
            needs=needs if since == "request" else (*needs, "time_to_first_token_ms"),
            signature=f"since:{since}",
            description="Output tokens per second of one call.",
        )

    def _outcome(self, event: Event) -> Outcome:
        after_first = self._since == "first_token"
        tokens, latency = event.output_tokens, event.latency_ms
        waited = event.time_to_first_token_ms if after_first else 0.0
        if tokens is None or latency is None or waited is None:
            missing = (
                "output_tokens" if tokens is None else "latency_ms" if latency is None else "time_to_first_token_ms"
            )
            return Abstained(f"no {missing}")
        if not (math.isfinite(latency) and math.isfinite(waited)) or min(tokens, latency, waited) < 0:
            return Failed("a figure is negative or not finite")
        counted, milliseconds = tokens - after_first, latency - waited
        if counted < 1:
            return Abstained("too few output tokens")
        if milliseconds <= 0:
            return Abstained("no time passed after the first token" if after_first else "latency_ms is 0")
        speed = counted / milliseconds * 1000.0
        return speed if math.isfinite(speed) else Failed("the speed is not finite")
