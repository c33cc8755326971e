"""What a detector of pairs reads: parts of a response beside the sentences of contexts that share most with them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from evalsvc._sentences import sentence_spans
from evalsvc.detection.marks import UNFOUND, by_token, context_marks, response_marks, vocabulary
from evalsvc.detection.words import Kind, Span, Words, words

CLS, SEP = 101, 102
LONGEST_QUESTION = 2000
"""A prompt of so many characters is taken for a task with its material, not for a question."""
_FUNCTION = Kind.FUNCTION

Shares = NDArray[np.float64]


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
    """The tokens ``[start, stop)`` of a window that belong to a sentence of the response.

    It has ``words`` words, ``unfound`` of which, function words aside, are nowhere in the contexts or the question.
    """

    sentence: int
    start: int
    stop: int
    words: int = 0
    unfound: int = 0


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

    contexts: int
    response: int


class Evidence:
    """The contexts of a response: their sentences and words."""

    def __init__(self, contexts: Sequence[Text], longest: int) -> None:
        self.units = [unit for index, text in enumerate(contexts) for unit in _units(index, text, longest)]
        self.vocabulary = vocabulary([unit.words for unit in self.units])
        self._stems = [frozenset(unit.words.stems) for unit in self.units]
        having: dict[str, list[int]] = {}
        for place, own in enumerate(self._stems):
            for stem in own:
                having.setdefault(stem, []).append(place)
        self._having = {stem: np.array(places) for stem, places in having.items()}
        self._rarity = {stem: math.log(1 + len(self.units) / len(places)) for stem, places in having.items()}
        self._breadth = np.array([1 + math.log1p(len(own)) / 4 for own in self._stems])
        self._sizes = np.array([len(unit.ids) for unit in self.units], np.int64)
        self._tokens = int(self._sizes.sum())
        self._least = int(self._sizes.min(initial=self._tokens))
        self._best: dict[tuple[tuple[str, ...], int], list[int]] = {}

    def selected(self, sentences: Sequence[Words], most: int) -> list[int]:
        """Return the places of the units to read beside some sentences, in order, of at most ``most`` tokens.

        Each sentence in turn takes the unit that shares most with it, by rarity of the common stems; what is left of
        the budget goes to neighbours of those.
        """
        if self._tokens <= most:
            return list(range(len(self.units)))
        room = _Room(self._sizes, self._least, most)
        contents = [_content(sentence) for sentence in sentences]
        # As many as fit are seldom not enough: only where those that come next are too long.
        best = [self._first(content, most) for content in contents]
        room.take(place for turn in zip_longest(*best) for place in turn if place is not None)
        if room.left >= self._least and any(len(own) == most for own in best):
            room.take(self._further(contents, most, room))
        if room.left >= self._least:
            room.take(self._near(room))
        return sorted(room.chosen)

    def closest(self, sentence: Words, units: Sequence[int]) -> int | None:
        """Return which of some units shares most with a sentence, or ``None`` where none shares anything."""
        content = _content(sentence)
        shared = {place: self._shared_by(place, content) for place in units}
        found = [place for place in units if shared[place]]
        return max(found, key=lambda place: (shared[place], -place), default=None)

    def _first(self, content: tuple[str, ...], most: int) -> list[int]:
        """Return the ``most`` units that share most with a sentence, most first; the first unit where none does."""
        key = (content, most)
        if key not in self._best:
            self._best[key] = _greatest(self._shared(content), most) or [0]
        return self._best[key]

    def _further(self, contents: Sequence[tuple[str, ...]], most: int, room: _Room) -> list[int]:
        """Return the units that come after the first ``most`` of each sentence and may fit, by turn and sentence."""
        turns: list[tuple[int, int, int]] = []
        for index, content in enumerate(contents):
            shared = self._shared(content)
            order = np.argsort(-shared, kind="stable")[most : np.count_nonzero(shared)]
            fitting = np.flatnonzero(self._sizes[order] <= room.left)
            turns += [
                (turn, index, place) for turn, place in zip(fitting.tolist(), order[fitting].tolist(), strict=True)
            ]
        return [place for _, _, place in sorted(turns)]

    def _near(self, room: _Room) -> list[int]:
        """Return the units that may fit, the nearest to those chosen first."""
        places = np.flatnonzero(self._sizes <= room.left)
        if not room.chosen:
            return places.tolist()
        chosen = np.array(sorted(room.chosen))
        after = np.searchsorted(chosen, places)
        distance = np.minimum(
            np.abs(places - chosen[after.clip(max=len(chosen) - 1)]), np.abs(places - chosen[(after - 1).clip(min=0)])
        )
        return cast("list[int]", places[np.argsort(distance, kind="stable")].tolist())

    def _shared(self, content: Sequence[str]) -> Shares:
        """Return what each unit shares with a sentence, ``[units]``; units that share the same are equal."""
        known = [stem for stem in content if stem in self._having]
        if not known:
            return np.zeros(len(self.units))
        places = [self._having[stem] for stem in known]
        rarities = np.repeat([self._rarity[stem] for stem in known], [len(own) for own in places])
        sums = np.bincount(np.concatenate(places), rarities, len(self.units))
        return cast("Shares", sums / self._breadth)

    def _shared_by(self, place: int, content: Sequence[str]) -> float:
        """Return what one unit shares with a sentence: to the last digit what :meth:`_shared` gives it."""
        total = 0.0
        for stem in content:
            if stem in self._stems[place]:
                total += self._rarity[stem]
        return total / float(self._breadth[place])


class _Room:
    """What is chosen of units, as far as a budget of tokens goes."""

    def __init__(self, sizes: NDArray[np.int64], least: int, most: int) -> None:
        self._sizes, self._least = sizes, least
        self.left = most
        self.chosen: set[int] = set()

    def take(self, places: Iterable[int]) -> None:
        """Choose units in order, those that fit."""
        for place in places:
            if self.left < self._least:
                return
            if place not in self.chosen and self._sizes[place] <= self.left:
                self.chosen.add(place)
                self.left -= int(self._sizes[place])


def _content(sentence: Words) -> tuple[str, ...]:
    """Return the stems of a sentence that may be shared, each once."""
    pairs = zip(sentence.stems, sentence.kinds, strict=True)
    return tuple(dict.fromkeys(stem for stem, kind in pairs if kind is not _FUNCTION))


def _greatest(shared: Shares, most: int) -> list[int]:
    """Return the places of the ``most`` greatest values above 0, the greatest first, equal ones in order."""
    places = np.flatnonzero(shared)
    if len(places) > most:
        values = shared[places]
        limit = np.partition(values, -most)[-most]
        above = places[values > limit]
        places = np.sort(np.concatenate([above, places[values == limit][: most - len(above)]]))
    return cast("list[int]", places[np.argsort(-shared[places], kind="stable")].tolist())


def windows(response: Text, evidence: Evidence, question: str, budget: Budget) -> list[Window]:
    """Return what to read of a response, every token of it once, in order; no window for a response without tokens.

    A question of :data:`LONGEST_QUESTION` characters or more is none.
    """
    starts = [start for start, _ in response.tokens]
    asked = frozenset(words(question).stems if len(question) < LONGEST_QUESTION else ())
    told = response_marks(response.words, evidence.vocabulary, asked)
    marks = by_token(response.tokens, response.words.spans, told)
    begins = [start for start, _ in response.words.spans]
    unfound = [start for start, mark in zip(begins, told, strict=True) if mark in UNFOUND]
    pieces = [
        Piece(index, first, min(first + budget.response, after))
        for index, (start, end) in enumerate(sentence_spans(response.text))
        for after in [bisect_left(starts, end)]
        for first in range(bisect_left(starts, start), after, budget.response)
    ]
    pieces = [
        piece._replace(words=_within(response, piece, begins), unfound=_within(response, piece, unfound))
        for piece in pieces
    ]
    return [_window(group, response, marks, evidence, budget) for group in _groups(pieces, budget.response)]


def _within(response: Text, piece: Piece, characters: Sequence[int]) -> int:
    """Return how many of some characters, in order, are those of a piece."""
    first, last = response.tokens[piece.start][0], response.tokens[piece.stop - 1][1]
    return bisect_left(characters, last) - bisect_left(characters, first)


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
        [piece._replace(start=piece.start + shift, stop=piece.stop + shift) for piece in group],
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
