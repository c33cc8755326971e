"""How far a run is: counts and cost, and a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress(NamedTuple):
    """Counts since a run began. ``answered`` + ``failed`` + ``cached`` are done, of ``total``.

    ``cost_usd`` is what this run spent: kept answers cost nothing again. Where no price is known it is 0.
    """

    total: int = 0
    answered: int = 0
    failed: int = 0
    cached: int = 0
    cost_usd: float = 0.0

    @property
    def done(self) -> int:
        """Requests that have their answer or their reason."""
        return self.answered + self.failed + self.cached

    def __str__(self) -> str:
        """Return it as a line."""
        return (
            f"{self.done} of {self.total}: {self.answered} answered, {self.failed} failed, {self.cached} cached, "
            f"${self.cost_usd:.4f}"
        )


def terminal_progress() -> Callable[[Progress], None] | None:
    """Return what draws progress on standard error, or ``None`` where that is no terminal."""
    return _Bar() if sys.stderr.isatty() else None


class _Bar:
    """A bar that is drawn until all is done, and begun again where more is asked for then."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None

    def __call__(self, progress: Progress) -> None:
        """Draw."""
        if self._bar is None:
            self._bar = _begun()
        bar = self._bar
        bar.total, bar.n = progress.total, progress.done
        bar.set_postfix_str(f"failed {progress.failed}, cached {progress.cached}, ${progress.cost_usd:.4f}")
        if progress.done >= progress.total:
            # The next line of the program does not go on behind it.
            bar.close()
            self._bar = None


def _begun() -> tqdm[None]:
    from tqdm import tqdm

    nothing: list[None] = []
    return tqdm(nothing, unit=" answers", file=sys.stderr, dynamic_ncols=True)
