"""What a call cost and how long it took: the event's own figures as metrics, with windows and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from evalsvc.types import Abstained, Better, Failed, Need, Outcome, Sample, Scale, ScorerSpec


def _spec(metric: str, better: Better, unit: str, needs: tuple[Need, ...], description: str) -> ScorerSpec:
    scale = Scale(0.0, None, better, unit)
    return ScorerSpec(metric, 1, scale, needs, signature=f"field:{metric}", description=description)


class EventFigure:
    """One figure of the event, unchanged, as a metric named like the field.

    Abstains where the event has no such figure; a negative or infinite one, or NaN, is ``failed``. The scales
    are open above and such figures have long tails: watch quantiles, not only means.
    """

    _spec: ClassVar[ScorerSpec]

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:
        """Do nothing: there is nothing to load."""

    def cost(self, sample: Sample) -> int:
        """Return 1, whatever the sample."""
        return 1

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return the figure of each event, in order."""
        return [self._outcome(getattr(sample.event, self._spec.metric)) for sample in batch]

    def _outcome(self, figure: float | None) -> Outcome:
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
