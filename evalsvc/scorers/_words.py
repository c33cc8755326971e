"""The words of a text in any script, with their positions: what the counting metrics count.

A word is a run of letters, their marks and digits; apostrophes join letters ("don't", "l’eau"), and points or
commas join digits ("3.5", "1,000"). A hyphen parts words. In the scripts that put no spaces between words
(Chinese characters, kana, Thai, Lao, Khmer, Burmese) every character with its marks is a word of its own, since
nothing in the text says where words end. Punctuation, symbols and emojis are no words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from unicodedata import normalize

TOKENISER = "words:1"
"""The part of a signature that names these rules."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
# Digits and marks of the unspaced scripts behave as any others do.
_ALONE = rf"[[{_UNSPACED}]--\p{{N}}--\p{{M}}]\p{{M}}*"
_INNER = rf"[[\p{{L}}\p{{N}}\p{{M}}]--[[{_UNSPACED}]--\p{{N}}--\p{{M}}]]"
_WORD = rf"{_ALONE}|{_INNER}+(?:['’][\p{{L}}&&{_INNER}]{_INNER}*|(?<=\p{{N}})[.,]\p{{N}}{_INNER}*)*"


@lru_cache(maxsize=1)
def word_pattern() -> re.Pattern[str]:
    """Return the compiled pattern of one word; imports the package ``regex``, which knows scripts."""
    package = import_module("regex")
    pattern: re.Pattern[str] = package.compile(_WORD, package.V1)
    return pattern


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield half-open character positions of the words, in order. Linear in the text's length.

    >>> list(word_spans("Well-known: 3.5 km"))
    [(0, 4), (5, 10), (12, 15), (16, 18)]
    """
    for match in word_pattern().finditer(text):
        yield match.span()


def folded(word: str) -> str:
    """Return what makes two words equal: no case, composed accents, one kind of apostrophe."""
    return normalize("NFC", word.casefold()).replace("’", "'")


def words(text: str) -> list[str]:
    """Return the words, folded.

    >>> words("Don’t pay 1,000 €! हिन्दी 東京へ")
    ["don't", 'pay', '1,000', 'हिन्दी', '東', '京', 'へ']
    """
    return [folded(text[start:end]) for start, end in word_spans(text)]
