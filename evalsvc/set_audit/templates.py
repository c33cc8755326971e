"""Nearly equal texts that ask about something else: one template, filled with other numbers or names.

Words are aligned by their longest common subsequence. Where some stand in the place of others, the texts are of a
template if

- both have numbers, and other ones: order 1234 and order 1235, 3.5 and 35, 5 and -5; or
- both are names: they have a capital letter that no beginning of a sentence explains, and are more than
  :data:`TYPO` letters apart, or both are in a third text, which a slip of the pen hardly is: Iran and Iraq.

A word that is only there in one of the two, another spelling and a synonym make no template. Names in small letters
are not known, nor are those in titles, where most words have capitals.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc.set_audit.near import folded

TYPO = 2
"""Letters by which a misspelt name, or another spelling of it, is apart from it."""

_NUMBER = r"\d+(?:[.,:]\d+)*"
# A sign comes after a space and such, not after a word or in a range ("5-10", "5 -10"); a point may begin a fraction.
_SIGN = r"(?:^|(?<=[\s(=:\"']))(?<!\d\s)[-\u2212](?=\.?\d)"
_WORDS = re.compile(rf"(?:{_SIGN})?(?:(?<![\w.])\.)?{_NUMBER}\w*|[^\W_]+")
_NUMBERS = re.compile(rf"\.?{_NUMBER}")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{2,3})*,\d{3}(?:\.\d+)?|(?:\.\d{3})+(?:,\d+)?)")
"""1,234.5 and 1.234,5 and 1,00,000: a mark with three digits after it is taken to be between thousands."""
_FRACTION = re.compile(r"\.\d+")
_ENDS = frozenset('.!?:;\n"“„«(-–—*•')
"""What the first word of a sentence comes after, where it is not the first of all."""


class _Word(NamedTuple):
    folded: str
    number: str
    capital: bool


class Templates:
    """Tell texts that are nearly the same from those of one template; names are looked up in all texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._read: dict[int, list[_Word]] = {}
        self._counted: Counter[str] | None = None

    def differ(self, first: int, second: int) -> bool:
        """Return whether one of two texts, by their places, has another number or name where the other has its."""
        if self._texts[first] == self._texts[second]:
            return False
        return any(
            _other_number(one, other) or self._other_name(one, other, first, second)
            for one, other in _changed(self._words(first), self._words(second))
        )

    def _other_name(self, one: Sequence[_Word], other: Sequence[_Word], first: int, second: int) -> bool:
        from rapidfuzz.distance import Levenshtein

        pairs = [(here.folded, there.folded) for here in one for there in other if here.capital and there.capital]
        return bool(pairs) and all(
            Levenshtein.distance(*names, score_cutoff=TYPO) > TYPO
            or all(self._elsewhere(name, first, second) for name in names)
            for names in pairs
        )

    def _elsewhere(self, word: str, first: int, second: int) -> bool:
        if self._counted is None:
            # Copies of a misspelt text are no witnesses of its words: they count once.
            distinct = {folded(text): text for text in self._texts}
            self._counted = Counter(
                name for text in distinct.values() for name in {each.folded for each in _read(text)}
            )
        own = sum(word in {each.folded for each in self._words(place)} for place in (first, second))
        return self._counted[word] > own

    def _words(self, place: int) -> list[_Word]:
        if place not in self._read:
            self._read[place] = _read(self._texts[place])
        return self._read[place]


def _changed(one: Sequence[_Word], other: Sequence[_Word]) -> list[tuple[Sequence[_Word], Sequence[_Word]]]:
    """Return what stands in one text where something else stands in the other."""
    from rapidfuzz.distance import Indel

    steps = Indel.opcodes([word.folded for word in one], [word.folded for word in other])
    same = [step for step in steps if step.tag == "equal"]
    starts = [(0, 0), *((step.src_end, step.dest_end) for step in same)]
    ends = [*((step.src_start, step.dest_start) for step in same), (len(one), len(other))]
    return [(one[a:b], other[c:d]) for (a, c), (b, d) in zip(starts, ends, strict=True)]


def _other_number(one: Sequence[_Word], other: Sequence[_Word]) -> bool:
    here, there = ([word.number for word in words if word.number] for words in (one, other))
    return bool(here and there) and here != there


def _number(word: str) -> str:
    """Return a word's numbers in one spelling; empty where it has none.

    >>> _number("1,000"), _number("3,50"), _number("-.50"), _number("b12x07"), _number("09:30"), _number("ten")
    ('1000', '3.50', '-0.5', '12 7', '9:30', '')

    Zeros at the end of a fraction are left out where it is none of a version, a date or a section: 3.10 is not 3.1.

    >>> _number("2.0"), _number("0,10"), _number("1,234.50"), _number("3.10"), _number("1.2.0"), _number("10:00")
    ('2', '0.1', '1234.5', '3.10', '1.2.0', '10:00')
    """
    numbers = " ".join(_plain(found) for found in _NUMBERS.findall(word))
    return f"-{numbers}" if numbers and word[0] in "-\u2212" else numbers


def _plain(number: str) -> str:
    if grouped := bool(_GROUPED.fullmatch(number)):
        # The first mark is that of the thousands; another one is the point.
        number = number.replace(next(mark for mark in number if mark in ",."), "")
    rest = number.lstrip(string.digits)
    whole, rest = number.removesuffix(rest).lstrip("0") or "0", rest.replace(",", ".")
    shorter = rest.rstrip("0.") if _FRACTION.fullmatch(rest) else rest
    return whole + (shorter if grouped or whole == "0" or not shorter else rest)


def _read(text: str) -> list[_Word]:
    found = list(_WORDS.finditer(text))
    titled = sum(match[0][0].isupper() for match in found) * 2 > len(found)
    words = []
    for match in found:
        name = match[0]
        before = text[: match.start()].rstrip(" \t")[-1:] if match.start() else ""
        capital = len(name) > 1 and name[0].isupper() and not titled and bool(before) and before not in _ENDS
        spelt = folded(name)
        words.append(_Word(spelt, _number(spelt), capital))
    return words
