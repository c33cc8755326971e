"""The share of records that are not events, and when it stops the worker."""

from __future__ import annotations

import queue
from collections import deque

from evalsvc.errors import TooManyDeadLetters


class DeadShare:
    """Dead letters among the last records. A restart begins with what the store knows, not with a clean slate.

    :meth:`remember` may be called from any thread, :meth:`check` from one.
    """

    def __init__(self, consumer: str, max_ratio: float, min_records: int, window: int) -> None:
        """Judge the last ``window`` records or a little more, once there are ``min_records``."""
        self.consumer, self.max_ratio, self.min_records, self.window = consumer, max_ratio, min_records, window
        self._past: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._held: deque[tuple[int, int]] = deque()

    def remember(self, records: int, dead: int) -> None:
        """Count what was written before this process began."""
        self._past.put((records, dead))

    def check(self, records: int, dead: int) -> None:
        """Count a batch that is about to be written.

        A batch that keeps the limit itself is let through whatever came before it, so that a mended producer is
        not held up by its past.

        Raises:
            TooManyDeadLetters: the share passed the limit: stop, rather than drain a topic after a bad deploy.
        """
        held = self._held
        while not self._past.empty():
            held.append(self._past.get())
        held.append((records, dead))
        total = sum(count for count, _ in held)
        while total - held[0][0] >= self.window:
            total -= held.popleft()[0]
        share = sum(count for _, count in held) / max(1, total)
        if total >= self.min_records and share > self.max_ratio and dead > self.max_ratio * records:
            raise TooManyDeadLetters(
                f"{share:.1%} of the last {total} records of {self.consumer!r} are not events, more than "
                f"max_ratio {self.max_ratio:.1%}; the last batch was not written. Look at the reasons in "
                f"evalsvc_dead_letters_total, mend the producer, or raise `dead_letters.max_ratio`, and start again"
            )
