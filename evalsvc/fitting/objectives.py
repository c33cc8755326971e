"""What is fitted: how rows become windows of tokens, and what is lost by hidden states that answer them wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from evalsvc.detection.evidence import CLS, SEP, Budget, Evidence, Text, Window, windows
from evalsvc.detection.heads import PairHeads, sentence_logits, token_logits, unsupported
from evalsvc.detection.words import Span, words
from evalsvc.engine.tokens import window_starts

SUPPORTED, CONTRADICTED, NOT_MENTIONED, UNSUPPORTED = "supported", "contradicted", "not_mentioned", "unsupported"
_PLACES = {SUPPORTED: 0, CONTRADICTED: 1, NOT_MENTIONED: 2, UNSUPPORTED: 3}
_TOKEN_SHARE = 0.5
_CERTAIN = 1e-6


class SpanLabel(NamedTuple):
    """Characters of a response that its contexts do not support, and in which way where that is known."""

    start: int
    end: int
    label: str = UNSUPPORTED


class Pair(NamedTuple):
    """A response to be learnt from; with ``spans`` all that is unsupported is marked by them."""

    contexts: Sequence[str]
    response: str
    question: str
    label: str
    spans: Sequence[SpanLabel] | None = None
    weight: float = 1.0


class Labelled(NamedTuple):
    """A single text to be learnt from; a task that is absent is not known of it."""

    text: str
    labels: Mapping[str, bool]
    weight: float = 1.0


class Sequences(NamedTuple):
    """What is read of one row: (ids, types, marks) each."""

    inputs: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]]

    @property
    def longest(self) -> int:
        """The greatest number of tokens."""
        return max((len(ids) for ids, _, _ in self.inputs), default=0)

    @property
    def total(self) -> int:
        """The number of tokens of all."""
        return sum(len(ids) for ids, _, _ in self.inputs)


class PreparedPair(NamedTuple):
    """A pair with its windows, and of each of their pieces the place of its label, or ``None``."""

    pair: Pair
    windows: Sequence[Window]
    labels: Sequence[Sequence[int | None]]
    tokens: Sequence[torch.Tensor] | None

    @property
    def sequences(self) -> Sequences:
        """What is read."""
        return Sequences([(window.ids, window.types, window.marks) for window in self.windows])


class PreparedText(NamedTuple):
    """A text with its windows; ``labels`` are 0, 1 or NaN, ``[tasks]``."""

    windows: Sequence[Sequence[int]]
    labels: torch.Tensor
    weight: float

    @property
    def sequences(self) -> Sequences:
        """What is read."""
        return Sequences([(ids, [0] * len(ids), [0] * len(ids)) for ids in self.windows])


class Prepared(Protocol):
    """A row that is ready to be read."""

    @property
    def sequences(self) -> Sequences:
        """What is read."""
        ...


class PairObjective(nn.Module):
    """Faithfulness: sentences of responses are supported, contradicted or not mentioned."""

    marked = True

    def __init__(self, tokenizer: Tokenizer, budget: Budget, width: int) -> None:
        super().__init__()
        self._tokenizer, self._budget = tokenizer, budget
        self.token, self.mean = nn.Linear(width, 2), nn.Linear(width, 2)
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.zeros_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)
        nn.init.constant_(self.token.bias, -1.0)

    @property
    def window(self) -> Sequence[int]:
        """The most tokens of a window: of contexts, and of a response."""
        return tuple(self._budget)

    def prepare(self, pairs: Sequence[Pair]) -> list[PreparedPair]:
        """Return each pair with its windows, in order."""
        return [self._prepared(pair) for pair in pairs]

    def loss(self, prepared: PreparedPair, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what one response loses, from its windows' hidden states ``[tokens, width]``."""
        answers = [self._answers(window, hidden) for window, hidden in zip(prepared.windows, states, strict=True)]
        chances = torch.cat([functional.log_softmax(sentences, 1) for sentences, _ in answers])
        lost = self._by_sentence(prepared, chances)
        if prepared.tokens is not None:
            logits = torch.cat([unsupported(tokens) for _, tokens in answers])
            wanted = torch.cat(list(prepared.tokens)).to(logits.device)
            lost = lost + _TOKEN_SHARE * functional.binary_cross_entropy_with_logits(logits, wanted)
        return lost * prepared.pair.weight

    def logits(self, prepared: PreparedPair, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logit, ``[1]``, of the sentence that is least supported."""
        found = [self._answers(window, hidden)[0] for window, hidden in zip(prepared.windows, states, strict=True)]
        if not found:
            return torch.full((1,), -20.0)
        return unsupported(torch.cat(found)[:, 1:]).max()[None].cpu()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the heads under their names in a detector's file."""
        return {f"head.{name}": tensor.detach().cpu() for name, tensor in self.state_dict().items()}

    def _answers(self, window: Window, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        heads = PairHeads((self.token.weight, self.token.bias), (self.mean.weight, self.mean.bias))
        tokens = token_logits(hidden, heads)
        pieces = [(piece.start, piece.stop) for piece in window.pieces]
        found = [sentence_logits(hidden[start:stop], tokens[start:stop], heads) for start, stop in pieces]
        return torch.stack(found), tokens[pieces[0][0] : pieces[-1][1]]

    @staticmethod
    def _by_sentence(prepared: PreparedPair, chances: torch.Tensor) -> torch.Tensor:
        labels = [label for row in prepared.labels for label in row if label is not None]
        if len(labels) < len(chances):
            # It is known that a sentence is unsupported, but not which.
            every = chances[:, 0].sum().exp().clamp(max=1 - _CERTAIN)
            return -torch.log1p(-every)
        wanted = torch.tensor(labels, device=chances.device)
        either = torch.log1p(-chances[:, 0].exp().clamp(max=1 - _CERTAIN))
        gained = torch.cat([chances, either[:, None]], 1).gather(1, wanted[:, None])
        return -gained.mean()

    def _prepared(self, pair: Pair) -> PreparedPair:
        evidence = Evidence([self._text(context) for context in pair.contexts], self._budget.response)
        found = windows(self._text(pair.response), evidence, pair.question, self._budget)
        if pair.spans is None:
            return PreparedPair(pair, found, _from_label(pair.label, found), None)
        spans = pair.spans
        labels = [[_from_spans(window, piece.start, piece.stop, spans) for piece in window.pieces] for window in found]
        tokens = [torch.tensor([float(_hit(offset, spans)) for offset in window.offsets]) for window in found]
        return PreparedPair(pair, found, labels, tokens)

    def _text(self, text: str) -> Text:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Text(text, encoding.ids, encoding.offsets, words(text))


class TextObjective(nn.Module):
    """Single texts: a logit for each task on the mean of the hidden states, the greatest over a text's windows."""

    marked = False

    def __init__(self, tokenizer: Tokenizer, tasks: Sequence[str], size: int, overlap: int, width: int) -> None:
        super().__init__()
        self._tokenizer, self.tasks, self._size, self._overlap = tokenizer, tuple(tasks), size, overlap
        self.texts = nn.Linear(width, len(self.tasks))
        nn.init.normal_(self.texts.weight, std=0.02)
        nn.init.zeros_(self.texts.bias)

    @property
    def window(self) -> Sequence[int]:
        """The most tokens of a window."""
        return (self._size,)

    def prepare(self, texts: Sequence[Labelled]) -> list[PreparedText]:
        """Return each text with its windows, in order."""
        return [PreparedText(self._windows(text.text), self._labels(text), text.weight) for text in texts]

    def loss(self, prepared: PreparedText, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return what one text loses over the tasks that are known of it."""
        logits = self._greatest(states)
        wanted = prepared.labels.to(logits.device)
        known = ~wanted.isnan()
        lost = functional.binary_cross_entropy_with_logits(logits[known], wanted[known], reduction="sum")
        return lost * prepared.weight

    def logits(self, prepared: PreparedText, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logits, ``[tasks]``."""
        del prepared
        return self._greatest(states).cpu()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the head under its names in a detector's file."""
        return {f"head.{name}": tensor.detach().cpu() for name, tensor in self.state_dict().items()}

    def _greatest(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack([self.texts(hidden.mean(0)) for hidden in states]).amax(0)

    def _labels(self, text: Labelled) -> torch.Tensor:
        return torch.tensor([float(text.labels.get(task, float("nan"))) for task in self.tasks])

    def _windows(self, text: str) -> list[list[int]]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        room = self._size - 2
        starts = window_starts(len(ids), room, self._overlap)
        return [[CLS, *ids[start : start + room], SEP] for start in starts]


def _from_label(label: str, found: Sequence[Window]) -> list[list[int | None]]:
    """Return the label of each piece where the response's tells it: all are supported, or the only one is not."""
    alone = sum(len(window.pieces) for window in found) == 1
    place = _PLACES[label] if label == SUPPORTED or alone else None
    return [[place] * len(window.pieces) for window in found]


def _from_spans(window: Window, start: int, stop: int, spans: Sequence[SpanLabel]) -> int:
    base = window.pieces[0].start
    offsets = window.offsets[start - base : stop - base]
    reached = (offsets[0][0], offsets[-1][1])
    hits = [_PLACES[span.label] for span in spans if _overlap(reached, span)]
    return hits[0] if len(set(hits)) == 1 else _PLACES[UNSUPPORTED] if hits else 0


def _hit(offset: Span, spans: Sequence[SpanLabel]) -> bool:
    return any(_overlap(offset, span) for span in spans)


def _overlap(one: Span, span: SpanLabel) -> bool:
    return one[0] < span.end and one[1] > span.start
