"""Answer language match: whether the response is in the language in which the user asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from evalsvc.errors import InputError
from evalsvc.scorers import _language
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec


class AnswerLanguageMatch:
    """1 where the response is in the language of the last user message, else 0; higher is better.

    The language of each is py3langid's, without code and addresses. Abstains without either text, where one is
    too short, in mixed scripts or without words, and where the best language is not well ahead of the second.
    Languages that ISO 639-3 joins in one macrolanguage (Malay and Indonesian, Bokmål and Nynorsk, Bosnian,
    Croatian and Serbian) count as one. Who asks for a translation gets 0 for a right answer. ``detail`` holds
    the two ISO 639 codes.

    Source: Lui and Baldwin 2012, langid.py: An Off-the-shelf Language Identification Tool.

    Args:
        min_characters: letters that each text needs, at least 1; one of Chinese, Japanese or Korean counts as three.

    >>> AnswerLanguageMatch().spec.scale.binary
    True
    """

    cost_class: ClassVar[str] = "characters"

    def __init__(self, min_characters: int = _language.MIN_CHARACTERS) -> None:
        if isinstance(min_characters, bool) or not isinstance(min_characters, int) or min_characters < 1:
            raise InputError(f"Expected `min_characters` of at least 1, but got {min_characters!r}")
        self._min_characters = min_characters
        self._spec = ScorerSpec(
            metric="answer_language_match",
            version=1,
            scale=Scale(0.0, 1.0, "higher", "share", binary=True),
            needs=("prompt", "response"),
            signature=_language.signature(min_characters),
            description="Whether the response is in the language of the last user message",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; py3langid's version is in the signature, since it brings the model."""
        return self._spec

    def load(self) -> None:
        """Load py3langid's model."""
        _language.load()

    def cost(self, sample: Sample) -> int:
        """Return the characters of both texts, at least 1."""
        return 1 + len(sample.event.last_user_text) + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [self._score(sample.event.last_user_text, sample.event.response) for sample in batch]

    def _score(self, asked: str, answered: str) -> Outcome:
        if not asked.strip():
            return Abstained("no user message")
        if not answered.strip():
            return Abstained("empty response")
        codes: dict[str, str] = {}
        for side, text in (("prompt", asked), ("response", answered)):
            guess = _language.identify(text, self._min_characters)
            if guess.language is None:
                return Abstained(f"{side}: {guess.reason}")
            codes[side] = guess.language
        return Scored(float(codes["prompt"] == codes["response"]), codes)
