"""A detector of pairs: what of a response its contexts do not support, by sentence and by token, and why."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc._sentences import Span, sentence_spans
from evalsvc.detection.adapter import Calibration, Card
from evalsvc.detection.evidence import CLS, SEP, Budget, Evidence, Text, Window, windows
from evalsvc.detection.heads import PairHeads, pair_logits, token_unsupported
from evalsvc.detection.loading import Loaded, calibrated, load, misfit
from evalsvc.detection.marks import MARKS
from evalsvc.detection.words import words
from evalsvc.engine.cache import EmbeddingCache
from evalsvc.engine.executor import Executor
from evalsvc.engine.overlap import overlapped, parts_of
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Unreadable
from evalsvc.errors import EngineError

Row = NDArray[np.float32]

_SPECIAL = 3
TOKEN_FROM = 0.5
"""The probability from which on a token is among those that a reading names."""


class Case(NamedTuple):
    """What is read: a response beside its contexts, and the question that it answers, '' where none is known."""

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

    ``supported``, ``contradicted`` and ``not_mentioned`` add up to 1; ``unsupported`` is the calibrated probability
    that it is not supported, on the scale of :attr:`Reading.unsupported`; ``evidence`` is what shares most with it
    of what was read beside it, ``None`` where nothing shares a word.
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
        self._heads = _heads(loaded)
        self._executor: Executor[Row] = Executor(
            loaded.name, loaded.placement, sum(self.budget) + _SPECIAL, settings.max_batch_texts
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
        equal contexts are cut into sentences and words once a part.
        """
        sizes = [len(case.response) + sum(map(len, case.contexts)) for case in cases]
        readings = overlapped(parts_of(cases, sizes, self.placement.max_batch_tokens), self._plan, self._read)
        self.stats.add(texts=len(cases), failures=sum(isinstance(reading, ItemFailure) for reading in readings))
        return readings

    def _plan(self, cases: Sequence[Case]) -> list[_Plan]:
        started = time.perf_counter()
        texts = self._texts(text for case in cases for text in (case.response, *case.contexts))
        known: dict[tuple[str, ...], Evidence] = {}
        plans = [self._planned(case, texts, known) for case in cases]
        self.stats.add(tokenise_seconds=time.perf_counter() - started)
        return plans

    def _texts(self, wanted: Iterable[str]) -> dict[str, Text | Unreadable]:
        unique = list(dict.fromkeys(wanted))
        return {
            text: found if isinstance(found, Unreadable) else Text(text, found.ids, found.offsets, words(text))
            for text, found in zip(unique, self.loaded.tokeniser.encodings(unique), strict=True)
        }

    def _planned(
        self, case: Case, texts: Mapping[str, Text | Unreadable], known: dict[tuple[str, ...], Evidence]
    ) -> _Plan:
        own: list[Text] = []
        for text in (case.response, *case.contexts):
            found = texts[text]
            if isinstance(found, Unreadable):
                return ItemFailure(found.reason)
            own.append(found)
        response, *contexts = own
        most = self.loaded.tokeniser.max_windows
        if not response.ids:
            return Unfit("no token in the response")
        if len(response.ids) > most * self.budget.response:
            return Unfit(_too_long(response, -(-len(response.ids) // self.budget.response), most))
        key = tuple(case.contexts)
        if key not in known:
            known[key] = Evidence(contexts, min(self.budget))
        cut = windows(response, known[key], case.question, self.budget)
        if not cut:
            return Unfit("no token in the response")
        if len(cut) > most:
            return Unfit(_too_long(response, len(cut), most))
        return _Planned(response, known[key], cut)

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
        with torch.inference_mode():
            hidden, slots = self.loaded.bert.hidden(
                [window.ids for window in batch], [window.types for window in batch], [window.marks for window in batch]
            )
            starts, sizes = torch.tensor(bounds, device=hidden.device).unbind(1)
            found = pair_logits(hidden, starts, sizes, self._heads)
            sentences: Row = found.sentences.cpu().numpy()
            tokens: Row = token_unsupported(found.tokens).cpu().numpy()
        self.stats.add(computed_tokens=slots)
        rows = []
        first = 0
        for place, window in zip(places.tolist(), batch, strict=False):
            own = sentences[first : first + len(window.pieces)]
            read = tokens[place + window.pieces[0].start : place + window.pieces[-1].stop]
            rows.append(np.concatenate([own.ravel(), read]))
            first += len(window.pieces)
        return rows

    def _reading(self, plan: _Planned, rows: Sequence[Row | ItemFailure]) -> Reading | ItemFailure:
        worst: dict[int, _Worst] = {}
        tokens: list[ReadToken] = []
        for window, row in zip(plan.windows, rows, strict=True):
            if isinstance(row, ItemFailure):
                # The window without an answer could have been the one that decides.
                return row
            count = 3 * len(window.pieces)
            for piece, logits in zip(window.pieces, row[:count].reshape(-1, 3).astype(np.float64), strict=True):
                against = float(np.logaddexp(logits[1], logits[2]))
                if piece.sentence not in worst or against > worst[piece.sentence].against:
                    worst[piece.sentence] = _Worst(against, logits, window)
            tokens += [
                ReadToken(start, end, round(float(probability), 4))
                for (start, end), probability in zip(window.offsets, row[count:], strict=True)
                if probability >= TOKEN_FROM
            ]
        spans = sentence_spans(plan.response.text)
        sentences = [self._sentence(plan, spans[index], found) for index, found in sorted(worst.items())]
        greatest = max(found.against for found in worst.values())
        return Reading(calibrated(greatest, self.calibration), sentences, tokens)

    def _sentence(self, plan: _Planned, span: Span, found: _Worst) -> ReadSentence:
        supported, contradicted, missing = np.exp(found.logits - np.logaddexp(0.0, found.against)).tolist()
        unit = plan.evidence.closest(plan.response.words.between(*span), found.window.units)
        return ReadSentence(
            start=span[0],
            end=span[1],
            supported=supported,
            contradicted=contradicted,
            not_mentioned=missing,
            unsupported=calibrated(found.against, self.calibration),
            evidence=None if unit is None else Place(*plan.evidence.units[unit][:3]),
        )


def _heads(loaded: Loaded) -> PairHeads:
    if loaded.tokeniser.prefix != [CLS] or loaded.tokeniser.suffix != [SEP]:
        raise EngineError(
            f"Detectors of pairs need a trunk with BERT's vocabulary, which {loaded.trunk.name!r} has not"
        )
    if len(loaded.card.tasks) != 1:
        raise misfit(loaded.name, f"a detector of pairs has one task, but its card has {len(loaded.card.tasks)}")
    marks = loaded.adapter.tensors.get("marks")
    if marks is None or tuple(marks.shape) != (MARKS, loaded.bert.width):
        raise misfit(loaded.name, f"its `marks` are not of shape {(MARKS, loaded.bert.width)}")
    try:
        heads = PairHeads.of(loaded.heads)
    except KeyError as error:
        raise misfit(loaded.name, f"it has no {error}") from error
    shapes = [tuple(tensor.shape) for tensor in heads]
    if shapes != [(2, loaded.bert.width), (2,)] * 2:
        raise misfit(loaded.name, f"its heads have shapes {shapes}")
    return heads


def _too_long(response: Text, count: int, most: int) -> str:
    return f"response of {len(response.ids)} tokens needs {count} windows, more than {most}"


def _key(window: Window) -> bytes:
    """Return a 128-bit digest of all that a window's row depends on."""
    pieces = (number for piece in window.pieces for number in piece[1:])
    numbers = (len(window.ids), *window.ids, *window.types, *window.marks, *pieces)
    return hashlib.blake2b(array("q", numbers).tobytes(), digest_size=16).digest()
