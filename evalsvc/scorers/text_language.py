"""Which language a prompt or a response is in: what drift of the languages of the traffic is seen by."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from evalsvc.errors import InputError
from evalsvc.scorers import _language
from evalsvc.scorers.text_words import Side, text_of
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec


class TextLanguage(ABC):
    """1 for every text whose language is known, so that the total says how many; neither direction is better.

    Its features are one of the languages that py3langid tells apart, one-hot: their means are the languages' shares.
    The rules are those of ``answer_language_match``: it abstains on short texts, mixed scripts, code, and where the
    best language is not well ahead of the second. ``detail`` holds the ISO 639 code.

    Source: Lui and Baldwin 2012, langid.py: An Off-the-shelf Language Identification Tool.

    Args:
        min_characters: letters that the text needs, at least 1; one of Chinese, Japanese or Korean counts as three.
    """

    cost_class: ClassVar[str] = "characters"
    side: ClassVar[Side]

    def __init__(self, min_characters: int = _language.MIN_CHARACTERS) -> None:
        if isinstance(min_characters, bool) or not isinstance(min_characters, int) or min_characters < 1:
            raise InputError(f"Expected `min_characters` of at least 1, but got {min_characters!r}")
        self._min_characters = min_characters
        self._places: dict[str, int] = {}

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the languages are named after :meth:`load`."""
        where = "last user message" if self.side == "prompt" else "response"
        return ScorerSpec(
            metric=f"{self.side}_language",
            version=1,
            scale=Scale(0.0, 1.0, "neither", "texts", binary=True),
            needs=(self.side,),
            signature=_language.signature(self._min_characters),
            description=f"Which language the {where} is in, for drift; 1 for each that is known",
            features="categories",
            labels=tuple(self._places),
        )

    def load(self) -> None:
        """Load py3langid's model."""
        _language.load()
        self._places = {code: place for place, code in enumerate(_language.languages())}

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
        guess = _language.identify(text, self._min_characters)
        if guess.language is None:
            return Abstained(guess.reason)
        shares = [0.0] * len(self._places)
        shares[self._places[guess.language]] = 1.0
        return Scored(1.0, {"language": guess.language}, tuple(shares))


class PromptLanguage(TextLanguage):
    """The language of the last user message, for drift. See :class:`TextLanguage`.

    >>> PromptLanguage().spec.features
    'categories'
    """

    side = "prompt"


class ResponseLanguage(TextLanguage):
    """The language of the response, for drift. See :class:`TextLanguage`.

    >>> ResponseLanguage().spec.needs
    ('response',)
    """

    side = "response"
