"""What a fit is made of: rows, notes, options, and what trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Truths = NDArray[np.bool_]

FAITHFULNESS = "faithfulness"
TEXT_TASKS = ("toxicity", "prompt_injection", "refusal")
Unsupported = Literal["unsupported", "contradicted", "not_mentioned"]
LABELS = ("supported", "unsupported", "contradicted", "not_mentioned")
"""What a response can be labelled with; all but the first count as found."""


class Mark(msgspec.Struct, frozen=True):
    """Characters ``[start, end)`` of a response that its contexts do not support, and how: not ``supported``."""

    start: int
    end: int
    label: Unsupported = "unsupported"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled row.

    Attributes:
        id: its own, or its place.
        place: ``file:line``, for messages.
        group: rows of one group are never on both sides of a fold.
        text: the text, or the response.
        found: for each task whether the text has what is looked for; None where that is unknown.
        contexts: of a response, in their order.
        question: that was answered, or nothing.
        label: one of :data:`LABELS`, of a response.
        spans: what is not supported of a response; None where the row does not say.
        source: where it comes from, such as a data set's name.
        licence: of the source.
        weight: how much it counts in training and in figures.
        threshold_weight: how much it counts where the threshold is fixed.
        segments: names and values that figures are split by.
    """

    id: str
    place: str
    group: str
    text: str
    found: tuple[bool | None, ...]
    contexts: tuple[str, ...] = ()
    question: str = ""
    label: str = ""
    spans: tuple[Mark, ...] | None = None
    source: str = ""
    licence: str = ""
    weight: float = 1.0
    threshold_weight: float = 1.0
    segments: Mapping[str, str] = {}


class Note(msgspec.Struct, frozen=True):
    """What was seen and changed nothing, or what should be looked at before the detector is used."""

    text: str
    warning: bool = False


class Labelled(NamedTuple):
    """Rows that a detector can be fitted to, and what was noticed about them."""

    tasks: tuple[str, ...]
    rows: Sequence[Row]
    notes: Sequence[Note] = ()
    field: str = "group"
    """Which field the groups are of."""

    @property
    def digest(self) -> str:
        """SHA-256 of all rows, whatever files they are in."""
        import hashlib

        encoder, made = msgspec.json.Encoder(order="deterministic"), hashlib.sha256()
        for row in self.rows:
            made.update(encoder.encode(msgspec.structs.replace(row, place="", id="")) + b"\n")
        return made.hexdigest()


class Options(NamedTuple):
    """How to fit; ``rule`` and ``value`` fix the threshold before any test set is looked at.

    With ``hold_out`` there is one training instead of ``folds`` and a last one: of all rows but those of this share of
    the groups, by which what is written is calibrated and measured.
    """

    out: Path
    folds: int = 5
    seed: int = 0
    rule: Literal["false_alarms", "cost"] = "false_alarms"
    value: float = 0.05
    restart: bool = False
    before: Path | None = None
    """The detector that training starts from."""
    hold_out: float = 0.0


class Training(NamedTuple):
    """What an operator may choose of the training.

    ``before`` is the detector that it starts from, ``made`` how many responses are made from the contexts of the rows
    that are learnt from (of faithfulness).
    """

    epochs: int | None = None
    made: int = 0
    seed: int = 0
    device: str = "auto"
    before: Path | None = None


class Trained(Protocol):
    """What training made."""

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """What goes into the detector's file."""
        ...

    @property
    def made(self) -> Sequence[Row]:
        """The rows that were made from those learnt from, and learnt from too."""
        ...

    def logits(self, rows: Sequence[Row]) -> Array:
        """Return ``[rows, tasks]``; of a response that it has an unsupported statement."""
        ...


Told = Callable[[int, int, str], None]
"""Called with the steps done, of how many, and a few words."""


class Trainer(Protocol):
    """Trains a detector.

    Attributes:
        trunk, trunk_revision, window, layers: as in :class:`~evalsvc.detection.adapter.Card`.
        signature: of all settings that change what is learnt; a fit with another one is another fit.
    """

    @property
    def trunk(self) -> str:  # noqa: D102
        ...

    @property
    def trunk_revision(self) -> str:  # noqa: D102
        ...

    @property
    def window(self) -> Sequence[int]:  # noqa: D102
        ...

    @property
    def layers(self) -> int | None:  # noqa: D102
        ...

    @property
    def signature(self) -> str:  # noqa: D102
        ...

    def start(self) -> Trained | None:
        """Return the detector that training starts from; nothing where that is the trunk."""
        ...

    def train(self, rows: Sequence[Row], watched: Sequence[Row], folder: Path, report: Told) -> Trained:
        """Train on rows until those watched get no better.

        Args:
            rows: to learn from.
            watched: of other groups, for early stopping; may be empty where there are too few groups.
            folder: for checkpoints, of this call alone; what an interrupted call left there is still in it.
            report: to be called after every step.
        """
        ...


def tasks_of(text: str) -> tuple[str, ...]:
    """Return the tasks of a command's TASK.

    >>> tasks_of("toxicity,refusal")
    ('toxicity', 'refusal')

    Raises:
        InputError: on a name that is none, or names that are no one detector.
    """
    from evalsvc._hints import did_you_mean
    from evalsvc.errors import InputError

    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in (FAITHFULNESS, *TEXT_TASKS):
            raise InputError(
                f"Expected a task, but got {name!r} ({did_you_mean(name, (FAITHFULNESS, *TEXT_TASKS))}); "
                "several of single texts are joined by commas: toxicity,refusal"
            )
    if FAITHFULNESS in names and len(names) > 1:
        raise InputError("faithfulness reads pairs and the others single texts; fit it by itself")
    if len(set(names)) < len(names):
        raise InputError(f"Expected each task once, but got {text!r}")
    return names


def reads_pairs(tasks: Sequence[str]) -> bool:
    """Whether the detector of these tasks reads contexts and a response."""
    return tuple(tasks) == (FAITHFULNESS,)
