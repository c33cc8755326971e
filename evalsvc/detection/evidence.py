"""What a detector of pairs reads: parts of a response beside the sentences of contexts that share most with them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc._sentences import sentence_spans
from evalsvc.detection.marks import by_token, context_marks, response_marks, vocabulary
from evalsvc.detection.words import Kind, Span, Words, words

CLS, SEP = 101, 102
_FUNCTION = Kind.FUNCTION


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
        stems = [frozenset(unit.words.stems) for unit in self.units]
        self._having: dict[str, list[int]] = {}
        for place, own in enumerate(stems):
            for stem in own:
                self._having.setdefault(stem, []).append(place)
        self._rarity = {stem: math.log(1 + len(stems) / len(places)) for stem, places in self._having.items()}
        self._breadth = [1 + math.log1p(len(own)) / 4 for own in stems]
        self._tokens = sum(len(unit.ids) for unit in self.units)
        self._least = min((len(unit.ids) for unit in self.units), default=0)

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
        for turn in range(max(map(len, ranks), default=0)):
            if left < self._least:
                break
            for ranked in ranks:
                if turn < len(ranked):
                    place = ranked[turn]
                    size = len(self.units[place].ids)
                    if place not in chosen and size <= left:
                        chosen[place] = None
                        left -= size
        if left < self._least:
            return sorted(chosen)
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
        shared = self._shared(sentence)
        found = [place for place in units if place in shared]
        return max(found, key=lambda place: (shared[place], -place), default=None)

    def _ranked(self, sentence: Words) -> list[int]:
        """Return the units that share something with a sentence, most first; the first unit where none does."""
        shared = self._shared(sentence)
        return sorted(shared, key=lambda place: (-shared[place], place)) or [0]

    def _shared(self, sentence: Words) -> dict[int, float]:
        """Return what the units that share something share with a sentence; units that share the same are equal."""
        content = {
            stem: None for stem, kind in zip(sentence.stems, sentence.kinds, strict=True) if kind is not _FUNCTION
        }
        sums: dict[int, float] = {}
        for stem in content:
            for place in self._having.get(stem, ()):
                sums[place] = sums.get(place, 0.0) + self._rarity[stem]
        return {place: total / self._breadth[place] for place, total in sums.items()}


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
    return text.words.between(text.tokens[piece.start][0], text.tokens[piece.stop - 1][1])


def _units(index: int, text: Text, longest: int) -> list[Unit]:
    token_starts = [start for start, _ in text.tokens]
    units = []
    for start, end in sentence_spans(text.text):
        after = bisect_left(token_starts, end)
        for first in range(bisect_left(token_starts, start), after, longest):
            stop = min(first + longest, after)
            begin, finish = text.tokens[first][0], text.tokens[stop - 1][1]
            own = text.words.between(begin, finish)
            units.append(Unit(index, begin, finish, text.ids[first:stop], text.tokens[first:stop], own))
    return units
