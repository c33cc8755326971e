"""ROUGE's tokens as one character each, made once for all ROUGE scorers of a process.

A text becomes the tuple of its lines, a line the string of its stems' numbers as characters: rapidfuzz then compares
lines as it compares strings. The numbers hold within one :class:`StemNumbers` only.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any

from evalsvc.scorers._ngrams import LONGEST_KEPT_WORD

STEM_FROM_LENGTH = 4
MOST_WORDS = 1 << 15
# A batch is cut at 32,768 characters of cost: its texts are still there when the next ROUGE scorer asks.
MOST_CHARACTERS = 1 << 17
_KEPT_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789\n")
_OTHERS_TO_SPACE = bytes(code if code in _KEPT_BYTES else 32 for code in range(256))

# What nltk's steps look for, so that a word without it is left to the next step at once.
_ENDINGS = {
    "_step1a": ("s",),
    "_step1b": ("ed", "ing"),
    "_step1c": ("y",),
    "_step2": (
        *("tional", "enci", "anci", "izer", "bli", "alli", "entli", "eli", "ousli", "ation", "ator", "alism"),
        *("iveness", "fulness", "ousness", "aliti", "iviti", "biliti", "fulli", "logi"),
    ),
    "_step3": ("icate", "ative", "alize", "iciti", "ical", "ful", "ness"),
    "_step4": (
        *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ment", "ent", "ion", "ou", "ism", "ate", "iti"),
        *("ous", "ive", "ize"),
    ),
    "_step5a": ("e",),
    "_step5b": ("ll",),
}
_VOWELS_AND_CONSONANTS = str.maketrans({chr(code): "v" if chr(code) in "aeiou" else "c" for code in range(128)})


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
        plain = text.lower().encode("ascii", "replace").translate(_OTHERS_TO_SPACE).decode("ascii")
        number = self._words.__getitem__
        lines = tuple(filter(None, ["".join(map(number, line.split())) for line in plain.split("\n")]))
        if self._characters > self._most_characters:
            self._texts.clear()
            self._characters = 0
        if len(text) <= self._most_characters:
            self._texts[text] = lines
            self._characters += len(text)
        return lines


class _Words(dict[str, str]):
    """From a word to the character of its stem; a new word is stemmed and, unless it is long, remembered."""

    def __init__(self, stem: Callable[[str], str]) -> None:
        super().__init__()
        self._stem = stem
        self._fresh = count()
        self.stems: dict[str, str] = {}

    def __missing__(self, word: str) -> str:
        # Words of up to three characters are their own stems.
        stem = self._stem(word) if len(word) >= STEM_FROM_LENGTH else word
        number = self.stems.get(stem) or self.stems.setdefault(stem, chr(next(self._fresh)))
        if len(word) <= LONGEST_KEPT_WORD:
            self[word] = number
        return number


_shared: list[StemNumbers] = []


def shared_stems() -> StemNumbers:
    """Return the process's stems; a pair's two texts are to be read with one and the same."""
    if not _shared or _shared[-1].full:
        _shared[:] = [StemNumbers(porter(), MOST_WORDS, MOST_CHARACTERS)]
    return _shared[-1]


def porter() -> Callable[[str], str]:
    """Return nltk's Porter stemmer, which rouge-score uses, with its slow questions answered quickly.

    >>> porter()("relational")
    'relat'
    """
    stemmer: Any = import_module("nltk.stem.porter").PorterStemmer()
    measure, contains_vowel = stemmer._measure, stemmer._contains_vowel

    def quick_measure(word: str) -> int:
        return measure(word) if "y" in word else word.translate(_VOWELS_AND_CONSONANTS).count("vc")

    def quick_contains_vowel(word: str) -> bool:
        return contains_vowel(word) if "y" in word else "v" in word.translate(_VOWELS_AND_CONSONANTS)

    # nltk binds its rules' conditions anew on each word, and these are what they ask.
    stemmer._measure, stemmer._contains_vowel = quick_measure, quick_contains_vowel
    for step, endings in _ENDINGS.items():
        setattr(stemmer, step, _only_with(endings, getattr(stemmer, step)))
    stem: Callable[[str], str] = stemmer.stem
    return stem


def _only_with(endings: tuple[str, ...], step: Callable[[str], str]) -> Callable[[str], str]:
    return lambda word: step(word) if word.endswith(endings) else word
