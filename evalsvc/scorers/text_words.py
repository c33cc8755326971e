"""How many words a prompt or a response has, and which: what drift of length and vocabulary is seen by."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Literal
from zlib import crc32

from evalsvc.scorers._words import TOKENISER, word_pattern, words
from evalsvc.types import Abstained, Event, Outcome, Sample, Scale, Scored, ScorerSpec

BUCKETS = 512
"""How many buckets words are counted in: two words share one with probability 1/512."""

Side = Literal["prompt", "response"]


def text_of(event: Event, side: Side) -> str | Abstained:
    """Return the last user message or the response, or why there is nothing to look at."""
    text = event.last_user_text if side == "prompt" else event.response
    if text.strip():
        return text
    return Abstained("no user message" if side == "prompt" else "empty response")


class TextWords(ABC):
    """The number of words of a text, at least 0; neither direction is better.

    Its features are counts of the words by bucket (CRC-32 of the folded word, modulo 512; Weinberger et al. 2009,
    feature hashing, without signs), and the sum of their squares: means over two windows say whether the vocabulary
    moved, and how often two texts use the same word (``distinct_words`` of a window). No word can be read from them.
    Abstains where the text is empty. Cost: one pass over the text.

    Source: Weinberger et al. 2009, Feature Hashing for Large Scale Multitask Learning.
    """

    cost_class: ClassVar[str] = "characters"
    side: ClassVar[Side]

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        where = "last user message" if self.side == "prompt" else "response"
        return ScorerSpec(
            metric=f"{self.side}_words",
            version=1,
            scale=Scale(0.0, None, "neither", "words"),
            needs=(self.side,),
            signature=f"{TOKENISER}|case:folded|buckets:crc32.{BUCKETS}",
            description=f"How many words the {where} has; with its vocabulary, for drift",
            features="counts",
        )

    def load(self) -> None:
        """Compile the pattern of a word."""
        word_pattern()

    def cost(self, sample: Sample) -> int:
        """Return the text's characters, at least 1."""
        text = text_of(sample.event, self.side)
        return 1 + (len(text) if isinstance(text, str) else 0)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [self._score(text_of(sample.event, self.side)) for sample in batch]

    def _score(self, text: str | Abstained) -> Outcome:
        if isinstance(text, Abstained):
            return text
        found = words(text)
        return Scored(float(len(found)), statistics=word_counts(found))


def word_counts(found: Sequence[str]) -> tuple[float, ...]:
    """Return how many of the words are in each bucket, and the sum of the squares of these counts.

    >>> *counts, squares = word_counts(["a", "b", "a"])
    >>> len(counts), max(counts), sum(counts), squares
    (512, 2.0, 3.0, 5.0)
    """
    counts = [0.0] * BUCKETS
    for word in found:
        counts[crc32(word.encode("utf-8", "replace")) % BUCKETS] += 1.0
    return (*counts, sum(count * count for count in counts))


class PromptWords(TextWords):
    """How many words the last user message has; neither direction is better. See :class:`TextWords`.

    >>> PromptWords().spec.metric
    'prompt_words'
    """

    side = "prompt"


class ResponseWords(TextWords):
    """How many words the response has; neither direction is better. See :class:`TextWords`.

    >>> ResponseWords().spec.scale.unit
    'words'
    """

    side = "response"
