"""How long a receiver that does not answer is left alone."""

from __future__ import annotations

import random

FIRST_SECONDS = 2.0
MOST_SECONDS = 60.0
MOST_ASKED_SECONDS = 900.0
"""A receiver that asks for a longer pause than this is asked again after it: pages wait."""


class Backoff:
    """Doubling pauses with equal jitter, in [d/2, d]: rulers that failed together do not come back together."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._failures = 0
        self._until = 0.0

    @property
    def failures(self) -> int:
        """How many failures in a row there were."""
        return self._failures

    def waits(self, now: float) -> bool:
        """Whether it is too early at ``now``, in monotonic seconds."""
        return self._failures > 0 and now < self._until

    def failed(self, now: float, asked: float | None = None) -> float:
        """Note a failure; return the pause in seconds, at least what the receiver asked for, up to a limit."""
        longest = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 16))
        pause = max(self._random.uniform(longest / 2.0, longest), min(asked or 0.0, MOST_ASKED_SECONDS))
        self._failures += 1
        self._until = now + pause
        return pause

    def succeeded(self) -> None:
        """Note that it answered."""
        self._failures = 0
