"""What models of single texts share: one row a text, cached, from windows in batches within a token budget."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from evalsvc.engine.cache import EmbeddingCache, content_key
from evalsvc.engine.device import Placement
from evalsvc.engine.executor import Executor
from evalsvc.engine.overlap import overlapped, parts_of
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Tokenised, Tokeniser, TooLong, Window

Row = NDArray[np.float32]


class WindowedModel(ABC):
    """A loaded model that reads one text at a time. May be called from several threads; the device serves one."""

    def __init__(self, name: str, tokeniser: Tokeniser, placement: Placement, settings: EngineSettings) -> None:
        self.placement = placement
        self.tokeniser = tokeniser
        self.cache = EmbeddingCache(settings.cache_bytes)
        self._executor: Executor[Row] = Executor(name, placement, tokeniser.max_length, settings.max_batch_texts)
        self.stats = self._executor.stats

    @abstractmethod
    def compute(self, windows: Sequence[Window]) -> tuple[Sequence[Row], int]:
        """Return one row a window of a batch, and the token slots computed; within torch's inference mode."""

    @abstractmethod
    def join(self, tokenised: Sequence[Tokenised], rows: Sequence[Sequence[Row | ItemFailure]]) -> list[Row | Unread]:
        """Return one row a text of its windows' rows, in order, or why there is none."""

    def rows(self, texts: Sequence[str]) -> list[Row | Unread]:
        """Return one row a text, in order, or why there is none; raises for no text.

        Equal texts are computed once, within the call and, through the cache, across calls.
        """
        rows, hits = self.cache.through([content_key(text) for text in texts], texts, self._compute)
        self.stats.add(texts=len(texts), cache_hits=hits, failures=sum(isinstance(row, ItemFailure) for row in rows))
        return rows

    def _compute(self, texts: list[str]) -> list[Row | Unread]:
        parts = parts_of(texts, map(len, texts), self.placement.max_batch_tokens)
        return overlapped(parts, self._tokenise, self._rows)

    def _tokenise(self, texts: Sequence[str]) -> list[Tokenised]:
        started = time.perf_counter()
        tokenised = self.tokeniser.tokenise(texts)
        self.stats.add(tokenise_seconds=time.perf_counter() - started)
        return tokenised

    def _rows(self, tokenised: list[Tokenised]) -> list[Row | Unread]:
        windows = [window for item in tokenised if isinstance(item, list) for window in item]
        rows = self._executor.run(
            [len(window) for window in windows], lambda batch: self._batch([windows[index] for index in batch])
        )
        starts = [0, *accumulate(len(item) if isinstance(item, list) else 0 for item in tokenised)]
        return self.join(tokenised, [rows[start:stop] for start, stop in pairwise(starts)])

    def _batch(self, windows: Sequence[Window]) -> Sequence[Row]:
        import torch

        with torch.inference_mode():
            rows, computed_tokens = self.compute(windows)
        self.stats.add(computed_tokens=computed_tokens)
        return rows


Unread = ItemFailure | TooLong
"""Why a text has no row: something broke, or it needs more windows than the settings allow."""
