"""ROUGE's tokens as one character each, made once for all ROUGE scorers of a process.

A text becomes the tuple of its lines, a line the string of its stems' numbers as characters: rapidfuzz then compares
lines as it compares strings. The numbers hold within one :class:`StemNumbers` only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from evalsvc.scorers._ngrams import LONGEST_KEPT_WORD
from evalsvc.scorers._porter import stem

STEM_FROM_LENGTH = 4
MOST_WORDS = 1 << 15
# A batch is cut at 32,768 characters of cost: its texts are still there when the next ROUGE scorer asks.
MOST_CHARACTERS = 1 << 17
_KEPT_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789\n")
_OTHERS_TO_SPACE = bytes(code if code in _KEPT_BYTES else 32 for code in range(256))


class StemNumbers:
    """A bounded cache from words and texts to the characters of their stems.

    Words longer than 32 characters are not kept. A full one is not emptied but replaced, so that a thread which
    still compares two texts by its numbers is not disturbed.
    """

    def __init__(self, stem: Callable[[str], str], most_words: int, most_characters: int) -> None:
        """Take the stemmer, and how many words and characters of texts to remember."""
        self._most_words = most_words
        self._most_characters = most_characters
        self._words = _Words(stem)
        self._texts: dict[str, tuple[str, ...]] = {}
        self._characters = 0

    @property
    def full(self) -> bool:
        """Whether more is remembered than was allowed; a batch may pass it by one text."""
        return len(self._words.stems) > self._most_words or len(self._words) > self._most_words

    def lines(self, text: str) -> tuple[str, ...]:
        r"""Return the lines that have tokens, one character a stemmed token.

        >>> numbers = StemNumbers(lambda word: word.removesuffix("ing"), 100, 1000)
        >>> numbers.lines("Hopping, 2 cafés\n\n- hopp") == ("\x00\x01\x02\x03", "\x00")
        True
        """
        known = self._texts.get(text)
        if known is not None:
            return known
        # Anything outside ASCII becomes "?", then a space, which is all that it is to ROUGE.
        plain = text.lower().encode("ascii", "replace").translate(_OTHERS_TO_SPACE)
        number = self._words.__getitem__
        lines = tuple(filter(None, ["".join(map(number, line.split())) for line in plain.split(b"\n")]))
        if self._characters > self._most_characters:
            self._texts.clear()
            self._characters = 0
        if len(text) <= self._most_characters:
            self._texts[text] = lines
            self._characters += len(text)
        return lines


class _Words(dict[bytes, str]):
    """From a word, in ASCII, to the character of its stem; a new word is stemmed and, unless it is long, remembered."""

    def __init__(self, stem: Callable[[str], str]) -> None:
        super().__init__()
        self._stem = stem
        self._fresh = count()
        self.stems: dict[str, str] = {}

    def __missing__(self, word: bytes) -> str:
        # Words of up to three characters are their own stems.
        text = word.decode("ascii")
        stem = self._stem(text) if len(text) >= STEM_FROM_LENGTH else text
        number = self.stems.get(stem) or self.stems.setdefault(stem, chr(next(self._fresh)))
        if len(word) <= LONGEST_KEPT_WORD:
            self[word] = number
        return number


_shared: list[StemNumbers] = []


def shared_stems() -> StemNumbers:
    """Return the process's stems; a pair's two texts are to be read with one and the same."""
    if not _shared or _shared[-1].full:
        _shared[:] = [StemNumbers(stem, MOST_WORDS, MOST_CHARACTERS)]
    return _shared[-1]
