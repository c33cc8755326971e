"""How a metric and its numbers are said to a person: names, units, and digits that the interval justifies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evalsvc.types import Estimate, Scale, ScorerSpec

MISSING = "–"
_SPACE = "\u00a0"

_NAMES = {
    "answer_language_match": "Answers in the user's language",
    "bits_per_byte": "Bits per byte",
    "bleu": "BLEU",
    "canary_leak": "Planted words told",
    "chrf": "chrF",
    "chrf_plus_plus": "chrF++",
    "context_injection": "Instructions hidden in contexts",
    "context_support": "Support by the given context",
    "cost_usd": "Cost",
    "distinct_1": "Distinct words",
    "distinct_2": "Distinct word pairs",
    "edit_similarity": "Edit similarity to the reference",
    "embedding_similarity": "Similarity in meaning to the reference",
    "exact_match": "Exact matches",
    "faithfulness": "Faithfulness to the given context",
    "human_handover": "Handovers to a person",
    "input_tokens": "Prompt length",
    "introduced_pii": "Introduced personal data",
    "latency_ms": "Latency",
    "nli_faithfulness": "Faithfulness by an NLI model",
    "perplexity": "Perplexity",
    "output_tokens": "Response length",
    "pii_in_response": "Personal data in the response",
    "prompt_embedding": "Prompts embedded",
    "prompt_injection": "Prompt injections",
    "prompt_language": "Prompts of a known language",
    "prompt_words": "Prompt length in words",
    "readability": "Reading ease",
    "refusal": "Refusals",
    "refusal_probability": "Refusals by a detector",
    "relevance": "Relevance to the question",
    "repetition": "Repetition",
    "response_embedding": "Responses embedded",
    "response_language": "Responses of a known language",
    "response_words": "Response length in words",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "rouge_lsum": "ROUGE-Lsum",
    "sequence_faithfulness": "Faithfulness by a detector",
    "system_prompt_leakage": "Leaked system prompt",
    "task_completed": "Completed tasks",
    "ter": "TER",
    "time_to_first_token_ms": "Time to first token",
    "token_f1": "Token F1",
    "token_faithfulness": "Faithfulness by a token classifier",
    "tokens_per_second": "Speed of generation",
    "tool_calls": "Expected tool calls",
    "toxicity": "Toxicity",
    "total_tokens": "Tokens",
    "context_window_utilisation": "Context window used",
    "truncated": "Truncated responses",
}
_DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "neither": "neither direction is better",
}


def metric_name(spec: ScorerSpec) -> str:
    """Return a metric's name as a person says it; one that is not known is its id in words, without its unit.

    >>> metric_name(ScorerSpec("answer_quality.judge", 1, Scale(1.0, 5.0, "higher")))
    'Answer quality judge'
    """
    if spec.metric in _NAMES:
        return _NAMES[spec.metric]
    words = spec.metric.replace("_", " ").replace(".", " ").split()
    unit = spec.scale.unit.lower()
    kept = words[:-1] if len(words) > 1 and words[-1].lower() == unit else words
    text = " ".join(kept) or spec.metric
    return text[:1].upper() + text[1:]


def direction(scale: Scale) -> str:
    """Return which way is better, as half a sentence."""
    return _DIRECTIONS[scale.better]


class Figures(NamedTuple):
    """How the numbers of one metric are written: times ``factor``, so many decimals, then ``suffix``."""

    factor: float
    decimals: int
    suffix: str
    unit: str

    def text(self, value: float | None) -> str:
        """Return a number with its suffix; a missing one is a dash, never 0.

        >>> Figures(100.0, 1, " %", "share").text(0.0234), Figures(1.0, 0, " ms", "ms").text(None)
        ('2.3 %', '–')
        """
        return MISSING if value is None else self.bare(value) + self.suffix

    def bare(self, value: float) -> str:
        """Return a number without its suffix."""
        return _written(value * self.factor, self.decimals)

    def interval(self, estimate: Estimate) -> str:
        """Return the interval's ends, or a dash where there is none."""
        if estimate.low is None or estimate.high is None:
            return MISSING
        return f"{self.bare(estimate.low)} to {self.text(estimate.high)}"


def figures(spec: ScorerSpec, estimates: Sequence[Estimate]) -> Figures:
    """Return how these estimates of one metric are written, all with the same decimals.

    The narrowest interval is shown to two digits of its width; more would be noise. Without any interval a
    number has four digits.
    """
    values = [e.value for e in estimates if e.value is not None]
    factor, suffix, unit = _unit(spec.scale, max(map(abs, values), default=0.0))
    widths = [e.high - e.low for e in estimates if e.low is not None and e.high is not None]
    narrow = min((width for width in widths if width > 0.0), default=0.0)
    digits, span = (1, narrow) if narrow else (3, max(map(abs, values), default=1.0))
    return Figures(factor, decimals(span * factor, digits), suffix, unit)


def decimals(span: float, digits: int) -> int:
    """Return the decimals that show ``digits`` more digits than the first one of ``span``: 0 to 9."""
    return min(9, max(0, digits - math.floor(math.log10(span)))) if span > 0.0 else digits


def _unit(scale: Scale, greatest: float) -> tuple[float, str, str]:
    """Return factor, suffix and unit in words."""
    if scale.binary or scale.unit == "share":
        return 100.0, f"{_SPACE}%", "share of interactions"
    if scale.unit == "USD" and greatest < 0.1:
        return 1000.0, "", "US dollars per 1,000 interactions"
    if scale.unit == "ms":
        return 1.0, f"{_SPACE}ms", "mean, in milliseconds"
    if scale.unit in ("points", "") and scale.bounded:
        return 1.0, "", f"mean, on a scale from {scale.low:g} to {scale.high:g}"
    return 1.0, "", f"mean, in {scale.unit.replace('USD', 'US dollars')}" if scale.unit else "mean"


def ticks(low: float, high: float, about: int = 3) -> tuple[float, list[float]]:
    """Return the step and the round numbers that enclose ``low`` to ``high``, about so many steps apart.

    >>> ticks(0.013, 0.118)
    (0.05, [0.0, 0.05, 0.1, 0.15])
    """
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1.0, 2.0, 2.5, 5.0, 10.0) if size * times >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return step, [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """Return a tick's number with as many decimals as its step has."""
    places = next((d for d in range(10) if abs(step * 10**d - round(step * 10**d)) < 1e-6 * step * 10**d), 9)
    return _written(value, places)


def _written(value: float, places: int) -> str:
    if abs(value) >= 1e12 or 0.0 < abs(value) < 0.5 * 10.0**-places:
        return f"{value:.2g}"
    return f"{value:,.{places}f}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things in words: ``1 version``, ``3 versions``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def joined(names: Iterable[str]) -> str:
    """Return names as a sentence lists them: ``a, b and c``."""
    *head, last = list(names) or [""]
    return f"{', '.join(head)} and {last}" if head else last
