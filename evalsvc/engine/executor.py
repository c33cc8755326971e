"""One model's turn on its device: one caller at a time, within the token budget, counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from evalsvc.engine.device import Placement, device_lock
from evalsvc.engine.runner import BatchRunner, ItemFailure
from evalsvc.engine.statistics import EngineStats
from evalsvc.errors import EngineError

Row = TypeVar("Row")


class Executor(Generic[Row]):
    """Runs a model's batches. May be called from several threads; a device serves one caller at a time.

    Args:
        model: the model's name, for messages.
        placement: where it runs, with its token budget.
        window: the longest sequence that it will be given, in tokens.
        max_batch: the greatest number of sequences in a batch.

    Raises:
        EngineError: when one sequence could exceed the budget.
    """

    def __init__(self, model: str, placement: Placement, window: int, max_batch: int) -> None:
        if window > placement.max_batch_tokens:
            raise EngineError(
                f"Expected `max_batch_tokens` of at least {window}, the window of "
                f"model {model!r}, but got {placement.max_batch_tokens}"
            )
        self.stats = EngineStats()
        self._runner: BatchRunner[Row] = BatchRunner(
            placement.max_batch_tokens, max_batch, is_out_of_memory, self.stats
        )
        self._lock = device_lock(placement.device)

    def run(self, lengths: Sequence[int], call: Callable[[Sequence[int]], Sequence[Row]]) -> list[Row | ItemFailure]:
        """Return one row or failure a sequence, in order; an exception of ``call`` never escapes.

        Args:
            lengths: tokens of each sequence.
            call: computes one row an index of a batch, in the batch's order, while the device is its own.
        """
        if not lengths:
            return []
        started = time.perf_counter()
        self.stats.add(waiting=1, windows=len(lengths))
        with self._lock:
            self.stats.add(waiting=-1, queue_seconds=time.perf_counter() - started)
            return self._runner.run(lengths, call)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a model ran out of its device's memory or of the machine's."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # torch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
