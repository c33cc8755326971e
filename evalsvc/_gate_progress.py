"""How far the run of a suite is, in numbers that a command shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from evalsvc.gate.running import Told
from evalsvc.generation.progress import Progress as Asked


class HowFar:
    """How far a run is, for :class:`~evalsvc._cli_output.Progress`: requests and scores, and what they cost so far."""

    def __init__(self) -> None:
        self._asked = Asked()
        self._scored: dict[str, tuple[int, int]] = {}
        self._metric = ""
        self.told = Told(self._ask, self._score)

    def measure(self) -> tuple[int, int]:
        """Return how many requests and scores are done, of how many."""
        scored = list(self._scored.values())
        return self._asked.done + sum(done for done, _ in scored), self._asked.total + sum(total for _, total in scored)

    def note(self) -> str:
        """Return what goes on."""
        asked = self._asked
        parts = [f"{asked.failed} failed"] if asked.failed else []
        parts += [f"{asked.cached} cached"] if asked.cached else []
        parts += [f"${asked.cost_usd:.4f}"] if asked.cost_usd else []
        return ", ".join([*parts, *([f"scoring {self._metric}"] if self._metric else [])])

    @contextmanager
    def if_interrupted(self, *, kept: bool) -> Iterator[None]:
        """Say what is left of a run that Ctrl-C ends, and note it there; ``kept``: whether there is a cache on disk."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            have, total = self._asked.answered + self._asked.cached, self._asked.total
            what = "they are kept: the same command goes on from there" if kept and have else "nothing is kept"
            said = f"stopped after {have:,} of {total:,} answers; {what}"
            print(f"evalsvc: {said}", file=sys.stderr)
            interrupt.add_note(said)
            raise

    def _ask(self, progress: Asked) -> None:
        self._asked, self._metric = progress, ""

    def _score(self, metric: str, done: int, total: int) -> None:
        self._scored[metric], self._metric = (done, total), metric
