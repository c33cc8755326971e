"""Context words: whether a word that tells what a number is stands near it."""

from __future__ import annotations

import re
from collections.abc import Iterable

CONTEXT_BEFORE = 64
CONTEXT_AFTER = 24
LONGEST_PHRASE = 64
WORD = re.compile(r"\w+")


class Context:
    """Words and phrases of one type; each counts as a whole word, in any case, plural included.

    >>> context = Context(["card"])
    >>> context.near("my cards are 4111", 13, 17), context.near("cardiff 4111", 8, 12)
    (True, False)
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        """Compile the words and phrases; none at all are never near."""
        plain = sorted({phrase.strip().lower() for phrase in phrases}, key=lambda phrase: (-len(phrase), phrase))
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, plain))})s?(?!\w)") if plain else None
        firsts = [found[0] for phrase in plain if (found := WORD.search(phrase))]
        self.first_words = frozenset([*firsts, *(f"{word}s" for word in firsts)])

    def near(self, lower: str, start: int, end: int) -> bool:
        """Whether one stands in the 64 characters before or the 24 after a stretch of a lower-case text."""
        if self._pattern is None:
            return False
        if self._pattern.search(lower, max(0, start - CONTEXT_BEFORE), start) is not None:
            return True
        return self._pattern.search(lower, end, end + CONTEXT_AFTER) is not None


def words_near(lower: str, start: int, end: int) -> set[str]:
    """Return the words in a stretch and near it: all that can count as context of a match inside."""
    low = max(0, start - CONTEXT_BEFORE - LONGEST_PHRASE)
    return set(WORD.findall(lower[low : end + CONTEXT_AFTER + LONGEST_PHRASE]))


def lower_case(text: str) -> str:
    """Return the text in lower case, each character in its place (the Turkish capital İ stays as it is)."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)
