"""A detector of single texts: all its heads read one pooled vector, so that they cost one pass together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.detection.adapter import Card, calibrated
from evalsvc.detection.loading import Loaded, load, misfit
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Tokenised, TooLong, Window
from evalsvc.engine.windowed import Unread, WindowedModel

Row = NDArray[np.float32]


class Answer(NamedTuple):
    """What one head says of a text: the greatest probability of its windows, and which of how many has it."""

    probability: float
    window: int
    windows: int


class TextDetector(WindowedModel):
    """A loaded detector of texts. All methods may be called from several threads."""

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        super().__init__(loaded.name, loaded.tokeniser, loaded.placement, settings)
        self.loaded = loaded
        self.files = loaded.files
        self.tasks = tuple(loaded.card.tasks)
        try:
            self._weight = loaded.heads["head.texts.weight"]
            self._bias = loaded.heads["head.texts.bias"]
        except KeyError as error:
            raise misfit(loaded.name, f"it has no {error}") from error
        shapes = (tuple(self._weight.shape), tuple(self._bias.shape))
        if shapes != ((len(self.tasks), loaded.bert.width), (len(self.tasks),)):
            raise misfit(loaded.name, f"its heads have shapes {shapes} for {len(self.tasks)} tasks")

    @classmethod
    def load(cls, settings: EngineSettings) -> TextDetector:
        """Load the detector that ``settings.adapter`` names; takes seconds.

        Raises:
            MissingExtra: when torch or the packaged model is absent.
            ModelRefused: when the trunk is not the one that the detector was fitted on.
            EngineError: when the file is none of a detector of texts, or its window exceeds the token budget.
        """
        return cls(load(settings, "texts"), settings)

    @property
    def card(self) -> Card:
        """What the detector's file says of itself."""
        return self.loaded.card

    @property
    def signature(self) -> str:
        """All that changes a digit of a probability."""
        return self.loaded.signature

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float] | Unread]:
        """Return the probability of each task, by name, for each text in order, or why there is none."""
        rows = self.rows(texts)
        return [
            row
            if isinstance(row, ItemFailure | TooLong)
            else {task: self._answer(row, task).probability for task in self.tasks}
            for row in rows
        ]

    def answers(self, task: str, texts: Sequence[str]) -> list[Answer | Unread]:
        """Return what the head of one task says of each text, in order, or why it says nothing; raises for no text.

        Raises:
            KeyError: when the detector has no such task.
        """
        if task not in self.tasks:
            raise KeyError(task)
        rows = self.rows(texts)
        return [row if isinstance(row, ItemFailure | TooLong) else self._answer(row, task) for row in rows]

    def _answer(self, logits: Row, task: str) -> Answer:
        own = logits[:, self.tasks.index(task)]
        window = int(own.argmax())
        return Answer(calibrated(self.card.tasks[task].calibration, float(own[window])), window, len(own))

    def compute(self, windows: Sequence[Window]) -> tuple[list[Row], int]:
        """Return the logits of each window, ``[tasks]``, and the token slots computed."""
        from torch.nn import functional

        pooled, computed_tokens = self.loaded.bert.pool(windows)
        logits: Row = functional.linear(pooled, self._weight, self._bias).cpu().numpy()
        return list(logits), computed_tokens

    def join(self, tokenised: Sequence[Tokenised], rows: Sequence[Sequence[Row | ItemFailure]]) -> list[Row | Unread]:
        """Return the logits of all windows of each text, ``[windows, tasks]``, or why there are none."""
        return [self._join(item, own) for item, own in zip(tokenised, rows, strict=True)]

    def _join(self, item: Tokenised, rows: Sequence[Row | ItemFailure]) -> Row | Unread:
        if isinstance(item, TooLong):
            return item
        if not isinstance(item, list):
            return ItemFailure(item.reason)
        known = [row for row in rows if not isinstance(row, ItemFailure)]
        if len(known) < len(rows):
            # The window without an answer could have been the one that decides.
            return next(row for row in rows if isinstance(row, ItemFailure))
        logits = np.stack(known)
        if not np.isfinite(logits).all():
            return ItemFailure(f"detector {self.loaded.name} gave a value that is not finite")
        return logits
