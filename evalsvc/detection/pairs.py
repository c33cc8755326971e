"""A detector of pairs: what of a response its contexts do not support, by sentence and by token, and why."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc._sentences import Span, sentence_spans
from evalsvc.detection.adapter import Calibration, Card, calibrated
from evalsvc.detection.evidence import Budget, Evidence, Text, Window, windows
from evalsvc.detection.heads import Bounds, by_words, features, pair_logits, token_unsupported
from evalsvc.detection.loading import SPECIAL, Loaded, load, pair_heads
from evalsvc.detection.words import words
from evalsvc.engine.cache import EmbeddingCache
from evalsvc.engine.executor import Executor
from evalsvc.engine.overlap import overlapped, parts_of
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Unreadable

Row = NDArray[np.float32]

TOKEN_FROM = 0.5
"""The probability from which on a token is among those that a reading names."""


class Case(NamedTuple):
    """What is read: a response beside its contexts, and the question that it answers, '' where none is known.

    A question of 2,000 characters or more is taken for a task with its material, and counts as none.
    """

    contexts: Sequence[str]
    response: str
    question: str = ""


class Place(NamedTuple):
    """A sentence of a context, or a piece of a long one: which context, from which character to which."""

    context: int
    start: int
    end: int


class ReadSentence(NamedTuple):
    """A sentence of the response, ``[start, end)`` in characters.

    ``supported``, ``contradicted`` and ``not_mentioned`` add up to 1; ``unsupported`` is what
    :attr:`Reading.unsupported` would be if no other sentence were doubtful, never more than it is; ``evidence`` is what
    shares most with it of what was read beside it, ``None`` where nothing shares a word.
    """

    start: int
    end: int
    supported: float
    contradicted: float
    not_mentioned: float
    unsupported: float
    evidence: Place | None


class ReadToken(NamedTuple):
    """A token of the response and the probability that the contexts do not support it."""

    start: int
    end: int
    probability: float


class Reading(NamedTuple):
    """What was read of a response: the calibrated probability that anything in it is unsupported, and where."""

    unsupported: float
    sentences: Sequence[ReadSentence]
    tokens: Sequence[ReadToken]


class Unfit(NamedTuple):
    """Why a response was not read, though nothing broke: it is too long, or has no token."""

    reason: str


class _Planned(NamedTuple):
    """A case that can be read: its texts in tokens and words, and its windows."""

    response: Text
    evidence: Evidence
    windows: list[Window]


class _Known(NamedTuple):
    """The evidence of contexts that cases yet to be read in a call share, and how many cases those are."""

    evidence: dict[tuple[str, ...], Evidence | Unreadable]
    left: Counter[tuple[str, ...]]

    def drop(self, read: Iterable[tuple[str, ...]]) -> None:
        """Forget what no further case needs."""
        self.left.subtract(read)
        for key in [key for key in self.evidence if self.left[key] <= 0]:
            del self.evidence[key]


class _Worst(NamedTuple):
    """The piece of a sentence that is least supported: its logit against, its three logits, and its window."""

    against: float
    logits: NDArray[np.float64]
    window: Window


_Plan = _Planned | Unfit | ItemFailure


class PairDetector:
    """A loaded detector of pairs. All methods may be called from several threads; the device serves one at a time."""

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        self.loaded = loaded
        self.files = loaded.files
        self.placement = loaded.placement
        self.budget = Budget(*loaded.card.window)
        self.cache = EmbeddingCache(settings.cache_bytes)
        self._heads = pair_heads(loaded)
        self._executor: Executor[Row] = Executor(
            loaded.name, loaded.placement, sum(self.budget) + SPECIAL, settings.max_batch_texts
        )
        self.stats = self._executor.stats

    @classmethod
    def load(cls, settings: EngineSettings) -> PairDetector:
        """Load the detector that ``settings.adapter`` names; takes seconds.

        Raises:
            MissingExtra: when torch or the packaged model is absent.
            ModelRefused: when the trunk is not the one that the detector was fitted on.
            EngineError: when the file is none of a detector of pairs, or its window exceeds the token budget.
        """
        return cls(load(settings, "pairs"), settings)

    @property
    def card(self) -> Card:
        """What the detector's file says of itself."""
        return self.loaded.card

    @property
    def calibration(self) -> Calibration:
        """How a logit becomes the probability of something unsupported: that of the file's one task."""
        (task,) = self.card.tasks.values()
        return task.calibration

    @property
    def signature(self) -> str:
        """All that changes a digit of a reading."""
        return self.loaded.signature

    def read(self, cases: Sequence[Case]) -> list[Reading | Unfit | ItemFailure]:
        """Return what is read of each response, in order, or why nothing is; raises for no case.

        Equal windows are computed once, within a part of a call and, through the cache, across parts and calls;
        equal contexts are cut into sentences and words once a call.
        """
        sizes = [len(case.response) + sum(map(len, case.contexts)) for case in cases]
        parts = parts_of(cases, sizes, self.placement.max_batch_tokens)
        known = _Known({}, Counter(tuple(case.contexts) for case in cases))
        readings = overlapped(parts, lambda part: self._plan(part, known), self._read)
        self.stats.add(texts=len(cases), failures=sum(isinstance(reading, ItemFailure) for reading in readings))
        return readings

    def _plan(self, cases: Sequence[Case], known: _Known) -> list[_Plan]:
        started = time.perf_counter()
        keys = [tuple(case.contexts) for case in cases]
        new = [key for key in dict.fromkeys(keys) if key not in known.evidence]
        texts = self._texts(chain((case.response for case in cases), chain.from_iterable(new)))
        known.evidence.update((key, self._evidence([texts[text] for text in key])) for key in new)
        plans = [
            self._planned(texts[case.response], known.evidence[key], case.question)
            for case, key in zip(cases, keys, strict=True)
        ]
        known.drop(keys)
        self.stats.add(tokenise_seconds=time.perf_counter() - started)
        return plans

    def _texts(self, wanted: Iterable[str]) -> dict[str, Text | Unreadable]:
        unique = list(dict.fromkeys(wanted))
        return {
            text: found if isinstance(found, Unreadable) else Text(text, found.ids, found.offsets, words(text))
            for text, found in zip(unique, self.loaded.tokeniser.encodings(unique), strict=True)
        }

    def _evidence(self, contexts: Sequence[Text | Unreadable]) -> Evidence | Unreadable:
        unreadable = next((text for text in contexts if isinstance(text, Unreadable)), None)
        return unreadable or Evidence([text for text in contexts if isinstance(text, Text)], min(self.budget))

    def _planned(self, response: Text | Unreadable, evidence: Evidence | Unreadable, question: str) -> _Plan:
        if isinstance(response, Unreadable):
            return ItemFailure(response.reason)
        if isinstance(evidence, Unreadable):
            return ItemFailure(evidence.reason)
        most = self.loaded.tokeniser.max_windows
        least = -(-len(response.ids) // self.budget.response)
        cut = windows(response, evidence, question, self.budget) if least <= most else []
        if max(least, len(cut)) > most:
            return Unfit(_too_long(response, max(least, len(cut)), most))
        return _Planned(response, evidence, cut) if cut else Unfit("no token in the response")

    def _read(self, plans: list[_Plan]) -> list[Reading | Unfit | ItemFailure]:
        flat = [window for plan in plans if isinstance(plan, _Planned) for window in plan.windows]
        rows, hits = self.cache.through([_key(window) for window in flat], flat, self._compute)
        self.stats.add(cache_hits=hits)
        left = iter(rows)
        return [
            self._reading(plan, [next(left) for _ in plan.windows]) if isinstance(plan, _Planned) else plan
            for plan in plans
        ]

    def _compute(self, flat: list[Window]) -> list[Row | ItemFailure]:
        rows = self._executor.run(
            [len(window.ids) for window in flat], lambda batch: self._batch([flat[index] for index in batch])
        )
        bad = ItemFailure(f"detector {self.loaded.name} gave a value that is not finite")
        return [row if isinstance(row, ItemFailure) or np.isfinite(row).all() else bad for row in rows]

    def _batch(self, batch: Sequence[Window]) -> list[Row]:
        """Return one row a window: three logits a piece, then a probability a token of the response."""
        import torch

        places = np.cumsum([0, *(len(window.ids) for window in batch)])
        bounds = [
            (place + piece.start, piece.stop - piece.start)
            for place, window in zip(places.tolist(), batch, strict=False)
            for piece in window.pieces
        ]
        responses = [
            Bounds(place, place + window.pieces[0].start, place + window.pieces[-1].stop)
            for place, window in zip(places.tolist(), batch, strict=False)
        ]
        marks = [mark for window in batch for mark in window.marks]
        with torch.inference_mode():
            hidden, slots = self.loaded.bert.hidden(
                [window.ids for window in batch], [window.types for window in batch], [window.marks for window in batch]
            )
            starts, sizes = torch.tensor(bounds, device=hidden.device).unbind(1)
            read = features(hidden, torch.tensor(marks, device=hidden.device), responses)
            found = pair_logits(read, starts, sizes, self._heads)
            sentences: Row = found.sentences.cpu().numpy()
            tokens: Row = token_unsupported(found.tokens).cpu().numpy()
        self.stats.add(computed_tokens=slots)
        rows = []
        first = 0
        for place, window in zip(places.tolist(), batch, strict=False):
            own = sentences[first : first + len(window.pieces)]
            said = tokens[place + window.pieces[0].start : place + window.pieces[-1].stop]
            rows.append(np.concatenate([own.ravel(), said]))
            first += len(window.pieces)
        return rows

    def _reading(self, plan: _Planned, rows: Sequence[Row | ItemFailure]) -> Reading | ItemFailure:
        worst: dict[int, _Worst] = {}
        doubts: list[float] = []
        tokens: list[ReadToken] = []
        for window, row in zip(plan.windows, rows, strict=True):
            if isinstance(row, ItemFailure):
                # The window without an answer could have been the one that decides.
                return row
            count = 3 * len(window.pieces)
            for piece, logits in zip(window.pieces, row[:count].reshape(-1, 3).astype(np.float64), strict=True):
                against = float(np.logaddexp(logits[1], logits[2]))
                doubts.append(against)
                if piece.sentence not in worst or against > worst[piece.sentence].against:
                    worst[piece.sentence] = _Worst(against, logits, window)
            tokens += [
                ReadToken(start, end, round(float(probability), 4))
                for (start, end), probability in zip(window.offsets, row[count:], strict=True)
                if probability >= TOKEN_FROM
            ]
        spans = sentence_spans(plan.response.text)
        # As response_logit says, in float64.
        whole = float(np.logaddexp.reduce(2.0 * np.array(doubts))) / 2.0
        # Of a sentence too those of the response are counted: none is more doubtful than the whole.
        pieces = [piece for window in plan.windows for piece in window.pieces]
        counted = partial(
            by_words, words=sum(piece.words for piece in pieces), unfound=sum(piece.unfound for piece in pieces)
        )
        sentences = [
            self._sentence(plan, spans[index], found, calibrated(self.calibration, counted(found.against)))
            for index, found in sorted(worst.items())
        ]
        return Reading(calibrated(self.calibration, counted(whole)), sentences, tokens)

    def _sentence(self, plan: _Planned, span: Span, found: _Worst, unsupported: float) -> ReadSentence:
        supported, contradicted, missing = np.exp(found.logits - np.logaddexp(0.0, found.against)).tolist()
        unit = plan.evidence.closest(plan.response.words.between(*span), found.window.units)
        return ReadSentence(
            start=span[0],
            end=span[1],
            supported=supported,
            contradicted=contradicted,
            not_mentioned=missing,
            unsupported=unsupported,
            evidence=None if unit is None else Place(*plan.evidence.units[unit][:3]),
        )


def _too_long(response: Text, count: int, most: int) -> str:
    return f"response of {len(response.ids)} tokens needs {count} windows, more than {most}"


def _key(window: Window) -> bytes:
    """Return a 128-bit digest of all that a window's row depends on."""
    pieces = (number for piece in window.pieces for number in piece[1:])
    numbers = (len(window.ids), *window.ids, *window.types, *window.marks, *pieces)
    return hashlib.blake2b(array("q", numbers).tobytes(), digest_size=16).digest()
