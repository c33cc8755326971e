"""What a word's token is told beside its number: whether the other text has the word, and what kind of word it is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence, Set
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from evalsvc.detection.words import Kind, Span, Words


class Found(IntEnum):
    """Where a word of the response was found."""

    FOLLOWING = 0
    """In the contexts, after the same word as in the response."""
    SAME = 1
    FORM = 2
    """Another word of the same stem is in the contexts."""
    QUESTION = 3
    NOWHERE = 4


class Shared(IntEnum):
    """Whether a word of the contexts is in the response."""

    SAME = 0
    FORM = 1
    NO = 2


_FOUND, _SHARED = len(Found), len(Shared)
_OF_CONTEXTS = 1 + len(Kind) * _FOUND
MARKS = _OF_CONTEXTS + len(Kind) * _SHARED
"""How many marks there are: 0 for no word, then the response's, then the contexts'."""

UNFOUND = frozenset(1 + kind * _FOUND + Found.NOWHERE for kind in Kind if kind is not Kind.FUNCTION)
"""The marks of a response's words that say something and are nowhere."""


class Vocabulary(NamedTuple):
    """What words a text has: themselves, their stems, and pairs of neighbouring stems."""

    keys: Set[str]
    stems: Set[str]
    pairs: Set[tuple[str, str]]


def vocabulary(parts: Sequence[Words]) -> Vocabulary:
    """Return the words of some texts."""
    return Vocabulary(
        {key for part in parts for key in part.keys},
        {stem for part in parts for stem in part.stems},
        {pair for part in parts for pair in pairwise(part.stems)},
    )


def response_marks(response: Words, contexts: Vocabulary, question: Set[str]) -> list[int]:
    """Return the mark of each word of a response, in ``[1, 26)``; ``question`` holds stems."""
    marks = []
    before = ""
    for key, stem, kind in zip(response.keys, response.stems, response.kinds, strict=True):
        found = _found(key, stem, before, contexts, question)
        marks.append(1 + kind * _FOUND + found)
        before = stem
    return marks


def context_marks(context: Words, response: Vocabulary) -> list[int]:
    """Return the mark of each word of a context, in ``[26, 41)``."""
    return [
        _OF_CONTEXTS
        + kind * _SHARED
        + (Shared.SAME if key in response.keys else Shared.FORM if stem in response.stems else Shared.NO)
        for key, stem, kind in zip(context.keys, context.stems, context.kinds, strict=True)
    ]


def by_token(tokens: Sequence[Span], spans: Sequence[Span], marks: Sequence[int]) -> list[int]:
    """Return each token's mark: that of the word that it begins in, or 0.

    >>> by_token([(0, 2), (2, 4), (5, 6)], [(0, 4)], [7])
    [7, 7, 0]
    """
    starts = [start for start, _ in spans]
    places = [bisect_right(starts, start) - 1 for start, _ in tokens]
    return [
        marks[place] if place >= 0 and spans[place][1] > start else 0
        for place, (start, _) in zip(places, tokens, strict=True)
    ]


def _found(key: str, stem: str, before: str, contexts: Vocabulary, question: Set[str]) -> Found:
    if key not in contexts.keys and stem not in contexts.stems:
        return Found.QUESTION if stem in question else Found.NOWHERE
    if (before, stem) in contexts.pairs:
        return Found.FOLLOWING
    return Found.SAME if key in contexts.keys else Found.FORM
