"""The words of a text with what a small encoder does not see of them: numbers, names, negations, and common stems."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

Span = tuple[int, int]

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|\w+")
_NEGATION_WORDS = """
    no not never none nobody nothing nowhere neither nor cannot without hardly barely rarely fail failed fails unable
    nicht kein keine keinen nie niemals ohne ne pas jamais aucun sans non mai senza nunca sin ningún
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_FUNCTION_WORDS = """
    a an the and or but if of to in on at by for with from as is are was were be been being it its this that these
    those he she they we you i his her their our your my me him them us who which what when where how why there here
    do does did have has had will would can could may might shall should must also than then so such some any each
    more most other into over under between about after before up down out yes very just only
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())
_UNITS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = MappingProxyType(
    {word: str(number) for number, word in enumerate(_UNITS.split())}
    | {word: f"{ten}0" for ten, word in enumerate(_TENS.split(), 3)}
    | {"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"}
    | {"first": "1", "second": "2", "third": "3", "once": "1", "twice": "2"}
)
_SUFFIXES = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""), ("ly", ""), ("es", ""), ("s", ""))
# Longer ones hardly repeat, and may be of any length.
_LONGEST_KEPT = 64
# What begins a sentence, a list item or a quotation is written with a capital whether or not it is a name.
_OPENERS = frozenset('.!?:\n•*"“')


class Kind(IntEnum):
    """What a word is, as far as its letters tell."""

    OTHER = 0
    FUNCTION = 1
    NUMBER = 2
    NAME = 3
    NEGATION = 4


class Words(NamedTuple):
    """The words of a text in order: half-open positions, the word as it is compared, its stem, and its kind."""

    spans: Sequence[Span]
    keys: Sequence[str]
    stems: Sequence[str]
    kinds: Sequence[Kind]

    def part(self, first: int, after: int) -> Words:
        """Return the words from one place to another."""
        span = slice(first, after)
        return Words(self.spans[span], self.keys[span], self.stems[span], self.kinds[span])

    def between(self, start: int, end: int) -> Words:
        """Return the words that begin between two characters."""
        first = bisect_left(self.spans, (start,))
        return self.part(first, bisect_left(self.spans, (end,), first))


def words(text: str) -> Words:
    """Return the words of a text; numbers are compared by value, other words without case.

    >>> found = words("Sales of Acme rose by 1,200.50 and didn't fall.")
    >>> found.keys[2], found.kinds[2].name, found.keys[5], found.kinds[7].name
    ('acme', 'NAME', '1200.5', 'NEGATION')
    """
    spans: list[Span] = []
    rows: list[tuple[str, str, Kind]] = []
    end = 0
    for match in _WORD.finditer(text):
        opens = end == 0 or not _OPENERS.isdisjoint(text[end : match.start()])
        spans.append(match.span())
        word = match.group()
        rows.append(_kept(word, opens=opens) if len(word) <= _LONGEST_KEPT else _read(word, opens=opens))
        end = match.end()
    keys, stems, kinds = zip(*rows, strict=True) if rows else ((), (), ())
    return Words(spans, keys, stems, kinds)


def stem(word: str) -> str:
    """Return an English word in lower case without its ending; others mostly as they are.

    >>> stem("stopped"), stem("stops"), stem("cities"), stem("city")
    ('stop', 'stop', 'city', 'city')
    """
    if len(word) <= 4:
        return word.removesuffix("s") if len(word) == 4 and not word.endswith("ss") else word
    for suffix, instead in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not (suffix == "s" and word.endswith("ss")):
            word = word.removesuffix(suffix) + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] in "ei" else word


def _read(word: str, *, opens: bool) -> tuple[str, str, Kind]:
    """Return a word as it is compared, its stem and its kind."""
    low = word.lower().replace("’", "'")
    if word[0].isdigit():
        number = low.replace(",", "")
        number = number.rstrip("0").rstrip(".") if "." in number else number
        return number, number, Kind.NUMBER
    if low in _NUMBERS:
        return _NUMBERS[low], _NUMBERS[low], Kind.NUMBER
    if low in _NEGATIONS or low.endswith("n't"):
        return low, "not", Kind.NEGATION
    if low in _FUNCTION:
        return low, low, Kind.FUNCTION
    low = low.removesuffix("'s")
    inner = len(word) > 1 and word[1:] != word[1:].lower()
    return low, stem(low), Kind.NAME if inner or (word[0].isupper() and not opens) else Kind.OTHER


# Texts repeat their words, and reading one takes longer than all else that is done with it.
_kept = lru_cache(maxsize=2**14)(_read)
