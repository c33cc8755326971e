"""What is fitted: how rows become windows of tokens, and what is lost by hidden states that answer them wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from evalsvc.detection.evidence import CLS, SEP, Budget, Evidence, Text, Window, windows
from evalsvc.detection.heads import (
    BESIDE,
    Bounds,
    PairHeads,
    PairLogits,
    by_words,
    features,
    pair_logits,
    response_logit,
)
from evalsvc.detection.words import Span, words
from evalsvc.engine.tokens import window_starts
from evalsvc.fitting.values import Mark, Row

Ids = NDArray[np.int32]

SUPPORTED = "supported"
_PLACES = {SUPPORTED: 0, "contradicted": 1, "not_mentioned": 2, "unsupported": 3}
_TOKEN_SHARE = 0.5
_SENTENCE_SHARE = 0.5
_CERTAIN = 1e-6
_NEIGHBOURS = 64
_SMOOTHING = 0.02
"""Of the labels of single texts, some of which are wrong in every public set."""

_MOST_WINDOWS = 64
"""Of a text, as of what scorers read; those abstain on a longer one."""


class Sequences(NamedTuple):
    """What is read of one row: ids, types and marks of each window, ``[3, tokens]``."""

    inputs: Sequence[Ids]

    @property
    def longest(self) -> int:
        """The greatest number of tokens."""
        return max((read.shape[1] for read in self.inputs), default=0)

    @property
    def total(self) -> int:
        """The number of tokens of all."""
        return sum(read.shape[1] for read in self.inputs)


class PreparedPair(NamedTuple):
    """A response with its windows, of each their pieces, these pieces' labels (or ``None``), and the tokens' labels.

    ``unsupported`` is 1 where anything in the response is, else 0. It has ``words`` words, and ``unfound`` are nowhere.
    """

    sequences: Sequences
    pieces: Sequence[Sequence[Span]]
    labels: Sequence[Sequence[int | None]]
    tokens: Sequence[torch.Tensor] | None
    unsupported: float
    words: int
    unfound: int
    weight: float


class PreparedText(NamedTuple):
    """A text with its windows; ``labels`` are 0, 1 or NaN, ``[tasks]``."""

    sequences: Sequences
    labels: torch.Tensor
    weight: float


class Prepared(Protocol):
    """A row that is ready to be read."""

    @property
    def sequences(self) -> Sequences:
        """What is read."""
        ...


class PairObjective(nn.Module):
    """Faithfulness: sentences of responses are supported, contradicted or not mentioned."""

    def __init__(self, tokenizer: Tokenizer, budget: Budget, width: int) -> None:
        super().__init__()
        self._tokenizer, self._budget = tokenizer, budget
        self.token, self.mean = nn.Linear(width, 2), nn.Linear(width, 2)
        # Features beside the hidden state are few and meant to count at once: they learn at a rate of their own.
        self.token_quick, self.mean_quick = nn.Parameter(torch.zeros(2, BESIDE)), nn.Parameter(torch.zeros(2, BESIDE))
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.zeros_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)
        nn.init.constant_(self.token.bias, -1.0)

    def prepare(self, rows: Sequence[Row]) -> list[PreparedPair]:
        """Return each row with its windows, in order; contexts of neighbouring rows that are equal are cut once."""
        evidence = lru_cache(maxsize=_NEIGHBOURS)(self._evidence)
        return [self._prepared(row, evidence(row.contexts)) for row in rows]

    def balance(self, rows: Sequence[PreparedPair]) -> None:
        """Do nothing: there is one task."""

    def drawn(self, prepared: PreparedPair, rng: np.random.Generator) -> PreparedPair:
        """Return the row itself: a response is short."""
        del rng
        return prepared

    def loss(self, prepared: PreparedPair, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what one response loses, from its windows' hidden states ``[tokens, width]``."""
        answers = self._answers(prepared, states)
        sentences = torch.cat([answer.sentences for answer in answers])
        whole = response_logit(sentences)
        lost = functional.binary_cross_entropy_with_logits(whole, whole.new_tensor(prepared.unsupported))
        labels = [label for row in prepared.labels for label in row if label is not None]
        if len(labels) == len(sentences):
            lost = lost + _SENTENCE_SHARE * self._by_sentence(labels, sentences)
        if prepared.tokens is not None:
            logits = torch.logsumexp(torch.cat([answer.tokens for answer in answers]), 1)
            wanted = torch.cat(list(prepared.tokens)).to(logits.device)
            lost = lost + _TOKEN_SHARE * functional.binary_cross_entropy_with_logits(logits, wanted)
        return lost * prepared.weight

    def logits(self, prepared: PreparedPair, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logit, ``[1]``, of anything in the response being unsupported."""
        answers = self._answers(prepared, states)
        whole = response_logit(torch.cat([answer.sentences for answer in answers])).item()
        return torch.tensor([by_words(whole, prepared.words, prepared.unfound)])

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the heads under their names in a detector's file."""
        heads = self._heads()
        names = ("token.weight", "token.bias", "mean.weight", "mean.bias")
        return {f"head.{name}": tensor.detach().cpu() for name, tensor in zip(names, heads, strict=True)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take the heads of a detector's file."""
        width = self.token.in_features
        own = {"token.bias": tensors["head.token.bias"], "mean.bias": tensors["head.mean.bias"]}
        for name in ("token", "mean"):
            weight = tensors[f"head.{name}.weight"]
            own |= {f"{name}.weight": weight[:, :width], f"{name}_quick": weight[:, width:]}
        self.load_state_dict({name: tensor.float() for name, tensor in own.items()})

    def _heads(self) -> PairHeads:
        token, mean = (
            torch.cat([linear.weight, quick], 1)
            for linear, quick in ((self.token, self.token_quick), (self.mean, self.mean_quick))
        )
        return PairHeads(token, self.token.bias, mean, self.mean.bias)

    def _answers(self, prepared: PreparedPair, states: Sequence[torch.Tensor]) -> list[PairLogits]:
        """Return the logits of the response's tokens, and of its pieces, window by window."""
        heads = self._heads()
        answers = []
        for read, pieces, hidden in zip(prepared.sequences.inputs, prepared.pieces, states, strict=True):
            first, stop = pieces[0][0], pieces[-1][1]
            marks = torch.from_numpy(read[2]).long().to(hidden.device)
            bounds = torch.tensor(pieces, device=hidden.device)
            told = features(hidden, marks, [Bounds(0, first, stop)])
            found = pair_logits(told, bounds[:, 0], bounds[:, 1] - bounds[:, 0], heads)
            answers.append(PairLogits(found.tokens[first:stop], found.sentences))
        return answers

    @staticmethod
    def _by_sentence(labels: Sequence[int], sentences: torch.Tensor) -> torch.Tensor:
        """Return what is lost by the pieces of one response, each of a known label: their mean."""
        chances = functional.log_softmax(sentences, 1)
        either = torch.log1p(-chances[:, 0].exp().clamp(max=1 - _CERTAIN))
        wanted = torch.tensor(labels, device=chances.device)
        return -torch.cat([chances, either[:, None]], 1).gather(1, wanted[:, None]).mean()

    def _evidence(self, contexts: tuple[str, ...]) -> Evidence:
        return Evidence([self._text(context) for context in contexts], min(self._budget))

    def _prepared(self, row: Row, evidence: Evidence) -> PreparedPair:
        found = windows(self._text(row.text), evidence, row.question, self._budget)
        sequences = Sequences([np.array((one.ids, one.types, one.marks), np.int32) for one in found])
        pieces = [[(piece.start, piece.stop) for piece in window.pieces] for window in found]
        every = [piece for window in found for piece in window.pieces]
        counted = sum(piece.words for piece in every), sum(piece.unfound for piece in every)
        labels, tokens = _from_label(row.label, found), None
        if row.spans is not None:
            marked = [
                [_from_spans(one, *span, row.spans) for span in own] for one, own in zip(found, pieces, strict=True)
            ]
            # Where what is marked is no token, it is only known that something is unsupported.
            if row.label == SUPPORTED or any(label for own in marked for label in own):
                labels = marked
                tokens = [torch.tensor([float(_hit(offset, row.spans)) for offset in one.offsets]) for one in found]
        return PreparedPair(sequences, pieces, labels, tokens, float(row.label != SUPPORTED), *counted, row.weight)

    def _text(self, text: str) -> Text:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Text(text, encoding.ids, encoding.offsets, words(text))


class TextObjective(nn.Module):
    """Single texts: a logit for each task on the mean of the hidden states, the greatest over a text's windows."""

    def __init__(self, tokenizer: Tokenizer, tasks: Sequence[str], size: int, overlap: int, width: int) -> None:
        super().__init__()
        self._tokenizer, self.tasks, self._size, self._overlap = tokenizer, tuple(tasks), size, overlap
        self.texts = nn.Linear(width, len(self.tasks))
        nn.init.normal_(self.texts.weight, std=0.02)
        nn.init.zeros_(self.texts.bias)
        self.register_buffer("shares", torch.ones(len(self.tasks)), persistent=False)

    def prepare(self, rows: Sequence[Row]) -> list[PreparedText]:
        """Return each row with its windows, in order."""
        return [PreparedText(Sequences(self._windows(row.text)), _truths(row), row.weight) for row in rows]

    def balance(self, rows: Sequence[PreparedText]) -> None:
        """Make every task count the same, however many of the rows say something of it, and whatever they weigh."""
        known = torch.stack([~row.labels.isnan() for row in rows])
        weights = torch.tensor([row.weight for row in rows])
        mean = (known * weights[:, None]).mean(0)
        self.get_buffer("shares").copy_(torch.where(mean > 0, 1 / mean, 1.0))

    def drawn(self, prepared: PreparedText, rng: np.random.Generator) -> PreparedText:
        """Return a text as an epoch learns from it: of a long one the first window and a later one at random."""
        inputs = prepared.sequences.inputs
        if len(inputs) <= 2:
            return prepared
        return prepared._replace(sequences=Sequences([inputs[0], inputs[int(rng.integers(1, len(inputs)))]]))

    def loss(self, prepared: PreparedText, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what one text loses over the tasks that are known of it."""
        logits = self._greatest(states)
        labels = prepared.labels.to(logits.device)
        known = ~labels.isnan()
        wanted = labels[known] * (1 - 2 * _SMOOTHING) + _SMOOTHING
        lost = functional.binary_cross_entropy_with_logits(logits[known], wanted, reduction="none")
        return (lost * self.get_buffer("shares")[known]).sum() * prepared.weight

    def logits(self, prepared: PreparedText, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logits, ``[tasks]``."""
        del prepared
        return self._greatest(states).cpu()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the head under its names in a detector's file."""
        return {f"head.{name}": tensor.detach().cpu() for name, tensor in self.state_dict().items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take the head of a detector's file."""
        names = ("texts.weight", "texts.bias")
        self.load_state_dict({name: tensors[f"head.{name}"].float() for name in names})

    def _greatest(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack([self.texts(hidden.mean(0)) for hidden in states]).amax(0)

    def _windows(self, text: str) -> list[Ids]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        room = self._size - 2
        starts = window_starts(len(ids), room, self._overlap)[:_MOST_WINDOWS]
        cut = ([CLS, *ids[start : start + room], SEP] for start in starts)
        return [np.array((own, [0] * len(own), [0] * len(own)), np.int32) for own in cut]


def _truths(row: Row) -> torch.Tensor:
    return torch.tensor([float("nan") if truth is None else float(truth) for truth in row.found])


def _from_label(label: str, found: Sequence[Window]) -> Sequence[Sequence[int | None]]:
    """Return the label of each piece where the response's tells it: all are supported, or the only one is not."""
    alone = sum(len(window.pieces) for window in found) == 1
    place = _PLACES[label] if label == SUPPORTED or alone else None
    return [[place] * len(window.pieces) for window in found]


def _from_spans(window: Window, start: int, stop: int, spans: Sequence[Mark]) -> int:
    base = window.pieces[0].start
    offsets = window.offsets[start - base : stop - base]
    reached = (offsets[0][0], offsets[-1][1])
    hits = [_PLACES[span.label] for span in spans if _overlap(reached, span)]
    if len(set(hits)) > 1:
        return _PLACES["unsupported"]
    return hits[0] if hits else 0


def _hit(offset: Span, spans: Sequence[Mark]) -> bool:
    return any(_overlap(offset, span) for span in spans)


def _overlap(one: Span, span: Mark) -> bool:
    return one[0] < span.end and one[1] > span.start
