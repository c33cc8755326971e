"""Repetition: the share of the response's word 4-grams that it has used before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from evalsvc.scorers._repeats import count_repeats
from evalsvc.scorers._words import TOKENISER, word_pattern
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec

ORDER = 4


class Repetition:
    """Share of word 4-grams that occurred before in the same response, in [0, 1); lower is better.

    ``1 - distinct 4-grams / 4-grams``: 0 where none comes twice, near 1 where the model is caught in a loop.
    Abstains below four words. ``detail`` holds the counts and, where something is repeated, the position of
    the first 4-gram that came before. Linear in the response's length.

    Source: seq-rep-4 of Welleck et al. 2020, Neural Text Generation With Unlikelihood Training; here over
    words instead of a model's tokens.

    >>> Repetition().spec.scale.better
    'lower'
    """

    cost_class: ClassVar[str] = "characters"

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return ScorerSpec(
            metric="repetition",
            version=1,
            scale=Scale(0.0, 1.0, "lower"),
            needs=("response",),
            signature=f"n:{ORDER}|case:folded|{TOKENISER}",
            description=f"Share of the response's word {ORDER}-grams that occurred before in it",
        )

    def load(self) -> None:
        """Compile the pattern of a word."""
        word_pattern()

    def cost(self, sample: Sample) -> int:
        """Return the response's characters, at least 1."""
        return 1 + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [_score(sample.event.response) for sample in batch]


def _score(response: str) -> Outcome:
    if not response.strip():
        return Abstained("empty response")
    found = count_repeats(response, ORDER)
    if not found.total:
        return Abstained(f"fewer than {ORDER} words in the response" if found.words else "no words in the response")
    detail: dict[str, object] = {"words": found.words, "ngrams": found.total, "repeated": found.total - found.distinct}
    if found.first_repeat is not None:
        detail["first_repeat"] = {"start": found.first_repeat[0], "end": found.first_repeat[1]}
    return Scored((found.total - found.distinct) / found.total, detail)
