"""Run batches so that memory that runs out halves the budget and one bad item costs only itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from evalsvc.engine.batching import plan
from evalsvc.engine.statistics import EngineStats

Row = TypeVar("Row")


class ItemFailure(NamedTuple):
    """Why one item has no result, by the exception's kind; never its text, which may quote the input."""

    reason: str


class BatchRunner(Generic[Row]):
    """Calls a function on batches of indices within a token budget; knows nothing of torch.

    The budget is halved when the device runs out of memory and stays so: the next would fail again.
    """

    def __init__(
        self,
        max_tokens: int,
        max_batch: int,
        is_out_of_memory: Callable[[BaseException], bool],
        stats: EngineStats,
    ) -> None:
        self.max_tokens = max_tokens
        self.max_batch = max_batch
        self.stats = stats
        self._is_out_of_memory = is_out_of_memory

    def run(self, lengths: Sequence[int], call: Callable[[Sequence[int]], Sequence[Row]]) -> list[Row | ItemFailure]:
        """Return one result or failure an item, in order; an exception of ``call`` never escapes.

        Args:
            lengths: tokens of each item.
            call: computes one row an index of a batch, in the batch's order.
        """
        results: list[Row | ItemFailure] = [ItemFailure("not run")] * len(lengths)
        waiting = plan(lengths, self.max_tokens, self.max_batch)[::-1]
        while waiting:
            batch = waiting.pop()
            smaller = self._attempt(batch, lengths, call, results)
            waiting.extend(reversed(smaller))
        return results

    def _attempt(
        self,
        batch: list[int],
        lengths: Sequence[int],
        call: Callable[[Sequence[int]], Sequence[Row]],
        results: list[Row | ItemFailure],
    ) -> list[list[int]]:
        """Run one batch into ``results``; return what of it must be tried again, in smaller batches."""
        padded = max(lengths[index] for index in batch) * len(batch)
        if len(batch) > 1 and padded > self.max_tokens:
            return self._cut(batch, lengths)
        started = time.perf_counter()
        try:
            rows = call(batch)
        # Any exception of a model's code is the item's failure, never the worker's.
        except Exception as error:
            return self._recover(batch, lengths, error, results)
        finally:
            self.stats.add(device_seconds=time.perf_counter() - started)
        self.stats.add(batches=1, tokens=sum(lengths[index] for index in batch))
        for index, row in zip(batch, rows, strict=True):
            results[index] = row
        return []

    def _recover(
        self, batch: list[int], lengths: Sequence[int], error: Exception, results: list[Row | ItemFailure]
    ) -> list[list[int]]:
        out_of_memory = self._is_out_of_memory(error)
        self.stats.add(out_of_memory=int(out_of_memory))
        if len(batch) == 1:
            results[batch[0]] = ItemFailure("out of memory" if out_of_memory else type(error).__name__)
            return []
        if out_of_memory:
            padded = max(lengths[index] for index in batch) * len(batch)
            self.max_tokens = max(min(self.max_tokens, padded) // 2, 1)
            return self._cut(batch, lengths)
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]

    def _cut(self, batch: list[int], lengths: Sequence[int]) -> list[list[int]]:
        parts = plan([lengths[index] for index in batch], self.max_tokens, self.max_batch)
        return [[batch[place] for place in part] for part in parts]
