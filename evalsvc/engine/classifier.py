"""Classifiers of pairs of texts: one answer a pair (cross-encoders), or one a token of the second text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from evalsvc.engine.overlap import overlapped
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Unreadable
from evalsvc.engine.transformer import Input, Loaded, Row, Transformer
from evalsvc.errors import EngineError

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

Span = tuple[int, int]

SLACK = 8
"""Tokens kept free in a window: a piece of a text can have some more tokens alone than within the text."""


class PairModel(Transformer):
    """A model that reads two texts in one sequence, joined as its own tokeniser joins them."""

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        super().__init__(loaded, settings)
        names = loaded.model.config.id2label
        self.labels: tuple[str, ...] = tuple(str(names[index]) for index in range(len(names)))
        self.room = self.window - self.tokenizer.num_special_tokens_to_add(is_pair=True) - SLACK
        if self.room < 2:
            raise EngineError(
                f"Expected a window of at least {self.window - self.room + 2} tokens for model "
                f"{self.files.name!r}, but got {self.window}"
            )
        if getattr(loaded.model.config, "problem_type", None) == "multi_label_classification":
            raise EngineError(f"Model {self.files.name!r} gives several labels at once; choose one that gives one")

    def spans(self, texts: Sequence[str]) -> list[list[Span] | Unreadable]:
        """Return the half-open character positions of each text's tokens, in order, or why it has none."""
        encodings = self.encodings(texts, offsets=True) if texts else []
        return [item if isinstance(item, Unreadable) else item.offsets for item in encodings]

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> list[Row | ItemFailure]:
        """Return the labels' probabilities for each pair, in order, or why there are none; raises for no pair.

        A pair that is longer than the window fails: what is cut is its caller's choice (see :attr:`room`).
        """

        def plans(part: Sequence[tuple[str, str]]) -> list[Input | ItemFailure]:
            return [self._plan(item) for item in self.encodings(part, special_tokens=True, offsets=True)]

        return overlapped(self.parts(pairs), plans, self._probabilities)

    def _probabilities(self, planned: list[Input | ItemFailure]) -> list[Row | ItemFailure]:
        rows = iter(self.rows([plan for plan in planned if isinstance(plan, Input)]))
        return [next(rows) if isinstance(plan, Input) else plan for plan in planned]

    @abstractmethod
    def wanted(self, encoding: Encoding) -> Span:
        """Return the tokens of a pair of which the result is wanted."""

    def _plan(self, encoding: Encoding | Unreadable) -> Input | ItemFailure:
        if isinstance(encoding, Unreadable):
            return ItemFailure(encoding.reason)
        if len(encoding.ids) > self.window:
            return ItemFailure(f"pair of {len(encoding.ids)} tokens, more than the window's {self.window}")
        return Input(encoding.ids, encoding.type_ids, *self.wanted(encoding))


class PairClassifier(PairModel):
    """A cross-encoder: ``probabilities`` gives ``[labels]`` a pair, a softmax, or a sigmoid for a single logit."""

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"

    def wanted(self, encoding: Encoding) -> Span:
        """Return nothing: the answer is the sequence's."""
        return (0, 0)

    def read(self, logits: torch.Tensor, batch: Sequence[Input]) -> list[Row]:
        """Return the probabilities of each pair, ``[labels]``."""
        values: Row = _probabilities(logits).cpu().numpy()
        return list(values)


class TokenClassifier(PairModel):
    """A token classifier: ``probabilities`` gives ``[tokens of the second text, labels]`` a pair."""

    auto_class: ClassVar[str] = "AutoModelForTokenClassification"

    def wanted(self, encoding: Encoding) -> Span:
        """Return where the second text's tokens are."""
        places = [place for place, text in enumerate(encoding.sequence_ids) if text == 1]
        return (places[0], places[-1] + 1) if places else (0, 0)

    def read(self, logits: torch.Tensor, batch: Sequence[Input]) -> list[Row]:
        """Return the probabilities of each wanted token, ``[stop - start, labels]``."""
        values = _probabilities(logits).cpu().numpy()
        return [row[item.start : item.stop] for row, item in zip(values, batch, strict=True)]


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    scores = logits.float()
    return scores.sigmoid() if scores.shape[-1] == 1 else scores.softmax(dim=-1)
