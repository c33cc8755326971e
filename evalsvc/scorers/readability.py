"""Readability: Flesch's reading ease and its adaptations to German, French, Spanish and Italian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from evalsvc._sentences import sentence_spans
from evalsvc.errors import InputError
from evalsvc.scorers import _language, _prose
from evalsvc.scorers._prose import prose
from evalsvc.scorers._syllables import syllables
from evalsvc.scorers._words import TOKENISER, words
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec


class Formula(NamedTuple):
    """``base - sentence · words per sentence - word · syllables per word``."""

    base: float
    sentence: float
    word: float


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "en": Formula(206.835, 1.015, 84.6),
        "de": Formula(180.0, 1.0, 58.5),
        "fr": Formula(207.0, 1.015, 73.6),
        "es": Formula(206.84, 1.02, 60.0),
        "it": Formula(206.0, 1.0, 65.0),
    }
)
"""Flesch 1948, Amstad 1978, Kandel and Moles 1958, Fernández Huerta 1959 (corrected), Franchina and Vacca 1972."""


class Readability:
    """Reading ease in points: 100 is very easy, 60 plain, 30 hard; both ends are open and no direction is better.

    ``base - a · words per sentence - b · syllables per word``, with the coefficients of the response's
    language: English (Flesch 1948), German (Amstad 1978), French (Kandel and Moles 1958), Spanish (Fernández
    Huerta 1959, in the form in which the sentence term is words per sentence) and Italian (Franchina and Vacca
    1972). Points of two languages do not compare. What is right depends on the readers, so neither
    direction is better: watch it for change. Code, addresses and words without a letter are left out.

    Abstains on an empty response, below ``min_words``, where the language is not sure, and in other
    languages. ``detail`` holds the language and the counts.

    Args:
        language: ``auto``, or one of ``de en es fr it`` for all responses.
        min_words: words that a response needs, at least 1; Flesch sampled 100, and short texts are noisy.

    >>> reading_ease(count("The cat sat on the mat. It was warm.", "en"), "en")
    117.6675
    """

    cost_class: ClassVar[str] = "characters"

    def __init__(self, language: str = "auto", min_words: int = 20) -> None:
        if language != "auto" and language not in FORMULAS:
            raise InputError(f"Expected `language` to be auto or one of {', '.join(FORMULAS)}, but got {language!r}")
        if isinstance(min_words, bool) or not isinstance(min_words, int) or min_words < 1:
            raise InputError(f"Expected `min_words` of at least 1, but got {min_words!r}")
        self._language = language
        self._min_words = min_words
        given = f"lang:{language}|{_prose.SIGNATURE}"
        chosen = _language.signature(_language.MIN_CHARACTERS) if language == "auto" else given
        self._spec = ScorerSpec(
            metric="readability",
            version=1,
            scale=Scale(None, None, "neither", "points"),
            needs=("response",),
            signature=f"{chosen}|min_words:{min_words}|syllables:1|{TOKENISER}",
            description="Flesch reading ease of the response, in the formula of its language",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:
        """Load py3langid's model, unless the language is given."""
        if self._language == "auto":
            _language.load()

    def cost(self, sample: Sample) -> int:
        """Return the response's characters, at least 1."""
        return 1 + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [self._score(sample.event.response) for sample in batch]

    def _score(self, response: str) -> Outcome:
        if not response.strip():
            return Abstained("empty response")
        language = self._language
        if language == "auto":
            guess = _language.identify(response)
            if guess.language is None:
                return Abstained(guess.reason)
            language = guess.language
        if language not in FORMULAS:
            return Abstained(f"no formula for language {language}")
        counts = count(prose(response), language)
        if counts.words < self._min_words:
            return Abstained(f"fewer than {self._min_words} words in the response")
        return Scored(reading_ease(counts, language), {"language": language, **counts._asdict()})


class Counts(NamedTuple):
    """What the formula is made of."""

    sentences: int
    words: int
    syllables: int


def count(text: str, language: str) -> Counts:
    """Count sentences that hold a word, words that hold a letter, and their syllables.

    >>> count("Ready? 1, 2, 3! Steady now.", "en")
    Counts(sentences=2, words=3, syllables=5)
    """
    found = [_spoken(text[start:end]) for start, end in sentence_spans(text)]
    full = [sentence for sentence in found if sentence]
    total = sum(syllables(word, language) for sentence in full for word in sentence)
    return Counts(len(full), sum(map(len, full)), total)


def reading_ease(counts: Counts, language: str) -> float:
    """Return the points for these counts; both divisors must be above 0.

    >>> reading_ease(Counts(1, 10, 15), "en")
    69.785
    """
    base, per_sentence, per_word = FORMULAS[language]
    points = base - per_sentence * counts.words / counts.sentences - per_word * counts.syllables / counts.words
    return round(points, 9)


def _spoken(sentence: str) -> list[str]:
    return [word for word in words(sentence) if any(character.isalpha() for character in word)]
