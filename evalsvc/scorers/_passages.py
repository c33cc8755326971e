"""Sentences of a response and passages of contexts, in pieces that a model's window holds, with their positions."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from evalsvc._sentences import Span, sentence_spans

WORD = re.compile(r"\w")
# A sentence of up to this share of a passage is repeated at the beginning of the next.
OVERLAP = 4


class Passage(NamedTuple):
    """A part of a context: which context, from where to where, and the text itself."""

    context: int
    start: int
    end: int
    text: str


class Sentence(NamedTuple):
    """A sentence of the response, and the parts of it that are judged: itself, unless it is too long for that."""

    span: Span
    parts: list[Span]


def cut(text: str, tokens: Sequence[Span], size: int, *, overlap: bool = True) -> list[Span]:
    """Return spans of whole sentences that have at most ``size`` tokens, covering the text, in order.

    With ``overlap`` each begins with the last sentence of the one before, where that is short. A sentence that
    alone is longer is cut between tokens. Linear in the text's length.

    Args:
        text: what to cut.
        tokens: the positions of its tokens, in order.
        size: the most tokens of a span, at least 1.
        overlap: whether a short sentence is repeated; without it no two spans share a character.

    >>> text = "We sell. You buy. He waits. "
    >>> words = [match.span() for match in re.finditer("[a-zA-Z]+", text)]
    >>> [text[start:end] for start, end in cut(text, words, 4)]
    ['We sell. You buy.', 'He waits.']
    """
    starts = [start for start, _ in tokens]
    units = [unit for span in sentence_spans(text) for unit in _within(span, starts, size)]
    counts = [_count(starts, unit) for unit in units]
    spans: list[Span] = []
    first = 0
    while first < len(units):
        after = first + 1
        total = counts[first]
        while after < len(units) and total + counts[after] <= size:
            total += counts[after]
            after += 1
        spans.append((units[first][0], units[after - 1][1]))
        if after == len(units):
            break
        short = min(size // OVERLAP, size - counts[after])
        repeated = overlap and after - 1 > first and counts[after - 1] <= short
        first = after - 1 if repeated else after
    return spans


def passages(contexts: Sequence[str], tokens: Sequence[Sequence[Span]], size: int) -> list[Passage]:
    """Return the passages of all contexts that hold a word; equal ones once, where they come first."""
    found: dict[str, Passage] = {}
    for index, (context, spans) in enumerate(zip(contexts, tokens, strict=True)):
        for start, end in cut(context, spans, size):
            if WORD.search(context, start, end):
                found.setdefault(context[start:end], Passage(index, start, end, context[start:end]))
    return list(found.values())


def sentences(response: str, tokens: Sequence[Span], size: int) -> list[Sentence]:
    """Return the response's sentences that hold a word: a rule of dashes claims nothing."""
    starts = [start for start, _ in tokens]
    spans = (span for span in sentence_spans(response) if WORD.search(response, *span))
    return [Sentence(span, _within(span, starts, size)) for span in spans]


def _within(span: Span, starts: Sequence[int], size: int) -> list[Span]:
    """Cut a sentence between tokens where it has more than ``size``."""
    first, after = bisect_left(starts, span[0]), bisect_left(starts, span[1])
    if after - first <= size:
        return [span]
    cuts = sorted({span[0], *(starts[place] for place in range(first + size, after, size)), span[1]})
    return list(pairwise(cuts))


def _count(starts: Sequence[int], span: Span) -> int:
    return bisect_left(starts, span[1]) - bisect_left(starts, span[0])
