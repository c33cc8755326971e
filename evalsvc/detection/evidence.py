"""What a detector of pairs reads: parts of a response beside the sentences of contexts that share most with them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc._sentences import sentence_spans
from evalsvc.detection.marks import by_token, context_marks, response_marks, vocabulary
from evalsvc.detection.words import Kind, Span, Words, words

CLS, SEP = 101, 102


class Text(NamedTuple):
    """A text in tokens and words."""

    text: str
    ids: Sequence[int]
    tokens: Sequence[Span]
    words: Words


class Unit(NamedTuple):
    """A sentence of a context, or a piece of one that is long; ``start`` and ``end`` are characters of the context."""

    context: int
    start: int
    end: int
    ids: Sequence[int]
    tokens: Sequence[Span]
    words: Words


class Piece(NamedTuple):
    """The tokens ``[start, stop)`` of a window that belong to a sentence of the response."""

    sentence: int
    start: int
    stop: int


class Window(NamedTuple):
    """One sequence to read, ``[n]`` token ids with their types and marks.

    ``pieces`` says which tokens are which sentence's, ``offsets`` are the characters in the response of the tokens from
    ``pieces[0].start`` to ``pieces[-1].stop``, and ``units`` are the places of the sentences that are read beside them.
    """

    ids: Sequence[int]
    types: Sequence[int]
    marks: Sequence[int]
    pieces: Sequence[Piece]
    offsets: Sequence[Span]
    units: Sequence[int]


class Budget(NamedTuple):
    """The most tokens of a window: of the contexts, and of the response."""

    contexts: int = 160
    response: int = 96


class Evidence:
    """The contexts of a response: their sentences and words."""

    def __init__(self, contexts: Sequence[Text], longest: int = Budget().response) -> None:
        self.units = [unit for index, text in enumerate(contexts) for unit in _units(index, text, longest)]
        self.vocabulary = vocabulary([unit.words for unit in self.units])
        self._stems = [frozenset(unit.words.stems) for unit in self.units]
        counts = Counter(stem for stems in self._stems for stem in stems)
        self._rarity = {stem: math.log(1 + len(self.units) / count) for stem, count in counts.items()}
        self._tokens = sum(len(unit.ids) for unit in self.units)

    def selected(self, sentences: Sequence[Words], most: int) -> list[int]:
        """Return the places of the units to read beside some sentences, in order, of at most ``most`` tokens.

        Each sentence in turn takes the unit that shares most with it, by rarity of the common stems; what is left of
        the budget goes to neighbours of those.
        """
        if self._tokens <= most:
            return list(range(len(self.units)))
        ranks = [self._ranked(sentence) for sentence in sentences]
        chosen: dict[int, None] = {}
        left = most
        for turn in range(len(self.units)):
            for ranked in ranks:
                shared, place = ranked[turn]
                size = len(self.units[place].ids)
                if place not in chosen and size <= left and (shared > 0 or turn == 0):
                    chosen[place] = None
                    left -= size
        near = sorted(
            range(len(self.units)), key=lambda place: min((abs(place - one) for one in chosen), default=place)
        )
        for place in near:
            size = len(self.units[place].ids)
            if place not in chosen and size <= left:
                chosen[place] = None
                left -= size
        return sorted(chosen)

    def closest(self, sentence: Words, units: Sequence[int]) -> int | None:
        """Return which of some units shares most with a sentence, or ``None`` where none shares anything."""
        shared, place = max(((self._shared(sentence, unit), -unit) for unit in units), default=(0.0, 0))
        return -place if shared > 0 else None

    def _ranked(self, sentence: Words) -> list[tuple[float, int]]:
        ranked = sorted(((self._shared(sentence, place), -place) for place in range(len(self.units))), reverse=True)
        return [(shared, -place) for shared, place in ranked]

    def _shared(self, sentence: Words, place: int) -> float:
        content = {stem for stem, kind in zip(sentence.stems, sentence.kinds, strict=True) if kind is not Kind.FUNCTION}
        stems = self._stems[place]
        return sum(self._rarity[stem] for stem in content & stems) / (1 + math.log1p(len(stems)) / 4)


def windows(response: Text, evidence: Evidence, question: str, budget: Budget) -> list[Window]:
    """Return what to read of a response, every token of it once, in order; no window for a response without tokens."""
    starts = [start for start, _ in response.tokens]
    asked = frozenset(words(question).stems)
    marks = by_token(response.tokens, response.words.spans, response_marks(response.words, evidence.vocabulary, asked))
    pieces = [
        Piece(index, first, min(first + budget.response, after))
        for index, (start, end) in enumerate(sentence_spans(response.text))
        for after in [bisect_left(starts, end)]
        for first in range(bisect_left(starts, start), after, budget.response)
    ]
    return [_window(group, response, marks, evidence, budget) for group in _groups(pieces, budget.response)]


def _groups(pieces: Sequence[Piece], most: int) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    size = most
    for piece in pieces:
        own = piece.stop - piece.start
        if size + own > most:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += own
    return groups


def _window(group: Sequence[Piece], response: Text, marks: Sequence[int], evidence: Evidence, budget: Budget) -> Window:
    own = [_between(response, piece) for piece in group]
    units = evidence.selected(own, budget.contexts)
    spoken = vocabulary(own)
    ids, given = [CLS], [0]
    for place in units:
        unit = evidence.units[place]
        ids.extend(unit.ids)
        given.extend(by_token(unit.tokens, unit.words.spans, context_marks(unit.words, spoken)))
    first, after = group[0].start, group[-1].stop
    shift = len(ids) + 1 - first
    types = [0] * (len(ids) + 1) + [1] * (after - first + 1)
    return Window(
        [*ids, SEP, *response.ids[first:after], SEP],
        types,
        [*given, 0, *marks[first:after], 0],
        [Piece(piece.sentence, piece.start + shift, piece.stop + shift) for piece in group],
        response.tokens[first:after],
        units,
    )


def _between(text: Text, piece: Piece) -> Words:
    """Return the words of a piece of a text."""
    starts = [start for start, _ in text.words.spans]
    first = bisect_left(starts, text.tokens[piece.start][0])
    return text.words.part(first, bisect_left(starts, text.tokens[piece.stop - 1][1]))


def _units(index: int, text: Text, longest: int) -> list[Unit]:
    token_starts = [start for start, _ in text.tokens]
    word_starts = [start for start, _ in text.words.spans]
    units = []
    for start, end in sentence_spans(text.text):
        after = bisect_left(token_starts, end)
        for first in range(bisect_left(token_starts, start), after, longest):
            stop = min(first + longest, after)
            begin, finish = text.tokens[first][0], text.tokens[stop - 1][1]
            own = text.words.part(bisect_left(word_starts, begin), bisect_left(word_starts, finish))
            units.append(Unit(index, begin, finish, text.ids[first:stop], text.tokens[first:stop], own))
    return units
