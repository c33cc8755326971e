"""Texts to unit vectors: cached, windowed, batched by a token budget; what fails is a value at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalsvc.engine.device import Placement, place
from evalsvc.engine.forward import Pooler, load_pooler
from evalsvc.engine.models import ModelFiles, locate
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Tokenised, Tokeniser, TooLong, Window
from evalsvc.engine.windowed import Unread, WindowedModel
from evalsvc.errors import EngineError

Vector = NDArray[np.float32]
Joined = Vector | Unread


class Embeddings(msgspec.Struct, frozen=True):
    """The result of :meth:`Encoder.embed`.

    ``vectors`` is float32 ``[N, D]`` with rows of length 1; a row in ``failures`` or ``too_long`` is NaN.
    Both map a row to its reason: ``failures`` broke, ``too_long`` needs more windows than the settings allow.
    """

    vectors: Vector
    failures: Mapping[int, str]
    too_long: Mapping[int, str]


class Encoder(WindowedModel):
    """One loaded model. All methods may be called from several threads; the device serves one at a time."""

    def __init__(
        self,
        files: ModelFiles,
        tokeniser: Tokeniser,
        pooler: Pooler,
        placement: Placement,
        settings: EngineSettings,
    ) -> None:
        super().__init__(files.name, tokeniser, placement, settings)
        self.files = files
        self._pooler = pooler

    @classmethod
    def load(cls, settings: EngineSettings | None = None) -> Encoder:
        """Load a model; takes seconds. :func:`evalsvc.engine.shared_encoder` does so once a process.

        Raises:
            MissingExtra: when torch or the packaged model is absent.
            ModelRefused: when the weights are not pinned, or not safetensors.
            EngineError: when the model cannot be loaded, or its window exceeds the token budget.
        """
        settings = settings or EngineSettings()
        placement = place(settings)
        files = locate(settings.model, settings.revision)
        tokeniser = Tokeniser(files, settings.window_overlap, settings.max_windows, settings.window)
        return cls(files, tokeniser, load_pooler(files, placement), placement, settings)

    @property
    def width(self) -> int:
        """The size of an embedding."""
        return self._pooler.width

    @property
    def signature(self) -> str:
        """All that changes a digit of an embedding: model, weights, dtype, windows and their join."""
        tokens = self.tokeniser
        return (
            f"model:{self.files.name}|revision:{self.files.revision[:12]}|dtype:{self.placement.dtype}"
            f"|pool:mean|window:{tokens.max_length}/{tokens.overlap}/{tokens.max_windows}/token-mean"
        )

    def knows(self, text: str) -> bool:
        """Whether the model has a token for anything in a text; without one its vector says nothing of it."""
        return self.tokeniser.knows(text)

    def encode(self, texts: Sequence[str]) -> Vector:
        """Return float32 ``[N, D]`` unit vectors, the mean of a text's token states.

        Equal to sentence-transformers' ``encode(normalize_embeddings=True)`` for texts of one
        window.

        Raises:
            EngineError: when any text cannot be encoded; :meth:`embed` gives the others.
        """
        result = self.embed(texts)
        broken = {**result.failures, **result.too_long}
        if broken:
            row, reason = min(broken.items())
            raise EngineError(f"{len(broken)} of {len(texts)} texts cannot be encoded; text {row}: {reason}")
        return result.vectors

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Return the vectors of all texts that can be encoded, and why the others cannot; raises for no text.

        Equal texts are encoded once, within the call and, through the cache, across calls.
        """
        return self._gather(self.rows(texts))

    def compute(self, windows: Sequence[Window]) -> tuple[list[Vector], int]:
        """Return the mean of each window's last hidden states, and the token slots computed."""
        pooled, computed_tokens = self._pooler.pool(windows)
        vectors: Vector = pooled.cpu().numpy()
        return list(vectors), computed_tokens

    def join(self, tokenised: Sequence[Tokenised], rows: Sequence[Sequence[Vector | ItemFailure]]) -> list[Joined]:
        """Return a text's unit vector, or why it has none, in order."""
        alone = [number for number, item in enumerate(tokenised) if isinstance(item, list) and len(item) == 1]
        # Nearly all texts are one window: one by one they would take longer here than on a GPU.
        units = dict(zip(alone, _unit_rows([rows[number][0] for number in alone]), strict=True))
        return [
            self._join(item, own) if (unit := units.get(number)) is None else unit
            for number, (item, own) in enumerate(zip(tokenised, rows, strict=True))
        ]

    def _join(self, item: Tokenised, rows: Sequence[Vector | ItemFailure]) -> Joined:
        """Make one unit vector of a text's windows: their mean weighted by their tokens, then normalised."""
        if isinstance(item, TooLong):
            return item
        if not isinstance(item, list):
            return ItemFailure(item.reason)
        total = np.zeros(self.width, dtype=np.float32)
        for window, row in zip(item, rows, strict=True):
            if isinstance(row, ItemFailure):
                return row
            # A single window keeps its digits, and an empty text has no token of its own but still a window.
            total += row if len(item) == 1 else row * np.float32(self.tokeniser.content_length(window))
        norm = np.linalg.norm(total)
        if not np.isfinite(norm):
            return ItemFailure(f"model {self.files.name} gave a value that is not finite")
        unit: Vector = total / max(norm, np.float32(1e-12))
        return unit

    def _gather(self, outcomes: Sequence[Joined]) -> Embeddings:
        vectors = np.full((len(outcomes), self.width), np.nan, dtype=np.float32)
        failures: dict[int, str] = {}
        too_long: dict[int, str] = {}
        for row, outcome in enumerate(outcomes):
            if isinstance(outcome, ItemFailure):
                failures[row] = outcome.reason
            elif isinstance(outcome, TooLong):
                too_long[row] = outcome.reason
            else:
                vectors[row] = outcome
        return Embeddings(vectors, failures, too_long)


def _unit_rows(rows: Sequence[Vector | ItemFailure]) -> list[Vector | None]:
    """Return each row divided by its length, all at once; ``None`` where there is no row or it is not finite."""
    given = [number for number, row in enumerate(rows) if not isinstance(row, ItemFailure)]
    units: list[Vector | None] = [None] * len(rows)
    if not given:
        return units
    matrix = np.stack([rows[number] for number in given])
    # A product of a row with itself has the digits of `np.linalg.norm` of that row; the norm along an axis has not.
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.matmul(matrix[:, None, :], matrix[:, :, None])[:, 0])
        matrix /= np.maximum(norms, np.float32(1e-12))
    finite = np.isfinite(norms[:, 0])
    for number, unit, good in zip(given, matrix, finite.tolist(), strict=True):
        units[number] = unit if good else None
    return units
